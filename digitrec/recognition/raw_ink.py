"""Find the ink of a page again, without any network: contrast against the local paper, and the rules in it.

Nothing is cleaned: what a reader took for dirt, or never saw, is still here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.recognition.geometry import PixelBox
from digitrec.recognition.preprocess import Mask, Plane, quantiles
from digitrec.recognition.rules import find_rules


class RawInkParams(NamedTuple):
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
    rules = _rule_mask(is_faint, height)
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
    rules = _rule_mask(is_faint, max(height, PARAMS.blank_rules * min(gray.shape)), are_held=True)
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


def _rule_mask(faint: Mask, height: float, *, are_held: bool = False) -> Mask:
    """Return the pixels on rules, (h, w); see `find_rules`."""
    rules = find_rules(faint, height, are_held=are_held)
    return np.zeros(faint.shape, np.bool_) if rules is None else rules.mask
