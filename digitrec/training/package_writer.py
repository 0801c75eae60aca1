"""Trained weights -> a model folder: files, digests, calibration, figures, card. It appears whole or not at all."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from digitrec import __version__
from digitrec.models.card import ModelCard
from digitrec.models.package import CARD, KERAS, TFLITE, weights_digest
from digitrec.models.registry import install
from digitrec.training import export, judge_model, model_card
from digitrec.training.classifier import FittedClassifier, Splits, TrainingState, no_progress
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import Model
from digitrec.training.pretraining import PretrainedModels
from digitrec.types import PREPROCESSING_VERSION

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow")


def write_model_package(
    model: Model,
    fitted: FittedClassifier,
    *,
    dataset: Dataset,
    parts: Splits,
    network: str,
    seed: int,
    out_root: Path,
    created_at: str,
    training: Mapping[str, Any],
    test_splits: Mapping[str, Split],
    prepared: PretrainedModels | None = None,
    progress: Callable[[TrainingState], None] = no_progress,
) -> Path:
    """Write `out_root/<id>` and return it. The same weights trained again replace the folder they made before.

    With `prepared` its networks are written beside the digits' own, and its stages into the card.
    """

    def told(done: int, total: int) -> None:
        progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage="calibration"))

    contents = {KERAS: export.to_keras_bytes(model), TFLITE: export.to_tflite_bytes(model)}
    if prepared is not None:
        contents |= prepared.files
        training = {**training, "stages": prepared.stages}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    name = f"{network}-{weights_digest(digests)[:10]}"

    # What the service will run is what is calibrated and measured, not the network it was made from.
    if dataset.test is not None:
        test_splits = {f"{dataset.name}, test split": dataset.test, **test_splits}
    judged = judge_model.evaluate_model(
        contents, name, parts=parts, seed=seed, test_splits=test_splits, prepared=prepared, on_progress=told
    )
    card = ModelCard(
        id=name,
        network=network,
        created_at=created_at,
        recipe=PREPROCESSING_VERSION,
        input_shape=parts.learn.pictures.shape[1:],
        weights=int(model.count_params()) + (prepared.weights if prepared else 0),
        files=digests,
        temperature=judged.temperature,
        calibrations=judged.calibrations,
        metrics=judged.metrics,
        history=tuple(fitted.history),
        best_epoch=fitted.best_epoch,
        interrupted=fitted.interrupted or (prepared is not None and prepared.interrupted),
        seed=seed,
        training={
            **training,
            "data": dataset.name,
            "source": dataset.source,
            "digest": dataset.digest,
            "learned": len(parts.learn),
            "learned_of_each": [int((parts.learn.digits == digit).sum()) for digit in range(10)],
            "validated": len(parts.validate),
            "calibrated": len(parts.calibrate),
        },
        versions={
            "digitrec": __version__,
            "python": platform.python_version(),
            **{library: importlib.metadata.version(library) for library in _LIBRARIES},
        },
    )
    texts = {CARD: json.dumps(card.to_json(), indent=1) + "\n", "MODEL_CARD.md": model_card.render_card(card)}
    return install(out_root, name, {**contents, **texts})
