"""Picture -> page in gray -> how much darker each spot is than the paper around it.

Takes out everything that is the lamp's and not the writer's: the colour of paper and pen, light on dark, shadows.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture

Plane = NDArray[np.float32]
"""One number for each spot of a page at working size: (h, w)."""

_Levels = TypeVar("_Levels", Picture, Plane)

WORK_PX = 1024
"""Longest side that is worked on: a digit of a twentieth of the page still has 50 pixels."""

SMALL_PX = 96
"""Longest side of the small copy that colours and paper are judged on, and that people are shown."""
_SMALLEST_PX = 48
"""Longest side of the one that polarity is judged on."""

_CLEAR_SKEWNESS = 0.8
"""Levels that lean so far against the whole page lean further to the other side against its light on one page in
10,000, and that one is noise."""
_DOUBTFUL_SKEWNESS = 0.25
"""The grain of bare paper seldom leans by more. Light writing on dark does by 1 to 2, and most writing is dark."""
_STROKE_SHARE = 0.35
"""Dark things narrower than this share of the page are marks; wider ones are shadow, and belong to the paper."""


@dataclass(frozen=True, slots=True, eq=False)
class GrayPage:
    """A page, its colours weighed by how much they show: a yellow pen is nearly white to the eye, but black in blue."""

    gray: Plane
    """(h, w), 0..255, no side longer than `WORK_PX`."""
    small: Plane
    """The same, no side longer than `SMALL_PX`; not rounded, as that would be grain on smooth paper."""
    preview: Picture
    """The page in this size as people see it, (h, w)."""

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """A picture, (h, w) or (h, w, 3), as a gray page."""
        levels = downscale(picture, WORK_PX).astype(np.float32)
        small = downscale(levels, SMALL_PX)
        seen = np.asarray(cv2.convertScaleAbs(small), np.uint8)
        if picture.ndim == 2:
            return cls(levels, small, seen)
        weights = _channel_weights(seen)
        gray = np.asarray(cv2.transform(levels, weights), np.float32)
        small_grey = gray if small is levels else np.asarray(cv2.transform(small, weights), np.float32)
        return cls(gray, small_grey, np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A page as small as a glance takes it, made the quick way."""

    gray: Plane
    """(h, w), 0..255, no side longer than asked."""
    preview: Picture
    """The page as people see it, (h, w), no side longer than `SMALL_PX`."""
    weights: Plane | None
    """The share of each colour in its gray, (1, 3); None if it has no colours."""

    @classmethod
    def of(cls, picture: Picture, longest_px: int) -> Self:
        """A picture, (h, w) or (h, w, 3), in gray with a longest side of at most so many pixels."""
        small = _downscale_fast(picture, SMALL_PX)
        tiny = _downscale_fast(small, longest_px)
        if picture.ndim == 2:
            return cls(tiny.astype(np.float32), small, None)
        weights = _channel_weights(tiny)
        gray = np.asarray(cv2.transform(tiny.astype(np.float32), weights), np.float32)
        return cls(gray, np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), weights)

    def gray_of(self, picture: Picture) -> Plane:
        """The same picture at another size, (h, w) or (h, w, 3), in the same gray: (h, w)."""
        levels = picture.astype(np.float32)
        return levels if self.weights is None else np.asarray(cv2.transform(levels, self.weights), np.float32)


def _downscale_fast(picture: Picture, longest_px: int) -> Picture:
    """Halve a picture for as long as it stays large enough, then interpolate; never enlarge."""
    height, width = picture.shape[:2]
    if max(height, width) <= longest_px:
        return picture
    while max(height, width) >= 2 * longest_px and min(height, width) > 1:
        height, width = height // 2, width // 2
        even = picture[: 2 * height, : 2 * width]
        picture = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def local_contrast(page: GrayPage) -> Plane:
    """How far each spot is from its paper towards black: about 0.0 = paper (noise goes below), 1.0 = black.

    Light writing on dark is turned over first, so both kinds give the same.
    """
    gray, small = page.gray, page.small
    if _is_light_on_dark(gray, small):
        gray, small = 255 - gray, 255 - small
    paper = _paper_level(small, gray.shape)
    contrast = np.subtract(1, np.divide(gray, paper, out=paper), out=paper)
    side = min(contrast.shape)
    if side > 120:  # fine grain of paper and sensor; strokes are wider on a page of this size
        contrast = np.asarray(cv2.GaussianBlur(contrast, (0, 0), min(1.5, side / 300)), np.float32)
    return contrast


