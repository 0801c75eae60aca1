"""Command demo: make a workspace with pictures to try, and read them."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from digitrec import logs, text
from digitrec.cli import answers, output, terminal
from digitrec.cli.options import in_panel, takes_settings
from digitrec.errors import UsageError
from digitrec.settings import Settings

_DEFAULT_DIR = Path("digitrec-demo")


def register(cli: typer.Typer) -> None:
    """Add the command to the program."""
    in_panel(cli, "Read")(epilog="Example: digitrec demo ~/digitrec-demo")(demo)


@takes_settings("workspace")
def demo(
    settings: Settings,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]", help=f"The workspace; made if missing. Default: {_DEFAULT_DIR}.", show_default=False
        ),
    ] = None,
) -> None:
    """Make a workspace with sample pictures and read them.

    The pictures are 20 scans of real digits, and the drawn photo of a small table with one doubtful number.
    """
    has_workspace = "workspace" in settings.sources
    if folder is not None and settings.sources.get("workspace") == "flag":
        raise UsageError("DIR and --workspace name the same folder", hint="Leave one of them out.")
    if folder is not None or not has_workspace:
        names = (name for name, source in settings.sources.items() if source == "flag")
        settings = Settings.load(folder or _DEFAULT_DIR, {name: getattr(settings, name) for name in names})
    terminal.say(text.escape_message(f"Drawing sample pictures into {settings.inbox}"))
    from digitrec.app import demo, service
    from digitrec.app.run import run_once

    logs.configure(settings.log_format, quiet=True)  # the summary shows the same
    count = demo.fill_inbox(settings)
    typer.echo(f"Reading {count} pictures")
    stop = service.ShutdownSignal()
    with stop.on_signals(), terminal.ProgressBar("Reading", unit="files") as progress:
        summary = run_once(settings, stop, progress.update)
    answers.print_batches(settings, summary.batches)
    summary_lines = output.format_summary(settings, summary, review=_command("review", settings), is_stopped=stop())
    terminal.say(f"\n{summary_lines}")
    run = text.escape_message(_command("run", settings))
    terminal.say(f"Put pictures of your own into {text.escape_message(str(settings.inbox))}, then: {run}")
    raise typer.Exit(stop.exit_code if stop() else 0)


def _command(name: str, settings: Settings) -> str:
    """Return a command of this program for a workspace, as this terminal starts it."""
    is_here = settings.workspace.resolve() == Path.cwd()
    return shlex.join([*_program(), name, *(() if is_here else ("--workspace", str(settings.workspace)))])


def _program() -> list[str]:
    """Return the words that start this program in this terminal."""
    program = shutil.which("digitrec")
    # `uvx` puts the programs of its environment on the PATH of this process only.
    is_own = program is not None and Path(program).parent == Path(sys.prefix) / "bin"
    if program and (not is_own or os.environ.get("VIRTUAL_ENV") == sys.prefix):
        return ["digitrec"]
    script = Path(sys.argv[0])
    return [str(script)] if script.name == "digitrec" else ["python", "-m", "digitrec"]
