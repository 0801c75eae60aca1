"""Group the characters of a page into text lines, and the lines into numbers."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

import numpy as np

from digitrec.recognition.cells import PARAMS as CELLS
from digitrec.recognition.cells import frame_border, is_comb, largest_pitch, pitch, rule_between
from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.components import Component
from digitrec.recognition.preprocess import Mask
from digitrec.recognition.rules import Rules
from digitrec.recognition.signs import find_signs, has_sign_between


class TextLineParams(NamedTuple):
    """Thresholds of lines and numbers; lengths are shares of h, the median height of the characters."""

    off: float = 0.7
    """Largest distance of a character's middle from its line."""
    far: float = 0.02
    """Weight of the gap to a line against the distance of a character's middle from it."""
    overlap: float = 1.2
    """Largest overlap across of two neighbours on a line."""
    slant: float = 0.1
    """Slope, height over width, from which the strips of a page's numbers are cut out slanting."""
    drift: float = 0.02
    """Slope from which the lines are followed by it."""
    most_slant: float = 0.75
    """Largest slope: 37 degrees."""
    most_measured: int = 300
    """Most characters by which the slope is measured."""
    reach: float = 8.0
    """Largest distance of the neighbours by which the slope is measured."""
    spread: float = 0.18
    """Largest median deviation of the neighbours' slopes from the page's."""
    gap: float = 1.3
    """Gap that ends a number, where the page's own gaps do not tell."""
    least_gap: float = 0.6
    """Least gap that ends a number."""
    most_gap: float = 2.2
    """Largest gap within a number."""
    least_step: float = 1.3
    """Least quotient of the gaps between numbers and those within."""
    close: float = 0.4
    """Gap up to which two characters certainly belong to one number."""
    clear_within: float = 0.65
    """Largest gap within a number with clear limits, as a share of the gap that ends a number."""
    clear_gap: float = 0.5
    """The same on a page of several lines or with rules, as a share of h."""
    clear_gap_alone: float = 0.8
    """The same on a page of one line without rules, if the gaps within the number are uneven."""
    even: float = 2.0
    """Largest gap within a number with even gaps, as a multiple of their median."""
    clear_comb: float = 1.7
    """Distance of the characters of a comb field up to which it is clear that they form one number."""
    fewest_listed: int = 3
    """Number of single characters on a page's only line from which they may be a list of digits."""
    listed: float = 0.6
    """Least share of single characters on such a line."""
    clear_pitch: float = 1.4
    """Least distance of two characters on both sides of a rule, as a share of the distances within their numbers."""
    clear_between: float = 1.3
    """Least gap between two of them, as a share of the gap that ends a number."""
    clear_apart: float = 1.2
    """The same, in h."""
    clear_apart_alone: float = 1.8
    """The same on a page's only line, which may be one number with wide gaps."""
    narrow: float = 0.35
    """Width over height up to which a character may be the side of a frame, or a mark of a scale."""
    frame_reach: float = 0.12
    """Distance of both ends of a narrow character from level rules up to which it may be the side of a frame, in h."""
    clear_cell: float = 0.8
    """Largest distance of its first character from its last, as a share of the width of the line's cells."""


PARAMS = TextLineParams()

_SIGN_REACH = 2.0
"""Distance from a number, in h, within which its signs are searched."""


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
    is_clear: bool = True
    """Where the number begins and ends is clear."""
    signs: tuple[Component, ...] = ()
    """Points, commas, colons and dashes between its characters, and a dash before them, from the left."""

    @property
    def box(self) -> Component:
        """Return the box around its characters and signs."""
        box = self.characters[0]
        for component in (*self.characters[1:], *self.signs):
            box = box.joined(component)
        return box


def find_numbers(classed: ClassedComponents, rules: Rules | None) -> list[TextNumber]:
    """Find the numbers of a page in reading order."""
    height = classed.height
    if len(classed.characters) == 1:
        return _attach_signs([TextNumber(classed.characters, 1, 1, 0.0)], classed)
    slope = _page_slope(classed.characters, height)
    strip_slope = slope if abs(slope) > PARAMS.slant else 0.0
    lines = _group_lines(classed.characters, height, slope)
    wide = _wide_gap(lines, height)
    split = [_split_line(characters, classed, rules, wide, is_only=len(lines) == 1) for characters in lines]
    numbers = []
    for line, parts in enumerate(split, start=1):
        numbers += [
            TextNumber(tuple(part), line, column, strip_slope, is_clear)
            for column, (part, is_clear) in enumerate(parts, start=1)
        ]
    numbers = _attach_signs(numbers, classed)
    return numbers if rules is None else _count_cells(numbers, rules)


