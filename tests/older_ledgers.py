"""Ledgers as earlier versions left them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

from digitrec.storage import migrations


def create_older(path: Path, version: int) -> None:
    """Create an empty ledger as a version with so many migrations did."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db, mock.patch.object(migrations, "VERSION", version):
        migrations.migrate(db, path)


def make_older(path: Path, version: int) -> None:
    """Put a ledger of an earlier version in the place of one of this version, with all that it can hold."""
    older = path.with_name("older.sqlite3")
    create_older(older, version)
    with closing(sqlite3.connect(older, isolation_level=None)) as db:
        db.execute("ATTACH ? AS newer", (str(path),))
        for (table,) in db.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = [name for _, name, *_ in db.execute(f"PRAGMA main.table_info ({table})")]
            values = ["CASE fate WHEN 'deferred' THEN 'released' ELSE fate END" if c == "fate" else c for c in columns]
            db.execute(f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM newer.{table}")
    for log in path.parent.glob(f"{path.name}-*"):
        log.unlink()
    older.replace(path)
