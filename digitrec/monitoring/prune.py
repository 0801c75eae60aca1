"""Old originals and batch reports, removed for good. Never a CSV, never anything that is in no ledger."""

import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from digitrec import logs
from digitrec.errors import UsageError
from digitrec.pipeline.ledgers import paths
from digitrec.pipeline.rebuild import published
from digitrec.settings import Settings
from digitrec.storage import folder_id, removals
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, Claim, Departure, Fate, Left, Stage

_UNITS_S = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True)
class Prunable:
    """What can go of one old batch."""

    worker: str
    batch_id: str
    answered_at: str
    claims: tuple[Claim, ...]
    """Whose originals are as the ledger knows them."""
    original_bytes: int
    report: Path | None
    report_bytes: int
    kept: tuple[str, ...]
    """Places of originals that are not as the ledger knows them: they stay."""


def seconds(keep: str) -> float:
    """A time such as 90d in seconds.

    Raises:
        UsageError: it is none.

    >>> seconds("90d"), seconds("12h"), seconds("2w")
    (7776000.0, 43200.0, 1209600.0)
    """
    found = re.fullmatch(r"(\d{1,6})([hdw])", keep)
    if found is None:
        raise UsageError(f"--older-than is {keep!r}", hint="Write hours, days or weeks: 12h, 90d, 8w.")
    return float(int(found[1]) * _UNITS_S[found[2]])


def choose(settings: Settings, ledgers: Mapping[str, Ledger], keep_s: float, now_s: float) -> list[Prunable]:
    """What is older than that, of batches that are closed and whose CSV lies in the outbox; the oldest first.

    Args:
        settings: say where everything is.
        ledgers: of all workers, by name.
        keep_s: how long originals and reports are kept after the answer, seconds.
        now_s: seconds since 1970.
    """
    csvs = set(published(settings.outbox))
    found = []
    for worker, ledger in ledgers.items():
        for batch in ledger.batches():
            if batch.stage is not Stage.CLOSED or _age_s(batch, now_s) < keep_s:
                continue
            claims = ledger.claims(batch.id)
            is_answered = any(claim.fate not in {Fate.DEFERRED, None} for claim in claims)
            if batch.id in csvs or not is_answered:
                found.append(_prunable(worker, batch, claims, settings))
    return sorted((one for one in found if one.claims or one.report or one.kept), key=lambda one: one.batch_id)


def prune(settings: Settings, chosen: Sequence[Prunable], now: str) -> Iterator[Prunable]:
    """Remove it, batch by batch; tells of each one that is gone. May be done again.

    Args:
        settings: say where everything is.
        chosen: by `choose`; nobody else lets originals go meanwhile.
        now: ISO 8601.

    Raises:
        EnvironmentFailure, OSError, sqlite3.Error: what was not told yet may be there still, in part.
    """
    for one in chosen:
        ledger = Ledger.for_notes(paths(settings)[one.worker])
        try:
            folder_id.check(settings.outbox, ledger.fact("outbox_id"), ledger.fact("outbox_device"))
            left = [Departure(one.batch_id, claim.path, Left.PRUNED, now) for claim in one.claims]
            removals.note(ledger, settings.outbox, left)
        finally:
            ledger.close()
        for claim in one.claims:
            original = settings.workspace / claim.place
            original.unlink(missing_ok=True)
            if claim.reason_file:
                (settings.workspace / claim.reason_file).unlink(missing_ok=True)
            removals.remove_empty(original.parent, settings.outbox)
        if one.report is not None:
            shutil.rmtree(one.report)
        logs.event("batch pruned", batch=one.batch_id, originals=len(one.claims))
        yield one


def _prunable(worker: str, batch: Batch, claims: Sequence[Claim], settings: Settings) -> Prunable:
    there, kept, size = [], [], 0
    for claim in claims:
        if claim.fate in {Fate.DEFERRED, None} or not claim.place:
            continue
        try:
            state = (settings.workspace / claim.place).lstat()
        except FileNotFoundError:  # requeued, pruned before, or missing: `verify` tells which
            continue
        if stat.S_ISREG(state.st_mode) and state.st_size == claim.size:
            there.append(claim)
            size += state.st_size
        else:
            kept.append(claim.place)
    report = settings.reports / batch.id
    is_there = report.is_dir() and not report.is_symlink()
    return Prunable(
        worker=worker,
        batch_id=batch.id,
        answered_at=_answered_at(batch),
        claims=tuple(there),
        original_bytes=size,
        report=report if is_there else None,
        report_bytes=_bytes_in(report) if is_there else 0,
        kept=tuple(kept),
    )


def _answered_at(batch: Batch) -> str:
    return batch.rendering.processed_at if batch.rendering else batch.opened_at


def _age_s(batch: Batch, now_s: float) -> float:
    return now_s - datetime.fromisoformat(_answered_at(batch)).timestamp()


def _bytes_in(folder: Path) -> int:
    files = (entry for _, entry in folder_id.walk(folder) if not folder_id.is_folder(entry))
    return sum(entry.stat(follow_symlinks=False).st_size for entry in files)
