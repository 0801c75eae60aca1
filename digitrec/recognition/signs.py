"""Find the signs of a number among the components that are too small for characters: points, commas, colons, dashes.

Plus signs and slashes are as high as characters, and are distinguished from digits by the sequence recognizer alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.components import Component
from digitrec.recognition.ctc import Text
from digitrec.recognition.sequence_recognizer import SIGNS


class SignParams(NamedTuple):
    """Shape and position of signs; set by hand on synthetic pages. Lengths are shares of h, the characters' height."""

    point: float = 0.06
    """Least length of both sides of a point or comma."""
    dash: float = 0.15
    """Least length of a dash."""
    dash_shape: float = 1.3
    """Least width over height of a dash."""
    middle: float = 0.2
    """Distance from a character's top and foot, as a share of its height, between which a dash stands."""
    foot: float = 0.35
    """Distance of a point's foot from the characters' up to which it stands between two digits of one number."""
    gap: float = 1.3
    """Largest gap beside a sign between two digits."""
    gap_before: float = 1.2
    """Largest gap between a dash and the number it stands before."""
    overlap: float = 0.15
    """Largest overlap across of a sign and the characters beside it."""


PARAMS = SignParams()

SMALL_SIGNS = "-.,:"
"""Signs that are lower than characters."""
_LEADING_SIGNS = "-+"
"""Signs that may stand before a number."""


def has_sign_between(left: Component, right: Component, small: Sequence[Component], height: float) -> bool:
    """Tell whether a point, comma or dash stands between two neighbours, so that they belong to one number."""
    foot = max(left.bottom, right.bottom)
    gap = PARAMS.gap * height
    return any(
        left.right <= sign.left
        and sign.right <= right.left
        and sign.left - left.right < gap
        and right.left - sign.right < gap
        and (abs(sign.bottom - foot) < PARAMS.foot * height or is_dash(sign, left, height))
        for sign in small
    )


def is_dash(component: Component, character: Component, height: float) -> bool:
    """Tell whether a small component is a dash on the line of a character."""
    p = PARAMS
    inset = p.middle * character.height
    is_flat = component.width >= max(p.dash * height, p.dash_shape * component.height)
    return is_flat and character.top + inset < (component.top + component.bottom) / 2 < character.bottom - inset


def find_signs(
    characters: Sequence[Component], small: Sequence[Component], height: float, before: float
) -> tuple[Component, ...]:
    """Find the signs of one number, from the left; points above one another are one sign.

    Args:
        characters: of the number, from the left.
        small: components that may be signs.
        height: h, pixels.
        before: right side of the number before it on its line, pixels; 0.0 without one.
    """
    p, reach = PARAMS, PARAMS.overlap * height
    signs: list[Component] = []
    for component in sorted(small, key=lambda component: component.left):
        if min(component.width, component.height) < p.point * height and component.width < p.dash * height:
            continue
        middle = (component.left + component.right) / 2
        first = next(
            (index for index, character in enumerate(characters) if middle < (character.left + character.right) / 2),
            len(characters),
        )
        if first == len(characters):
            continue
        right = characters[first]
        if component.right > right.left + reach:
            continue
        if first == 0:
            gap = right.left - component.right
            is_nearer = gap < component.left - before or not before
            if not (is_dash(component, right, height) and gap < p.gap_before * height and is_nearer):
                continue
        else:
            left = characters[first - 1]
            top, foot = min(left.top, right.top), max(left.bottom, right.bottom)
            is_on_line = component.bottom > top and component.top < foot + p.foot * height
            if component.left < left.right - reach or not is_on_line:
                continue
        if signs and min(signs[-1].right, component.right) > max(signs[-1].left, component.left):
            signs[-1] = signs[-1].joined(component)
        else:
            signs.append(component)
    return tuple(signs)


@dataclass(frozen=True, slots=True)
class NumberSymbols:
    """Positions of the digits and signs of a number in a text."""

    digits: tuple[int, ...]
    """The first symbol if there is no digit."""
    sign_positions: tuple[int, ...]
    signs: tuple[tuple[int, str], ...]
    """Each sign and the index of the digit that it stands before."""
    has_others: bool
    """The text has symbols that are no part of a number."""


def split_symbols(text: Text) -> NumberSymbols:
    """Find the digits and signs of a number: plus or minus before it, and one or more signs between two digits."""
    digits = tuple(position for position, symbol in enumerate(text) if symbol < DIGITS)
    positions = [position for position, symbol in enumerate(text) if sign_of(symbol)]
    if digits:
        leading = [position for position in positions if position < digits[0]]
        is_leading = len(leading) == 1 and sign_of(text[leading[0]]) in _LEADING_SIGNS
        first = leading[0] if is_leading else digits[0]
        positions = [position for position in positions if first <= position < digits[-1]]
    else:
        digits, positions = (0,), []
    before = [sum(digit < position for digit in digits) for position in positions]
    signs = tuple((index, sign_of(text[position])) for index, position in zip(before, positions, strict=True))
    return NumberSymbols(digits, tuple(positions), signs, len(digits) + len(positions) < len(text))


def sign_of(symbol: int) -> str:
    """Return the sign that a symbol of the recognizer stands for; '' if it is a digit or non-digit."""
    return SIGNS[symbol - CLASSES] if symbol >= CLASSES else ""
