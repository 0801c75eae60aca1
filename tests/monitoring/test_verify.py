"""Verify reports every difference between ledger and disk, and no false ones."""

import os
import shutil
import time
from pathlib import Path

import pytest

from digitrec import files
from digitrec.app import operations
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import temp_files
from tests.conftest import RunCommand, ServiceHarness, draw
from tests.pipeline.test_crash import PowerCut, cut

STRANGE = "20260102T030405Z-00000000"


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    harness.drop("7.png")
    harness.drop("bad.png", b"this is no picture")
    harness.run()
    assert harness.account().discrepancies == ()
    return harness


def find_file(harness: ServiceHarness, pattern: str) -> Path:
    (path,) = harness.outbox.glob(pattern)
    return path


def test_an_original_with_other_bytes_of_the_same_size_is_a_difference(read: ServiceHarness) -> None:
    original = find_file(read, "done/*/7.png")
    content = original.read_bytes()
    original.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    (difference,) = read.account().discrepancies

    assert "7.png" in difference
    assert "other content" in difference


def test_an_original_replaced_by_a_link_to_a_copy_is_a_difference(read: ServiceHarness) -> None:
    original = find_file(read, "done/*/7.png")
    copy = read.root / "copy.png"
    original.rename(copy)
    original.symlink_to(copy)

    (difference,) = read.account().discrepancies

    assert "no regular file" in difference


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        f"outbox/done/{STRANGE}/a/7.png",
        f"outbox/rejected/{STRANGE}/7.png",
        f"inbox/.claimed/main/{STRANGE}/7.png",
        f"inbox/.claimed/gone/{STRANGE}/7.png",
        f"outbox/{STRANGE}.csv",
        f"outbox/{STRANGE}.digits.csv",
    ],
)
def test_files_in_no_ledger_are_a_difference(read: ServiceHarness, place: str) -> None:
    path = read.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(draw(7))

    (difference,) = read.account().discrepancies

    assert STRANGE in difference
    assert "in no ledger" in difference


def test_a_claimed_file_of_a_closed_batch_is_a_difference(read: ServiceHarness) -> None:
    batch_id = read.rows()[0]["batch_id"]
    path = read.inbox / ".claimed" / "main" / batch_id / "8.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(draw(8))

    (difference,) = read.account().discrepancies

    assert batch_id in difference


def test_a_table_of_a_batch_without_rows_is_a_difference(harness: ServiceHarness) -> None:
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)
    with open_ledgers(harness.settings) as ledgers:
        (batch,) = ledgers["main"].batches()
    (harness.outbox / f"{batch.id}.csv").write_bytes(b"file\r\n")

    (difference,) = harness.account().discrepancies

    assert difference.startswith(f"{batch.id}.csv")


def test_empty_folders_and_drafts_are_no_difference(read: ServiceHarness) -> None:
    (read.outbox / "done" / STRANGE / "a").mkdir(parents=True)
    (read.inbox / ".claimed" / "main" / STRANGE).mkdir(parents=True)
    find_file(read, "done/*/7.png").with_name(".0123456789abcdef.part").write_bytes(b"half")

    assert read.account().discrepancies == ()


def test_a_draft_is_recognised_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        cut(patch, files.os, "link", call=1, after=False)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(PowerCut):
            files.atomic_create(tmp_path / "x.csv", "x")

    (draft,) = tmp_path.iterdir()
    assert temp_files.is_temp_name(draft.name)
    assert not temp_files.is_temp_name("0123456789abcdef.part")


def test_only_stale_drafts_are_removed_at_start(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.drop("7.png")
    with monkeypatch.context() as patch:
        cut(patch, FolderOutbox, "archive", call=1, after=True)
        with pytest.raises(PowerCut):
            harness.run()
    name = ".0123456789abcdef.part"
    in_batch = find_file(harness, "done/*/7.png").with_name(name)
    leftovers = [in_batch, harness.outbox / name, harness.settings.reports / name]
    harness.settings.reports.mkdir(exist_ok=True)
    for path in leftovers:
        path.write_bytes(b"half")
        os.utime(path, (1, 1))  # a copy gets the time of its original while it is a draft

    harness.run()

    assert [path.exists() for path in leftovers] == [False, True, True]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 700)
    harness.run()
    assert not any(path.exists() for path in leftovers)
    assert harness.account().discrepancies == ()


def test_a_draft_that_may_not_be_removed_stops_nothing(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    harness.outbox.mkdir()
    draft = harness.outbox / ".0123456789abcdef.part"
    draft.write_bytes(b"half")
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == draft:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + 700)

    harness.run()

    assert len(harness.rows()) == 1
    assert draft.exists()


@pytest.mark.parametrize("name", ["inbox", "outbox"])
def test_a_share_that_is_not_mounted_is_no_difference_but_74(
    read: ServiceHarness, run_command: RunCommand, name: str
) -> None:
    (read.root / name).rename(read.root / "away")
    missing = run_command("verify")
    (read.root / name).mkdir()
    emptied = run_command("verify", "--json")

    assert (missing.code, emptied.code) == (74, 74)
    assert f"{read.root / name} is missing" in missing.err
    assert f"{read.root / name} is empty and has lost its marker" in emptied.err


def test_a_removed_folder_of_originals_is_reported_per_file(read: ServiceHarness) -> None:
    shutil.rmtree(read.outbox / "done")

    (difference,) = read.account().discrepancies

    assert "7.png is missing" in difference


def test_batches_of_another_machine_are_a_note_and_its_claims_no_difference(read: ServiceHarness) -> None:
    for place in (f"outbox/{STRANGE}.csv", f"outbox/done/{STRANGE}/7.png", f"inbox/.claimed/west/{STRANGE}/8.png"):
        path = read.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(7))
    assert len(read.account().discrepancies) == 3

    (read.inbox / ".claimed" / "west" / "ledger").write_text("/var/lib/digitrec/west/ledger.sqlite3")
    report = operations.verify(read.settings)

    assert report.discrepancies == ()
    assert report.notes == ("1 batch in no ledger here: verify on the machine of worker west, too",)


def test_no_batch_is_of_another_machine_where_a_ledger_of_this_one_is_missing(read: ServiceHarness) -> None:
    claimed = read.inbox / ".claimed" / "west"
    claimed.mkdir()
    (claimed / "ledger").write_text("/var/lib/digitrec/west/ledger.sqlite3")
    west = read.settings.state / "west"
    assert operations.verify(read.settings).discrepancies == ()

    west.mkdir()
    shutil.copy(read.settings.ledger, west)
    read.settings.ledger.unlink()
    assert operations.verify(read.settings).discrepancies == (), "the copy has them"
    (west / "ledger.sqlite3").unlink()

    assert len(operations.verify(read.settings).discrepancies) >= 3
