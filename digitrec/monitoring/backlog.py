"""What waits in the inbox, and why each file is not read yet. Looks and touches nothing."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED, Inbox
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from digitrec.types import DeferredFile, FileIdentity, FileSnapshot


class DeferredBy(NamedTuple):
    """A deferred file, and the worker that deferred it."""

    worker: str
    file: DeferredFile


Deferred = Mapping[FileIdentity, DeferredBy]
"""Deferred files by identity."""

_OLD_S = 60.0


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """One file in the inbox."""

    path: str
    size: int
    age_s: float
    """Since it came or changed last, or since it was first deferred."""
    quiet_s: float
    """Since it changed last; a rename counts, so a deferred file is quiet since then."""
    why: str = ""
    """Why it is not read at once; "" if it is."""
    wait_s: float = 0.0
    """For how long it is not, from now."""
    deferred: DeferredBy | None = None
    """What is known of a deferred file."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run that starts now would do."""

    read: tuple[WaitingFile, ...]
    remaining: tuple[WaitingFile, ...]
    """Empty, deferred or just written: they stay in the inbox."""
    unfinished: tuple[str, ...]
    """Batches that were interrupted and would be brought to their end first."""


def find_deferred(ledgers: Mapping[str, Ledger]) -> Deferred:
    """Return the files that workers deferred, by identity; the latest next try counts.

    A ledger that cannot be read tells nothing; `doctor` names it.
    """
    found: dict[FileIdentity, DeferredBy] = {}
    for worker, ledger in ledgers.items():
        try:
            files = ledger.deferred_files()
        except sqlite3.DatabaseError:
            continue
        for file in files:
            key = file.identity
            if key not in found or found[key].file.next_at_s < file.next_at_s:
                found[key] = DeferredBy(worker, file)
    return found


def list_waiting(
    settings: Settings, deferred: Deferred, now_s: float, passed: SkippedCounts | None = None
) -> Iterator[WaitingFile]:
    """Every file in the inbox that is to be read some time, in no particular order.

    Args:
        settings: say where the inbox is, and how long files wait.
        deferred: the deferred files.
        now_s: seconds since 1970.
        passed: counts the files that can never be claimed where they lie.

    Raises:
        OSError: the inbox cannot be listed.
    """
    for seen in scanner.scan(settings.inbox, lambda *_: None, settings.worker, passed):
        yield describe_waiting(seen, settings, deferred.get(seen.identity), now_s)


def describe_waiting(seen: FileSnapshot, settings: Settings, deferred: DeferredBy | None, now_s: float) -> WaitingFile:
    """How one file stands."""
    quiet_s = max(0.0, now_s - seen.changed_ns / 1e9)
    age_s = max(quiet_s, now_s - deferred.file.first_at_s) if deferred else quiet_s
    why, wait_s = "", 0.0
    if deferred and deferred.file.is_backing_off(now_s):
        why, wait_s = f"deferred: {deferred.file.why}", deferred.file.next_at_s - now_s
    elif not seen.size and quiet_s < settings.empty_wait_s:
        why, wait_s = "it is empty and may still be filled", settings.empty_wait_s - quiet_s
    elif quiet_s < settings.settle_s:
        why, wait_s = "it changed just now and may not be complete", settings.settle_s - quiet_s
    return WaitingFile(seen.path, seen.size, age_s, quiet_s, why, wait_s, deferred)


def deferred_files(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> list[WaitingFile]:
    """Return the deferred files in the inbox, by path.

    Raises:
        OSError: the inbox cannot be listed.
    """
    found = (one for one in list_waiting(settings, find_deferred(ledgers), now_s) if one.deferred is not None)
    return sorted(found, key=lambda one: one.path)


def plan_run(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> DryRun:
    """What `run` would do if it started now (`run --dry-run`): by path, in the order of the CSV.

    Files that have to settle first are counted as read; one that is still being written then stays.

    Raises:
        OSError: the inbox cannot be listed.
    """
    if not ledgers and not settings.inbox.exists():  # before first use
        return DryRun((), (), ())
    mine = {name: ledger for name, ledger in ledgers.items() if name == settings.worker}
    found = sorted(list_waiting(settings, find_deferred(mine), now_s), key=lambda one: one.path)
    read = [one for one in found if _is_taken(one, settings)]
    left = [one for one in found if not _is_taken(one, settings)]
    open_batches = {batch.id for ledger in mine.values() for batch in ledger.batches(unfinished=True)}
    return DryRun(
        tuple(read), tuple(left), tuple(sorted(open_batches | list_claims(settings.inbox, settings.worker).keys()))
    )


def _is_taken(one: WaitingFile, settings: Settings) -> bool:
    if one.why and (one.deferred or not one.size):
        return False
    return one.quiet_s > _OLD_S or settings.settle_s <= settings.run_wait_s


def list_claiming_workers(inbox: Path) -> list[str]:
    """Names of the workers that have a folder for claims here."""
    claims = inbox / CLAIMED
    return sorted(each.name for each in claims.iterdir() if each.is_dir()) if claims.is_dir() else []


def list_claims(inbox: Path, worker: str) -> dict[str, list[str]]:
    """The files that lie claimed by a worker, by batch; its empty batches too."""
    if worker not in list_claiming_workers(inbox):
        return {}
    mine = Inbox(inbox, worker)
    return {batch_id: mine.claimed_files(batch_id) for batch_id in mine.batches()}
