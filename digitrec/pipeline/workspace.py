"""Opening a workspace for work: the right folders, the lock, a ledger that can be used."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from digitrec import files, logs
from digitrec.errors import BusyError, EnvironmentFailure, UsageError
from digitrec.pipeline import archive, ledger_files, scanner
from digitrec.pipeline import ledgers as found_ledgers
from digitrec.pipeline.inbox import CLAIMED, Inbox
from digitrec.pipeline.scanner import FileClock, SkippedCounts, StabilityTracker, touch_and_read_ns
from digitrec.settings import Settings
from digitrec.storage import drafts, folder_id
from digitrec.storage.corrected_tables import CORRECTED, write_missing
from digitrec.storage.ledger import Ledger
from digitrec.types import FileSnapshot

_FOLDERS = ("inbox", "outbox")
_NETWORK_SETTLE_S = 5.0
"""Least settle time on a network filesystem: clients cache sizes and times for 1 s (CIFS) to 3 s (NFS) by default."""
_DEAD_DRAFT_S = 600.0
"""No draft of a living process is that old since its last change."""


class _FolderIdentity(NamedTuple):
    """What is known of a folder."""

    id: str | None = None
    """In its marker."""
    device: str | None = None
    """That it lay on when its marker was seen last."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace this process holds the lock of."""

    settings: Settings
    inbox: Inbox
    ledger: Ledger
    known: dict[str, _FolderIdentity]
    """Of inbox and outbox, when it was opened."""
    lock: int
    """The descriptor of the lock."""
    clock_ns: FileClock
    """The clock of the inbox's filesystem."""

    def scanned_at_s(self) -> float:
        """Return when the inbox was looked at last, by its own clock, seconds since 1970."""
        return (self.clock_ns.last_ns or self.clock_ns()) / 1e9

    @property
    def outbox(self) -> archive.FolderOutbox:
        """Where answers and originals go."""
        return archive.FolderOutbox(self.settings.outbox, self.inbox)

    def scan(self, skipped: Callable[[str, str], None], passed: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Every file in the inbox that may be claimed; what is passed over is told, and counted."""
        return scanner.scan(self.settings.inbox, skipped, self.settings.worker, passed)

    def stability_tracker(self) -> StabilityTracker:
        """Tells when a file in the inbox is complete."""
        settle_s = self.settings.settle_s
        if is_remote := folder_id.is_remote(kind := folder_id.kind_of(self.settings.inbox)):
            # There, sizes and times are seen with a delay (attribute caches).
            settle_s = max(settle_s, _NETWORK_SETTLE_S)
            logs.event("the inbox lies on a network filesystem", kind=kind, settle_s=settle_s)
        return StabilityTracker(settle_s, self.settings.empty_wait_s, trusts_age=not is_remote)

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if inbox or outbox is not the folder it was, or lock or ledger is another file."""
        for name in _FOLDERS:
            # Not what the ledger knows by now: `digitrec init` may have accepted other folders meanwhile.
            folder, known = self.settings.workspace / name, self.known[name]
            found = _FolderIdentity(folder_id.check(folder, known.id, known.device), folder_id.device_of(folder))
            if found != known:  # mounted anew
                _remember(self.ledger, {name: found})
                self.known[name] = found
        try:
            there = (self.settings.inbox / CLAIMED / self.settings.worker / "lock").lstat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, os.fstat(self.lock)):
            # Another process may hold the one that lies there, and work as this worker too.
            raise EnvironmentFailure(
                f"the lock of worker {self.settings.worker!r} in {self.settings.inbox} was replaced"
            )
        if not self.ledger.is_in_place() and not ledger_files.is_same(self.ledger, self.settings.ledger):
            # A file that was put in its place does not know what was answered since.
            ledger_files.set_aside(self.settings.ledger)
            raise EnvironmentFailure(
                f"the ledger {self.settings.ledger} was removed or replaced",
                hint="Leave .digitrec/ alone. It is made again from the outbox; claimed files are kept.",
            )


@contextmanager
def open_workspace(settings: Settings, *, thorough: bool = False) -> Iterator[Workspace]:
    """Hold the lock of this inbox and worker, with the ledger open; a lost or damaged ledger is made again.

    Args:
        settings: say where everything is.
        thorough: look at every page of the ledger; after it failed.

    Raises:
        BusyError: another process holds the lock.
        EnvironmentFailure, OSError, sqlite3.OperationalError: a folder or a ledger cannot be used now.
    """
    _refuse_source(settings)
    inbox = Inbox(settings.inbox, settings.worker)
    # Where a lock lies another process may hold it, and that is the first thing to know; elsewhere nothing may be
    # made before it is sure that this is the inbox.
    found = None if inbox.has_lock() else _checked_folders(settings)
    if not settings.ledger.exists():
        logs.event("first use of this workspace by this worker", workspace=settings.workspace, worker=settings.worker)
    with ExitStack() as stack:
        lock = stack.enter_context(inbox.lock(settings.ledger))
        found = found or _checked_folders(settings)
        ledger = ledger_files.open_ledger(settings, thorough=thorough)
        stack.callback(ledger.close)
        _remember(ledger, found)
        _remove_drafts(settings, ledger)
        _tell_corrections(settings, ledger)
        for worker in inbox.other_workers():
            logs.event("claims of another worker left alone", worker=worker)
        yield Workspace(settings, inbox, ledger, found, lock, FileClock(_clock_of(lock)))


