"""Define the program, its first commands, and the only place that prints errors."""

import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

import digitrec
from digitrec import logs, text
from digitrec.cli import models, operations, options, output, review, words
from digitrec.cli.options import GroupedCommands, complete_batches, in_panel, takes_settings, warn_if_unread
from digitrec.errors import DigitrecError, UnexpectedFailure, UsageError
from digitrec.images import threads
from digitrec.settings import Settings, setting_fields
from digitrec.text import pluralize

_EXIT_STRICT = 3

cli = typer.Typer(
    name="digitrec",
    cls=GroupedCommands,
    help="Drop scanned pictures of digits into inbox/, get numbers in outbox/ and reports in reports/.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_read, _review, _operate = (in_panel(cli, panel) for panel in ("Read", "Review", "Operate"))


def main() -> None:
    """Run the program; every DigitrecError becomes one line, its hint and its exit code."""
    _prepare_streams()
    try:
        cli()
    except DigitrecError as why:
        if options.debug:
            raise
        _complain(str(why), why.hint)
        sys.exit(why.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if options.debug:
            raise
        failure = UnexpectedFailure(logs.log_exception("unexpected error", error))
        _complain(str(failure), failure.hint)
        sys.exit(failure.exit_code)


def program() -> None:
    """Run `main`, then exit even if a thread hangs: the console script."""
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if "digitrec.app.service" not in sys.modules:  # then no thread of ours has run
            raise
        from digitrec.app.service import exit_now

        exit_now(code)


def _prepare_streams() -> None:
    """Make printing safe: replace streams that are closed at the start, escape undecodable bytes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _complain(what: str, hint: str) -> None:
    typer.echo(f"digitrec: {text.escape_message(what)}", err=True)
    if hint:
        typer.echo(f"  {text.escape_message(hint)}", err=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"digitrec {digitrec.__version__}")
        raise typer.Exit


@cli.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
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
) -> None:
    """Read everything now in the inbox, then stop (for cron)."""
    from digitrec.app import service
    from digitrec.app.run import run_once
    from digitrec.monitoring import backlog
    from digitrec.pipeline import ledgers

    if dry_run and settings.source:
        raise UsageError("--dry-run looks at the inbox, not at a store", hint="Leave out --source and --outbox.")
    if dry_run:
        operations.print_dry_run(settings, as_json=as_json)
        return

    if sys.stderr.isatty():
        logs.configure(settings.log_format, quiet=True)  # the summary has the same
    is_new = not settings.source and ledgers.is_new_workspace(settings)
    stop = service.ShutdownSignal()
    with stop.on_signals(), output.ProgressBar("Reading", unit="files") as progress:
        summary = run_once(settings, stop, progress.update)
    if as_json:
        typer.echo(json.dumps(output.summary_to_json(settings, summary)))
    else:
        if is_new:
            typer.echo(text.escape_message(f"Made a new workspace in {settings.workspace}"))
        typer.echo(output.format_summary(settings, summary, is_stopped=stop()))
        if summary.waiting and not settings.source:
            with ledgers.open_readable_ledgers(settings) as found:
                deferred = backlog.deferred_files(settings, found, time.time())
            for line in words.format_deferred(deferred):
                typer.echo(line)
        for line in words.format_passed_over(summary.passed_over):
            typer.echo(line)
    if table:
        output.print_batches(settings, summary.batches)
    if stop():
        raise typer.Exit(stop.exit_code)
    raise typer.Exit(_EXIT_STRICT if strict and summary.count.rejected else 0)


@_read(epilog="Example: digitrec watch --workspace /srv/scans")
@takes_settings()
def watch(settings: Settings) -> None:
    """Read files as they arrive in the inbox, until stopped."""
    from digitrec.app import run, service

    stop = service.ShutdownSignal()
    with stop.on_signals():
        run.watch(settings, stop)
    logs.info("stopped", signal=signal.Signals(stop.signal).name)
    raise typer.Exit(stop.exit_code if stop.signal == signal.SIGINT else 0)


@_read(epilog="Example: digitrec predict photo.jpg --json")
@takes_settings("model", "max_error", "max_bytes", "max_pixels", "max_pages")
def predict(
    settings: Settings,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures to read.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with the CSV's columns.")] = False,
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
    from digitrec.app import predict
    from digitrec.app.explain import write_explanation, write_explanations

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if explain is not None and len(files) > 1:
        raise UsageError("--explain takes one picture", hint="`--explain-dir DIR` takes any number.")
    predicted = predict.predict(settings, files)
    form = "json" if as_json else "csv" if as_csv else "table"
    if predicted.rows or form != "table":
        output.print_rows(predicted.rows, predicted.output_format, form=form)
    read = {row.path for row in predicted.rows}
    pictures = [path for path in files if str(path) in read]
    if explain is not None and pictures:
        write_explanation(settings, pictures[0], explain)
    if explain_dir is not None:
        write_explanations(settings, pictures, explain_dir)
    if predicted.unreadable:
        folder = next((path for path in files if path.is_dir()), None)
        hint = f"The pictures in a folder: `digitrec predict {folder}/*`" if folder else ""
        raise UsageError("; ".join(predicted.unreadable), hint=hint or ("The other files were read." if read else ""))


@_review(epilog="Example: digitrec report --batch 20260102T030405Z-0a1b2c3d")
@takes_settings("workspace")
def report(
    settings: Settings,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", help="Only this batch. Default: all.", show_default=False, autocompletion=complete_batches
        ),
    ] = None,
) -> None:
    """Rebuild the reports, with corrections applied.

    All are built from the ledgers: the reports of the batches, the trend report and the index. The trend report shows
    acceptance, error rate, drift and speed over time. It is left out with --batch.
    """
    from digitrec.app import reports
    from digitrec.pipeline import workspace

    with workspace.open_ledgers_readonly(settings) as ledgers:
        if batch is None and warn_if_unread(settings, ledgers) and not settings.reports.exists():
            return
        if batch is None:
            page, made = reports.write_all_reports(settings, ledgers)
        else:
            page, made = reports.rewrite_report(settings, ledgers, batch)
    typer.echo(text.escape_message(f"{pluralize(made, 'report')} made. {page}"))


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
    lost ones, and each is listed; latest.csv stays as it is.
    """
    from digitrec.monitoring import verify as operation
    from digitrec.pipeline import ledgers as found_ledgers
    from digitrec.pipeline import rebuild as rebuilding
    from digitrec.pipeline import workspace
    from digitrec.pipeline.rebuild import check_finished

    if tables and not rebuild:
        raise UsageError("--tables goes with --rebuild", hint="digitrec verify --rebuild --tables")
    if batches and not tables:
        raise UsageError("a BATCH goes with --rebuild --tables", hint="digitrec verify --help")
    written: list[str] = []
    if rebuild and (settings.inbox.exists() or not found_ledgers.is_new_workspace(settings)):  # else it is no workspace
        # Opening makes the ledger again, under the worker's lock; a sound one stays as it is.
        with workspace.open_workspace(settings, thorough=True), workspace.open_ledgers_readonly(settings) as ledgers:
            for name in rebuilding.write_missing_tables(settings.outbox, ledgers, batches or ()) if tables else ():
                written.append(name)
                if not as_json:
                    typer.echo(f"written again: {name}")
    elif batches:
        check_finished(batches[0], {})
    with workspace.open_ledgers_readonly(settings) as ledgers:
        account = operation.verify(settings.workspace, ledgers)
        if not account.discrepancies:
            warn_if_unread(settings, ledgers)
    typer.echo(
        output.integrity_report_to_json(account, written) if as_json else output.format_integrity_report(account)
    )
    raise typer.Exit(1 if account.discrepancies else 0)


@_operate(epilog="Example: digitrec init --workspace /srv/scans")
@takes_settings("workspace")
def init(settings: Settings) -> None:
    """Create the folders of a workspace; accept new or emptied ones."""
    from digitrec.pipeline import workspace

    workspace.init_folders(settings)
    typer.echo(text.escape_message(f"{settings.workspace} is ready. Drop pictures into {settings.inbox}"))


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

if __name__ == "__main__":
    program()
