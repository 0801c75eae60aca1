"""What is printed or cast on a page and is no writing: ruled lines, grids, the frame of a cell, dark edges.

All of it runs from border to border, which digits hardly ever do. Planes here are contrast as `contrast` gives it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.preprocess import Plane

_BORDER = 3
"""Pixels along a border that a dark edge begins within."""
_EDGE_DEPTH = 0.25
"""A dark edge is at most this share of the page deep ..."""
_EDGE_COVERS = 0.7
"""... and begins on at least this share of the border's length ..."""
_EDGE_FADES = 0.5
"""... and goes on inwards for as long as it covers this share."""

_LINE_THICK = 0.03
"""A ruled line is at most this share of the page thick."""
_PROBE = 0.05
"""Lines are looked for where they cross strips of this share of the page: along the borders ..."""
_INSET = 0.12
"""... and this far inside, for lines that stop short of the border."""
_SLANT = 0.15
_COVERED, _COVERED_INSIDE = 0.85, 0.93
"""Share of a line's course that must be dark; more for one that does not reach both borders."""
_MOST_PAIRS = 2500
_DARKER = 1.5
"""Ink this many times darker than a line is writing that lies on it."""


@dataclass(frozen=True, slots=True)
class _RuledLine:
    """A line across a plane: its height at the left and right border, and what lies around it."""

    left: float
    right: float
    level: float
    """Its contrast."""
    above: int
    below: int
    """Where it begins and ends, pixels from its middle."""


def has_clean_border(contrast: Plane, dark: float) -> bool:
    """Nothing so dark lies near any border: so there are no edges to clear, no lines, and no net."""
    height, width = contrast.shape
    down, across = max(_BORDER, round(height * _PROBE)), max(_BORDER, round(width * _PROBE))
    borders = (contrast[:down], contrast[:, :across], contrast[-_BORDER:], contrast[:, -_BORDER:])
    return all(cv2.minMaxLoc(border)[1] <= dark for border in borders)


def remove_dark_borders(contrast: Plane, dark: float) -> Plane:
    """Clear the dark bands along the borders: a cell's frame, a page's shadow, a scanner's lid.

    `dark` is the contrast from which a spot counts as dark. Gives `contrast` itself if there is nothing to clear.
    """
    cleared = contrast
    borders = (contrast[:_BORDER], contrast[:, -_BORDER:], contrast[-_BORDER:], contrast[:, :_BORDER])
    for quarter, border in enumerate(borders):
        if border.max() <= dark:  # as on most pages
            continue
        side = _rotated_view(cleared, quarter)  # its first rows lie along this border
        depth, margin = int(side.shape[0] * _EDGE_DEPTH), side.shape[1] // 8
        inner = side[: depth + 1, margin : side.shape[1] - margin]
        begins = np.flatnonzero(_row_coverage(inner[:_BORDER] > dark) >= _EDGE_COVERS)
        if begins.size == 0:
            continue
        covered = _row_coverage(inner > dark)
        ends = np.flatnonzero(covered[begins[0] :] < _EDGE_FADES)
        if ends.size:  # else it is no edge but a large dark part of the page
            cleared = cleared.copy() if cleared is contrast else cleared
            _rotated_view(cleared, quarter)[: begins[0] + ends[0] + 1] = 0
    return cleared


def _rotated_view(plane: Plane, quarter: int) -> Plane:
    """A view of the plane as `np.rot90` gives it, which takes ten times as long."""
    turned = plane.T if quarter % 2 else plane
    return turned[:: 1 if quarter in {0, 3} else -1, :: 1 if quarter < 2 else -1]


