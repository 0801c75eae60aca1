"""Ink -> digits in reading order: which marks belong together, which are dirt, which are a neighbour's.

Boxes here are in pixels of the ink's own plane; `pages` takes them to the sheet.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.recognition.components import Component, ConnectedComponents, PageFrame, candidate_components
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box

_FAINT = 0.07
"""Ink from here on that touches a digit, and lies in its box, belongs to it."""

_LEAST_PX = 6
_LEAST_SHARE = 0.03
"""The main mark is at least this long, in pixels and as a share of the page; anything less is dirt."""
_CROWD = 20
"""This many marks are no dirt, however small."""
_MOST_DIGITS = 64

_SAME_HEIGHT = (0.55, 1.8)
"""Digits of one number are this many times as high as the main one ..."""
_OTHER_MASS = 0.12
"""... and have at least this share of its ink: a thin 1 has 0.18 to 0.39 of a heavy digit's."""
_SAME_DIGIT = 0.35
"""Marks that overlap sideways by this share of the narrower one are strokes of one digit ..."""
_BROKEN = 0.13
"""... if no gap of more than this share of their height is between them."""

_NEAR = 0.22
"""A small mark belongs to a digit if its distance is at most this share of the digit's longest side ..."""
_NEAR_TINY = 0.03
"""... or this, if it touches a border or is tiny ..."""
_TINY = 0.04
"""... that is, has less than this share of the digit's ink."""

_WIDE = 1.7
"""Wider than this for its height, a mark is more likely two digits that touch, or a word."""
_LEFT_OVER = 0.5
"""If a mark that belongs nowhere is at least this share of the main one's height, it is unclear what belongs."""


@dataclass(frozen=True, slots=True, eq=False)
class DigitRegion:
    """One digit: its box, and its ink, (box.height, box.width), with nothing else in it."""

    box: Box
    ink: Plane
    pieces: int = 1
    """Of so many pieces it was put together."""


@dataclass(frozen=True, slots=True, eq=False)
class LayoutResult:
    """The digits of a page in reading order, and whether it is clear that they are right."""

    digits: tuple[DigitRegion, ...]
    is_unambiguous: bool
    is_complete: bool = True
    """Nothing as high as a digit was left out: if it is not clear all the same, a mark is too wide for one digit."""

    def neighbour_ink_ratio(self, ink: Plane) -> float:
        """How much of the ink, (h, w), that this is the layout of, is not the first digit's, as a share of its own."""
        box, own = self.digits[0].box, self.digits[0].ink > 0
        mass = float(np.vdot(ink[box.y : box.y + box.height, box.x : box.x + box.width], own.astype(np.float32)))
        return float(ink.sum()) / max(mass, 1e-9) - 1


def group_digits(ink: Plane) -> LayoutResult:
    """Group the ink of a page, (h, w), into digits; none if there is nothing but dirt."""
    sheet = PageFrame(ink.shape[1], ink.shape[0])
    pieces, marks = candidate_components(ink, sheet)
    if not marks:
        return LayoutResult((), is_unambiguous=True)
    main = marks[0] if len(marks) == 1 else max(marks, key=sheet.weight)
    if main.longest < max(_LEAST_PX, _LEAST_SHARE * max(ink.shape)) and len(marks) < _CROWD:
        return LayoutResult((), is_unambiguous=True)
    groups, left_over = ([main], []) if len(marks) == 1 else _group_components(marks, main, sheet)
    highest = max((mark.height for mark in left_over), default=0)
    is_all = len(groups) <= _MOST_DIGITS and highest < _LEFT_OVER * main.height
    is_clear = is_all and all(group.width < _WIDE * group.height for group in groups)
    digits = tuple(_crop_digit(ink, pieces, group) for group in _in_reading_order(groups)[:_MOST_DIGITS])
    return LayoutResult(digits, is_clear, is_all)


def _group_components(
    marks: list[Component], main: Component, sheet: PageFrame
) -> tuple[list[Component], list[Component]]:
    """The marks of each digit as one, in no order; and those that belong nowhere."""
    groups = _join_strokes([mark for mark in marks if mark is main or _is_similar_size(mark, main)])
    groups = _drop_cut_neighbours(groups, main, sheet)
    taken = {label for group in groups for label in group.labels}
    return _attach_small_components(groups, [mark for mark in marks if not taken & {*mark.labels}], sheet)


