"""The command that sets a model's threshold by the user's own labelled scans."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from digitrec import cli_tables
from digitrec.cli_options import in_panel, takes_settings
from digitrec.errors import ModelError
from digitrec.settings import FILE_NAME, Settings


def register(cli: typer.Typer) -> None:
    """Add the command to the program."""
    command = in_panel(cli, "Models")
    command(epilog="Example: digitrec calibrate --data folder:labelled/ --max-error 0.01")(calibrate)


@takes_settings("model", "max_error", "engine", "threads", "max_bytes", "max_pixels", "max_pages")
def calibrate(
    settings: Settings,
    data: Annotated[str, typer.Option("--data", help="A folder of labelled pictures: folder:DIR.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="A file,label CSV that goes before the labels in the folder.", show_default=False
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Use the calibrated copy from now on.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Set the threshold by your own labelled scans.

    The promise then holds for writing like yours.
    """
    from digitrec import calibrating, lab

    with cli_tables.Progress("Reading", unit="pictures") as progress:
        found = calibrating.calibrate_on(settings, data, labels=labels, progress=progress.update)
    if as_json:
        typer.echo(json.dumps(found.to_json() | {"promoted": promote}))
    else:
        pages, at = found.table.pages, found.at
        typer.echo(f"{pages:,} {found.table.source.removeprefix('the ')}")
        typer.echo(f"  accepts from a confidence of {at.threshold:.6f} (max_error {found.max_error:g})")
        typer.echo(
            f"  accepted {100 * at.accepted / pages:.2f} % ({at.accepted:,} of {pages:,}), of these wrong {at.wrong}: "
            f"with 95 % confidence at most {100 * at.upper:.3f} %"
        )
        typer.echo(f"  model    {found.model_id}  {found.folder}")
    if promote:
        lab.promote(settings, found.model_id, force=True, data="")
    if as_json:
        return
    if promote:
        typer.echo(f"{found.model_id} is now in use. Undo: digitrec models rollback")
    else:
        typer.echo(f"Use it: digitrec models promote {found.model_id} --force")
    if promote and settings.model is not None:
        typer.echo(f"But the setting `model` names {settings.model}: where that holds, it is read with instead.")
    if found.run_threshold is None:
        typer.echo(_stops(settings, found.max_error, found.run_max_error))


def _stops(settings: Settings, max_error: float, run_max_error: float) -> str:
    """What to do where only a flag asked for an error rate that the model can promise."""
    variable = "DIGITREC_MAX_ERROR"
    instead = f" and take {variable} away, which goes before it" if os.environ.get(variable) else ""
    return (
        f"\n`digitrec run` asks for max_error {run_max_error:g}, which this model cannot promise: it would stop "
        f"(exit code {ModelError.exit_code}). Set this in {settings.workspace / FILE_NAME}{instead}:\n\n"
        f"    max_error = {max_error:g}\n"
    )
