"""A model just trained, judged by digits that no weight of it was fitted to: temperature, tables, figures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from digitrec.models.calibration import CalibrationTable, Rule
from digitrec.models.card import Metric
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, TFLITE
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.reader import PageReader
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.training import calibrate, synthetic_evaluation
from digitrec.training.classifier import Splits, augment_half
from digitrec.training.datasets.dataset import Split
from digitrec.training.pretraining import PretrainedModels
from digitrec.training.synthetic.parallel import ProgressCallback


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """What a model's card says of its confidence and of how well it reads."""

    temperature: float
    calibrations: tuple[CalibrationTable, ...]
    metrics: tuple[Metric, ...]


def evaluate_model(
    contents: Mapping[str, bytes],
    name: str,
    *,
    parts: Splits,
    seed: int,
    test_splits: Mapping[str, Split],
    prepared: PretrainedModels | None,
    on_progress: ProgressCallback | None = None,
) -> ModelEvaluation:
    """Calibrate and test_splits the networks as the service will run them.

    A model that reads digits only is calibrated on digits; one that reads paper, by pages drawn with them.

    Args:
        contents: the model's files, by name.
        name: the model's.
        parts: its `calibrate` part calibrates.
        seed: of the training.
        test_splits: what else its accuracy is measured on, by name.
        prepared: what came before the digits' network, for a model that reads paper.
        on_progress: how many pages are drawn and read.
    """
    ink, digits = augment_half(parts.calibrate, seed), parts.calibrate.digits
    shown, classes = ink, digits
    if prepared is not None:  # it also knows what is no digit, and is shown what was found on paper
        examples = prepared.held_out
        shown = np.concatenate([ink, from_arrays(examples.pictures)])
        classes = np.concatenate([digits, examples.classes])
    temperature = calibrate.fit_temperature(LiteRTDigitClassifier(contents[TFLITE], name, 1.0).score(shown), classes)
    classifier = LiteRTDigitClassifier(contents[TFLITE], name, temperature)
    scores = classifier.score(ink)
    if prepared is None:
        source = "held out of the training pictures, every second one varied as another hand, pen or crop might have"
        table = calibrate.build_calibration_table(
            "held out", source, *calibrate.judge_digits(scores, digits), Rule.UPPER_BOUND
        )
    else:
        table = _by_pages(contents, classifier, parts.calibrate, seed, prepared.pages_judged, on_progress)
    metrics = [calibrate.measure_accuracy("held out, every second one varied", scores.argmax(axis=1) == digits)]
    for data, split in test_splits.items():
        metrics.append(calibrate.measure_accuracy(data, classifier.score(split.ink).argmax(axis=1) == split.digits))
    return ModelEvaluation(temperature, (table,), tuple(metrics))


def _by_pages(
    contents: Mapping[str, bytes],
    classifier: LiteRTDigitClassifier,
    held_out: Split,
    seed: int,
    pages: int,
    on_progress: ProgressCallback | None,
) -> CalibrationTable:
    """The table of pages that are read with all networks; fewer, if there are too few digits to draw them with."""
    networks = RecognitionModels(
        Segmenter(contents[INK_TFLITE], INK_TFLITE),
        SequenceRecognizer(contents[LINE_TFLITE], LINE_TFLITE),
    )
    pages = min(pages, synthetic_evaluation.max_page_count(len(held_out)))
    return synthetic_evaluation.evaluate_synthetic(
        PageReader(classifier, networks), held_out, pages=pages, seed=seed, on_progress=on_progress
    ).table
