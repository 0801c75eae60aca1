"""Commands of people's corrections: review in the browser, export all answers, apply corrections made elsewhere."""

import getpass
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from digitrec import text
from digitrec.cli.options import complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import UsageError, require_packages
from digitrec.exchange.formats import TableFormat
from digitrec.settings import Settings
from digitrec.text import format_utc, pluralize

_MOST_TOLD = 20


def register(cli: typer.Typer) -> None:
    """Add this command to the program."""
    command = in_panel(cli, "Review")
    command(epilog="Example: digitrec review --reviewer Anna")(review)
    command(epilog="Example: digitrec export --since 2026-01-31 --format xlsx --out answers.xlsx")(export)
    command(epilog="Example: digitrec apply corrections.csv --reviewer ann")(apply)


@takes_settings("model", "max_error", "max_bytes", "max_pixels", "max_pages")
def review(
    settings: Settings,
    reviewer: Annotated[
        str, typer.Option("--reviewer", help="Your name, kept with your verdicts. Default: your login.")
    ] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 = a free one.")] = 0,
    audit: Annotated[
        int, typer.Option("--audit", min=0, help="Sample this many accepted answers, to estimate their error rate.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of that sample.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Confirm or correct answers in a browser, or try a picture.

    Ctrl-C ends it. Served on 127.0.0.1 only. The printed address signs in one person, once; the page invites others.
    Each verdict is saved in the ledger at once, with name and time; a published CSV is never changed. When no page of a
    batch needs review any more, outbox/corrected/<batch>.csv is written.
    """
    require_packages("review", "starlette", "uvicorn")
    from digitrec.app import review

    def started(address: str) -> None:
        typer.echo(f"Open this once, on this machine: {address}")
        typer.echo("Ctrl-C ends it; everything is saved as you go.")
        if not no_browser:
            review.open_browser(address)

    review.serve_review(settings, review.ReviewOptions(reviewer=reviewer, port=port, audit=audit, seed=seed), started)


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
    form: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Default: by the name of --out, else csv.", show_default=False),
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
    from digitrec.exchange import export
    from digitrec.pipeline import workspace

    form = form or _form_of(out)
    if out is None and not form.is_text:
        raise UsageError(f"{form} cannot be written to stdout", hint=f"Add --out answers.{form}")
    with workspace.open_ledgers_readonly(settings) as ledgers:
        warn_if_unread(settings, ledgers)
        result = export.export(settings, ledgers, form, out or sys.stdout.buffer, since)
    sys.stdout.flush()
    if out is not None:
        of = f"{pluralize(result.rows, 'row')} of {pluralize(result.batches, 'batch', 'batches')}"
        typer.echo(text.escape_message(f"{of}, {result.reviewed} of them reviewed: {out}"))


def _form_of(out: Path | None) -> TableFormat:
    """Return the format of a file name.

    Raises:
        UsageError: unknown extension.
    """
    suffix = out.suffix.lower().removeprefix(".") if out else ""
    if suffix and suffix not in set(TableFormat):
        hint = f"Use {', '.join(f'.{each}' for each in TableFormat)}, or name the format: --format."
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
    from digitrec.exchange import importer
    from digitrec.pipeline import workspace

    with workspace.open_ledgers_readonly(settings) as ledgers:
        plan = importer.plan_import(table.read_bytes(), ledgers, confirm_unchanged=confirm_unchanged)
    for bad in plan.errors[:_MOST_TOLD]:
        typer.echo(text.escape_message(bad), err=True)
    if len(plan.errors) > _MOST_TOLD:
        typer.echo(f"and {len(plan.errors) - _MOST_TOLD} more", err=True)
    if plan.errors and not skip_bad:
        hint = "Put them right, or add --skip-bad."
        raise UsageError(f"{pluralize(len(plan.errors), 'line')} of {table} cannot be applied; nothing was", hint=hint)
    done = importer.apply_import(settings, plan, who=reviewer or _login(), at=format_utc(time.time()))
    typer.echo(
        f"{done.confirmed} confirmed, {done.corrected} corrected, {plan.already_known} already known, "
        f"{plan.unchanged} unchanged" + (f", {len(plan.errors)} skipped" if plan.errors else "")
    )
    for path in done.tables:
        typer.echo(text.escape_message(f"  {path}"))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, in a container; KeyError before Python 3.13
        raise UsageError("your login has no name", hint="Say who you are: --reviewer NAME.") from None
