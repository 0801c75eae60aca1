"""Fake models with the interface of LiteRT: dark pixels are ink, texts are given."""

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
    """Fake segmenter: pixels clearly darker than their surroundings are ink."""
    return (entry < -0.5).astype(np.float32)


def nothing(entry: Entry) -> Entry:
    """Fake segmenter that never finds ink."""
    return np.zeros_like(entry)


def beyond(entry: Entry) -> Entry:
    """Fake segmenter that finds ink only in the corner of its window, perhaps beyond the page."""
    ink = np.zeros_like(entry)
    ink[:, -12:, -12:] = 1
    return ink


def frames_of(*signs: int, sure: float = 0.98, symbols: int = SIGNS) -> Entry:
    """Return frames of these symbols, 0 to `symbols` (CTC's blank), one per step: (T, symbols + 1)."""
    frames = np.full((len(signs), symbols + 1), (1 - sure) / symbols, np.float32)
    frames[np.arange(len(signs)), signs] = sure
    return frames


@dataclass
class Says:
    """Fake sequence recognizer that returns the same text for every line crop, evenly spaced."""

    signs: tuple[int, ...]
    sure: float = 0.98
    lines: list[Entry] = field(default_factory=list)
    """Inputs so far."""
    symbols: int = SIGNS
    """Size of the alphabet without CTC's blank."""
    rivals: dict[int, int] = field(default_factory=dict)
    """Symbols that get half of the probability of another one."""

    def __call__(self, entry: Entry) -> Entry:
        self.lines.append(entry)
        steps = entry.shape[2] // FRAME_PX
        # The padding is 0: the symbols are placed in the rest.
        filled = max(1, int(np.flatnonzero(entry[0].any(axis=(0, 2))).max(initial=0)) // FRAME_PX)
        signs = [self.symbols] * steps
        for place, sign in enumerate(self.signs):
            signs[min(steps - 1, round((place + 0.5) / len(self.signs) * filled))] = sign
        frames = frames_of(*signs, sure=self.sure, symbols=self.symbols)
        for sign, rival in self.rivals.items():
            frames[np.array(signs) == sign, sign] /= 2
            frames[np.array(signs) == sign, rival] += self.sure / 2
        return frames[None, None]


@dataclass
class Sorter:
    """Fake classifier that returns the same scores for every digit."""

    sign: int
    sure: float = 0.9
    fingerprint: str = "says always the same"

    def score(self, ink: Ink) -> Scores:
        scores = np.full((len(ink), CLASSES), (1 - self.sure) / (CLASSES - 1), np.float32)
        scores[:, self.sign] = self.sure
        return scores


@dataclass
class Spells:
    """Fake classifier that names the characters of each call in this order."""

    signs: tuple[int, ...]
    sure: float = 0.97
    fingerprint: str = "says a text"

    def score(self, ink: Ink) -> Scores:
        scores = np.full((len(ink), CLASSES), (1 - self.sure) / (CLASSES - 1), np.float32)
        for place in range(len(ink)):
            scores[place, self.signs[place % len(self.signs)]] = self.sure
        return scores


@dataclass
class Learning:
    """Fake classifier with a given confidence for each call."""

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
    raise AssertionError("this model must not run")
