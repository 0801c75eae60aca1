"""Define the program and the commands run, watch, predict, verify, init, config; print errors."""

import copy
import functools
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command_name
from typer.models import CommandInfo

import digitrec
from digitrec import logs, text
from digitrec.cli import (
    answers,
    demo,
    exchange,
    models,
    operations,
    operations_output,
    options,
    output,
    review,
    terminal,
)
from digitrec.cli.options import GroupedCommands, complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import DigitrecError, UnexpectedFailure, UsageError
from digitrec.images import threads
from digitrec.settings import Settings, setting_fields
from digitrec.text import pluralize
from digitrec.types import Reason

_EXIT_STRICT = 3

cli = typer.Typer(
    name="digitrec",
    cls=GroupedCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_read, _operate = in_panel(cli, "Read"), in_panel(cli, "Operate")
_Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Log every step on a terminal, too."),
]


def main() -> None:
    """Run the program; print a DigitrecError as one line with its hint, and exit with its code."""
    _prepare_streams()
    try:
        _select_command(*sys.argv[1:2])()
    except DigitrecError as error:
        if options.debug:
            raise
        _print_error(str(error), error.hint)
        sys.exit(error.exit_code)
    except Exception as error:
        if options.debug:
            raise
        failure = UnexpectedFailure(logs.log_exception("unexpected error", error))
        _print_error(str(failure), failure.hint)
        sys.exit(failure.exit_code)


@functools.cache
def _select_command(name: str = "") -> typer.Typer:
    """Return the program with only the command of this name, if there is one: typer takes 20 ms to build the others."""
    commands = [command for command in cli.registered_commands if name == _name_of(command)]
    groups = [group for group in cli.registered_groups if name == group.name]
    if not (commands or groups):
        return cli
    program = copy.copy(cli)
    program.registered_commands, program.registered_groups = commands, groups
    return program


def _name_of(command: CommandInfo) -> str:
    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def _prepare_streams() -> None:
    """Replace streams that are closed at the start, and escape undecodable bytes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_error(message: str, hint: str) -> None:
    terminal.say(f"digitrec: {text.escape_message(message)}", err=True)
    if hint:
        terminal.say(f"  {text.escape_message(hint)}", err=True)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"digitrec {digitrec.__version__}")
        raise typer.Exit


@cli.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Drop scanned pictures of digits into inbox/, get numbers in outbox/ and reports in reports/."""


@_read(epilog="Example: digitrec run --workspace /srv/scans --strict")
@takes_settings()
def run(
    settings: Settings,
    table: Annotated[bool, typer.Option("--table", help="Print the answers as a table.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print which files would be read, and read none.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 if a file was rejected.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    verbose: _Verbose = False,
) -> None:
    """Read everything now in the inbox, then stop (for cron)."""
    from digitrec.app import service
    from digitrec.app.run import run_once
    from digitrec.pipeline import ledgers

    if dry_run and settings.source:
        raise UsageError("--dry-run lists the inbox, not an object store", hint="Leave out --source and --outbox.")
    if dry_run:
        operations.print_dry_run(settings, as_json=as_json)
        return

    if sys.stderr.isatty() and not verbose:
        logs.configure(settings.log_format, quiet=True)  # the summary shows the same
    is_new = not settings.source and ledgers.is_new_workspace(settings)
    stop = service.ShutdownSignal()
    with stop.on_signals(), terminal.ProgressBar("Reading", unit="files") as progress:
        summary = run_once(settings, stop, progress.update)
    if as_json:
        typer.echo(json.dumps(output.summary_to_json(settings, summary)))
    else:
        if is_new:
            terminal.say(text.escape_message(f"Made a new workspace in {settings.workspace}"))
        rejected = [*answers.format_rejected(settings, summary.batches)] if summary.count.rejected else []
        terminal.say(output.format_summary(settings, summary, is_stopped=stop(), rejected=rejected))
        if summary.waiting and not settings.source:
            from digitrec.app.operations import list_remaining

            for line in operations_output.format_remaining(list_remaining(settings)):
                terminal.say(line)
        for line in operations_output.format_passed_over(summary.passed_over):
            terminal.say(line)
        if not summary.count.claimed and not summary.waiting and not settings.source:
            _print_unread_pictures(settings)
    if table:
        answers.print_batches(settings, summary.batches)
    if stop():
        raise typer.Exit(stop.exit_code)
    raise typer.Exit(_EXIT_STRICT if strict and summary.count.rejected else 0)


@_read(epilog="Example: digitrec watch --workspace /srv/scans")
@takes_settings()
def watch(settings: Settings, verbose: _Verbose = False) -> None:
    """Read files as they arrive in the inbox, until stopped.

    A terminal shows one panel, and warnings above it; elsewhere each step is a line.
    """
    from digitrec.app import run, service

    stop = service.ShutdownSignal()
    with stop.on_signals(), ExitStack() as stack:
        show: Callable[[run.WatchState], None] = run.show_nothing
        if terminal.is_live() and settings.log_format == "auto" and not verbose:
            from digitrec.cli.watch_panel import WatchPanel

            logs.configure(settings.log_format, quiet=True)  # the panel shows the same
            show = stack.enter_context(WatchPanel(settings, stop)).show
        run.watch(settings, stop, show=show)
    logs.info("stopped", signal=signal.Signals(stop.signal).name)
    raise typer.Exit(stop.exit_code if stop.signal == signal.SIGINT else 0)


@_read(epilog="Example: digitrec predict photo.jpg --json")
@takes_settings("model", "max_error", "second_opinion", "max_bytes", "max_pixels", "max_pages")
def predict(
    settings: Settings,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Pictures to read.", show_default=False, readable=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the CSV's columns and the numbers as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, help="Draw the processing steps of one picture into this PNG.", show_default=False
        ),
    ] = None,
    explain_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Draw the same for each picture into this folder.", show_default=False),
    ] = None,
) -> None:
    """Read these pictures now and move none.

    Files are written only with --explain and --explain-dir.
    """
    threads.import_opencv()
    from digitrec.app.explain import write_explanation, write_explanations
    from digitrec.app.reader import Reader

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if explain is not None and len(files) > 1:
        raise UsageError("--explain takes one picture", hint="`--explain-dir DIR` takes any number.")
    if explain is not None and explain.suffix.lower() != ".png":
        raise UsageError(f"--explain draws a PNG, and {explain} is not named *.png", hint="`--explain why.png`")
    reader = Reader.from_settings(settings)
    results = [pages for _, pages in reader.read_many(files)]
    unreadable = [pages[0] for pages in results if pages[0].reason is Reason.IO_ERROR]
    pages_by_file = [pages for pages in results if pages[0].reason is not Reason.IO_ERROR]
    table_format = "json" if as_json else "csv" if as_csv else "table"
    if pages_by_file or table_format != "table":
        rows, output_format = reader.to_table(page for pages in pages_by_file for page in pages)
        answers.print_predictions(rows, output_format, table_format=table_format)
    if explain is not None and pages_by_file:
        write_explanation(pages_by_file[0], explain)
    if explain_dir is not None:
        write_explanations(pages_by_file, explain_dir)
    if unreadable:
        folder = next((path for path in files if path.is_dir()), None)
        hint = f"The pictures in a folder: `digitrec predict {folder}/*`" if folder else ""
        raise UsageError(
            "; ".join(f"{page.file} cannot be read: {page.detail}" for page in unreadable),
            hint=hint or ("The other files were read." if pages_by_file else ""),
        )
    if all(answers.is_unreadable(page) for pages in pages_by_file for page in pages):
        terminal.say("digitrec: none of these files can be read", err=True)
        raise typer.Exit(1)


