"""What travels as arrays: pictures, ink, scores, and the page they are of."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from digitrec.types import Box, Reason

Picture: TypeAlias = NDArray[np.uint8]
"""A page as decoded: (h, w) grey or (h, w, 3) RGB, 0 = black, 255 = white."""

Ink: TypeAlias = NDArray[np.float32]
"""Normalised digits: (n, 28, 28), 0.0 = paper, 1.0 = ink."""

Scores: TypeAlias = NDArray[np.float32]
"""Probabilities: (n, 11), columns 0 to 9 for the digits, the last for "no digit"; each row sums to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class PageResult:
    """One page: the digits found on it, or the reason there are none."""

    number: int
    """From 1."""
    format: str
    """'png', 'jpeg', 'tiff', ...; by content."""
    width: int
    height: int
    boxes: tuple[Box, ...]
    """In reading order."""
    ink: Ink
    """(len(boxes), 28, 28)."""
    preview: Picture
    """(h, w) grey, no side longer than 96 px: what a person is shown."""
    reason: Reason | None = None
    """None, a rejecting reason (then there are no boxes), `ambiguous_layout`, `not_a_digit`, or `other_marks` (with
    boxes or without)."""
    detail: str = ""
    """The reason in words, where there is more to say than `reason.description`."""
    scores: Scores = field(default_factory=lambda: np.zeros((0, 11), np.float32))
    """(len(boxes), 11) once it has been read; none before."""
    layout_confidence: float = 1.0
    """Probability that these are all the digits there are, 0..1."""

    def __post_init__(self) -> None:
        # Without a digit there is nothing to accept: only a reason is an answer.
        is_rejected = self.reason is not None and self.reason.is_rejection
        if is_rejected == bool(self.boxes) and (self.boxes or self.reason is not Reason.OTHER_MARKS):
            raise ValueError(f"page {self.number} has {len(self.boxes)} digits and the reason {self.reason}")
