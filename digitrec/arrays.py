"""Define the array types that travel between packages, and the page they belong to."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from digitrec.types import Box, Opinion, Reason

Picture: TypeAlias = NDArray[np.uint8]
"""Decoded page: (h, w) gray or (h, w, 3) RGB, 0 = black, 255 = white."""

Ink: TypeAlias = NDArray[np.float32]
"""Normalized digits: (n, 28, 28), 0.0 = paper, 1.0 = ink."""

Scores: TypeAlias = NDArray[np.float32]
"""Class probabilities: (n, 11), columns 0 to 9 for the digits, the last for non-digits; rows sum to 1."""


@dataclass(frozen=True, slots=True)
class NumberSpan:
    """Digits of a page that form one number: `start` to `stop` (half open) of the page's boxes."""

    start: int
    stop: int
    line: int = 1
    """Line of the page, or row of a table, from 1."""
    column: int = 1
    """Position in the line, or column of a table, from 1."""
    layout_confidence: float = 1.0
    """Probability that these are all digits of the number, 0..1."""
    reason: Reason | None = None
    """None, `not_a_digit`, `ambiguous_layout` or `other_marks`."""
    signs: tuple[tuple[int, str], ...] = ()
    """Each sign and the index of the digit of the number that it stands before; `-3,14`: (0, "-"), (1, ",")."""
    is_clear: bool = True
    """Where the number begins and ends is clear."""
    opinion: Opinion | None = None
    """Of another reader; None if none was asked."""


@dataclass(frozen=True, slots=True, eq=False)
class PageResult:
    """One page: its digits, or the reason it has none."""

    number: int
    """From 1."""
    format: str
    """'png', 'jpeg', 'tiff', ...; detected by content."""
    width: int
    height: int
    boxes: tuple[Box, ...]
    """In reading order."""
    ink: Ink
    """(len(boxes), 28, 28)."""
    preview: Picture
    """(h, w) gray, sides of at most 96 px, for a person who reviews the page."""
    reason: Reason | None = None
    """None, a rejecting reason (without boxes), `ambiguous_layout`, `not_a_digit`, or `other_marks` (with or without
    boxes)."""
    detail: str = ""
    """The reason in words, where it says more than `reason.description`."""
    scores: Scores = field(default_factory=lambda: np.zeros((0, 11), np.float32))
    """(len(boxes), 11) after classification; empty before."""
    numbers: tuple[NumberSpan, ...] = ()
    """In reading order; together they hold every digit. Default: all digits form one number."""
    sign_boxes: tuple[Box, ...] = ()
    """Of the signs of all numbers, in reading order; empty if they are unknown."""

    def __post_init__(self) -> None:
        # A page without digits cannot be accepted: it needs a reason.
        is_rejected = self.reason is not None and self.reason.is_rejection
        if is_rejected == bool(self.boxes) and (self.boxes or self.reason is not Reason.OTHER_MARKS):
            raise ValueError(f"page {self.number} has {len(self.boxes)} digits and the reason {self.reason}")
        if self.boxes and not self.numbers:
            object.__setattr__(self, "numbers", (NumberSpan(0, len(self.boxes)),))
        if [index for span in self.numbers for index in range(span.start, span.stop)] != [*range(len(self.boxes))]:
            raise ValueError(f"the numbers of page {self.number} do not hold each of its {len(self.boxes)} digits once")