demo.register(cli)


@_operate(epilog="Example: digitrec verify --json")
@takes_settings("workspace")
def verify(
    settings: Settings,
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BATCH]...",
            help="With --tables: only these. Default: all.",
            show_default=False,
            autocompletion=complete_batches,
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First rebuild a lost or damaged ledger from outbox and folders.")
    ] = False,
    tables: Annotated[
        bool,
        typer.Option(
            "--tables", help="With --rebuild: also rewrite missing tables of finished batches; replaces none."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Verify that no claimed file was lost; exit 1 on a difference.

    Disk and ledgers are compared, and every original is read. Tables that --tables rewrites have the same bytes as the
    lost ones, and each is listed; latest.csv is not changed.
    """
    from digitrec.app import operations

    if tables and not rebuild:
        raise UsageError("--tables goes with --rebuild", hint="digitrec verify --rebuild --tables")
    if batches and not tables:
        raise UsageError("a BATCH goes with --rebuild --tables", hint="digitrec verify --help")

    def print_table(name: str) -> None:
        if not as_json:
            typer.echo(f"written again: {name}")

    written = (
        operations.rebuild_ledger(settings, batches or (), with_tables=tables, on_written=print_table)
        if rebuild
        else []
    )
    report = operations.verify(settings)
    if not report.discrepancies:
        warn_if_unread(settings)
    if as_json:
        typer.echo(output.integrity_report_to_json(report, written))
    else:
        terminal.say(output.format_integrity_report(report))
    raise typer.Exit(1 if report.discrepancies else 0)


@_operate(epilog="Example: digitrec init --workspace /srv/scans")
@takes_settings("workspace")
def init(settings: Settings) -> None:
    """Create the folders of a workspace; accept new or emptied ones."""
    from digitrec.pipeline import workspace

    workspace.init_folders(settings)
    terminal.say(text.escape_message(f"{settings.workspace} is ready. Drop pictures into {settings.inbox}"))
    _print_unread_pictures(settings)


def _print_unread_pictures(settings: Settings) -> None:
    """Print how many pictures are in the workspace and not in its inbox, where they are never read."""
    from digitrec.pipeline import first_use

    if count := first_use.count_pictures(settings.workspace):
        pictures = f"{pluralize(count, 'picture')} in {settings.workspace}"
        terminal.say(text.escape_message(f"{pictures}: move into {settings.inbox.name}/ what is to be read"))


@_operate(epilog="Example: digitrec config --json")
@takes_settings()
def config(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False
) -> None:
    """Print every setting, its value and its source."""
    values = {
        setting.name: {"value": getattr(settings, setting.name), "from": settings.sources.get(setting.name, "default")}
        for setting in setting_fields()
    }
    if as_json:
        typer.echo(json.dumps(values, default=str))
        return
    for name, entry in values.items():
        value = "-" if entry["value"] is None else entry["value"]
        typer.echo(text.escape_message(f"{name:20} {value!s:32} {entry['from']}"))


models.register(cli)
operations.register(cli)
review.register(cli)
exchange.register(cli)
