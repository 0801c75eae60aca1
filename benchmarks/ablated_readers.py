"""Readers with a part left out, for `benchmarks.ablation`: in a module that child processes can import."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.images.decode import Sheet
from digitrec.recognition.classifier import CLASSES, DIGITS, NONE
from digitrec.recognition.ctc import Frames
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.reader import PageReader
from digitrec.recognition.segmenter import InkNetwork, Seen
from digitrec.recognition.sequence_recognizer import STEP, LineNetwork
from digitrec.recognition.trace import Steps


class Blind(InkNetwork):
    """Sees no ink anywhere."""

    def __init__(self) -> None:
        """Need no weights."""

    def find(self, grey: Plane, afar: Seen | None = None) -> Seen | None:  # noqa: ARG002 - it does not look
        """Nothing."""
        return None


class Undecided(LineNetwork):
    """Holds every single digit, and none, for equally probable: a witness who changes nothing."""

    def __init__(self) -> None:
        """Need no weights."""

    def read(self, strip: Plane) -> tuple[Frames, float]:  # noqa: ARG002 - it does not look
        """One frame."""
        frame = np.full((1, CLASSES + 1), 1 / (DIGITS + 1), np.float32)
        frame[0, NONE] = 0.0
        return frame, float(STEP)


@dataclass(frozen=True, slots=True)
class WithoutGlance(PageReader):
    """Looks closely at every page."""

    def steps_of(self, sheets: Sequence[tuple[str, Sheet]]) -> Iterator[Steps]:
        """Read sheets."""
        return (self.closely(name, sheet) for name, sheet in sheets)


@dataclass(frozen=True, slots=True)
class WithoutLine(PageReader):
    """Numbers as the classical way cuts them; a second look, without the line network, at single signs only."""

    def steps_of(self, sheets: Sequence[tuple[str, Sheet]]) -> Iterator[Steps]:
        """Read sheets."""
        for (name, sheet), steps in zip(sheets, PageReader(self.classifier).steps_of(sheets), strict=True):
            yield steps if len(steps.page.boxes) > 1 else self.closely(name, sheet)
