"""Rotate a page whose sheet or ruled lines slant, and convert what was read back to the page as it is stored."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.preprocess import Mask, Plane, downscale
from digitrec.recognition.turned import count_confident
from digitrec.types import Box


class SkewParams(NamedTuple):
    """When a page is rotated; set by hand on synthetic pages (`benchmarks.pages`)."""

    side_px: int = 256
    """Longest side of the copy on which the angle is measured, pixels."""
    least: float = 2.0
    """Least angle, degrees."""
    least_px: int = 300
    """Longest side of a page from which its lines count, pixels; a smaller one is a crop of a few characters."""
    most: float = 30.0
    """Largest angle of ruled lines, degrees; that of a sheet is at most 45."""
    corner: float = 0.02
    """Largest distance of a sheet's outline from a polygon, as a share of its length."""
    agreement: float = 0.9
    """Least length of the mean of the sides' directions, 0..1; 1 = all are parallel or at right angles."""
    inked: float = 0.1
    """Ink, 0..1, from which lines are searched."""
    line: float = 0.35
    """Least length of a line, as a share of the page's longer side."""
    thick: float = 0.015
    """Least thickness of what is no line, as a share of the same."""
    gap: float = 0.02
    """Largest gap in a line, as a share of the same."""
    fewest: int = 3
    """Number of lines from which their median angle counts."""
    alike: float = 2.0
    """Largest median deviation of their angles, degrees."""


PARAMS = SkewParams()


@dataclass(frozen=True, slots=True, eq=False)
class StraightenedPage:
    """A page, rotated so that its sheet or its lines are level."""

    sheet: DecodedPage
    picture: Picture
    """Its picture, (h, w), which may be smaller."""
    margins: Mask
    """What is around the sheet there, and beyond the picture, (h, w)."""
    angle: float
    """Degrees, counter-clockwise."""
    matrix: NDArray[np.float64]
    """From pixels of the rotated page to pixels of the page, (2, 3)."""
    preview: Picture
    """Of the page as it is stored."""
    width: int
    """Of the page as it is stored."""
    height: int

    def restore(self, page: PageResult) -> PageResult:
        """Return the result of the page before it was rotated; boxes are the smallest that enclose the rotated ones."""
        boxes, signs = (tuple(map(self._restore_box, group)) for group in (page.boxes, page.sign_boxes))
        return replace(page, boxes=boxes, sign_boxes=signs, width=self.width, height=self.height, preview=self.preview)

    def _restore_box(self, box: Box) -> Box:
        """Convert a box from pixels of the rotated page to pixels of the page."""
        right, bottom = box.x + box.width, box.y + box.height
        corners = np.array([(x, y, 1) for x in (box.x, right) for y in (box.y, bottom)]) @ self.matrix.T  # (4, 2)
        size = np.array((self.width, self.height))
        low = np.clip(np.floor(corners.min(axis=0)), 0, size - 1).astype(int).tolist()
        high = np.minimum(np.ceil(corners.max(axis=0)), size).astype(int).tolist()
        return Box(low[0], low[1], max(1, high[0] - low[0]), max(1, high[1] - low[1]))


def find_skew(page: PageInk) -> float:
    """Return the angle by which the sheet or its ruled lines slant, degrees, clockwise; 0.0 if they hardly do.

    The sides of the sheet count if it was found, else long straight lines.
    """
    if page.margins is None and page.rules is not None:  # rules that were found are level
        return 0.0
    angle = _line_angle(page) if page.margins is None else _sheet_angle(page.margins)
    return angle if abs(angle) >= PARAMS.least else 0.0


