"""Where things are on a page: rows of boxes, and the strips cut out around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.arrays import PageResult
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box

_MARGIN = 0.2
"""Paper left above and below what a strip shows, as a share of its height."""
_MARGIN_ENDS = 0.25
_UPRIGHT_DARK = 0.3
"""A line that stands upright beside a row has this share of the row's own contrast ..."""
_UPRIGHT_COVERED = 0.9
"""... over this share of the strip's height, and ends the strip."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A piece of a page, in pixels of its gray plane."""

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
        """The same on the page in another size, this share of its own."""
        return Rect(self.left * share, self.top * share, self.right * share, self.bottom * share)


def from_page_coords(box: Box, page: PageResult, gray: Plane) -> Rect:
    """A box of the page in pixels of its gray plane, which may be smaller."""
    across, down = gray.shape[1] / page.width, gray.shape[0] / page.height
    return Rect(box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)


def to_page_coords(span: Rect, page: PageResult, gray: Plane) -> Box:
    """The box of a span in pixels of the page: never outside it, never empty."""
    across, down = page.width / gray.shape[1], page.height / gray.shape[0]
    left = min(max(0, math.floor(span.left * across)), page.width - 1)
    top = min(max(0, math.floor(span.top * down)), page.height - 1)
    right = min(max(left + 1, math.ceil(span.right * across)), page.width)
    bottom = min(max(top + 1, math.ceil(span.bottom * down)), page.height)
    return Box(left, top, right - left, bottom - top)


def bounding_rect(spans: Sequence[Rect]) -> Rect:
    """The smallest span with all of these in it."""
    return Rect(
        min(span.left for span in spans),
        min(span.top for span in spans),
        max(span.right for span in spans),
        max(span.bottom for span in spans),
    )


def group_rows(spans: Sequence[Rect]) -> list[list[Rect]]:
    """Cut spans in reading order into rows: one that begins below the middle of a row's highest begins the next row.

    What would be a row beside the one before is none of its own: a small last zero beside a tall first digit.

    >>> [len(row) for row in rows_of([Span(0, 0, 9, 9), Span(10, 1, 19, 9), Span(0, 10, 9, 19)])]
    [2, 1]
    """
    rows: list[list[Rect]] = []
    for span in spans:
        highest = min(rows[-1], key=lambda one: one.top) if rows else None
        if highest is not None and span.top <= (highest.top + highest.bottom) / 2:
            rows[-1].append(span)
        else:
            rows.append([span])
    whole: list[list[Rect]] = []
    for row in rows:
        if whole and _overlap_vertically(bounding_rect(whole[-1]), bounding_rect(row)):
            whole[-1] = sorted([*whole[-1], *row], key=lambda span: span.left)
        else:
            whole.append(row)
    return whole


def _overlap_vertically(upper: Rect, lower: Rect) -> bool:
    """Whether one covers more than half the height of the other."""
    return min(upper.bottom, lower.bottom) - max(upper.top, lower.top) > min(upper.height, lower.height) / 2


def line_rect_around(span: Rect, gray: Plane) -> Rect:
    """The strip of a page with this span in it, and paper around it as far as there is some; whole pixels.

    Of a span beyond the page, the border next to it.
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
    """The piece of a plane under a strip of whole pixels."""
    return plane[int(strip.top) : int(strip.bottom), int(strip.left) : int(strip.right)]


def widen_line_rect(near: Rect, gray: Plane, ink: Plane) -> Rect:
    """Widen the strip around a row to the page, or to the next line that stands upright beside it: a frame's.

    Such a line is dark over nearly all of the strip's height, and the line network takes it for a 1.

    Args:
        near: the strip around the row, in pixels of `gray`.
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
