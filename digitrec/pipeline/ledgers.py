"""Find, open and rebuild the ledger files of the workers."""

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import rebuild
from digitrec.pipeline.inbox import Inbox
from digitrec.settings import Settings
from digitrec.storage.csv_tables import find_published
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc


def find_ledgers(settings: Settings) -> dict[str, Path]:
    """Return where ledgers lie, by worker.

    Raises:
        OSError: the state folder cannot be looked at; a glob would find no ledger in it, and no word of that.
    """
    try:
        found = {name: settings.state / name / settings.ledger.name for name in sorted(os.listdir(settings.state))}
    except FileNotFoundError:
        return {}
    return {worker: path for worker, path in found.items() if path.exists()}


def is_new_workspace(settings: Settings) -> bool:
    """True if no worker ever began here: there is neither a ledger nor a table."""
    return not find_ledgers(settings) and not find_published(settings.outbox)


def is_unread_workspace(settings: Settings, ledgers: Mapping[str, Ledger]) -> bool:
    """True if nothing was ever read here; mostly another workspace was meant. A damaged ledger may have read much."""
    with suppress(sqlite3.DatabaseError):
        has_batches = any(each.query("SELECT 1 FROM batches LIMIT 1").fetchone() for each in ledgers.values())
        return (
            not has_batches and ledgers.keys() == find_ledgers(settings).keys() and not find_published(settings.outbox)
        )
    return False


@contextmanager
def open_readable_ledgers(settings: Settings) -> Iterator[Mapping[str, Ledger]]:
    """Open every ledger for reading, but not those that refuse."""
    with ExitStack() as stack:
        found = {}
        there: Mapping[str, Path] = {}
        with suppress(OSError):  # `doctor` and `status` tell that the state folder cannot be looked at
            there = find_ledgers(settings)
        for worker, path in there.items():
            try:
                ledger = Ledger.open_readonly(path)
            except sqlite3.OperationalError:
                continue  # `doctor` and `status` compare with `paths`
            found[worker] = ledger
            stack.callback(ledger.close)
        yield found


def _find_batches_of_others(settings: Settings) -> set[str]:
    """Batches of other workers: in their ledgers, as far as these can be read, or lying among their claims."""
    found: set[str] = set()
    for worker in Inbox(settings.inbox, settings.worker).other_workers():
        found.update(Inbox(settings.inbox, worker).batches())
    for worker, path in find_ledgers(settings).items():
        if worker == settings.worker:
            continue
        try:
            with closing(Ledger.open_readonly(path)) as ledger:
                found.update(batch.id for batch in ledger.batches())
        except sqlite3.DatabaseError as why:
            check_damaged(path, why)
    return found


def check_damaged(path: Path, why: sqlite3.DatabaseError) -> None:
    """Warn that a ledger is damaged; raise if it only cannot be read now: locked, no access, a failing disk."""
    is_empty = getattr(why, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # it has no tables
    if isinstance(why, sqlite3.OperationalError) and not is_empty:
        raise EnvironmentFailure(f"the ledger {path} cannot be read: {why}") from why
    logs.warning("a ledger is damaged", ledger=path, why=why)


def open_or_rebuild(settings: Settings, *, thorough: bool) -> Ledger:
    """Open the ledger of a worker; one that is lost or damaged is set aside and made again."""
    path = settings.ledger
    if path.exists():
        try:
            if path.stat().st_size == 0:  # SQLite would take it for a new one
                raise sqlite3.DatabaseError("the file is empty")
            ledger = Ledger.open(path)
            if not thorough or ledger.is_intact():
                return ledger
            ledger.close()
        except sqlite3.OperationalError:  # locked, no space, no access: not the ledger's fault
            raise
        except sqlite3.DatabaseError as why:
            logs.warning("the ledger is damaged", ledger=path, why=why)
    return _rebuild(settings)


def _rebuild(settings: Settings) -> Ledger:
    """A new ledger, filled from the outbox if batches were published; it appears whole or not at all."""
    path = settings.ledger
    set_aside_ledger(path)
    skip = _find_batches_of_others(settings)
    lost = [batch_id for batch_id in find_published(settings.outbox) if batch_id not in skip]
    if not lost:
        return Ledger.open(path)
    logs.warning("no usable ledger, making it again from the outbox", ledger=path, batches=len(lost))
    draft = path.with_name("rebuilding.sqlite3")
    for leftover in _list_files(draft):
        leftover.unlink(missing_ok=True)
    ledger = Ledger.open(draft)
    try:
        rebuild.rebuild_ledger(ledger, settings.outbox, settings.inbox, skip=skip, now=format_utc(time.time()))
    finally:
        ledger.close()
    if any(leftover.exists() for leftover in _list_files(draft)[1:]):  # SQLite tells nobody that it could not
        raise EnvironmentFailure(f"{draft} could not be written whole")
    files.rename_exclusive(draft, path)
    files.fsync_folder(path.parent)
    return Ledger.open(path)


def is_same_ledger(ledger: Ledger, path: Path) -> bool:
    """Return True if the open ledger and the file at `path` are one: some filesystems change inode numbers."""
    mark = secrets.token_hex(8)
    try:
        ledger.set_meta("in_place", mark)
        with closing(Ledger.open_readonly(path)) as there:
            return there.get_meta("in_place") == mark
    except sqlite3.Error:  # it is not there, no ledger, or the open one cannot be written any more
        return False


def set_aside_ledger(path: Path) -> None:
    """Move what is left of a ledger out of the way: SQLite would replay a log into whatever lies beside it.

    The ledger goes first: without it the rest is set aside at the next start. A ledger whose log alone was gone could
    look sound, and would lack what was recorded last.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for one in _list_files(path):
        with suppress(FileNotFoundError):
            files.rename_exclusive(one, one.with_name(f"{one.name}.damaged-{stamp}"))
            files.fsync_folder(path.parent)


def _list_files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
