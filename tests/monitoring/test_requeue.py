"""Requeue moves answered originals into the inbox, and the ledger accounts for them."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.monitoring import maintenance
from digitrec.monitoring.history import LocatedClaim
from digitrec.pipeline import workspace
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import removals
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.conftest import RunCommand, ServiceHarness, draw
from tests.older_ledgers import make_older
from tests.pipeline.test_crash import PowerCut, cut

pytestmark = pytest.mark.slow

NOW = "2026-01-03T00:00:00.000Z"


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Workspace with one valid and two invalid files read, in two batches."""
    harness.drop("good.png", draw(7))
    harness.drop("a/bad.png", b"no picture")
    harness.run()
    harness.drop("cut.png", draw(3)[:200])
    harness.run()
    return harness


def put_back(harness: ServiceHarness, *given: str, **how: Any) -> list[str]:
    with open_ledgers(harness.settings) as ledgers:
        chosen = maintenance.select_claims(harness.settings, ledgers, queries=given, **how)
        return [file.location for file in maintenance.requeue(harness.settings, chosen, NOW)]


def chosen(harness: ServiceHarness, *given: str, **how: Any) -> list[LocatedClaim]:
    with open_ledgers(harness.settings) as ledgers:
        return maintenance.select_claims(harness.settings, ledgers, queries=given, **how)


def in_inbox(harness: ServiceHarness) -> dict[str, bytes]:
    return {file.path: (harness.inbox / file.path).read_bytes() for file in harness.look()}


def test_requeue_returns_a_rejected_file_to_its_path_and_accounts_for_it(read: ServiceHarness) -> None:
    assert put_back(read, "a/bad.png") == ["inbox/a/bad.png"]

    assert in_inbox(read) == {"a/bad.png": b"no picture"}
    assert read.originals("rejected") == {"cut.png": draw(3)[:200]}
    assert [path.name for path in read.outbox.glob("rejected/**/*.json")] == ["cut.png.reason.json"]
    account = read.account()
    assert account.discrepancies == ()
    assert "main: 1 original requeued; accounted for" in account.notes
    assert len(read.rows()) == 3, "the published row stays"


def test_a_repaired_file_is_read_again(read: ServiceHarness) -> None:
    put_back(read, "cut.png")
    (read.inbox / "cut.png").write_bytes(draw(3))

    read.run()

    assert [row["status"] == "rejected" for row in read.rows() if row["file"] == "cut.png"].count(False) == 1
    assert read.account().discrepancies == ()


def test_the_same_file_can_be_put_back_again_and_again(read: ServiceHarness) -> None:
    for _ in range(3):
        row = max((row for row in read.rows() if row["file"] == "cut.png"), key=lambda row: row["batch_id"])
        assert put_back(read, f"{row['batch_id']}/{row['row']}") == ["inbox/cut.png"]
        read.now_s += 1
        read.run()

    assert len([row for row in read.rows() if row["file"] == "cut.png"]) == 4
    assert read.account().discrepancies == ()
    assert read.originals("rejected").keys() == {"a/bad.png", "cut.png"}


def test_a_name_that_is_taken_in_the_inbox_is_left_alone(read: ServiceHarness) -> None:
    read.drop("good.png", draw(8))

    assert put_back(read, "good.png") == ["inbox/good~2.png"]
    assert in_inbox(read) == {"good.png": draw(8), "good~2.png": draw(7)}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(Reason.NOT_AN_IMAGE, {"a/bad.png"}), (Reason.TRUNCATED, {"cut.png"}), (Reason.ENCRYPTED, set())],
)
def test_all_files_of_a_reason_go_back(read: ServiceHarness, reason: Reason, expected: set[str]) -> None:
    put_back(read, reason=reason)

    assert in_inbox(read).keys() == expected


def test_batch_and_reason_narrow_the_selection(read: ServiceHarness) -> None:
    first, second = sorted({row["batch_id"] for row in read.rows()}, key=lambda batch_id: (read.outbox / batch_id).name)
    by_batch = {batch: {row["file"] for row in read.rows() if row["batch_id"] == batch} for batch in (first, second)}

    for batch, expected in by_batch.items():
        assert {located.claim.path for located in chosen(read, batch_id=batch)} == expected
        narrowed = chosen(read, batch_id=batch, reason=Reason.TRUNCATED)
        assert {located.claim.path for located in narrowed} == expected & {"cut.png"}
    put_back(read, batch_id=first)

    assert in_inbox(read).keys() == by_batch[first]
    assert chosen(read, batch_id=first) == []


