"""Use cases that operate a workspace: status, doctor, why, requeue, prune, verify, report, and `run --dry-run`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from digitrec import text
from digitrec.app import composition
from digitrec.errors import ModelError
from digitrec.monitoring import backlog, status
from digitrec.pipeline import first_use
from digitrec.pipeline.ledgers import find_ledgers, is_new_workspace, list_workers_elsewhere, open_ledgers
from digitrec.settings import Settings
from digitrec.storage import folder_id
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.types import Reason

if TYPE_CHECKING:  # `status` starts without the modules of the other commands
    from digitrec.monitoring import history, maintenance
    from digitrec.monitoring import verify as integrity
    from digitrec.monitoring.folder_checks import Check

_LOCK = "housekeeping"


def plan_run(settings: Settings) -> backlog.DryRun:
    """Return which files a run would read now.

    Raises:
        EnvironmentFailure, UsageError: a run would refuse the folder (`first_use.check_first_use`).
    """
    first_use.check_first_use(settings)
    with open_ledgers(settings) as ledgers:
        return backlog.plan_run(settings, ledgers, time.time())


def list_remaining(settings: Settings) -> list[backlog.WaitingFile]:
    """Return the files that a run leaves in the inbox, by path: deferred, empty, or just written."""
    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        return backlog.remaining_files(settings, ledgers, time.time())


def collect_status(settings: Settings) -> status.WorkspaceStatus:
    """Return the status of a workspace: inbox, workers, free space and model."""
    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        return status.collect_status(settings, ledgers, _check_model(settings), time.time())


def check_health(settings: Settings) -> status.Health:
    """Return whether the last scan and the oldest waiting file are recent enough."""
    return status.check_health(collect_status(settings), settings.worker, settings.max_wait_s, settings.max_scan_age_s)


def run_doctor(settings: Settings) -> Iterator["Check"]:
    """Check folders, model and host, one result at a time."""
    from digitrec.monitoring import doctor

    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        yield from doctor.run_checks(settings, ledgers, _check_model(settings), time.time())


def trace_file(settings: Settings, name: str) -> "history.FileHistory":
    """Return the history of a file, or why it still waits."""
    from digitrec.monitoring import history

    with open_ledgers(settings) as ledgers:
        return history.trace_file(name, settings, ledgers, time.time())


def requeue(
    settings: Settings,
    names: Sequence[str],
    *,
    batch_id: str | None,
    reason: Reason | None,
    dry_run: bool,
    on_moved: Callable[["maintenance.RequeuedFile"], None],
) -> "tuple[list[history.LocatedClaim], list[maintenance.RequeuedFile]]":
    """Move answered originals back into the inbox.

    Args:
        settings: name the workspace.
        names: files, as for `trace_file`; each must match one file.
        batch_id: only files of this batch.
        reason: only files with this reason code.
        dry_run: move nothing.
        on_moved: called after each move.

    Returns:
        The claims that match, and the files that were moved.
    """
    from digitrec.monitoring import maintenance

    moved = []
    with _open_for_housekeeping(settings) as ledgers:
        claims = maintenance.select_claims(settings, ledgers, batch_id=batch_id, reason=reason, queries=names)
        for file in () if dry_run else maintenance.requeue(settings, claims, format_utc(time.time())):
            moved.append(file)
            on_moved(file)
    return claims, moved


@contextmanager
def _open_for_housekeeping(settings: Settings) -> Iterator[Mapping[str, Ledger]]:
    """Open the ledgers for a job that no other may run beside; without ledgers, make no folder for its lock."""
    from digitrec.pipeline import workspace

    with ExitStack() as stack:
        if find_ledgers(settings):
            stack.enter_context(workspace.exclusive_job(settings, _LOCK))
        yield stack.enter_context(open_ledgers(settings))


def prune(
    settings: Settings, older_than: str, *, dry_run: bool, on_pruned: Callable[["maintenance.PruneCandidate"], None]
) -> "list[maintenance.PruneCandidate]":
    """Delete the originals and reports of old batches; return these batches.

    Args:
        settings: name the workspace.
        older_than: age of the answers, as `90d`.
        dry_run: delete nothing.
        on_pruned: called after each batch.
    """
    from digitrec.monitoring import maintenance

    keep_s = maintenance.parse_age_s(older_than)
    with _open_for_housekeeping(settings) as ledgers:
        batches = maintenance.select(settings, ledgers, keep_s, time.time())
        for batch in batches if dry_run else maintenance.prune(settings, batches, format_utc(time.time())):
            on_pruned(batch)
        if not dry_run and any(batch.report for batch in batches):
            from digitrec.reports import batch_report

            batch_report.write_index(settings.reports)
    return batches


def rebuild_ledger(
    settings: Settings, batch_ids: Sequence[str], *, with_tables: bool, on_written: Callable[[str], None]
) -> list[str]:
    """Rebuild a lost or damaged ledger from outbox and folders; return the names of the tables that were rewritten.

    Args:
        settings: name the workspace.
        batch_ids: only the tables of these batches; empty means all.
        with_tables: also rewrite missing tables.
        on_written: called with the name of each table.
    """
    from digitrec.pipeline import rebuild, workspace

    names: list[str] = []
    if settings.inbox.exists() or not is_new_workspace(settings):
        # Opening rebuilds the ledger, under the lock of the worker; a sound one is kept.
        with workspace.open_workspace(settings, thorough=True), open_ledgers(settings) as ledgers:
            tables = rebuild.write_missing_tables(settings.outbox, ledgers, batch_ids) if with_tables else ()
            for name in tables:
                names.append(name)
                on_written(name)
    elif batch_ids:
        rebuild.check_finished(batch_ids[0], {})
    return names


def verify(settings: Settings) -> "integrity.IntegrityReport":
    """Compare ledgers and disk, and read every original.

    Raises:
        EnvironmentFailure: a share is not mounted, so that all files of a folder would seem lost.
    """
    from digitrec.monitoring import verify as integrity

    with open_ledgers(settings) as ledgers:
        for folder in (settings.inbox, settings.outbox):
            if any(ledger.get_meta(f"{folder.name}_id") for ledger in ledgers.values()):
                folder_id.require_folder(folder)
        return integrity.verify(settings.workspace, ledgers, list_workers_elsewhere(settings))


def _check_model(settings: Settings) -> status.ModelStatus:
    try:
        return status.ModelStatus(composition.get_answering_id(settings, composition.open_model(settings)))
    except ModelError as error:
        return status.ModelStatus(text.escape(settings.model or "current"), text.escape(str(error)))
