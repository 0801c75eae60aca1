"""Runs while the environment fails and recovers."""

import errno
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from digitrec.app import reports, service
from digitrec.app.run import run_once
from digitrec.cli.operations_output import format_status
from digitrec.errors import EnvironmentFailure, ModelError
from digitrec.monitoring import hooks, metrics
from digitrec.monitoring.doctor import run_checks
from digitrec.monitoring.status import ModelStatus, check_health, collect_status
from digitrec.pipeline import batch_reader, read_files, worker_main
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from tests.app.run_helpers import FULL, LOCKED, failing, rows, verify_workspace
from tests.conftest import draw, read_csv
from tests.readers import OddReader

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (FolderOutbox, "publish", FULL),
        (FolderOutbox, "publish", OSError(errno.EROFS, "Read-only file system")),
        (Ledger, "record", LOCKED),
        (Ledger, "open_batch", FULL),
        (Ledger, "set_locations", FULL),
        (reports, "report_batch", FULL),
    ],
)
def test_a_temporary_failure_costs_time_and_no_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception
) -> None:
    failing(monkeypatch, owner, name, error, times=2)

    summary = run_once(settings)

    assert rows(settings) == ["7.png"]
    assert summary.count.claimed == 1
    assert not list(settings.outbox.glob("rejected/*"))


def test_a_lasting_failure_ends_the_run_and_keeps_the_claims(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, FolderOutbox, "publish", FULL, times=10**9)
        with pytest.raises(EnvironmentFailure, match="No space"):
            run_once(Settings(workspace=settings.workspace, settle_s=0, run_retry_s=0.1))
    assert len(list(settings.inbox.glob(".claimed/main/*/7.png"))) == 1

    run_once(settings)

    assert rows(settings) == ["7.png"]


def test_an_unusable_model_is_reported_before_a_missing_folder(settings: Settings) -> None:
    run_once(settings)
    settings.inbox.rename(settings.workspace / "away")

    with pytest.raises(ModelError, match="nope"):
        run_once(replace(settings, model="nope", run_retry_s=0.1))


@pytest.mark.parametrize("damage", [b"", b"this is no database", None], ids=["emptied", "overwritten", "deleted"])
def test_a_lost_or_damaged_ledger_is_rebuilt_from_the_outbox(settings: Settings, damage: bytes | None) -> None:
    run_once(settings)
    (settings.inbox / "8.png").write_bytes(draw(8))
    for path in settings.ledger.parent.glob("ledger.sqlite3-*"):
        path.unlink()
    if damage is None:
        settings.ledger.unlink()
    else:
        settings.ledger.write_bytes(damage)

    run_once(settings)

    assert sorted(rows(settings)) == ["7.png", "8.png"]
    if damage:
        (aside,) = settings.ledger.parent.glob("ledger.sqlite3.damaged-*")
        assert aside.read_bytes() == damage
    account = verify_workspace(settings)
    assert account.discrepancies == ()
    assert account.count.claimed == 2
    assert any("rebuilt" in note for note in account.notes)


def test_a_batch_with_a_table_is_never_read_again_without_a_ledger(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, FolderOutbox, "archive", FULL, times=10**9)
        with pytest.raises(EnvironmentFailure):
            run_once(Settings(workspace=settings.workspace, settle_s=0, run_retry_s=0))
    (before,) = settings.outbox.glob("*Z-????????.csv")
    content = before.read_bytes()
    for path in settings.ledger.parent.iterdir():
        path.unlink()

    run_once(settings)

    assert before.read_bytes() == content
    assert rows(settings) == ["7.png"]
    assert len(list(settings.outbox.glob("done/*/7.png"))) == 1


