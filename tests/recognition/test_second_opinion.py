"""Another reader is asked about numbers in doubt, and about nothing else."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.images.decode import DecodedPage
from digitrec.models.calibration import ACCEPT_NOTHING, AnswerKind
from digitrec.models.second_opinion import AgreementModel
from digitrec.recognition import visualize
from digitrec.recognition.decision import decide
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.recognition.second_opinion import PARAMS, AskRule, ReadText, SecondOpinion
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import PageReading, PageStatus, Reason, Thresholds
from tests.recognition.drawn import frame, write
from tests.recognition.drawn import paper as plain
from tests.recognition.stand_ins import Says, Sorter, Spells, dark, ink_by, line_by, nothing, paper

OWN = Thresholds(0.99, 0.99)
"""Own operating points, above the confidence of the stand-ins."""


@dataclass
class Reads:
    """Another reader that gives these texts in turn, the last one again and again; None is a failure."""

    texts: list[str | None]
    score: float = 0.99
    strips: list[Picture] = field(default_factory=list)

    def read(self, strip: Picture) -> ReadText | None:
        self.strips.append(strip)
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        return None if text is None else ReadText(text, self.score if text else 0.0)


def asking(other: Reads, threshold: float = 0.98, kinds: tuple[AnswerKind, ...] = tuple(AnswerKind)) -> SecondOpinion:
    models = {kind: AgreementModel(kind, 0.0, 0.5, 4.0, 0.5, 0.5) for kind in kinds}
    asked_below = {AnswerKind.DIGITS: OWN.digit, AnswerKind.NUMBERS: OWN.number}
    return SecondOpinion(
        "other-1.2", other, {kind: AskRule(asked_below[kind], threshold, models[kind]) for kind in kinds}
    )


def trace_page(
    picture: np.ndarray,
    classifier: Sorter | Spells,
    second: SecondOpinion | None,
    models: RecognitionModels | None = None,
) -> RecognitionTrace:
    height, width = picture.shape[:2]
    page = DecodedPage(1, width, height, np.asarray(picture, np.uint8))
    return PageReader(classifier, models, second).trace("png", page)


def read_page(picture: np.ndarray, classifier: Sorter | Spells, second: SecondOpinion | None) -> PageReading:
    return decide(trace_page(picture, classifier, second).page, OWN)


def two_numbers() -> Picture:
    picture = plain(300, 900)
    write(picture, "31", 80, 120, high=90)
    write(picture, "31", 560, 120, high=90)
    return picture


def test_agreement_accepts_a_number_below_its_operating_point() -> None:
    other = Reads(["31"])

    without = read_page(two_numbers(), Spells((3, 1)), None)
    reading = read_page(two_numbers(), Spells((3, 1)), asking(other))

    assert (without.text, without.status, without.reason) == ("31 31", PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    assert (reading.text, reading.status, reading.reason) == ("31 31", PageStatus.ACCEPTED, None)
    assert [number.opinion.agrees for number in reading.numbers if number.opinion] == [True, True]
    assert all((number.confidence or 0) > 0.98 for number in reading.numbers)
    assert reading.digits == without.digits
    assert 0 <= (reading.runner_up_confidence or 0) <= 1 - (reading.confidence or 0) + 1e-9


def test_another_text_lowers_the_confidence_and_keeps_the_answer() -> None:
    reading = read_page(two_numbers(), Spells((3, 1)), asking(Reads(["31", "37"])))

    accepted, doubted = reading.numbers
    assert (reading.text, reading.status, reading.reason) == ("31 31", PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    assert (accepted.status, doubted.status) == (PageStatus.ACCEPTED, PageStatus.REVIEW)
    assert (doubted.confidence or 0) < 0.7 < (accepted.confidence or 0)


@pytest.mark.parametrize(("text", "agrees"), [("3 1", True), ("31", True), ("", False), ("3l", False), ("310", False)])
def test_only_the_same_characters_agree(text: str, agrees: bool) -> None:
    reading = read_page(two_numbers(), Spells((3, 1)), asking(Reads([text])))

    assert {number.opinion.agrees for number in reading.numbers if number.opinion} == {agrees}


def test_only_numbers_below_the_operating_point_are_asked_about() -> None:
    sure, other = Sorter(1, sure=0.9999), Reads(["31"])

    trace = trace_page(two_numbers(), sure, asking(other))

    assert (other.strips, trace.opinions) == ([], ())
    assert read_page(two_numbers(), sure, asking(other)) == read_page(two_numbers(), sure, None)


def test_kinds_of_answers_without_a_rule_are_not_asked_about() -> None:
    other = Reads(["31"])

    read_page(two_numbers(), Spells((3, 1)), asking(other, kinds=(AnswerKind.DIGITS,)))

    assert other.strips == []


def test_the_strip_of_a_number_shows_no_rules() -> None:
    picture, other = plain(300, 700), Reads(["31"])
    frame(picture, 40, 60, 600, 180)
    write(picture, "31", 260, 110, high=80)

    read_page(picture, Spells((3, 1)), asking(other))

    (strip,) = other.strips
    assert strip.dtype == np.uint8
    assert strip.shape[1] < 400
    edge = np.concatenate([strip[0], strip[-1], strip[:, 0], strip[:, -1]])
    assert edge.min() > 150
    assert strip.min() < 100


def test_a_number_with_unread_ink_near_it_is_not_asked_about() -> None:
    picture, other = plain(300, 900), Reads(["31"])
    write(picture, "31", 80, 120, high=90)
    write(picture, "31", 560, 120, high=90)
    picture[150:158, 300:340] = 20  # a dash beside the first number

    trace = trace_page(picture, Spells((3, 1)), asking(other))
    reading = decide(trace.page, OWN)

    assert trace.unread
    marked = [number for number in reading.numbers if number.reason is Reason.OTHER_MARKS]
    assert marked
    assert all(number.opinion is None and number.status is PageStatus.REVIEW for number in marked)
    assert len(other.strips) == len(reading.numbers) - len(marked)
    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.OTHER_MARKS)


def test_a_likely_non_digit_is_not_asked_about() -> None:
    other = Reads(["31"])

    reading = read_page(two_numbers(), Sorter(10, sure=0.6), asking(other))

    assert (other.strips, reading.reason) == ([], Reason.NOT_A_DIGIT)


def test_a_failure_costs_the_opinions_of_its_page_only() -> None:
    other = Reads([None, "31"])
    second = asking(other)

    failed = read_page(two_numbers(), Spells((3, 1)), second)
    after = read_page(two_numbers(), Spells((3, 1)), second)

    assert failed == read_page(two_numbers(), Spells((3, 1)), None)
    assert after.status is PageStatus.ACCEPTED
    assert len(other.strips) == 3


def test_a_page_asks_about_a_limited_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.recognition.second_opinion.PARAMS", PARAMS._replace(most=1))
    other = Reads(["31"])

    reading = read_page(two_numbers(), Spells((3, 1)), asking(other))

    assert len(other.strips) == 1
    assert [number.opinion is None for number in reading.numbers] == [False, True]


def test_the_only_digit_of_a_page_has_an_operating_point_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.999)))
    other = Reads(["7"])

    picture = paper(260, 240, (80, 90, 60))
    trace = trace_page(picture, Sorter(7, sure=0.9), asking(other, kinds=(AnswerKind.DIGITS,)), networks)
    reading = decide(trace.page, OWN)

    assert (reading.text, reading.status) == ("7", PageStatus.ACCEPTED)
    (strip,) = other.strips
    assert 60 <= strip.shape[0] < 260


def test_a_page_that_is_read_turned_is_not_asked_about() -> None:
    other = Reads(["31"])
    trace = trace_page(two_numbers(), Spells((3, 1)), None)

    assert asking(other).add(replace(trace, turns=2)).opinions == ()
    assert other.strips == []


def test_nothing_is_accepted_above_every_confidence() -> None:
    reading = read_page(two_numbers(), Spells((3, 1)), asking(Reads(["31"]), threshold=ACCEPT_NOTHING))

    assert (reading.status, reading.reason) == (PageStatus.REVIEW, Reason.LOW_CONFIDENCE)


def test_the_explanation_tells_what_the_other_reader_says(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    block: Callable[..., Picture] = visualize.text_block
    monkeypatch.setattr(visualize, "text_block", lambda text, **how: (lines.extend(text), block(text, **how))[1])
    networks = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((3, 1), sure=0.8)))
    picture = plain(300, 500)
    write(picture, "31", 180, 120, high=90)

    trace = trace_page(picture, Spells((3, 1)), asking(Reads(["31"])), networks)
    visualize.draw_trace(trace, decide(trace.page, OWN), OWN.number)

    assert "other-1.2 agrees, score 0.9900" in lines
    assert any("threshold 0.9800: high enough" in line for line in lines)


def test_results_with_opinions_are_sent_between_processes() -> None:
    page = trace_page(two_numbers(), Spells((3, 1)), asking(Reads(["31"]))).page

    assert pickle.loads(pickle.dumps(page)).numbers == page.numbers
