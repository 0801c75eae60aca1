"""The command that serves the review pages."""

from typing import Annotated

import typer

from digitrec.cli_options import in_panel, takes_settings
from digitrec.extras import needs
from digitrec.settings import Settings


def register(cli: typer.Typer) -> None:
    """Add this command to the program."""
    command = in_panel(cli, "Review")
    command(epilog="Example: digitrec review --reviewer Anna")(review)


@takes_settings("model", "max_error", "max_bytes", "max_pixels", "max_pages")
def review(
    settings: Settings,
    reviewer: Annotated[
        str, typer.Option("--reviewer", help="Your name, kept with your verdicts. Default: your login.")
    ] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    audit: Annotated[
        int, typer.Option("--audit", min=0, help="Draw so many accepted answers, to estimate how many are wrong.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of that draw: the same answers every time.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Look at answers in a browser: confirm, correct, or try one.

    Ctrl-C ends it. Served on 127.0.0.1 only. The address that is printed lets one person in, once; the page invites
    others. What is said is kept in the ledger at once, with name and time; a published CSV is never changed. When
    everything of a batch that was put up for review is settled, outbox/corrected/<batch>.csv appears.
    """
    needs("review", "starlette", "uvicorn")
    from digitrec import reviewing

    def started(address: str) -> None:
        typer.echo(f"Open this once, on this machine: {address}")
        typer.echo("Ctrl-C ends it; everything is saved as you go.")
        if not no_browser:
            reviewing.open_browser(address)

    reviewing.serve(settings, reviewing.Wanted(who=reviewer, port=port, audit=audit, seed=seed), started)
