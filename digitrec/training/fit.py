"""Train a network and leave a model folder: the one function behind `digitrec train`."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from digitrec.classifiers.quiet import start_keras
from digitrec.errors import UsageError
from digitrec.training.arrays import Dataset, Split
from digitrec.training.folder import write_model
from digitrec.training.loop import Progress, cut, fit, quietly
from digitrec.training.networks import BUILDERS


def train(
    dataset: Dataset,
    network: str,
    *,
    epochs: int,
    seed: int,
    out_root: Path,
    now: Callable[[], str],
    progress: Callable[[Progress], None] = quietly,
    measure: Mapping[str, Split] | None = None,
    command: str = "",
) -> Path:
    """Train a network and write it as a model folder below `out_root`.

    KeyboardInterrupt ends training, not the work: the best weights until then become the model, marked as interrupted.

    Args:
        dataset: its training split is learned from; its test split only measures the end result.
        network: a name in `networks.BUILDERS`.
        epochs: how often every picture is seen.
        seed: the same seed, data, program and machine give the same weights.
        out_root: where model folders lie.
        now: gives the time as text, for `created_at`.
        progress: told after each batch and each epoch.
        measure: further pictures, by name, whose accuracy goes into the card; the test split's always does.
        command: what a person typed, for the model's card.

    Returns:
        The new folder, `out_root/<id>`.

    Raises:
        DataError: the data set is for evaluation only, or too small.
        UsageError: there is no such network, or no epoch to train.
    """
    if network not in BUILDERS:
        raise UsageError(f"there is no network {network!r}", hint=f"Networks: {', '.join(BUILDERS)}.")
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}; at least 1 is needed")
    parts = cut(dataset, seed)
    keras = start_keras()
    import tensorflow

    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
    began = time.monotonic()
    model = BUILDERS[network].build()
    fitted = fit(model, BUILDERS[network], parts, epochs=epochs, seed=seed, progress=progress)
    model.set_weights(fitted.weights)
    return write_model(
        model,
        fitted,
        dataset=dataset,
        parts=parts,
        network=network,
        out_root=out_root,
        created_at=now(),
        seed=seed,
        training={"epochs": epochs, "seconds": round(time.monotonic() - began), "command": command},
        measure=measure or {},
    )
