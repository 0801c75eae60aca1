"""Page -> ink: 0.0 where there is paper, 1.0 where someone wrote.

A function from a picture to a plane, and nothing else, so that a small network can take its place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import label_components
from digitrec.recognition.line_removal import has_clean_border, remove_dark_borders, remove_ruled_lines
from digitrec.recognition.preprocess import GrayPage, Plane, local_contrast, quantiles_of_sorted

_LEAST_CONTRAST = 0.04
"""Fainter than this against the paper is not taken for writing."""
_LEAST_RANGE = 0.03

# The paper's noise is measured where no ink is even if half the page is: at the 4th and 20th percentile of
# contrast. If it is normal, they lie 1.75 and 0.84 deviations below the level of bare paper in a page half full.
_QUIET, _PAPER = 0.04, 0.20
_DEVIATIONS_BETWEEN = 0.91
_SAMPLE = 12_000
"""Levels are taken from about this many spots."""
_NOISE = 3.2
"""Ink begins this many deviations of the paper's noise above its 20th percentile."""

_LEAST_DEVIATIONS = 4.5
"""Full ink is at least this many above it; the peaks of noise alone reach about 4."""

_FAINTEST_SHARE = 0.15
"""... and at no less than this share of full ink."""
_FULL = 0.5
"""Full ink is this quantile of what is clearly ink: most of a stroke's width is."""

_DARKEST = 0.95
"""... and the darkest ink this one."""

_PALEST_LINE = 0.2
"""Ruled lines paler than this share of full ink are left to the thresholds."""

_STEPS = (0.35, 0.5, 0.65)
"""Where to cut between faint and dark, if the faint spans the page like a net."""


@dataclass(frozen=True, slots=True)
class _InkThresholds:
    """Contrasts on one page."""

    paper: float
    """Up to here it is paper."""
    ink: float
    """From here it is full ink."""
    darkest: float

    @property
    def edge(self) -> float:
        """From here it may be a shadow: soft, and paler than ink, but above the paper's noise."""
        return min(1.5 * self.paper, (self.paper + self.ink) / 2)

    @property
    def line(self) -> float:
        """From here it may be a ruled line. Paler ones are let be: to clear is never quite harmless to the strokes."""
        return self.at(_PALEST_LINE)

    def at(self, share: float) -> float:
        """The contrast of this share of full ink."""
        return self.paper + share * (self.ink - self.paper)


def estimate_ink(page: GrayPage) -> Plane:
    """Find the ink of a page: (h, w) as its gray plane, 0.0 = paper, 1.0 = ink; all 0.0 if nothing is written there."""
    contrast = local_contrast(page)
    levels = _find_thresholds(contrast)
    if levels is not None and not has_clean_border(contrast, min(levels.edge, levels.line)):
        contrast, levels = _remove_printed(contrast, levels)
    if levels is None:
        return np.zeros_like(contrast)
    ink = contrast - np.float32(levels.paper)
    ink /= np.float32(levels.ink - levels.paper)
    np.maximum(ink, 0, out=ink)
    np.minimum(ink, 1, out=ink)
    return ink


def _remove_printed(contrast: Plane, levels: _InkThresholds) -> tuple[Plane, _InkThresholds | None]:
    """A page without edges, lines and nets, and its levels then."""
    bare = remove_dark_borders(contrast, levels.edge)
    found = levels if bare is contrast else _find_thresholds(bare)
    if found is None:
        return bare, None
    clear = remove_ruled_lines(bare, found.line)
    found = found if clear is bare else _find_thresholds(clear)
    return clear, found and _suppress_grid(clear, found)


def _find_thresholds(contrast: Plane) -> _InkThresholds | None:
    """Tell paper from ink; None if there is no ink."""
    step = max(1, round((contrast.size / _SAMPLE) ** 0.5))
    levels = contrast[::step, ::step].flatten()
    # Of the paper's levels only these two quantiles matter, so they are not sorted.
    places = [int((levels.size - 1) * share) for share in (_QUIET, _PAPER)]
    levels.partition(sorted({min(place + after, levels.size - 1) for place in places for after in (0, 1)}))
    quiet, bare = quantiles_of_sorted(levels, _QUIET, _PAPER)
    deviation = (bare - quiet) / _DEVIATIONS_BETWEEN
    paper = bare + _NOISE * deviation
    inked = np.sort(levels[levels > np.float32(max(paper, _LEAST_CONTRAST))])
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
    return _InkThresholds(paper, full, darkest)


def _suppress_grid(contrast: Plane, levels: _InkThresholds) -> _InkThresholds:
    """Raise the paper's level until a grid, paler than the pen, no longer ties everything together."""
    faint = levels.line
    borders = (contrast[:2], contrast[-2:], contrast[:, :2], contrast[:, -2:])
    if sum(bool(border.max() > faint) for border in borders) < 3 or not _spans(contrast > faint)[0]:
        return levels
    for step in _STEPS:
        cut = levels.paper + step * (levels.darkest - levels.paper)
        spans, largest = _spans(contrast > cut)
        if largest > 0.35 * max(contrast.shape) or (not spans and largest > 0.2 * min(contrast.shape)):
            paper = cut - 0.1 * (levels.darkest - levels.paper)
            return _InkThresholds(paper, max(levels.ink, levels.darkest), levels.darkest)
    return levels


def _spans(dark: NDArray[np.bool_]) -> tuple[bool, int]:
    """Whether one mark reaches three borders, and the longest side of the largest that reaches none."""
    height, width = dark.shape
    left, top, right, bottom = label_components(dark).boxes[1:].T
    borders = (left <= 1).astype(int) + (top <= 1) + (right >= width - 1) + (bottom >= height - 1)
    return bool((borders >= 3).any()), int(np.maximum(right - left, bottom - top)[borders == 0].max(initial=0))
