"""Answered originals back into the inbox, for another try.

They are moved: the bytes exist once, the published row stays, and the ledger notes where the original went.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
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
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, Claim, FileOutcome, Reason, RemovalKind, RemovedOriginal

_UNITS_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True)
class PruneCandidate:
    """What can go of one old batch."""

    worker: str
    batch_id: str
    answered_at: str
    claims: tuple[Claim, ...]
    """Whose originals are as the ledger knows them."""
    original_bytes: int
    report: Path | None
    report_bytes: int
    modified: tuple[str, ...]
    """Places of originals that are not as the ledger knows them: they stay."""


def parse_age_s(keep: str) -> float:
    """A time such as 90d in seconds.

    Raises:
        UsageError: it is none.

    >>> parse_age_s("90d"), parse_age_s("12h"), parse_age_s("2w")
    (7776000.0, 43200.0, 1209600.0)
    """
    found = re.fullmatch(r"(\d{1,6})([hdw])", keep)
    if found is None:
        raise UsageError(f"--older-than is {keep!r}", hint="Write hours, days or weeks: 12h, 90d, 8w.")
    return float(int(found[1]) * _UNITS_S[found[2]])


def select(settings: Settings, ledgers: Mapping[str, Ledger], keep_s: float, now_s: float) -> list[PruneCandidate]:
    """What is older than that, of batches that are closed and whose CSV lies in the outbox; the oldest first.

    Args:
        settings: say where everything is.
        ledgers: of all workers, by name.
        keep_s: how long originals and reports are kept after the answer, seconds.
        now_s: seconds since 1970.
    """
    csvs = set(find_published(settings.outbox))
    found = []
    for worker, ledger in ledgers.items():
        for batch in ledger.batches():
            if batch.stage is not BatchStage.CLOSED or _age_s(batch, now_s) < keep_s:
                continue
            claims = ledger.claims(batch.id)
            is_answered = any(claim.outcome not in {FileOutcome.DEFERRED, None} for claim in claims)
            if batch.id in csvs or not is_answered:
                found.append(_prunable(worker, batch, claims, settings))
    return sorted((one for one in found if one.claims or one.report or one.modified), key=lambda one: one.batch_id)


def prune(settings: Settings, chosen: Sequence[PruneCandidate], now: str) -> Iterator[PruneCandidate]:
    """Remove it, batch by batch; tells of each one that is gone. May be done again.

    Args:
        settings: say where everything is.
        chosen: by `select`; nobody else lets originals go meanwhile.
        now: ISO 8601.

    Raises:
        EnvironmentFailure, OSError, sqlite3.Error: what was not told yet may be there still, in part.
    """
    for one in chosen:
        ledger = Ledger.open_shared(find_ledgers(settings)[one.worker])
        try:
            folder_id.verify_folder(settings.outbox, ledger.get_meta("outbox_id"), ledger.get_meta("outbox_device"))
            left = [RemovedOriginal(one.batch_id, claim.path, RemovalKind.PRUNED, now) for claim in one.claims]
            removals.record_removals(ledger, settings.outbox, left)
        finally:
            ledger.close()
        for claim in one.claims:
            original = settings.workspace / claim.location
            original.unlink(missing_ok=True)
            if claim.reason_file:
                (settings.workspace / claim.reason_file).unlink(missing_ok=True)
            removals.remove_empty_folders(original.parent, settings.outbox)
        if one.report is not None:
            shutil.rmtree(one.report)
        logs.info("batch pruned", batch=one.batch_id, originals=len(one.claims))
        yield one


def _prunable(worker: str, batch: Batch, claims: Sequence[Claim], settings: Settings) -> PruneCandidate:
    there, kept, size = [], [], 0
    for claim in claims:
        if claim.outcome in {FileOutcome.DEFERRED, None} or not claim.location:
            continue
        try:
            state = (settings.workspace / claim.location).lstat()
        except FileNotFoundError:  # requeued, pruned before, or missing: `verify` tells which
            continue
        if stat.S_ISREG(state.st_mode) and state.st_size == claim.size:
            there.append(claim)
            size += state.st_size
        else:
            kept.append(claim.location)
    report = settings.reports / batch.id
    is_there = report.is_dir() and not report.is_symlink()
    return PruneCandidate(
        worker=worker,
        batch_id=batch.id,
        answered_at=_answered_at(batch),
        claims=tuple(there),
        original_bytes=size,
        report=report if is_there else None,
        report_bytes=_bytes_in(report) if is_there else 0,
        modified=tuple(kept),
    )


def _answered_at(batch: Batch) -> str:
    return batch.rendering.processed_at if batch.rendering else batch.opened_at


def _age_s(batch: Batch, now_s: float) -> float:
    return now_s - datetime.fromisoformat(_answered_at(batch)).timestamp()


def _bytes_in(folder: Path) -> int:
    files = (entry for _, entry in folder_id.walk(folder) if not folder_id.is_folder(entry))
    return sum(entry.stat(follow_symlinks=False).st_size for entry in files)


@dataclass(frozen=True, slots=True)
class RequeuedFile:
    """One original that was put back."""

    source: LocatedClaim
    location: str
    """Under the workspace."""


def select_claims(
    settings: Settings,
    ledgers: Mapping[str, Ledger],
    *,
    batch_id: str | None = None,
    reason: Reason | None = None,
    given: Sequence[str] = (),
) -> list[LocatedClaim]:
    """The answered files that a person means and whose originals are still there; conditions narrow each other.

    Args:
        settings: say where everything is.
        ledgers: of all workers, by name.
        batch_id: only files of this batch.
        reason: only files with a page of this reason.
        given: only these, see `finding.find`.

    Raises:
        UsageError: no ledger knows the batch, or a file; or one is not unmistakable, or has no original to put back.
    """
    batches = {(worker, batch.id): batch.stage for worker, ledger in ledgers.items() for batch in ledger.batches()}
    stages = {batch: stage for (_, batch), stage in batches.items()}
    if batch_id is not None:
        check_finished(batch_id, stages)
    chosen: list[LocatedClaim] = []
    for each in given:
        chosen += _one(each, find_claims(each, settings, ledgers), settings.workspace, batch_id)
    if not given:
        for worker, each in batches:
            if batch_id in (None, each):
                chosen += [LocatedClaim(worker, claim) for claim in ledgers[worker].claims(each)]
    wanted = {key for ledger in ledgers.values() for key in ledger.find_files(reason)} if reason else None
    return [
        one
        for one in dict.fromkeys(chosen)
        if stages[one.claim.batch_id] is BatchStage.CLOSED
        and (wanted is None or (one.claim.batch_id, one.claim.path) in wanted)
        and _is_there(one.claim, settings.workspace)
    ]


def requeue(settings: Settings, chosen: Sequence[LocatedClaim], now: str) -> Iterator[RequeuedFile]:
    """Move these originals into the inbox, under the paths they came by or beside them; tells of each one.

    Args:
        settings: say where everything is.
        chosen: by `select_claims`; nobody else lets originals go meanwhile.
        now: ISO 8601.

    Raises:
        EnvironmentFailure, OSError, sqlite3.Error: what was not told yet still lies where it was.
    """
    by_worker: dict[str, list[LocatedClaim]] = {}
    for one in chosen:
        by_worker.setdefault(one.worker, []).append(one)
    for worker, ours in by_worker.items():
        ledger = Ledger.open_shared(find_ledgers(settings)[worker])
        try:
            for folder in (settings.inbox, settings.outbox):
                folder_id.verify_folder(
                    folder, ledger.get_meta(f"{folder.name}_id"), ledger.get_meta(f"{folder.name}_device")
                )
            yield from _move(settings, ledger, ours, now)
        finally:
            ledger.close()


def _one(given: str, found: Sequence[LocatedClaim], workspace: Path, batch_id: str | None) -> list[LocatedClaim]:
    """The one claim that is meant."""
    found = [one for one in found if batch_id in (None, one.claim.batch_id)]
    there = [one for one in found if _is_there(one.claim, workspace)]
    if len(there) > 1:
        keys = ", ".join(one.key for one in there[:5])
        raise UsageError(f"{given} means several files: {keys}", hint="Name one by <batch>/<row>, or add --batch.")
    if not there:
        raise UsageError(
            f"{given}: {'its original is not in the outbox' if found else 'no ledger knows such a file'}",
            hint=f"`digitrec why {given}` tells what is known.",
        )
    return there


def _is_there(claim: Claim, workspace: Path) -> bool:
    if claim.outcome in {None, FileOutcome.DEFERRED} or not claim.location:
        return False
    try:
        state = (workspace / claim.location).lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode)


def _move(settings: Settings, ledger: Ledger, ours: Sequence[LocatedClaim], now: str) -> Iterator[RequeuedFile]:
    left = [RemovedOriginal(one.claim.batch_id, one.claim.path, RemovalKind.REQUEUED, now) for one in ours]
    removals.record_removals(ledger, settings.outbox, left)
    moved: list[RemovedOriginal] = []
    fine: set[str] = set()
    try:
        for one, departure in zip(ours, left, strict=True):
            place = f"{settings.inbox.name}/{_put_back(settings, one.claim, fine)}"
            moved.append(replace(departure, location=place))
            logs.info("requeued", file=one.claim.path, batch=one.claim.batch_id, location=place)
            yield RequeuedFile(one, place)
    finally:
        removals.record_removals(ledger, settings.outbox, moved)


def _put_back(settings: Settings, claim: Claim, fine: set[str]) -> str:
    """Move one original; gives its path under the inbox. `fine` are folders that need not be looked at again."""
    source = settings.workspace / claim.location
    path = move_to_free_name(source, settings.inbox, _home(settings.inbox, claim.path, fine))
    files.fsync_folder((settings.inbox / path).parent)
    if claim.reason_file:
        # It is no original and would explain a file that is not beside it any more; the row tells the same.
        (settings.workspace / claim.reason_file).unlink(missing_ok=True)
    files.fsync_folder(source.parent)
    removals.remove_empty_folders(source.parent, settings.outbox)
    return path


def _home(inbox: Path, path: str, fine: set[str]) -> str:
    """The path it came by; its name alone if a folder on the way is a link now, into which nobody would look."""
    parents, folder = [], path.rpartition("/")[0]
    while folder and folder not in fine:
        parents.append(folder)
        folder = folder.rpartition("/")[0]
    if any(os.path.islink(f"{inbox}/{each}") for each in parents):  # noqa: PTH114
        return PurePosixPath(path).name
    there = [f"{inbox}/{each}" for each in parents]
    blocked = [each for each in there if os.path.exists(each) and not os.path.isdir(each)]  # noqa: PTH110, PTH112
    if blocked:
        raise EnvironmentFailure(
            f"{blocked[0]} is a file where a folder was",
            hint="Rename it, then requeue again; nothing was lost.",
        )
    fine.update(parents)
    return path
