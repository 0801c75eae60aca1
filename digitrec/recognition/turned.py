"""Turn a page by quarters, and convert what was read back to the page as it is stored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import DIGITS
from digitrec.types import Box


class TurnParams(NamedTuple):
    """When a page is also read turned, and when that reading is taken."""

    fewest: int = 3
    """Number of digits from which a page is turned: one that stands alone can often be read in two ways."""
    most: int = 500
    """Number of digits up to which a page is turned: three more readings of a longer one would take too long."""
    poor: float = 0.8
    """Mean confidence of the digits below which a page is turned."""
    many: int = 8
    """Number of digits from which a page is turned below `poor_of_many`: a mean of few says little."""
    poor_of_many: float = 0.9
    """The same for such a page: upside down, drawn pages were read with up to 0.87, and single numbers accepted."""
    well: float = 0.8
    """Least mean confidence of a turned reading."""
    doubt: float = 0.5
    """Largest doubt (1 - mean confidence) of a turned reading, as a share of the other's; set on the same pages."""
    fewer: float = 0.6
    """Least number of digits of a turned reading, as a share of the other's."""
    sampled: int = 40
    """Number of numbers that are read of a turned page at first."""
    slack: float = 0.1
    """Amount by which a sample may miss `well` and `doubt`; a mean of 38 numbers differed by 0.03 from that of all."""


PARAMS = TurnParams()


def is_poor(page: PageResult) -> bool:
    """Return True if a page should be read turned."""
    p, digits = PARAMS, len(page.boxes)
    return p.fewest <= digits <= p.most and mean_confidence(page) < (p.poor if digits < p.many else p.poor_of_many)


def is_promising(sample: PageResult, page: PageResult) -> bool:
    """Return True if all numbers of a turned page should be read, as a sample of them reads more confidently."""
    return _is_more_confident(sample, page, PARAMS.slack)


def is_better(turned: PageResult, page: PageResult) -> bool:
    """Return True if a page reads by far better turned: more confidently, and not much less of it."""
    return len(turned.boxes) >= PARAMS.fewer * len(page.boxes) and _is_more_confident(turned, page)


def _is_more_confident(turned: PageResult, page: PageResult, slack: float = 0.0) -> bool:
    least = max(PARAMS.well, 1 - PARAMS.doubt * (1 - mean_confidence(page))) - slack
    return mean_confidence(turned) >= least


def find_best(page: PageResult, readings: Sequence[PageResult]) -> int | None:
    """Return the index of the most confident of the turned readings that are better than the page; None without any."""
    better = [index for index, reading in enumerate(readings) if is_better(reading, page)]
    return max(better, key=lambda index: mean_confidence(readings[index]), default=None)


def mean_confidence(page: PageResult) -> float:
    """Return the mean probability of the digits of a page, 0..1; 0.0 without digits."""
    return float(page.scores[:, :DIGITS].max(axis=1).mean()) if page.boxes else 0.0


def count_confident(page: PageResult) -> float:
    """Return the sum over the digits of a page of their confidence above a half, -0.5..0.5 each."""
    return float((page.scores[:, :DIGITS].max(axis=1) - 0.5).sum()) if page.boxes else 0.0


def turn(sheet: DecodedPage, picture: Picture, quarters: int) -> tuple[DecodedPage, Picture]:
    """Turn a page and its picture by quarters, counter-clockwise."""
    width, height = (sheet.height, sheet.width) if quarters % 2 else (sheet.width, sheet.height)
    turned = np.ascontiguousarray(np.rot90(picture, quarters))
    return replace(sheet, width=width, height=height, picture=turned, decode_larger=None), turned


def turn_back(page: PageResult, quarters: int) -> PageResult:
    """Return the result of a page that was read turned, with boxes and preview of the page as it is stored."""
    width, height = (page.height, page.width) if quarters % 2 else (page.width, page.height)
    boxes = tuple(_turn_box_back(box, quarters, width, height) for box in page.boxes)
    preview = np.ascontiguousarray(np.rot90(page.preview, -quarters))
    signs = tuple(_turn_box_back(box, quarters, width, height) for box in page.sign_boxes)
    return replace(page, boxes=boxes, sign_boxes=signs, width=width, height=height, preview=preview)


def _turn_box_back(box: Box, quarters: int, width: int, height: int) -> Box:
    """Convert a box of the turned page; width and height are those of the page as it is stored."""
    if quarters == 1:
        return Box(width - box.y - box.height, box.x, box.height, box.width)
    if quarters == 2:
        return Box(width - box.x - box.width, height - box.y - box.height, box.width, box.height)
    return Box(box.y, height - box.x - box.width, box.height, box.width)
