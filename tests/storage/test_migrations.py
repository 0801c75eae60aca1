"""An upgrade keeps every row of a ledger, byte for byte; a crash in it costs nothing."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from digitrec.errors import EnvironmentFailure
from digitrec.storage import migrations
from digitrec.storage.claims import FileOutcome, OutcomeCounts
from digitrec.storage.ledger import Ledger
from tests.older_ledgers import create_older

OLDER = range(1, migrations.VERSION)
BATCHES = [f"20260102T03040{number}Z-00000000" for number in range(3)]
Rows = dict[str, list[tuple[object, ...]]]


def filled(version: int, pages: int = 20) -> Rows:
    """Rows of every table of a version, with every kind of value that its columns can hold."""
    kinds = [("accepted", ""), ("review", "low_confidence"), ("rejected", "blank")]
    fates = ["accepted", "review", "rejected", "released", None]
    claims: list[tuple[object, ...]] = []
    readings: list[tuple[object, ...]] = []
    digits: list[tuple[object, ...]] = []
    for batch_id in BATCHES:
        for row in range(1, pages + 1):
            path = b"a/%d \xff\x00.png" % row
            status, reason = kinds[row % 3]
            text, sure = ("", None) if status == "rejected" else ("0" * row, 1 / row)
            what = (batch_id, path, -row, row, -(2**63), row % 2, "2026", fates[row % 5], "why", "ab", b"\xff", b"")
            claims.append(what)
            read = (batch_id, row, path, 1, status, text, sure, "7" if sure else "", sure, reason, "detail", "")
            size = (row, row, row) if row % 2 else (None, None, row)
            label = b"\xff label" if row % 4 == 0 else "none"
            readings.append((*read, label, "png", *size, "ab", "2026", b"\x89PNG\x00" * 50 if row % 2 else None))
            digits += [(batch_id, row, place, 1, 2, 3, 4, *(0.1 / place for _ in range(10))) for place in (1, 2)]
    rows: Rows = {
        "facts": [("inbox_id", "a"), ("outbox_id", "b")],
        "batches": [
            (batch_id, "2026", stage, "{}")
            for batch_id, stage in zip(BATCHES, ["closed", "recorded", "closed"], strict=True)
        ],
        "claims": claims,
        "readings": readings,
        "digits": digits,
        "returned": [(1, 2, -(2**63), "ab", "EACCES", 1000.5, 3, 1004.5)],
    }
    if version >= 2:
        rows["departures"] = [(BATCHES[0], b"a/1 \xff\x00.png", "requeued", "2026", b"inbox/\xff")]
    if version >= 3:
        entries_by_verdict = [
            ("confirmed", "0", "0"),
            ("corrected", "none", "7"),
            ("unsure", "", ""),
            ("withdrawn", "7", ""),
        ]
        entries = [(verdict, old, new, how) for how in ("one", "undo") for verdict, old, new in entries_by_verdict]
        rows["corrections"] = [
            (number, BATCHES[0], number, "2026", "ann", verdict, old, new, how)
            for number, (verdict, old, new, how) in enumerate([*entries, ("corrected", "", "none", "audit")], start=1)
        ]
        rows["corrected_tables"] = [(BATCHES[0], 3)]
    return rows


def write_older(path: Path, version: int, pages: int = 20) -> None:
    create_older(path, version)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN")
        for table, rows in filled(version, pages).items():
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        # A gap in the rowids: their order tells the earliest page of equal bytes.
        db.execute("UPDATE readings SET rowid = rowid + 1000 WHERE batch_id = ?", (BATCHES[1],))
        db.execute("COMMIT")


def contents(path: Path) -> Rows:
    """All rows of all tables, `readings` with their rowids."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {"readings": "rowid, *"}
        return {
            table: sorted(db.execute(f"SELECT {columns.get(table, '*')} FROM {table}"), key=repr) for table in tables
        }


def upgraded(before: Rows) -> Rows:
    """What a ledger holds after its upgrade, by what it held before."""
    after: Rows = {"departures": [], "corrections": [], "corrected_tables": [], "numbers": [], **before}
    after["claims"] = [(*row[:7], "deferred" if row[7] == "released" else row[7], *row[8:]) for row in before["claims"]]
    after["digits"] = [(*row, 0) for row in before["digits"]]
    after["corrections"] = [(*row, 0) for row in after["corrections"]]
    return {table: sorted(rows, key=repr) for table, rows in after.items()}


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT type, name, sql FROM sqlite_master"))


