"""Networks small enough to know by heart: they take and give what LiteRT does, and see what is dark."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digitrec.arrays import Ink, Scores
from digitrec.recognition import segmenter, sequence_recognizer
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import FRAME_PX, SequenceRecognizer

SIGNS = CLASSES
BLANK = SIGNS
"""CTC's."""

Entry = NDArray[np.float32]


def dark(entry: Entry) -> Entry:
    """An ink network that takes what is clearly darker than its surroundings for ink."""
    return (entry < -0.5).astype(np.float32)


def nothing(entry: Entry) -> Entry:
    """One that never sees ink."""
    return np.zeros_like(entry)


def beyond(entry: Entry) -> Entry:
    """One that sees ink only in the corner of its window, where there may be no page."""
    ink = np.zeros_like(entry)
    ink[:, -12:, -12:] = 1
    return ink


def frames_of(*signs: int, sure: float = 0.98) -> Entry:
    """Frames that say these signs, 0 to 10 or BLANK, a step each: (T, 12)."""
    frames = np.full((len(signs), SIGNS + 1), (1 - sure) / SIGNS, np.float32)
    frames[np.arange(len(signs)), signs] = sure
    return frames


@dataclass
class Says:
    """A line network that says the same of every strip, at these shares of the strip's length."""

    signs: tuple[int, ...]
    sure: float = 0.98
    lines: list[Entry] = field(default_factory=list)
    """What it was shown."""

    def __call__(self, entry: Entry) -> Entry:
        self.lines.append(entry)
        steps = entry.shape[2] // FRAME_PX
        # What lies beyond the strip is 0: the signs stand where there is something to see.
        filled = max(1, int(np.flatnonzero(entry[0].any(axis=(0, 2))).max(initial=0)) // FRAME_PX)
        signs = [BLANK] * steps
        for place, sign in enumerate(self.signs):
            signs[min(steps - 1, round((place + 0.5) / len(self.signs) * filled))] = sign
        return frames_of(*signs, sure=self.sure)[None, None]


@dataclass
class Sorter:
    """A classifier that says the same of every sign."""

    sign: int
    sure: float = 0.9
    fingerprint: str = "says always the same"

    def score(self, ink: Ink) -> Scores:
        scores = np.full((len(ink), CLASSES), (1 - self.sure) / (CLASSES - 1), np.float32)
        scores[:, self.sign] = self.sure
        return scores


@dataclass
class Learning:
    """A classifier that is surer of each sign than of the one before."""

    sign: int
    sures: list[float]
    fingerprint: str = "learns"

    def score(self, ink: Ink) -> Scores:
        scores = np.zeros((len(ink), CLASSES), np.float32)
        for row in scores:
            sure = self.sures.pop(0)
            row[:] = (1 - sure) / (CLASSES - 1)
            row[self.sign] = sure
        return scores


def ink_by(monkeypatch: pytest.MonkeyPatch, run: Callable[[Entry], Entry]) -> Segmenter:
    monkeypatch.setattr(segmenter, "InterpreterPool", lambda *_: run)
    return Segmenter(b"", "stand-in")


def line_by(monkeypatch: pytest.MonkeyPatch, run: Callable[[Entry], Entry]) -> SequenceRecognizer:
    monkeypatch.setattr(sequence_recognizer, "InterpreterPool", lambda *_: run)
    return SequenceRecognizer(b"", "stand-in")


def paper(height: int, width: int, *squares: tuple[int, int, int]) -> Plane:
    """Light paper with dark squares, each (left, top, side)."""
    gray = np.full((height, width), 220, np.float32)
    for left, top, side in squares:
        gray[top : top + side, left : left + side] = 30
    return gray


def unused(entry: Any) -> Entry:
    raise AssertionError("this network is not to be asked")
