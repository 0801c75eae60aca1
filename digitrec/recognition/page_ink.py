"""Find the ink of a page: without what is around the sheet, and without rules."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.binarize import InkThresholds, find_thresholds, suppress_grid
from digitrec.recognition.components import ConnectedComponents, is_hollow, label_components
from digitrec.recognition.pale_lines import find_pale_lines
from digitrec.recognition.preprocess import GrayPage, Mask, Plane, downscale, is_light_on_dark, normalize_page
from digitrec.recognition.rules import Rules, find_rules, paint_rules
from digitrec.recognition.sheet import find_margins, has_marks_around, paint_margins
from digitrec.recognition.text_height import estimate_height, text_height


class PageInkParams(NamedTuple):
    """Sizes and thresholds of the search for ink; lengths are shares of h, the median height of the characters."""

    work_px: int = 512
    """Longest side of the page at which ink is searched, pixels."""
    most_px: int = 3000
    """The same on a page with small characters."""
    small_px: float = 28.0
    """h below which the page is read in a larger size, pixels."""
    fine_px: float = 36.0
    """h in that size, pixels."""
    inked: float = 0.22
    """Ink, 0..1, from which h is measured."""
    ruled: float = 0.12
    """Ink, 0..1, from which rules are searched: they are often pale."""
    clear: float = 0.5
    """Ink, 0..1, of clear strokes."""
    blur_px: float = 1.5
    """Largest standard deviation of the blur against grain, pixels; strokes are wider on a page of full size."""
    blur: float = 0.03
    """The same, on a page of several characters."""
    sharp_px: int = 120
    """Shorter side up to which a page is not blurred, pixels."""
    local: float = 6.0
    """Longest side of a page of several characters above which the paper's level is measured at their scale."""
    spanned: float = 0.5
    """Length of a component, as a share of the page's side, from which the light may be uneven."""
    uneven_px: int = 200
    """Longest side of a page from which it may hold many small characters, pixels."""
    most_lines: float = 25.0
    """Longest side of a page of many small characters, over the guess of their height."""
    shadow: float = 0.004
    """Least area of a shadow or of a dark edge, as a share of the page's."""
    rarer: float = 2.0
    """How many times more components there are if the page is light on dark, although it looks dark on light."""
    least_ink: float = 0.1
    """Least contrast of small characters, 0..1: blotches of the paper are paler."""
    many: int = 8
    """Number of components about as high as h on such a page."""
    fewest: int = 3
    """Number of components about as high as h from which a page holds several characters."""
    least_frame_px: int = 24
    """Least side of a frame around a character, pixels."""
    framed: float = 0.3
    """Least height of a character in a frame, as a share of its height."""
    frame_border: float = 0.2
    """Width of the border that holds a frame, as a share of each side."""
    pale: float = 0.5
    """Contrast of rules in one color channel, as a share of the writing's, below which that channel is used."""
    paler: float = 0.6
    """The same, as a share of the median over the channels."""


PARAMS = PageInkParams()


@dataclass(frozen=True, slots=True, eq=False)
class PageInk:
    """Ink of a page and what was painted out; all planes are (h, w)."""

    gray: Plane
    """The page, dark on light, 0..255, margins and rules painted out with the paper's level."""
    unpainted: Plane
    """The same with its rules."""
    ink: Plane
    """0.0 = paper, 1.0 = ink."""
    height: float
    """Estimated median height of the characters, pixels; 0.0 on a blank page."""
    margins: Mask | None
    """What is around the sheet of paper; None if the paper fills the picture."""
    rules: Rules | None
    preview: Picture
    """Small gray picture of the whole page."""
    has_marks_around: bool
    """What is around the sheet may be written on."""


@dataclass(frozen=True, slots=True, eq=False)
class _Contrast:
    """Contrast of a page against its paper."""

    gray: Plane
    """Dark on light, 0..255."""
    paper: Plane
    """Level of the paper at each pixel."""
    values: Plane
    """About 0.0 = paper, 1.0 = black."""
    levels: InkThresholds | None
    """None on a blank page."""
    height: float
    """Estimated median height of the characters, pixels."""
    margins: Mask | None = None


