"""Calibrate, measure and write a trained model as a model package."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitrec import __version__
from digitrec.models.calibration import CalibrationTable, Rule
from digitrec.models.card import Metric, ModelCard
from digitrec.models.package import CARD, INK_TFLITE, KERAS, LINE_TFLITE, TFLITE, weights_digest
from digitrec.models.registry import install
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.normalize import from_arrays
from digitrec.recognition.reader import PageReader
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.training import calibrate, export, model_card, synthetic_evaluation
from digitrec.training.classifier import (
    FittedClassifier,
    Splits,
    TrainingState,
    augment_half,
    no_progress,
    report_items,
)
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import Model
from digitrec.training.pretraining import PretrainedModels
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic_evaluation import EvaluationPages
from digitrec.types import PREPROCESSING_VERSION

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow")
_HELD_OUT = "held out, half of them augmented"


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """Temperature, calibration tables and accuracy of a model, for its card."""

    temperature: float
    calibrations: tuple[CalibrationTable, ...]
    metrics: tuple[Metric, ...]


def write_model_package(
    model: Model,
    fitted: FittedClassifier,
    *,
    dataset: Dataset,
    splits: Splits,
    network: str,
    seed: int,
    out_root: Path,
    created_at: str,
    training: Mapping[str, Any],
    test_splits: Mapping[str, Split],
    pretrained: PretrainedModels | None = None,
    progress: Callable[[TrainingState], None] = no_progress,
) -> Path:
    """Write `out_root/<id>` and return it; the same weights replace the folder that they made before.

    With `pretrained`, the package holds the page models too, and the card describes their training.
    """
    contents = {KERAS: export.to_keras_bytes(model), TFLITE: export.to_tflite_bytes(model)}
    if pretrained is not None:
        contents |= pretrained.files
        training = {**training, "stages": pretrained.stages}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    model_id = f"{network}-{weights_digest(digests)[:10]}"
    if dataset.test is not None:
        test_splits = {f"{dataset.name}, test split": dataset.test, **test_splits}
    evaluation = evaluate_model(
        contents,
        model_id,
        splits=splits,
        seed=seed,
        test_splits=test_splits,
        pretrained=pretrained,
        on_progress=report_items(progress, "calibration"),
    )
    card = ModelCard(
        id=model_id,
        network=network,
        created_at=created_at,
        recipe=PREPROCESSING_VERSION,
        input_shape=splits.train.pictures.shape[1:],
        weights=int(model.count_params()) + (pretrained.weights if pretrained else 0),
        files=digests,
        temperature=evaluation.temperature,
        calibrations=evaluation.calibrations,
        metrics=evaluation.metrics,
        history=tuple(fitted.history),
        best_epoch=fitted.best_epoch,
        interrupted=fitted.interrupted or (pretrained is not None and pretrained.interrupted),
        seed=seed,
        training={
            **training,
            "data": dataset.name,
            "source": dataset.source,
            "digest": dataset.digest,
            "learned": len(splits.train),
            "learned_of_each": [int((splits.train.digits == digit).sum()) for digit in range(10)],
            "validated": len(splits.validation),
            "calibrated": len(splits.calibration),
        },
        versions={
            "digitrec": __version__,
            "python": platform.python_version(),
            **{library: find_version(library) for library in _LIBRARIES},
        },
    )
    texts = {CARD: json.dumps(card.to_json(), indent=1) + "\n", "MODEL_CARD.md": model_card.render_card(card)}
    return install(out_root, model_id, {**contents, **texts})


def find_version(library: str) -> str:
    """Return the version of an installed package; TensorFlow's is that of tensorflow or of tensorflow-cpu."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return importlib.metadata.version(f"{library}-cpu")


def evaluate_model(
    contents: Mapping[str, bytes],
    model_id: str,
    *,
    splits: Splits,
    seed: int,
    test_splits: Mapping[str, Split],
    pretrained: PretrainedModels | None,
    on_progress: ProgressCallback | None = None,
) -> ModelEvaluation:
    """Calibrate and measure the LiteRT networks, which are what the service runs.

    A model without page models is calibrated on held-out digits; one with them, on synthetic pages of these digits.

    Args:
        contents: files of the model, by name.
        model_id: id of the model.
        splits: `calibration` holds the digits.
        seed: seed of the training.
        test_splits: further data whose accuracy is measured, by name.
        pretrained: the page models and their examples, if there are any.
        on_progress: called with the number of synthetic pages that are read.
    """
    held_out = splits.calibration
    ink, digits = augment_half(held_out, seed), held_out.digits
    all_ink, classes = ink, digits
    if pretrained is not None:  # the temperature must hold for non-digits and segmented characters, too
        examples = pretrained.held_out
        all_ink = np.concatenate([ink, from_arrays(examples.pictures)])
        classes = np.concatenate([digits, examples.classes])
    temperature = calibrate.fit_temperature(
        LiteRTDigitClassifier(contents[TFLITE], model_id, 1.0).score(all_ink), classes
    )
    classifier = LiteRTDigitClassifier(contents[TFLITE], model_id, temperature)
    scores = classifier.score(ink)  # (n, 11)
    if pretrained is None:
        table = calibrate.build_calibration_table(
            "held out",
            "digits held out of the training data, half of them augmented like other handwriting, pens and crops",
            *calibrate.judge_digits(scores, digits),
            Rule.UPPER_BOUND,
        )
        tables: tuple[CalibrationTable, ...] = (table,)
    else:
        networks = RecognitionModels(
            Segmenter(contents[INK_TFLITE], INK_TFLITE), SequenceRecognizer(contents[LINE_TFLITE], LINE_TFLITE)
        )
        tables = synthetic_evaluation.evaluate_synthetic(
            PageReader(classifier, networks),
            held_out,
            pages=EvaluationPages.of(pretrained.evaluation_pages),
            seed=seed,
            on_progress=on_progress,
        ).tables
    metrics = [calibrate.compute_metric(_HELD_OUT, scores.argmax(axis=1) == digits)]
    for name, split in test_splits.items():
        is_right = classifier.score(split.ink).argmax(axis=1) == split.digits
        metrics.append(calibrate.compute_metric(name, is_right))
    return ModelEvaluation(temperature, tables, tuple(metrics))
