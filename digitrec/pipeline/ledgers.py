"""Find, open and rebuild the ledger files of the workers."""

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline.inbox import CLAIMED, OWNER, Inbox
from digitrec.settings import Settings
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.storage.schema import REBUILT_AT
from digitrec.text import format_utc, random_hex


def find_ledgers(settings: Settings) -> dict[str, Path]:
    """Return the paths of all ledgers, by worker.

    Raises:
        OSError: the state folder cannot be listed; a glob would hide that.
    """
    try:
        paths = {name: settings.state / name / settings.ledger.name for name in sorted(os.listdir(settings.state))}
    except FileNotFoundError:
        return {}
    return {worker: path for worker, path in paths.items() if path.exists()}


def list_workers_elsewhere(settings: Settings) -> list[str]:
    """Return the workers of this inbox that belong to other machines: they have no folder in the state folder.

    Nobody is elsewhere where a ledger of this machine is missing.
    """
    workers = sorted(path.parent.name for path in (settings.inbox / CLAIMED).glob(f"*/{OWNER}"))
    if not find_ledgers(settings) or (settings.worker in workers and not settings.ledger.exists()):
        return []
    return [name for name in workers if not (settings.state / name).exists()]


def is_new_workspace(settings: Settings) -> bool:
    """Return whether there is neither a ledger nor a table: no worker has ever started here."""
    return not find_ledgers(settings) and not find_published(settings.outbox)


def is_unread_workspace(settings: Settings, ledgers: Mapping[str, Ledger]) -> bool:
    """Return whether nothing was ever read here: the wrong workspace, mostly; False with a damaged ledger."""
    with suppress(sqlite3.DatabaseError):
        has_batches = any(ledger.query("SELECT 1 FROM batches LIMIT 1").fetchone() for ledger in ledgers.values())
        return (
            not has_batches and ledgers.keys() == find_ledgers(settings).keys() and not find_published(settings.outbox)
        )
    return False


@contextmanager
def open_ledgers(settings: Settings, *, skip_unreadable: bool = False) -> Iterator[Mapping[str, Ledger]]:
    """Open the ledgers of all workers for reading; yield them by worker.

    Args:
        settings: name the state folder.
        skip_unreadable: leave out ledgers that cannot be opened or listed; `doctor` and `status` report these.
    """
    listing_errors = (OSError,) if skip_unreadable else ()
    opening_errors = (sqlite3.OperationalError,) if skip_unreadable else ()
    with ExitStack() as stack:
        ledgers: dict[str, Ledger] = {}
        paths: Mapping[str, Path] = {}
        with suppress(*listing_errors):
            paths = find_ledgers(settings)
        for worker, path in paths.items():
            with suppress(*opening_errors):
                ledgers[worker] = ledger = Ledger.open_readonly(path)
                stack.callback(ledger.close)
        yield ledgers


def _find_batches_of_others(settings: Settings) -> set[str]:
    """Return the batches of other workers, from their readable ledgers and their claims."""
    batch_ids: set[str] = set()
    for worker in Inbox(settings.inbox, settings.worker).other_workers():
        batch_ids.update(Inbox(settings.inbox, worker).batches())
    for worker, path in find_ledgers(settings).items():
        if worker == settings.worker:
            continue
        try:
            with closing(Ledger.open_readonly(path)) as ledger:
                batch_ids.update(batch.id for batch in ledger.batches())
        except sqlite3.DatabaseError as why:
            check_damaged(path, why)
    return batch_ids


def check_damaged(path: Path, why: sqlite3.DatabaseError) -> None:
    """Warn that a ledger is damaged; raise if it is locked, not accessible, or on a failing disk."""
    is_empty = getattr(why, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # it has no tables
    if isinstance(why, sqlite3.OperationalError) and not is_empty:
        raise EnvironmentFailure(f"the ledger {path} cannot be read: {why}") from why
    logs.warning("a ledger is damaged", ledger=path, why=why)


def open_or_rebuild(settings: Settings, *, thorough: bool, is_newcomer: bool) -> Ledger:
    """Open the ledger of a worker; set aside and rebuild a lost or damaged one.

    A newcomer has lost nothing: the published batches are of other workers.
    """
    path = settings.ledger
    if path.exists():
        try:
            if path.stat().st_size == 0:  # SQLite would initialize it
                raise sqlite3.DatabaseError("the file is empty")
            ledger = Ledger.open(path)
            if not thorough or ledger.is_intact():
                return ledger
            ledger.close()
        except sqlite3.OperationalError:  # locked, no space or no access: not damaged
            raise
        except sqlite3.DatabaseError as why:
            logs.warning("the ledger is damaged", ledger=path, why=why)
    elif is_newcomer:
        return Ledger.open(path)
    return _rebuild(settings)


def _rebuild(settings: Settings) -> Ledger:
    """Return a new ledger with the published batches; its file appears atomically."""
    path = settings.ledger
    set_aside_ledger(path)
    skip = _find_batches_of_others(settings)
    lost = [batch_id for batch_id in find_published(settings.outbox) if batch_id not in skip]
    if not lost:
        return Ledger.open(path)
    from digitrec.pipeline import rebuild

    logs.warning("no usable ledger, rebuilding it from the outbox", ledger=path, batches=len(lost))
    temp_path = path.with_name("rebuilding.sqlite3")
    for leftover in _list_files(temp_path):
        leftover.unlink(missing_ok=True)
    ledger = Ledger.open(temp_path)
    try:
        rebuild.rebuild_ledger(ledger, settings.outbox, settings.inbox, skip=skip, now=format_utc(time.time()))
    finally:
        ledger.close()
    if any(leftover.exists() for leftover in _list_files(temp_path)[1:]):  # SQLite reports no error here
        raise EnvironmentFailure(f"{temp_path} could not be written completely")
    files.rename_exclusive(temp_path, path)
    files.fsync_folder(path.parent)
    return Ledger.open(path)


def is_same_ledger(ledger: Ledger, path: Path) -> bool:
    """Return whether the open ledger is the file at `path`; some filesystems change inode numbers."""
    token = random_hex(8)
    try:
        ledger.set_meta("in_place", token)
        with closing(Ledger.open_readonly(path)) as other:
            return other.get_meta("in_place") == token
    except sqlite3.Error:  # missing, no ledger, or the open one is not writable any more
        return False


def set_aside_ledger(path: Path) -> None:
    """Rename the files of a ledger, as SQLite would replay an old log into a new ledger.

    The ledger first: without it the others are renamed at the next start, while a ledger without its log could look
    intact and lack the last transactions.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for file in _list_files(path):
        with suppress(FileNotFoundError):
            files.rename_exclusive(file, file.with_name(f"{file.name}.damaged-{stamp}"))
            files.fsync_folder(path.parent)


def _list_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def order_by_trust(ledgers: Mapping[str, Ledger]) -> dict[str, Ledger]:
    """Return the ledgers by worker, rebuilt ones last: of a batch in two ledgers, the original entry counts."""
    return dict(sorted(ledgers.items(), key=lambda item: (item[1].get_meta(REBUILT_AT) is not None, item[0])))
