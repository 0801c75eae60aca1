"""State of a workspace, without the lock and read-only."""

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from digitrec.cli import operations
from digitrec.monitoring import backlog
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.status import ModelStatus, WorkerStatus, WorkspaceStatus, check_health, collect_status
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import migrations
from tests.conftest import RunCommand, ServiceHarness, draw

pytestmark = pytest.mark.slow

BATCH = "20260102T030405Z-00000000"


def look(harness: ServiceHarness, later_s: float = 0.0) -> WorkspaceStatus:
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        return collect_status(harness.settings, ledgers, ModelStatus("test"), time.time() + later_s)


def worker(status: WorkspaceStatus, name: str = "main") -> WorkerStatus:
    return next(candidate for candidate in status.workers if candidate.name == name)


def everything(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


def test_files_that_wait_are_counted_with_the_age_of_the_oldest(harness: ServiceHarness) -> None:
    harness.drop("monday/7.png")
    harness.drop("8.png")
    harness.drop("9.png.part")

    status = look(harness, later_s=120)

    assert (status.waiting, status.claimed) == (2, 0)
    assert status.oldest in {"monday/7.png", "8.png"}
    assert status.oldest_s == pytest.approx(120, abs=5)


def test_the_age_of_a_file_starts_when_it_appears(harness: ServiceHarness) -> None:
    path = harness.drop("7.png")
    os.utime(path, (0, 0))

    assert look(harness).oldest_s == pytest.approx(0, abs=5)


def test_a_deferred_file_has_its_reason_and_next_attempt(harness: ServiceHarness) -> None:
    harness.now_s = time.time()
    harness.drop("half\n.png", draw(7)[:200])
    harness.run(is_old=False)

    (deferred,) = look(harness, later_s=10).deferred

    assert (deferred.file, deferred.worker, deferred.tries) == ("half%0A.png", "main", 1)
    assert deferred.why
    assert deferred.again_in_s == pytest.approx(20, abs=2)
    assert look(harness, later_s=31).deferred[0].again_in_s == 0


def test_a_repeatedly_deferred_file_keeps_its_age(harness: ServiceHarness) -> None:
    harness.now_s = time.time() - 3000
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)

    assert look(harness).oldest_s == pytest.approx(3000, abs=5)


def test_claims_of_every_worker_count_as_waiting(harness: ServiceHarness) -> None:
    theirs = harness.inbox / ".claimed" / "other" / BATCH / "monday" / "7.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(draw(7))

    status = look(harness)

    other = worker(status, "other")
    assert (status.claimed, other.claimed, other.ledger, other.state) == (1, 1, "not here", "not running")
    assert [(batch.id, batch.stage, batch.files) for batch in other.open_batches] == [(BATCH, "claimed", 1)]
    assert status.oldest == f".claimed/other/{BATCH}"
    assert status.oldest_s is not None
    assert status.oldest_s > 1000


