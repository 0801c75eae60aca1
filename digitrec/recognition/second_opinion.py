"""Ask another reader about the numbers of a page that are in doubt, and weigh its answer.

Two readers that were made independently seldom make the same error in reading a strip. The other reader is asked only
about numbers that could be accepted: below their operating point, with clear limits, no unread ink near them and no
other reason for a review. Where a number begins and ends it cannot tell, as it sees the same strip.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from digitrec.arrays import Picture
from digitrec.models.calibration import AnswerKind
from digitrec.models.second_opinion import AgreementModel
from digitrec.recognition import decision
from digitrec.recognition.geometry import bounding_rect, crop_rect, from_page_coords, line_rect_around
from digitrec.recognition.number_reader import crop_strip
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Opinion


class SecondOpinionParams(NamedTuple):
    """Limits of what another reader is asked."""

    most: int = 200
    """Most numbers of a page, so that it stays within the time limit of a page."""
    longest: float = 40.0
    """Largest width over height of a strip."""


PARAMS = SecondOpinionParams()


@dataclass(frozen=True, slots=True)
class ReadText:
    """Text that another reader reads in a strip; "" if it finds none."""

    text: str
    score: float
    """0..1."""


class TextReader(Protocol):
    """Another reader of strips of text."""

    def read(self, strip: Picture) -> ReadText | None:
        """Read a strip, (h, w), 0 = black; None if that fails: the number keeps its own confidence."""


@dataclass(frozen=True, slots=True)
class AskRule:
    """About which answers of one kind another reader is asked, and from where its agreement is accepted."""

    asked_below: float
    """Own confidence below which it is asked, 0..1."""
    threshold: float
    """Lowest combined confidence that is accepted."""
    model: AgreementModel


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Asks another reader about the numbers of a page; kinds of answers without a rule are not asked about."""

    name: str
    """Name and version of the other reader."""
    reader: TextReader
    rules: Mapping[AnswerKind, AskRule]

    def add(self, trace: RecognitionTrace) -> RecognitionTrace:
        """Return the trace of a page with the opinions on its numbers that are in doubt."""
        page = trace.page
        texts = [decision.number_text(page, span) for span in page.numbers]
        rule = self.rules.get(AnswerKind.DIGITS if len("".join(texts)) == 1 else AnswerKind.NUMBERS)
        if rule is None or trace.decoded is None:
            return trace
        opinions: list[Opinion | None] = [None] * len(page.numbers)
        asked = 0
        for index, own in enumerate(decision.acceptance_thresholds(page)):
            if own is None or own >= rule.asked_below or not page.numbers[index].is_clear or asked == PARAMS.most:
                continue
            strip = _crop_number(trace, index)
            if strip.shape[1] > PARAMS.longest * strip.shape[0]:
                continue
            read = self.reader.read(strip)
            if read is None:  # it would fail again
                break
            asked += 1
            agrees = _without_spaces(read.text) == texts[index]
            confidence = rule.model.confidence(own, agrees, read.score)
            opinions[index] = Opinion(self.name, read.text, read.score, agrees, confidence, rule.threshold)
        return replace(trace, opinions=tuple(opinions)) if any(opinions) else trace

    def add_all(self, traces: Iterator[RecognitionTrace]) -> Iterator[RecognitionTrace]:
        """Yield the traces of several pages with the opinions."""
        return map(self.add, traces)


def _crop_number(trace: RecognitionTrace, index: int) -> Picture:
    """Return the strip of a number without rules, (h, w)."""
    path = trace.page_path
    if path is not None and path.layout[index].characters:
        _, strip = crop_strip(path.layout[index], path.ink.gray)
        return _to_picture(strip)
    assert trace.decoded is not None
    page = trace.initial if trace.ensemble is None else trace.ensemble.page
    gray = trace.decoded.gray if path is None else path.ink.gray
    span = page.numbers[index]
    rect = bounding_rect([from_page_coords(box, page, gray) for box in page.boxes[span.start : span.stop]])
    return _to_picture(crop_rect(gray, line_rect_around(rect, gray)))


def _to_picture(strip: Plane) -> Picture:
    return np.clip(np.rint(strip), 0, 255).astype(np.uint8)


def _without_spaces(text: str) -> str:
    return "".join(text.split())
