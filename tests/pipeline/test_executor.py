"""What `LocalExecutor` does side by side, what one by one, and what in child processes."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from digitrec.pipeline import chunk_queue, worker_main
from digitrec.pipeline.chunk_queue import ChunkTimeout, LostChunk, StopDeadline
from digitrec.pipeline.executor import ExecutorParams, LocalExecutor


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


@pytest.mark.parametrize("has_workers", [False, True])
def test_quick_chunks_use_one_thread(has_workers: bool) -> None:
    crowd = Crowd(0.001)

    assert list(LocalExecutor(4, 60.0, has_workers=has_workers).map(crowd, range(40), running)) == list(range(40))

    assert crowd.most == 1


@pytest.mark.slow
@pytest.mark.parametrize("has_workers", [False, True])
def test_slow_chunks_run_in_parallel(has_workers: bool) -> None:
    crowd = Crowd(0.4)

    assert list(LocalExecutor(4, 60.0, has_workers=has_workers).map(crowd, range(12), running)) == list(range(12))

    assert crowd.most == 4


def test_a_failed_chunk_does_not_stop_the_others() -> None:
    def fail_at_two(chunk: int) -> int:
        if chunk == 2:
            raise ValueError(chunk)
        return chunk

    results = LocalExecutor(4, 60.0).map(fail_at_two, range(4), running)

    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(results)


def who(chunk: int) -> tuple[int, int]:
    time.sleep(0.02)
    return chunk, os.getpid()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> LocalExecutor:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    return LocalExecutor(3, 60.0, has_workers=True)


def children() -> set[int]:
    """Processes that this one has started and that are still there."""
    mine = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in mine for pid in path.read_text().split()}


@pytest.mark.slow
def test_worker_processes_start_under_load_and_are_reused(engine: LocalExecutor) -> None:
    before = children()
    first = list(engine.map(who, range(150), running))
    second = list(engine.map(who, range(50), running))
    helpers = children() - before
    engine.close()

    assert [chunk for chunk, _ in first] == list(range(150))
    assert {pid for _, pid in first} == {os.getpid(), *helpers}
    assert len(helpers) == 2
    assert {pid for _, pid in second} == {os.getpid(), *helpers}
    assert children() == before


@pytest.mark.slow
def test_running_workers_start_before_results_are_requested(engine: LocalExecutor) -> None:
    list(engine.map(who, range(150), running))
    later = engine.map(who, range(10), running)

    time.sleep(1.0)
    began = time.monotonic()
    results = list(later)
    engine.close()

    assert [chunk for chunk, _ in results] == list(range(10))
    assert os.getpid() not in {pid for _, pid in results}
    assert time.monotonic() - began < 1.0


def who_at_once(chunk: int) -> tuple[int, int]:
    return chunk, os.getpid()


@pytest.mark.slow
def test_worker_processes_pause_for_quick_chunks_and_resume_for_slow_ones(engine: LocalExecutor) -> None:
    assert len({pid for _, pid in engine.map(who, range(150), running)}) == 3
    list(engine.map(who_at_once, range(50), running))  # now it is known that they are quick

    alone = {pid for _, pid in engine.map(who_at_once, range(50), running)}
    again = {pid for _, pid in engine.map(who, range(150), running)}
    engine.close()

    assert alone == {os.getpid()}
    assert len(again) == 3


SINGLE_THREADED = """
import os, time
from contextlib import suppress
os.sched_getaffinity = lambda _: {*range(CORES)}
from digitrec.pipeline.worker_process import WorkerProcess
from digitrec.pipeline.executor import LocalExecutor

def no_interpreter(_):
    raise AssertionError("a fork would do")

def who(chunk):
    time.sleep(TAKES_S)
    return chunk, os.getpid()

WorkerProcess._start = no_interpreter
engine = LocalExecutor(CORES, 60.0, has_workers=True)
first, second = ([*engine.map(who, range(COUNT), lambda: False)] for _ in range(2))
assert [chunk for chunk, _ in first] == [*range(COUNT)]
processes = {pid for _, pid in first} | {pid for _, pid in second}
engine.close()
left = []
for thread in os.listdir("/proc/self/task"):
    with suppress(OSError):  # a thread that has just ended
        left += open(f"/proc/self/task/{thread}/children").read().split()
print(os.getpid() in processes, len(processes), len(left))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("takes_s", "count", "cores", "processes"),
    [
        (0.02, 150, 3, 3),
        (0.015, 56, 3, 3),
        (0.03, 32, 8, 4),  # no fresh ones beside the forks: so much work is not there
        (0.02, 12, 3, 1),
        (0.0, 150, 3, 1),
    ],
)
def test_single_threaded_process_forks_workers_if_worthwhile(
    takes_s: float, count: int, cores: int, processes: int
) -> None:
    script = SINGLE_THREADED.replace("TAKES_S", str(takes_s)).replace("COUNT", str(count)).replace("CORES", str(cores))

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.stdout.split(), ended.stderr) == (["True", str(processes), "0"], "")


def dies_elsewhere_at_the_third_file(parent: int) -> int:
    time.sleep(0.02)
    worker_main.begin_page(2)
    if os.getpid() != parent:
        os._exit(3)
    return parent


@pytest.mark.slow
def test_a_chunk_that_kills_its_worker_does_not_stop_the_others(engine: LocalExecutor) -> None:
    before = children()

    results = list(engine.map(dies_elsewhere_at_the_third_file, [os.getpid()] * 100, running))
    engine.close()

    assert len(results) == 100
    assert set(results) == {os.getpid(), LostChunk("the child process died", 2)}
    assert children() == before


