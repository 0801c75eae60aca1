"""Find the ink of a page again, without any network: contrast against the local paper, and the rules in it.

Nothing is cleaned: what a reader took for dirt, or never saw, is still here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import ConnectedComponents, label_components
from digitrec.recognition.preprocess import Plane, quantiles

Mask = NDArray[np.bool_]
PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom; half open."""


@dataclass(frozen=True, slots=True)
class RawInkParams:
    """Thresholds of the search for raw ink and for rules.

    Contrast is 1 - level / paper level, 0..1. Lengths are shares of h, the median height of the characters read.
    "Noise" is the standard deviation of the contrast on bare paper. Set by hand on synthetic pages (`benchmarks.pages`)
    and on labelled pictures of forms, cheques, pencil and squared paper: the ranges in which nothing changed are wide
    for all but `strong`.
    """

    paper_window: float = 0.8
    """Side of the square of the morphological closing that estimates the paper's level, in h; wider than any stroke."""
    near_paper: float = 0.25
    """Width of the border of paper around a character on which bare paper is measured, in h."""
    own_ink: float = 0.6
    """The reader's ink, 0..1, above which a pixel counts as a character's own."""
    bare_ink: float = 0.1
    """The reader's ink, 0..1, below which a pixel counts as bare paper."""
    strong: float = 0.45
    """Least contrast of strong ink, as a share of the characters' own contrast, 0..1."""
    strong_noise: float = 4.0
    """Least distance of strong ink from bare paper, in multiples of the noise."""
    most_strong: float = 0.7
    """Upper limit of what the noise demands of strong ink, as a share of the characters' own contrast, 0..1."""
    faint: float = 0.22
    """Least contrast of faint ink, as a share of the characters' own; it joins the strong parts of a pencil stroke."""
    faint_noise: float = 3.5
    """Least distance of faint ink from bare paper, in multiples of the noise."""
    least: float = 0.04
    """Least contrast of any ink, 0..1: 10 levels of 255."""
    blank_noise: float = 5.0
    """Least distance of ink from bare paper where no character was read, in multiples of the noise."""
    blank_least: float = 0.08
    """Least contrast of ink where no character was read, 0..1."""
    blank_rules: float = 0.1
    """Least h in the search for rules where no character was read, as a share of the page's shorter side."""
    rule_run: float = 1.15
    """Least length of a straight, thin run that could be a rule, in h; longer than any character."""
    rule_length: float = 2.5
    """Length from which such a run is a rule wherever it stands, in h."""
    rule_hangs: float = 1.8
    """Length from which a run is a rule if one end is at the edge of the picture or at a longer rule, in h.

    With both ends there, any length will do.
    """
    rule_end: float = 0.12
    """Largest gap between the end of a run and the rule it ends at, in h."""
    rule_width: float = 0.4
    """Largest thickness of a rule, in h."""
    short_width: float = 0.12
    """Largest thickness of a rule that is shorter than `rule_run`, in h."""
    unbroken: float = 0.97
    """Least share of ink along an unbroken run, 0..1; with less it is dashed, or a minus and the digits after it."""
    dashed_length: float = 5.0
    """Length from which a dashed run is a rule, in h."""
    broken: float = 0.75
    """Least share of ink along a dashed run that is a rule because it comes from an edge of the picture, 0..1."""
    fewest_dashes: int = 6
    """Rules are searched for on pages with at least this many components, however short these are."""
    rule_gap: float = 0.2
    """Largest gap between the dashes of one rule, in h."""


PARAMS = RawInkParams()
_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True, eq=False)
class RawInk:
    """Ink of one page, all of shape (h, w)."""

    paper: Plane
    """Level of the paper at each pixel, 1..255, the page turned to dark on light."""
    strong: Mask
    faint: Mask
    """Holds `strong`."""
    rules: Mask
    """Pixels that lie on a rule, frame line or table line."""
    threshold: float
    """Contrast from which ink is strong."""
    is_light: bool
    """The writing is lighter than its paper."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Contrast of each pixel of a page against its paper, and of the characters that were read."""

    paper: Plane
    """Level of the paper at each pixel, (h, w), 1..255, the page turned to dark on light."""
    values: Plane
    """(h, w), about 0.0 = paper, 1.0 = black."""
    own: float
    """Mean contrast of the characters' ink, 0..1."""
    bare: Mask
    """Paper around the characters, (h, w)."""
    is_light: bool
    """The writing is lighter than its paper."""


