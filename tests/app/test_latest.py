"""Content of outbox/latest.csv after a run, and during a watch."""

import errno
import threading
import time
from pathlib import Path

import pytest

from digitrec.app import service
from digitrec.app.run import run_once, watch
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.watcher import NoChangeSource
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from tests.conftest import ServiceHarness, draw, read_csv

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "inbox").mkdir()
    return Settings(workspace=tmp_path, settle_s=0, engine="serial", batch_files=2, run_retry_s=0)


def drop(settings: Settings, *digits: int) -> None:
    for digit in digits:
        (settings.inbox / f"{digit}.png").write_bytes(draw(digit))


def latest(settings: Settings) -> list[str]:
    return [row["file"] for row in read_csv(settings.outbox / "latest.csv")]


def raise_full(*_: object) -> None:
    raise FULL


def test_latest_of_a_run_holds_the_rows_of_all_its_batches_by_path(settings: Settings) -> None:
    drop(settings, 4, 3, 2, 1, 0)

    summary = run_once(settings)

    assert len(summary.batches) == 3
    assert latest(settings) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    rows = [row for batch in summary.batches for row in read_csv(settings.outbox / f"{batch}.csv")]
    assert read_csv(settings.outbox / "latest.csv") == sorted(rows, key=lambda row: row["file"])


def test_latest_of_one_batch_is_a_copy_of_its_table(settings: Settings) -> None:
    drop(settings, 7)

    (batch,) = run_once(settings).batches

    assert (settings.outbox / "latest.csv").read_bytes() == (settings.outbox / f"{batch}.csv").read_bytes()


def test_a_run_that_published_nothing_leaves_latest_alone(settings: Settings) -> None:
    drop(settings, 7)
    run_once(settings)
    before = (settings.outbox / "latest.csv").stat()

    run_once(settings)

    after = (settings.outbox / "latest.csv").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_latest_is_written_once_at_the_end_of_a_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(settings, 0, 1, 2, 3)
    written: list[int] = []
    real = csv_tables.write_latest

    def counted(outbox: Path, batch_ids: list[str]) -> None:
        written.append(len(batch_ids))
        real(outbox, batch_ids)

    monkeypatch.setattr(csv_tables, "write_latest", counted)
    run_once(settings)

    assert written == [2]


def test_latest_of_a_failed_run_holds_its_published_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, 0, 1, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(FolderOutbox, "archive", raise_full)
        with pytest.raises(EnvironmentFailure, match="No space"):
            run_once(settings)

    assert latest(settings) == ["0.png", "1.png"]


def test_latest_of_a_stopped_run_holds_its_published_batches(settings: Settings) -> None:
    drop(settings, 0, 1, 2, 3)
    stop = service.ShutdownSignal()

    run_once(settings, stop, lambda read, _: stop.set() if read >= 2 else None)

    assert latest(settings)[:2] == ["0.png", "1.png"]


def test_latest_of_a_failed_and_stopped_run_holds_its_published_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, 0, 1, 2, 3)
    stop = service.ShutdownSignal()

    def fails(*_: object) -> None:
        stop.set()
        raise FULL

    monkeypatch.setattr(FolderOutbox, "archive", fails)
    run_once(settings, stop)

    assert latest(settings) == ["0.png", "1.png"]


def test_latest_includes_the_batch_that_a_run_finished_for_an_earlier_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, 0)
    with monkeypatch.context() as patch:
        patch.setattr(FolderOutbox, "archive", raise_full)
        with pytest.raises(EnvironmentFailure):
            run_once(settings)
    drop(settings, 1)

    run_once(settings)

    assert latest(settings) == ["0.png", "1.png"]


def test_latest_is_the_last_published_despite_clock_changes(settings: Settings, tmp_path: Path) -> None:
    ahead = ServiceHarness(tmp_path, settings, now_s=1_900_000_000.0)
    ahead.drop("7.png")
    ahead.run()
    assert latest(settings) == ["7.png"]
    drop(settings, 8)

    run_once(settings)

    assert latest(settings) == ["8.png"]


def test_a_table_that_was_moved_away_leaves_the_rows_of_the_others(harness: ServiceHarness) -> None:
    harness.set(batch_files=1)
    harness.drop("1.png", draw(1))
    harness.drop("2.png", draw(2))
    harness.run()
    first, second = harness.tables()
    first.unlink()

    csv_tables.write_latest(harness.outbox, [first.stem, second.stem])

    assert (harness.outbox / "latest.csv").read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_latest_of_a_watch_is_the_newest_batch(settings: Settings) -> None:
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial")
    stop = service.ShutdownSignal()
    thread = threading.Thread(target=watch, args=(settings, stop, NoChangeSource()))
    thread.start()
    try:
        for digit in (3, 1):
            drop(settings, digit)
            until_s = time.monotonic() + 15
            while not (settings.outbox / "latest.csv").exists() or latest(settings) != [f"{digit}.png"]:
                assert time.monotonic() < until_s
                time.sleep(0.02)
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()
