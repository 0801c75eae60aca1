"""Ink -> digits in reading order: which marks belong together, which are dirt, which are a neighbour's.

Boxes here are in pixels of the ink's own plane; `imaging.read` takes them to the page.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.imaging.contrast import Plane
from digitrec.records import Box

_FAINT, _MARK, _CLEAR = 0.07, 0.22, 0.6
"""A mark holds together from `_MARK` on and has a `_CLEAR` spot; `_FAINT` ink in its box that touches it is its own."""

_LEAST_PX = 6
_LEAST_SHARE = 0.03
"""The main mark is at least this long, in pixels and as a share of the page; anything less is dirt."""
_CROWD = 20
"""This many marks are no dirt, however small."""
_MOST_MARKS = 200
_MOST_DIGITS = 64

_EDGE_REACH = 0.18
"""A mark that touches a border and reaches in no further than this share of the page is not a digit."""
_BAR_THIN = 0.05
"""A mark from border to border that fills less than this share of its length squared is a line."""

_FRAME = 0.75
"""A frame is at least this share of the page wide and high."""

_SAME_HEIGHT = (0.55, 1.8)
"""Digits of one number are this many times as high as the main one ..."""
_OTHER_MASS = 0.15
"""... and have at least this share of its ink; ..."""
_OTHER_MASS_APART = 0.4
"""... more, if they are not in its row."""
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
_LEFT_OVER = 0.4
"""If the largest mark that belongs nowhere has this share of the main one's ink, it is unclear what belongs."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundDigit:
    """One digit: its box, and its ink, (box.height, box.width), with nothing else in it."""

    box: Box
    ink: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The digits of a page in reading order, and whether it is clear that they are right."""

    digits: tuple[FoundDigit, ...]
    is_clear: bool


@dataclass(frozen=True, slots=True)
class _Mark:
    """Ink that hangs together, or several such that belong to one digit."""

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    mass: float

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def longest(self) -> int:
        return max(self.width, self.height)

    def joined(self, other: "_Mark") -> "_Mark":
        return _Mark(
            self.labels + other.labels,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.mass + other.mass,
        )

    def distance(self, other: "_Mark") -> int:
        """Pixels between the boxes, the larger of across and down; 0 if they overlap."""
        across = max(self.left, other.left) - min(self.right, other.right)
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        return max(across, down, 0)


@dataclass(frozen=True, slots=True)
class _Page:
    width: int
    height: int

    def touches(self, mark: _Mark) -> bool:
        return mark.left <= 1 or mark.top <= 1 or mark.right >= self.width - 1 or mark.bottom >= self.height - 1

    def hugs_border(self, mark: _Mark) -> bool:
        """True for what only reaches in from outside: a frame, a neighbour's stroke."""
        reaches = (
            mark.right / self.width if mark.left <= 1 else 1.0,
            mark.bottom / self.height if mark.top <= 1 else 1.0,
            1 - mark.left / self.width if mark.right >= self.width - 1 else 1.0,
            1 - mark.top / self.height if mark.bottom >= self.height - 1 else 1.0,
        )
        return min(reaches) < _EDGE_REACH

    def crosses(self, mark: _Mark, area: int) -> bool:
        """True for a thin mark from border to border: a ruled line."""
        spans = (mark.left <= 2 and mark.right >= self.width - 2) or (mark.top <= 2 and mark.bottom >= self.height - 2)
        is_thin = min(mark.width, mark.height) < 0.2 * mark.longest and area < _BAR_THIN * mark.longest**2
        return spans and is_thin

    def is_framed_by(self, mark: _Mark, labels: NDArray[np.int32]) -> bool:
        """True for a box drawn around the page: as large as the page nearly, and nothing of it in the middle."""
        if mark.width < _FRAME * self.width or mark.height < _FRAME * self.height:
            return False
        inset_x, inset_y = round(0.2 * self.width), round(0.2 * self.height)
        middle = labels[inset_y : self.height - inset_y, inset_x : self.width - inset_x]
        return mark.labels[0] not in middle

    def weight(self, mark: _Mark) -> float:
        """How likely this is the digit: large, dark, in the middle, whole."""
        aside = abs((mark.left + mark.right) / self.width - 1)
        above = abs((mark.top + mark.bottom) / self.height - 1)
        return (
            mark.longest * math.sqrt(mark.mass) * (1 - 0.6 * max(aside, above)) * (0.6 if self.touches(mark) else 1.0)
        )


def arrange(ink: Plane) -> Layout:
    """Group the ink of a page, (h, w), into digits; none if there is nothing but dirt."""
    page = _Page(ink.shape[1], ink.shape[0])
    labels, marks = _marks(ink, page)
    if not marks:
        return Layout((), is_clear=True)
    main = max(marks, key=page.weight)
    if main.longest < max(_LEAST_PX, _LEAST_SHARE * max(ink.shape)) and len(marks) < _CROWD:
        return Layout((), is_clear=True)
    groups = _side_by_side([mark for mark in marks if mark is main or _is_like(mark, main)])
    groups = _without_neighbours(groups, main, page)
    taken = {label for group in groups for label in group.labels}
    groups, left_over = _with_small_marks(groups, [mark for mark in marks if not taken & {*mark.labels}], page)
    is_clear = (
        len(groups) <= _MOST_DIGITS
        and max((mark.mass for mark in left_over), default=0.0) < _LEFT_OVER * main.mass
        and all(group.width < _WIDE * group.height for group in groups)
    )
    digits = tuple(_cut_out(ink, labels, group) for group in _in_reading_order(groups)[:_MOST_DIGITS])
    return Layout(digits, is_clear)


