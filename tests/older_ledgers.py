"""Ledgers as earlier versions left them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

from digitrec import schema

_NAMES = "SELECT name, type FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC"


def make_older(path: Path, version: int) -> None:
    """Take everything out of a ledger that a version with so many migrations did not know."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        with mock.patch.object(schema, "VERSION", version):
            schema.migrate(fresh, path)
        known = set(fresh.execute(_NAMES))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for name, kind in set(db.execute(_NAMES)) - known:
            db.execute(f"DROP {kind} IF EXISTS {name}")
        db.execute(f"PRAGMA user_version = {version}")
