"""Heartbeat file of a worker; a failed write does not stop the work."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from digitrec.app import composition, service
from digitrec.app.run import run_once, watch
from digitrec.errors import EnvironmentFailure
from digitrec.monitoring import heartbeat
from digitrec.monitoring.heartbeat import Activity, Heartbeat, HeartbeatWriter
from digitrec.pipeline.watcher import NoChangeSource
from tests.conftest import ServiceHarness

pytestmark = pytest.mark.slow


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def make_writer(harness: ServiceHarness, clock: Clock, observer: str = "alive") -> HeartbeatWriter:
    harness.settings.ledger.parent.mkdir(parents=True, exist_ok=True)
    return HeartbeatWriter(harness.settings, lambda: observer, now_s=clock)


def read_beat(harness: ServiceHarness) -> Heartbeat:
    beat = heartbeat.read_heartbeat(harness.settings.ledger.parent)
    assert beat is not None
    return beat


def write(harness: ServiceHarness, **changes: object) -> None:
    """Write the heartbeat of another process."""
    clock = Clock()
    writer = make_writer(harness, clock)
    writer.set_reading()
    path = harness.settings.ledger.parent / heartbeat.FILE_NAME
    text = path.read_text()
    for name, value in changes.items():
        before = getattr(read_beat(harness), name)
        text = text.replace(f'"{name}": {before}', f'"{name}": {value}')
    path.write_text(text)


def test_a_scan_reports_its_time_model_and_event_state(harness: ServiceHarness) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)

    writer.set_reading("cnn-1")
    clock.now_s = 1003.0
    writer.set_scanned()

    beat = read_beat(harness)
    assert (beat.activity, beat.scanned_at_s, beat.model_id, beat.observer) == (
        Activity.LOOKING,
        1003,
        "cnn-1",
        "alive",
    )
    assert (beat.pid, beat.scan_interval_s) == (os.getpid(), harness.settings.scan_interval_s)


def test_unchanged_state_is_written_every_two_seconds_at_most(harness: ServiceHarness) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)
    writer.set_scanned()

    clock.now_s += 1.9
    writer.set_scanned()
    assert read_beat(harness).scanned_at_s == 1000
    clock.now_s += 0.2
    writer.set_scanned()

    assert read_beat(harness).scanned_at_s == pytest.approx(1002.1)


def test_changes_are_written_at_once_with_past_failures(harness: ServiceHarness) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)
    writer.set_scanned()
    clock.now_s += 0.1

    writer.set_failing("No space left on device")
    assert (read_beat(harness).activity, read_beat(harness).failure) == (Activity.FAILING, "No space left on device")
    clock.now_s += 0.1
    writer.set_scanned()

    assert (read_beat(harness).activity, read_beat(harness).failure, read_beat(harness).failed_at_s) == (
        Activity.LOOKING,
        "No space left on device",
        pytest.approx(1000.1),
    )


def test_the_next_process_keeps_the_heartbeat_of_the_last(harness: ServiceHarness) -> None:
    clock = Clock()
    first = make_writer(harness, clock)
    first.set_scanned()
    clock.now_s += 5
    first.set_failing("the outbox is missing")
    first.set_stopped()

    clock.now_s += 60
    make_writer(harness, clock).set_reading()

    assert (read_beat(harness).scanned_at_s, read_beat(harness).failure) == (1000, "the outbox is missing")


def test_a_process_without_the_lock_does_not_write_the_heartbeat(harness: ServiceHarness) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        write(harness, pid=other.pid)
        second = make_writer(harness, Clock())

        second.set_failing("busy")
        second.set_stopped()

        assert (read_beat(harness).pid, read_beat(harness).activity) == (other.pid, Activity.READING)
        other.communicate(b"\n")


def test_the_heartbeat_of_an_ended_process_is_replaced(harness: ServiceHarness) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    write(harness, pid=other.pid)
    assert read_beat(harness).has_ended()

    make_writer(harness, Clock()).set_failing("the outbox is missing")

    assert read_beat(harness).failure == "the outbox is missing"


def test_a_full_disk_still_takes_a_changed_heartbeat(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)
    writer.set_scanned()
    real = Path.write_text

    def full(self: Path, *rest: object, **named: object) -> int:
        if self.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return real(self, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    writer.set_failing("No space left on device")

    assert read_beat(harness).failure == "No space left on device"


def test_an_unwritable_heartbeat_does_not_stop_the_work(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)
    folder = harness.settings.ledger.parent
    (folder / heartbeat.FILE_NAME).mkdir()

    writer.set_scanned()
    clock.now_s += 10
    writer.set_scanned()

    assert [record.message for record in caplog.records] == ["the heartbeat cannot be written; work continues"]
    assert heartbeat.read_heartbeat(folder) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"doing": "dancing"}', b"\xff", b'{"doing": "looking"}'])
def test_an_invalid_heartbeat_is_none(harness: ServiceHarness, content: bytes) -> None:
    folder = harness.settings.ledger.parent
    folder.mkdir(parents=True)
    (folder / heartbeat.FILE_NAME).write_bytes(content)

    assert heartbeat.read_heartbeat(folder) is None


@pytest.mark.parametrize(
    ("doing", "scanned_at_s", "at_s", "is_late"),
    [
        (Activity.LOOKING, 970.0, 970.0, False),
        (Activity.LOOKING, 969.0, 1000.0, True),
        (Activity.LOOKING, None, 1000.0, True),
        (Activity.FAILING, 969.0, 1000.0, True),
        (Activity.READING, 0.0, 701.0, False),
        (Activity.READING, 0.0, 699.0, True),
    ],
)
def test_scans_and_batches_are_overdue_after_their_limits_without_progress(
    doing: Activity, scanned_at_s: float | None, at_s: float, is_late: bool
) -> None:
    beat = Heartbeat(doing, at_s, 1, "h", scan_interval_s=10, read_timeout_s=60, scanned_at_s=scanned_at_s)

    assert beat.is_late(1000.0) is is_late


def test_a_failed_run_reports_its_reason(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    harness.outbox.rename(harness.root / "away")
    harness.set(run_retry_s=0.0)

    with pytest.raises(EnvironmentFailure):
        run_once(harness.settings)

    beat = read_beat(harness)
    assert (beat.activity, beat.failure) == (Activity.STOPPED, f"{harness.outbox} is missing")


def test_watch_reports_its_scans_events_and_end(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.set(scan_interval_s=0.5, settle_s=0.0)
    stop = service.ShutdownSignal()
    seen: list[Heartbeat] = []

    class Observer(NoChangeSource):
        state = "alive"
        looks = 0

        def keep_alive(self) -> None:
            self.looks += 1
            if self.looks == 2:
                seen.append(read_beat(harness))
                stop.set()

    watch(harness.settings, stop, Observer())

    (at_work,) = seen
    assert (at_work.activity, at_work.observer, at_work.failure) == (Activity.READING, "alive", "")
    assert at_work.scanned_at_s == pytest.approx(time.time(), abs=30)
    assert at_work.model_id == composition.open_model(harness.settings).card.id
    assert read_beat(harness).activity is Activity.STOPPED


def test_an_unexpected_exception_outlives_its_process(harness: ServiceHarness) -> None:
    clock = Clock()
    writer = make_writer(harness, clock)
    writer.set_reading("cnn-1")

    writer.note_unexpected("the report of a batch cannot be made: KeyError: 'colour'")

    assert (read_beat(harness).unexpected, read_beat(harness).unexpected_at_s) == (
        "the report of a batch cannot be made: KeyError: 'colour'",
        1000.0,
    )
    clock.now_s = 1060.0
    make_writer(harness, clock).set_reading("cnn-1")
    assert (read_beat(harness).at_s, read_beat(harness).unexpected_at_s) == (1060.0, 1000.0)