def _row_coverage(dark: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much of each row is True."""
    shares: NDArray[np.float64] = np.count_nonzero(dark, axis=1) / dark.shape[1]
    return shares


def remove_ruled_lines(contrast: Plane, dark: float) -> Plane:
    """Clear ruled lines and grids, and mend the strokes that crossed them; `contrast` itself if there are none."""
    thick = max(2, round(_LINE_THICK * max(contrast.shape)))
    across = _find_lines(contrast, dark, thick, is_ruled=False)
    down = _find_lines(contrast.T, dark, thick, is_ruled=len(across) > 1)
    if len(down) > 1 and not across:
        across = _find_lines(contrast, dark, thick, is_ruled=True)
    if len(down) == 1 and not across and 0.2 < (down[0].left + down[0].right) / 2 / contrast.shape[1] < 0.8:
        down = []  # a lone upright through the middle is a tall 1, or the stem of a 4
    for line in across:
        contrast = _erase_line(contrast, line)
    for line in down:
        contrast = np.ascontiguousarray(_erase_line(np.ascontiguousarray(contrast.T), line).T)
    return contrast


def _find_lines(contrast: Plane, dark: float, thick: int, *, is_ruled: bool) -> list[_RuledLine]:
    """The lines from left to right; those that stop short of a border only if the page is known to be ruled."""
    courses: list[tuple[float, float]] = []
    for reaches, left, right in _find_straight_lines(contrast, dark, thick, is_ruled=is_ruled):
        is_new = all(abs(left - y0) > thick or abs(right - y1) > thick for y0, y1 in courses)
        crosses = any((left - y0) * (right - y1) < 0 for y0, y1 in courses)
        if is_new and not crosses and (reaches or is_ruled or courses):
            courses.append((left, right))
    measured = (_measure_line(contrast, left, right, thick) for left, right in courses)
    return [line for line in measured if line.level >= dark and line.below - line.above + 1 <= thick + 1]


def _find_straight_lines(
    contrast: Plane, dark: float, thick: int, *, is_ruled: bool
) -> list[tuple[bool, float, float]]:
    """Straight courses that are dark nearly throughout, surest first: (reaches both borders, height left, right).

    None at all if no course reaches both borders and the page is not known to be ruled.
    """
    height, width = contrast.shape
    strip, inset = max(2, round(width * _PROBE)), round(width * _INSET)

    def crossings(x: int) -> list[tuple[float, float]]:
        return [*_find_crossings(contrast[:, x : x + strip] > dark, x, thick)]

    starts = crossings(0)
    ends = crossings(width - strip) if starts or is_ruled else []
    if not (is_ruled or ends):  # as on most pages
        return []
    starts += crossings(inset)
    ends += crossings(width - strip - inset)
    if width < 8 or not 0 < len(starts) * len(ends) <= _MOST_PAIRS:
        return []
    thickened = cv2.dilate((contrast > dark).view(np.uint8), np.ones((3, 1), np.uint8))
    found = []
    for y_start, x_start in starts:
        for y_end, x_end in ends:
            slope = (y_end - y_start) / (x_end - x_start)
            if abs(slope) > _SLANT:
                continue
            xs = np.arange(int(x_start), int(x_end) + 1)
            ys = np.clip(np.rint(y_start + slope * (xs - x_start)), 0, height - 1).astype(np.intp)
            covered = float(thickened[ys, xs].mean())
            reaches = x_start < strip and x_end >= width - strip
            if covered >= (_COVERED if reaches else _COVERED_INSIDE):
                course = (y_start - slope * x_start, y_end + slope * (width - 1 - x_end))
                found.append((reaches, covered, *course))
    return [(reaches, left, right) for reaches, _, left, right in sorted(found, reverse=True)]


def _find_crossings(dark: NDArray[np.bool_], x: int, thick: int) -> Iterator[tuple[float, float]]:
    """The middles (y, x) of what is dark, and not too thick, in the strip of columns that begins at `x`."""
    strip = dark.shape[1]
    rows = np.add.reduce(dark, axis=1, dtype=np.intp) / strip >= 0.35
    if not rows.any():  # as on most pages
        return
    turns = np.flatnonzero(np.diff(np.concatenate(([False], rows, [False])).astype(np.int8)))
    for begin, end in zip(turns[::2], turns[1::2], strict=True):
        if end - begin <= 2 * thick + 2:
            yield (begin + end - 1) / 2, x + (strip - 1) / 2


def _measure_line(contrast: Plane, left: float, right: float, thick: int) -> _RuledLine:
    """How dark and how thick a line is, from the typical contrast at each distance from its middle."""
    height, width = contrast.shape
    xs = np.arange(width)
    offsets = np.arange(-thick - 3, thick + 4)
    middle = left + (right - left) * xs / (width - 1)
    ys = np.clip(np.rint(middle[None] + offsets[:, None]), 0, height - 1).astype(np.intp)
    ordered = np.sort(contrast[ys, xs[None]], axis=1)
    profile = (ordered[:, (width - 1) // 2] + ordered[:, width // 2]) / 2  # the medians, (offsets,)
    centre = thick + 3
    peak = centre - 2 + int(np.argmax(profile[centre - 2 : centre + 3]))
    faint = np.flatnonzero(profile <= profile[peak] / 2)
    first = faint[faint < peak].max(initial=-1) + 1
    last = faint[faint > peak].min(initial=offsets.size) - 1
    return _RuledLine(left, right, float(profile[peak]), int(offsets[first]), int(offsets[last]))


def _erase_line(contrast: Plane, line: _RuledLine) -> Plane:
    """Clear one line; where ink goes on above and below it, straight or slanted, it is drawn through."""
    height, width = contrast.shape
    above, below = line.above - 1, line.below + 1
    left, right = (0, line.left), (width - 1, line.right)
    corners = [(x, y + side) for (x, y), side in ((left, above), (right, above), (right, below), (left, below))]
    outline = np.rint(corners).astype(np.int32)
    reach = below - above + 4
    top, bottom = max(0, int(outline[:, 1].min()) - reach), min(height, int(outline[:, 1].max()) + reach + 1)
    band = contrast[top:bottom]  # nothing further away is touched, or asked
    on_line = cv2.fillConvexPoly(np.zeros(band.shape, np.uint8), outline - np.array([0, top], np.int32), 1) > 0
    bare = np.where(on_line, np.float32(0), band)
    bridges = (np.ones((reach, 1), np.uint8), np.eye(reach, dtype=np.uint8), np.eye(reach, dtype=np.uint8)[::-1].copy())
    mended = np.maximum.reduce([cv2.morphologyEx(bare, cv2.MORPH_CLOSE, bridge) for bridge in bridges])
    written = np.where(band > _DARKER * line.level, band, 0)
    wiped = contrast.copy()
    wiped[top:bottom][on_line] = np.minimum(np.maximum(mended, written), band)[on_line]
    return wiped
