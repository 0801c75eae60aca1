"""Find the contrast from which a page shows ink."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import label_components
from digitrec.recognition.preprocess import Plane, quantiles_of_sorted

_LEAST_CONTRAST = 0.04
"""Least contrast of ink."""
_LEAST_RANGE = 0.03

# The paper's noise is measured at the 4th and 20th percentile of contrast, which are paper even if half the page is
# ink. With normal noise they lie 1.75 and 0.84 deviations below the level of bare paper of such a page.
_QUIET, _PAPER = 0.04, 0.20
_DEVIATIONS_BETWEEN = 0.91
_SAMPLE = 12_000
"""Approximate number of pixels that are sampled."""
_NOISE = 3.2
"""Ink begins this many standard deviations of the noise above the 20th percentile."""

_LEAST_DEVIATIONS = 4.5
"""Least distance of full ink from it, in standard deviations; the peaks of noise reach about 4."""

_FAINTEST_SHARE = 0.15
"""Least contrast at which ink begins, as a share of full ink."""
_FULL = 0.5
"""Quantile of clear ink that is full ink: most of a stroke's width is."""

_DARKEST = 0.95
"""Quantile of the ink that is its darkest level."""

_GRID = 0.2
"""Least contrast of a grid that is suppressed, as a share of full ink."""

_STEPS = (0.35, 0.5, 0.65)
"""Thresholds to try between paper and the darkest ink, if faint ink spans the page like a grid."""


@dataclass(frozen=True, slots=True)
class InkThresholds:
    """Thresholds of contrast for one page."""

    paper: float
    """Largest contrast of paper."""
    ink: float
    """Least contrast of full ink."""
    darkest: float

    def at(self, share: float) -> float:
        """Return the contrast at a share of full ink."""
        return self.paper + share * (self.ink - self.paper)


def find_thresholds(contrast: Plane) -> InkThresholds | None:
    """Find the thresholds between paper and ink; None if there is no ink."""
    step = max(1, round((contrast.size / _SAMPLE) ** 0.5))
    levels = np.sort(contrast[::step, ::step], axis=None)  # with AVX, three times as fast as partitioning
    quiet, bare = quantiles_of_sorted(levels, _QUIET, _PAPER)
    deviation = (bare - quiet) / _DEVIATIONS_BETWEEN
    paper = bare + _NOISE * deviation
    inked = levels[np.searchsorted(levels, np.float32(max(paper, _LEAST_CONTRAST)), side="right") :]
    if inked.size < 4:
        return None
    grades = np.clip(inked * 255, 0, 255).astype(np.uint8)
    split, _ = cv2.threshold(grades.reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    clear = inked[np.searchsorted(grades, np.uint8(split), side="right") :]
    (full,) = quantiles_of_sorted(clear if clear.size else inked, _FULL)
    paper = max(paper, _FAINTEST_SHARE * full)
    if full - paper < _LEAST_RANGE or full < bare + _LEAST_DEVIATIONS * deviation:
        return None
    (darkest,) = quantiles_of_sorted(inked, _DARKEST)
    return InkThresholds(paper, full, darkest)


def suppress_grid(contrast: Plane, levels: InkThresholds) -> InkThresholds:
    """Raise the paper's threshold until a grid, paler than the pen, no longer connects everything."""
    faint = levels.at(_GRID)
    borders = (contrast[:2], contrast[-2:], contrast[:, :2], contrast[:, -2:])
    if sum(bool(border.max() > faint) for border in borders) < 3 or not _spans(contrast > faint)[0]:
        return levels
    for step in _STEPS:
        cut = levels.paper + step * (levels.darkest - levels.paper)
        spans, largest = _spans(contrast > cut)
        if largest > 0.35 * max(contrast.shape) or (not spans and largest > 0.2 * min(contrast.shape)):
            paper = cut - 0.1 * (levels.darkest - levels.paper)
            return InkThresholds(paper, max(levels.ink, levels.darkest), levels.darkest)
    return levels


def _spans(dark: NDArray[np.bool_]) -> tuple[bool, int]:
    """Return whether a component reaches three borders, and the longest side of the largest that reaches none."""
    height, width = dark.shape
    left, top, right, bottom = label_components(dark).boxes[1:].T
    borders = (left <= 1).astype(int) + (top <= 1) + (right >= width - 1) + (bottom >= height - 1)
    return bool((borders >= 3).any()), int(np.maximum(right - left, bottom - top)[borders == 0].max(initial=0))
