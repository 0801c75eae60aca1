"""Coordinates on a page: rectangles, and line crops around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from digitrec.arrays import PageResult
from digitrec.images.decode import DecodedPage
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box

PixelBox = tuple[int, int, int, int]
"""Left, top, right and bottom, half open, in pixels of the page."""
_MARGIN = 0.2
"""Paper above and below the text of a line crop, as a share of the text's height."""
_MARGIN_ENDS = 0.25


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
    """Convert a rectangle from pixels of the gray page; the box is inside the page and not empty."""
    return rect_to_box(span, (page.width / gray.shape[1], page.height / gray.shape[0]), page)


def bounding_rect(spans: Sequence[Rect]) -> Rect:
    """Return the smallest rectangle that holds all of these."""
    return Rect(
        min(span.left for span in spans),
        min(span.top for span in spans),
        max(span.right for span in spans),
        max(span.bottom for span in spans),
    )


def line_rect_around(span: Rect, gray: Plane) -> Rect:
    """Return the line crop around a rectangle with some paper around it, in whole pixels.

    For a rectangle beyond the page, return the border next to it.
    """
    high = max(span.height, 1.0)
    middle = (span.top + span.bottom) / 2
    top, bottom = middle - (0.5 + _MARGIN) * high, middle + (0.5 + _MARGIN) * high
    return clip_rect(Rect(span.left - _MARGIN_ENDS * high, top, span.right + _MARGIN_ENDS * high, bottom), gray)


def clip_rect(rect: Rect, plane: Plane) -> Rect:
    """Return the whole pixels of a plane that a rectangle touches, at least one."""
    return Rect(*to_pixels(rect, plane.shape[1], plane.shape[0]))


def to_pixels(rect: Rect, width: int, height: int) -> PixelBox:
    """Return the whole pixels of a page, `width` by `height`, that a rectangle touches, at least one."""
    left, top = min(max(0, math.floor(rect.left)), width - 1), min(max(0, math.floor(rect.top)), height - 1)
    right, bottom = max(left + 1, math.ceil(rect.right)), max(top + 1, math.ceil(rect.bottom))
    return left, top, min(right, width), min(bottom, height)


def crop_rect(plane: Plane, strip: Rect) -> Plane:
    """Crop a rectangle of whole pixels."""
    return plane[int(strip.top) : int(strip.bottom), int(strip.left) : int(strip.right)]


def rect_to_box(rect: Rect, scale: tuple[float, float], page: DecodedPage | PageResult) -> Box:
    """Convert a rectangle to pixels of the page; the box is inside the page and not empty.

    Args:
        rect: in pixels of a scaled page.
        scale: pixels of the page per pixel, across and down.
        page: the page.
    """
    across, down = scale
    scaled = Rect(rect.left * across, rect.top * down, rect.right * across, rect.bottom * down)
    left, top, right, bottom = to_pixels(scaled, page.width, page.height)
    return Box(left, top, right - left, bottom - top)