def test_an_ambiguous_name_is_refused(read: ServiceHarness) -> None:
    read.drop("b/good.png", draw(9))
    read.run()

    with pytest.raises(UsageError, match="several files"):
        put_back(read, "good.png")
    put_back(read, "b/good.png")

    assert in_inbox(read).keys() == {"b/good.png"}


@pytest.mark.parametrize("given", ["nothing.png", "20260102T030405Z-00000000/1"])
def test_a_file_that_no_ledger_knows_cannot_be_put_back(read: ServiceHarness, given: str) -> None:
    with pytest.raises(UsageError, match="no ledger knows"):
        put_back(read, given)


def test_a_file_that_was_put_back_already_has_no_original_to_put_back(read: ServiceHarness) -> None:
    put_back(read, "cut.png")

    with pytest.raises(UsageError, match="not in the outbox"):
        put_back(read, "cut.png")


def test_a_batch_that_is_unknown_or_open_is_refused(read: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no ledger"):
        put_back(read, batch_id="20260102T030405Z-00000000")
    read.drop("8.png", draw(8))
    with monkeypatch.context() as patch:
        cut(patch, Ledger, "record", call=1, after=True)
        with pytest.raises(PowerCut):
            read.run()
    (batch,) = read.account().open_batches

    with pytest.raises(UsageError, match="not closed"):
        put_back(read, batch_id=batch)


def test_without_its_inbox_or_outbox_nothing_moves(read: ServiceHarness) -> None:
    read.inbox.rename(read.root / "away")
    read.inbox.mkdir()

    with pytest.raises(EnvironmentFailure, match="empty"):
        put_back(read, "cut.png")

    assert "cut.png" in read.originals("rejected")
    assert list(read.inbox.iterdir()) == []


def test_a_folder_that_is_a_link_now_is_not_followed(read: ServiceHarness) -> None:
    (read.inbox / "a").rmdir()
    (read.root / "elsewhere").mkdir()
    (read.inbox / "a").symlink_to(read.root / "elsewhere")

    assert put_back(read, "a/bad.png") == ["inbox/bad.png"]
    assert list((read.root / "elsewhere").iterdir()) == []


def test_a_file_in_place_of_the_folder_is_reported_and_nothing_is_lost(read: ServiceHarness) -> None:
    (read.inbox / "a").rmdir()
    read.drop("a", draw(1))

    with pytest.raises(EnvironmentFailure, match="where a folder was"):
        put_back(read, "a/bad.png")

    assert "a/bad.png" in read.originals("rejected")
    assert read.account().discrepancies == ()


def test_an_original_that_was_replaced_by_a_link_is_not_put_back(read: ServiceHarness) -> None:
    (original,) = read.outbox.glob("rejected/*/cut.png")
    original.unlink()
    original.symlink_to(read.root / "secret.png")

    with pytest.raises(UsageError, match="not in the outbox"):
        put_back(read, "cut.png")


def test_between_filesystems_the_copy_is_complete_before_the_removal(
    read: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.rename_exclusive

    def move_new(source: Path, target: Path) -> None:
        if ("inbox" in source.parts) is not ("inbox" in target.parts):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target)

    monkeypatch.setattr(files, "rename_exclusive", move_new)
    put_back(read, "cut.png")

    assert in_inbox(read) == {"cut.png": draw(3)[:200]}
    assert "cut.png" not in read.originals("rejected")


STEPS: dict[str, tuple[Any, str]] = {
    "noted in the ledger": (Ledger, "record_removals"),
    "noted in the outbox": (removals, "record_removals"),
    "moved": (files, "move_durable"),
    "inbox fsynced": (files, "fsync_folder"),
    "empty folder removed": (removals, "remove_empty_folders"),
}


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_power_cut_while_requeueing_loses_and_doubles_no_file(
    read: ServiceHarness, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, call: int
) -> None:
    home, function = STEPS[step]

    def put_both_back() -> None:
        put_back(read, reason=Reason.TRUNCATED)
        put_back(read, reason=Reason.NOT_AN_IMAGE)

    with monkeypatch.context() as patch:
        cut(patch, home, function, call=call, after=after)
        with pytest.raises(PowerCut):
            put_both_back()
    assert read.account().discrepancies == ()

    put_both_back()

    assert in_inbox(read) == {"cut.png": draw(3)[:200], "a/bad.png": b"no picture"}
    assert read.originals("rejected") == {}
    assert read.account().discrepancies == ()
    read.run()
    assert read.account().discrepancies == ()
    assert read.originals("rejected").keys() == {"cut.png", "a/bad.png"}


def test_a_rebuilt_ledger_keeps_the_requeued_originals(read: ServiceHarness) -> None:
    put_back(read, "a/bad.png")
    for leftover in read.settings.ledger.parent.glob("ledger.sqlite3*"):
        leftover.unlink()

    read.run()

    account = read.account()
    assert account.discrepancies == ()
    assert "main: 1 original requeued; accounted for" in account.notes


def test_a_torn_journal_keeps_its_other_entries(read: ServiceHarness, caplog: pytest.LogCaptureFixture) -> None:
    put_back(read, "a/bad.png")
    journal = read.outbox / removals.JOURNAL_NAME
    with journal.open("ab") as file:
        file.write(b'{"batch_id": "2026')

    put_back(read, "cut.png")

    assert {removal.path for removal in removals.read_journal(read.outbox)} == {"a/bad.png", "cut.png"}
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "a line about a removed original is not valid"
    ]


