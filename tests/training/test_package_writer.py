"""CalibrationTable and evaluation of a trained model, with and without page models."""

import importlib.metadata
from typing import Any

import numpy as np
import pytest

from digitrec.arrays import Ink, Scores
from digitrec.models.calibration import CalibrationTable, Rule
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, TFLITE
from digitrec.recognition.classifier import CLASSES, NO_DIGIT, apply_temperature
from digitrec.training import package_writer, synthetic_evaluation
from digitrec.training.classifier import Splits
from digitrec.training.datasets.dataset import Split
from digitrec.training.pipeline_examples import Examples
from digitrec.training.pretraining import PretrainedModels
from digitrec.training.synthetic_evaluation import EvaluationPages

pytestmark = pytest.mark.slow

CONTENTS = {TFLITE: b"digits", INK_TFLITE: b"ink", LINE_TFLITE: b"line"}


class ZeroClassifier:
    """Fake classifier that reads every digit as zero."""

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
    """Fake synthetic evaluation."""

    tables = (CalibrationTable("synthetic digits", "some", 7, Rule.UPPER_BOUND, ()),)

    def __init__(self) -> None:
        self.reader: Any = None
        self.pages = EvaluationPages()

    def evaluate(
        self, reader: Any, held_out: Split, *, pages: EvaluationPages, seed: int, on_progress: object
    ) -> "Pages":
        self.reader, self.pages = reader, pages
        return self


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    fake = Pages()
    monkeypatch.setattr(package_writer, "LiteRTDigitClassifier", ZeroClassifier)
    monkeypatch.setattr(package_writer, "Segmenter", Network)
    monkeypatch.setattr(package_writer, "SequenceRecognizer", Network)
    monkeypatch.setattr(synthetic_evaluation, "evaluate_synthetic", fake.evaluate)
    return fake


def zeros(count: int) -> Split:
    return Split("zeros", np.zeros((count, 28, 28), np.uint8), np.zeros(count, np.int64))


def pretrained_models(non_digits: int) -> PretrainedModels:
    """Return page models with examples of non-digits."""
    held_out = Examples(np.zeros((non_digits, 28, 28), np.uint8), np.full(non_digits, NO_DIGIT, np.int64))
    return PretrainedModels({}, 0, held_out, held_out, 5_600, {}, interrupted=False)


def evaluate(pretrained: PretrainedModels | None, *, digits: int = 40) -> package_writer.ModelEvaluation:
    splits = Splits(zeros(40), zeros(10), zeros(digits))
    return package_writer.evaluate_model(
        CONTENTS, "some", splits=splits, seed=0, test_splits={"more": zeros(5)}, pretrained=pretrained
    )


def test_misread_non_digits_raise_the_temperature(pages: Pages) -> None:
    without, with_non_digits, with_no_examples = (
        evaluate(None),
        evaluate(pretrained_models(40)),
        evaluate(pretrained_models(0)),
    )

    assert with_no_examples.temperature == without.temperature < 1 < with_non_digits.temperature


def test_a_model_with_page_models_is_calibrated_on_synthetic_pages(pages: Pages) -> None:
    evaluation = evaluate(pretrained_models(40))

    assert evaluation.calibrations == pages.tables
    reader = pages.reader
    assert reader.classifier.temperature == evaluation.temperature
    assert (pages.pages.digits, pages.pages.numbers, pages.pages.empty) == (5_600, 5_600, 560)
    networks = (reader.classifier, reader.models.segmenter, reader.models.recognizer)
    assert [network.network for network in networks] == [b"digits", b"ink", b"line"]


def test_a_model_without_page_models_is_calibrated_on_digits(pages: Pages) -> None:
    evaluation = evaluate(None)

    (table,) = evaluation.calibrations
    assert (table.name, table.trials) == ("held out", 40)
    assert pages.reader is None
    assert [(metric.data, metric.pictures) for metric in evaluation.metrics] == [
        ("held out, half of them augmented", 40),
        ("more", 5),
    ]


def test_the_version_of_tensorflow_is_that_of_the_package_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "tensorflow-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.21.0"

    monkeypatch.setattr(importlib.metadata, "version", version)

    assert package_writer.find_version("tensorflow") == "2.21.0"
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        package_writer.find_version("numpy")
