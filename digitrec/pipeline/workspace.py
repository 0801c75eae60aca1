"""Open a workspace for work: verify its folders, hold its lock, open its ledger."""

import fcntl
import os
import sqlite3
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from digitrec import files, logs
from digitrec.errors import BusyError, EnvironmentFailure, SettingsError, UsageError
from digitrec.pipeline import archive, ledgers, scanner
from digitrec.pipeline.inbox import CLAIMED, Inbox
from digitrec.pipeline.scanner import FileClock, SkippedCounts, StabilityTracker, touch_and_read_ns
from digitrec.settings import FILE_NAME, Settings
from digitrec.storage import folder_id, temp_files
from digitrec.storage.claims import FileSnapshot
from digitrec.storage.corrected_tables import CORRECTED_FOLDER, write_outdated_tables
from digitrec.storage.ledger import Ledger

_FOLDERS = ("inbox", "outbox")


class WorkspaceParams(NamedTuple):
    """Time limits of a workspace."""

    network_settle_s: float = 5.0
    """Least settle time on a network filesystem, seconds: clients cache times for 1 s (CIFS), 3 s (NFS) by default."""
    dead_temp_file_s: float = 600.0
    """Age since its last change at which a temporary file belongs to no living process, seconds; set by hand."""


_PARAMS = WorkspaceParams()