def _sheet_angle(margins: Mask) -> float:
    """Return the mean angle of the sides of the sheet that are inside the picture, weighted by their length."""
    p = PARAMS
    inside = downscale(np.asarray(~margins, np.uint8) * np.uint8(255), p.side_px) > 127
    outlines, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return 0.0
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    corners = cv2.approxPolyDP(hull, p.corner * cv2.arcLength(hull, True), True)[:, 0].tolist()
    far = (inside.shape[1] - 2, inside.shape[0] - 2)
    sides = [
        complex(end[0] - start[0], end[1] - start[1])
        for start, end in pairwise([*corners, corners[0]])
        if not any(max(start[i], end[i]) <= 1 or min(start[i], end[i]) >= far[i] for i in (0, 1))
    ]
    if not sides:
        return 0.0
    # A right angle more or less is the same direction: the angles are multiplied by four before the mean.
    mean = sum(abs(side) * (side / abs(side)) ** 4 for side in sides) / sum(map(abs, sides))
    return float(np.degrees(np.angle(mean))) / 4 if abs(mean) >= p.agreement else 0.0


def _line_angle(page: PageInk) -> float:
    """Return the median angle of the long straight lines in the ink of a page; 0.0 if there are few."""
    p = PARAMS
    if max(page.ink.shape) < p.least_px:
        return 0.0
    inked = np.asarray(page.ink > p.inked, np.uint8) * np.uint8(255)
    ink = np.asarray(downscale(inked, 2 * p.side_px) > 64, np.uint8)  # a thin line is pale in a smaller copy
    side = max(ink.shape)
    thick = np.ones((max(3, round(p.thick * side)),) * 2, np.uint8)
    ink[cv2.dilate(cv2.morphologyEx(ink, cv2.MORPH_OPEN, thick), thick) > 0] = 0  # strokes of a large character
    found = cv2.HoughLinesP(ink, 1, np.pi / 720, round(0.5 * p.line * side), None, p.line * side, p.gap * side)
    if found is None:
        return 0.0
    ends = found.reshape(-1, 4)
    across, down = (ends[:, 2:] - ends[:, :2]).T
    angles = np.degrees(np.arctan2(down, across))
    angles = angles[np.abs(angles) <= p.most]
    if len(angles) < p.fewest:
        return 0.0
    angle = float(np.median(angles))
    return angle if np.median(np.abs(angles - angle)) <= p.alike else 0.0


def straighten(sheet: DecodedPage, page: PageResult, ink: PageInk, angle: float) -> StraightenedPage:
    """Rotate a page without what is around its sheet, counter-clockwise by an angle in degrees."""
    size, to_page = _rotation(sheet.width, sheet.height, angle)
    picture = np.asarray(cv2.convertScaleAbs(_rotate(ink.unpainted, angle)), np.uint8)
    inside = np.ones(ink.ink.shape, np.float32) if ink.margins is None else (~ink.margins).astype(np.float32)
    margins = _rotate(inside, angle, beyond=0.0) < 0.5
    rotated = replace(sheet, width=size[0], height=size[1], picture=picture, decode_larger=None)
    return StraightenedPage(rotated, picture, margins, angle, to_page, page.preview, sheet.width, sheet.height)


def is_better(level: PageResult, page: PageResult) -> bool:
    """Return True if more digits of a page are read with confidence when it is straightened."""
    return count_confident(level) >= count_confident(page)


def _rotation(width: int, height: int, angle: float) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Return the size of a rotated picture, and the matrix from its pixels to those of the picture, (2, 3)."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    size = (round(abs(width * cos) + abs(height * sin)), round(abs(width * sin) + abs(height * cos)))
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array((width, height)) / 2 - turn @ (np.array(size) / 2)
    return size, np.column_stack([turn, middle])


def _rotate(plane: Plane, angle: float, beyond: float | None = None) -> Plane:
    """Rotate a plane, (h, w), counter-clockwise; `beyond` is its value there, None: that of its border."""
    size, matrix = _rotation(plane.shape[1], plane.shape[0], angle)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mode = cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT
    rotated = cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=mode, borderValue=beyond or 0.0)
    return np.asarray(rotated, np.float32)