def _clock_of(lock: int) -> Callable[[], int]:
    """The clock of the filesystem that the lock lies on, or that of this machine where it cannot be read."""
    read_ns = partial(touch_and_read_ns, lock)
    try:
        read_ns()
    except OSError as why:
        logs.warn("the clock of the inbox cannot be read, that of this machine is used", why=why)
        return time.time_ns
    return read_ns


def _refuse_source(settings: Settings) -> None:
    """Raise UsageError if this worker reads a store: its ledger is of no folder."""
    with (
        suppress(sqlite3.Error),
        closing(Ledger.read_only(settings.ledger)) as ledger,
    ):  # damaged: seen to later
        if source := ledger.fact("source_url"):
            hint = "Name another --worker NAME, or --source and --outbox."
            raise UsageError(f"worker {settings.worker} of this workspace reads {source}", hint=hint)


def init_folders(settings: Settings) -> None:
    """`digitrec init`: make what is missing, and take new or emptied folders as they are."""
    told = _told_ids(settings)
    found = {}
    for name in _FOLDERS:
        folder = settings.workspace / name
        identity = folder_id.accept(folder, next((known.id for known in told[name]), None))
        found[name] = _FolderIdentity(identity, folder_id.device_of(folder))
    files.make_folder(settings.reports)
    with Inbox(settings.inbox, settings.worker).lock(settings.ledger):
        ledger = ledger_files.open_ledger(settings, thorough=False)
        try:
            _remember(ledger, found)
        finally:
            ledger.close()
        _tell_others(settings, found)


def _remember(ledger: Ledger, found: Mapping[str, _FolderIdentity]) -> None:
    for name, known in found.items():
        for fact, value in ((f"{name}_id", known.id), (f"{name}_device", known.device)):
            if value and ledger.fact(fact) != value:
                ledger.remember(fact, value)


def _tell_others(settings: Settings, found: Mapping[str, _FolderIdentity]) -> None:
    for worker, path in found_ledgers.paths(settings).items():
        try:
            with closing(Ledger.for_notes(path)) as ledger:
                _remember(ledger, found)
        except (EnvironmentFailure, sqlite3.DatabaseError) as why:
            logs.warn("this worker may need its own `digitrec init --worker`", worker=worker, why=why)


@contextmanager
def open_ledgers_readonly(settings: Settings) -> Iterator[Mapping[str, Ledger]]:
    """The ledgers of all workers, for reading, by worker."""
    with ExitStack() as stack:
        ledgers = {}
        for worker, path in found_ledgers.paths(settings).items():
            ledgers[worker] = ledger = Ledger.read_only(path)
            stack.callback(ledger.close)
        yield ledgers


def _remove_drafts(settings: Settings, ledger: Ledger) -> None:
    for folder in (settings.outbox, settings.outbox / CORRECTED, settings.reports):  # where other workers write too
        drafts.remove(folder, older_than_s=_DEAD_DRAFT_S)
    for batch in ledger.batches(unfinished=True):  # where only the holder of the lock does
        for kind in (archive.DONE, archive.REJECTED):
            drafts.remove_below(settings.outbox / kind / batch.id)


def _tell_corrections(settings: Settings, ledger: Ledger) -> None:
    try:
        for path in write_missing(settings.outbox, ledger):
            logs.event("corrected table written, which a crash had kept back", table=path)
    except (EnvironmentFailure, OSError) as why:  # no reason to read no pictures
        logs.warn("a corrected table cannot be written yet", why=why)


def _checked_folders(settings: Settings) -> dict[str, _FolderIdentity]:
    """Ids and devices of inbox and outbox, which are the folders they were; made at first use."""
    is_lost = any(settings.ledger.parent.glob(f"{settings.ledger.name}*"))
    found = {}
    for name, told in _told_ids(settings).items():
        folder = settings.workspace / name
        marked = folder_id.identity(folder)
        known = next((one for one in told if one.id == marked), next(iter(told), _FolderIdentity()))
        identity = folder_id.check(folder, known.id, known.device, is_first_use=not is_lost)
        found[name] = _FolderIdentity(identity, folder_id.device_of(folder))
    return found


def _told_ids(settings: Settings) -> dict[str, list[_FolderIdentity]]:
    """By folder: what the worker's ledger knows of it, else what others know.

    Others count: a new worker must not take an unmounted share for a new folder.
    """
    known = {worker: _known_ids(path) for worker, path in found_ledgers.paths(settings).items()}
    own = known.pop(settings.worker, {})
    others = {name: [ids[name] for ids in known.values() if name in ids] for name in _FOLDERS}
    return {name: [own[name]] if name in own else others[name] for name in _FOLDERS}


def _known_ids(path: Path) -> dict[str, _FolderIdentity]:
    """What a ledger knows of inbox and outbox; nothing if it is damaged."""
    try:
        with closing(Ledger.read_only(path)) as ledger:
            known = {
                name: _FolderIdentity(ledger.fact(f"{name}_id"), ledger.fact(f"{name}_device")) for name in _FOLDERS
            }
            return {name: one for name, one in known.items() if one.id}
    except sqlite3.DatabaseError as why:
        ledger_files.require_damage(path, why)
        return {}


@contextmanager
def exclusive_job(settings: Settings, what: str) -> Iterator[None]:
    """Hold a lock of its own for a job that must not run twice at once; BusyError if it does."""
    files.make_folder(settings.state)
    with (settings.state / f"{what}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{what} is already running in {settings.workspace}", hint="Wait for it to end.") from None
        yield
