"""A model just trained is judged by what it will be shown: one for paper by whole pages, and by what is no digit."""

from typing import Any

import numpy as np
import pytest

from digitrec.arrays import Ink, Scores
from digitrec.models.calibration import CalibrationTable, Rule
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, TFLITE
from digitrec.recognition.classifier import CLASSES, NO_DIGIT, apply_temperature
from digitrec.training import judge_model, synthetic_evaluation
from digitrec.training.classifier import Splits
from digitrec.training.datasets.dataset import Split
from digitrec.training.pipeline_examples import Examples
from digitrec.training.pretraining import PretrainedModels

pytestmark = pytest.mark.slow

CONTENTS = {TFLITE: b"digits", INK_TFLITE: b"ink", LINE_TFLITE: b"line"}


class SaysZero:
    """Whatever it is shown."""

    def __init__(self, network: bytes, name: str, temperature: float) -> None:
        self.network, self.temperature = network, temperature

    def score(self, ink: Ink) -> Scores:
        scores = np.full((len(ink), CLASSES), 0.02 / (CLASSES - 1), np.float32)
        scores[:, 0] = 0.98
        return apply_temperature(scores, self.temperature)


class Network:
    def __init__(self, network: bytes, name: str) -> None:
        self.network = network


class Pages:
    """Stands for pages, drawn and read."""

    table = CalibrationTable("drawn pages", "some", 7, Rule.UPPER_BOUND, ())

    def __init__(self) -> None:
        self.reader: Any = None
        self.pages = 0

    def judge(self, reader: Any, held_out: Split, *, pages: int, seed: int, told: object) -> "Pages":
        self.reader, self.pages = reader, pages
        return self


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    found = Pages()
    monkeypatch.setattr(judge_model, "LiteRTClassifier", SaysZero)
    monkeypatch.setattr(judge_model, "InkNetwork", Network)
    monkeypatch.setattr(judge_model, "LineNetwork", Network)
    monkeypatch.setattr(synthetic_evaluation, "evaluate_synthetic", found.judge)
    return found


def zeros(count: int) -> Split:
    return Split("zeros", np.zeros((count, 28, 28), np.uint8), np.zeros(count, np.int64))


def seen(of_none: int) -> PretrainedModels:
    """What comes before the digits' network, with examples of no digit."""
    held_out = Examples(np.zeros((of_none, 28, 28), np.uint8), np.full(of_none, NO_DIGIT, np.int64))
    return PretrainedModels({}, 0, held_out, held_out, 5_600, {}, interrupted=False)


def judge(prepared: PretrainedModels | None, *, digits: int = 40) -> judge_model.ModelEvaluation:
    parts = Splits(zeros(40), zeros(10), zeros(digits))
    return judge_model.evaluate_model(
        CONTENTS, "some", parts=parts, seed=0, test_splits={"more": zeros(5)}, prepared=prepared
    )


def test_digits_taken_for_what_is_none_make_a_model_for_paper_less_sure(pages: Pages) -> None:
    plain, none_too, only_digits = judge(None), judge(seen(40)), judge(seen(0))

    assert only_digits.temperature == plain.temperature < 1 < none_too.temperature


def test_a_model_for_paper_is_judged_by_pages_that_its_own_networks_read(pages: Pages) -> None:
    found = judge(seen(40))

    assert found.calibrations == (pages.table,)
    reader = pages.reader
    assert reader.classifier.temperature == found.temperature
    networks = (reader.classifier, reader.networks.ink, reader.networks.line)
    assert [one.network for one in networks] == [b"digits", b"ink", b"line"]


def test_there_are_fewer_pages_if_there_are_too_few_digits_for_them(pages: Pages) -> None:
    judge(seen(40), digits=90)

    assert pages.pages == synthetic_evaluation.max_page_count(90) < synthetic_evaluation.PAGE_COUNT


def test_a_model_for_digits_is_judged_by_digits(pages: Pages) -> None:
    found = judge(None)

    (table,) = found.calibrations
    assert (table.name, table.pages) == ("held out", 40)
    assert pages.reader is None
    assert [(one.data, one.pictures) for one in found.metrics] == [
        ("held out, every second one varied", 40),
        ("more", 5),
    ]
