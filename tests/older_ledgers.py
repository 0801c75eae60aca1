"""Ledgers as earlier versions left them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

from digitrec.storage import migrations
from digitrec.types import OutputFormat


def format_of_0_1(output_format: OutputFormat) -> OutputFormat:
    """Return the format in which version 0.1 recorded a batch."""
    return replace(
        output_format,
        columns=output_format.columns[: output_format.columns.index("number_count")],
        digit_columns=output_format.digit_columns[: output_format.digit_columns.index("number")],
        number_columns=(),
        schema_version=1,
    )


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
        if version < 5:
            _write_single_threshold(db)
    for log in path.parent.glob(f"{path.name}-*"):
        log.unlink()
    older.replace(path)


def _write_single_threshold(db: sqlite3.Connection) -> None:
    """Give every batch the fields of its format that version 0.1 knew."""
    for batch_id, rendering in db.execute("SELECT batch_id, rendering FROM main.batches").fetchall():
        if rendering is not None:
            fields = json.loads(rendering)
            thresholds = fields.pop("thresholds")
            fields["threshold"] = thresholds["digit"] if thresholds else None
            del fields["number_columns"]
            db.execute("UPDATE main.batches SET rendering = ? WHERE batch_id = ?", (json.dumps(fields), batch_id))