@pytest.mark.slow
@pytest.mark.parametrize("has_workers", [False, True])
def test_a_hanging_chunk_is_lost_and_another_thread_reads_the_rest(has_workers: bool) -> None:
    def hangs(chunk: int) -> int:
        worker_main.begin_page(chunk)
        time.sleep(2.0 if chunk in (3, 4) else 0.05)
        return chunk

    began_s = time.monotonic()

    results = list(LocalExecutor(1, 0.3, has_workers=has_workers).map(hangs, range(12), running))

    assert [result for result in results if not isinstance(result, LostChunk)] == [0, 1, 2, *range(5, 12)]
    assert results[3:5] == [LostChunk("not done after 0.3 s", 3), LostChunk("not done after 0.3 s", 4)]
    assert time.monotonic() - began_s < 1.9


@pytest.mark.slow
def test_later_hanging_chunks_do_not_delay_the_others() -> None:
    def hangs(chunk: int) -> int:
        time.sleep(20.0 if chunk < 5 else 0.01)
        return chunk

    engine = LocalExecutor(1, 1.0)
    assert list(engine.map(hangs, [0], running)) == [LostChunk("not done after 1 s", 0)]
    began_s = time.monotonic()

    results = list(engine.map(hangs, range(1, 10), running))

    assert results == [LostChunk("not done after 1 s", 0)] * 4 + [5, 6, 7, 8, 9]
    assert time.monotonic() - began_s < 3.5, "one after the other they would take four seconds"


def test_after_a_stop_a_chunk_ends_with_its_current_file() -> None:
    asked = threading.Event()

    def files(chunk: int) -> list[int]:
        read = []
        for file in range(50):
            if worker_main.is_cancelled():
                break
            worker_main.begin_page(file)
            time.sleep(0.1)
            asked.set()
            read.append(file)
        return read

    began_s = time.monotonic()
    (read,) = LocalExecutor(1, 60.0).map(files, range(2), asked.is_set)

    assert 1 <= len(read) < 5
    assert time.monotonic() - began_s < 2.0


def test_after_a_stop_results_after_a_hanging_chunk_are_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.pipeline.chunk_queue.STOP_GRACE_S", 0.3)
    done = threading.Event()

    def first_hangs(chunk: int) -> int:
        if chunk == 0:
            time.sleep(3.0)
        done.set()
        return chunk

    results = list(LocalExecutor(2, 60.0).map(first_hangs, range(2), done.is_set))

    assert results == [LostChunk(), 1]


@pytest.mark.slow
def test_idle_workers_end_and_new_ones_start_on_demand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    engine = LocalExecutor(3, 60.0, has_workers=True, params=ExecutorParams(idle_s=0.2))
    before = children()
    assert len({pid for _, pid in engine.map(who, range(150), running)}) == 3

    time.sleep(1.0)
    assert children() == before

    assert len({pid for _, pid in engine.map(who, range(150), running)}) == 3
    engine.close()
    assert children() == before


@pytest.mark.slow
def test_without_workers_this_process_does_all_work(engine: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    assert {pid for _, pid in engine.map(who, range(100), running)} == {os.getpid()}


@pytest.mark.parametrize("has_workers", [False, True])
def test_a_stop_takes_effect_while_results_arrive(has_workers: bool) -> None:
    asked: list[float] = []

    def stopped() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 3

    results = list(LocalExecutor(2, 60.0, has_workers=has_workers).map(who, range(500), stopped))

    assert [chunk for chunk, _ in results] == list(range(len(results)))
    assert len(results) < 50


def test_after_a_stop_only_started_chunks_finish() -> None:
    crowd = Crowd(0.5)

    results = list(LocalExecutor(2, 60.0).map(crowd, range(20), lambda: crowd.most > 1))

    assert results == list(range(len(results)))
    assert 2 <= len(results) <= 5


@pytest.mark.parametrize(("share", "limit_s"), [(0.0, 1), (0.3, 1), (0.9, 10)])
def test_a_page_has_longer_only_while_its_thread_waits_for_a_core(
    share: float, limit_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = 0.0
    monkeypatch.setattr(chunk_queue, "time", SimpleNamespace(monotonic=lambda: clock_s))
    monkeypatch.setattr(chunk_queue, "read_core_wait", lambda thread: share * clock_s if thread == 7 else 0.0)

    def poll(slice_s: float) -> None:
        nonlocal clock_s
        clock_s += slice_s / 10
        raise multiprocessing.TimeoutError

    with pytest.raises(ChunkTimeout, match=rf"^not done after {limit_s} s$"):
        chunk_queue.call_with_timeout(poll, lambda: (0.0, 7), 1.0, StopDeadline(running))
    assert clock_s == pytest.approx(limit_s, abs=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell how long a task waits")
def test_the_waiting_time_of_a_thread_for_a_core_is_read() -> None:
    core = min(os.sched_getaffinity(0))
    words = [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"]
    children = [subprocess.Popen(words) for _ in range(2)]
    try:
        time.sleep(1.5)
        waited_s = [chunk_queue.read_core_wait(child.pid) for child in children]
        of_children_s = chunk_queue.read_core_wait(threading.get_native_id())
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert max(waited_s) > 0.3
    assert of_children_s >= sum(waited_s), "this thread waits for its children"
    assert chunk_queue.read_core_wait(children[0].pid) == 0.0, "it has ended"