@pytest.mark.parametrize("version", OLDER)
def test_upgrade_keeps_every_row_of_any_version(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, version)
    before = contents(path)

    Ledger.open(path).close()

    assert contents(path) == upgraded(before)
    assert contents(migrations.get_backup_path(path, version)) == before
    new = tmp_path / "new.sqlite3"
    Ledger.open(new).close()
    assert schema_of(path) == schema_of(new)


@pytest.mark.parametrize("version", OLDER)
def test_older_ledger_is_read_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, version)

    with closing(Ledger.open_readonly(path)) as ledger:
        assert ledger.count(BATCHES[0]) == OutcomeCounts(accepted=4, review=4, rejected=4, deferred=4)
        assert [claim.outcome for claim in ledger.claims(BATCHES[0])].count(FileOutcome.DEFERRED) == 4

    with closing(Ledger.open(path)) as ledger:
        assert ledger.count(BATCHES[0]) == OutcomeCounts(accepted=4, review=4, rejected=4, deferred=4)
        assert ledger.find_first_page("ab", 1) == (BATCHES[0], 1)


def interrupted(path: Path, copies: Path) -> Iterator[Path]:
    """Upgrade a ledger; give the files as they lie on the disk at many moments of it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA cache_size = 1")  # changed pages reach the log before the transaction ends
        made: list[Path] = []

        def copy() -> int:
            copies.joinpath(str(len(made))).mkdir(parents=True)
            made.append(copies / str(len(made)) / path.name)
            shutil.copy(path, made[-1])
            log = path.with_name(f"{path.name}-wal")
            if log.exists():
                shutil.copy(log, made[-1].with_name(log.name))
            return 0

        db.set_progress_handler(copy, 6_000)
        migrations.migrate(db, path)
        db.set_progress_handler(None, 0)
    yield from made


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, migrations.VERSION - 1])
def test_crash_within_an_upgrade_leaves_a_usable_ledger(tmp_path: Path, version: int) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, version, pages=60)
    before = contents(path)

    crashed = list(interrupted(path, tmp_path / "copies"))

    assert len(crashed) >= 5
    logs = [copy.with_name(f"{copy.name}-wal") for copy in crashed]
    assert max(log.stat().st_size for log in logs if log.exists()) > 100_000, "no copy holds half a transaction"
    for copy in crashed:
        with closing(sqlite3.connect(copy)) as db:
            (reached,) = db.execute("PRAGMA user_version").fetchone()
        assert version <= reached < migrations.VERSION
        assert {table: contents(copy)[table] for table in before} == before
        Ledger.open(copy).close()
        assert contents(copy) == upgraded(before)


def test_full_disk_within_an_upgrade_leaves_the_older_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, 4)
    before = contents(path)

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            migrations.migrate(db, path)
        assert not db.in_transaction

    assert contents(path) == before


def test_ledger_with_broken_references_is_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, 4)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM readings WHERE row = 7")  # by hand: foreign keys are off unless asked for

    with pytest.raises(EnvironmentFailure, match="refer to missing rows"):
        Ledger.open(path)

    with closing(Ledger.open_readonly(path)) as ledger:
        assert not ledger.is_up_to_date()
        assert len(ledger.rows(BATCHES[0])) == 19


@pytest.mark.parametrize("text", ["-5", "+3,14", "12/03/2024", "21 37 65", "1.5:2", "7"])
def test_only_texts_of_numbers_are_accepted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_older(path, 4)
    Ledger.open(path).close()
    correct = "INSERT INTO corrections VALUES (NULL, ?, 1, '2026', 'ann', ?, ?, ?, 'one', 2)"

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for table in ("text", "runner_up"):
            db.execute(f"UPDATE readings SET {table} = ? WHERE row = 1", (text,))
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(f"UPDATE readings SET {table} = ? WHERE row = 1", (f"{text}e",))
        db.execute(correct, (BATCHES[0], "corrected", "none", text))
        db.execute(correct, (BATCHES[0], "illegible", text, ""))
        for verdict, old, new in [("corrected", "x", text), ("corrected", text, "1e5"), ("illegible", "", text)]:
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(correct, (BATCHES[0], verdict, old, new))
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            db.execute("UPDATE corrections SET new = '1'")
