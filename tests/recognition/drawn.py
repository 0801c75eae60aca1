"""Draw pages with digits, rules and margins for the tests of the page path."""

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.characters import ClassedComponents, class_components
from digitrec.recognition.page_ink import PageInk, find_page_ink
from digitrec.recognition.preprocess import Mask, Plane

PAPER, PEN, PRINT = 230, 40, 110
"""Levels of the paper, of writing, and of printed lines, 0..255."""
HIGH = 40
"""Height of a digit, pixels."""

Point = tuple[int, int]
Extent = tuple[int, int, int, int]
"""Left, top, right and bottom, half open, pixels."""


def paper(rows: int, columns: int, level: int = PAPER) -> Picture:
    """Return bare paper, (rows, columns)."""
    return np.full((rows, columns), level, np.uint8)


def write(page: Picture, text: str, left: int, foot: int, high: float = HIGH, level: int = PEN) -> Picture:
    """Write a text whose lower left corner is at (left, foot), with digits this high; return the page."""
    thick = max(1, round(high / 10))
    cv2.putText(page, text, (left, foot), cv2.FONT_HERSHEY_SIMPLEX, high / 22, level, thick, cv2.LINE_AA)
    return page


def stroke(page: Picture, *points: Point, thick: int = 4, level: int = PEN) -> Picture:
    """Draw a stroke along these points (x, y); return the page."""
    cv2.polylines(page, [np.array(points, np.int32)], False, level, thick, cv2.LINE_AA)
    return page


def rule(page: Picture, start: Point, end: Point, thick: int = 2, level: int = PRINT) -> Picture:
    """Print a straight line; return the page."""
    cv2.line(page, start, end, level, thick)
    return page


def frame(page: Picture, left: int, top: int, right: int, bottom: int, thick: int = 2, level: int = PRINT) -> Picture:
    """Print a frame; return the page."""
    cv2.rectangle(page, (left, top), (right, bottom), level, thick)
    return page


def fill(page: Picture, left: int, top: int, right: int, bottom: int, level: int) -> Picture:
    """Give a rectangle one level; return the page."""
    page[top:bottom, left:right] = level
    return page


def extent(mask: Mask) -> Extent:
    """Return the box around the pixels of a mask, (h, w)."""
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def ink_of(page: Picture) -> Plane:
    """Return the ink of a page in levels of `PAPER` and `PEN`: (h, w), 0.0 = paper, 1.0 = ink."""
    return ((PAPER - page.astype(np.float32)) / (PAPER - PEN)).clip(0, 1)


def classed(page: Picture, margins: Mask | None = None) -> ClassedComponents:
    """Class the components of a page in levels of `PAPER` and `PEN`."""
    return class_components(ink_of(page), margins)


def lay_out(page: Picture) -> tuple[PageInk, ClassedComponents]:
    """Find the ink of a page and class its components."""
    page_ink = find_page_ink(page)
    return page_ink, class_components(page_ink.ink, page_ink.margins)


def gray(page: Picture) -> NDArray[np.float32]:
    """Return the page as a plane of levels, (h, w), 0..255."""
    return page.astype(np.float32)
