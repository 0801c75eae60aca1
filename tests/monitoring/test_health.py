"""Health: a verdict for a supervisor."""

import time
from dataclasses import replace

import pytest

from digitrec.cli.operations_output import format_status
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.status import ModelStatus, WorkerStatus, WorkspaceStatus, check_health
from tests.conftest import RunCommand, ServiceHarness

pytestmark = pytest.mark.slow

WORKER = WorkerStatus("main", "looking", "alive", 3.0, False, "cnn-1", "", None, 0, (), "ok")
WELL = WorkspaceStatus(0, 0, "", None, (), (WORKER,), {}, ModelStatus("cnn-1"), "")


def test_a_worker_with_a_recent_scan_and_no_waiting_files_is_healthy() -> None:
    assert check_health(WELL, "main", 3600).is_well


def test_a_worker_without_a_scan_for_three_intervals_is_unhealthy() -> None:
    health = check_health(replace(WELL, workers=(replace(WORKER, last_scan_s=31.0, is_late=True),)), "main", 3600)

    assert not health.is_well
    assert "last scan 31 s ago" in health.why


@pytest.mark.parametrize(("oldest_s", "is_well"), [(3600.0, True), (3601.0, False)])
def test_a_file_that_waits_beyond_the_limit_is_unhealthy(oldest_s: float, is_well: bool) -> None:
    health = check_health(replace(WELL, waiting=1, oldest="7.png", oldest_s=oldest_s), "main", 3600)

    assert health.is_well is is_well
    assert is_well or "7.png has waited 3601 s" in health.why


def test_only_an_ongoing_failure_is_reported() -> None:
    late = replace(WORKER, last_scan_s=100.0, is_late=True, failure="the outbox is missing", failed_s=5.0)
    over = replace(late, failed_s=200.0)

    assert "the outbox is missing" in check_health(replace(WELL, workers=(late,)), "main", 3600).why
    assert "the outbox is missing" not in check_health(replace(WELL, workers=(over,)), "main", 3600).why
    assert "  failed    5 s ago: the outbox is missing" in format_status(replace(WELL, workers=(late,)))
    assert not any("missing" in line for line in format_status(replace(WELL, workers=(over,))))
    noticed = replace(over, unexpected=over.failure, unexpected_s=200.0)
    assert any(line.startswith("  noticed") for line in format_status(replace(WELL, workers=(noticed,))))


def test_an_inbox_that_cannot_be_scanned_is_unhealthy() -> None:
    assert not check_health(replace(WELL, problem="No such file"), "main", 3600).is_well


def test_the_scan_of_another_worker_does_not_count() -> None:
    health = check_health(WELL, "second", 3600)

    assert not health.is_well
    assert "second has never scanned" in health.why


def test_health_exits_0_or_1_with_the_reason_in_a_single_line(harness: ServiceHarness, run_command: RunCommand) -> None:
    assert run_command("status", "--check").code == 1
    harness.drop("7.png")
    harness.run()
    writer = HeartbeatWriter(harness.settings)
    writer.set_reading()
    writer.set_scanned()

    well = run_command("status", "--check")
    assert (well.code, well.out.count("\n"), well.out.split(":")[0]) == (0, 1, "healthy")
    harness.now_s = time.time() - 100
    harness.drop("half.png", b"\x89PNG")
    harness.run(is_old=False)
    writer.set_scanned()
    unwell = run_command("status", "--check", "--max-wait-s", "60", "--json")
    assert unwell.code == 1
    assert unwell.json["is_well"] is False
    assert "half.png has waited" in unwell.json["why"]


def test_a_cron_worker_is_healthy_between_runs_with_a_given_interval() -> None:
    resting = replace(WELL, workers=(replace(WORKER, state="not running", last_scan_s=290.0, is_late=True),))

    unwell = check_health(resting, "main", 3600)
    assert not unwell.is_well
    assert "--max-scan-age-s" in unwell.why
    assert check_health(resting, "main", 3600, max_scan_age_s=900).is_well
    assert not check_health(resting, "main", 3600, max_scan_age_s=289).is_well


def test_a_worker_at_a_long_batch_is_healthy_despite_an_old_scan() -> None:
    reading = replace(WORKER, state="reading", last_scan_s=5000.0, is_late=False)

    assert check_health(replace(WELL, workers=(reading,)), "main", 3600, max_scan_age_s=900).is_well


@pytest.mark.parametrize(("unexpected_s", "is_reported"), [(100.0, True), (90_000.0, False)])
def test_an_unexpected_exception_is_reported_for_a_day(unexpected_s: float, is_reported: bool) -> None:
    worker = replace(WORKER, unexpected="a hook cannot be called: KeyError: 'colour'", unexpected_s=unexpected_s)
    health = check_health(replace(WELL, workers=(worker,)), "main", 3600)

    assert health.is_well
    assert ("100 s ago: a hook cannot be called: KeyError: 'colour'" in health.why) is is_reported
