"""Page -> ink: 0.0 where there is paper, 1.0 where someone wrote.

A function from a picture to a plane, and nothing else, so that a small network can take its place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.imaging.contrast import SMALL_PX, Plane, contrast_of, in_order, smaller
from digitrec.imaging.lines import without_edges, without_lines
from digitrec.imaging.pieces import pieces_of
from digitrec.pictures import Picture

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
class _Levels:
    """Contrasts on one page."""

    paper: float
    """Up to here it is paper."""
    ink: float
    """From here it is full ink."""
    darkest: float

    def at(self, share: float) -> float:
        """The contrast of this share of full ink."""
        return self.paper + share * (self.ink - self.paper)


def find(picture: Picture, small: Picture | None = None) -> Plane:
    """Find the ink of a page: (h, w), 0.0 = paper, 1.0 = ink; all 0.0 if nothing is written there.

    The plane has the page's proportions and is no larger than `contrast.WORK_PX`.

    Args:
        picture: the page.
        small: the page, no side longer than `contrast.SMALL_PX`; None: it is made here.
    """
    contrast = contrast_of(picture, smaller(picture, SMALL_PX) if small is None else small)
    levels = _levels(contrast)
    for cleaned in (_without_edges, _without_lines):
        if levels is None:
            break
        cleaner = cleaned(contrast, levels)
        if cleaner is not contrast:
            contrast, levels = cleaner, _levels(cleaner)
    if levels is None:
        return np.zeros_like(contrast)
    levels = _above_net(contrast, levels)
    ink = contrast - np.float32(levels.paper)
    ink /= np.float32(levels.ink - levels.paper)
    return np.clip(ink, 0, 1, out=ink)


def _without_edges(contrast: Plane, levels: _Levels) -> Plane:
    """Shadows are soft and may be paler than ink: what is one and a half times above the paper's noise counts."""
    return without_edges(contrast, min(1.5 * levels.paper, (levels.paper + levels.ink) / 2))


def _without_lines(contrast: Plane, levels: _Levels) -> Plane:
    """Lines so pale that they count as paper need no clearing, which is never quite harmless to the strokes."""
    return without_lines(contrast, levels.at(_PALEST_LINE))


def _levels(contrast: Plane) -> _Levels | None:
    """Tell paper from ink; None if there is no ink."""
    step = max(1, round((contrast.size / _SAMPLE) ** 0.5))
    ordered = np.sort(contrast[::step, ::step], axis=None)
    quiet, bare = in_order(ordered, _QUIET, _PAPER)
    deviation = (bare - quiet) / _DEVIATIONS_BETWEEN
    paper = bare + _NOISE * deviation
    inked = ordered[np.searchsorted(ordered, np.float32(max(paper, _LEAST_CONTRAST)), side="right") :]
    if inked.size < 4:
        return None
    grades = np.clip(inked * 255, 0, 255).astype(np.uint8)
    split, _ = cv2.threshold(grades.reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    clear = inked[np.searchsorted(grades, np.uint8(split), side="right") :]
    (full,) = in_order(clear if clear.size else inked, _FULL)
    paper = max(paper, _FAINTEST_SHARE * full)
    if full - paper < _LEAST_RANGE or full < bare + _LEAST_DEVIATIONS * deviation:
        return None
    (darkest,) = in_order(inked, _DARKEST)
    return _Levels(paper, full, darkest)


def _above_net(contrast: Plane, levels: _Levels) -> _Levels:
    """Raise the paper's level until a grid, paler than the pen, no longer ties everything together."""
    faint = levels.at(0.2)
    borders = (contrast[:2], contrast[-2:], contrast[:, :2], contrast[:, -2:])
    if sum(bool(border.max() > faint) for border in borders) < 3 or not _spans(contrast > faint)[0]:
        return levels
    for step in _STEPS:
        cut = levels.paper + step * (levels.darkest - levels.paper)
        spans, largest = _spans(contrast > cut)
        if largest > 0.35 * max(contrast.shape) or (not spans and largest > 0.2 * min(contrast.shape)):
            paper = cut - 0.1 * (levels.darkest - levels.paper)
            return _Levels(paper, max(levels.ink, levels.darkest), levels.darkest)
    return levels


def _spans(dark: NDArray[np.bool_]) -> tuple[bool, int]:
    """Whether one mark reaches three borders, and the longest side of the largest that reaches none."""
    height, width = dark.shape
    left, top, right, bottom = pieces_of(dark).boxes[1:].T
    borders = (left <= 1).astype(int) + (top <= 1) + (right >= width - 1) + (bottom >= height - 1)
    return bool((borders >= 3).any()), int(np.maximum(right - left, bottom - top)[borders == 0].max(initial=0))
