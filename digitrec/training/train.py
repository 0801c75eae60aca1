"""Train a network and leave a model folder: the one function behind `digitrec train`."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from digitrec.errors import UsageError
from digitrec.recognition.classifier_keras import start_keras
from digitrec.recognition.normalize import from_arrays
from digitrec.training import finetune, pipeline_examples
from digitrec.training.classifier import Beside, Progress, cut, fit, quietly
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.networks import BUILDERS
from digitrec.training.package_writer import write_model
from digitrec.training.pipeline_examples import Examples
from digitrec.training.stages import USUAL, Prepared, Recipe, prepare
from digitrec.training.synthetic import glyphs


def train(
    dataset: Dataset,
    network: str,
    *,
    epochs: int | None,
    seed: int,
    out_root: Path,
    now: Callable[[], str],
    progress: Callable[[Progress], None] = quietly,
    measure: Mapping[str, Split] | None = None,
    command: str = "",
    recipe: Recipe = USUAL,
    kept: Path | None = None,
    learned: Examples | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Train a network and write it as a model folder below `out_root`.

    KeyboardInterrupt ends training, not the work: the best weights until then become the model, marked as interrupted.
    In a training for paper, which trains three networks, it ends that of the network at hand; see `stages.prepare`.
    While pages are drawn, for these or for the promise at the end, it ends everything.

    Args:
        dataset: its training split is learned from; its test split only measures the end result.
        network: a name in `networks.BUILDERS`.
        epochs: how often every picture is seen; None: as often as the network needs.
        seed: the same seed, data, program and machine give the same weights.
        out_root: where model folders lie.
        now: gives the time as text, for `created_at`.
        progress: told after each batch and each epoch.
        measure: further pictures, by name, whose accuracy goes into the card; the test split's always does.
        command: what a person typed, for the model's card.
        recipe: how much paper is drawn, for a network that reads it.
        kept: where the stages of such a training are kept, so that it can go on after it was stopped.
        learned: of corrected pages; some of them are in every batch.
        about: more for the model's card.

    Returns:
        The new folder, `out_root/<id>`.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        UsageError: there is no such network, or no epoch to train.
    """
    if network not in BUILDERS:
        raise UsageError(f"there is no network {network!r}", hint=f"Networks: {', '.join(BUILDERS)}.")
    builder = BUILDERS[network]
    epochs = builder.epochs if epochs is None else epochs
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; at least 1 is needed")
    parts = cut(dataset, seed)
    keras = start_keras()
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()
    prepared: Prepared | None = None
    beside: list[Beside] = []
    judged_by = None
    if learned is not None:
        steps = epochs * max(1, len(parts.learn) // builder.batch)
        beside += finetune.oversample(builder, learned, steps)
    if builder.reads_paper:
        prepared = prepare(parts, digest=dataset.digest, seed=seed, recipe=recipe, root=kept, progress=progress)
        beside += pipeline_examples.extra_examples(builder, prepared.seen, glyphs.load())
        judged_by = (from_arrays(prepared.held_out.pictures), prepared.held_out.classes)
    began = time.monotonic()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = builder.build()
    fitted = fit(model, builder, parts, epochs=epochs, seed=seed, progress=progress, beside=beside, judged_by=judged_by)
    model.set_weights(fitted.weights)
    measure = measure or {}
    left_out = [*([f"the test split of {dataset.name}"] if dataset.test else []), *measure]
    return write_model(
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
            **(about or {}),
        },
        measure=measure,
        prepared=prepared,
        progress=progress,
    )
