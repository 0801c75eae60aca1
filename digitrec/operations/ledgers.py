"""The ledgers of all workers, as far as they can be opened: for those who report on the rest."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from digitrec.ledger import Ledger
from digitrec.settings import Settings


def paths(settings: Settings) -> dict[str, Path]:
    """Where ledgers lie, by worker."""
    return {path.parent.name: path for path in sorted(settings.state.glob(f"*/{settings.ledger.name}"))}


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
