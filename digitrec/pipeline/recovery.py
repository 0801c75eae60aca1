"""Return the claims of a dead worker to the inbox, for other workers (`requeue --worker`).

A worker that starts again recovers its own claims: `batch.BatchPipeline.recover`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from digitrec import files, logs, text
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.inbox import CLAIMED, OWNER, Inbox
from digitrec.settings import Settings
from digitrec.storage import csv_tables, folder_id
from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage

_WHY = "its worker was given up (requeue --worker)"


@dataclass(frozen=True, slots=True)
class ReleasedClaims:
    """Result of the release of a worker's claims."""

    deferred: tuple[str, ...]
    """Paths under the inbox."""
    answered: tuple[str, ...]
    """Batches with answers, whose originals `run --worker NAME` archives."""


def release_dead_worker(settings: Settings, *, is_ledger_lost: bool, now: str) -> ReleasedClaims:
    """Defer the claims of a dead worker that have no answer, holding its lock.

    Args:
        settings: name the worker and the folders.
        is_ledger_lost: a person confirms that its ledger is lost for good. Its unpublished answers would be given twice
            otherwise.
        now: ISO 8601.

    Raises:
        UsageError: it has no claims here, or its ledger cannot be found.
        BusyError: it is running.
        EnvironmentFailure, OSError, sqlite3.Error: call it again.
    """
    claims = settings.inbox / CLAIMED / settings.worker
    if not claims.is_dir():
        raise UsageError(f"no worker {settings.worker} has ever claimed files in {settings.inbox}")
    if not (settings.outbox / folder_id.MARKER).is_file():
        raise EnvironmentFailure(f"{settings.outbox} is not the outbox", hint="If a share is not mounted, mount it.")
    owner = claims / OWNER
    path = Path(os.fsdecode(owner.read_bytes())) if owner.exists() else settings.ledger
    inbox = Inbox(settings.inbox, settings.worker)
    with inbox.lock(path):
        if not path.exists():
            if not is_ledger_lost:
                raise UsageError(
                    f"the ledger of worker {settings.worker} is not here: {path}",
                    hint="Run this where it is. Only if it is lost for good, add --without-ledger.",
                )
            released = _release_without_ledger(inbox, settings.outbox)
            inbox.set_owner(settings.ledger)  # `run --worker NAME` on this machine rebuilds it and finishes the rest
            return released
        ledger = Ledger.open(path)
        try:
            return _release_with_ledger(inbox, ledger, settings, now)
        finally:
            ledger.close()


def _release_without_ledger(inbox: Inbox, outbox: Path) -> ReleasedClaims:
    answered = set(find_published(outbox))
    deferred: list[str] = []
    for batch_id in _find_batches(inbox):
        if batch_id not in answered:
            deferred += _defer(inbox, batch_id)
            inbox.close(batch_id)
    return ReleasedClaims(tuple(deferred), tuple(batch_id for batch_id in _find_batches(inbox) if batch_id in answered))


def _find_batches(inbox: Inbox) -> list[str]:
    """Return the batches with claimed files; folders with other names are ignored."""
    return [batch_id for batch_id in inbox.batches() if text.BATCH_ID.fullmatch(batch_id)]


def _defer(inbox: Inbox, batch_id: str) -> list[str]:
    paths = []
    for path in inbox.claimed_files(batch_id):
        paths.append(inbox.defer(batch_id, path))
        logs.info("deferred", file=paths[-1], batch=batch_id, why=_WHY)
    for folder in {(inbox.root / path).parent for path in paths}:
        files.fsync_folder(folder)
    return paths


def _release_with_ledger(inbox: Inbox, ledger: Ledger, settings: Settings, now: str) -> ReleasedClaims:
    published = set(find_published(settings.outbox))
    deferred: list[str] = []
    answered: list[str] = []
    for batch_id in sorted({*_find_batches(inbox), *(batch.id for batch in ledger.batches(unfinished=True))}):
        batch = ledger.batch(batch_id)
        if ledger.rows(batch_id) or (batch is None and batch_id in published):
            answered.append(batch_id)
            continue
        if batch is None:
            batch = Batch(batch_id, text.batch_opened_at(batch_id), BatchStage.PLANNED)
            ledger.open_batch(batch, [])
        deferred += _defer_batch(inbox, ledger, batch, settings, now)
    return ReleasedClaims(tuple(deferred), tuple(answered))


def _defer_batch(inbox: Inbox, ledger: Ledger, batch: Batch, settings: Settings, now: str) -> list[str]:
    """Finish a batch without answers as a stopped service does, deferring every file; idempotent."""
    claimed = inbox.claimed_files(batch.id)
    if batch.stage is BatchStage.PLANNED:
        planned = {claim.path for claim in ledger.claims(batch.id)}
        if not claimed:
            ledger.delete_batch(batch.id)
            inbox.close(batch.id)
            return []
        unplanned = [_make_unplanned_claim(inbox, batch, path) for path in sorted(set(claimed) - planned)]
        ledger.update_claims(batch.id, planned - set(claimed), unplanned)
    if batch.stage in {BatchStage.PLANNED, BatchStage.READING}:
        outcomes = [replace(claim, outcome=FileOutcome.DEFERRED, detail=_WHY) for claim in ledger.claims(batch.id)]
        ledger.record(batch.id, [], outcomes, csv_tables.current_format(settings.csv_profile, "", now, None, None), [])
    archived = FolderOutbox(settings.outbox, inbox).archive(ledger.claims(batch.id), [])
    ledger.set_locations(archived)
    other_files = _defer(inbox, batch.id)
    inbox.close(batch.id)
    ledger.set_stage(batch.id, BatchStage.CLOSED)
    logs.info("batch given up", batch=batch.id, deferred=len(archived))
    return [*_list_deferred(archived, settings.inbox, claimed), *other_files]


def _list_deferred(claims: Sequence[Claim], inbox: Path, claimed: Sequence[str]) -> list[str]:
    """Return the new paths, under the inbox, of the files that were claimed."""
    return [claim.location.removeprefix(f"{inbox.name}/") for claim in claims if claim.path in set(claimed)]


def _make_unplanned_claim(inbox: Inbox, batch: Batch, path: str) -> Claim:
    state = inbox.location(batch.id, path).lstat()
    return Claim(batch.id, path, state.st_ino, state.st_size, state.st_mtime_ns, True, batch.opened_at)
