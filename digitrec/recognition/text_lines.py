"""Group the characters of a page into text lines, and the lines into numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.components import Component
from digitrec.recognition.rules import Rules


@dataclass(frozen=True, slots=True)
class TextLineParams:
    """Thresholds of lines and numbers; lengths are shares of h, the median height of the characters."""

    off: float = 0.7
    """Largest distance of a character's middle from its line."""
    overlap: float = 1.2
    """Largest overlap across of two neighbours on a line."""
    slant: float = 0.1
    """Slope, height over width, from which the lines of a page slant."""
    most_slant: float = 0.75
    """Largest slope: 37 degrees."""
    spread: float = 0.12
    """Largest median deviation of the neighbours' slopes from the page's."""
    gap: float = 1.3
    """Gap that ends a number."""
    ruled: float = 0.7
    """Share of the height of two neighbours along which a rule between them ends a number, 0..1."""
    comb_pitch: float = 2.5
    """Largest width of a cell of a comb field."""
    comb_even: float = 0.25
    """Largest deviation of the cells' widths from their median, as a share of it."""
    point_reach: float = 0.35
    """Distance of a point from the characters' foot up to which it stands between two digits of one number."""


PARAMS = TextLineParams()


@dataclass(frozen=True, slots=True)
class TextNumber:
    """Characters of one number, from the left."""

    characters: tuple[Component, ...]
    line: int
    """From 1."""
    column: int
    """From 1."""
    slope: float
    """Height over width of the text line; positive if it falls to the right."""

    @property
    def box(self) -> Component:
        """Return the box around its characters."""
        box = self.characters[0]
        for character in self.characters[1:]:
            box = box.joined(character)
        return box


def find_numbers(classed: ClassedComponents, rules: Rules | None) -> list[TextNumber]:
    """Find the numbers of a page in reading order."""
    height = classed.height
    slope = _page_slope(classed.characters, height)
    lines = _group_lines(classed.characters, height, slope)
    numbers = []
    for line, characters in enumerate(lines, start=1):
        parts = _split_line(characters, classed.small, height, rules)
        numbers += [TextNumber(tuple(part), line, column, slope) for column, part in enumerate(parts, start=1)]
    return numbers


def _middle(component: Component, slope: float) -> float:
    """Return the position of a component across the lines."""
    return (component.top + component.bottom) / 2 - slope * (component.left + component.right) / 2


def _page_slope(characters: Sequence[Component], height: float) -> float:
    """Return the slope of a page's lines: the median of those to the nearest neighbours; 0.0 if it is small."""
    p = PARAMS
    if len(characters) < 3:
        return 0.0
    x = np.array([(character.left + character.right) / 2 for character in characters])
    y = np.array([(character.top + character.bottom) / 2 for character in characters])
    across, down = x[None] - x[:, None], y[None] - y[:, None]
    is_near = (across > 0.4 * height) & (across < 4 * height) & (np.abs(down) < p.most_slant * across + 0.2 * height)
    distance = np.where(is_near, across + np.abs(down), np.inf)
    nearest = distance.argmin(axis=1)
    found = np.flatnonzero(is_near.any(axis=1))
    if len(found) < 2:
        return 0.0
    slopes = down[found, nearest[found]] / across[found, nearest[found]]
    slope = float(np.median(slopes))
    is_even = np.median(np.abs(slopes - slope)) < p.spread
    return slope if abs(slope) > p.slant and is_even else 0.0


def _group_lines(characters: Sequence[Component], height: float, slope: float) -> list[list[Component]]:
    """Chain the characters to lines, from the left; return the lines from the top."""
    p = PARAMS
    lines: list[list[Component]] = []
    for character in sorted(characters, key=lambda component: component.left):
        best, least = None, np.inf
        for line in lines:
            gap = (character.left - line[-1].right) / height
            before = float(np.mean([_middle(other, slope) for other in line[-3:]]))
            off = abs(_middle(character, slope) - before) / height
            if off < p.off and gap > -p.overlap and off + 0.02 * max(gap, 0) < least:
                best, least = line, off + 0.02 * max(gap, 0)
        if best is None:
            lines.append([character])
        else:
            best.append(character)
    return sorted(lines, key=lambda line: float(np.mean([_middle(character, slope) for character in line])))


def _split_line(
    characters: list[Component], small: Sequence[Component], height: float, rules: Rules | None
) -> list[list[Component]]:
    """Split a line where a wide gap or a rule ends a number; join the cells of a comb field."""
    parts: list[list[Component]] = [[characters[0]]]
    borders: list[float | None] = []
    for left, right in zip(characters, characters[1:], strict=False):
        border = None if rules is None else _rule_between(left, right, rules)
        gap = right.left - left.right
        is_wide = gap > PARAMS.gap * height and not _has_point(left, right, small, height)
        if border is not None or is_wide:
            parts.append([right])
            borders.append(border)
        else:
            parts[-1].append(right)
    return _join_combs(parts, borders, height)


def _has_point(left: Component, right: Component, small: Sequence[Component], height: float) -> bool:
    """Tell whether a point or comma stands between two neighbours, so that they belong to one number."""
    foot = max(left.bottom, right.bottom)
    gap = PARAMS.gap * height
    return any(
        left.right <= point.left
        and point.right <= right.left
        and abs(point.bottom - foot) < PARAMS.point_reach * height
        and point.left - left.right < gap
        and right.left - point.right < gap
        for point in small
    )


def _rule_between(left: Component, right: Component, rules: Rules) -> float | None:
    """Return the position across of the upright rule between two neighbours; None without one."""
    top, bottom = max(left.top, right.top), min(left.bottom, right.bottom)
    if bottom - top < 4:
        top, bottom = min(left.top, right.top), max(left.bottom, right.bottom)
    window = rules.upright[top:bottom, left.right - 1 : right.left + 1]
    if not window.size or np.count_nonzero(window.any(axis=1)) < PARAMS.ruled * window.shape[0]:
        return None
    return left.right - 1 + float(np.flatnonzero(window.any(axis=0)).mean())


def _join_combs(parts: list[list[Component]], borders: list[float | None], height: float) -> list[list[Component]]:
    """Join adjoining cells of equal width that hold one character each."""
    p = PARAMS
    joined = [parts[0]]
    start = 0
    for index in range(1, len(parts)):
        cells = [border for border in borders[start:index] if border is not None]
        widths = np.diff(cells)
        usual = float(np.median(widths)) if len(widths) else p.comb_pitch * height
        pitch = (parts[index][0].left + parts[index][0].right - parts[index - 1][-1].left - parts[index - 1][-1].right) / 2
        is_comb = (
            borders[index - 1] is not None
            and len(parts[index]) == 1
            and len(parts[index - 1]) == 1
            and pitch <= p.comb_pitch * height
            and usual <= p.comb_pitch * height
            and bool(np.all(np.abs(widths - usual) <= p.comb_even * usual))
        )
        if is_comb:
            joined[-1] = [*joined[-1], *parts[index]]
        else:
            joined.append(parts[index])
            start = index
    return joined
