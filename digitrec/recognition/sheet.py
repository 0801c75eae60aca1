"""Find the sheet of paper on a picture, and paint out what is around it: scanner margins, a desk, the background."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Mask, Plane, downscale, quantiles


class SheetParams(NamedTuple):
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
    tint: float = 9.0
    """Distance from the paper's color, in a and b of CIELAB (8 bit), from which a pixel shows something else."""
    tinted: float = 0.08
    """Least share of the picture that is so far from the paper's color, from which its color tells the sheet apart."""
    shadow: float = 0.55
    """Lowest level of such a sheet, as a share of the 80 % quantile of the paper's: half of it may lie in shadow."""
    least_sheet: float = 0.15
    """Least area of a sheet, as a share of the picture's."""
    least_room: float = 0.3
    """Side of the largest bare square of a sheet, as a share of the picture's shorter side; strokes are narrower."""
    rectangle: float = 0.9
    """Share of the smallest rectangle around a sheet that it covers, from which it need not be bare."""
    least_margin: float = 0.02
    """Least area around the sheet, as a share of the picture's."""
    mark: float = 0.3
    """Contrast of a stroke on what is around a sheet, 0..1: it may be written, and the sheet a part of a form."""
    marks: float = 0.002
    """Share of it from which such strokes count."""
    texture: float = 0.04
    """The same from which they are the texture of a desk."""
    areas: float = 0.01
    """Share of it from which areas as light as paper count."""
    solidity: float = 0.85
    """Least area of the sheet, as a share of its convex hull's."""
    side_covered: float = 0.95
    """Least share of one side of the picture along which there is no paper, 0..1."""
    shrink: int = 8
    """Factor by which the page is scaled down to estimate the level of the paper."""
    least_paper: float = 0.5
    """Least share of a pixel of that page that shows paper."""
    soft_px: int = 9
    """Side of the blur of that page, pixels."""
    palest: float = 0.85
    """Lowest level that is painted, as a share of the paper's median: ink at the edge is not spread."""
    edge: float = 0.012
    """Width of the shadow along the sheet's edge that is painted out."""


PARAMS = SheetParams()


def find_margins(gray: Plane, picture: Picture | None = None) -> Mask | None:
    """Find what is around the sheet of paper, (h, w); None if the paper fills the picture.

    The sheet is the convex hull of the largest light area, if something much darker covers one side of the picture, or
    something of another color two of them.

    Args:
        gray: the picture, (h, w), 0..255.
        picture: the same in color, (h, w, 3), of any size; None or (h, w) if there are no colors.
    """
    p = PARAMS
    if max(gray.shape) < p.least_side_px:
        return None
    small = np.asarray(cv2.convertScaleAbs(downscale(gray, p.side_px)), np.uint8)
    brush = np.ones((max(3, round(p.stroke * max(small.shape)) | 1),) * 2, np.uint8)
    closed = _close_strokes(small, brush)
    is_tinted = None if picture is None or picture.ndim == 2 else _find_tinted(picture, closed, brush)
    lowest, highest, _, _ = cv2.minMaxLoc(closed)
    if is_tinted is None and lowest >= p.darkest_around * highest:  # as on most pages
        return None
    if is_tinted is None:
        split, light = cv2.threshold(closed, 0, 1, cv2.THRESH_OTSU)
    else:
        split = p.shadow * quantiles(closed[~is_tinted].astype(np.float32), 0.8)[0]
        light = cv2.morphologyEx(np.asarray(~is_tinted & (closed > split), np.uint8), cv2.MORPH_OPEN, brush)
    sheet = _largest_sheet(np.asarray(light, np.uint8))
    if sheet is None:
        return None
    darkness = cv2.mean(closed, np.uint8(1) - light)[0] / cv2.mean(closed, light)[0]
    if not _is_surrounded(sheet, darkness, is_tinted) or not _has_room(sheet, small >= split):
        return None
    shrink = 2 * max(1, round(p.edge * max(small.shape))) + 1
    inner = cv2.erode(sheet, np.ones((shrink, shrink), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    height, width = gray.shape
    return np.asarray(cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR) == 0, np.bool_)


def _close_strokes(picture: Picture, brush: Picture) -> Picture:
    """Give dark strokes the level beside them, but no dark corner between the sheet and the edge of the picture."""
    margin = len(brush)
    wide = cv2.copyMakeBorder(picture, *(margin,) * 4, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, brush)
    return np.asarray(closed[margin:-margin, margin:-margin], np.uint8)


def _find_tinted(picture: Picture, closed: Picture, brush: Picture) -> Mask | None:
    """Find where a picture has another color than the paper, which is light and near the middle; None almost nowhere.

    Args:
        picture: (h, w, 3).
        closed: small gray picture without strokes, (h', w').
        brush: what closes the strokes.
    """
    p, (height, width) = PARAMS, closed.shape
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    bare = cv2.medianBlur(_close_strokes(np.asarray(small, np.uint8), brush), 5)
    colors = cv2.cvtColor(bare, cv2.COLOR_RGB2LAB)[..., 1:].astype(np.float32)  # a and b
    rows, columns = np.ogrid[:height, :width]
    weights = np.exp(-4.5 * ((rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2)) * closed
    a, b = colors.reshape(-1, 2).T
    counts, _, _ = np.histogram2d(a, b, bins=64, range=((0, 256), (0, 256)), weights=weights.ravel())
    paper = 4 * np.array(np.unravel_index(cv2.GaussianBlur(counts, (0, 0), 1.0).argmax(), counts.shape)) + 2
    tinted: Mask = np.hypot(*np.moveaxis(colors - paper.astype(np.float32), 2, 0)) > p.tint
    return tinted if p.tinted <= tinted.mean() <= 1 - p.least_sheet else None


def _largest_sheet(light: Picture) -> Picture | None:
    """Return the convex hull of the largest light area, 1 inside, (h, w); None if it is too small or not convex."""
    p = PARAMS
    if not 0 < cv2.countNonZero(light) < light.size:
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats(light, connectivity=4)
    largest = 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))
    area = int(stats[largest, cv2.CC_STAT_AREA])
    hull = cv2.convexHull(_row_ends(labels == largest))
    sheet = np.asarray(cv2.fillConvexPoly(np.zeros(light.shape, np.uint8), hull, 1), np.uint8)
    covered = cv2.countNonZero(sheet)
    is_sheet = area >= p.least_sheet * light.size and area >= p.solidity * covered
    return sheet if is_sheet and light.size - covered >= p.least_margin * light.size else None


