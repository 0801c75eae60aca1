"""A file is complete when two looks with time between them see it alike."""

import pytest

from digitrec.intake.scan import Seen
from digitrec.intake.settling import Settling

S = 10**9


def seen(path: str = "7.png", *, size: int = 100, mtime_ns: int = 0, ctime_ns: int = 0, inode: int = 1) -> Seen:
    return Seen(path, size, mtime_ns, ctime_ns, inode)


def test_a_file_is_complete_at_the_second_look_two_seconds_later() -> None:
    settling = Settling(2.0, 600.0)

    assert settling.look([seen()], 0.0) == []
    assert settling.look([seen()], 1.9) == []
    assert settling.look([seen()], 2.0) == [seen()]


@pytest.mark.parametrize("change", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_any_change_starts_the_wait_anew(change: str) -> None:
    settling = Settling(2.0, 600.0)
    changed = seen()._replace(**{change: 7})

    settling.look([seen()], 0.0)
    assert settling.look([changed], 2.0) == []
    assert settling.look([changed], 3.9) == []
    assert settling.look([changed], 4.0) == [changed]


def test_a_file_that_was_away_for_a_look_is_a_new_one() -> None:
    settling = Settling(2.0, 600.0)

    settling.look([seen()], 0.0)
    settling.look([], 1.0)
    assert settling.look([seen()], 2.5) == []


def test_an_empty_file_waits_longer() -> None:
    settling = Settling(2.0, 600.0)

    settling.look([seen(size=0)], 0.0)
    assert settling.look([seen(size=0)], 599.0) == []
    assert settling.look([seen(size=0)], 600.0) == [seen(size=0)]
    assert settling.next_at_s() is None


def test_run_may_take_a_file_that_is_old_at_the_first_look_but_not_an_empty_one() -> None:
    settling = Settling(2.0, 600.0)
    old, empty, fresh = seen("a"), seen("b", size=0), seen("c", ctime_ns=50 * S)

    assert settling.look([old, empty, fresh], 0.0, trust_old_at_ns=100 * S) == [old]
    assert settling.look([empty], 0.1, trust_old_at_ns=601 * S) == [empty]


def test_it_says_when_the_next_file_may_be_complete() -> None:
    settling = Settling(2.0, 600.0)

    assert settling.next_at_s() is None
    settling.look([seen("a")], 1.0)
    settling.look([seen("a"), seen("b")], 2.0)
    assert settling.next_at_s() == 3.0
    settling.forget(["a"])
    assert settling.next_at_s() == 4.0
