"""Every engine: results in order, errors raised, nothing lost, the same tables."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from digitrec.app import composition
from digitrec.app.run import run_once
from digitrec.pipeline import chunk_queue, dask_executor, worker_main
from digitrec.pipeline.chunk_queue import LostChunk
from digitrec.pipeline.dask_executor import DaskParams
from digitrec.pipeline.executor import Executor
from digitrec.settings import Settings
from tests.conftest import draw

LOOPBACK: Any = {"host": "127.0.0.1", "protocol": "tcp", "dashboard_address": "127.0.0.1:0"}
BATCH = re.compile(rb"\d{8}T\d{6}Z-[0-9a-f]{8}")
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


def running() -> bool:
    return False


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A cluster of two workers in this process."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **LOOPBACK) as cluster:
        yield cluster.scheduler_address


OUTSIDE = [pytest.param(name, marks=pytest.mark.slow) for name in ("processes", "dask")]
"""Engines that need processes or sockets."""


@pytest.fixture(params=[*sorted(composition.EXECUTORS.keys() - {"processes", "dask"}), *OUTSIDE])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Executor]]:
    made: list[Executor] = []

    def make(**settings: float) -> Executor:
        where = request.getfixturevalue("scheduler") if name == "dask" else None
        made.append(composition.EXECUTORS[name](Settings(threads=3, engine=name, scheduler=where, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture
def engine(make: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch) -> Executor:
    monkeypatch.setattr(dask_executor, "PARAMS", DaskParams(min_chunks=3))  # several batches despite few chunks
    return make()


def test_results_come_in_the_order_of_the_chunks(engine: Executor) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * number

    assert list(engine.map(slow_first, range(20), running)) == [number * number for number in range(20)]
    assert list(engine.map(slow_first, range(5), running)) == [0, 1, 4, 9, 16]


def test_no_chunks_give_no_results(engine: Executor) -> None:
    assert list(engine.map(abs, [], running)) == []


def test_an_error_in_a_chunk_is_raised_after_the_earlier_results(engine: Executor) -> None:
    results = engine.map(lambda number: 12 // number, [1, 2, 3, 4, 0, 1], running)

    assert [next(results) for _ in range(4)] == [12, 6, 4, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_caller_may_stop_in_the_middle(engine: Executor) -> None:
    results = engine.map(abs, [-1, -2, -3, -4, -5, -6, -7], running)

    assert next(results) == 1
    del results
    assert list(engine.map(abs, [-8], running)) == [8]


def test_a_stop_before_the_first_chunk_yields_a_prefix_of_the_results(
    engine: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_queue, "STOP_GRACE_S", 0.1)
    monkeypatch.setattr(dask_executor, "STOP_GRACE_S", 0.1)

    results = list(engine.map(abs, [-1, -2, -3], lambda: True))

    assert all(result in (number, LostChunk()) for result, number in zip(results, [1, 2, 3], strict=False))


@pytest.mark.parametrize("name", ["threads", *OUTSIDE], indirect=True)
def test_a_chunk_over_its_time_limit_is_lost(make: Callable[..., Executor]) -> None:
    engine = make(read_timeout_s=1)
    began_s = time.monotonic()

    before, lost, after = engine.map(time.sleep, [0, 4, 0], running)

    assert (before, after) == (None, None)
    assert lost == LostChunk("not done after 1 s", 0)
    assert time.monotonic() - began_s < 3.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", *OUTSIDE], indirect=True)
def test_the_time_limit_restarts_for_every_page_and_names_the_file(make: Callable[..., Executor]) -> None:
    def hangs_at(files: list[float]) -> int:
        for file, takes_s in enumerate(files):
            worker_main.begin_page(file)
            time.sleep(takes_s)
        return len(files)

    engine = make(read_timeout_s=1)

    assert list(engine.map(hangs_at, [[0.4] * 4, [0.4, 0.4, 3.0, 0.4]], running)) == [
        4,
        LostChunk("not done after 1 s", 2),
    ]


@pytest.mark.parametrize("name", ["threads", *OUTSIDE], indirect=True)
def test_a_stop_ends_the_work_despite_a_hanging_chunk(engine: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_queue, "STOP_GRACE_S", 0.3)
    monkeypatch.setattr(dask_executor, "STOP_GRACE_S", 0.3)
    began_s = time.monotonic()

    assert set(engine.map(lambda _: time.sleep(3), [1], lambda: True)) <= {LostChunk()}
    assert time.monotonic() - began_s < 2.5


def test_every_executor_writes_the_same_tables(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    where = request.getfixturevalue("scheduler") if name == "dask" else None
    for folder, executor in (("plain", "serial"), ("spread", name)):
        fill(tmp_path / folder / "inbox")
        run_once(Settings(workspace=tmp_path / folder, engine=executor, scheduler=where, settle_s=0))

    assert tables(tmp_path / "spread") == tables(tmp_path / "plain")


def fill(inbox: Path) -> None:
    inbox.mkdir(parents=True, exist_ok=True)
    for number in range(25):
        (inbox / f"{number}.png").write_bytes(draw(number % 10, shift=number % 3))
    (inbox / "cut.png").write_bytes(draw(5)[:200])
    (inbox / "text.png").write_bytes(b"no picture")


def tables(workspace: Path) -> list[bytes]:
    """Tables of the only batch, without what differs from run to run."""
    published = sorted((workspace / "outbox").glob("*Z-*.csv"), key=lambda path: path.name.partition(".")[2])
    assert len(published) == 3
    return [BATCH.sub(b"BATCH", TIME.sub(b"TIME", path.read_bytes())) for path in published]