def _is_surrounded(sheet: Picture, darkness: float, is_tinted: Mask | None) -> bool:
    """Return True if there is no paper along one side of the picture; along two opposite ones if it is not dark there.

    Args:
        sheet: 1 inside, (h, w).
        darkness: level of the surroundings, as a share of the paper's.
        is_tinted: where the picture has another color than the paper; then there is no paper along any two sides.
    """
    p = PARAMS
    above, below, left, right = (
        1 - float(side.mean()) >= p.side_covered for side in (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1])
    )
    if darkness < p.darkest:
        return above or below or left or right
    if darkness >= p.darkest_around and is_tinted is None:
        return False
    return (
        (above and below)
        or (left and right)
        or ((is_tinted is not None or _is_rectangle(sheet)) and (above or below) and (left or right))
    )


def _has_room(sheet: Picture, bare: Mask) -> bool:
    """Return True if a sheet is a rectangle or has a bare square on it; a thick light character has neither.

    Args:
        sheet: 1 inside, (h, w).
        bare: pixels as light as paper, (h, w).
    """
    if _is_rectangle(sheet):
        return True
    side = round(PARAMS.least_room * min(sheet.shape)) | 1
    room = np.asarray(bare & (sheet > 0), np.uint8)
    inner = cv2.erode(room, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.countNonZero(inner) > 0


def has_marks_around(gray: Plane, margins: Mask) -> bool:
    """Return True if what is around a sheet, (h, w), may belong to a form: there are dark strokes, or areas like paper.

    Surroundings that are much darker than the sheet, and the texture of a desk, are none.

    Args:
        gray: the picture, (h, w), 0..255.
        margins: what is around the sheet, (h, w).
    """
    p = PARAMS
    small = np.asarray(cv2.convertScaleAbs(downscale(gray, p.side_px)), np.uint8)
    shape = small.shape[::-1]
    around = cv2.resize(margins.view(np.uint8), shape, interpolation=cv2.INTER_NEAREST)
    outside = cv2.erode(around, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1) > 0
    count = int(np.count_nonzero(outside))
    if not count or (around > 0).all():
        return False
    closed = _close_strokes(small, np.ones((max(3, round(p.stroke * max(small.shape)) | 1),) * 2, np.uint8))
    paper = float(np.quantile(closed[around == 0], 0.5))
    if float(np.median(closed[outside])) < p.darkest * paper:
        return False
    strokes = int(np.count_nonzero(outside & (small < (1 - p.mark) * closed.astype(np.float32)))) / count
    areas = int(np.count_nonzero(outside & (closed > p.palest * paper))) / count
    return p.marks < strokes < p.texture or p.areas < areas


def _is_rectangle(sheet: Picture) -> bool:
    """Return True if a sheet, 1 inside, (h, w), covers most of the smallest rectangle around it."""
    _, size, _ = cv2.minAreaRect(_points(sheet))
    return cv2.countNonZero(sheet) >= PARAMS.rectangle * size[0] * size[1]


def _row_ends(mask: Mask) -> NDArray[np.int32]:
    """Return the first and the last pixel of each row of a mask as OpenCV's points: they have the same convex hull."""
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return np.stack([np.concatenate([first, last]), np.concatenate([rows, rows])], axis=1).astype(np.int32)[:, None]


def _points(mask: Picture) -> NDArray[np.int32]:
    """Return the pixels of a mask as OpenCV's points, (n, 1, 2)."""
    return np.asarray(cv2.findNonZero(mask), np.int32)


def paint_margins(gray: Plane, margins: Mask) -> Plane:
    """Give the margins, (h, w), the level of the paper next to them; return a copy of the page, (h, w), 0..255."""
    p, (height, width) = PARAMS, gray.shape
    size = (max(1, width // p.shrink), max(1, height // p.shrink))
    inside = (~margins).astype(np.float32)
    weight = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    levels = cv2.resize(gray * inside, size, interpolation=cv2.INTER_AREA)
    has_paper = weight > p.least_paper
    if not has_paper.any():
        return gray
    paper = float(np.median(levels[has_paper] / weight[has_paper]))  # ink is rare
    estimate = np.where(has_paper, levels / np.maximum(weight, 1e-6), paper)
    filled = cv2.inpaint(estimate.astype(np.uint8), np.asarray(~has_paper, np.uint8), 3, cv2.INPAINT_TELEA)
    soft = cv2.blur(np.asarray(filled, np.float32), (p.soft_px, p.soft_px))
    soft = np.maximum(soft, p.palest * paper)
    painted = gray.copy()
    painted[margins] = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)[margins]
    return painted
