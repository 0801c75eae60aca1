"""What another reader's agreement is worth, counted on labelled answers."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.models.calibration import AnswerKind, CalibrationTable, OperatingPoint, Rule
from digitrec.models.package import ModelPackage
from digitrec.recognition.second_opinion import ReadText
from digitrec.training.calibrate import NEVER
from digitrec.training.classifier import split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.synthetic_evaluation import (
    DIGITS,
    EMPTY,
    NUMBERS,
    Answer,
    EvaluationPages,
    Evidence,
    SyntheticResult,
    evaluate_synthetic,
)
from tools import agreement, answer_file
from tools.agreement import calibrate_agreement, fit_agreement

KIND = AnswerKind.NUMBERS
OWN_THRESHOLD = 0.9
TABLES = [
    CalibrationTable(
        "numbers",
        "",
        5000,
        Rule.OBSERVED,
        (OperatingPoint(0.0, 5000, 500, 0.2), OperatingPoint(OWN_THRESHOLD, 3000, 6, 0.004)),
        (KIND,),
    )
]


def draw_answers(count: int, wrong_agreements: float, seed: int = 0) -> list[list[Answer]]:
    """Draw pages of one number: sure ones, and doubtful ones that another reader was asked about."""
    rng = np.random.default_rng(seed)
    pages = []
    for index in range(count):
        if rng.random() < 0.5:
            pages.append([Answer(0.97, bool(rng.random() < 0.999), (-1 - index,))])
            continue
        is_right, own = bool(rng.random() < 0.8), float(rng.uniform(0.3, 0.89))
        agrees = bool(rng.random() < (0.7 if is_right else wrong_agreements))
        score = float(rng.uniform(0.8 if agrees else 0.4, 1.0))
        pages.append([Answer(own, is_right, (-1 - index,), Evidence(agrees, score))])
    return pages


def result_of(pages: list[list[Answer]]) -> SyntheticResult:
    return SyntheticResult({DIGITS: [], NUMBERS: pages, EMPTY: []})


def test_agreement_of_readers_that_err_apart_is_accepted() -> None:
    result = result_of(draw_answers(2000, wrong_agreements=0.002))

    calibration = calibrate_agreement("other-1.0", result, TABLES)

    (model,) = calibration.models
    assert model.confidence(0.7, True, 0.95) > 0.98 > 0.6 > model.confidence(0.7, False, 0.95)
    point = calibration.point(KIND, 0.005, TABLES)
    assert point is not None
    assert point.asked_below == OWN_THRESHOLD
    assert point.accepted > 400
    assert point.wrong <= 0.005 * point.accepted
    assert point.all_wrong <= 0.005 * point.all_accepted
    combined = [
        model.confidence(answer.confidence, *answer.evidence)
        for (answer,) in result.answers_by_page[NUMBERS]
        if answer.evidence
    ]
    assert point.accepted == sum(confidence >= point.threshold for confidence in combined)


def test_agreement_of_readers_that_err_alike_is_not_accepted() -> None:
    result = result_of(draw_answers(2000, wrong_agreements=0.7))

    calibration = calibrate_agreement("other-1.0", result, TABLES)

    assert calibration.point(KIND, 0.005, TABLES) is None


def test_too_few_agreements_to_observe_the_error_rate_are_not_accepted() -> None:
    calibration = calibrate_agreement("other-1.0", result_of(draw_answers(300, 0.0)), TABLES)

    assert calibration.point(KIND, 0.005, TABLES) is None
    assert calibration.point(KIND, 0.02, TABLES) is not None


def test_nothing_is_accepted_where_the_model_itself_guarantees_nothing() -> None:
    tables = [replace(TABLES[0], bounds=TABLES[0].bounds[:1])]

    assert calibrate_agreement("other-1.0", result_of(draw_answers(500, 0.0)), tables).points == ()


def test_the_model_is_monotone_even_where_the_sample_is_not() -> None:
    rng = np.random.default_rng(1)
    answers = [
        Answer(float(own), bool(rng.random() > own), (), Evidence(bool(rng.random() < 0.5), 0.9))
        for own in rng.uniform(0.05, 0.95, 400)
    ]

    assert fit_agreement(KIND, answers).own == 0.0


def test_a_number_that_was_not_read_is_an_error_once_its_page_is_accepted() -> None:
    agreed = Answer(0.7, True, (), Evidence(True, 0.99))
    other = Answer(0.7, False, (), Evidence(False, 0.99))
    complete = [[agreed]] * 900 + [[other]] * 100
    incomplete = [*complete, *[[agreed, Answer(0.7, False, ())]] * 100]
    in_review = [*complete, *[[agreed, other, Answer(0.7, False, ())]] * 100]

    points = [
        calibrate_agreement("other-1.0", result_of(pages), TABLES).point(KIND, 0.05, TABLES)
        for pages in (complete, incomplete, in_review)
    ]

    assert points[0] is not None
    assert (points[0].accepted, points[0].wrong) == (900, 0)
    assert points[1] is None  # 100 of 1,100 would be wrong
    assert points[2] is not None
    assert (points[2].accepted, points[2].wrong) == (1000, 0)


def test_the_cells_count_every_answer_once() -> None:
    result = result_of(draw_answers(1000, 0.1))
    asked = [answer for answer in result.answers[NUMBERS] if answer.evidence]

    cells = calibrate_agreement("other-1.0", result, TABLES).cells

    assert sum(cell.answers for cell in cells) == len(asked)
    assert sum(cell.right for cell in cells) == sum(answer.is_right for answer in asked)
    assert sum(cell.answers for cell in cells if cell.agrees) == sum(answer.evidence.agrees for answer in asked)


def test_the_other_reader_is_asked_below_the_highest_operating_point() -> None:
    assert agreement.find_ask_limits(TABLES) == {KIND: OWN_THRESHOLD}
    assert agreement.find_ask_limits([]) == {}


class Sevens:
    """Another reader that always reads 77."""

    def read(self, strip: Picture) -> ReadText:
        return ReadText("77", 0.5 + strip.shape[0] % 2 / 4)


@pytest.mark.slow
def test_pages_with_answers_in_doubt_are_read_again_with_the_other_reader(tmp_path: Path) -> None:
    held_out = split_dataset(mnist.load_mnist_5k(), seed=0).calibration
    reader = composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))
    pages = EvaluationPages(digits=10, numbers=8, empty=2, number_kinds=("one_number", "two_numbers"))
    result = evaluate_synthetic(reader, held_out, pages=pages, seed=0)
    limits = {AnswerKind.DIGITS: 0.9999, KIND: 0.9999}
    asking = replace(reader, second_opinion=agreement.make_asking("other-1.0", Sevens(), limits))
    asked_below, store = {DIGITS: 0.9999, NUMBERS: 0.9999}, partial(answer_file.resume, tmp_path / "done")

    again = [
        evaluate_synthetic(asking, held_out, pages=pages, seed=0, again=(result, asked_below), store=store)
        for _ in range(2)  # the second time, from the checkpoint
    ]

    assert again[0] == again[1]
    for name in (DIGITS, NUMBERS, EMPTY):
        pairs = list(zip(result.answers[name], again[0].answers[name], strict=True))
        assert all(replace(after, evidence=None) == before for before, after in pairs)
        asked = [after for _, after in pairs if after.evidence is not None]
        assert bool(asked) == (name != EMPTY)
        assert all(0 <= answer.confidence < 0.9999 and answer.evidence.score >= 0.5 for answer in asked)
    assert all(answer.confidence == NEVER or answer.confidence >= 0 for answer in again[0].answers[NUMBERS])
