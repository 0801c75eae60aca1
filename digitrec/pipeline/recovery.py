"""The claims of a worker that is dead: back into the inbox, for the others to read."""

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
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, Claim, FileOutcome

_WHY = "its worker was given up (requeue --worker)"


@dataclass(frozen=True, slots=True)
class ReleasedClaims:
    """What became of a worker's claims."""

    deferred: tuple[str, ...]
    """Paths under the inbox."""
    answered: tuple[str, ...]
    """Batches that have their answers: `run --worker NAME` files their originals away."""


def release_dead_worker(settings: Settings, *, is_ledger_lost: bool, now: str) -> ReleasedClaims:
    """Defer a dead worker's claims, unless they were answered. Holds its lock meanwhile.

    Args:
        settings: say which worker, and where everything is.
        is_ledger_lost: its ledger will never come back. If it did, with answers that were not published yet, files
            would be answered twice; so nothing but a person can know.
        now: ISO 8601.

    Raises:
        UsageError: it has no claims here, or its ledger cannot be found.
        BusyError: it lives.
        EnvironmentFailure, OSError, sqlite3.Error: may be done again.
    """
    mine = settings.inbox / CLAIMED / settings.worker
    if not mine.is_dir():
        raise UsageError(f"no worker {settings.worker} has ever claimed files in {settings.inbox}")
    if not (settings.outbox / folder_id.MARKER).is_file():
        raise EnvironmentFailure(f"{settings.outbox} is not the outbox", hint="If a share is not mounted, mount it.")
    note = mine / OWNER
    path = Path(os.fsdecode(note.read_bytes())) if note.exists() else settings.ledger
    inbox = Inbox(settings.inbox, settings.worker)
    with inbox.lock(path):
        if not path.exists():
            if not is_ledger_lost:
                raise UsageError(
                    f"the ledger of worker {settings.worker} is not here: {path}",
                    hint="Run this where it is. Only if it is lost for good, add --without-ledger.",
                )
            return _release_without_ledger(inbox, settings.outbox)
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
    return ReleasedClaims(tuple(deferred), tuple(each for each in _find_batches(inbox) if each in answered))


def _find_batches(inbox: Inbox) -> list[str]:
    """The batches whose claims lie here; other folders are nobody's, and left alone."""
    return [each for each in inbox.batches() if text.BATCH_ID.fullmatch(each)]


def _defer(inbox: Inbox, batch_id: str) -> list[str]:
    paths = []
    for path in inbox.claimed_files(batch_id):
        paths.append(inbox.defer(batch_id, path))
        logs.info("deferred", file=paths[-1], batch=batch_id, why=_WHY)
    for folder in {(inbox.root / path).parent for path in paths}:
        files.fsync_folder(folder)
    return paths


def _release_with_ledger(inbox: Inbox, ledger: Ledger, settings: Settings, now: str) -> ReleasedClaims:
    csvs = set(find_published(settings.outbox))
    deferred: list[str] = []
    answered: list[str] = []
    for batch_id in sorted({*_find_batches(inbox), *(batch.id for batch in ledger.batches(unfinished=True))}):
        batch = ledger.batch(batch_id)
        if ledger.rows(batch_id) or (batch is None and batch_id in csvs):
            answered.append(batch_id)
            continue
        if batch is None:
            batch = Batch(batch_id, text.batch_opened_at(batch_id), BatchStage.PLANNED)
            ledger.open_batch(batch, [])
        deferred += _defer_batch(inbox, ledger, batch, settings, now)
    return ReleasedClaims(tuple(deferred), tuple(answered))


def _defer_batch(inbox: Inbox, ledger: Ledger, batch: Batch, settings: Settings, now: str) -> list[str]:
    """Bring a batch without answers to its end, as a stopped service does: every file deferred. May be done again."""
    lying = inbox.claimed_files(batch.id)
    if batch.stage is BatchStage.PLANNED:
        planned = {claim.path for claim in ledger.claims(batch.id)}
        if not lying:
            ledger.delete_batch(batch.id)
            inbox.close(batch.id)
            return []
        unplanned = [_make_unplanned_claim(inbox, batch, path) for path in sorted(set(lying) - planned)]
        ledger.update_claims(batch.id, planned - set(lying), unplanned)
    if batch.stage in {BatchStage.PLANNED, BatchStage.READING}:
        outcomes = [replace(one, outcome=FileOutcome.DEFERRED, detail=_WHY) for one in ledger.claims(batch.id)]
        ledger.record(batch.id, [], outcomes, csv_tables.current_format(settings.csv_profile, "", now, None, None), [])
    placed = FolderOutbox(settings.outbox, inbox).archive(ledger.claims(batch.id), [])
    ledger.set_locations(placed)
    strangers = _defer(inbox, batch.id)
    inbox.close(batch.id)
    ledger.set_stage(batch.id, BatchStage.CLOSED)
    logs.info("batch given up", batch=batch.id, deferred=len(placed))
    return [*_list_deferred(placed, settings.inbox, lying), *strangers]


def _list_deferred(placed: Sequence[Claim], inbox: Path, lying: Sequence[str]) -> list[str]:
    """Where the files went that lay claimed, under the inbox."""
    return [claim.location.removeprefix(f"{inbox.name}/") for claim in placed if claim.path in set(lying)]


def _make_unplanned_claim(inbox: Inbox, batch: Batch, path: str) -> Claim:
    state = inbox.location(batch.id, path).lstat()
    return Claim(batch.id, path, state.st_ino, state.st_size, state.st_mtime_ns, True, batch.opened_at)
