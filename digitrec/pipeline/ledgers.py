"""The ledgers of all workers, as far as they can be opened: for those who report on the rest."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from digitrec.pipeline.rebuild import find_published
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger


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