def find_page_ink(
    picture: Picture, decode_larger: Callable[[int], Picture] | None = None, margins: Mask | None = None
) -> PageInk:
    """Find the ink of a page.

    Args:
        picture: the page, (h, w) or (h, w, 3), dark on light or light on dark.
        decode_larger: decodes it again with a least longest side; None if it has its full size.
        margins: what is around the sheet, (h, w); None: it is searched.

    Raises:
        RejectedImage: the picture cannot be decoded in a larger size.
    """
    p = PARAMS
    levels = downscale(picture, p.work_px)
    page = GrayPage.of(levels, p.work_px)
    contrast = _measure_contrast(page, levels, margins)
    if (max(picture.shape) > p.work_px or decode_larger is not None) and 0 < contrast.height < p.small_px:
        size = min(p.most_px, round(max(contrast.gray.shape) * p.fine_px / contrast.height))
        picture = picture if decode_larger is None else decode_larger(size)
        levels = downscale(picture, size)
        large = GrayPage.of(levels, size)
        guess = contrast.height * max(large.gray.shape) / max(contrast.gray.shape)
        contrast = _measure_contrast(large, levels, margins, guess)
    rules = _find_rules(contrast)
    if rules is not None and contrast.levels is not None and levels.ndim == 3:
        weights = _pale_rule_channel(levels, contrast.values > contrast.levels.at(p.clear), rules.mask)
        if weights is not None:
            channel = GrayPage.of(levels, max(levels.shape), weights)
            contrast = _measure_contrast(channel, levels, margins, contrast.height)
            rules = _find_rules(contrast)
    painted = contrast if rules is None else _paint_rules(contrast, rules)
    return PageInk(
        gray=painted.gray,
        unpainted=contrast.gray,
        ink=_to_ink(_measure_framed(painted)),
        height=contrast.height,
        margins=contrast.margins,
        rules=rules,
        preview=page.preview,
        has_marks_around=margins is None and _has_marks_around(page, contrast),
    )


def _measure_contrast(page: GrayPage, picture: Picture, known: Mask | None, height: float | None = None) -> _Contrast:
    """Measure the contrast of a page without what is around the sheet; `height` is h if it was measured before."""
    margins = find_margins(page.gray, picture) if known is None else _resize(known, page.gray.shape)
    if margins is not None:
        gray = paint_margins(page.gray, margins)
        painted = replace(page, gray=gray, small=downscale(gray, max(page.small.shape)))
        contrast = _contrast_of(painted, height, is_sheet=True)
        # On a dark page in uneven light, the light may look like a sheet: nothing is written on it.
        if contrast.levels is not None or not is_light_on_dark(page.gray, page.small):
            return replace(contrast, margins=margins)
    return _contrast_of(page, height)


