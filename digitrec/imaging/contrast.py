"""Page -> how much darker each spot is than the paper around it.

Takes out everything that is the lamp's and not the writer's: the colour of paper and pen, light on dark, shadows.
"""

from functools import lru_cache
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.pictures import Picture

Plane = NDArray[np.float32]
"""One number for each spot of a page at working size: (h, w)."""

_Levels = TypeVar("_Levels", Picture, Plane)

WORK_PX = 1024
"""Longest side that is worked on: a digit of a twentieth of the page still has 50 pixels."""

_THUMB_PX = 48
_PAPER_PX = 96
"""Longest sides of the small copies that polarity and paper are judged on."""

_STROKE_SHARE = 0.35
"""Dark things narrower than this share of the page are marks; wider ones are shadow, and belong to the paper."""


def contrast_of(picture: Picture) -> Plane:
    """How far each spot is from its paper towards black: about 0.0 = paper (noise goes below), 1.0 = black.

    Light writing on dark is turned over first, so both kinds give the same.
    """
    grey = grey_of(smaller(picture, WORK_PX))
    if _is_light_on_dark(grey):
        grey = 255 - grey
    contrast = (1 - grey / _paper(grey)).astype(np.float32)
    side = min(contrast.shape)
    if side > 120:  # fine grain of paper and sensor; strokes are wider on a page of this size
        contrast = np.asarray(cv2.GaussianBlur(contrast, (0, 0), min(1.5, side / 300)), np.float32)
    return contrast


def smaller(plane: _Levels, longest_px: int) -> _Levels:
    """Average a picture or plane down until no side is longer than `longest_px`; never enlarge."""
    height, width = plane.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return plane
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast(_Levels, cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def grey_of(picture: Picture) -> Plane:
    """Weigh the three colours by how much they show: a yellow pen is nearly white to the eye, but black in blue."""
    if picture.ndim == 2:
        return picture.astype(np.float32)
    spots = smaller(picture, _PAPER_PX)
    darkest, middle, lightest = np.array([_levels_of(spots, colour) for colour in range(3)]).T  # (3,) each
    shows = np.maximum(lightest - middle, middle - darkest) ** 2
    weights = shows / shows.sum() if shows.sum() > 0 else np.full(3, 1 / 3)
    return np.asarray(cv2.transform(picture.astype(np.float32), weights[None].astype(np.float32)), np.float32)


def _is_light_on_dark(grey: Plane) -> bool:
    """Ink is the rarer colour: levels lean away from the paper, seen against the whole page and against its light."""
    lowest, highest = float(grey.min()), float(grey.max())
    for paper in (highest, lowest):  # drawn rather than scanned: most of it is bare, and of one level
        if 2 * np.count_nonzero(grey == paper) > grey.size:
            return paper == lowest
    thumb = smaller(grey, _THUMB_PX)
    window = max(3, (min(thumb.shape) // 2) | 1)
    light = cv2.medianBlur(np.clip(np.rint(thumb), 0, 255).astype(np.uint8), window).astype(np.float32)
    level = _untilted(thumb, bowl=True)
    (middle,) = quantiles(level, 0.5)
    return _lean(level - np.float32(middle)) + _lean(thumb - light) > 0


def _levels_of(spots: Picture, colour: int) -> tuple[float, float, float]:
    """The darkest level of a colour, its median and its lightest; by counting, as there are but 256."""
    below = np.cumsum(cv2.calcHist([spots], [colour], None, [256], [0, 256]).ravel().astype(np.intp))
    ranks = [0, (int(below[-1]) - 1) // 2, int(below[-1]) // 2, int(below[-1]) - 1]
    darkest, low, high, lightest = np.searchsorted(below, ranks, side="right").tolist()
    return darkest, (low + high) / 2, lightest


def _untilted(thumb: Plane, *, bowl: bool) -> Plane:
    """Take out what a lamp from one side does: the best fitting plane, or plane and bowl."""
    level = (thumb - thumb.mean()).ravel()
    shapes = _tilts(*thumb.shape, bowl=bowl)
    return np.asarray(level - (shapes @ level) @ shapes, np.float32).reshape(thumb.shape)


@lru_cache(32)  # sides are 1.._PAPER_PX, and most pages of a batch have the same
def _tilts(height: int, width: int, *, bowl: bool) -> Plane:
    """The ways light falls off over a page, (2 or 5, height * width), each of length 1."""
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    # On a full grid these five are at right angles to each other and to the mean, so each is fitted by itself.
    shapes = [x + 0 * y, y + 0 * x]
    if bowl:
        shapes += [x * y, x**2 - np.mean(x**2) + 0 * y, y**2 - np.mean(y**2) + 0 * x]
    flat = np.stack([shape.ravel() for shape in shapes])
    return np.asarray(flat / np.sqrt(np.maximum((flat * flat).sum(axis=1, keepdims=True), 1e-9)), np.float32)


def _lean(deviation: Plane) -> float:
    """-1.0 if all the large deviations are to the dark side, 1.0 if to the light side."""
    cubes = deviation * deviation * deviation
    return float(cubes.sum() / max(float(np.abs(cubes).sum()), 1e-9))


def _paper(grey: Plane) -> Plane:
    """The paper's own level at each spot, 1..255: what is left when everything narrow and dark is closed over."""
    thumb = smaller(grey, _PAPER_PX)
    if min(thumb.shape) >= 3:
        thumb = np.asarray(cv2.medianBlur(thumb, 3), np.float32)
    window = max(3, round(max(thumb.shape) * _STROKE_SHARE) | 1)
    # Beyond the border OpenCV's closing sees nothing, so a mark that runs out of the page counts as narrow, too;
    # so would the darker end of a tilt: the tilt of what is left is taken out, and all is done once more.
    brush = np.ones((window, window), np.uint8)
    rough = np.asarray(cv2.morphologyEx(thumb, cv2.MORPH_CLOSE, brush), np.float32)
    tilt = rough - _untilted(rough, bowl=False)
    closed = cv2.morphologyEx(thumb - tilt, cv2.MORPH_CLOSE, brush) + tilt
    soft = cv2.blur(closed, (window // 2 | 1, window // 2 | 1), borderType=cv2.BORDER_REPLICATE)
    height, width = grey.shape
    return np.asarray(cv2.resize(np.maximum(soft, 1), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def quantiles(levels: Plane, *shares: float) -> list[float]:
    """The levels that these shares of the spots lie below, between two spots by interpolation.

    As `np.quantile`, in a tenth of its time for the few spots there are here.
    """
    last = levels.size - 1
    places = [(last * share, min(int(last * share), last)) for share in shares]
    wanted = sorted({min(index + step, last) for _, index in places for step in (0, 1)})
    ordered = np.partition(levels.ravel(), wanted)
    found = []
    for place, index in places:
        low, high = ordered[index], ordered[min(index + 1, last)]
        # One quantile is worked out in single precision, several are in double: so does numpy.
        beyond = place - index if len(shares) == 1 else np.float64(place - index)
        found.append(float(high - (high - low) * (1 - beyond) if beyond >= 0.5 else low + (high - low) * beyond))
    return found