def test_a_ledger_of_an_older_version_is_left_to_its_worker(read: ServiceHarness) -> None:
    make_older(read.settings.ledger, 1)

    with pytest.raises(EnvironmentFailure) as why:
        put_back(read, "cut.png")

    assert "digitrec run --worker main" in why.value.hint
    account = read.account()
    assert account.discrepancies == ()
    assert any("ledger of another version" in note for note in account.notes)
    read.run()
    put_back(read, "cut.png")
    assert in_inbox(read).keys() == {"cut.png"}


def test_requeue_works_while_the_service_runs(read: ServiceHarness, run_command: RunCommand) -> None:
    with read.at_work():
        result = run_command("requeue", "cut.png")

    assert result.code == 0
    assert result.out.splitlines()[0].endswith("/cut.png -> inbox/cut.png")
    assert result.out.splitlines()[-1] == "1 original is back in the inbox"


def test_removals_are_mutually_exclusive(read: ServiceHarness, run_command: RunCommand) -> None:
    with workspace.exclusive_job(read.settings, "housekeeping"):
        assert run_command("requeue", "cut.png").code == 75
        assert run_command("prune", "--older-than", "0h", "--yes").code == 75

    assert "cut.png" in read.originals("rejected")


def test_a_dry_run_of_requeue_moves_nothing(read: ServiceHarness, run_command: RunCommand) -> None:
    result = run_command("requeue", "--reason", "not_an_image", "--dry-run")

    assert result.code == 0
    assert result.out.splitlines()[0].endswith("/a/bad.png")
    assert result.out.splitlines()[-1] == "1 original would go back into the inbox"
    assert in_inbox(read) == {}
    dry = run_command("requeue", "--reason", "not_an_image", "--dry-run", "--json").json
    assert (dry["dry_run"], [file["to"] for file in dry["files"]]) == (True, [None])
    done = run_command("requeue", "--reason", "not_an_image", "--json").json
    assert [file["to"] for file in done["files"]] == ["inbox/a/bad.png"]


@pytest.mark.parametrize(
    "words", [(), ("--worker", "main", "cut.png"), ("--worker", "main", "--dry-run"), ("--reason", "bad_mood")]
)
def test_wrong_usage_of_requeue_is_reported(
    read: ServiceHarness, run_command: RunCommand, words: tuple[str, ...]
) -> None:
    assert run_command("requeue", *words).code == 2
    assert in_inbox(read) == {}


def test_hostile_names_survive_the_journal(harness: ServiceHarness) -> None:
    hostile = ["=HYPERLINK(1).png", "new\nline.png", "b\udcff.png", "\u202egnp.7", "100%.png", "'q.png", "l\u2028s.png"]
    for name in hostile:
        harness.drop(name, b"no picture: " + os.fsencode(name))
    harness.run()

    put_back(harness, reason=Reason.NOT_AN_IMAGE)

    assert in_inbox(harness).keys() == set(hostile)
    locations = {removal.path: removal.location for removal in removals.read_journal(harness.outbox)}
    assert locations == {name: f"inbox/{name}" for name in hostile}
    assert all(json.loads(line) for line in (harness.outbox / removals.JOURNAL_NAME).read_bytes().splitlines() if line)


def test_an_empty_selection_writes_no_journal(read: ServiceHarness, run_command: RunCommand) -> None:
    result = run_command("requeue", "--reason", "encrypted")

    assert (result.code, result.out.strip()) == (0, "0 originals are back in the inbox")
    assert not (read.outbox / removals.JOURNAL_NAME).exists()
