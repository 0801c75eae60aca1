"""Commands about models and data: train, evaluate, calibrate, explore, samples, models."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitrec import text
from digitrec.cli import output, terminal
from digitrec.cli.options import (
    GroupedCommands,
    complete_data_sets,
    complete_models,
    format_workspace_flags,
    in_panel,
    takes_settings,
)
from digitrec.errors import ModelError, UsageError
from digitrec.settings import Settings

if TYPE_CHECKING:
    from digitrec.app.retrain import RetrainReport

_DATA_HELP = "A loader's name, NAME:PATH, or a path to an .npz, a folder of IDX files or of labelled pictures."
_NETWORK_HELP = "mlp (a baseline), cnn, or paper (three networks: page models)."
_Data = Annotated[str, typer.Option("--data", help=_DATA_HELP, autocompletion=complete_data_sets)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the program."""
    command = in_panel(cli, "Models")
    command(
        epilog="Example: digitrec train --network mlp --epochs 5 --data mnist, or digitrec train --with-corrections"
    )(train)
    command(epilog="Example: digitrec evaluate --data mnist --min-accuracy 0.995")(evaluate)
    command(epilog="Example: digitrec explore --data digits-8x8")(explore)
    command(epilog="Example: digitrec samples /tmp/scans --count 50 --seed 1")(samples)
    command(epilog="Example: digitrec calibrate --data folder:labelled/ --max-error 0.01")(calibrate)
    models = typer.Typer(
        cls=GroupedCommands,
        help="List, show and promote the models of this workspace.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    model_command = in_panel(models, "Commands")
    model_command("list", epilog="Example: digitrec models list")(list_models)
    model_command("show", epilog="Example: digitrec models show shipped")(show_model)
    model_command("promote", epilog="Example: digitrec models promote cnn-0a1b2c3d4e")(promote_model)
    model_command("rollback", epilog="Example: digitrec models rollback")(rollback_model)
    cli.add_typer(models, name="models", rich_help_panel="Models")


@takes_settings("workspace")
def train(
    settings: Settings,
    network: Annotated[
        str | None, typer.Option("--network", help=f"{_NETWORK_HELP} Default: cnn.", show_default=False)
    ] = None,
    data: _Data = "mnist",
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Passes over the data. Default: 20; paper: 16; fine-tuning: 1."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --network paper: little data, 15 minutes.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 0,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            help="Do not train on pictures of this set, evaluate on it. Repeatable.",
            autocompletion=complete_data_sets,
        ),
    ] = None,
    with_corrections: Annotated[
        bool,
        typer.Option("--with-corrections", help="Train on confirmed and corrected pages as well."),
    ] = False,
    base_model: Annotated[
        str | None,
        typer.Option(
            "--base-model",
            help="With --with-corrections: fine-tune this model. Default: the one in use.",
            metavar="MODEL",
            autocompletion=complete_models,
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Train a network into a model folder, and evaluate it.

    Ctrl-C keeps the best weights so far.

    `--network paper` takes hours: it generates synthetic pages, trains a segmenter and a sequence recognizer, extracts
    digits from synthetic pages, and trains the digit classifier. Finished stages are checkpoints in the state folder,
    under training/, and reused when the same command is repeated. Ctrl-C ends the training of the current network with
    its best weights and starts the next; while pages are generated it ends the command. `--quick` tries all stages in
    about 15 minutes; its model is far less accurate.

    `--with-corrections` takes minutes: it fine-tunes the model in use on its own digits (--data), new synthetic pages,
    and all confirmed or corrected pages. One such file in five, selected by its sha256, is never trained on but
    evaluated. With `--network` of another kind, training starts from scratch, with the corrections. A report under
    reports/learning/ compares both models, and lists corrections that may be errors.
    """
    if base_model is not None and not with_corrections:
        raise UsageError("--base-model is for --with-corrections", hint="Without it, training starts from scratch.")
    if quick and (with_corrections or network != "paper"):
        raise UsageError("--quick is for --network paper, from scratch", hint="The other trainings take minutes.")
    from digitrec.app import models
    from digitrec.app.retrain import train_and_compare

    report: RetrainReport | None = None
    options: Any = {"epochs": epochs, "seed": seed, "exclude": exclude or []}
    with terminal.TrainingProgress() as progress:
        if with_corrections:
            report = train_and_compare(
                settings, data, base_model=base_model, network=network, progress=progress.update, **options
            )
            package = report.package
        else:
            package = models.train(settings, data, network or "cnn", quick=quick, progress=progress.update, **options)
    card = package.card
    if as_json:
        result = {"model_id": card.id, "folder": str(package.folder), "metrics": [*map(asdict, card.metrics)]}
        typer.echo(json.dumps(result | (output.retrain_to_json(report) if report else {})))
    else:
        typer.echo(f"{card.id}  {package.folder}" + ("  (interrupted: best so far)" if card.interrupted else ""))
        for line in output.format_metrics(card):
            typer.echo(line)
        if report:
            typer.echo(output.format_retrain(report))
        for line in output.format_next_steps(package, settings.max_error, format_workspace_flags(settings)):
            typer.echo(line)


@takes_settings("model", "max_error", "second_opinion", "engine", "threads", "max_bytes", "max_pixels", "max_pages")
def evaluate(
    settings: Settings,
    data: _Data = "mnist",
    min_accuracy: Annotated[
        float | None, typer.Option("--min-accuracy", min=0, max=1, help="Exit 1 if the accuracy is lower.")
    ] = None,
    full_pipeline: Annotated[
        bool,
        typer.Option(
            "--full-pipeline",
            help="Write an array set as PNG files and read them as a folder is: like files of the inbox.",
        ),
    ] = False,
    keras: Annotated[bool, typer.Option("--keras", help="Run the Keras network, not its LiteRT export.")] = False,
    as_json: _Json = False,
) -> None:
    """Measure the model in use on a set's test split.

    The full report is under reports/evaluation/.
    """
    from digitrec.app import models

    with terminal.ProgressBar("Reading", unit="pictures") as progress:
        evaluation = models.evaluate(settings, data, as_files=full_pipeline, keras=keras, progress=progress.update)
    right = evaluation.right
    if as_json:
        typer.echo(json.dumps(evaluation.to_json()))
    else:
        for line in output.format_evaluation(evaluation):
            typer.echo(line)
    if min_accuracy is not None and (right.share is None or right.share < min_accuracy):
        typer.echo(f"digitrec: the accuracy is below the {text.format_percent(min_accuracy)} asked for", err=True)
        raise typer.Exit(1)


@takes_settings("workspace")
def explore(settings: Settings, data: _Data = "mnist") -> None:
    """Write a report about a data set.

    It shows shapes, counts, examples, means and amounts of ink.
    """
    from digitrec.app import models

    typer.echo(text.escape_message(str(models.explore(settings, data))))


@takes_settings("workspace")
def samples(
    settings: Settings,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Where to write them. Default: the inbox.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same scans.")] = 0,
    data: _Data = "mnist-200",
) -> None:
    """Generate scans of real digits with labels, to try digitrec.

    Their labels.csv has the true digits.
    """
    from digitrec.app import models
    from digitrec.pipeline import workspace

    if folder is None:
        workspace.make_inbox(settings)
    elif folder.name.isdecimal() and not folder.exists():
        raise UsageError(
            f"there is no folder {folder}",
            hint=f"Did you mean `digitrec samples --count {folder.name}`? Else make the folder first.",
        )
    target = folder or settings.inbox
    paths = models.write_samples(target, count=count, seed=seed, data=data)
    typer.echo(text.escape_message(f"{len(paths)} sample scans and their labels.csv are in {target}"))


@takes_settings("workspace")
def list_models(settings: Settings, as_json: _Json = False) -> None:
    """List every model; `*` marks the one in use.

    The shipped model and the trained ones.
    """
    from digitrec.app.composition import open_model_registry

    listings = open_model_registry(settings).list()
    if as_json:
        entries = [{"name": model.name, "current": model.is_current, "folder": str(model.folder)} for model in listings]
        typer.echo(json.dumps(entries))
        return
    for model in listings:
        mark = "*" if model.is_current else " "
        if model.card is None:
            typer.echo(f"{mark} {model.name:20} cannot be used: {model.problem}")
        else:
            best = "; ".join(f"{metric.data} {text.format_percent(metric.accuracy)}" for metric in model.card.metrics)
            typer.echo(f"{mark} {model.name:20} {model.card.id}  {model.card.created_at[:10]}  {best}")


@takes_settings("model", "max_error")
def show_model(
    settings: Settings,
    name: Annotated[
        str | None,
        typer.Argument(help="Its id. Default: the one in use.", show_default=False, autocompletion=complete_models),
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Also show its model card: training and evaluation.")] = False,
    as_json: _Json = False,
) -> None:
    """Show the acceptance thresholds of a model for some error rates.

    Pages of one digit and numbers have a threshold each. And the share of calibration pages that is accepted at each.
    `--card` adds its model card.
    """
    from digitrec.app import composition
    from digitrec.models.package import ModelPackage
    from digitrec.training import model_card

    package = (
        ModelPackage.open(composition.open_model_registry(settings).find(name))
        if name
        else composition.open_model(settings)
    )
    tables = package.card.calibrations
    if as_json:
        thresholds = {"thresholds": output.thresholds_to_json(tables, settings.max_error)}
        typer.echo(json.dumps(package.card.to_json() | thresholds))
        return
    typer.echo(f"{package.card.id}  {package.folder}")
    second_opinion = package.card.second_opinion
    for line in (
        *output.format_thresholds(tables, settings.max_error),
        *(() if second_opinion is None else second_opinion.describe()),
    ):
        typer.echo(line)
    if card:
        card_text = (package.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        rates = output.list_error_rates(settings.max_error)
        typer.echo(f"\n{model_card.replace_guarantees(card_text, package.card, package.card.id, rates)}")
    typer.echo(output.format_operating_points(package, settings.max_error))


@takes_settings("max_error")
def promote_model(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="Its id, or `shipped`.", autocompletion=complete_models)],
    data: _Data = "mnist",
    force: Annotated[bool, typer.Option("--force", help="Do not compare.")] = False,
) -> None:
    """Use a model from now on, unless it is significantly worse.

    It is compared with the current one by McNemar's test on a test split.
    """
    from digitrec.app import models

    comparisons = models.promote(settings, name, force=force, data=data)
    if worse := [comparison.words for comparison in comparisons if comparison.is_worse]:
        raise ModelError(f"not promoted: {'; '.join(worse)}", hint="Add --force to promote it nevertheless.")
    for comparison in comparisons:
        typer.echo(comparison.words)
    typer.echo(f"{name} is now in use. Undo: digitrec models rollback")


@takes_settings("workspace")
def rollback_model(settings: Settings) -> None:
    """Return to the previous model."""
    from digitrec.app.composition import open_model_registry

    typer.echo(f"{open_model_registry(settings).rollback()} is in use again")


@takes_settings("model", "max_error", "engine", "threads", "max_bytes", "max_pixels", "max_pages")
def calibrate(
    settings: Settings,
    data: Annotated[str, typer.Option("--data", help="A folder of labelled pictures: folder:DIR.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="A file,label CSV; it takes precedence over labels in the folder.", show_default=False
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Use the calibrated copy from now on.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Calibrate the threshold on your own labelled scans.

    The error guarantee then holds for handwriting like yours.
    """
    from digitrec.app import calibrate, models

    with terminal.ProgressBar("Reading", unit="pictures") as progress:
        result = calibrate.calibrate_model(settings, data, labels=labels, progress=progress.update)
    if as_json:
        typer.echo(json.dumps(result.to_json() | {"promoted": promote}))
    else:
        for line in output.format_calibration(result):
            typer.echo(line)
        typer.echo(f"  model    {result.model_id}  {result.folder}")
    if promote:
        models.promote(settings, result.model_id, force=True, data="")
    if as_json:
        return
    if promote:
        typer.echo(f"{result.model_id} is now in use. Undo: digitrec models rollback")
    else:
        typer.echo(f"Use it: digitrec models promote {result.model_id} --force")
    if promote and settings.model is not None:
        typer.echo(f"But the setting `model` names {settings.model}, which takes precedence.")
    if result.run_limit:
        typer.echo(output.explain_run_limit(settings, result.max_error, result.run_max_error, result.run_limit))
