"""Group the components of a page into digits in reading order.

Boxes are in pixels of the ink; `fast_path` converts them to pixels of the page.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.recognition.components import Component, ConnectedComponents, PageFrame, candidate_components
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box

_FAINT = 0.07
"""Least ink of a pixel that belongs to the digit it touches."""

_LEAST_PX = 6
_LEAST_SHARE = 0.03
"""Least length of the main component, as a share of the page; shorter ones, or below `_LEAST_PX`, are dirt."""
_CROWD = 20
"""Number of components from which they are no dirt, however small."""
_MOST_DIGITS = 64

_SAME_HEIGHT = (0.55, 1.8)
"""Height of the other digits of a number, as a multiple of the main component's."""
_OTHER_MASS = 0.12
"""Least ink of another digit, as a share of the main component's: a thin 1 has 0.18 to 0.39 of a heavy digit's."""
_SAME_DIGIT = 0.35
"""Least horizontal overlap of two strokes of one digit, as a share of the narrower."""
_BROKEN = 0.13
"""Largest vertical gap between two strokes of one digit, as a share of their height."""

_NEAR = 0.22
"""Largest distance of a small component from its digit, as a share of the digit's longest side."""
_NEAR_TINY = 0.03
"""The same for a tiny component, or one at a border."""
_TINY = 0.04
"""Largest ink of a tiny component, as a share of the digit's."""

_WIDE = 1.7
"""Width over height from which a component is more likely two touching digits, or a word."""
_LEFT_OVER = 0.5
"""Least height of a component without a digit, as a share of the main one's, that makes the layout ambiguous."""


@dataclass(frozen=True, slots=True, eq=False)
class DigitRegion:
    """One digit: its box and its ink, (box.height, box.width), without other components."""

    box: Box
    ink: Plane
    pieces: int = 1
    """Number of its components."""


@dataclass(frozen=True, slots=True, eq=False)
class LayoutResult:
    """Digits of a page in reading order."""

    digits: tuple[DigitRegion, ...]
    is_unambiguous: bool

    def neighbour_ink_ratio(self, ink: Plane) -> float:
        """Return the page's ink, (h, w), that is not the first digit's, as a share of the digit's."""
        box, own = self.digits[0].box, self.digits[0].ink > 0
        mass = float(np.vdot(ink[box.y : box.y + box.height, box.x : box.x + box.width], own.astype(np.float32)))
        return float(ink.sum()) / max(mass, 1e-9) - 1


def group_digits(ink: Plane) -> LayoutResult:
    """Group the ink of a page, (h, w), into digits; no digits if there is only dirt."""
    frame = PageFrame(ink.shape[1], ink.shape[0])
    pieces, components = candidate_components(ink, frame)
    if not components:
        return LayoutResult((), is_unambiguous=True)
    main = components[0] if len(components) == 1 else max(components, key=frame.weight)
    if main.longest < max(_LEAST_PX, _LEAST_SHARE * max(ink.shape)) and len(components) < _CROWD:
        return LayoutResult((), is_unambiguous=True)
    groups, left_over = ([main], []) if len(components) == 1 else _group_components(components, main, frame)
    highest = max((component.height for component in left_over), default=0)
    is_all = len(groups) <= _MOST_DIGITS and highest < _LEFT_OVER * main.height
    is_clear = is_all and all(group.width < _WIDE * group.height for group in groups)
    digits = tuple(
        DigitRegion(
            Box(group.left, group.top, group.width, group.height),
            crop_component(ink, pieces, group),
            len(group.labels),
        )
        for group in _in_reading_order(groups)[:_MOST_DIGITS]
    )
    return LayoutResult(digits, is_clear)


def _group_components(
    components: list[Component], main: Component, frame: PageFrame
) -> tuple[list[Component], list[Component]]:
    """Return the merged components of each digit, unordered, and the components of no digit."""
    groups = _join_strokes(
        [component for component in components if component is main or _is_similar_size(component, main)]
    )
    groups = _drop_cut_neighbours(groups, main, frame)
    taken = {label for group in groups for label in group.labels}
    return _attach_small_components(
        groups, [component for component in components if not taken & {*component.labels}], frame
    )