def downscale(plane: _Levels, longest_px: int) -> _Levels:
    """Average a picture or plane down until no side is longer than `longest_px`; never enlarge."""
    height, width = plane.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return plane
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast(_Levels, cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _channel_weights(small: Picture) -> Plane:
    """The share of each colour, (1, 3), from its darkest level, its median and its lightest."""
    size = small.shape[0] * small.shape[1]
    counts = [cv2.calcHist([small], [colour], None, [256], [0, 256]) for colour in range(3)]
    no_lighter = np.concatenate(counts).cumsum()  # (768,), one colour after the other
    first = (0, (size - 1) // 2, size // 2, size - 1)
    places = np.array([place + size * colour for colour in range(3) for place in first], np.float32)
    found = np.searchsorted(no_lighter, places, side="right").tolist()
    shows = [
        _channel_contrast(*(level - 256 * colour for level in found[4 * colour : 4 * colour + 4]))
        for colour in range(3)
    ]
    total = sum(shows)
    return np.array([[one / total for one in shows] if total else [1 / 3] * 3], np.float32)


def _channel_contrast(darkest: int, low: int, high: int, lightest: int) -> float:
    """How much a colour shows, from its darkest level, the two in the middle and its lightest."""
    middle = (low + high) / 2
    return max(lightest - middle, middle - darkest) ** 2


def _is_light_on_dark(gray: Plane, small: Plane) -> bool:
    """Ink is the rarer colour: levels lean away from the paper, seen against the whole page and against its light."""
    lowest, highest, _, _ = cv2.minMaxLoc(gray)
    for paper in (highest, lowest):  # drawn rather than scanned: most of it is bare, and of one level
        if 2 * np.count_nonzero(gray == paper) > gray.size:
            return paper == lowest
    smallest = downscale(small, _SMALLEST_PX)
    level = smallest - _illumination_gradient(smallest, bowl=True)
    (middle,) = quantiles(level, 0.5)
    lean = _skewness(level - np.float32(middle))
    if abs(lean) < _CLEAR_SKEWNESS:
        window = max(3, (min(smallest.shape) // 2) | 1)
        lean += _skewness(smallest - cv2.medianBlur(cv2.convertScaleAbs(smallest), window))
    return lean > _DOUBTFUL_SKEWNESS


def _illumination_gradient(levels: Plane, *, bowl: bool) -> Plane:
    """What a lamp from one side does: the plane, or plane and bowl, that fits best, about 0.0."""
    down, across = _basis_functions(levels.shape[0]), _basis_functions(levels.shape[1])
    # On a full grid these are at right angles to each other and to the mean, so each is fitted by itself.
    shares = down @ (levels - levels.mean()) @ across.T / np.float32(levels.size)
    tilt: Plane = down.T @ (shares * (_PLANE_AND_BOWL if bowl else _PLANE)) @ across
    return tilt


_PLANE = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
"""Which products of the shapes down and across a page, (3, 3), are a plane; ..."""
_PLANE_AND_BOWL = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
"""... a plane and a bowl."""


@lru_cache(maxsize=2 * SMALL_PX)
def _basis_functions(length: int) -> Plane:
    """Flat, sloping and bowl along a side, (3, length): at right angles, each of mean square 1, or all 0."""
    side = np.linspace(-1, 1, length)
    slope = side - side.mean()
    bowl = slope**2 - (slope**2).mean()
    shapes = np.stack([np.ones(length), slope, bowl])
    return np.asarray(shapes / np.sqrt(np.maximum((shapes**2).mean(axis=1, keepdims=True), 1e-9)), np.float32)


def _skewness(deviation: Plane) -> float:
    """-1.0 if all the large deviations are to the dark side, 1.0 if to the light side."""
    levels = deviation.ravel()
    squares = levels * levels
    return float(squares @ levels) / max(float(squares @ np.abs(levels)), 1e-9)


def _paper_level(small: Plane, shape: tuple[int, ...]) -> Plane:
    """The paper's own level at each spot, 1..255: what is left when everything narrow and dark is closed over.

    Judged on the small copy; of the page's shape.
    """
    if min(small.shape) >= 3:
        small = np.asarray(cv2.medianBlur(small, 3), np.float32)
    window = max(3, round(max(small.shape) * _STROKE_SHARE) | 1)
    # Beyond the border OpenCV's closing sees nothing, so a mark that runs out of the page counts as narrow, too;
    # so would the darker end of a tilt: the tilt of what is left is taken out, and all is done once more.
    brush = np.ones((window, window), np.uint8)
    rough = np.asarray(cv2.morphologyEx(small, cv2.MORPH_CLOSE, brush), np.float32)
    if rough.min() == rough.max():  # drawn rather than scanned: nothing tilts
        return np.full(shape, max(1, rough.flat[0]), np.float32)
    tilt = _illumination_gradient(rough, bowl=False)
    closed = cv2.morphologyEx(small - tilt, cv2.MORPH_CLOSE, brush) + tilt
    soft = cv2.blur(closed, (window // 2 | 1, window // 2 | 1), borderType=cv2.BORDER_REPLICATE)
    height, width = shape
    return np.asarray(cv2.resize(np.maximum(soft, 1), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def quantiles(levels: Plane, *shares: float) -> list[float]:
    """The levels that these shares of the spots lie below, between two spots by interpolation: as `np.quantile`."""
    return quantiles_of_sorted(np.sort(levels, axis=None), *shares)


def quantiles_of_sorted(ordered: Plane, *shares: float) -> list[float]:
    """The same of levels that are sorted already."""
    last = ordered.size - 1
    found = []
    for share in shares:
        place = last * share
        index = min(int(place), last)
        low, high = ordered[index], ordered[min(index + 1, last)]
        step, beyond = float(high - low), place - index
        found.append(float(high) - step * (1 - beyond) if beyond >= 0.5 else float(low) + step * beyond)
    return found


_WINDOW_SHARE = 0.75
"""The local mean is taken over a square of this share of the crop's shorter side."""
_LEAST_SPREAD = 3.0
"""Gray levels: what varies less than this is noise of the paper, and is not blown up to ink."""
_LIMIT = 4.0


def local_normalize(gray: Plane) -> Plane:
    """Take the light out of a crop, (h, w) in 0..255; gives (h, w), about 0.0 = paper, in -4.0..4.0.

    >>> float(np.abs(flattened(np.full((8, 8), 200, np.float32))).max())
    0.0
    """
    window = max(3, round(min(gray.shape) * _WINDOW_SHARE) | 1)
    # Twice: one box leaves corners of its own, two are nearly a bell.
    local = cv2.blur(
        gray, (window, window), borderType=cv2.BORDER_REFLECT_101 if min(gray.shape) > window else cv2.BORDER_REPLICATE
    )
    flat: Plane = gray - local
    spread = max(cv2.norm(flat) / math.sqrt(flat.size), _LEAST_SPREAD)
    flat /= np.float32(2 * spread)
    np.maximum(flat, -_LIMIT, out=flat)
    np.minimum(flat, _LIMIT, out=flat)
    return flat


def pad_to_square(flat: Plane, side: int, left: int, top: int) -> Plane:
    """A flattened crop at this place of a square, (side, side).

    Its border goes on around it: where paper ends in plain 0.0 there is an edge, and that looks like ink.
    """
    height, width = flat.shape
    right, bottom = side - left - width, side - top - height
    return np.asarray(cv2.copyMakeBorder(flat, top, bottom, left, right, cv2.BORDER_REPLICATE), np.float32)