def _resize(mask: Mask, shape: tuple[int, ...]) -> Mask:
    return np.asarray(cv2.resize(mask.view(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0, np.bool_)


def _contrast_of(page: GrayPage, guess: float | None, *, is_sheet: bool = False) -> _Contrast:
    """Measure the contrast of a page; on one of several characters again, at their scale.

    On a light sheet, small components that are lighter than the paper are its grain.
    """
    p = PARAMS
    gray, paper, values = normalize_page(page)
    side = min(gray.shape)
    sigma = min(p.blur_px, p.blur_px * side / 450) if side > p.sharp_px else 0.0
    blurred = _blur(values, sigma)
    levels = find_thresholds(blurred)
    boxes, has_shadow = None, True
    if levels is not None:
        inked = blurred > levels.at(p.inked)
        pieces = label_components(inked)
        boxes, has_shadow = pieces.boxes[1:], _has_shadow(pieces)
        del pieces  # of a large page it takes 20 MB
    if max(gray.shape) >= p.uneven_px and has_shadow:
        guess = max(gray.shape) / p.most_lines if guess is None else guess
        (alike, height), is_light = _count_small(gray, guess, sigma), False
        if not is_sheet:
            light = _count_small(255 - gray, guess, sigma)
            if light[0] > p.rarer * alike:
                (alike, height), is_light = light, True
        if alike >= p.many:
            contrast = _local_contrast(255 - gray if is_light else gray, height, sigma)
            if contrast.levels is not None and contrast.levels.ink >= p.least_ink:
                return contrast
    if levels is None or boxes is None:
        return _Contrast(gray, paper, blurred, None, 0.0)
    height = estimate_height(inked, boxes)
    # A bare digit keeps the contrast from which the crops of training were made.
    if np.count_nonzero(_are_alike(boxes, height, 2.0)) < p.fewest:
        return _Contrast(gray, paper, blurred, levels, height)
    if p.local * height < max(gray.shape):
        return _local_contrast(gray, height, sigma)
    blurred = _blur(values, min(sigma, p.blur * height))
    return _Contrast(gray, paper, blurred, find_thresholds(blurred), height)


def _has_marks_around(page: GrayPage, contrast: _Contrast) -> bool:
    return contrast.margins is not None and has_marks_around(page.gray, contrast.margins)


def _has_shadow(pieces: ConnectedComponents) -> bool:
    """Return True if a component is large enough for a shadow: it spans a large part of the page and is no frame."""
    p, (rows, columns) = PARAMS, pieces.labels.shape
    widths, heights = pieces.boxes[:, 2] - pieces.boxes[:, 0], pieces.boxes[:, 3] - pieces.boxes[:, 1]
    spans = np.maximum(widths / columns, heights / rows) > p.spanned
    return bool((spans & (pieces.areas > p.shadow * rows * columns)).any())


def _count_small(gray: Plane, guess: float, sigma: float) -> tuple[int, float]:
    """Return the number of components about as high as h and h, in pixels, as on a page of many small characters.

    They are about as high as a guess, in pixels; if they are much higher, the number is 0.
    """
    contrast = _local_contrast(gray, guess, sigma)
    if contrast.levels is None:
        return 0, guess
    boxes = label_components(contrast.values > contrast.levels.at(PARAMS.inked)).boxes[1:]
    height = text_height(boxes, gray.shape)
    return 0 if height > 2 * guess else int(np.count_nonzero(_are_alike(boxes, height, 1.6))), height


def _local_contrast(gray: Plane, height: float, sigma: float) -> _Contrast:
    """Measure the contrast against the paper next to each character."""
    paper = _local_paper(gray, height)
    values = _blur(np.asarray(1 - gray / paper, np.float32), min(sigma, PARAMS.blur * height))
    return _Contrast(gray, paper, values, find_thresholds(values), height)


def _are_alike(boxes: NDArray[np.intp], height: float, most: float) -> Mask:
    """Tell for which components the height differs from h at most by a factor, (n,)."""
    heights = boxes[:, 3] - boxes[:, 1]
    return (heights >= height / most) & (heights <= most * height)


def _blur(values: Plane, sigma: float) -> Plane:
    """Blur grain away; a standard deviation that changes nothing is skipped."""
    return values if sigma < 0.3 else np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def _find_rules(contrast: _Contrast) -> Rules | None:
    """Find rules among the ink, faint ink too; None without any, or on a blank page."""
    if contrast.levels is None:
        return None
    inked = contrast.values > contrast.levels.at(PARAMS.ruled)
    rules = find_rules(inked, contrast.height)
    if rules is not None and rules.are_table(contrast.height):
        return rules
    clear = contrast.values > contrast.levels.at(PARAMS.clear)
    boxes = label_components(clear).boxes[1:]
    alike = boxes[_are_alike(boxes, contrast.height, 1.6)]
    if len(alike) < PARAMS.many:
        return rules
    lines = find_pale_lines(contrast.values, clear, alike, contrast.height)
    return find_rules(inked | lines, contrast.height) if lines.any() else rules


def _paint_rules(contrast: _Contrast, rules: Rules) -> _Contrast:
    """Give rules the paper's level, and find the thresholds of what is left."""
    values = paint_rules(contrast.values, rules, contrast.height)
    gray = contrast.gray + (contrast.values - values) * contrast.paper
    return replace(contrast, gray=gray, values=values, levels=find_thresholds(values))


def _measure_framed(contrast: _Contrast) -> _Contrast:
    """Find the thresholds of the writing in frames that are darker than it; if there are none, change nothing."""
    p, values = PARAMS, contrast.values
    if contrast.levels is None:
        return contrast
    pieces = label_components(values > contrast.levels.at(p.inked))
    widths, heights = pieces.boxes[:, 2] - pieces.boxes[:, 0], pieces.boxes[:, 3] - pieces.boxes[:, 1]
    frames = np.zeros(len(heights), np.bool_)
    for number in np.flatnonzero(np.minimum(widths, heights) >= p.least_frame_px).tolist():
        left, top, right, bottom = pieces.boxes[number].tolist()
        is_inside = (pieces.boxes[:, :2] > (left, top)).all(axis=1) & (pieces.boxes[:, 2:] < (right, bottom)).all(
            axis=1
        )
        is_inside &= heights >= p.framed * (bottom - top)
        if number and is_inside[1:].any():
            frames[number] = is_hollow(pieces.labels[top:bottom, left:right] == number, p.frame_border)
    if not frames.any():
        return contrast
    mask = np.zeros(values.shape, np.uint8)
    mask.ravel()[pieces.pixel_indices] = frames[pieces.pixel_labels]
    rest = np.where(cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0, np.float32(0), values)
    levels = find_thresholds(rest)
    return contrast if levels is None else replace(contrast, levels=levels)


def _to_ink(contrast: _Contrast) -> Plane:
    """Convert contrast to ink, 0.0 = paper, 1.0 = ink."""
    if contrast.levels is None:
        return np.zeros_like(contrast.values)
    levels = suppress_grid(contrast.values, contrast.levels)
    ink = contrast.values - np.float32(levels.paper)
    ink /= np.float32(levels.ink - levels.paper)
    np.maximum(ink, 0, out=ink)
    np.minimum(ink, 1, out=ink)
    return ink


def _pale_rule_channel(levels: Picture, inked: Mask, rules: Mask) -> Plane | None:
    """Return the weights of the channel in which rules, (h, w), are pale against other ink; None if there is none."""
    written, printed, bare = inked & ~rules, inked & rules, ~(inked | rules)
    if not (written.any() and printed.any() and bare.any()):
        return None
    paper = _median_levels(levels, bare)
    drop = np.stack([paper - _median_levels(levels, mask) for mask in (printed, written)])  # (2, 3)
    ratios = np.where(drop[1] > 0.3 * np.abs(drop[1]).max(), drop[0] / np.maximum(drop[1], 1e-6), np.inf)
    best = int(np.argmin(ratios))
    if ratios[best] > PARAMS.pale or ratios[best] > PARAMS.paler * float(np.median(ratios)):
        return None
    return np.eye(3, dtype=np.float32)[best : best + 1]


def _median_levels(levels: Picture, mask: Mask) -> NDArray[np.float32]:
    """Return the median of each color channel, (3,), in the pixels of a mask; levels: (h, w, 3)."""
    spots = mask.view(np.uint8)
    counts = [cv2.calcHist([levels], [channel], spots, [256], [0, 256]).cumsum() for channel in range(3)]
    middle = [(np.count_nonzero(mask) - 1) // 2, np.count_nonzero(mask) // 2]  # the same one of an odd number
    return np.array([np.searchsorted(no_lighter, middle, side="right").mean() for no_lighter in counts], np.float32)


def _local_paper(gray: Plane, height: float) -> Plane:
    """Return the level of the paper next to each pixel: strokes as wide as those of characters are closed."""
    scale = min(1.0, 20 / height)
    small = downscale(gray, max(1, round(scale * max(gray.shape))))
    clean = cv2.medianBlur(cv2.convertScaleAbs(small), 3)
    side = max(3, round(height * scale) | 1)
    closed = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    soft = cv2.blur(np.maximum(closed, 1).astype(np.float32), (side | 1, side | 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, gray.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
