"""Readers with a part left out, for `benchmarks.ablation`: in a module that child processes can import."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import CLASSES, DIGITS, NO_DIGIT
from digitrec.recognition.ctc import FrameProbs
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.reader import PageReader
from digitrec.recognition.segmenter import SegmentedCrop, Segmenter
from digitrec.recognition.sequence_recognizer import FRAME_PX, SequenceRecognizer
from digitrec.recognition.trace import RecognitionTrace


class Blind(Segmenter):
    """Sees no ink anywhere."""

    def __init__(self) -> None:
        """Need no weights."""

    def find(self, grey: Plane, afar: SegmentedCrop | None = None) -> SegmentedCrop | None:  # noqa: ARG002 - it does not look
        """Nothing."""
        return None


class Undecided(SequenceRecognizer):
    """Holds every single digit, and none, for equally probable: a witness who changes nothing."""

    def __init__(self) -> None:
        """Need no weights."""

    def read(self, strip: Plane) -> tuple[FrameProbs, float]:  # noqa: ARG002 - it does not look
        """One frame."""
        frame = np.full((1, CLASSES + 1), 1 / (DIGITS + 1), np.float32)
        frame[0, NO_DIGIT] = 0.0
        return frame, float(FRAME_PX)


@dataclass(frozen=True, slots=True)
class WithoutGlance(PageReader):
    """Looks closely at every page."""

    def trace_all(self, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        """Read sheets."""
        return (self.read_full(name, sheet) for name, sheet in sheets)


@dataclass(frozen=True, slots=True)
class WithoutLine(PageReader):
    """Numbers as the classical way cuts them; a second look, without the line network, at single signs only."""

    def trace_all(self, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        """Read sheets."""
        for (name, sheet), steps in zip(sheets, PageReader(self.classifier).trace_all(sheets), strict=True):
            yield steps if len(steps.page.boxes) > 1 else self.read_full(name, sheet)