@pytest.mark.parametrize("step", ["record", "set_stage", "set_locations"])
def test_a_ledger_deleted_during_a_batch_duplicates_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(Ledger, step)
    deleted: list[str] = []

    def deletes(ledger: Ledger, *args: Any) -> Any:
        if not deleted:
            deleted.append(step)
            settings.ledger.unlink()
        return real(ledger, *args)

    monkeypatch.setattr(Ledger, step, deletes)

    run_once(settings)

    assert deleted
    assert rows(settings) == ["7.png"]
    assert verify_workspace(settings).discrepancies == ()


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_stop_in_a_batch_of_120_publishes_the_results_so_far(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    for number in range(120):
        (settings.inbox / f"{number:03}.png").write_bytes(draw(number % 10, shift=number % 7))
    stop, begun, real = service.ShutdownSignal(), itertools.count(), read_files.read_chunk

    def slow(jobs: Sequence[ReadJob], **kwargs: Any) -> list[FileResult]:
        results: list[FileResult] = []
        for file, job in enumerate(jobs):
            if worker_main.is_cancelled():
                break
            worker_main.begin_page(file)
            if next(begun) == 5:
                stop.set(signal.SIGINT)
            time.sleep(0.5)  # a chunk of 16 takes eight seconds
            results += real([job], **kwargs)
        return results

    with monkeypatch.context() as patch:
        patch.setattr(read_files, "read_chunk", slow)
        began_s = time.monotonic()
        summary = run_once(replace(settings, engine=engine, threads=2), stop)
        took_s = time.monotonic() - began_s

    read = {row["file"] for row in read_csv(settings.outbox / "latest.csv")}
    assert len(read) >= 4
    assert sorted(rows(settings)) == sorted(read)
    assert (summary.count.accepted + summary.count.review, summary.count.deferred) == (len(read), 121 - len(read))
    assert took_s < 10
    run_once(settings)
    assert len(rows(settings)) == 121


def test_a_run_with_an_unexpected_exception_ends_with_74_and_shows_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, FolderOutbox, "publish", KeyError("colour"), times=10**9)
        with pytest.raises(EnvironmentFailure, match="unexpected error: KeyError: 'colour'") as failed:
            run_once(replace(settings, run_retry_s=0.1))
    assert failed.value.exit_code == 74
    with open_ledgers(settings) as ledgers:
        now_s, model = time.time(), ModelStatus("x")
        status = collect_status(settings, ledgers, model, now_s)
        assert any("KeyError: 'colour'" in line for line in format_status(status))
        assert "KeyError: 'colour'" in check_health(status, "main", 3600).why
        assert any("KeyError: 'colour'" in check.detail for check in run_checks(settings, ledgers, model, now_s))

    run_once(settings)
    assert rows(settings) == ["7.png"]


def test_an_exception_in_hooks_or_metrics_costs_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, hooks, "run_command", ZeroDivisionError("hook"), times=10**9)
    failing(monkeypatch, metrics, "collect_samples", ZeroDivisionError("metrics"), times=10**9)

    run_once(replace(settings, on_batch="true", metrics_file=settings.workspace / "metrics.prom"))

    assert rows(settings) == ["7.png"]
    records = [record for record in caplog.records if getattr(record, "trace", "")]
    assert {record.msg for record in records} == {
        "a hook cannot be called",
        "metrics cannot be collected; work continues",
    }


def test_no_command_prints_a_traceback_for_an_unexpected_exception(settings: Settings) -> None:
    script = """
import sys
from digitrec import text
from digitrec.__main__ import main
def fails(_):
    raise ZeroDivisionError("nobody knows")
text.new_batch_id = fails
sys.argv = ["digitrec", "run", "--run-retry-s", "0", "--settle-s", "0"]
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=settings.workspace, capture_output=True, text=True, check=False, timeout=60
    )

    assert result.returncode == 74
    lines = result.stderr.splitlines()
    assert "digitrec: unexpected error: ZeroDivisionError: nobody knows" in lines
    assert not any(line.startswith("Traceback") for line in lines)
    (logged,) = [json.loads(line) for line in lines if line.startswith("{") and "traceback" in json.loads(line)]
    assert logged["traceback"][-1] == "ZeroDivisionError: nobody knows"


@pytest.mark.parametrize("engine", ["threads", "processes"])
@pytest.mark.parametrize("odd", ["hangs", "fills"])
def test_a_file_that_hangs_or_fills_the_memory_costs_only_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str, odd: str
) -> None:
    (settings.inbox / f"{odd}.png").write_bytes(draw(1))
    for digit in (2, 3):
        (settings.inbox / f"{digit}.png").write_bytes(draw(digit))
    monkeypatch.setattr(batch_reader, "GuardedReader", OddReader)

    summary = run_once(replace(settings, engine=engine, read_timeout_s=1))

    reasons = {row["file"]: row["reason_code"] for row in read_csv(settings.outbox / "latest.csv")}
    assert sorted(reasons) == sorted(["7.png", "2.png", "3.png", f"{odd}.png"])
    assert [name for name, reason in reasons.items() if reason == "crashes_reader"] == [f"{odd}.png"]
    assert (summary.count.rejected, summary.count.deferred) == (1, 0)
    assert len(list(settings.outbox.glob(f"rejected/*/{odd}.png"))) == 1
    assert verify_workspace(settings).discrepancies == ()
