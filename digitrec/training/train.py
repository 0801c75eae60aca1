"""Train a network from scratch and write its model package, for `digitrec train`."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from digitrec.errors import UsageError
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.normalize import from_arrays
from digitrec.training import finetune, pipeline_examples
from digitrec.training.classifier import ExtraExamples, TrainingState, fit_classifier, no_progress, split_dataset
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import find_classifier
from digitrec.training.package_writer import write_model_package
from digitrec.training.pipeline_examples import Examples
from digitrec.training.plan import PlannedProgress, plan_paper
from digitrec.training.pretraining import (
    DEFAULT_CONFIG,
    PaperTrainingConfig,
    PretrainedModels,
    pretrain_paper_models,
)
from digitrec.training.synthetic import glyphs


def train(
    dataset: Dataset,
    network: str,
    *,
    epochs: int | None,
    seed: int,
    out_root: Path,
    now: Callable[[], str],
    progress: Callable[[TrainingState], None] = no_progress,
    test_splits: Mapping[str, Split] | None = None,
    command: str = "",
    config: PaperTrainingConfig = DEFAULT_CONFIG,
    checkpoint_dir: Path | None = None,
    corrections: Examples | None = None,
    card_facts: Mapping[str, Any] | None = None,
) -> Path:
    """Train a network and write it as a model folder below `out_root`.

    KeyboardInterrupt ends the training of the current network; its best weights are used, and the card says so. While
    synthetic data is generated, for training or calibration, it ends everything.

    Args:
        dataset: its training split is trained on; its test split only measures the result.
        network: a name in `networks.CLASSIFIERS`.
        epochs: number of epochs; None: the default of the network.
        seed: the same seed, data, program and machine give the same weights.
        out_root: folder of the models.
        now: returns the time as text, for `created_at`.
        progress: called after each batch and each epoch.
        test_splits: further data, by name, whose accuracy goes into the card.
        command: command line, for the card.
        config: amounts of synthetic data, for a network with page models.
        checkpoint_dir: folder of the checkpoints of the page models.
        corrections: examples of corrected pages; every batch has some of them.
        card_facts: further entries of the card's `training`.

    Returns:
        The new folder, `out_root/<id>`.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        UsageError: the network is unknown, or `epochs` is less than 1.
    """
    spec = find_classifier(network)
    epochs = spec.epochs if epochs is None else epochs
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; at least 1 is needed")
    splits = split_dataset(dataset, seed)
    keras = start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    pretrained: PretrainedModels | None = None
    extra: list[ExtraExamples] = []
    extra_validation = None
    if corrections is not None:
        steps = epochs * max(1, len(splits.train) // spec.batch)
        extra += finetune.oversample(spec, corrections, steps)
    if spec.has_page_models:
        progress = PlannedProgress([*plan_paper(config, epochs, len(splits.train))], progress)
        pretrained = pretrain_paper_models(
            splits, digest=dataset.digest, seed=seed, config=config, checkpoint_root=checkpoint_dir, progress=progress
        )
        extra += pipeline_examples.extra_examples(spec, pretrained.examples, glyphs.load_glyphs())
        extra_validation = (from_arrays(pretrained.held_out.pictures), pretrained.held_out.classes)
    started_s = time.monotonic()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = spec.build()
    fitted = fit_classifier(
        model,
        spec,
        splits,
        epochs=epochs,
        seed=seed,
        progress=progress,
        extra=extra,
        extra_validation=extra_validation,
    )
    model.set_weights(fitted.weights)
    test_splits = test_splits or {}
    return write_model_package(
        model,
        fitted,
        dataset=dataset,
        splits=splits,
        network=network,
        out_root=out_root,
        created_at=now(),
        seed=seed,
        training={
            "epochs": epochs,
            "seconds": round(time.monotonic() - started_s),
            "command": command,
            "left_out": [*([f"the test split of {dataset.name}"] if dataset.test else []), *test_splits],
            **(card_facts or {}),
        },
        test_splits=test_splits,
        pretrained=pretrained,
        progress=progress,
    )
