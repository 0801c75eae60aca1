"""Events are hints, the scan decides: any interleaving of scans yields each complete file once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitrec.pipeline import workspace
from digitrec.pipeline.scanner import StabilityTracker
from digitrec.pipeline.watcher import NoChangeSource, WakeEvent, WatchdogSource, scan_groups, watch_groups
from digitrec.storage import folder_id
from digitrec.storage.claims import FileSnapshot
from tests.conftest import ServiceHarness
from tests.deep import deepen, remove


def snapshot(name: str, size: int = 1) -> FileSnapshot:
    return FileSnapshot(name, size, 0, 0, 0)


class Clock:
    """Clock that advances only during waits."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class SteppedWakeEvent(WakeEvent):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout_s: float) -> bool:
        self._clock.now_s += max(timeout_s, 0.001)
        return False


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), max_size=5), max_size=25))
def test_any_sequence_of_scans_yields_a_file_once_and_only_when_settled(
    looks: list[list[tuple[str, int]]],
) -> None:
    clock = Clock()
    folder: dict[str, int] = {}
    history: list[tuple[float, dict[str, int]]] = []
    steps = iter([*looks, *[[]] * 8])

    def look() -> Iterator[FileSnapshot]:
        folder.update(dict(next(steps, [])))
        history.append((clock.now_s, dict(folder)))
        return iter([snapshot(name, size) for name, size in folder.items()])

    def stopped() -> bool:
        return len(history) >= len(looks) + 8

    claimed: list[str] = []
    observed = NoChangeSource()
    for group in watch_groups(
        look,
        StabilityTracker(2.0, 600.0),
        observed,
        SteppedWakeEvent(clock),
        is_stopped=stopped,
        scan_interval_s=10.0,
        batch_files=2,
        clock=clock,
    ):
        assert len(group) <= 2
        for file in group:
            earlier = [files for at_s, files in history if at_s <= clock.now_s - 2.0]
            assert earlier
            assert earlier[-1].get(file.path) == file.size
            claimed.append(file.path)
            folder.pop(file.path)

    dropped = {name for step in looks for name, _ in step}
    assert dropped <= set(claimed) | set(folder)
    assert not folder


def test_a_scan_without_new_files_yields_an_empty_group() -> None:
    clock = Clock()
    turns = iter(range(3))

    groups = list(
        watch_groups(
            lambda: iter(()),
            StabilityTracker(2, 600),
            NoChangeSource(),
            SteppedWakeEvent(clock),
            is_stopped=lambda: next(turns, None) is None,
            scan_interval_s=10,
            batch_files=9,
            clock=clock,
        )
    )

    assert groups == [[], [], []]


def test_scan_groups_ignores_late_files_and_stops_at_its_deadline() -> None:
    clock = Clock()
    sizes = iter(range(1, 100))
    looks = 0

    def look() -> Iterator[FileSnapshot]:
        nonlocal looks
        looks += 1
        late = [snapshot("late")] if looks > 1 else []
        return iter([snapshot("still"), snapshot("growing", next(sizes)), *late])

    groups_by_scan = [
        list(ready)
        for ready in scan_groups(
            look,
            StabilityTracker(2.0, 600.0),
            SteppedWakeEvent(clock),
            is_stopped=lambda: False,
            wait_s=10.0,
            batch_files=512,
            clock=clock,
            wall_ns=lambda: 0,
        )
    ]

    assert [[file.path for file in group] for groups in groups_by_scan for group in groups] == [["still"]]
    assert clock.now_s <= 111.0


@pytest.mark.slow
def test_the_observer_signals_new_files_and_restarts_for_a_replaced_folder(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    wake_event = WakeEvent()
    observer = WatchdogSource(inbox, wake_event)
    try:
        observer.keep_alive()
        (inbox / "a").write_text("x")
        assert wake_event.wait(5)
        inbox.rename(tmp_path / "old")
        inbox.mkdir()
        observer.keep_alive()
        while wake_event.wait(0.3):
            pass
        (inbox / "b").write_text("x")
        assert wake_event.wait(5)
        inbox.joinpath("b").unlink()
        inbox.rmdir()
        observer.keep_alive()
        inbox.mkdir()
        observer.keep_alive()
        while wake_event.wait(0.3):
            pass
        (inbox / "c").write_text("x")
        assert wake_event.wait(5)
    finally:
        observer.stop()


@pytest.mark.slow
def test_looking_does_not_ring(tmp_path: Path) -> None:
    wake_event = WakeEvent()
    observer = WatchdogSource(tmp_path, wake_event)
    (tmp_path / "7.png").write_text("x")
    try:
        observer.keep_alive()
        list(tmp_path.iterdir())
        (tmp_path / "7.png").read_bytes()
        assert not wake_event.wait(0.5)
    finally:
        observer.stop()


def test_an_observer_that_cannot_start_says_so_once_and_the_scan_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = WatchdogSource(tmp_path / "missing", WakeEvent())

    observer.keep_alive()
    observer.keep_alive()

    assert [record.message for record in caplog.records].count("no file system events, only timed scans") == 1


def test_a_network_filesystem_is_only_scanned_and_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folder_id, "get_filesystem", lambda _: "nfs4")
    observer = WatchdogSource(tmp_path, WakeEvent())

    observer.keep_alive()
    observer.keep_alive()

    assert observer.state == "scan only"
    assert len(caplog.records) == 1


@pytest.mark.slow
def test_folders_too_deep_for_events_are_scanned_only_and_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # watchdog's own thread ends in a RecursionError
    inbox = tmp_path / "inbox"
    for folder in (inbox, tmp_path / "stage"):
        folder.mkdir()
    deepen(tmp_path / "stage", 1100, every=1101)
    observer = WatchdogSource(inbox, WakeEvent())
    observer.keep_alive()
    assert observer.state == "alive"
    try:
        (tmp_path / "stage" / "d").rename(inbox / "d")
        until_s = time.monotonic() + 20
        while observer.state == "alive" and time.monotonic() < until_s:
            time.sleep(0.1)
            observer.keep_alive()
        observer.keep_alive()

        assert observer.state == "scan only"
        messages = [record.getMessage() for record in caplog.records]
        assert messages == ["observer died, restarting it", "no file system events, only timed scans"]
        remove(inbox)
        observer.keep_alive()
        assert observer.state == "alive"
    finally:
        observer.stop()
        remove(inbox)


@pytest.mark.slow
def test_reading_the_clock_of_the_inbox_causes_no_event(harness: ServiceHarness) -> None:
    wake_event = WakeEvent()
    observer = WatchdogSource(harness.inbox, wake_event)
    with workspace.open_workspace(harness.settings) as space:
        observer.keep_alive()
        try:
            wake_event.wait(1)
            space.clock_ns()
            assert not wake_event.wait(1), "or each look would be followed by another, without an end"
            harness.drop("7.png")
            assert wake_event.wait(5)
        finally:
            observer.stop()


def test_a_wake_up_signal_crosses_threads() -> None:
    wake_event = WakeEvent()
    threading.Timer(0.05, wake_event.set).start()
    began_s = time.monotonic()

    assert wake_event.wait(5)
    assert time.monotonic() - began_s < 2
    assert not wake_event.wait(0)
