"""Open a workspace with lost or damaged ledgers, one or several."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import workspace
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import folder_id
from digitrec.storage.ledger import Ledger
from tests.conftest import ServiceHarness, draw
from tests.pipeline.test_crash import PowerCut, cut


def ledger_of(harness: ServiceHarness, worker: str) -> Path:
    return harness.settings.state / worker / "ledger.sqlite3"


def run_as(harness: ServiceHarness, worker: str) -> None:
    harness.set(worker=worker)
    harness.run()


@pytest.fixture
def two(harness: ServiceHarness) -> ServiceHarness:
    """Return a workspace in which the workers `a` and `b` have read a file each."""
    harness.drop("1.png", draw(1))
    run_as(harness, "a")
    harness.drop("2.png", draw(2))
    run_as(harness, "b")
    return harness


def accounted(harness: ServiceHarness, files: int) -> None:
    account = harness.account()
    assert (account.count.claimed, account.batches, account.discrepancies) == (files, files, ())
    assert len(harness.rows()) == files


def keep_remains(harness: ServiceHarness) -> None:
    """Delete the ledger, but keep its WAL files, as after a crash."""
    path = harness.settings.ledger
    contents = {}
    with workspace.open_workspace(harness.settings) as space:
        space.ledger.set_meta("some", "thing")
        for suffix in ("-wal", "-shm"):
            contents[suffix] = path.with_name(path.name + suffix).read_bytes()
    path.unlink()
    for suffix, content in contents.items():
        path.with_name(path.name + suffix).write_bytes(content)


def test_the_wal_of_a_deleted_ledger_is_set_aside_and_not_replayed(harness: ServiceHarness) -> None:
    harness.drop("1.png", draw(1))
    harness.run()
    keep_remains(harness)
    harness.drop("2.png", draw(2))

    harness.run()

    accounted(harness, 2)
    assert len(list(harness.settings.ledger.parent.glob("ledger.sqlite3-wal.damaged-*"))) == 1


def test_remains_without_any_batch_are_set_aside_too(harness: ServiceHarness) -> None:
    harness.drop("1.png", draw(1))
    with workspace.open_workspace(harness.settings):
        pass
    keep_remains(harness)

    harness.run()

    accounted(harness, 1)
    with open_ledgers(harness.settings) as ledgers:
        assert ledgers["main"].get_meta("some") is None


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2, 3], ids=["ledger", "wal", "shm"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_power_cut_while_setting_a_ledger_aside_leaves_no_stale_wal(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, call: int, after: bool
) -> None:
    harness.drop("1.png", draw(1))
    harness.run()
    keep_remains(harness)
    if call == 1:
        harness.settings.ledger.write_bytes(b"this is no database" * 1000)
    with monkeypatch.context() as patch:
        cut(patch, files, "rename_exclusive", call=call, after=after)
        with pytest.raises(PowerCut):
            harness.run()

    harness.run()

    accounted(harness, 1)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"this is no database"], ids=["emptied", "overwritten"])
def test_ledgers_damaged_together_are_all_rebuilt_without_double_counts(two: ServiceHarness, damage: bytes) -> None:
    for worker in "ab":
        for remains in ledger_of(two, worker).parent.glob("ledger*"):
            remains.unlink()
        ledger_of(two, worker).write_bytes(damage)

    for worker in "ab":
        run_as(two, worker)

    accounted(two, 2)


def test_a_batch_in_two_ledgers_is_counted_once_and_reported(two: ServiceHarness) -> None:
    ledger_of(two, "b").parent.rename(two.root / "kept")
    shutil.rmtree(ledger_of(two, "a").parent)
    run_as(two, "a")
    (two.root / "kept").rename(ledger_of(two, "b").parent)

    accounted(two, 2)
    assert any("a: 1 of its batches are also" in note for note in two.account().notes)


def test_a_rebuild_leaves_batches_claimed_by_another_worker(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.drop("3.png", draw(3))
    with monkeypatch.context() as patch:
        cut(patch, FolderOutbox, "archive", call=1, after=False)
        with pytest.raises(PowerCut):
            run_as(two, "b")
    shutil.rmtree(two.settings.state)

    for worker in "ab":
        run_as(two, worker)

    accounted(two, 3)
    assert sorted(two.originals()) == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize("whose", ["a", "b"])
def test_a_ledger_that_cannot_be_read_now_is_neither_first_use_nor_damage(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    real = Ledger.open_readonly

    def locked(path: Path) -> Any:
        if path.parent.name == whose:
            raise sqlite3.OperationalError("database is locked")
        return real(path)

    shutil.rmtree(two.inbox)
    two.set(worker="a")
    if whose == "b":
        ledger_of(two, "a").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "open_readonly", locked)
        with pytest.raises((sqlite3.OperationalError, EnvironmentFailure), match="locked"):
            two.run()

    assert not two.inbox.exists()


@pytest.mark.parametrize("state", ["damaged", "set aside"])
def test_an_unmounted_share_with_a_damaged_ledger_is_not_a_first_use(harness: ServiceHarness, state: str) -> None:
    harness.drop("1.png", draw(1))
    harness.run()
    harness.settings.ledger.write_bytes(b"this is no database")
    if state == "set aside":
        for path in list(harness.settings.ledger.parent.glob("ledger*")):
            path.rename(f"{path}.damaged-20260102T030405Z")
    harness.outbox.rename(harness.root / "away")
    harness.outbox.mkdir()

    with pytest.raises(EnvironmentFailure, match="empty"):
        harness.run()
    assert list(harness.outbox.iterdir()) == []
    harness.outbox.rmdir()
    (harness.root / "away").rename(harness.outbox)
    harness.run()

    accounted(harness, 1)


def test_a_share_that_is_not_mounted_is_no_first_use_for_a_new_worker(two: ServiceHarness) -> None:
    two.outbox.rename(two.root / "away")
    two.outbox.mkdir()
    two.drop("3.png", draw(3))

    with pytest.raises(EnvironmentFailure, match="empty"):
        run_as(two, "c")
    two.outbox.rmdir()
    (two.root / "away").rename(two.outbox)
    run_as(two, "c")

    accounted(two, 3)


@pytest.mark.slow
def test_an_emptied_folder_accepted_for_a_worker_is_accepted_for_all(two: ServiceHarness) -> None:
    shutil.rmtree(two.inbox)
    two.set(worker="a")
    workspace.init_folders(two.settings)

    for number, worker in enumerate("abc", start=3):
        two.drop(f"{number}.png", draw(number))
        run_as(two, worker)

    accounted(two, 5)


@pytest.mark.slow
def test_a_new_folder_accepted_for_a_worker_is_accepted_for_all(two: ServiceHarness) -> None:
    shutil.rmtree(two.inbox)
    two.inbox.mkdir()
    (two.inbox / folder_id.MARKER).write_text("0" * 32)
    two.set(worker="c")
    workspace.init_folders(two.settings)

    for number, worker in enumerate("abc", start=3):
        two.drop(f"{number}.png", draw(number))
        run_as(two, worker)

    accounted(two, 5)


def test_folders_are_accepted_despite_a_damaged_ledger_of_another_worker(two: ServiceHarness) -> None:
    ledger_of(two, "b").write_bytes(b"this is no database")
    shutil.rmtree(two.inbox)
    two.set(worker="a")

    workspace.init_folders(two.settings)

    for number, worker in enumerate("ab", start=3):
        two.drop(f"{number}.png", draw(number))
        run_as(two, worker)
    accounted(two, 4)


def test_a_replaced_inbox_is_noticed_by_a_running_process_even_if_accepted(harness: ServiceHarness) -> None:
    harness.drop("1.png", draw(1))
    with workspace.open_workspace(harness.settings) as space:
        space.check_folders()
        harness.inbox.rename(harness.root / "old")
        workspace.init_folders(harness.settings)
        with pytest.raises(EnvironmentFailure, match="lock"):
            space.check_folders()


def test_a_lock_that_is_gone_is_noticed(harness: ServiceHarness) -> None:
    harness.drop("1.png", draw(1))
    with workspace.open_workspace(harness.settings) as space:
        shutil.rmtree(harness.inbox / ".claimed")
        with pytest.raises(EnvironmentFailure, match="lock"):
            space.check_folders()
    harness.run()

    accounted(harness, 1)


def test_a_replaced_outbox_is_noticed_even_if_the_ledger_knows_it(harness: ServiceHarness) -> None:
    with workspace.open_workspace(harness.settings) as space:
        (harness.outbox / folder_id.MARKER).write_text("0" * 32)
        space.ledger.set_meta("outbox_id", "0" * 32)
        with pytest.raises(EnvironmentFailure, match="another"):
            space.check_folders()


def test_another_share_over_the_inbox_is_refused_until_init_accepts_it(harness: ServiceHarness) -> None:
    harness.drop("1.png", draw(1))
    harness.run()
    harness.drop("2.png", draw(2))
    (harness.inbox / folder_id.MARKER).unlink()
    with closing(Ledger.open(harness.settings.ledger)) as ledger:
        assert ledger.get_meta("inbox_device") == folder_id.get_device(harness.inbox)
        ledger.set_meta("inbox_device", "4711")

    with pytest.raises(EnvironmentFailure, match="has no marker and is on another device than before"):
        harness.run()
    assert (harness.inbox / "2.png").exists()
    workspace.init_folders(harness.settings)
    harness.run()

    accounted(harness, 2)
    with closing(Ledger.open(harness.settings.ledger)) as ledger:
        assert ledger.get_meta("inbox_device") == folder_id.get_device(harness.inbox)


def test_a_new_device_number_is_stored_while_the_marker_exists(harness: ServiceHarness) -> None:
    harness.run()
    with closing(Ledger.open(harness.settings.ledger)) as ledger:
        ledger.set_meta("inbox_device", "4711")

    harness.run()

    with closing(Ledger.open(harness.settings.ledger)) as ledger:
        assert ledger.get_meta("inbox_device") == folder_id.get_device(harness.inbox)


def test_a_ledger_whose_inode_number_changes_by_itself_stays(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    monkeypatch.setattr(Ledger, "is_in_place", lambda _: False)  # as on some FUSE filesystems

    harness.run()

    assert [row["file"] for row in harness.rows()] == ["7.png"]
    assert not list(harness.settings.ledger.parent.glob("*.damaged-*"))


def test_a_new_worker_takes_no_batches_of_another_machine_over(harness: ServiceHarness, tmp_path: Path) -> None:
    harness.drop("7.png")
    harness.run()
    batch_id = harness.rows()[0]["batch_id"]
    harness.set(worker="west", state_dir=tmp_path / "west")

    for _ in range(2):
        with workspace.open_workspace(harness.settings) as space:
            assert space.ledger.batches() == []
    harness.settings.ledger.unlink()

    with workspace.open_workspace(harness.settings) as space:
        assert [batch.id for batch in space.ledger.batches()] == [batch_id], "its own ledger was lost"
