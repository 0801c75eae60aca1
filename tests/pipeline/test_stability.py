"""A file is complete when two scans `settle_s` apart find it unchanged."""

import pytest

from digitrec.pipeline.scanner import AgeStability, StabilityTracker
from digitrec.storage.claims import FileSnapshot

S = 10**9
NOW = 1000 * S


def snapshot(
    path: str = "7.png", *, size: int = 100, mtime_ns: int = 0, ctime_ns: int = 0, inode: int = 1
) -> FileSnapshot:
    return FileSnapshot(path, size, mtime_ns, ctime_ns, inode)


def test_a_file_is_settled_at_the_second_scan_two_seconds_later() -> None:
    settling = StabilityTracker(2.0, 600.0)

    assert settling.update([snapshot()], 0.0, NOW) == []
    assert settling.update([snapshot()], 1.9, NOW) == []
    assert settling.update([snapshot()], 2.0, NOW) == [snapshot()]


@pytest.mark.parametrize("change", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_any_change_restarts_the_settle_time(change: str) -> None:
    settling = StabilityTracker(2.0, 600.0)
    changed = snapshot()._replace(**{change: 7})

    settling.update([snapshot()], 0.0, NOW)
    assert settling.update([changed], 2.0, NOW) == []
    assert settling.update([changed], 3.9, NOW) == []
    assert settling.update([changed], 4.0, NOW) == [changed]


def test_a_file_missing_from_a_scan_settles_from_the_start() -> None:
    settling = StabilityTracker(2.0, 600.0)

    settling.update([snapshot()], 0.0, NOW)
    settling.update([], 1.0, NOW)
    assert settling.update([snapshot()], 2.5, NOW) == []


def test_an_empty_file_settles_only_when_it_is_old() -> None:
    settling = StabilityTracker(2.0, 600.0)
    young, old = snapshot("young", size=0, ctime_ns=NOW - 100 * S), snapshot("old", size=0, ctime_ns=NOW - 700 * S)

    settling.update([young, old], 0.0, NOW)
    assert settling.next_at_s() == 2.0
    assert settling.update([young, old], 2.0, NOW) == [old]
    assert settling.update([young], 499.0, NOW) == []
    assert settling.update([young], 500.0, NOW) == [young]


def test_run_takes_an_old_file_at_the_first_scan_unless_empty() -> None:
    settling = StabilityTracker(2.0, 600.0)
    old, empty, fresh = snapshot("a"), snapshot("b", size=0, ctime_ns=500 * S), snapshot("c", ctime_ns=950 * S)

    assert settling.update([old, empty, fresh], 0.0, NOW, trust_old=True) == [old]
    assert settling.update([empty], 0.1, 1101 * S, trust_old=True) == [empty]


def test_it_says_when_the_next_file_may_be_complete() -> None:
    settling = StabilityTracker(2.0, 600.0)

    assert settling.next_at_s() is None
    settling.update([snapshot("a")], 1.0, NOW)
    settling.update([snapshot("a"), snapshot("b")], 2.0, NOW)
    assert settling.next_at_s() == 3.0
    settling.forget(["a"])
    assert settling.next_at_s() == 4.0


def test_an_object_is_complete_at_the_first_scan_once_it_is_old() -> None:
    settling = AgeStability(2.0)
    old, young, ahead = (
        snapshot("a", mtime_ns=NOW - 2 * S),
        snapshot("b", mtime_ns=NOW - S),
        snapshot("c", mtime_ns=2 * NOW),
    )

    assert settling.update([old, young, ahead], 10.0, NOW) == [old]
    settling.forget(["a"])
    assert settling.next_at_s() == 11.0
    assert settling.update([young, ahead], 11.0, NOW + S) == [young]
    settling.forget(["b"])
    assert settling.update([ahead], 12.0, NOW + 2 * S) == [ahead]
