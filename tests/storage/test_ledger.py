"""The database guards its own truth."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import pytest

from digitrec.errors import EnvironmentFailure
from digitrec.storage import migrations
from digitrec.storage.claims import Claim, DeferredFile, FileOutcome
from digitrec.storage.corrections import ReviewMethod, read_latest
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, Box, Number, PageStatus, Reason, Thresholds
from tests.older_ledgers import make_older
from tests.storage.test_csv_tables import NUMBER, OUTPUT_FORMAT, ROW, SEVEN

BATCH = Batch(ROW.batch_id, "2026-01-02T03:04:00.000Z", BatchStage.PLANNED)
CLAIM = Claim(BATCH.id, "desk/7.png", 5, 123, 7, False, BATCH.opened_at)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(tmp_path / "state" / "ledger.sqlite3")


def recorded(ledger: Ledger) -> None:
    ledger.open_batch(BATCH, [CLAIM])
    ledger.update_claims(BATCH.id, [])
    ledger.record(BATCH.id, [ROW], [replace(CLAIM, outcome=FileOutcome.ACCEPTED, sha256="ab")], OUTPUT_FORMAT, [])


def test_recorded_batches_are_read_back(ledger: Ledger) -> None:
    recorded(ledger)

    assert ledger.rows(BATCH.id) == [ROW]
    assert ledger.row(BATCH.id, 1) == ROW
    assert ledger.rows(BATCH.id, with_numbers=False) == [replace(ROW, reading=replace(ROW.reading, numbers=()))]
    assert ledger.claims(BATCH.id) == [replace(CLAIM, outcome=FileOutcome.ACCEPTED, sha256="ab")]
    assert ledger.batch(BATCH.id) == replace(BATCH, stage=BatchStage.RECORDED, output_format=OUTPUT_FORMAT)
    assert ledger.find_first_page("ab", 1) == (BATCH.id, 1)
    assert ledger.has_been_read("desk/7.png")
    assert not ledger.has_been_read("desk/8.png")
    ledger.close()


@pytest.mark.parametrize(
    "change",
    [
        {"text": "7a"},
        {"confidence": 1.5},
        {"status": PageStatus.REJECTED, "reason": Reason.BLANK},
        {"reason": Reason.BLANK},
        {"page": 0},
    ],
    ids=str,
)
def test_an_invalid_answer_rolls_back_its_batch(ledger: Ledger, change: dict[str, object]) -> None:
    ledger.open_batch(BATCH, [CLAIM])
    wrong = replace(ROW, row=2, reading=replace(ROW.reading, **change))  # type: ignore[arg-type]

    with pytest.raises(sqlite3.IntegrityError):
        ledger.record(BATCH.id, [ROW, wrong], [], OUTPUT_FORMAT, [])

    assert ledger.rows(BATCH.id) == []
    assert ledger.batch(BATCH.id) == BATCH
    ledger.close()


def test_numbers_of_a_page_keep_their_digits_and_positions(ledger: Ledger) -> None:
    first = replace(NUMBER, text="77", digits=(SEVEN, replace(SEVEN, box=Box(5, 2, 3, 4))))
    second = Number(3, 2, Box(9, 50, 3, 4), "-7", (SEVEN,), None, PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    reading = replace(ROW.reading, text="77 -7", numbers=(first, second), status=second.status, reason=second.reason)
    row = replace(ROW, reading=reading)
    ledger.open_batch(BATCH, [CLAIM])

    ledger.record(BATCH.id, [row], [replace(CLAIM, outcome=FileOutcome.REVIEW)], OUTPUT_FORMAT, [])

    assert ledger.rows(BATCH.id) == [row]
    assert ledger.row(BATCH.id, 1) == row
    ledger.close()


def test_a_batch_of_0_1_has_one_threshold_and_no_table_of_numbers(ledger: Ledger) -> None:
    recorded(ledger)
    fields = asdict(OUTPUT_FORMAT) | {"threshold": 0.25, "schema_version": 1}
    del fields["thresholds"], fields["number_columns"]
    ledger.query("UPDATE batches SET rendering = ?", (json.dumps(fields),))

    batch = ledger.batch(BATCH.id)

    assert batch is not None
    assert batch.output_format == replace(
        OUTPUT_FORMAT, schema_version=1, number_columns=(), thresholds=Thresholds(0.25, 0.25)
    )
    ledger.close()


def test_a_deferred_file_is_held_until_its_next_attempt(ledger: Ledger) -> None:
    back = DeferredFile(5, 123, 7, "ab", "EACCES", 1000.0, 1, 1030.0)
    ledger.open_batch(BATCH, [CLAIM])
    ledger.record(BATCH.id, [], [replace(CLAIM, outcome=FileOutcome.DEFERRED)], OUTPUT_FORMAT, [back])

    assert ledger.deferred_file((5, 123, 7)) == back
    assert ledger.deferred_file((5, 124, 7)) is None
    assert ledger.deferred(1029.0) == {(5, 123, 7)}
    assert ledger.deferred(1031.0) == set()
    ledger.close()


def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path, ledger: Ledger) -> None:
    ledger.close()
    path = tmp_path / "state" / "ledger.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(EnvironmentFailure, match="newer"):
        Ledger.open(path)


@pytest.mark.parametrize("version", range(1, migrations.VERSION))
def test_a_ledger_of_any_older_version_is_migrated_with_its_content(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.sqlite3"
    older(path, version)
    reopened = Ledger.open_readonly(path)
    assert not reopened.is_up_to_date()
    assert reopened.rows(BATCH.id) == [ROW]
    assert reopened.row(BATCH.id, 1) == ROW
    assert read_latest(reopened) == {}
    reopened.close()

    ledger = Ledger.open(path)

    assert ledger.is_up_to_date()
    assert ledger.rows(BATCH.id) == [ROW]
    judgements = [Judgement(BATCH.id, 1, "1", 0)]
    corrections = record_judgements(
        ledger, judgements, reviewer="ann", method=ReviewMethod.ONE, reviewed_at=BATCH.opened_at
    )
    assert list(read_latest(ledger).values()) == corrections
    assert ledger.removals(BATCH.id) == {}
    assert ledger.is_intact()
    ledger.close()


def older(path: Path, version: int) -> None:
    with closing(Ledger.open(path)) as ledger:
        recorded(ledger)
    make_older(path, version)


def test_an_older_ledger_is_backed_up_before_its_migration(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    older(path, 2)

    Ledger.open(path).close()

    (backup,) = tmp_path.glob("*.backup-*")
    assert backup == migrations.get_backup_path(path, 2)
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (2,)
        assert copy.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert copy.execute("SELECT COUNT(*) FROM readings").fetchone() == (1,)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ledger.sqlite3", "ledger.sqlite3.backup-2"]


def test_the_older_version_continues_with_the_backup(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    older(path, 2)
    Ledger.open(path).close()

    path.unlink()
    shutil.copy(migrations.get_backup_path(path, 2), path)
    with mock.patch.object(migrations, "VERSION", 2), closing(Ledger.open(path)) as ledger:
        assert ledger.is_up_to_date()
        assert ledger.rows(BATCH.id) == [ROW]


def test_an_existing_backup_stays_and_a_new_ledger_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    Ledger.open(path).close()
    assert not list(tmp_path.glob("*.backup-*"))
    path.unlink()
    older(path, 1)
    migrations.get_backup_path(path, 1).write_bytes(b"from an earlier try")

    Ledger.open(path).close()

    assert migrations.get_backup_path(path, 1).read_bytes() == b"from an earlier try"


def test_without_space_for_the_backup_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    older(path, 1)

    with (
        mock.patch.object(migrations.files.os, "fsync", side_effect=OSError(28, "No space left on device")),
        pytest.raises(OSError, match="No space"),
    ):
        Ledger.open(path)

    with closing(Ledger.open_readonly(path)) as ledger:
        assert not ledger.is_up_to_date()
    assert not list(tmp_path.glob("*backup*"))


def test_transactions_are_synced_to_the_disk(ledger: Ledger) -> None:
    db = ledger._db

    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger.is_intact()
    ledger.close()


def test_another_process_may_read_while_it_is_open(tmp_path: Path, ledger: Ledger) -> None:
    recorded(ledger)
    reader = Ledger.open_readonly(tmp_path / "state" / "ledger.sqlite3")

    assert reader.rows(BATCH.id) == [ROW]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.set_meta("a", "b")
    reader.close()
    ledger.close()
