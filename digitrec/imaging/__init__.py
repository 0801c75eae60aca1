"""Bytes -> what the network sees.

    decode     bytes -> pages, by content, within limits
    ink        page -> ink: polarity, light, ruled lines, noise
    layout     ink -> digits in reading order
    normalise  digit -> centred 28 x 28

No TensorFlow, no file access, no state: `read` may run in any thread.
"""

import cv2
import numpy as np

from digitrec.errors import RejectedImage
from digitrec.imaging import decode, ink, layout, normalise
from digitrec.imaging.contrast import Plane, smaller
from digitrec.records import Box, Limits, Page, Picture, Reason

__all__ = ["read"]

_PREVIEW_PX = 96


def read(data: bytes, limits: Limits) -> list[Page]:
    """Read all pages of a file.

    A page without writing has reason `blank`; one that alone of its file cannot be decoded has that as its reason.
    Raises RejectedImage if there is no page to speak of: empty, no picture, cut off, not read, or over a limit.
    """
    kind = decode.format_of(data, limits)
    return [_page(kind.name, sheet) for sheet in decode.sheets(kind, data, limits)]


def _page(format_name: str, sheet: decode.Sheet) -> Page:
    if isinstance(sheet.picture, RejectedImage):
        why = sheet.picture
        empty = np.zeros((0, normalise.SIDE, normalise.SIDE), np.float32)
        no_preview = np.zeros((1, 1), np.uint8)
        numbers = (sheet.number, format_name, sheet.width, sheet.height)
        return Page(*numbers, (), empty, no_preview, why.reason, why.detail)
    plane = ink.find(sheet.picture)
    found = layout.arrange(plane)
    digits = [normalise.centred(digit.ink) for digit in found.digits]
    reason = None if found.is_clear else Reason.AMBIGUOUS_LAYOUT
    return Page(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(_on_page(digit.box, plane, sheet) for digit in found.digits),
        ink=np.stack(digits) if digits else np.zeros((0, normalise.SIDE, normalise.SIDE), np.float32),
        preview=_preview(sheet.picture),
        reason=reason if digits else Reason.BLANK,
    )


def _on_page(box: Box, plane: Plane, sheet: decode.Sheet) -> Box:
    """A box of the ink's plane in pixels of the full page: never outside it, never empty."""
    height, width = plane.shape
    left = box.x * sheet.width // width
    top = box.y * sheet.height // height
    right = -(-(box.x + box.width) * sheet.width // width)
    bottom = -(-(box.y + box.height) * sheet.height // height)
    return Box(left, top, min(right, sheet.width) - left, min(bottom, sheet.height) - top)


def _preview(picture: Picture) -> Picture:
    """A small grey copy for people."""
    small = smaller(picture, _PREVIEW_PX)
    return small if small.ndim == 2 else np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