class _FolderIdentity(NamedTuple):
    """Identity of the inbox or the outbox."""

    id: str | None = None
    """Id in its marker file."""
    device: str | None = None
    """Device it was on when its marker was read last."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace whose lock this process holds."""

    settings: Settings
    inbox: Inbox
    ledger: Ledger
    identities: dict[str, _FolderIdentity]
    """Of inbox and outbox when they were verified last, by name."""
    lock: int
    """Descriptor of the lock file."""
    clock_ns: FileClock
    """Clock of the inbox's filesystem."""

    def scanned_at_s(self) -> float:
        """Return the time of the last inbox scan by the clock of its filesystem, seconds since 1970."""
        return (self.clock_ns.last_ns or self.clock_ns()) / 1e9

    @property
    def outbox(self) -> archive.FolderOutbox:
        """Destination of tables and originals."""
        return archive.FolderOutbox(self.settings.outbox, self.inbox)

    def scan(self, skipped: Callable[[str, str], None], counts: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Yield every file of the inbox that may be claimed; see `scanner.scan`."""
        return scanner.scan(self.settings.inbox, skipped, self.settings.worker, counts)

    def stability_tracker(self) -> StabilityTracker:
        """Return a tracker that tells when a file in the inbox is complete."""
        settle_s = self.settings.settle_s
        if is_remote := folder_id.is_remote_filesystem(kind := folder_id.get_filesystem(self.settings.inbox)):
            # Attribute caches delay sizes and times there.
            settle_s = max(settle_s, _PARAMS.network_settle_s)
            logs.info("the inbox is on a network filesystem", kind=kind, settle_s=settle_s)
        return StabilityTracker(settle_s, self.settings.empty_wait_s, trusts_age=not is_remote)

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if inbox, outbox, lock or ledger was replaced since the workspace was opened."""
        for name in _FOLDERS:
            # Compared with the time of opening, not with the ledger: `digitrec init` may have accepted other folders.
            folder, expected = self.settings.workspace / name, self.identities[name]
            marker_id = folder_id.verify_folder(folder, expected.id, expected.device)
            identity = _FolderIdentity(marker_id, folder_id.get_device(folder))
            if identity != expected:  # mounted again, on another device
                _store_identities(self.ledger, {name: identity})
                self.identities[name] = identity
        try:
            lock_state = (self.settings.inbox / CLAIMED / self.settings.worker / "lock").lstat()
        except FileNotFoundError:
            lock_state = None
        if lock_state is None or not os.path.samestat(lock_state, os.fstat(self.lock)):
            # Another process may hold the new lock file, and work as this worker too.
            raise EnvironmentFailure(
                f"the lock of worker {self.settings.worker!r} in {self.settings.inbox} was replaced"
            )
        if not self.ledger.is_in_place() and not ledgers.is_same_ledger(self.ledger, self.settings.ledger):
            # A file that was put in its place lacks what was answered since.
            ledgers.set_aside_ledger(self.settings.ledger)
            raise EnvironmentFailure(
                f"the ledger {self.settings.ledger} was removed or replaced",
                hint="Leave .digitrec/ alone. The ledger is rebuilt from the outbox; claimed files are kept.",
            )


@contextmanager
def open_workspace(settings: Settings, *, thorough: bool = False) -> Iterator[Workspace]:
    """Hold the lock of this inbox and worker, with the ledger open; a lost or damaged ledger is rebuilt.

    Args:
        settings: name the folders and the worker.
        thorough: check every page of the ledger; used after a failure.

    Raises:
        BusyError: another process holds the lock.
        EnvironmentFailure, OSError, sqlite3.OperationalError: a folder or a ledger cannot be used now.
    """
    _refuse_object_store(settings)
    inbox = Inbox(settings.inbox, settings.worker)
    # With a lock file, the lock comes first: another process may hold it. Without one, nothing may be created
    # before the folder is verified to be the inbox.
    identities = None if inbox.has_lock() else _verify_folders(settings)
    if not settings.ledger.exists():
        logs.info("first use of this workspace by this worker", workspace=settings.workspace, worker=settings.worker)
    is_newcomer = inbox.is_newcomer()  # before it gets the lock, which notes the worker
    with ExitStack() as stack:
        lock = stack.enter_context(inbox.lock(settings.ledger))
        identities = identities or _verify_folders(settings)
        ledger = ledgers.open_or_rebuild(settings, thorough=thorough, is_newcomer=is_newcomer)
        stack.callback(ledger.close)
        _store_identities(ledger, identities)
        _remove_temp_files(settings, ledger)
        _write_missing_corrections(settings, ledger)
        for worker in inbox.other_workers():
            logs.info("claims of another worker ignored", worker=worker)
        yield Workspace(settings, inbox, ledger, identities, lock, FileClock(_find_clock(lock)))


def check_not_held(workspace: Path | None, worker: str | None) -> None:
    """Raise BusyError if another process holds the inbox that was meant, although some settings cannot be used.

    Args:
        workspace: the folder that was named; None means `DIGITREC_WORKSPACE`, else the current folder.
        worker: the worker that was named; None means `DIGITREC_WORKER`, else the one in the settings file.
    """
    folder = workspace or Path(os.environ.get("DIGITREC_WORKSPACE", ""))
    with suppress(SettingsError, OSError, ValueError, RuntimeError):  # nobody can tell which inbox was meant
        file = folder.expanduser() / FILE_NAME
        table = tomllib.loads(file.read_bytes().decode("utf-8-sig")) if file.is_file() else {}
        name = worker or os.environ.get("DIGITREC_WORKER") or table.get("worker", "main")
        settings = Settings(workspace=file.parent, worker=str(name))
        Inbox(settings.inbox, settings.worker).check_free()


def _find_clock(lock: int) -> Callable[[], int]:
    """Return the clock of the filesystem of the lock file, or of this machine if that cannot be read."""
    read_ns = partial(touch_and_read_ns, lock)
    try:
        read_ns()
    except OSError as error:
        logs.warning("the clock of the inbox cannot be read, that of this machine is used", why=error)
        return time.time_ns
    return read_ns


def _refuse_object_store(settings: Settings) -> None:
    """Raise UsageError if the ledger of this worker belongs to an object store."""
    with (
        suppress(sqlite3.Error),
        closing(Ledger.open_readonly(settings.ledger)) as ledger,
    ):  # a damaged one is rebuilt later
        if source := ledger.get_meta("source_url"):
            hint = "Name another --worker NAME, or --source and --outbox."
            raise UsageError(f"worker {settings.worker} of this workspace reads {source}", hint=hint)


def init_folders(settings: Settings) -> None:
    """Create missing folders of a workspace, and accept new or emptied ones: `digitrec init`."""
    stored = _read_stored_identities(settings)
    identities = {}
    for name in _FOLDERS:
        folder = settings.workspace / name
        marker_id = folder_id.accept_folder(folder, next((identity.id for identity in stored[name]), None))
        identities[name] = _FolderIdentity(marker_id, folder_id.get_device(folder))
    files.make_dir(settings.reports)
    inbox = Inbox(settings.inbox, settings.worker)
    is_newcomer = inbox.is_newcomer()
    with inbox.lock(settings.ledger):
        with closing(ledgers.open_or_rebuild(settings, thorough=False, is_newcomer=is_newcomer)) as ledger:
            _store_identities(ledger, identities)
        for worker, path in ledgers.find_ledgers(settings).items():
            try:
                with closing(Ledger.open_shared(path)) as ledger:
                    _store_identities(ledger, identities)
            except (EnvironmentFailure, sqlite3.DatabaseError) as error:
                logs.warning("this worker may need its own `digitrec init --worker`", worker=worker, why=error)


def make_inbox(settings: Settings) -> None:
    """Make sure that there is an inbox to drop files into, also while a service works on it: `digitrec samples`.

    Raises:
        BusyError: a folder has to be made or accepted, and another process holds the lock.
    """
    if not all(folder_id.read_id(settings.workspace / name) for name in _FOLDERS):
        init_folders(settings)


def _store_identities(ledger: Ledger, identities: Mapping[str, _FolderIdentity]) -> None:
    for name, identity in identities.items():
        for fact, value in ((f"{name}_id", identity.id), (f"{name}_device", identity.device)):
            if value and ledger.get_meta(fact) != value:
                ledger.set_meta(fact, value)


def _remove_temp_files(settings: Settings, ledger: Ledger) -> None:
    for folder in (
        settings.outbox,
        settings.outbox / CORRECTED_FOLDER,
        settings.reports,
    ):  # other workers write there too
        temp_files.remove_old_temp_files(folder, older_than_s=_PARAMS.dead_temp_file_s)
    for batch in ledger.batches(unfinished=True):  # only the holder of the lock writes there
        for kind in (archive.DONE, archive.REJECTED):
            temp_files.remove_all_temp_files(settings.outbox / kind / batch.id)


def _write_missing_corrections(settings: Settings, ledger: Ledger) -> None:
    try:
        for path in write_outdated_tables(settings.outbox, ledger):
            logs.info("corrected table written after an interruption", table=path)
    except (EnvironmentFailure, OSError) as error:  # pictures can be read all the same
        logs.warning("a corrected table cannot be written yet", why=error)


def _verify_folders(settings: Settings) -> dict[str, _FolderIdentity]:
    """Return the identities of inbox and outbox, which are created at first use.

    Raises:
        EnvironmentFailure: a folder is missing, or is not the one that the ledgers know.
    """
    is_ledger_lost = any(settings.ledger.parent.glob(f"{settings.ledger.name}*"))
    identities = {}
    for name, stored in _read_stored_identities(settings).items():
        folder = settings.workspace / name
        marker_id = folder_id.read_id(folder)
        first = next(iter(stored), _FolderIdentity())
        expected = next((identity for identity in stored if identity.id == marker_id), first)
        checked_id = folder_id.verify_folder(folder, expected.id, expected.device, is_first_use=not is_ledger_lost)
        identities[name] = _FolderIdentity(checked_id, folder_id.get_device(folder))
    return identities


def _read_stored_identities(settings: Settings) -> dict[str, list[_FolderIdentity]]:
    """Return by folder the identity in the worker's ledger, else those in the ledgers of other workers.

    Other ledgers count: a new worker must not take an unmounted share for a new folder.
    """
    by_worker = {worker: _read_identities(path) for worker, path in ledgers.find_ledgers(settings).items()}
    own = by_worker.pop(settings.worker, {})
    others = {name: [ids[name] for ids in by_worker.values() if name in ids] for name in _FOLDERS}
    return {name: [own[name]] if name in own else others[name] for name in _FOLDERS}


def _read_identities(path: Path) -> dict[str, _FolderIdentity]:
    """Return the identities of inbox and outbox that a ledger stores; none if it is damaged."""
    try:
        with closing(Ledger.open_readonly(path)) as ledger:
            identities = {
                name: _FolderIdentity(ledger.get_meta(f"{name}_id"), ledger.get_meta(f"{name}_device"))
                for name in _FOLDERS
            }
            return {name: identity for name, identity in identities.items() if identity.id}
    except sqlite3.DatabaseError as error:
        ledgers.check_damaged(path, error)
        return {}


@contextmanager
def exclusive_job(settings: Settings, what: str) -> Iterator[None]:
    """Hold the lock of a job that must not run twice at once.

    Raises:
        BusyError: the job is already running.
    """
    files.make_dir(settings.state)
    with (settings.state / f"{what}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{what} is already running in {settings.workspace}", hint="Wait for it to end.") from None
        yield
