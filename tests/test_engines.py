"""What `Threads` does side by side, and what one by one."""

import threading
import time

import pytest

from digitrec import engines
from digitrec.engines import Threads


def running() -> bool:
    return False


class Crowd:
    """A function that counts how many threads are in it at the same time."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.most = self.now = 0
        self.lock = threading.Lock()

    def __call__(self, chunk: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.takes_s)
        with self.lock:
            self.now -= 1
        return chunk


def test_quick_chunks_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_QUICK_S", 5.0)
    crowd = Crowd(0.001)

    assert list(Threads(4, 60.0).map(crowd, range(40), running)) == list(range(40))

    assert crowd.most == 1


def test_chunks_that_take_long_are_worked_on_side_by_side() -> None:
    crowd = Crowd(engines._QUICK_S * 2)

    assert list(Threads(4, 60.0).map(crowd, range(12), running)) == list(range(12))

    assert crowd.most == 4


def test_a_quick_chunk_that_fails_lets_the_others_go_on() -> None:
    def one_fails(chunk: int) -> int:
        if chunk == 2:
            raise ValueError(chunk)
        return chunk

    found = Threads(4, 60.0).map(one_fails, range(4), running)

    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(found)