def test_working_dead_and_stopped_workers_are_distinguished(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    writer = HeartbeatWriter(harness.settings, lambda: "alive")

    writer.set_reading("cnn-1")
    assert (worker(look(harness)).state, worker(look(harness)).observer) == ("reading", "alive")
    writer.set_scanned()
    assert (worker(look(harness)).state, worker(look(harness)).model_id) == ("looking", "cnn-1")
    assert (worker(look(harness, later_s=31)).state, worker(look(harness, later_s=31)).is_late) == ("silent", True)
    writer.set_failing("the outbox is missing")
    status = worker(look(harness))
    assert (status.state, status.failure) == ("failing", "the outbox is missing")
    writer.set_stopped()
    assert (worker(look(harness)).state, worker(look(harness)).observer) == ("not running", "not running")


def test_a_worker_without_a_heartbeat_is_not_running(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()

    status = worker(look(harness))

    assert (status.state, status.last_scan_s, status.is_late, status.ledger) == ("not running", None, True, "ok")


def test_a_missing_inbox_is_reported_with_the_other_figures(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    harness.inbox.rename(harness.root / "away")

    status = look(harness)

    assert "inbox is missing. If a share is not mounted" in status.problem
    assert status.free_bytes["inbox"] is None
    assert status.free_bytes["outbox"] is not None


def test_an_empty_folder_in_place_of_the_inbox_is_unhealthy(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    harness.inbox.rename(harness.root / "away")
    harness.inbox.mkdir()

    health = check_health(look(harness), "main", max_wait_s=3600, max_scan_age_s=900)

    assert not health.is_well
    assert "inbox is empty and has lost its marker. If a share is not mounted" in health.why


def test_a_damaged_or_older_ledger_is_named(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    for name in ("old", "torn", "shut"):
        folder = harness.settings.state / name
        folder.mkdir()
    (harness.settings.state / "torn" / "ledger.sqlite3").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    (harness.settings.state / "shut" / "ledger.sqlite3").mkdir()
    with closing(sqlite3.connect(harness.settings.state / "old" / "ledger.sqlite3", isolation_level=None)) as db:
        migrations.migrate(db, Path("old"))
        db.execute("PRAGMA user_version = 1")

    status = {worker_status.name: worker_status.ledger for worker_status in look(harness).workers}

    assert status["main"] == "ok"
    assert status["old"] == "of another version"
    assert status["shut"] == "cannot be opened"
    assert "cannot be read" in status["torn"]


def test_status_changes_no_file_and_needs_no_lock(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.drop("7.png")
    harness.run()
    harness.drop("8.png")
    with harness.at_work():
        before = everything(harness.root)
        status = run_command("status", "--json")
        after = everything(harness.root)

    assert {name: after[name] for name in before if "sqlite3" not in name} == {
        name: before[name] for name in before if "sqlite3" not in name
    }
    assert status.code == 0
    assert (status.json["waiting"], status.json["claimed"], status.json["model"]["problem"]) == (1, 0, "")
    assert status.json["workers"][0]["name"] == "main"
    assert min(status.json["free_bytes"].values()) > 0


def test_status_works_before_the_first_use_and_with_a_missing_model(
    harness: ServiceHarness, run_command: RunCommand
) -> None:
    harness.inbox.rmdir()

    status = run_command("status", "--model", "nowhere")

    assert status.code == 0
    assert "there is no model 'nowhere'" in status.out
    assert "PROBLEM" in status.out


def test_status_text_names_waiting_files_and_workers(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.now_s = time.time()
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)
    HeartbeatWriter(harness.settings, lambda: "scan only").set_failing("no space left")

    status = run_command("status")

    assert "1 in the inbox, 0 claimed" in status.out
    assert "deferred    half.png" in status.out
    assert "worker      main: failing, never scanned, events scan only" in status.out
    assert "ago: no space left" in status.out


def test_a_dry_run_lists_files_to_read_and_files_to_leave(
    harness: ServiceHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.now_s = time.time()
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)
    harness.drop("b\udcff.png")
    harness.drop("empty.png", b"")
    before = everything(harness.inbox)

    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        status = backlog.plan_run(harness.settings, ledgers, time.time())

    assert [file.path for file in status.read] == ["b\udcff.png"]
    assert [file.path for file in status.remaining] == ["empty.png", "half.png"]
    assert status.unfinished == ()
    assert everything(harness.inbox) == before
    operations.print_dry_run(harness.settings, as_json=False)
    first, empty, half, total = capsys.readouterr().out.splitlines()
    assert first == "read    b%FF.png"
    assert empty.startswith("leave   empty.png: it is empty")
    assert half.startswith("leave   half.png: deferred: ")
    assert total == "1 file would be read, 2 left; nothing was touched"


def test_a_dry_run_names_the_unfinished_batches(harness: ServiceHarness, capsys: pytest.CaptureFixture[str]) -> None:
    mine = harness.inbox / ".claimed" / "main" / BATCH / "7.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(draw(7))

    operations.print_dry_run(harness.settings, as_json=True)

    assert json.loads(capsys.readouterr().out) == {"finish": [BATCH], "read": [], "leave": []}


def test_a_dry_run_of_an_unused_workspace_is_empty(harness: ServiceHarness) -> None:
    harness.inbox.rmdir()

    assert backlog.plan_run(harness.settings, {}, time.time()) == backlog.DryRun((), (), ())
    assert not harness.inbox.exists()


def test_a_file_that_would_not_settle_in_time_is_left(harness: ServiceHarness) -> None:
    harness.set(settle_s=20.0, run_wait_s=10.0)
    harness.drop("7.png")

    status = backlog.plan_run(harness.settings, {}, time.time() + 30)
    later = backlog.plan_run(harness.settings, {}, time.time() + 61)

    assert [file.path for file in status.remaining] == ["7.png"]
    assert [file.path for file in later.read] == ["7.png"]