def _is_similar_size(mark: Component, main: Component) -> bool:
    """True for what may be another digit of the number `main` belongs to."""
    low, high = _SAME_HEIGHT
    if not low * main.height <= mark.height <= high * main.height:
        return False
    return mark.mass >= _OTHER_MASS * main.mass


def _join_strokes(bodies: list[Component]) -> list[Component]:
    """Join the strokes of one digit: those above one another in the same row."""
    groups: list[Component] = []
    for body in sorted(bodies, key=lambda mark: (mark.left, mark.top)):
        for i, group in enumerate(groups):
            across = min(group.right, body.right) - max(group.left, body.left)
            down = min(group.bottom, body.bottom) - max(group.top, body.top)
            is_close = down > -_BROKEN * max(group.height, body.height)
            if across > _SAME_DIGIT * min(group.width, body.width) and is_close:
                groups[i] = group.joined(body)
                break
        else:
            groups.append(body)
    if len(groups) == 2:
        both = groups[0].joined(groups[1])
        if both.width < both.height and groups[0].distance(groups[1]) <= _BROKEN * both.height:
            return [both]  # a 4 in two strokes; the digits of 11 stand further apart
    return groups


def _drop_cut_neighbours(groups: list[Component], main: Component, sheet: PageFrame) -> list[Component]:
    """On a page hardly wider than its digit, what is cut by the left or right border belongs to the next cell."""
    if len(groups) > 3 or sheet.width >= 2.2 * main.height:
        return groups
    inner = [g for g in groups if main.labels[0] in g.labels or (g.left > 1 and g.right < sheet.width - 1)]
    return inner or groups


def _attach_small_components(
    groups: list[Component], small: list[Component], sheet: PageFrame
) -> tuple[list[Component], list[Component]]:
    """Give each digit the small marks near it, such as the bar of a 5; what remains belongs nowhere."""
    left_over = []
    for mark in small:
        distances = [mark.distance(group) / group.longest for group in groups]
        nearest = min(range(len(groups)), key=distances.__getitem__)
        group = groups[nearest]
        share = mark.mass / group.mass
        if share < _TINY / 2 and mark.longest < 0.12 * group.longest:
            continue  # a speck
        limit = _NEAR_TINY if share < _TINY or sheet.touches(mark) else _NEAR
        if distances[nearest] <= limit:
            groups[nearest] = group.joined(mark)
        else:
            left_over.append(mark)
    return groups, left_over


def _in_reading_order(groups: list[Component]) -> list[Component]:
    """Rows from the top, each from the left; a row is what overlaps its first digit by half its height."""
    ordered: list[Component] = []
    remaining = sorted(groups, key=lambda group: group.top)
    while remaining:
        first = remaining[0]
        middle = (first.top + first.bottom) / 2
        row = [group for group in remaining if group.top <= middle]
        remaining = [group for group in remaining if group.top > middle]
        ordered += sorted(row, key=lambda group: group.left)
    return ordered


def _crop_digit(ink: Plane, pieces: ConnectedComponents, group: Component) -> DigitRegion:
    """The ink of one digit, with its faint parts and without anyone else's, made even along the stroke."""
    window = np.s_[group.top : group.bottom, group.left : group.right]
    part, near = ink[window], pieces.labels[window]
    is_kept = part > _FAINT
    count, parts = cv2.connectedComponents(is_kept.view(np.uint8), connectivity=8)
    is_lone = len(pieces.boxes) == 2
    if count > 2 or not is_lone:  # else all of it is the digit's
        own = near == group.labels[0]
        for label in group.labels[1:]:
            own |= near == label
        is_touched = np.zeros(count, np.bool_)
        is_touched[parts[own]] = True
        is_kept &= is_touched[parts]
        is_kept &= own | (near == 0)
    digit = part * is_kept
    return DigitRegion(Box(group.left, group.top, group.width, group.height), _even_out_ink(digit), len(group.labels))


def _even_out_ink(digit: Plane) -> Plane:
    """Bring stretches where pen or pencil ran faint up to the rest, at most to twice their ink."""
    reach = max(3, round(0.2 * max(digit.shape)) | 1)
    margin = reach // 2
    wide = cv2.copyMakeBorder(digit, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    peak = cv2.blur(cv2.dilate(wide, np.ones((reach, reach), np.uint8)), (reach, reach))
    height, width = digit.shape
    even = np.maximum(peak[margin : margin + height, margin : margin + width], 0.5)
    np.divide(digit, np.minimum(even, 1, out=even), out=even)
    return np.minimum(even, 1, out=even)
