"""Commands that operate a workspace: status, doctor, why, requeue, prune."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from digitrec import text
from digitrec.cli import words
from digitrec.cli.options import complete_batches, complete_files, in_panel, takes_settings, warn_if_unread
from digitrec.errors import ModelError, UsageError
from digitrec.settings import Settings
from digitrec.text import format_utc, pluralize
from digitrec.types import Reason

if TYPE_CHECKING:
    from digitrec.monitoring.status import ModelStatus, WorkspaceStatus

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_LOCK = "housekeeping"


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


@takes_settings("model", "max_wait_s", "max_scan_age_s")
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

    With --check, the last scan of the inbox may be three scan intervals old, as `watch` has it; where cron or a timer
    starts `run`, name the age with --max-scan-age-s: three times the interval between two starts. A file may wait for
    --max-wait-s. A worker that reads a batch scans again after it; meanwhile every file that is done is a sign of life.
    It judges one worker (--worker), and the files of all.

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


@takes_settings("model", "max_wait_s", "max_scan_age_s")
def health(settings: Settings, as_json: _Json = False) -> None:
    """Do the same as `status --check`."""
    _check_health(settings, as_json=as_json)


@takes_settings("workspace")
def metrics(settings: Settings) -> None:
    """Do the same as `status --metrics`."""
    _print_metrics(settings)


@takes_settings("model", "watch_mode")
def doctor(settings: Settings, as_json: _Json = False) -> None:
    """Check folders, model and host for problems, with fixes.

    One line per check; exit 1 on a failed one. Run it as the user who runs the service. It creates a file in every
    folder, and removes it.
    """
    from digitrec.monitoring.doctor import run_checks as look
    from digitrec.monitoring.folder_checks import Severity
    from digitrec.pipeline.ledgers import open_readable_ledgers

    findings = []
    with open_readable_ledgers(settings) as ledgers:
        for finding in look(settings, ledgers, _model(settings), time.time()):
            findings.append(finding)
            if not as_json:
                typer.echo(words.format_check(finding))
    if as_json:
        typer.echo(json.dumps([finding.to_json() for finding in findings]))
    raise typer.Exit(1 if any(finding.severity is Severity.FAILED for finding in findings) else 0)


@takes_settings("settle_s", "empty_wait_s")
def why(
    settings: Settings,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A path, a name, 8 or more digits of a sha256, or BATCH/ROW.",
            autocompletion=complete_files,
        ),
    ],
    as_json: _Json = False,
) -> None:
    """Show the history of a file, or why it still waits.

    Claims, rows, reasons and the location of the original. Exit 2 for an unknown file.
    """
    from digitrec.monitoring.history import trace_file as ask
    from digitrec.pipeline import workspace

    with workspace.open_ledgers_readonly(settings) as ledgers:
        story = ask(file, settings, ledgers, time.time())
    if as_json:
        typer.echo(json.dumps(words.history_to_json(story)))
    elif story.events or story.entries:
        typer.echo("\n".join(words.format_history(story)))
    if not story.events and not story.entries:
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be put back, and move nothing.")] = False,
    without_ledger: Annotated[
        bool, typer.Option("--without-ledger", help="With --worker: its ledger is permanently lost.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Move answered originals back into the inbox, to be read again.

    Or release the claims of a dead worker (--worker NAME alone). A name that is taken is never overwritten. Reason
    files are removed, rows stay, and `verify` counts the originals as requeued. Unanswered claims of a dead worker
    return to the inbox; those with answers are finished by `digitrec run --worker NAME`.
    """
    is_for_worker = settings.sources.get("worker") == "flag"
    if is_for_worker and (files or batch or reason or dry_run):
        raise UsageError("--worker NAME gives up a dead worker; it goes with --without-ledger only")
    if is_for_worker:
        _adopt(settings, without_ledger=without_ledger, as_json=as_json)
        return
    if not (files or batch or reason):
        raise UsageError("name files, --batch, --reason or --worker", hint="digitrec requeue --help")
    from digitrec.monitoring import maintenance as operation
    from digitrec.pipeline import workspace

    with workspace.exclusive_job(settings, _LOCK), workspace.open_ledgers_readonly(settings) as ledgers:
        claims = operation.select_claims(settings, ledgers, batch_id=batch, reason=reason, given=files or ())
        moved = []
        for original in () if dry_run else operation.requeue(settings, claims, format_utc(time.time())):
            moved.append(original)
            if not as_json:
                typer.echo(words.format_requeued(original))
    if as_json:
        places = {original.source.key: text.escape(original.location) for original in moved}
        pairs = [{"from": text.escape(claim.claim.location), "to": places.get(claim.key)} for claim in claims]
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
    and only originals that match the ledger; `verify` counts them as pruned. `digitrec report` rebuilds
    the reports.
    """
    from digitrec.monitoring import maintenance as operation
    from digitrec.pipeline import workspace

    if not older_than:
        hint = "`digitrec prune --older-than 90d` shows what is older than 90 days; with --yes it is removed."
        raise UsageError("prune needs an age", hint=hint)
    keep_s = operation.parse_age_s(older_than)
    with workspace.exclusive_job(settings, _LOCK), workspace.open_ledgers_readonly(settings) as ledgers:
        batches = operation.select(settings, ledgers, keep_s, time.time())
        for batch in operation.prune(settings, batches, format_utc(time.time())) if yes else batches:
            if not as_json:
                typer.echo(words.format_pruned(batch))
        if yes and any(batch.report for batch in batches):
            from digitrec.reports import batch_report

            batch_report.write_index(settings.reports)
    if as_json:
        typer.echo(json.dumps({"dry_run": not yes, "batches": [words.pruned_to_json(batch) for batch in batches]}))
        return
    for place in (place for batch in batches for place in batch.modified):
        typer.echo(f"kept, it is not as the ledger knows it: {text.escape(place)}")
    verb = "removed" if yes else "would be removed; add --yes to do it"
    typer.echo(f"{words.format_pruned_total(batches)} {verb}")


def print_dry_run(settings: Settings, *, as_json: bool) -> None:
    """Print which files a run would read now, and read none."""
    from digitrec.monitoring import backlog
    from digitrec.pipeline import workspace

    with workspace.open_ledgers_readonly(settings) as ledgers:
        outlook = backlog.plan_run(settings, ledgers, time.time())
    typer.echo(json.dumps(words.dry_run_to_json(outlook)) if as_json else "\n".join(words.format_dry_run(outlook)))


def _adopt(settings: Settings, *, without_ledger: bool, as_json: bool) -> None:
    from digitrec.pipeline.recovery import release_dead_worker

    adopted = release_dead_worker(settings, is_ledger_lost=without_ledger, now=format_utc(time.time()))
    deferred = [text.escape(path) for path in adopted.deferred]
    if as_json:
        typer.echo(json.dumps({"deferred": deferred, "given_back": deferred, "answered_batches": adopted.answered}))
        return
    for path in deferred:
        typer.echo(path)
    typer.echo(f"back in the inbox: {pluralize(len(deferred), 'file')} of worker {settings.worker}")
    for batch_id in adopted.answered:
        typer.echo(f"batch {batch_id} is answered; finish it: digitrec run --worker {settings.worker}")


def _print_status(settings: Settings, *, as_json: bool) -> None:
    from digitrec.pipeline.ledgers import open_readable_ledgers

    state = _status(settings)
    typer.echo(json.dumps(words.status_to_json(state)) if as_json else "\n".join(words.format_status(state)))
    with open_readable_ledgers(settings) as ledgers:
        if not state.problem:
            warn_if_unread(settings, ledgers)


def _check_health(settings: Settings, *, as_json: bool) -> None:
    from digitrec.monitoring.status import check_health as judge

    state = judge(_status(settings), settings.worker, settings.max_wait_s, settings.max_scan_age_s)
    typer.echo(json.dumps(asdict(state)) if as_json else f"{'healthy' if state.is_well else 'unhealthy'}: {state.why}")
    raise typer.Exit(0 if state.is_well else 1)


def _print_metrics(settings: Settings) -> None:
    from digitrec.monitoring import metrics as operation

    typer.echo(operation.format_samples(operation.collect_samples(settings)), nl=False)


def _status(settings: Settings) -> "WorkspaceStatus":
    from digitrec.monitoring.status import collect_status as look
    from digitrec.pipeline.ledgers import open_readable_ledgers

    with open_readable_ledgers(settings) as ledgers:
        return look(settings, ledgers, _model(settings), time.time())


def _model(settings: Settings) -> "ModelStatus":
    from digitrec.app import composition
    from digitrec.monitoring.status import ModelStatus

    try:
        return ModelStatus(composition.open_model(settings).card.id)
    except ModelError as why:
        return ModelStatus(text.escape(settings.model or "current"), text.escape(str(why)))
