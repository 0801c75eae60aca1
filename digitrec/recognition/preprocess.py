"""Preprocess a picture: gray page, polarity, illumination, local contrast.

Removes the color of paper and pen, light-on-dark polarity and shadows.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
"""One value for each pixel of a page at working size: (h, w)."""

_Levels = TypeVar("_Levels", Picture, Plane)

WORK_PX = 1024
"""Longest side of the working size: a digit of a twentieth of the page still has 50 pixels."""

SMALL_PX = 96
"""Longest side of the small copy, for color weights, paper level and the preview."""
_SMALLEST_PX = 48
"""Longest side of the copy on which polarity is detected."""

_CLEAR_SKEWNESS = 0.8
"""Skewness against the whole page from which the local skewness is not measured: it would outweigh the first on one
page in 10,000, which is noise."""
_DOUBTFUL_SKEWNESS = 0.25
"""Skewness from which writing is light on dark; grain of bare paper seldom has more, light writing has 1 to 2."""
_STROKE_SHARE_UNEVEN = 0.12
"""The same on paper in uneven light."""
_MOST_UNEVEN = 0.12
"""Median contrast from which the light is uneven, or polarity was detected wrongly."""
_STROKE_SHARE_OF_STRIP = 0.7
"""The same, as a share of the shorter side: on a strip of a number."""
_STROKE_SHARE = 0.35
"""Largest width of a stroke, as a share of the page; wider dark areas are shadow on the paper."""


@dataclass(frozen=True, slots=True, eq=False)
class GrayPage:
    """A gray page, its color channels weighted by their contrast: a yellow pen is black in the blue channel."""

    gray: Plane
    """(h, w), 0..255, no side longer than `WORK_PX`."""
    small: Plane
    """The same, no side longer than `SMALL_PX`; not rounded, as rounding adds grain to smooth paper."""
    preview: Picture
    """Small picture with the usual gray weights, (h, w)."""

    @classmethod
    def of(cls, picture: Picture, longest_px: int = WORK_PX, weights: Plane | None = None) -> Self:
        """Convert a picture, (h, w) or (h, w, 3), to a gray page with no side longer than `longest_px`.

        `weights` are those of the color channels, (1, 3); None: by their contrast.
        """
        levels = downscale(picture, longest_px).astype(np.float32)
        small = downscale(levels, SMALL_PX)
        seen = np.asarray(cv2.convertScaleAbs(small), np.uint8)
        if picture.ndim == 2:
            return cls(levels, small, seen)
        weights = _channel_weights(seen) if weights is None else weights
        gray = np.asarray(cv2.transform(levels, weights), np.float32)
        small_grey = gray if small is levels else np.asarray(cv2.transform(small, weights), np.float32)
        return cls(gray, small_grey, np.asarray(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), np.uint8))


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """Small gray page for the fast path, made by fast downscaling."""

    gray: Plane
    """(h, w), 0..255, no side longer than `longest_px`."""
    preview: Picture
    """Picture with the usual gray weights, (h, w), no side longer than `SMALL_PX`."""
    weights: Plane | None
    """Weight of each color channel, (1, 3); None for a gray picture."""

    @classmethod
    def of(cls, picture: Picture, longest_px: int) -> Self:
        """Convert a picture, (h, w) or (h, w, 3), to gray with a longest side of at most `longest_px`."""
        small = _downscale_fast(picture, SMALL_PX)
        tiny = _downscale_fast(small, longest_px)
        if picture.ndim == 2:
            return cls(tiny.astype(np.float32), small, None)
        weights = _channel_weights(tiny)
        gray = np.asarray(cv2.transform(tiny.astype(np.float32), weights), np.float32)
        return cls(gray, np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8), weights)

    def gray_of(self, picture: Picture) -> Plane:
        """Convert the same picture at another size, (h, w) or (h, w, 3), with the same weights: (h, w)."""
        levels = picture.astype(np.float32)
        return levels if self.weights is None else np.asarray(cv2.transform(levels, self.weights), np.float32)


def _downscale_fast(picture: Picture, longest_px: int) -> Picture:
    """Downscale by halving while the picture stays large enough, then by interpolation; never enlarge."""
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


def normalize_page(page: GrayPage) -> tuple[Plane, Plane, Plane]:
    """Return the page dark on light, the paper's level at each pixel and the contrast against it, all (h, w).

    Gray levels are 0..255, contrast is about 0.0 = paper (noise goes below), 1.0 = black.
    """
    is_light = is_light_on_dark(page.gray, page.small)
    candidates = []
    for is_inverted, stroke_share in (
        (is_light, _STROKE_SHARE),
        (not is_light, _STROKE_SHARE),
        (is_light, _STROKE_SHARE_UNEVEN),
    ):
        gray, small = (255 - page.gray, 255 - page.small) if is_inverted else (page.gray, page.small)
        paper = _paper_level(small, gray.shape, stroke_share)
        contrast: Plane = np.subtract(1, np.divide(gray, paper))
        (median,) = quantiles(contrast[::4, ::4], 0.5)
        if median < _MOST_UNEVEN:  # half a page is never ink
            return gray, paper, contrast
        candidates.append((median, gray, paper, contrast))
    return min(candidates, key=lambda candidate: candidate[0])[1:]


def downscale(plane: _Levels, longest_px: int) -> _Levels:
    """Downscale by area averaging until no side is longer than `longest_px`; never enlarge."""
    height, width = plane.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return plane
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast(_Levels, cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _channel_weights(small: Picture) -> Plane:
    """Return the weight of each color channel, (1, 3), from its darkest level, its median and its lightest."""
    size = small.shape[0] * small.shape[1]
    counts = [cv2.calcHist([small], [colour], None, [256], [0, 256]) for colour in range(3)]
    no_lighter = np.concatenate(counts).cumsum()  # (768,), one channel after the other
    first = (0, (size - 1) // 2, size // 2, size - 1)
    ranks = np.array([rank + size * colour for colour in range(3) for rank in first], np.float32)
    levels = np.searchsorted(no_lighter, ranks, side="right").tolist()
    contrasts = [
        _channel_contrast(*(level - 256 * colour for level in levels[4 * colour : 4 * colour + 4]))
        for colour in range(3)
    ]
    total = sum(contrasts)
    return np.array([[contrast / total for contrast in contrasts] if total else [1 / 3] * 3], np.float32)


def _channel_contrast(darkest: int, low: int, high: int, lightest: int) -> float:
    """Rate the contrast of a channel from its darkest level, the two in the middle and its lightest."""
    middle = (low + high) / 2
    return max(lightest - middle, middle - darkest) ** 2


def is_light_on_dark(gray: Plane, small: Plane) -> bool:
    """Detect light writing on dark: ink is rarer than paper, so levels are skewed away from the paper.

    The skewness is measured against the whole page and against the local light.
    """
    lowest, highest, _, _ = cv2.minMaxLoc(gray)
    for paper in (highest, lowest):  # a drawing, not a scan: most of the page has one level
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
    """Fit the illumination gradient: the plane, or plane and paraboloid, of least squares, about 0.0."""
    down, across = _basis_functions(levels.shape[0]), _basis_functions(levels.shape[1])
    # On a full grid the basis functions are orthogonal, so each is fitted by itself.
    shares = down @ (levels - levels.mean()) @ across.T / np.float32(levels.size)
    tilt: Plane = down.T @ (shares * (_PLANE_AND_BOWL if bowl else _PLANE)) @ across
    return tilt


_PLANE = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
"""Products of the basis functions down and across a page, (3, 3), that form a plane."""
_PLANE_AND_BOWL = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
"""Products that form a plane and a paraboloid."""


@lru_cache(maxsize=2 * SMALL_PX)
def _basis_functions(length: int) -> Plane:
    """Return constant, linear and quadratic basis functions of a side, (3, length), orthonormal in the mean."""
    side = np.linspace(-1, 1, length)
    slope = side - side.mean()
    bowl = slope**2 - (slope**2).mean()
    shapes = np.stack([np.ones(length), slope, bowl])
    return np.asarray(shapes / np.sqrt(np.maximum((shapes**2).mean(axis=1, keepdims=True), 1e-9)), np.float32)


def _skewness(deviation: Plane) -> float:
    """Return -1.0 if all large deviations are dark, 1.0 if all are light."""
    levels = deviation.ravel()
    squares = levels * levels
    return float(squares @ levels) / max(float(squares @ np.abs(levels)), 1e-9)


def _paper_level(small: Plane, shape: tuple[int, ...], stroke_share: float = _STROKE_SHARE) -> Plane:
    """Estimate the paper's level at each pixel, (h, w), 1..255, by morphological closing on the small copy."""
    if min(small.shape) >= 3:
        small = np.asarray(cv2.medianBlur(small, 3), np.float32)
    widest = min(stroke_share * max(small.shape), _STROKE_SHARE_OF_STRIP * min(small.shape))
    window = max(3, round(widest) | 1)
    # OpenCV's closing ignores the area beyond the border, so a stroke that runs out of the page counts as narrow.
    # The dark end of an illumination gradient would, too: it is subtracted before the second closing.
    brush = np.ones((window, window), np.uint8)
    rough = np.asarray(cv2.morphologyEx(small, cv2.MORPH_CLOSE, brush), np.float32)
    if rough.min() == rough.max():  # a drawing, not a scan: no gradient
        return np.full(shape, max(1, rough.flat[0]), np.float32)
    tilt = _illumination_gradient(rough, bowl=False)
    closed = cv2.morphologyEx(small - tilt, cv2.MORPH_CLOSE, brush) + tilt
    soft = cv2.blur(closed, (window // 2 | 1, window // 2 | 1), borderType=cv2.BORDER_REPLICATE)
    height, width = shape
    return np.asarray(cv2.resize(np.maximum(soft, 1), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def quantiles(levels: Plane, *shares: float) -> list[float]:
    """Return quantiles of an array, with linear interpolation like `np.quantile`."""
    return quantiles_of_sorted(np.sort(levels, axis=None), *shares)


def quantiles_of_sorted(ordered: Plane, *shares: float) -> list[float]:
    """Return quantiles of a sorted array."""
    last = ordered.size - 1
    values = []
    for share in shares:
        position = last * share
        index = min(int(position), last)
        low, high = ordered[index], ordered[min(index + 1, last)]
        step, beyond = float(high - low), position - index
        values.append(float(high) - step * (1 - beyond) if beyond >= 0.5 else float(low) + step * beyond)
    return values


_WINDOW_SHARE = 0.75
"""Side of the square of the local mean, as a share of the crop's shorter side."""
_LEAST_SPREAD = 3.0
"""Least deviation for normalization, gray levels: noise of bare paper is not amplified to ink."""
_LIMIT = 4.0


def local_normalize(gray: Plane) -> Plane:
    """Subtract the local mean of a crop, (h, w) in 0..255, and divide by its deviation: (h, w), in -4.0..4.0.

    >>> float(np.abs(local_normalize(np.full((8, 8), 200, np.float32))).max())
    0.0
    """
    window = max(3, round(min(gray.shape) * _WINDOW_SHARE) | 1)
    # Twice: two box filters approximate a Gaussian.
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
    """Place a normalized crop in a square, (side, side), padded with its border pixels: an edge would look like ink."""
    height, width = flat.shape
    right, bottom = side - left - width, side - top - height
    return np.asarray(cv2.copyMakeBorder(flat, top, bottom, left, right, cv2.BORDER_REPLICATE), np.float32)
