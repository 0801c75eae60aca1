"""Commands that exchange tables: export the results, apply corrections made elsewhere."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from digitrec import text
from digitrec.cli.options import complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import UsageError
from digitrec.exchange.formats import TableFormat
from digitrec.settings import Settings
from digitrec.text import pluralize

_MAX_ERRORS = 20
"""Lines that cannot be applied and are printed."""


def register(cli: typer.Typer) -> None:
    """Add these commands to the program."""
    command = in_panel(cli, "Review")
    command(epilog="Example: digitrec export --since 2026-01-31 --format xlsx --out answers.xlsx")(export)
    command(epilog="Example: digitrec apply corrections.csv --reviewer ann")(apply)


@takes_settings("csv_profile")
def export(
    settings: Settings,
    since: Annotated[
        str,
        typer.Option(
            metavar="DATE|BATCH",
            help="Only batches since this date (UTC) or batch.",
            show_default=False,
            autocompletion=complete_batches,
        ),
    ] = "",
    table_format: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Default: by the extension of --out, else csv.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="The file, replaced at once. Default: print it.", show_default=False),
    ] = None,
) -> None:
    """Write the latest results, corrections applied, as one table.

    All batches of all workers, with the columns of the CSVs, and who corrected a row and when. Text stays text: "0650"
    keeps its zero.
    """
    from digitrec.app import exchange

    table_format = table_format or _detect_format(out)
    if out is None and not table_format.is_text:
        raise UsageError(f"{table_format} cannot be written to stdout", hint=f"Add --out answers.{table_format}")
    warn_if_unread(settings)
    result = exchange.export_results(settings, table_format, out or sys.stdout.buffer, since)
    sys.stdout.flush()
    if out is not None:
        rows = f"{pluralize(result.rows, 'row')} of {pluralize(result.batches, 'batch', 'batches')}"
        typer.echo(text.escape_message(f"{rows}, {result.reviewed} of them reviewed: {out}"))


def _detect_format(out: Path | None) -> TableFormat:
    """Return the format of a file name.

    Raises:
        UsageError: unknown extension.
    """
    suffix = out.suffix.lower().removeprefix(".") if out else ""
    if suffix and suffix not in set(TableFormat):
        hint = f"Use {', '.join(f'.{table_format}' for table_format in TableFormat)}, or name the format: --format."
        raise UsageError(f"{out} has an unknown extension", hint=hint)
    return TableFormat(suffix) if suffix else TableFormat.CSV


@takes_settings("workspace")
def apply(
    settings: Settings,
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", dir_okay=False, exists=True, help="A CSV, or an .xlsx.", show_default=False),
    ],
    reviewer: Annotated[
        str, typer.Option(help="Name kept with the corrections. Default: your login.", show_default=False)
    ] = "",
    confirm_unchanged: Annotated[
        bool,
        typer.Option(
            "--confirm-unchanged",
            help="Confirm unchanged lines of an edited table that need review, except `not_a_digit`.",
        ),
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Skip lines that cannot be applied, and apply the others.")
    ] = False,
) -> None:
    """Import corrections from a table.

    A CSV or an Excel workbook that identifies answers (batch_id,row or sha256 or file, and page where there are
    several) and has the true value in `text` or `label`: digits, or none. Or a published table with `text` edited;
    unchanged lines are ignored.
    """
    from digitrec.app import exchange

    plan = exchange.plan_import(settings, table, confirm_unchanged=confirm_unchanged)
    for error in plan.errors[:_MAX_ERRORS]:
        typer.echo(text.escape_message(error), err=True)
    if len(plan.errors) > _MAX_ERRORS:
        typer.echo(f"and {len(plan.errors) - _MAX_ERRORS} more", err=True)
    if plan.errors and not skip_bad:
        hint = "Fix them, or add --skip-bad."
        raise UsageError(f"{pluralize(len(plan.errors), 'line')} of {table} cannot be applied; nothing was", hint=hint)
    result = exchange.apply_import(settings, plan, reviewer or _get_login())
    typer.echo(
        f"{result.confirmed} confirmed, {result.corrected} corrected, {plan.repeated} already known, "
        f"{plan.unchanged} unchanged" + (f", {len(plan.errors)} skipped" if plan.errors else "")
    )
    for path in result.tables:
        typer.echo(text.escape_message(f"  {path}"))


def _get_login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container; KeyError before Python 3.13
        raise UsageError("your login has no name", hint="Add --reviewer NAME.") from None