def measure_contrast(gray: Plane, characters: Sequence[PixelBox], ink: Plane, height: float) -> Contrast:
    """Measure the contrast of a page against its paper.

    Args:
        gray: the page, (h, w), 0..255.
        characters: boxes of what was read, inside the page; at least one.
        ink: what the reader took for ink, (h, w), 0.0 = paper, 1.0 = ink; may be all 0.0.
        height: h, pixels.
    """
    p = PARAMS
    margin = max(2, round(p.near_paper * height))
    inked, bare = np.zeros(gray.shape, np.uint8), np.zeros(gray.shape, np.uint8)
    for left, top, right, bottom in characters:
        around = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        inked[top:bottom, left:right] = ink[top:bottom, left:right] > p.own_ink
        bare[around] = ink[around] < p.bare_ink
    x, y, wide, high = cv2.boundingRect(inked)
    own_window = np.s_[y : y + high, x : x + wide]
    has_samples = wide > 0 and cv2.countNonZero(bare) > 0
    if has_samples:
        is_light = cv2.mean(gray[own_window], inked[own_window])[0] > cv2.mean(gray, bare)[0]
    else:
        left, top, right, bottom = characters[0]
        levels = gray[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        low, middle, highest = quantiles(levels, 0.05, 0.5, 0.95)
        is_light = highest - middle > middle - low
    paper, values = _contrast(gray, height, is_light=is_light)
    if has_samples:
        own = cv2.mean(values[own_window], inked[own_window])[0]
    else:
        boxes = [values[top:bottom, left:right] for left, top, right, bottom in characters]
        own = median(quantiles(box, 0.9)[0] for box in boxes)
    return Contrast(paper, values, own, bare.view(np.bool_), is_light)


def find_raw_ink(contrast: Contrast, height: float) -> RawInk:
    """Find the ink of a page as dark, in proportion, as the characters that were read; `height` is h, pixels."""
    p, own, bare = PARAMS, contrast.own, contrast.values[contrast.bare]
    level, noise = _level_and_noise(bare) if bare.size else (0.0, 0.0)
    strong = max(p.strong * own, min(p.most_strong * own, level + p.strong_noise * noise), p.least)
    faint = min(strong, max(p.faint * own, level + p.faint_noise * noise, p.least))
    is_faint = contrast.values > faint
    rules = find_rules(is_faint, height)
    return RawInk(contrast.paper, contrast.values > strong, is_faint, rules, strong, contrast.is_light)


def find_any_ink(gray: Plane, height: float, *, is_light: bool) -> RawInk:
    """Find whatever stands out from a page, (h, w), on which no character was read.

    Args:
        gray: 0..255.
        height: h, pixels.
        is_light: the writing is lighter than the paper.
    """
    # OpenCV's closing ignores the area beyond the border: a speck near a corner would lighten all of the corner.
    margin = _paper_side(height) // 2
    wide = np.asarray(cv2.copyMakeBorder(gray, margin, margin, margin, margin, cv2.BORDER_REPLICATE), np.float32)
    inner = np.s_[margin : margin + gray.shape[0], margin : margin + gray.shape[1]]
    paper, contrast = (np.ascontiguousarray(plane[inner]) for plane in _contrast(wide, height, is_light=is_light))
    level, noise = _level_and_noise(contrast)
    strong = max(PARAMS.blank_least, level + PARAMS.blank_noise * noise)
    faint = min(strong, max(PARAMS.least, level + PARAMS.faint_noise * noise))
    is_faint = contrast > faint
    rules = find_rules(is_faint, max(height, PARAMS.blank_rules * min(gray.shape)), are_held=True)
    rules = cv2.dilate(rules.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return RawInk(paper, contrast > strong, is_faint, rules, strong, is_light)


def _contrast(gray: Plane, height: float, *, is_light: bool) -> tuple[Plane, Plane]:
    """Return the paper's level at each pixel, 1..255, and the contrast against it, about 0.0..1.0; both (h, w)."""
    levels = np.clip(255 - gray if is_light else gray, 0, 255).astype(np.uint8)
    side = _paper_side(height)
    paper = np.maximum(cv2.morphologyEx(levels, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)), 1)
    shares = np.asarray(cv2.divide(levels, paper, dtype=cv2.CV_32F), np.float32)
    return paper.astype(np.float32), np.subtract(1, shares, out=shares)


def _paper_side(height: float) -> int:
    """Return the side of the square that closes over strokes, in pixels; odd."""
    return max(3, round(PARAMS.paper_window * height) | 1)


def _level_and_noise(contrast: Plane) -> tuple[float, float]:
    """Return the median of some contrasts and their standard deviation without outliers, which are ink."""
    (level,) = quantiles(contrast, 0.5)
    (deviation,) = quantiles(np.abs(contrast - np.float32(level)), 0.5)
    return level, _DEVIATION * deviation


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Straight, thin runs of ink along one direction."""

    pieces: ConnectedComponents
    lengths: NDArray[np.intp]
    """(n + 1,), pixels; of number 0 nothing."""
    is_thin: Mask
    """(n + 1,)."""

    def mask_of(self, chosen: Mask) -> Mask:
        """Mark the pixels of some runs, chosen by a mask, (n + 1,)."""
        mask = np.zeros(self.pieces.labels.shape, np.bool_)
        if chosen.any():
            mask.ravel()[self.pieces.pixel_indices] = chosen[self.pieces.pixel_labels]
        return mask


def find_rules(faint: Mask, height: float, *, are_held: bool = False) -> Mask:
    """Mark the pixels of rules, frame lines and table lines, upright or level, slanting by up to about 6 degrees.

    Args:
        faint: ink, (h, w).
        height: h, pixels.
        are_held: a rule that stands alone is none: it could be a 1.
    """
    p = PARAMS
    rules = np.zeros(faint.shape, np.bool_)
    if not _has_long(faint, p.rule_run * height):
        return rules
    runs = [_runs(faint, height), _runs(faint.T, height)]  # of columns, then of rows (transposed)
    is_long = [direction.is_thin & (direction.lengths >= p.rule_length * height) for direction in runs]
    long = [direction.mask_of(is_rule) for is_rule, direction in zip(is_long, runs, strict=True)]
    if not are_held:
        rules |= long[0]
        rules |= long[1].T
    reach = 2 * max(2, round(p.rule_end * height)) + 1
    for direction, is_rule, others in zip(runs, is_long, (long[1].T, long[0].T), strict=True):
        candidates = np.flatnonzero(direction.is_thin if are_held else direction.is_thin & ~is_rule)
        if not candidates.size:
            continue
        labels, boxes = direction.pieces.labels, direction.pieces.boxes
        near = cv2.dilate(others.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        accepted = np.zeros(len(boxes), np.bool_)
        for number in candidates:
            left, top, right, bottom = boxes[number]
            part = near[top:bottom, left:right] & (labels[top:bottom, left:right] == number)
            end = max(1, (bottom - top) // 4)
            begins = bool(part[:end].any()) or top <= 1
            ends = bool(part[-end:].any()) or bottom >= labels.shape[0] - 1
            is_held = (begins or ends) and direction.lengths[number] >= p.rule_hangs * height
            accepted[number] = (begins and ends) or is_held
        held = direction.mask_of(accepted)
        rules |= held if direction is runs[0] else held.T
    return rules


def _has_long(ink: Mask, length: float) -> bool:
    """Tell whether some component is so long, or there are enough short ones for a dashed line."""
    count, labels = cv2.connectedComponents(ink.view(np.uint8), connectivity=8)
    if count > PARAMS.fewest_dashes:
        return True
    boxes = [cv2.boundingRect((labels == number).view(np.uint8)) for number in range(1, count)]
    return any(max(wide, high) >= length for _, _, wide, high in boxes)


def _runs(ink: Mask, height: float) -> _Runs:
    """Find the runs of ink along columns, with gaps closed."""
    p, rows = PARAMS, ink.shape[0]
    run = min(max(4, round(p.rule_run * height)), max(4, rows - 2))
    gap = max(2, round(p.rule_gap * height)) + 1
    spots = np.ascontiguousarray(ink).view(np.uint8)
    wide = cv2.dilate(spots, np.ones((1, 3), np.uint8))  # a slant moves over by a pixel now and then
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((gap, 1), np.uint8))
    line = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((run, 1), np.uint8)) > 0
    pieces = label_components(line)
    lengths = pieces.boxes[:, 3] - pieces.boxes[:, 1]
    thick = pieces.areas / np.maximum(lengths, 1)  # two pixels of it are the dilation's
    most = np.where(lengths >= p.rule_run * height, p.rule_width * height, p.short_width * height) + 2
    is_thin = (lengths > 0) & (thick < most)
    inked = np.bincount(pieces.pixel_labels, weights=wide.ravel()[pieces.pixel_indices], minlength=len(lengths))
    at_edge = (pieces.boxes[:, 1] <= 1) | (pieces.boxes[:, 3] >= rows - 1)
    areas = np.maximum(pieces.areas, 1)
    is_rule = (inked > p.unbroken * areas) | (at_edge & (inked > p.broken * areas))
    is_thin &= is_rule | (lengths >= p.dashed_length * height)
    is_thin[0] = False
    return _Runs(pieces, lengths, is_thin)
