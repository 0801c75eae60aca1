"""Prune old originals and reports, and requeue answered originals.

An original is moved or deleted only after ledger and outbox have a note of it; the published row stays.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.monitoring.history import LocatedClaim, find_claims
from digitrec.pipeline.inbox import move_to_free_name
from digitrec.pipeline.ledgers import find_ledgers
from digitrec.pipeline.rebuild import check_finished
from digitrec.settings import Settings
from digitrec.storage import folder_id, removals
from digitrec.storage.claims import Claim, FileOutcome, RemovalKind, RemovedOriginal
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, Reason

_UNITS_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True)
class PruneCandidate:
    """Originals and report of one old batch."""

    worker: str
    batch_id: str
    answered_at: str
    claims: tuple[Claim, ...]
    """Claims whose originals match the ledger."""
    original_bytes: int
    report: Path | None
    report_bytes: int
    modified: tuple[str, ...]
    """Locations of originals that differ from the ledger: they stay."""


def parse_age_s(age: str) -> float:
    """Return an age such as 90d in seconds.

    Raises:
        UsageError: it is no age.

    >>> parse_age_s("90d"), parse_age_s("12h"), parse_age_s("2w")
    (7776000.0, 43200.0, 1209600.0)
    """
    match = re.fullmatch(r"(\d{1,6})([hdw])", age)
    if match is None:
        raise UsageError(f"--older-than is {age!r}", hint="Write hours, days or weeks: 12h, 90d, 8w.")
    return float(int(match[1]) * _UNITS_S[match[2]])


def select(settings: Settings, ledgers: Mapping[str, Ledger], keep_s: float, now_s: float) -> list[PruneCandidate]:
    """Return old originals and reports of closed batches with a CSV in the outbox, oldest batch first.

    Args:
        settings: name the folders.
        ledgers: of all workers, by name.
        keep_s: how long originals and reports are kept after the answer, seconds.
        now_s: seconds since 1970.
    """
    csvs = set(find_published(settings.outbox))
    candidates = []
    for worker, ledger in ledgers.items():
        for batch in ledger.batches():
            if batch.stage is not BatchStage.CLOSED or _age_s(batch, now_s) < keep_s:
                continue
            claims = [claim for claim in ledger.claims(batch.id) if claim.outcome not in {FileOutcome.DEFERRED, None}]
            if batch.id in csvs or not claims:
                candidates.append(_collect_candidate(worker, batch, claims, settings))
    with_files = (batch for batch in candidates if batch.claims or batch.report or batch.modified)
    return sorted(with_files, key=lambda batch: batch.batch_id)


def prune(settings: Settings, candidates: Sequence[PruneCandidate], now: str) -> Iterator[PruneCandidate]:
    """Delete originals and reports batch by batch, and yield each deleted batch. Idempotent.

    Args:
        settings: name the folders.
        candidates: from `select`, under the lock on removals.
        now: ISO 8601.

    Raises:
        EnvironmentFailure, OSError, sqlite3.Error: batches not yielded may still be there, in part.
    """
    for batch in candidates:
        with closing(Ledger.open_shared(find_ledgers(settings)[batch.worker])) as ledger:
            folder_id.verify_folder(settings.outbox, ledger.get_meta("outbox_id"), ledger.get_meta("outbox_device"))
            notes = [RemovedOriginal(batch.batch_id, claim.path, RemovalKind.PRUNED, now) for claim in batch.claims]
            removals.record_removals(ledger, settings.outbox, notes)
        for claim in batch.claims:
            original = settings.workspace / claim.location
            original.unlink(missing_ok=True)
            if claim.reason_file:
                (settings.workspace / claim.reason_file).unlink(missing_ok=True)
            removals.remove_empty_folders(original.parent, settings.outbox)
        if batch.report is not None:
            shutil.rmtree(batch.report)
        logs.info("batch pruned", batch=batch.batch_id, originals=len(batch.claims))
        yield batch


def _collect_candidate(worker: str, batch: Batch, claims: Sequence[Claim], settings: Settings) -> PruneCandidate:
    unmodified, modified, size = [], [], 0
    for claim in claims:
        if not claim.location:
            continue
        try:
            state = (settings.workspace / claim.location).lstat()
        except FileNotFoundError:  # requeued, pruned before, or missing: `verify` tells which
            continue
        if stat.S_ISREG(state.st_mode) and state.st_size == claim.size:
            unmodified.append(claim)
            size += state.st_size
        else:
            modified.append(claim.location)
    report = settings.reports / batch.id
    has_report = report.is_dir() and not report.is_symlink()
    return PruneCandidate(
        worker=worker,
        batch_id=batch.id,
        answered_at=_answered_at(batch),
        claims=tuple(unmodified),
        original_bytes=size,
        report=report if has_report else None,
        report_bytes=_bytes_in(report) if has_report else 0,
        modified=tuple(modified),
    )


def _answered_at(batch: Batch) -> str:
    return batch.output_format.processed_at if batch.output_format else batch.opened_at


def _age_s(batch: Batch, now_s: float) -> float:
    return now_s - datetime.fromisoformat(_answered_at(batch)).timestamp()


def _bytes_in(folder: Path) -> int:
    entries = (entry for _, entry in folder_id.walk(folder) if not folder_id.is_folder(entry))
    return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)


@dataclass(frozen=True, slots=True)
class RequeuedFile:
    """An original that was moved back into the inbox."""

    source: LocatedClaim
    location: str
    """New location, relative to the workspace."""


def select_claims(
    settings: Settings,
    ledgers: Mapping[str, Ledger],
    *,
    batch_id: str | None = None,
    reason: Reason | None = None,
    queries: Sequence[str] = (),
) -> list[LocatedClaim]:
    """Return the answered claims that match all conditions and still have their originals.

    Args:
        settings: name the folders.
        ledgers: of all workers, by name.
        batch_id: only files of this batch.
        reason: only files with a page of this reason.
        queries: only these files, see `history.find_claims`.

    Raises:
        UsageError: no ledger has the batch, or a file; or a query is ambiguous, or its file has no original.
    """
    batches = {(worker, batch.id): batch.stage for worker, ledger in ledgers.items() for batch in ledger.batches()}
    stages = {batch: stage for (_, batch), stage in batches.items()}
    if batch_id is not None:
        check_finished(batch_id, stages)
    selected: list[LocatedClaim] = []
    for query in queries:
        selected.append(_select_unique(query, find_claims(query, settings, ledgers), settings.workspace, batch_id))
    if not queries:
        for worker, batch in batches:
            if batch_id in (None, batch):
                selected += [LocatedClaim(worker, claim) for claim in ledgers[worker].claims(batch)]
    keys = {key for ledger in ledgers.values() for key in ledger.find_files(reason)} if reason else None
    return [
        located
        for located in dict.fromkeys(selected)
        if stages[located.claim.batch_id] is BatchStage.CLOSED
        and (keys is None or (located.claim.batch_id, located.claim.path) in keys)
        and _has_original(located.claim, settings.workspace)
    ]


def requeue(settings: Settings, claims: Sequence[LocatedClaim], now: str) -> Iterator[RequeuedFile]:
    """Move originals into the inbox, to their former paths or free names beside them, and yield each.

    Args:
        settings: name the folders.
        claims: from `select_claims`, under the lock on removals.
        now: ISO 8601.

    Raises:
        EnvironmentFailure, OSError, sqlite3.Error: originals not yielded are still in their old location.
    """
    by_worker: dict[str, list[Claim]] = {}
    for located in claims:
        by_worker.setdefault(located.worker, []).append(located.claim)
    for worker, worker_claims in by_worker.items():
        with closing(Ledger.open_shared(find_ledgers(settings)[worker])) as ledger:
            for folder in (settings.inbox, settings.outbox):
                folder_id.verify_folder(
                    folder, ledger.get_meta(f"{folder.name}_id"), ledger.get_meta(f"{folder.name}_device")
                )
            for claim, location in _move_originals(settings, ledger, worker_claims, now):
                yield RequeuedFile(LocatedClaim(worker, claim), location)


def _select_unique(query: str, claims: Sequence[LocatedClaim], workspace: Path, batch_id: str | None) -> LocatedClaim:
    """Return the only claim with an original that matches a query."""
    claims = [located for located in claims if batch_id in (None, located.claim.batch_id)]
    present = [located for located in claims if _has_original(located.claim, workspace)]
    if len(present) > 1:
        keys = ", ".join(located.key for located in present[:5])
        raise UsageError(f"{query} means several files: {keys}", hint="Name one by <batch>/<row>, or add --batch.")
    if not present:
        raise UsageError(
            f"{query}: {'its original is not in the outbox' if claims else 'no ledger knows such a file'}",
            hint=f"`digitrec why {query}` shows its history." if claims else "Name it as in the CSV.",
        )
    return present[0]


def _has_original(claim: Claim, workspace: Path) -> bool:
    if claim.outcome in {None, FileOutcome.DEFERRED} or not claim.location:
        return False
    try:
        state = (workspace / claim.location).lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode)


def _move_originals(
    settings: Settings, ledger: Ledger, claims: Sequence[Claim], now: str
) -> Iterator[tuple[Claim, str]]:
    planned = [RemovedOriginal(claim.batch_id, claim.path, RemovalKind.REQUEUED, now) for claim in claims]
    removals.record_removals(ledger, settings.outbox, planned)
    moved: list[RemovedOriginal] = []
    checked_folders: set[str] = set()
    try:
        for claim, removal in zip(claims, planned, strict=True):
            location = f"{settings.inbox.name}/{_move_original(settings, claim, checked_folders)}"
            moved.append(replace(removal, location=location))
            logs.info("requeued", file=claim.path, batch=claim.batch_id, place=location)
            yield claim, location
    finally:
        removals.record_removals(ledger, settings.outbox, moved)


def _move_original(settings: Settings, claim: Claim, checked_folders: set[str]) -> str:
    """Move one original and return its path under the inbox."""
    source = settings.workspace / claim.location
    path = move_to_free_name(source, settings.inbox, _target_path(settings.inbox, claim.path, checked_folders))
    files.fsync_folder((settings.inbox / path).parent)
    if claim.reason_file:
        # The reason file describes a file that is no longer beside it; the row has the same text.
        (settings.workspace / claim.reason_file).unlink(missing_ok=True)
    files.fsync_folder(source.parent)
    removals.remove_empty_folders(source.parent, settings.outbox)
    return path


def _target_path(inbox: Path, path: str, checked_folders: set[str]) -> str:
    """Return the former path; its name alone if a folder of it is a link now, which a scan does not enter."""
    parents, folder = [], path.rpartition("/")[0]
    while folder and folder not in checked_folders:
        parents.append(folder)
        folder = folder.rpartition("/")[0]
    folders = [f"{inbox}/{parent}" for parent in parents]
    if any(map(os.path.islink, folders)):
        return PurePosixPath(path).name
    blocked = [folder for folder in folders if os.path.exists(folder) and not os.path.isdir(folder)]  # noqa: PTH110, PTH112
    if blocked:
        raise EnvironmentFailure(
            f"{blocked[0]} is a file where a folder was",
            hint="Rename it, then requeue again; nothing was lost.",
        )
    checked_folders.update(parents)
    return path
