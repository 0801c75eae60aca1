"""Commands of the web application: serve its pages, open it for a review; and rebuild the reports."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from digitrec import text
from digitrec.cli.options import complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import require_packages
from digitrec.settings import Settings
from digitrec.text import pluralize

if TYPE_CHECKING:
    from digitrec.review.summary import ReviewSummary

DEFAULT_PORT = 8321
"""Port of `serve`, fixed so that a bookmark and Prometheus find it."""


def register(cli: typer.Typer) -> None:
    """Add these commands to the program."""
    command = in_panel(cli, "Review")
    command(epilog="Example: digitrec report --batch 20260102T030405Z-0a1b2c3d")(report)
    command(epilog="Example: digitrec review --reviewer Anna")(review)
    command(epilog="Example: digitrec serve --workspace /srv/scans")(serve)


@takes_settings("workspace")
def report(
    settings: Settings,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", help="Only this batch. Default: all.", show_default=False, autocompletion=complete_batches
        ),
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Also write each chart of the trend as PNG.")] = False,
) -> None:
    """Rebuild the reports, with corrections applied.

    All are built from the ledgers: the reports of the batches, the trend report and the index. The trend report shows
    acceptance, error rate, drift and speed over time. It is left out with --batch.
    """
    from digitrec.app import reports
    from digitrec.pipeline.ledgers import open_ledgers

    if batch is None and warn_if_unread(settings) and not settings.reports.exists():
        return
    if png:
        require_packages("report --png", "matplotlib", "seaborn")
    with open_ledgers(settings) as ledgers:
        if batch is None:
            page, count = reports.write_all_reports(settings, ledgers, has_png=png)
        else:
            page, count = reports.rewrite_report(settings, ledgers, batch)
    typer.echo(text.escape_message(f"{pluralize(count, 'report')} made. {page}"))


_Reviewer = Annotated[str, typer.Option("--reviewer", help="Your name, kept with your verdicts. Default: your login.")]
_NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address.")]
_takes_reading_settings = takes_settings(
    "model", "max_error", "second_opinion", "max_bytes", "max_pixels", "max_pages", "max_wait_s"
)


@_takes_reading_settings
def review(
    settings: Settings,
    reviewer: _Reviewer = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 = a free one.")] = 0,
    audit: Annotated[
        int, typer.Option("--audit", min=0, help="Sample this many accepted answers, to estimate their error rate.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of that sample.")] = 0,
    no_browser: _NoBrowser = False,
) -> None:
    """Confirm or correct answers in a browser, or try a picture.

    Ctrl-C ends it. The application is that of `serve`, opened at its review page, on a free port. Each verdict is saved
    in the ledger at once, with name and time; a published CSV is never changed. When no page of a batch needs review
    any more, outbox/corrected/<batch>.csv is written.
    """
    _serve(settings, no_browser, reviewer=reviewer, port=port, audit=audit, seed=seed, start="/review")


@_takes_reading_settings
def serve(
    settings: Settings,
    reviewer: _Reviewer = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 = a free one.")] = DEFAULT_PORT,
    no_browser: _NoBrowser = False,
) -> None:
    """Show a workspace in a browser: inbox, answers, reports, review.

    Ctrl-C ends it. Served on 127.0.0.1 only. The printed address signs in one person, once; the page invites others.
    Files dropped on the home page go into the inbox; `run` or `watch` reads them.
    """
    _serve(settings, no_browser, reviewer=reviewer, port=port)


def _serve(settings: Settings, no_browser: bool, **options: Any) -> None:
    require_packages("serve", "starlette", "uvicorn")
    from digitrec.app import review

    def print_address(address: str, token_path: Path) -> None:
        typer.echo(f"Open this once, on this machine: {address}")
        typer.echo(text.escape_message(f"For programs, and to sign in again: the access token in {token_path}"))
        typer.echo("Press Ctrl-C to stop. Each verdict is saved at once.")
        if not no_browser:
            review.open_browser(address)

    def print_summary(summary: "ReviewSummary") -> None:
        counts = [f"{count} {verdict}" for verdict, count in summary.verdicts.items()]
        typer.echo(f"Judged: {', '.join(counts) or 'nothing'}.".replace("unsure", "not sure"))
        for path in summary.tables:
            typer.echo(text.escape_message(f"Finished: {path}"))
        for batch_id, count in summary.open_rows.items():
            typer.echo(
                f"Batch {batch_id}: {pluralize(count, 'answer')} to review before its corrected table is written."
            )

    review.serve(settings, review.ReviewOptions(**options), print_address, print_summary)