def _attach_signs(numbers: list[TextNumber], classed: ClassedComponents) -> list[TextNumber]:
    """Add the signs to the numbers they belong to."""
    if not classed.small:
        return numbers
    small = sorted(classed.small, key=lambda component: component.left)
    lefts = [component.left for component in small]
    attached: list[TextNumber] = []
    for number in numbers:
        box, height = number.box, classed.height
        near = small[bisect_left(lefts, box.left - _SIGN_REACH * height) : bisect_left(lefts, box.right)]
        near = [sign for sign in near if sign.bottom > box.top and sign.top < box.bottom + height]
        previous = attached[-1] if attached and attached[-1].line == number.line else None
        before = 0.0 if previous is None else float(previous.box.right)
        signs = find_signs(number.characters, near, height, before) if near else ()
        attached.append(replace(number, signs=signs) if signs else number)
    return attached


def _count_cells(numbers: list[TextNumber], rules: Rules) -> list[TextNumber]:
    """Count the lines and columns of a ruled table by the rules above and to the left of each number."""
    rows, columns = rules.upright.shape
    lefts, tops = [], []
    for number in numbers:
        box = number.box
        middle_y, middle_x = (box.top + box.bottom) // 2, (box.left + box.right) // 2
        reach = max(1, (box.bottom - box.top) // 4)
        band = rules.upright[max(0, middle_y - reach) : min(rows, middle_y + reach), : max(1, box.left)]
        lefts.append(_count_runs(band.mean(axis=0) > CELLS.ruled))
        width = max(1, (box.right - box.left) // 4)
        band = rules.level[: max(1, middle_y), max(0, middle_x - width) : min(columns, middle_x + width)]
        tops.append(_count_runs(band.mean(axis=1) > CELLS.ruled))
    # A rule that was found above some numbers of a text line only is above all of them, or none.
    by_line: dict[int, list[int]] = {}
    for number, top in zip(numbers, tops, strict=True):
        by_line.setdefault(number.line, []).append(top)
    tops = [median_low(by_line[number.line]) for number in numbers]
    cells = {(top, left) for top, left in zip(tops, lefts, strict=True)}
    if len(cells) < len(numbers) or len(set(lefts)) < 2 or len(set(tops)) < 2:  # several numbers in one cell: no table
        return numbers
    return [
        replace(number, line=top - min(tops) + 1, column=left - min(lefts) + 1)
        for number, top, left in zip(numbers, tops, lefts, strict=True)
    ]


def _count_runs(marked: Mask) -> int:
    """Count the runs of True in a row."""
    return int(np.count_nonzero(np.diff(marked.astype(np.int8), prepend=0) == 1))


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
    step = -(-len(x) // p.most_measured)
    across, down = x[None] - x[::step, None], y[None] - y[::step, None]
    is_near = (
        (across > 0.4 * height) & (across < p.reach * height) & (np.abs(down) < p.most_slant * across + 0.2 * height)
    )
    distance = np.where(is_near, across + np.abs(down), np.inf)
    nearest = distance.argmin(axis=1)
    measured = np.flatnonzero(is_near.any(axis=1))
    if len(measured) < 2:
        return 0.0
    slopes = down[measured, nearest[measured]] / across[measured, nearest[measured]]
    slope = float(np.median(slopes))
    is_even = np.median(np.abs(slopes - slope)) < p.spread
    return slope if abs(slope) > p.drift and is_even else 0.0


def _group_lines(characters: Sequence[Component], height: float, slope: float) -> list[list[Component]]:
    """Chain the characters to lines, from the left; return the lines from the top."""
    p = PARAMS
    lines: list[list[Component]] = []
    middles: list[list[float]] = []
    for character in sorted(characters, key=lambda component: component.left):
        middle = _middle(character, slope)
        best, least = -1, math.inf
        for index, line in enumerate(lines):
            gap = (character.left - line[-1].right) / height
            last = middles[index][-3:]
            off = abs(middle - sum(last) / len(last)) / height
            cost = off + p.far * max(gap, 0.0)
            if off < p.off and gap > -p.overlap and cost < least:
                best, least = index, cost
        if best < 0:
            lines.append([character])
            middles.append([middle])
        else:
            lines[best].append(character)
            middles[best].append(middle)
    order = sorted(range(len(lines)), key=lambda index: sum(middles[index]) / len(middles[index]))
    return [lines[index] for index in order]


def _wide_gap(lines: Sequence[Sequence[Component]], height: float) -> float:
    """Return the gap from which a number ends, pixels: amid the widest step in the gaps of the page."""
    p = PARAMS
    gaps = [right.left - left.right for line in lines for left, right in pairwise(line)]
    # On a single line, the narrowest gap is within a number.
    ends = [p.most_gap * p.least_step] if len(lines) == 1 else [p.least_gap / p.least_step, p.most_gap * p.least_step]
    ordered = np.sort([*(gap / height for gap in gaps), *ends])
    ordered = np.clip(ordered, p.least_gap / p.least_step, p.most_gap * p.least_step)
    steps = ordered[1:] / ordered[:-1]
    middles = np.sqrt(ordered[1:] * ordered[:-1])
    steps = np.where((middles >= p.least_gap) & (middles <= p.most_gap), steps, 0.0)
    best = int(steps.argmax()) if len(steps) else 0
    if not len(steps) or steps[best] < p.least_step:
        return (p.most_gap if len(lines) == 1 else p.gap) * height
    return float(middles[best]) * height


def _split_line(
    characters: list[Component], classed: ClassedComponents, rules: Rules | None, wide: float, *, is_only: bool
) -> list[tuple[list[Component], bool]]:
    """Split a line where a gap wider than `wide` pixels, or a rule, ends a number; join the cells of a comb field.

    Return the characters of each number, and whether its limits are clear. Several lines of ruled cells may be a table
    or comb fields, which is not clear; separate boxes are comb fields.
    """
    height, small, is_ruled = classed.height, classed.small, False
    parts: list[list[Component]] = [[characters[0]]]
    borders: list[float | None] = []
    for left, right in pairwise(characters):
        rule = None if rules is None else rule_between(left, right, rules)
        border = frame_border(left, right, classed.background) if rule is None else rule
        is_ruled |= rule is not None
        is_wide = right.left - left.right > wide and not has_sign_between(left, right, small, height)
        if border is not None or is_wide:
            parts.append([right])
            borders.append(border)
        else:
            parts[-1].append(right)
    if is_comb(parts, borders, height):
        joined = [part[0] for part in parts]
        is_clear = largest_pitch(joined) <= PARAMS.clear_comb * height
        return [(joined, is_clear)] if is_only or not is_ruled else [(part, False) for part in parts]
    singles = sum(len(part) == 1 for part in parts)
    is_list = is_only and singles >= max(PARAMS.fewest_listed, PARAMS.listed * len(parts))
    is_scale = len(parts) >= PARAMS.fewest_listed and all(len(part) == 1 and _is_narrow(part[0]) for part in parts)
    if is_list or is_scale:  # a number with wide gaps, or a list of digits; marks of a scale, or ones
        return [(part, False) for part in parts]
    apart = max(PARAMS.clear_between * wide, height * (PARAMS.clear_apart_alone if is_only else PARAMS.clear_apart))
    return [
        (
            part,
            _has_clear_limits(index, parts, borders, height, wide, apart, is_only and rules is None)
            and not (rules is not None and any(_is_frame_side(end, rules, height) for end in (part[0], part[-1]))),
        )
        for index, part in enumerate(parts)
    ]


def _is_narrow(character: Component) -> bool:
    return character.width <= PARAMS.narrow * character.height


def _is_frame_side(character: Component, rules: Rules, height: float) -> bool:
    """Tell whether a narrow character reaches from one level rule to another: the side of a frame, not a 1."""
    if not _is_narrow(character):
        return False
    reach = max(2, round(PARAMS.frame_reach * height))
    columns = slice(max(0, character.left - reach), character.right + reach)
    above = rules.level[max(0, character.top - reach) : character.top + reach, columns]
    below = rules.level[max(0, character.bottom - reach) : character.bottom + reach, columns]
    return bool(above.any() and below.any())


def _has_clear_limits(
    index: int,
    parts: Sequence[Sequence[Component]],
    borders: Sequence[float | None],
    height: float,
    wide: float,
    apart: float,
    is_alone: bool,
) -> bool:
    """Tell whether it is clear where a number begins and ends, by the gaps within it and around it, and the cells.

    Args:
        index: of the number.
        parts: characters of all numbers of the line.
        borders: positions of the rules between them; None where there is a wide gap.
        height: h, pixels.
        wide: gap that ends a number, pixels.
        apart: least gap between it and its neighbours, pixels.
        is_alone: it is on a page of one line without rules.
    """
    p, part = PARAMS, parts[index]
    within = [right.left - left.right for left, right in pairwise(part)]
    largest = max(within, default=0)
    alone = p.gap if largest <= p.even * median_low(within or [0]) else p.clear_gap_alone
    if largest > max(p.close * height, min(p.clear_within * wide, height * (alone if is_alone else p.clear_gap))):
        return False
    for border, left, right in zip(borders, parts, parts[1:], strict=False):
        if part is not left and part is not right:
            continue
        if border is None and right[0].left - left[-1].right < apart:
            return False
        # Squared paper has rules between the digits of a number; so has a comb field of which some rules were missed.
        inner = [pitch(*pair) for pair in (*pairwise(left), *pairwise(right))]
        if border is not None and inner and pitch(left[-1], right[0]) < p.clear_pitch * max(inner):
            return False
    rules = [border for border in borders if border is not None]
    if len(rules) < 2:
        return True
    width = float(np.median(np.diff(rules)))
    # A rule between two cells was missed, or the cells are those of a comb field.
    return pitch(part[0], part[-1]) < p.clear_cell * width and width > CELLS.comb_pitch * height