def _is_similar_size(component: Component, main: Component) -> bool:
    """Return True if a component may be another digit of the main component's number."""
    low, high = _SAME_HEIGHT
    if not low * main.height <= component.height <= high * main.height:
        return False
    return component.mass >= _OTHER_MASS * main.mass


def _join_strokes(bodies: list[Component]) -> list[Component]:
    """Merge the strokes of one digit: those above one another in the same row."""
    groups: list[Component] = []
    for body in sorted(bodies, key=lambda component: (component.left, component.top)):
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


def _drop_cut_neighbours(groups: list[Component], main: Component, frame: PageFrame) -> list[Component]:
    """On a page hardly wider than its digit, drop components cut by the left or right border: the next cell's."""
    if len(groups) > 3 or frame.width >= 2.2 * main.height:
        return groups
    inner = [g for g in groups if main.labels[0] in g.labels or (g.left > 1 and g.right < frame.width - 1)]
    return inner or groups


def _attach_small_components(
    groups: list[Component], small: list[Component], frame: PageFrame
) -> tuple[list[Component], list[Component]]:
    """Merge small components, such as the bar of a 5, with the nearest digit; return the digits and the rest."""
    left_over = []
    for component in small:
        distances = [component.distance(group) / group.longest for group in groups]
        nearest = min(range(len(groups)), key=distances.__getitem__)
        group = groups[nearest]
        share = component.mass / group.mass
        if share < _TINY / 2 and component.longest < 0.12 * group.longest:
            continue  # a speck
        limit = _NEAR_TINY if share < _TINY or frame.touches(component) else _NEAR
        if distances[nearest] <= limit:
            groups[nearest] = group.joined(component)
        else:
            left_over.append(component)
    return groups, left_over


def _in_reading_order(groups: list[Component]) -> list[Component]:
    """Sort into rows from the top, each from the left; a row begins above the middle of its highest digit."""
    ordered: list[Component] = []
    remaining = sorted(groups, key=lambda group: group.top)
    while remaining:
        first = remaining[0]
        middle = (first.top + first.bottom) / 2
        row = [group for group in remaining if group.top <= middle]
        remaining = [group for group in remaining if group.top > middle]
        ordered += sorted(row, key=lambda group: group.left)
    return ordered


def crop_component(ink: Plane, pieces: ConnectedComponents, group: Component) -> Plane:
    """Crop one digit with its faint parts and without other components, evened out along the stroke.

    Args:
        ink: of the page, (h, w).
        pieces: components of that ink.
        group: the merged components of the digit.
    """
    window = np.s_[group.top : group.bottom, group.left : group.right]
    part, near = ink[window], pieces.labels[window]
    is_digit = part > _FAINT
    count, parts = cv2.connectedComponents(is_digit.view(np.uint8), connectivity=8)
    is_lone = len(pieces.boxes) == 2
    if count > 2 or not is_lone:  # else all of it belongs to the digit
        own = near == group.labels[0]
        for label in group.labels[1:]:
            own |= near == label
        is_touched = np.zeros(count, np.bool_)
        is_touched[parts[own]] = True
        is_digit &= is_touched[parts]
        is_digit &= own | (near == 0)
    return _even_out_ink(part * is_digit)


def _even_out_ink(digit: Plane) -> Plane:
    """Strengthen faint stretches of the stroke, at most to twice their ink."""
    reach = max(3, round(0.2 * max(digit.shape)) | 1)
    margin = reach // 2
    wide = cv2.copyMakeBorder(digit, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    peak = cv2.blur(cv2.dilate(wide, np.ones((reach, reach), np.uint8)), (reach, reach))
    height, width = digit.shape
    even = np.maximum(peak[margin : margin + height, margin : margin + width], 0.5)
    np.divide(digit, np.minimum(even, 1, out=even), out=even)
    return np.minimum(even, 1, out=even)
