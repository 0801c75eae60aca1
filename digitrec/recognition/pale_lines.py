"""Find the lines of a table that are too pale to be ink."""

from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.preprocess import Mask, Plane

Boxes: TypeAlias = NDArray[np.intp]


class PaleLineParams(NamedTuple):
    """Thresholds of the search for pale lines; lengths are shares of h, the median height of the characters.

    Set by hand on synthetic pages (`benchmarks.pages`).
    """

    around: float = 0.08
    """Width of the faint edge of ink, which is left out of the mean."""
    length: float = 0.8
    """Length along which the mean contrast of a pale line is taken."""
    reach: float = 0.15
    """Distance to the paper on both sides of it."""
    noise: float = 5.0
    """Least contrast of a pale line to that paper, in standard deviations of the noise."""
    least: float = 0.015
    """Least contrast of a pale line to that paper, 0..1."""
    votes: float = 2.0
    """Least number of pixels of a pale line that were found, in h."""
    line: float = 4.0
    """Least length of a pale line."""
    gap: float = 1.2
    """Largest gap in it: characters may stand on it."""
    fewest: int = 3
    """Number of such lines in both directions from which they are a table."""
    apart: float = 1.2
    """Least median distance of neighboring lines of a table."""
    inset: float = 0.15
    """Part of a character's width at either end that may lie on a line of a table."""
    crossed: float = 0.08
    """Share of the characters on upright lines from which these are squared paper's."""
    slant: float = 0.1
    """Largest slope of it."""


PARAMS = PaleLineParams()


def find_pale_lines(contrast: Plane, inked: Mask, characters: Boxes, height: float) -> Mask:
    """Mark pixels on level and upright lines that are too pale for ink, (h, w): the mean along them is above the noise.

    Args:
        contrast: about 0.0 = paper, 1.0 = black, (h, w).
        inked: clear ink, (h, w); left out of the mean.
        characters: left, top, right and bottom of components of clear ink about as high as h, (n, 4).
        height: h, pixels.
    """
    p = PARAMS
    around = 2 * max(1, round(p.around * height)) + 1
    bare = 1 - cv2.dilate(inked.view(np.uint8), np.ones((around, around), np.uint8)).astype(np.float32)
    pale = np.zeros(inked.shape, np.bool_)
    length, reach = max(5, round(p.length * height) | 1), max(3, round(p.reach * height))
    for size, offset in (((1, length), (0, reach)), ((length, 1), (reach, 0))):
        share = cv2.blur(bare, size)
        means = cv2.blur(contrast * bare, size) / np.maximum(share, 1e-3)
        means[share < 0.5] = 0
        wide = cv2.copyMakeBorder(means, offset[0], offset[0], offset[1], offset[1], cv2.BORDER_REPLICATE)
        rows, columns = means.shape
        sides = wide[:rows, :columns], wide[2 * offset[0] :, 2 * offset[1] :]
        line = means - np.maximum(*sides)
        line[share < 0.5] = 0
        noise = 1.4826 * float(np.median(np.abs(line[share >= 0.5]))) if (share >= 0.5).any() else 0.0
        pale |= line > max(p.least, p.noise * noise)
    return _draw_lines(pale, characters, height)


def _draw_lines(mask: Mask, characters: Boxes, height: float) -> Mask:
    """Draw the long, nearly level or upright lines in a mask, (h, w), without their gaps, if they are a table's."""
    p, drawn = PARAMS, np.zeros(mask.shape, np.uint8)
    found = cv2.HoughLinesP(
        mask.view(np.uint8),
        1,
        np.pi / 720,
        round(p.votes * height),
        None,
        p.line * height,
        p.gap * height,
    )
    if found is None:
        return drawn > 0
    ends = found.reshape(-1, 4)
    across, down = np.abs(ends[:, 2] - ends[:, 0]), np.abs(ends[:, 3] - ends[:, 1])
    is_level, is_upright = down <= p.slant * across, across <= p.slant * down
    levels, uprights = (
        _find_steps(at, p.apart * height)
        for at in (ends[is_level][:, 1::2].mean(axis=1), ends[is_upright][:, ::2].mean(axis=1))
    )
    if _are_cells(levels, uprights, height) and not _cross(ends[is_upright], characters):
        for x0, y0, x1, y1 in ends[is_level | is_upright].tolist():
            cv2.line(drawn, (x0, y0), (x1, y1), 1, 2)
    return drawn > 0


def _find_steps(places: NDArray[np.float64], apart: float) -> NDArray[np.float64]:
    """Return the distances of neighboring lines, sorted by their places; those of two pieces of one line left out."""
    steps: NDArray[np.float64] = np.diff(np.sort(places))
    return steps[steps > 0.2 * apart]


def _are_cells(levels: NDArray[np.float64], uprights: NDArray[np.float64], height: float) -> bool:
    """Tell by the distances of level and of upright lines whether these are a table's, and not of small squares."""
    p = PARAMS
    if len(uprights) + 1 < p.fewest or np.median(uprights) < p.apart * height:
        return False
    if len(levels) + 1 < p.fewest:
        return len(uprights) + 1 >= 2 * p.fewest
    return float(np.median(levels)) >= p.apart * height


def _cross(uprights: NDArray[np.intp], characters: Boxes) -> bool:
    """Tell whether many characters stand on upright lines, (n, 4), as on squared paper."""
    p = PARAMS
    left, top, right, bottom = characters.T
    x0, y0, x1, y1 = uprights.T
    middle = ((top + bottom) / 2)[:, None]
    at = x0 + (x1 - x0) * (middle - y0) / np.where(y1 == y0, 1, y1 - y0)  # (characters, lines)
    inset = (p.inset * (right - left))[:, None]
    is_on = (at > left[:, None] + inset) & (at < right[:, None] - inset)
    is_on &= (middle >= np.minimum(y0, y1)) & (middle <= np.maximum(y0, y1))
    return bool(is_on.any(axis=1).mean() > p.crossed)
