"""Trained weights -> a model folder: files, digests, calibration, figures, card. It appears whole or not at all."""

import hashlib
import importlib.metadata
import json
import platform
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digitrec import __version__
from digitrec.classifiers.bundle import CARD, KERAS, TFLITE, Bundle
from digitrec.classifiers.card import ModelCard
from digitrec.classifiers.litert import LiteRTClassifier
from digitrec.files import fsync_folder, make_folder, write_whole
from digitrec.imaging.normalise import RECIPE
from digitrec.training import calibrate, card_text, export
from digitrec.training.arrays import Dataset, Split
from digitrec.training.loop import Fitted, Parts, half_varied
from digitrec.training.networks import Model

_LIBRARIES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow")


def write_model(
    model: Model,
    fitted: Fitted,
    *,
    dataset: Dataset,
    parts: Parts,
    network: str,
    seed: int,
    out_root: Path,
    created_at: str,
    training: Mapping[str, Any],
    measure: Mapping[str, Split],
) -> Path:
    """Write `out_root/<id>` and return it. The same weights trained again replace the folder they made before."""
    contents = {KERAS: export.keras_file(model), TFLITE: export.tflite_file(model)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    name = f"{network}-{digests[TFLITE][:10]}"

    # What the service will run is what is calibrated and measured, not the network it was made from.
    ink, digits = half_varied(parts.calibrate, seed), parts.calibrate.digits
    temperature = calibrate.temperature(LiteRTClassifier(contents[TFLITE], name, 1.0).score(ink), digits)
    classifier = LiteRTClassifier(contents[TFLITE], name, temperature)
    scores = classifier.score(ink)
    metrics = [calibrate.metric("held out, every second one varied", scores.argmax(axis=1) == digits)]
    if dataset.test is not None:
        measure = {f"{dataset.name}, test split": dataset.test, **measure}
    for data, split in measure.items():
        metrics.append(calibrate.metric(data, classifier.score(split.ink).argmax(axis=1) == split.digits))
    card = ModelCard(
        id=name,
        network=network,
        created_at=created_at,
        recipe=RECIPE,
        input_shape=tuple(ink.shape[1:]),
        weights=int(model.count_params()),
        files=digests,
        temperature=temperature,
        bounds=calibrate.bounds(scores, digits),
        metrics=tuple(metrics),
        history=tuple(fitted.history),
        best_epoch=fitted.best_epoch,
        interrupted=fitted.interrupted,
        seed=seed,
        training={
            **training,
            "data": dataset.name,
            "source": dataset.source,
            "digest": dataset.digest,
            "learned": len(parts.learn),
            "validated": len(parts.validate),
            "calibrated": len(parts.calibrate),
        },
        versions={
            "digitrec": __version__,
            "python": platform.python_version(),
            **{library: importlib.metadata.version(library) for library in _LIBRARIES},
        },
    )
    texts = {CARD: json.dumps(card.as_json(), indent=1) + "\n", "MODEL_CARD.md": card_text.write(card)}
    return _appear(out_root, name, {**contents, **texts})


def _appear(out_root: Path, name: str, files: Mapping[str, str | bytes]) -> Path:
    """Fill a folder beside the place and move it there."""
    make_folder(out_root)
    target = out_root / name
    draft = out_root / f".draft-{secrets.token_hex(8)}"
    draft.mkdir()
    try:
        for file, content in files.items():
            write_whole(draft / file, content)
        Bundle.open(draft)
        if target.exists():
            old = draft.with_name(f"{draft.name}-old")
            target.rename(old)
            shutil.rmtree(old)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    fsync_folder(out_root)
    return target
