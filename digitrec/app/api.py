"""`digitrec.run`, `train` and `evaluate`: use cases of a workspace with plain arguments, for `import digitrec`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from digitrec.app.reader import FilePath, Model, load_settings
from digitrec.app.run import run_once

if TYPE_CHECKING:
    from digitrec.app.models import EvaluationResult
    from digitrec.app.service import RunSummary
    from digitrec.models.package import ModelPackage
    from digitrec.training.classifier import TrainingState


def run(workspace: FilePath | None = None, **settings: object) -> "RunSummary":
    """Read everything now in the inbox of a workspace, publish tables and reports, and return, as `digitrec run` does.

    Args:
        workspace: the folder with inbox/ and outbox/, which are made in an empty one. None: `DIGITREC_WORKSPACE`, else
            the current folder.
        settings: values in place of those in digitrec.toml, such as `max_error=0.01` or `settle_s=0` (seconds);
            docs/reference/settings.md has names, units and ranges.

    Returns:
        Counts of the files and numbers that were read, and the ids of their batches.

    Raises:
        BusyError: another process reads this inbox.
        EnvironmentFailure: a disk or folder failed or does not exist; claimed files are kept, and finished by the next
            run.
        ModelError: the model cannot be used.
        SettingsError: a value is outside its limits.
        TypeError: there is no setting of such a name.
    """
    return run_once(load_settings(workspace, **settings))


def train(
    data: str,
    network: str = "cnn",
    *,
    epochs: int | None = None,
    seed: int = 0,
    exclude: Sequence[str] = (),
    workspace: FilePath | None = None,
    progress: "Callable[[TrainingState], None] | None" = None,
    verbose: bool = True,
) -> "ModelPackage":
    """Train a network and return its model, a folder below `.digitrec/models/` of a workspace.

    The model can be given to `Reader` and `evaluate`; `digitrec models promote` puts it to use in the workspace.

    Args:
        data: name of a data set, `NAME:PATH` or a path, as `--data` takes it.
        network: "mlp", "cnn" or "paper".
        epochs: passes over the data, at least 1. None: 20, or 16 for "paper".
        seed: 0 or more; the same seed, data, version and machine give the same weights.
        exclude: data sets whose pictures are evaluated and not trained on.
        workspace: folder of the workspace. None: `DIGITREC_WORKSPACE`, else the current folder.
        progress: called after each batch and each epoch, in place of the printed lines; `state.done` has the figures of
            a finished epoch.
        verbose: print a line when the training starts and one for each epoch. False: print nothing.

    Returns:
        The model; `card.metrics` has its accuracies, 0..1.

    Raises:
        DataError: the data set does not exist, is for evaluation only, or is too small.
        MissingPackage: this installation cannot train.
        UsageError: the network is unknown, or `epochs` is less than 1.
    """
    from digitrec.app import models
    from digitrec.training.classifier import no_progress

    if progress is None and verbose:
        print(f"Training {network} on {data}", flush=True)  # noqa: T201 - see `_print_progress`
        progress = _print_progress
    return models.train(
        load_settings(workspace),
        data,
        network,
        epochs=epochs,
        seed=seed,
        exclude=exclude,
        progress=progress or no_progress,
        card_facts={"command": f"digitrec.train({data!r}, {network!r}, epochs={epochs}, seed={seed})"},
    )


def evaluate(
    model: Model | None = None,
    data: str = "mnist",
    *,
    max_error: float = 0.005,
    workspace: FilePath | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "EvaluationResult":
    """Evaluate a model on the test split of a data set, or on all of it, and write a report into the workspace.

    Args:
        model: the model. None: the one in use in the workspace.
        data: name of a data set, `NAME:PATH` or a path, as `--data` takes it.
        max_error: upper limit of the share of wrong answers among the accepted ones, 0.0001..0.5.
        workspace: folder of the workspace. None: `DIGITREC_WORKSPACE`, else the current folder.
        progress: called with the number of files read and of all files; not for sets of arrays, which take seconds.

    Returns:
        `accuracy`, 0..1; `right`, `accepted` and `accepted_wrong`, each with `hits`, `total`, `share`, `low` and `high`
        (0..1, 95 % confidence interval); and `report`, the path of the report.

    Raises:
        DataError: the data set cannot be used.
        MissingPackage: this installation cannot evaluate.
        ModelError: the model is missing, damaged or of a later version.
        SettingsError: `max_error` is outside its range.
    """
    from digitrec.app import models

    return models.evaluate(load_settings(workspace, model=model, max_error=max_error), data, progress=progress)


def _print_progress(state: "TrainingState") -> None:
    """Print the line of an epoch; notebooks show standard output below the cell."""
    if state.line:
        print(state.line, flush=True)  # noqa: T201 - `verbose` is for a person, as in Keras
