"""Every engine: results in order, errors raised, nothing lost."""

import threading
import time
from collections.abc import Callable

import pytest

from digitrec import app
from digitrec.engines import Engine, Overrun, Threads
from digitrec.settings import Settings


def running() -> bool:
    return False


@pytest.fixture(params=sorted(app.ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    make: Callable[[Settings], Engine] = app.ENGINES[request.param]
    return make(Settings(threads=3))


def test_results_come_in_the_order_of_the_chunks(engine: Engine) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(engine.map(slow_first, range(20), running)) == [number * number for number in range(20)]


def test_no_chunks_give_no_results(engine: Engine) -> None:
    assert list(engine.map(abs, [], running)) == []


def test_an_error_in_a_chunk_reaches_the_caller(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        list(engine.map(lambda number: 1 // number, [1, 0, 1], running))


def test_a_caller_may_stop_in_the_middle(engine: Engine) -> None:
    results = engine.map(abs, [-1, -2, -3], running)

    assert next(results) == 1
    del results


@pytest.mark.slow
def test_threads_notice_a_chunk_that_takes_too_long_and_do_not_wait_for_it() -> None:
    release = threading.Event()
    began_s = time.monotonic()
    try:
        with pytest.raises(Overrun):
            list(Threads(2, timeout_s=0.2).map(lambda _: release.wait(30), [1], running))
        assert time.monotonic() - began_s < 5
    finally:
        release.set()


@pytest.mark.slow
def test_a_stop_ends_the_work_soon_even_where_a_chunk_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.engines.PATIENCE_S", 0.3)
    release = threading.Event()
    began_s = time.monotonic()
    try:
        assert list(Threads(2, timeout_s=60).map(lambda _: release.wait(30), [1], lambda: True)) == []
        assert time.monotonic() - began_s < 5
    finally:
        release.set()
