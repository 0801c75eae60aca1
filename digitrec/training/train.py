"""Train a network and leave a model folder: the one function behind `digitrec train`."""

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
from digitrec.training.networks import CLASSIFIERS
from digitrec.training.package_writer import write_model_package
from digitrec.training.pipeline_examples import Examples
from digitrec.training.pretraining import DEFAULT_CONFIG, PaperTrainingConfig, PretrainedModels, pretrain_paper_models
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

    KeyboardInterrupt ends training, not the work: the best weights until then become the model, marked as interrupted.
    When page models are trained, too, it ends that of the network in progress; see `pretrain_paper_models`.
    While pages are drawn, for these or for the promise at the end, it ends everything.

    Args:
        dataset: its training split is learned from; its test split only measures the end result.
        network: a name in `networks.CLASSIFIERS`.
        epochs: how often every picture is seen; None: as often as the network needs.
        seed: the same seed, data, program and machine give the same weights.
        out_root: where model folders lie.
        now: gives the time as text, for `created_at`.
        progress: told after each batch and each epoch.
        test_splits: further pictures, by name, whose accuracy goes into the card; the test split's always does.
        command: what a person typed, for the model's card.
        config: how much paper is drawn, for a network that reads it.
        checkpoint_dir: where the stages of such a training are kept, so that it can go on after it was stopped.
        corrections: of corrected pages; some of them are in every batch.
        card_facts: more for the model's card.

    Returns:
        The new folder, `out_root/<id>`.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        UsageError: there is no such network, or no epoch to train.
    """
    if network not in CLASSIFIERS:
        raise UsageError(f"there is no network {network!r}", hint=f"Networks: {', '.join(CLASSIFIERS)}.")
    builder = CLASSIFIERS[network]
    epochs = builder.epochs if epochs is None else epochs
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; at least 1 is needed")
    parts = split_dataset(dataset, seed)
    keras = start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    prepared: PretrainedModels | None = None
    beside: list[ExtraExamples] = []
    judged_by = None
    if corrections is not None:
        steps = epochs * max(1, len(parts.learn) // builder.batch)
        beside += finetune.oversample(builder, corrections, steps)
    if builder.has_page_models:
        prepared = pretrain_paper_models(
            parts, digest=dataset.digest, seed=seed, config=config, root=checkpoint_dir, progress=progress
        )
        beside += pipeline_examples.extra_examples(builder, prepared.seen, glyphs.load_glyphs())
        judged_by = (from_arrays(prepared.held_out.pictures), prepared.held_out.classes)
    began = time.monotonic()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = builder.build()
    fitted = fit_classifier(
        model, builder, parts, epochs=epochs, seed=seed, progress=progress, beside=beside, judged_by=judged_by
    )
    model.set_weights(fitted.weights)
    test_splits = test_splits or {}
    left_out = [*([f"the test split of {dataset.name}"] if dataset.test else []), *test_splits]
    return write_model_package(
        model,
        fitted,
        dataset=dataset,
        parts=parts,
        network=network,
        out_root=out_root,
        created_at=now(),
        seed=seed,
        training={
            "epochs": epochs,
            "seconds": round(time.monotonic() - began),
            "command": command,
            "left_out": left_out,
            **(card_facts or {}),
        },
        test_splits=test_splits,
        prepared=prepared,
        progress=progress,
    )
