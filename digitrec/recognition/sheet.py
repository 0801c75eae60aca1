"""Find the sheet of paper on a picture, and paint out what is around it: scanner margins, a desk, the background."""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.recognition.preprocess import Mask, Plane, downscale


@dataclass(frozen=True, slots=True)
class SheetParams:
    """Thresholds of the search for the sheet; lengths are shares of the picture's longer side."""

    side_px: int = 160
    """Longest side of the copy on which the sheet is searched, pixels."""
    least_side_px: int = 65
    """Longest side of a picture from which a sheet is searched; a smaller one is a crop of one character."""
    stroke: float = 0.06
    """Width of strokes that are closed before the sheet is searched."""
    darkest: float = 0.35
    """Highest level of the surroundings, as a share of the paper's; a shadow on the paper is lighter."""
    darkest_around: float = 0.75
    """The same if the surroundings cover two opposite sides of the picture, which shadows do not."""
    least_sheet: float = 0.15
    """Least area of a sheet, as a share of the picture's."""
    least_room: float = 0.3
    """Side of the largest bare square of a sheet, as a share of the picture's shorter side; strokes are narrower."""
    rectangle: float = 0.9
    """Share of the smallest rectangle around a sheet that it covers, from which it need not be bare."""
    least_margin: float = 0.02
    """Least area around the sheet, as a share of the picture's."""
    solidity: float = 0.85
    """Least area of the sheet, as a share of its convex hull's."""
    side_covered: float = 0.95
    """Least share of one side of the picture along which there is no paper, 0..1."""
    edge: float = 0.012
    """Width of the shadow along the sheet's edge that is painted out."""


PARAMS = SheetParams()


def find_margins(gray: Plane) -> Mask | None:
    """Find what is around the sheet of paper, (h, w); None if the paper fills the picture.

    The sheet is the convex hull of the largest light area, if something much darker covers one side of the picture.

    Args:
        gray: the picture, (h, w), 0..255.
    """
    p = PARAMS
    if max(gray.shape) < p.least_side_px:
        return None
    small = cv2.convertScaleAbs(downscale(gray, p.side_px))
    brush = np.ones((round(p.stroke * p.side_px) | 1,) * 2, np.uint8)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, brush)
    lowest, highest, _, _ = cv2.minMaxLoc(closed)
    if lowest >= p.darkest_around * highest:  # as on most pages
        return None
    split, light = cv2.threshold(closed, 0, 1, cv2.THRESH_OTSU)
    if not 0 < cv2.countNonZero(light) < light.size:
        return None
    darkness = cv2.mean(closed, 1 - light)[0] / cv2.mean(closed, light)[0]
    if darkness >= p.darkest_around:
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(light, connectivity=4)
    largest = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
    area = int(stats[largest, cv2.CC_STAT_AREA])
    points = cv2.findNonZero((labels == largest).astype(np.uint8))
    hull = cv2.convexHull(points)
    sheet = cv2.fillConvexPoly(np.zeros(light.shape, np.uint8), hull, 1)
    covered = cv2.countNonZero(sheet)
    if area < p.least_sheet * light.size or area < p.solidity * covered:
        return None
    if light.size - covered < p.least_margin * light.size:
        return None
    (_, size, _) = cv2.minAreaRect(hull)
    is_rectangle = covered >= p.rectangle * size[0] * size[1]
    room = round(p.least_room * min(small.shape)) | 1
    bare = ((small >= split) & (sheet > 0)).astype(np.uint8)
    if (
        not is_rectangle
        and not cv2.erode(bare, np.ones((room, room), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0).any()
    ):
        return None
    sides = (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1])
    above, below, left, right = (1 - float(side.mean()) >= p.side_covered for side in sides)
    if not ((above and below) or (left and right) or (darkness < p.darkest and (above or below or left or right))):
        return None
    shrink = 2 * max(1, round(p.edge * max(small.shape))) + 1
    sheet = cv2.erode(sheet, np.ones((shrink, shrink), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    height, width = gray.shape
    return cv2.resize(sheet, (width, height), interpolation=cv2.INTER_LINEAR) == 0


def paint_margins(gray: Plane, margins: Mask) -> Plane:
    """Give the margins the level of the paper next to them; return a copy of the page."""
    height, width = gray.shape
    size = (max(1, width // 8), max(1, height // 8))
    inside = (~margins).astype(np.float32)
    weight = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(gray * inside, size, interpolation=cv2.INTER_AREA)
    known = weight > 0.5
    if not known.any():
        return gray
    levels = np.where(known, levels / np.maximum(weight, 1e-6), 0).astype(np.uint8)
    # The median of a wide window is the paper's level: ink is rare.
    paper = float(np.median(levels[known]))
    filled = cv2.inpaint(np.where(known, levels, np.uint8(paper)), np.uint8(~known), 3, cv2.INPAINT_TELEA)
    soft = cv2.blur(filled.astype(np.float32), (9, 9))
    soft = np.maximum(soft, 0.85 * paper)
    painted = gray.copy()
    painted[margins] = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)[margins]
    return painted
