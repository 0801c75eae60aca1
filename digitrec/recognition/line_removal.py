"""Remove ruled lines, grids, frames of cells and dark borders from a page's contrast.

They run from border to border, which digits hardly ever do. Input is the contrast of `preprocess.local_contrast`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.preprocess import Plane

_BORDER = 3
"""Pixels from the border within which a dark border begins."""
_EDGE_DEPTH = 0.25
"""Largest depth of a dark border, as a share of the page."""
_EDGE_COVERS = 0.7
"""Least share of the border's length on which it begins."""
_EDGE_FADES = 0.5
"""Share of the length below which it ends, going inwards."""

_LINE_THICK = 0.03
"""Largest thickness of a ruled line, as a share of the page."""
_PROBE = 0.05
"""Width of the strips along the borders in which lines are searched, as a share of the page."""
_INSET = 0.12
"""Distance of further strips from the border, for lines that end before it, as a share of the page."""
_SLANT = 0.15
_COVERED, _COVERED_INSIDE = 0.85, 0.93
"""Least dark share of a line that reaches both borders, and of one that does not."""
_MOST_PAIRS = 2500
_DARKER = 1.5
"""Contrast, as a multiple of the line's, from which ink on a line is writing."""


@dataclass(frozen=True, slots=True)
class _RuledLine:
    """Line from left to right: its y position at both borders, contrast and thickness."""

    left: float
    right: float
    level: float
    """Contrast of the line."""
    above: int
    below: int
    """First and last row of the line, in pixels from its middle."""


def has_clean_border(contrast: Plane, dark: float) -> bool:
    """Return True if no pixel near a border is dark, so that there are no dark borders, lines or grids."""
    height, width = contrast.shape
    down, across = max(_BORDER, round(height * _PROBE)), max(_BORDER, round(width * _PROBE))
    borders = (contrast[:down], contrast[:, :across], contrast[-_BORDER:], contrast[:, -_BORDER:])
    return all(cv2.minMaxLoc(border)[1] <= dark for border in borders)


def remove_dark_borders(contrast: Plane, dark: float) -> Plane:
    """Clear the dark bands along the borders: a cell's frame, a shadow, a scanner's lid.

    `dark` is the contrast from which a pixel is dark. Return `contrast` itself if there is nothing to clear.
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
        if ends.size:  # else it is no border but a large dark part of the page
            cleared = cleared.copy() if cleared is contrast else cleared
            _rotated_view(cleared, quarter)[: begins[0] + ends[0] + 1] = 0
    return cleared


def _rotated_view(plane: Plane, quarter: int) -> Plane:
    """Return a rotated view like `np.rot90`, which takes ten times as long."""
    turned = plane.T if quarter % 2 else plane
    return turned[:: 1 if quarter in {0, 3} else -1, :: 1 if quarter < 2 else -1]


def _row_coverage(dark: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each row that is True."""
    shares: NDArray[np.float64] = np.count_nonzero(dark, axis=1) / dark.shape[1]
    return shares


def remove_ruled_lines(contrast: Plane, dark: float) -> Plane:
    """Erase ruled lines and grids, and repair the strokes that crossed them; `contrast` itself if there are none."""
    thick = max(2, round(_LINE_THICK * max(contrast.shape)))
    across = _find_lines(contrast, dark, thick, is_ruled=False)
    down = _find_lines(contrast.T, dark, thick, is_ruled=len(across) > 1)
    if len(down) > 1 and not across:
        across = _find_lines(contrast, dark, thick, is_ruled=True)
    if len(down) == 1 and not across and 0.2 < (down[0].left + down[0].right) / 2 / contrast.shape[1] < 0.8:
        down = []  # a single vertical line through the middle is a 1, or the stem of a 4
    for line in across:
        contrast = _erase_line(contrast, line)
    for line in down:
        contrast = np.ascontiguousarray(_erase_line(np.ascontiguousarray(contrast.T), line).T)
    return contrast


def _find_lines(contrast: Plane, dark: float, thick: int, *, is_ruled: bool) -> list[_RuledLine]:
    """Return the lines from left to right; lines that end before a border only if the page has other lines."""
    lines: list[tuple[float, float]] = []
    for reaches, left, right in _find_straight_lines(contrast, dark, thick, is_ruled=is_ruled):
        is_new = all(abs(left - y0) > thick or abs(right - y1) > thick for y0, y1 in lines)
        crosses = any((left - y0) * (right - y1) < 0 for y0, y1 in lines)
        if is_new and not crosses and (reaches or is_ruled or lines):
            lines.append((left, right))
    measured = (_measure_line(contrast, left, right, thick) for left, right in lines)
    return [line for line in measured if line.level >= dark and line.below - line.above + 1 <= thick + 1]


def _find_straight_lines(
    contrast: Plane, dark: float, thick: int, *, is_ruled: bool
) -> list[tuple[bool, float, float]]:
    """Find straight lines that are dark nearly throughout, best first: (reaches both borders, y left, y right).

    Return none if no line reaches both borders and the page has no other lines.
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
    lines = []
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
                lines.append((reaches, covered, *course))
    return [(reaches, left, right) for reaches, _, left, right in sorted(lines, reverse=True)]


def _find_crossings(dark: NDArray[np.bool_], x: int, thick: int) -> Iterator[tuple[float, float]]:
    """Yield the middles (y, x) of dark, thin runs of rows in the strip of columns that begins at `x`."""
    strip = dark.shape[1]
    rows = np.add.reduce(dark, axis=1, dtype=np.intp) / strip >= 0.35
    if not rows.any():  # as on most pages
        return
    turns = np.flatnonzero(np.diff(np.concatenate(([False], rows, [False])).astype(np.int8)))
    for begin, end in zip(turns[::2], turns[1::2], strict=True):
        if end - begin <= 2 * thick + 2:
            yield (begin + end - 1) / 2, x + (strip - 1) / 2


def _measure_line(contrast: Plane, left: float, right: float, thick: int) -> _RuledLine:
    """Measure the contrast and thickness of a line from the median contrast at each distance from its middle."""
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
    """Erase one line; bridge strokes that continue above and below it, vertical or diagonal."""
    height, width = contrast.shape
    above, below = line.above - 1, line.below + 1
    left, right = (0, line.left), (width - 1, line.right)
    corners = [(x, y + side) for (x, y), side in ((left, above), (right, above), (right, below), (left, below))]
    outline = np.rint(corners).astype(np.int32)
    reach = below - above + 4
    top, bottom = max(0, int(outline[:, 1].min()) - reach), min(height, int(outline[:, 1].max()) + reach + 1)
    band = contrast[top:bottom]  # the rest stays unchanged
    on_line = cv2.fillConvexPoly(np.zeros(band.shape, np.uint8), outline - np.array([0, top], np.int32), 1) > 0
    bare = np.where(on_line, np.float32(0), band)
    bridges = (np.ones((reach, 1), np.uint8), np.eye(reach, dtype=np.uint8), np.eye(reach, dtype=np.uint8)[::-1].copy())
    mended = np.maximum.reduce([cv2.morphologyEx(bare, cv2.MORPH_CLOSE, bridge) for bridge in bridges])
    written = np.where(band > _DARKER * line.level, band, 0)
    wiped = contrast.copy()
    wiped[top:bottom][on_line] = np.minimum(np.maximum(mended, written), band)[on_line]
    return wiped
