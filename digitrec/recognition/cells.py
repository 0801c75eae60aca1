"""Tell where ruled cells and frames separate the characters of a text line."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from digitrec.recognition.components import Component
from digitrec.recognition.rules import Rules


class CellParams(NamedTuple):
    """Thresholds of cells; set by hand on synthetic pages."""

    ruled: float = 0.7
    """Share of the height of two neighbours along which a rule between them ends a number, 0..1."""
    comb_pitch: float = 2.6
    """Largest width of a cell of a comb field, as a share of h, the median height of the characters."""
    comb_even: float = 0.25
    """Largest deviation of the cells' widths from their median, as a share of it."""


PARAMS = CellParams()


def rule_between(left: Component, right: Component, rules: Rules) -> float | None:
    """Return the position across of the upright rule between two neighbours; None without one."""
    top, bottom = max(left.top, right.top), min(left.bottom, right.bottom)
    if bottom - top < 4:
        top, bottom = min(left.top, right.top), max(left.bottom, right.bottom)
    window = rules.upright[top:bottom, left.right - 1 : right.left + 1]
    if not window.size or np.count_nonzero(window.any(axis=1)) < PARAMS.ruled * window.shape[0]:
        return None
    return left.right - 1 + float(np.flatnonzero(window.any(axis=0)).mean())


def frame_border(left: Component, right: Component, frames: Sequence[Component]) -> float | None:
    """Return the position between the frames of equal size that hold two neighbours; None without such frames."""
    around = [next((frame for frame in frames if _holds(frame, character)), None) for character in (left, right)]
    first, second = around
    if first is None or second is None or first is second:
        return None
    is_equal = abs(first.width - second.width) <= PARAMS.comb_even * first.width
    is_adjoining = second.left - first.right < 0.5 * first.width and abs(first.top - second.top) < 0.5 * first.height
    return (first.right + second.left) / 2 if is_equal and is_adjoining else None


def _holds(frame: Component, character: Component) -> bool:
    """Tell whether a character is inside the box of a frame."""
    return (
        frame.left < character.left
        and character.right < frame.right
        and frame.top < character.top
        and character.bottom < frame.bottom
    )


def is_comb(parts: Sequence[Sequence[Component]], borders: Sequence[float | None], height: float) -> bool:
    """Tell whether a line is a comb field: adjoining cells of equal width, each with one character."""
    p = PARAMS
    rules = [border for border in borders if border is not None]
    if len(parts) < 2 or len(rules) < len(borders) or any(len(part) > 1 for part in parts):
        return False
    if largest_pitch([part[0] for part in parts]) > p.comb_pitch * height:
        return False
    widths = np.diff(rules)
    return not len(widths) or bool(np.abs(widths - np.median(widths)).max() <= p.comb_even * np.median(widths))


def largest_pitch(characters: Sequence[Component]) -> float:
    """Return the largest distance of the middles of two neighbours, pixels."""
    return max(pitch(left, right) for left, right in pairwise(characters))


def pitch(left: Component, right: Component) -> float:
    """Return the distance of the middles of two characters, pixels."""
    return (right.left + right.right - left.left - left.right) / 2