def _marks(ink: Plane, page: _Page) -> tuple[NDArray[np.int32], list[_Mark]]:
    """What hangs together and may be writing, heaviest first, with the plane of labels, (h, w)."""
    is_inked = ink > _MARK
    count, found, stats, _ = cv2.connectedComponentsWithStats(is_inked.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, np.int32)
    mass = np.bincount(labels[is_inked], weights=ink[is_inked], minlength=count)
    is_clear = np.bincount(labels[ink > _CLEAR], minlength=count) > 0
    heaviest = sorted(np.flatnonzero(is_clear), key=lambda label: -mass[label])[:_MOST_MARKS]
    marks: list[_Mark] = []
    printed: list[_Mark] = []
    for label in heaviest:
        x, y, width, height, area = (int(value) for value in stats[label])
        mark = _Mark((int(label),), x, y, x + width, y + height, float(mass[label]))
        if not page.hugs_border(mark):
            is_printed = page.crosses(mark, area) or page.is_framed_by(mark, labels)
            (printed if is_printed else marks).append(mark)
    is_written = any(mark.longest >= 0.1 * max(ink.shape) for mark in marks)
    return labels, marks if is_written else printed + marks


def _is_like(mark: _Mark, main: _Mark) -> bool:
    """True for what may be another digit of the number `main` belongs to."""
    low, high = _SAME_HEIGHT
    if not low * main.height <= mark.height <= high * main.height:
        return False
    in_row = mark.top < main.top + 0.6 * main.height and mark.bottom > main.top + 0.4 * main.height
    return mark.mass >= (_OTHER_MASS if in_row else _OTHER_MASS_APART) * main.mass


def _side_by_side(bodies: list[_Mark]) -> list[_Mark]:
    """Join the strokes of one digit: those above one another in the same row."""
    groups: list[_Mark] = []
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


def _without_neighbours(groups: list[_Mark], main: _Mark, page: _Page) -> list[_Mark]:
    """On a page hardly wider than its digit, what is cut by the left or right border belongs to the next cell."""
    if len(groups) > 3 or page.width >= 2.2 * main.height:
        return groups
    inner = [g for g in groups if main.labels[0] in g.labels or (g.left > 1 and g.right < page.width - 1)]
    return inner or groups


def _with_small_marks(groups: list[_Mark], small: list[_Mark], page: _Page) -> tuple[list[_Mark], list[_Mark]]:
    """Give each digit the small marks near it, such as the bar of a 5; what remains belongs nowhere."""
    left_over = []
    for mark in small:
        distances = [mark.distance(group) / group.longest for group in groups]
        nearest = min(range(len(groups)), key=distances.__getitem__)
        group = groups[nearest]
        share = mark.mass / group.mass
        if share < _TINY / 2 and mark.longest < 0.12 * group.longest:
            continue  # a speck
        limit = _NEAR_TINY if share < _TINY or page.touches(mark) else _NEAR
        if distances[nearest] <= limit:
            groups[nearest] = group.joined(mark)
        else:
            left_over.append(mark)
    return groups, left_over


def _in_reading_order(groups: list[_Mark]) -> list[_Mark]:
    """Rows from the top, each from the left; a row is what overlaps its first digit by half its height."""
    ordered: list[_Mark] = []
    remaining = sorted(groups, key=lambda group: group.top)
    while remaining:
        first = remaining[0]
        middle = (first.top + first.bottom) / 2
        row = [group for group in remaining if group.top <= middle]
        remaining = [group for group in remaining if group.top > middle]
        ordered += sorted(row, key=lambda group: group.left)
    return ordered


def _cut_out(ink: Plane, labels: NDArray[np.int32], group: _Mark) -> FoundDigit:
    """The ink of one digit, with its faint parts and without anyone else's, made even along the stroke."""
    window = np.s_[group.top : group.bottom, group.left : group.right]
    part, near = ink[window], labels[window]
    own = np.isin(near, group.labels)
    _, pieces = cv2.connectedComponents((part > _FAINT).astype(np.uint8), connectivity=8)
    touched = np.isin(pieces, np.unique(pieces[own])) & (own | (near == 0)) & (pieces > 0)
    digit = np.where(touched, part, np.float32(0))
    return FoundDigit(Box(group.left, group.top, group.width, group.height), _even(digit))


def _even(digit: Plane) -> Plane:
    """Bring stretches where pen or pencil ran faint up to the rest, at most to twice their ink."""
    reach = max(3, round(0.2 * max(digit.shape)) | 1)
    margin = reach // 2
    wide = cv2.copyMakeBorder(digit, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    peak = cv2.blur(cv2.dilate(wide, np.ones((reach, reach), np.uint8)), (reach, reach))
    height, width = digit.shape
    peak = peak[margin : margin + height, margin : margin + width]
    return np.minimum(digit / np.clip(peak, 0.5, 1), 1).astype(np.float32)
