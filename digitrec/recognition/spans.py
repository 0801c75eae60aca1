"""Where things are on a page: rows of boxes, and the strips cut out around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from digitrec.imaging.contrast import Plane
from digitrec.pictures import Page
from digitrec.records import Box

_MARGIN = 0.2
"""Paper left above and below what a strip shows, as a share of its height."""
_MARGIN_ENDS = 0.25


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a page, in pixels of its grey plane."""

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

    def scaled(self, share: float) -> "Span":
        """The same on the page in another size, this share of its own."""
        return Span(self.left * share, self.top * share, self.right * share, self.bottom * share)


def on_grey(box: Box, page: Page, grey: Plane) -> Span:
    """A box of the page in pixels of its grey plane, which may be smaller."""
    across, down = grey.shape[1] / page.width, grey.shape[0] / page.height
    return Span(box.x * across, box.y * down, (box.x + box.width) * across, (box.y + box.height) * down)


def on_page(span: Span, page: Page, grey: Plane) -> Box:
    """The box of a span in pixels of the page: never outside it, never empty."""
    across, down = page.width / grey.shape[1], page.height / grey.shape[0]
    left = min(max(0, math.floor(span.left * across)), page.width - 1)
    top = min(max(0, math.floor(span.top * down)), page.height - 1)
    right = min(max(left + 1, math.ceil(span.right * across)), page.width)
    bottom = min(max(top + 1, math.ceil(span.bottom * down)), page.height)
    return Box(left, top, right - left, bottom - top)


def around(spans: Sequence[Span]) -> Span:
    """The smallest span with all of these in it."""
    return Span(
        min(span.left for span in spans),
        min(span.top for span in spans),
        max(span.right for span in spans),
        max(span.bottom for span in spans),
    )


def rows_of(spans: Sequence[Span]) -> list[list[Span]]:
    """Cut spans in reading order into rows: one that begins below the middle of a row's highest begins the next row.

    What would be a row beside the one before is none of its own: a small last zero beside a tall first digit.

    >>> [len(row) for row in rows_of([Span(0, 0, 9, 9), Span(10, 1, 19, 9), Span(0, 10, 9, 19)])]
    [2, 1]
    """
    rows: list[list[Span]] = []
    for span in spans:
        highest = min(rows[-1], key=lambda one: one.top) if rows else None
        if highest is not None and span.top <= (highest.top + highest.bottom) / 2:
            rows[-1].append(span)
        else:
            rows.append([span])
    whole: list[list[Span]] = []
    for row in rows:
        if whole and _beside(around(whole[-1]), around(row)):
            whole[-1] = sorted([*whole[-1], *row], key=lambda span: span.left)
        else:
            whole.append(row)
    return whole


def _beside(upper: Span, lower: Span) -> bool:
    """Whether one covers more than half the height of the other."""
    return min(upper.bottom, lower.bottom) - max(upper.top, lower.top) > min(upper.height, lower.height) / 2


def strip_around(span: Span, grey: Plane) -> Span:
    """The strip of a page with this span in it, and paper around it as far as there is some; whole pixels.

    Of a span beyond the page, the border next to it.
    """
    high = max(span.height, 1.0)
    middle = (span.top + span.bottom) / 2
    height, width = grey.shape
    left = min(max(0, math.floor(span.left - _MARGIN_ENDS * high)), width - 1)
    top = min(max(0, math.floor(middle - (0.5 + _MARGIN) * high)), height - 1)
    right = min(width, max(left + 1, math.ceil(span.right + _MARGIN_ENDS * high)))
    bottom = min(height, max(top + 1, math.ceil(middle + (0.5 + _MARGIN) * high)))
    return Span(left, top, right, bottom)


def cut(plane: Plane, strip: Span) -> Plane:
    """The piece of a plane under a strip of whole pixels."""
    return plane[int(strip.top) : int(strip.bottom), int(strip.left) : int(strip.right)]
