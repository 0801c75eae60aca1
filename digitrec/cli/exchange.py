"""Commands that exchange tables: export the results, apply corrections made elsewhere."""

import getpass
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from digitrec import text
from digitrec.cli.options import complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import UsageError
from digitrec.exchange.formats import TableFormat
from digitrec.settings import Settings
from digitrec.text import format_utc, pluralize

if TYPE_CHECKING:
    from digitrec.exchange.export import Selection

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
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BATCH]...",
            help="Only these batches; latest: those of outbox/latest.csv.",
            show_default=False,
            autocompletion=complete_batches,
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            metavar="DATE|BATCH",
            help="Only batches since this date (UTC) or batch.",
            show_default=False,
            autocompletion=complete_batches,
        ),
    ] = "",
    tables: Annotated[
        bool, typer.Option("--tables", help="One table per page: its numbers, laid out as on the page.")
    ] = False,
    table_format: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Default: by the extension of --out, else csv.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="The file, replaced at once; for --tables a folder or an .xlsx. Default: print it; the folder tables.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the latest results, corrections applied, as one table.

    All batches of all workers, with the columns of the CSVs, and who corrected a row and when. Text stays text: "0650"
    keeps its zero. With --tables, each page becomes a separate table: a CSV, or a sheet of an .xlsx, in which numbers
    that need review are marked by a pale yellow background.
    """
    from digitrec.exchange import export as exporter
    from digitrec.pipeline.ledgers import open_ledgers

    selection = exporter.Selection(tuple(batches or ()), since)
    if tables:
        _export_tables(settings, table_format, out, selection)
        return
    table_format = table_format or _detect_format(out)
    if out is None and not table_format.is_text:
        raise UsageError(f"{table_format} cannot be written to stdout", hint=f"Add --out answers.{table_format}")
    warn_if_unread(settings)
    with open_ledgers(settings) as ledgers:
        result = exporter.export(settings, ledgers, table_format, out or sys.stdout.buffer, selection)
    sys.stdout.flush()
    if out is not None:
        rows = f"{pluralize(result.rows, 'row')} of {pluralize(result.batches, 'batch', 'batches')}"
        typer.echo(text.escape_message(f"{rows}, {result.reviewed} reviewed: {out}"))


def _export_tables(
    settings: Settings, table_format: TableFormat | None, out: Path | None, selection: "Selection"
) -> None:
    from digitrec.exchange.export import export_tables
    from digitrec.pipeline.ledgers import open_ledgers

    suffix = out.suffix.lower() if out else ""
    table_format = table_format or (TableFormat.XLSX if suffix == ".xlsx" else TableFormat.CSV)
    if table_format is TableFormat.JSONL or suffix in {".csv", ".jsonl"}:
        hint = "Name a folder (--out tables), or an .xlsx."
        raise UsageError("--tables writes a folder of CSVs or one .xlsx", hint=hint)
    out = out or Path("tables.xlsx" if table_format is TableFormat.XLSX else "tables")
    warn_if_unread(settings)
    with open_ledgers(settings) as ledgers:
        result = export_tables(settings, ledgers, table_format, out, selection)
    if not result.pages:
        typer.echo("no page with numbers")
        return
    numbers, pages = pluralize(result.numbers, "number"), pluralize(result.pages, "page")
    doubtful = pluralize(result.in_review, "needs review", "need review")
    typer.echo(text.escape_message(f"{pages}, {numbers}, {doubtful}: {out}"))


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
    several; number for one of its numbers) and has the true value in `text` or `label`: numbers, none or illegible. Or
    a published table with `text` edited, also that of the numbers; unchanged lines are ignored.
    """
    from digitrec.exchange import importer
    from digitrec.pipeline.ledgers import open_ledgers

    with open_ledgers(settings) as ledgers:
        plan = importer.plan_import(table.read_bytes(), ledgers, confirm_unchanged=confirm_unchanged)
    for error in plan.errors[:_MAX_ERRORS]:
        typer.echo(text.escape_message(error), err=True)
    if len(plan.errors) > _MAX_ERRORS:
        typer.echo(f"and {len(plan.errors) - _MAX_ERRORS} more", err=True)
    if plan.errors and not skip_bad:
        hint = "Fix them, or add --skip-bad."
        lines = pluralize(len(plan.errors), "line")
        raise UsageError(f"{lines} of {table} cannot be applied; nothing was changed", hint=hint)
    result = importer.apply_import(settings, plan, who=reviewer or _get_login(), at=format_utc(time.time()))
    illegible = f"{result.illegible} illegible, " if result.illegible else ""
    typer.echo(
        f"{result.confirmed} confirmed, {result.corrected} corrected, {illegible}{plan.repeated} already known, "
        f"{plan.unchanged} unchanged" + (f", {len(plan.errors)} skipped" if plan.errors else "")
    )
    for path in result.tables:
        typer.echo(text.escape_message(f"  {path}"))


def _get_login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container; KeyError before Python 3.13
        raise UsageError("your login has no name", hint="Add --reviewer NAME.") from None
