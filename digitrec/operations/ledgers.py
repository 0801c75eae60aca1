"""The ledgers of all workers, as far as they can be opened: for those who report on the rest."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from digitrec.ledger import Ledger
from digitrec.operations.rebuild import published
from digitrec.settings import Settings


def paths(settings: Settings) -> dict[str, Path]:
    """Where ledgers lie, by worker."""
    return {path.parent.name: path for path in sorted(settings.state.glob(f"*/{settings.ledger.name}"))}


def is_new(settings: Settings) -> bool:
    """True if no worker ever began here: there is neither a ledger nor a table."""
    return not paths(settings) and not published(settings.outbox)


def is_unread(settings: Settings, ledgers: Mapping[str, Ledger]) -> bool:
    """True if nothing was ever read here; mostly another workspace was meant. A damaged ledger may have read much."""
    with suppress(sqlite3.DatabaseError):
        has_batches = any(each.ask("SELECT 1 FROM batches LIMIT 1").fetchone() for each in ledgers.values())
        return not has_batches and ledgers.keys() == paths(settings).keys() and not published(settings.outbox)
    return False


@contextmanager
def readable(settings: Settings) -> Iterator[Mapping[str, Ledger]]:
    """Open every ledger for reading, but not those that refuse."""
    with ExitStack() as stack:
        found = {}
        for worker, path in paths(settings).items():
            try:
                ledger = Ledger.read_only(path)
            except sqlite3.OperationalError:
                continue  # `doctor` and `status` compare with `paths`
            found[worker] = ledger
            stack.callback(ledger.close)
        yield found
