"""Coordinates on a page: rectangles, rows of them, and line crops around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.arrays import PageResult
from digitrec.images.decode import DecodedPage
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box

_MARGIN = 0.2
"""Paper above and below the text of a line crop, as a share of the text's height."""
_MARGIN_ENDS = 0.25
_UPRIGHT_DARK = 0.3
"""Least contrast of a vertical frame line next to a row, as a share of the row's contrast."""
_UPRIGHT_COVERED = 0.9
"""Least share of the line crop's height that a frame line covers."""


@dataclass(frozen=True, slots=True)
class Rect:
    """Rectangle in pixels of the gray page."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels down."""
        return self.bottom - self.top

    def scaled(self, share: float) -> "Rect":
        """Return the rectangle on the page scaled by a factor."""
        return Rect(self.left * share, self.top * share, self.right * share, self.bottom * share)


def from_page_coords(box: Box, page: PageResult, gray: Plane) -> Rect:
    """Convert a box from pixels of the page to pixels of the gray page, which may be smaller."""
    across, down = gray.shape[1] / page.width, gray.shape[0] / page.height
    return Rect(box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)


def to_page_coords(span: Rect, page: PageResult, gray: Plane) -> Box:
    """Convert a rectangle to pixels of the page; the box is inside the page and not empty."""
    across, down = page.width / gray.shape[1], page.height / gray.shape[0]
    left = min(max(0, math.floor(span.left * across)), page.width - 1)
    top = min(max(0, math.floor(span.top * down)), page.height - 1)
    right = min(max(left + 1, math.ceil(span.right * across)), page.width)
    bottom = min(max(top + 1, math.ceil(span.bottom * down)), page.height)
    return Box(left, top, right - left, bottom - top)


def bounding_rect(spans: Sequence[Rect]) -> Rect:
    """Return the smallest rectangle that holds all of these."""
    return Rect(
        min(span.left for span in spans),
        min(span.top for span in spans),
        max(span.right for span in spans),
        max(span.bottom for span in spans),
    )


def group_rows(spans: Sequence[Rect]) -> list[list[Rect]]:
    """Group rectangles in reading order into rows; one that begins below the middle of a row's highest starts a row.

    A row that overlaps the previous one vertically is merged with it: a small last zero beside a tall first digit.

    >>> [len(row) for row in group_rows([Rect(0, 0, 9, 9), Rect(10, 1, 19, 9), Rect(0, 10, 9, 19)])]
    [2, 1]
    """
    rows: list[list[Rect]] = []
    for span in spans:
        highest = min(rows[-1], key=lambda rect: rect.top) if rows else None
        if highest is not None and span.top <= (highest.top + highest.bottom) / 2:
            rows[-1].append(span)
        else:
            rows.append([span])
    merged: list[list[Rect]] = []
    for row in rows:
        if merged and _overlap_vertically(bounding_rect(merged[-1]), bounding_rect(row)):
            merged[-1] = sorted([*merged[-1], *row], key=lambda span: span.left)
        else:
            merged.append(row)
    return merged


def _overlap_vertically(upper: Rect, lower: Rect) -> bool:
    """Return True if the overlap is more than half the height of the lower rectangle of the two."""
    return min(upper.bottom, lower.bottom) - max(upper.top, lower.top) > min(upper.height, lower.height) / 2


def line_rect_around(span: Rect, gray: Plane) -> Rect:
    """Return the line crop around a rectangle with some paper around it, in whole pixels.

    For a rectangle beyond the page, return the border next to it.
    """
    high = max(span.height, 1.0)
    middle = (span.top + span.bottom) / 2
    height, width = gray.shape
    left = min(max(0, math.floor(span.left - _MARGIN_ENDS * high)), width - 1)
    top = min(max(0, math.floor(middle - (0.5 + _MARGIN) * high)), height - 1)
    right = min(width, max(left + 1, math.ceil(span.right + _MARGIN_ENDS * high)))
    bottom = min(height, max(top + 1, math.ceil(middle + (0.5 + _MARGIN) * high)))
    return Rect(left, top, right, bottom)


def crop_rect(plane: Plane, strip: Rect) -> Plane:
    """Crop a rectangle of whole pixels."""
    return plane[int(strip.top) : int(strip.bottom), int(strip.left) : int(strip.right)]


def widen_line_rect(near: Rect, gray: Plane, ink: Plane) -> Rect:
    """Widen the line crop around a row to the page, or to the next vertical frame line beside it.

    A frame line is dark over nearly all of the height, and the sequence recognizer would read it as a 1.

    Args:
        near: line crop around the row, in pixels of `gray`.
        gray: the page, (h, w), 0..255.
        ink: ink of the same page in any size, 0.0 = paper, 1.0 = ink.
    """
    height, width = gray.shape
    piece = crop_rect(gray, Rect(0, near.top, width, near.bottom))
    ink = np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    inked = crop_rect(ink, near) > 0.5
    levels = crop_rect(gray, near)
    if not inked.any() or inked.all():
        return Rect(0, near.top, width, near.bottom)
    dark, light = float(np.median(levels[inked])), float(np.median(levels[~inked]))
    is_dark = (light - piece) / (light - dark) > _UPRIGHT_DARK if light != dark else np.zeros(piece.shape, np.bool_)
    thick = cv2.dilate(is_dark.view(np.uint8), np.ones((1, 3), np.uint8))
    uprights = np.flatnonzero(thick.mean(axis=0) >= _UPRIGHT_COVERED)
    left = uprights[uprights < near.left].max(initial=-1) + 1
    right = uprights[uprights >= near.right].min(initial=width)
    return Rect(float(left), near.top, float(right), near.bottom)


def rect_to_box(rect: Rect, scale: tuple[float, float], sheet: DecodedPage) -> Box:
    """Convert a rectangle to pixels of the page; the box is inside the page and not empty.

    Args:
        rect: in pixels of a scaled page.
        scale: pixels of the page per pixel, across and down.
        sheet: the page.
    """
    left = min(max(0, math.floor(rect.left * scale[0])), sheet.width - 1)
    top = min(max(0, math.floor(rect.top * scale[1])), sheet.height - 1)
    right = min(max(left + 1, math.ceil(rect.right * scale[0])), sheet.width)
    bottom = min(max(top + 1, math.ceil(rect.bottom * scale[1])), sheet.height)
    return Box(left, top, right - left, bottom - top)
