"""List the files that wait in the inbox, and why each is not read yet. Read-only."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED, Inbox
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.settings import Settings
from digitrec.storage.claims import DeferredFile, FileIdentity, FileSnapshot
from digitrec.storage.ledger import Ledger


class DeferredBy(NamedTuple):
    """A deferred file, and the worker that deferred it."""

    worker: str
    file: DeferredFile


Deferred = Mapping[FileIdentity, DeferredBy]
"""Deferred files by identity."""

_OLD_S = 60.0
"""Age from which a file counts as settled without another scan, seconds; as in `scanner`."""


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """One file in the inbox."""

    path: str
    size: int
    age_s: float
    """Time since it appeared or changed last, or since it was first deferred."""
    quiet_s: float
    """Time since it changed last; a rename counts, so that of a deferred file starts when it was put back."""
    why: str = ""
    """Why it is not read at once; empty if it is."""
    wait_s: float = 0.0
    """Time until it is read."""
    deferred: DeferredBy | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    """Files that a run started now would read, and those it would not."""

    read: tuple[WaitingFile, ...]
    remaining: tuple[WaitingFile, ...]
    """Empty, deferred or just written files: they stay in the inbox."""
    unfinished: tuple[str, ...]
    """Interrupted batches, which the run would finish first."""


def find_deferred(ledgers: Mapping[str, Ledger]) -> Deferred:
    """Return the deferred files of all workers by identity; the latest next try counts.

    Unreadable ledgers are skipped; `doctor` reports them.
    """
    deferred: dict[FileIdentity, DeferredBy] = {}
    for worker, ledger in ledgers.items():
        try:
            files = ledger.deferred_files()
        except sqlite3.DatabaseError:
            continue
        for file in files:
            key = file.identity
            if key not in deferred or deferred[key].file.next_at_s < file.next_at_s:
                deferred[key] = DeferredBy(worker, file)
    return deferred


def list_waiting(
    settings: Settings, deferred: Deferred, now_s: float, skipped: SkippedCounts | None = None
) -> Iterator[WaitingFile]:
    """Yield every file in the inbox that can be claimed, in no particular order.

    Args:
        settings: name the inbox, and the times that files wait.
        deferred: the deferred files.
        now_s: seconds since 1970.
        skipped: counts the files that can never be claimed from their folder.

    Raises:
        OSError: the inbox cannot be listed.
    """
    for file in scanner.scan(settings.inbox, lambda *_: None, settings.worker, skipped):
        yield describe_waiting(file, settings, deferred.get(file.identity), now_s)


def describe_waiting(file: FileSnapshot, settings: Settings, deferred: DeferredBy | None, now_s: float) -> WaitingFile:
    """Return the age of a file, and why it is not read yet."""
    quiet_s = max(0.0, now_s - file.changed_ns / 1e9)
    age_s = max(quiet_s, now_s - deferred.file.first_at_s) if deferred else quiet_s
    why, wait_s = "", 0.0
    if deferred and deferred.file.is_backing_off(now_s):
        why, wait_s = f"deferred: {deferred.file.why}", deferred.file.next_at_s - now_s
    elif not file.size and quiet_s < settings.empty_wait_s:
        why, wait_s = "it is empty and may still be filled", settings.empty_wait_s - quiet_s
    elif quiet_s < settings.settle_s:
        why, wait_s = "it changed just now and may not be complete", settings.settle_s - quiet_s
    return WaitingFile(file.path, file.size, age_s, quiet_s, why, wait_s, deferred)


def remaining_files(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> list[WaitingFile]:
    """Return the files that a run leaves in the inbox, by path: deferred, empty, or just written.

    Raises:
        OSError: the inbox cannot be listed.
    """
    files = list_waiting(settings, find_deferred(ledgers), now_s)
    return sorted((file for file in files if file.deferred is not None or file.why), key=lambda file: file.path)


def plan_run(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> DryRun:
    """Return the plan of `run --dry-run`, by path, in the order of the CSV.

    A file that has to settle first counts as read; if it is still being written then, it stays.

    Raises:
        OSError: the inbox cannot be listed.
    """
    if not ledgers and not settings.inbox.exists():  # before first use
        return DryRun((), (), ())
    own = {name: ledger for name, ledger in ledgers.items() if name == settings.worker}
    files = sorted(list_waiting(settings, find_deferred(own), now_s), key=lambda file: file.path)
    batches = {batch.id for ledger in own.values() for batch in ledger.batches(unfinished=True)}
    return DryRun(
        tuple(file for file in files if _is_readable_now(file, settings)),
        tuple(file for file in files if not _is_readable_now(file, settings)),
        tuple(sorted(batches | list_claims(settings.inbox, settings.worker).keys())),
    )


def _is_readable_now(file: WaitingFile, settings: Settings) -> bool:
    if file.why and (file.deferred or not file.size):
        return False
    return file.quiet_s > _OLD_S or settings.settle_s <= settings.run_wait_s


def list_claiming_workers(inbox: Path) -> list[str]:
    """Return the names of the workers with a claims folder in this inbox."""
    claims = inbox / CLAIMED
    return sorted(folder.name for folder in claims.iterdir() if folder.is_dir()) if claims.is_dir() else []


def list_claims(inbox: Path, worker: str) -> dict[str, list[str]]:
    """Return the claimed files of a worker by batch, empty batches included."""
    if worker not in list_claiming_workers(inbox):
        return {}
    folder = Inbox(inbox, worker)
    return {batch_id: folder.claimed_files(batch_id) for batch_id in folder.batches()}
