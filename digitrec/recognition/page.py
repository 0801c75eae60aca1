"""A sheet and the ink found on it -> a page: boxes in pixels that a person sees, digits as 28 x 28, a preview."""

import numpy as np

from digitrec.arrays import Page, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import Sheet
from digitrec.recognition import binarize, layout, normalize
from digitrec.recognition.preprocess import GreyPage, Plane
from digitrec.types import Box, Limits, Reason

_NO_INK = (0, normalize.SIDE, normalize.SIDE)


def classical(format_name: str, sheet: Sheet) -> Page:
    """Find the digits of a sheet without any network; a sheet that was not decoded becomes its reason."""
    picture = sheet.fine()
    if isinstance(picture, RejectedImage):
        return undecoded(format_name, sheet, picture)
    page = GreyPage.of(picture)
    plane = binarize.find(page)
    return page_of(format_name, sheet, page.preview, plane, layout.arrange(plane))


def undecoded(format_name: str, sheet: Sheet, why: RejectedImage) -> Page:
    """A page of which nothing is known but why."""
    return Page(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=(),
        ink=np.zeros(_NO_INK, np.float32),
        preview=np.zeros((1, 1), np.uint8),
        reason=why.reason,
        detail=why.detail,
    )


def page_of(format_name: str, sheet: Sheet, preview: Picture, plane: Plane, found: layout.Layout) -> Page:
    """A page with the digits that were found on it, not scored yet.

    Args:
        format_name: of the file.
        sheet: it was decoded.
        preview: its picture, small, (h, w).
        plane: (h, w) ink of the whole sheet, 0.0 = paper, 1.0 = ink, whoever found it.
        found: its digits.
    """
    digits = [normalize.centred(digit.ink) for digit in found.digits]
    reason = None if found.is_clear else Reason.AMBIGUOUS_LAYOUT
    return Page(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(_on_page(digit.box, plane, sheet) for digit in found.digits),
        ink=np.array(digits) if digits else np.zeros(_NO_INK, np.float32),
        preview=preview,
        reason=reason if digits else Reason.BLANK,
    )


def _on_page(box: Box, plane: Plane, sheet: Sheet) -> Box:
    """A box of the ink's plane in pixels of the full page: never outside it, never empty."""
    height, width = plane.shape
    left = box.x * sheet.width // width
    top = box.y * sheet.height // height
    right = -(-(box.x + box.width) * sheet.width // width)
    bottom = -(-(box.y + box.height) * sheet.height // height)
    return Box(left, top, min(right, sheet.width) - left, min(bottom, sheet.height) - top)


def read(data: bytes, limits: Limits) -> list[Page]:
    """Find the digits on all pages of a file, the classical way, and score none of them: what training takes.

    A page without writing has reason `blank`; one that alone of its file cannot be decoded has that as its reason.
    Raises RejectedImage as `decode.sheets` does.
    """
    name, found = decode.sheets(data, limits)
    return [classical(name, sheet) for sheet in found]
