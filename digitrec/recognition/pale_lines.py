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
    line: float = 4.0
    """Least length of a pale line."""
    whole: float = 0.6
    """The same, as a share of the picture's side, if that is less."""
    votes: float = 0.5
    """Least share of this length along which pixels of the line were found."""
    strip: float = 4.0
    """Height of a picture below which it is a row of a table, which has no level lines inside."""
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
    levels = _find_level_lines(contrast, bare, height)
    uprights = _find_level_lines(contrast.T, bare.T, height)[:, [1, 0, 3, 2]]
    drawn = np.zeros(inked.shape, np.uint8)
    is_strip = len(inked) < p.strip * height
    down, across = levels[:, 1::2].mean(axis=1), uprights[:, ::2].mean(axis=1)
    if _are_cells(down, across, height, is_strip=is_strip) and not _cross(uprights, characters):
        for x0, y0, x1, y1 in np.concatenate([levels, uprights]).tolist():
            cv2.line(drawn, (x0, y0), (x1, y1), 1, 2)
    return drawn > 0


def _find_level_lines(contrast: Plane, bare: Plane, height: float) -> NDArray[np.intp]:
    """Return the ends (x, y, x, y) of the long, nearly level lines, without their gaps, (n, 4)."""
    p = PARAMS
    length, reach = max(5, round(p.length * height) | 1), max(3, round(p.reach * height))
    share = cv2.blur(bare, (length, 1))
    means = np.where(share < 0.5, 0, cv2.blur(contrast * bare, (length, 1)) / np.maximum(share, 1e-3))
    wide = cv2.copyMakeBorder(means, reach, reach, 0, 0, cv2.BORDER_REPLICATE)
    line = np.where(share < 0.5, 0, means - np.maximum(wide[: len(means)], wide[2 * reach :]))
    noise = 1.4826 * float(np.median(np.abs(line[share >= 0.5]))) if (share >= 0.5).any() else 0.0
    mask = (line > max(p.least, p.noise * noise)).view(np.uint8)
    least = min(p.line * height, p.whole * mask.shape[1])
    found = cv2.HoughLinesP(mask, 1, np.pi / 720, max(1, round(p.votes * least)), None, least, p.gap * height)
    if found is None:
        return np.zeros((0, 4), np.intp)
    ends = found.reshape(-1, 4).astype(np.intp)
    is_level = np.abs(ends[:, 3] - ends[:, 1]) <= p.slant * np.abs(ends[:, 2] - ends[:, 0])
    return np.asarray(ends[is_level], np.intp)


def _find_steps(places: NDArray[np.float64], apart: float) -> NDArray[np.float64]:
    """Return the distances of neighboring lines, sorted by their places; those of two pieces of one line left out."""
    steps: NDArray[np.float64] = np.diff(np.sort(places))
    return steps[steps > 0.2 * apart]


def _are_cells(levels: NDArray[np.float64], uprights: NDArray[np.float64], height: float, *, is_strip: bool) -> bool:
    """Tell by the places of level and of upright lines whether these are a table's, and not of small squares."""
    p = PARAMS
    down, across = _find_steps(levels, p.apart * height), _find_steps(uprights, p.apart * height)
    if len(across) + 1 < p.fewest or np.median(across) < p.apart * height:
        return False
    if len(down) + 1 < p.fewest:
        return is_strip or len(across) + 1 >= 2 * p.fewest
    return float(np.median(down)) >= p.apart * height


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
