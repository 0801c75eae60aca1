"""Commands that operate a workspace: status, doctor, why, requeue, prune."""

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from digitrec import text
from digitrec.cli import operations_output, terminal
from digitrec.cli.options import (
    complete_batches,
    complete_files,
    format_workspace_flags,
    in_panel,
    takes_settings,
    warn_if_unread,
)
from digitrec.errors import UsageError
from digitrec.settings import Settings
from digitrec.text import format_utc, pluralize
from digitrec.types import Reason

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(cli: typer.Typer) -> None:
    """Add these commands to the program."""
    command = in_panel(cli, "Operate")
    command(epilog="Example: digitrec status --check --max-wait-s 900 --max-scan-age-s 900")(status)
    command(hidden=True, epilog="Example: digitrec status --check")(health)
    command(hidden=True, epilog="Example: digitrec status --metrics")(metrics)
    command(epilog="Example: digitrec doctor --workspace /srv/scans")(doctor)
    command(epilog="Example: digitrec why scan-0042.png")(why)
    command(epilog="Example: digitrec requeue --reason truncated --dry-run")(requeue)
    command(epilog="Example: digitrec prune --older-than 90d --yes")(prune)


@takes_settings("model", "second_opinion", "max_wait_s", "max_scan_age_s")
def status(
    settings: Settings,
    check: Annotated[
        bool, typer.Option("--check", help="Print one line; exit 1 if the last scan or the oldest file is too old.")
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print the metrics of all workers in Prometheus' text format.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Show waiting files, workers, failures and free space.

    It needs no lock.

    --check fails if the last scan is older than three scan intervals of `watch`; where cron or a timer starts `run`,
    set --max-scan-age-s to three times its interval. It also fails if a file has waited longer than --max-wait-s. While
    a worker reads a batch, each file that it has read counts as a scan. One worker (--worker) is checked, and the files
    of all workers.

    `run` and `watch` write the metrics to --metrics-file after each pass.
    """
    if (check or as_json) and metrics:
        raise UsageError("--metrics goes without --check and --json")
    if metrics:
        _print_metrics(settings)
    elif check:
        _check_health(settings, as_json=as_json)
    else:
        _print_status(settings, as_json=as_json)


@takes_settings("model", "second_opinion", "max_wait_s", "max_scan_age_s")
def health(settings: Settings, as_json: _Json = False) -> None:
    """Do the same as `status --check`."""
    _check_health(settings, as_json=as_json)


@takes_settings("workspace")
def metrics(settings: Settings) -> None:
    """Do the same as `status --metrics`."""
    _print_metrics(settings)


@takes_settings("model", "second_opinion", "watch_mode")
def doctor(settings: Settings, as_json: _Json = False) -> None:
    """Check folders, model and host for problems, with fixes.

    One line per check; exit 1 if one failed. Run it as the user who runs the service. It creates a file in every
    folder, and removes it.
    """
    from digitrec.app import operations
    from digitrec.monitoring.folder_checks import Severity

    checks = []
    for check in operations.run_doctor(settings):
        checks.append(check)
        if not as_json:
            terminal.say(operations_output.format_check(check))
    if as_json:
        typer.echo(json.dumps([check.to_json() for check in checks]))
    raise typer.Exit(1 if any(check.severity is Severity.FAILED for check in checks) else 0)


@takes_settings("settle_s", "empty_wait_s")
def why(
    settings: Settings,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A path or name or a part of one, the first digits of a sha256, or BATCH/ROW.",
            autocompletion=complete_files,
        ),
    ],
    as_json: _Json = False,
) -> None:
    """Show the history of a file, or why it still waits.

    Claims, rows, reasons and the location of the original. Exit 2 for an unknown file, and for a part of a name that
    several files have: they are listed.
    """
    from digitrec.app import operations

    history = operations.trace_file(settings, file)
    if as_json:
        typer.echo(json.dumps(history.to_json()))
    elif history.events or history.entries:
        terminal.say("\n".join(operations_output.format_history(history)))
    elif history.candidates:
        typer.echo("\n".join(operations_output.format_candidates(history.candidates)))
    if history.candidates:
        raise UsageError(f"{len(history.candidates)} files match {text.escape(file)}", hint="Name one of them.")
    if not history.events and not history.entries:
        warn_if_unread(settings)
        raise UsageError(f"nothing is known of {text.escape(file)}", hint="Its path under inbox/, as in the CSV?")


@takes_settings("workspace")
def requeue(
    settings: Settings,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="As for `why`; each must match one file.",
            show_default=False,
            autocompletion=complete_files,
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option("--batch", help="All files of this batch.", show_default=False, autocompletion=complete_batches),
    ] = None,
    reason: Annotated[
        Reason | None, typer.Option("--reason", help="All files with this reason code.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print which files would be moved back, and move none.")
    ] = False,
    without_ledger: Annotated[
        bool, typer.Option("--without-ledger", help="With --worker: its ledger is permanently lost.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Move answered originals back into the inbox, to be read again.

    Or return the claims of a dead worker to the inbox (--worker NAME alone). A name that is taken is never overwritten.
    Reason files are removed, rows stay, and `verify` counts the originals as requeued. Unanswered claims of a dead
    worker return to the inbox; those with answers are finished by `digitrec run --worker NAME`.
    """
    from digitrec.app import operations

    is_for_worker = settings.sources.get("worker") == "flag"
    if is_for_worker and (files or batch or reason or dry_run):
        raise UsageError("--worker NAME gives up a dead worker; it goes with --without-ledger only")
    if is_for_worker:
        _release_dead_worker(settings, without_ledger=without_ledger, as_json=as_json)
        return
    if not (files or batch or reason):
        raise UsageError("name files, --batch, --reason or --worker", hint="digitrec requeue --help")
    claims, moved = operations.requeue(
        settings,
        files or (),
        batch_id=batch,
        reason=reason,
        dry_run=dry_run,
        on_moved=lambda original: None if as_json else typer.echo(operations_output.format_requeued(original)),
    )
    if as_json:
        locations = {original.source.key: text.escape(original.location) for original in moved}
        pairs = [{"from": text.escape(claim.claim.location), "to": locations.get(claim.key)} for claim in claims]
        typer.echo(json.dumps({"dry_run": dry_run, "files": pairs}))
    elif dry_run:
        for claim in claims:
            typer.echo(text.escape(claim.claim.location))
        typer.echo(f"{pluralize(len(claims), 'original')} would go back into the inbox")
    else:
        typer.echo(f"{pluralize(len(moved), 'original is', 'originals are')} back in the inbox")


@takes_settings("workspace")
def prune(
    settings: Settings,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", help="Age of the answers whose originals go: 90d, 12h, 8w. Required.", show_default=False
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only print what would be deleted.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete old originals and batch reports; CSVs stay.

    Originals in done/, and in rejected/ with their reason files: only of finished batches whose CSV is in the outbox,
    and only originals that match the ledger; `verify` counts them as pruned. `digitrec report` rebuilds the reports.
    """
    from digitrec.app import operations

    if not older_than:
        hint = "`digitrec prune --older-than 90d` shows what is older than 90 days; with --yes it is removed."
        raise UsageError("prune needs an age", hint=hint)
    batches = operations.prune(
        settings,
        older_than,
        dry_run=not yes,
        on_pruned=lambda batch: None if as_json else typer.echo(operations_output.format_pruned(batch)),
    )
    if as_json:
        typer.echo(
            json.dumps({"dry_run": not yes, "batches": [operations_output.pruned_to_json(batch) for batch in batches]})
        )
        return
    for path in (path for batch in batches for path in batch.modified):
        typer.echo(f"kept, it is not as the ledger knows it: {text.escape(path)}")
    verb = "removed" if yes else "would be removed; add --yes to do it"
    typer.echo(f"{operations_output.format_pruned_total(batches)} {verb}")


def print_dry_run(settings: Settings, *, as_json: bool) -> None:
    """Print which files a run would read now, and read none."""
    from digitrec.app import operations

    plan = operations.plan_run(settings)
    typer.echo(
        json.dumps(operations_output.dry_run_to_json(plan))
        if as_json
        else "\n".join(operations_output.format_dry_run(plan))
    )


def _release_dead_worker(settings: Settings, *, without_ledger: bool, as_json: bool) -> None:
    from digitrec.pipeline import recovery

    now = format_utc(time.time())
    released = recovery.release_dead_worker(settings, is_ledger_lost=without_ledger, now=now)
    deferred = [text.escape(path) for path in released.deferred]
    if as_json:
        typer.echo(json.dumps({"deferred": deferred, "given_back": deferred, "answered_batches": released.answered}))
        return
    for path in deferred:
        typer.echo(path)
    typer.echo(f"back in the inbox: {pluralize(len(deferred), 'file')} of worker {settings.worker}")
    flags = format_workspace_flags(settings)
    for batch_id in released.answered:
        typer.echo(f"batch {batch_id} is answered; finish it: digitrec run --worker {settings.worker}{flags}")


def _print_status(settings: Settings, *, as_json: bool) -> None:
    from digitrec.app import operations

    status = operations.collect_status(settings)
    if as_json:
        typer.echo(json.dumps(operations_output.status_to_json(status)))
    else:
        terminal.say("\n".join(operations_output.format_status(status)))
    if not status.problem:
        warn_if_unread(settings)


def _check_health(settings: Settings, *, as_json: bool) -> None:
    from digitrec.app import operations

    health = operations.check_health(settings)
    state = "healthy" if health.is_well else "unhealthy"
    if as_json:
        typer.echo(json.dumps(asdict(health)))
    else:
        terminal.say(f"{state}: {health.why}")
    raise typer.Exit(0 if health.is_well else 1)


def _print_metrics(settings: Settings) -> None:
    from digitrec.monitoring import metrics

    typer.echo(metrics.format_samples(metrics.collect_samples(settings)), nl=False)
