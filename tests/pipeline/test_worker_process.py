"""A process that functions are called in."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from digitrec.errors import RejectedImage
from digitrec.pipeline import read_files, worker_main
from digitrec.pipeline.worker_main import WorkerLimits, WorkerMemoryParams
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess, may_fork
from digitrec.types import Limits, Reason
from tests.conftest import reader

pytestmark = pytest.mark.slow


def running() -> bool:
    return False


@pytest.fixture
def child() -> Iterator[WorkerProcess]:
    process = WorkerProcess(20.0)
    yield process
    process.stop()


def pid(_: object) -> int:
    return os.getpid()


def rejects(_: object) -> None:
    raise RejectedImage(Reason.BLANK)


class Particular(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def particular(_: object) -> None:
    raise Particular(1, 2)


def lambda_of(_: object) -> object:
    return lambda: None


def spin(seconds: float) -> str:
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass
    return "done"


def spin_page_by_page(pages: int) -> str:
    for _ in range(pages):
        worker_main.begin_page(0)
        spin(0.6)
    return "done"


def reserve(size: int) -> int:
    return len(bytearray(size))


@pytest.fixture
def limited() -> Iterator[WorkerProcess]:
    process = WorkerProcess(60.0, WorkerLimits(cpu_s=1.0, memory=200_000_000))
    yield process
    process.stop()


def test_a_page_over_the_cpu_limit_ends_the_worker(limited: WorkerProcess) -> None:
    began_s = time.monotonic()

    with pytest.raises(WorkerCrashed, match="died"):
        limited.call(spin, 40.0, running)

    assert time.monotonic() - began_s < 30
    assert limited.call(spin_page_by_page, 5, running) == "done", "each page has its own time"


def test_a_page_over_the_memory_limit_fails(limited: WorkerProcess) -> None:
    assert limited.call(reserve, 100_000_000, running) == 100_000_000
    with pytest.raises(MemoryError):
        limited.call(reserve, 300_000_000, running)
    assert limited.call(abs, -3, running) == 3


def picture(kind: str, side: int) -> bytes:
    deep = np.zeros((side, side, 4), np.uint16)
    deep[...] = np.arange(side, dtype=np.uint16)[:, None, None]
    if kind == "png":
        return bytes(cv2.imencode(".png", deep)[1])
    image, packed = Image.fromarray(deep.astype(np.uint8)), BytesIO()
    if kind == "tiff":
        image = Image.fromarray(deep[..., 0].astype(np.float32))
    image.save(packed, kind.upper(), **({"lossless": True} if kind == "webp" else {}))
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "jpeg2000"])
def test_the_limits_leave_room_for_a_page_of_max_pixels(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_main, "PARAMS", WorkerMemoryParams(base=100_000_000))
    data, limits = picture(kind, 3000), Limits(max_pixels=9_000_000)
    read = partial(read_files.read_bytes, limits=limits, reader=reader())
    child = WorkerProcess(60.0, WorkerLimits.for_pages(limits, 60.0))
    try:
        content = child.call(read, data, running)
    finally:
        child.stop()

    assert content is not None
    assert content.rejected is None, content.detail
    assert len(content.pages) == 1


def test_an_error_has_the_traceback_of_the_worker(child: WorkerProcess) -> None:
    with pytest.raises(ValueError, match="invalid literal") as raised:
        child.call(int, "seven", running)

    assert "in _call" in raised.value.__notes__[0]


@pytest.mark.parametrize("function", [rejects, particular, lambda_of])
def test_an_unpicklable_error_or_result_is_reported(child: WorkerProcess, function: object) -> None:
    before = child.call(pid, None, running)

    with pytest.raises((RuntimeError, AttributeError, TypeError)):
        child.call(function, None, running)  # type: ignore[arg-type]

    assert child.call(pid, None, running) == before


def test_a_worker_that_died_while_idle_is_replaced(child: WorkerProcess) -> None:
    first = child.call(pid, None, running)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)

    assert child.call(pid, None, running) not in {None, first}


def test_a_stop_ends_the_wait_for_a_starting_worker(child: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digitrec.pipeline.worker_process._PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr("digitrec.pipeline.chunk_queue.STOP_GRACE_S", 0.2)
    began_s = time.monotonic()

    assert child.call(pid, None, lambda: True) is None
    assert time.monotonic() - began_s < 10


def test_nothing_is_imported_from_the_current_folder(
    child: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "json.py").write_text("import os; os._exit(7)")

    assert child.call(abs, -3, running) == 3


def test_a_missing_interpreter_is_an_os_error(child: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(OSError, match="no child process") as raised:
        child.call(abs, -3, running)
    assert raised.value.errno == errno.EAGAIN


def test_a_worker_killed_by_another_process_is_reported(child: WorkerProcess) -> None:
    child.prepare(time.sleep, running)
    threading.Timer(0.3, child.kill).start()

    with pytest.raises(WorkerCrashed):
        child.call(time.sleep, 30, running)


FORKS = """
import errno, fcntl, os, pickle, signal, sys, tempfile, threading, time
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess, may_fork
running = lambda: False

def ends(pid):
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            os.kill(pid, 0)
            if open(f"/proc/{pid}/stat").read().split()[2] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False
"""


def run_single_threaded(script: str) -> str:
    """Return the output of a process without other threads, which the test process has."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKS + script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return ended.stdout.strip()


def test_a_fork_has_inherited_state_and_sent_arguments() -> None:
    assert (
        run_single_threaded("""
assert may_fork()
child, factor = WorkerProcess(20.0), 3
times = lambda number: (os.getpid(), factor * number)  # cannot be sent
child.fork(times)
first, again = child.call(times, 7, running), child.call(times, 8, running)
assert first[0] == again[0] != os.getpid()
print(first[1], again[1], child.call(abs, -5, running), end=" ")
try:
    child.call(int, "seven", running)
except ValueError as why:
    print("invalid literal" in str(why))
child.stop()
assert ends(first[0])
""")
        == "21 24 5 True"
    )


def test_a_dead_or_hung_fork_is_replaced_by_a_fresh_interpreter() -> None:
    assert (
        run_single_threaded("""
for fatal, timeout_s in ((lambda _: os.kill(os.getpid(), signal.SIGKILL), 20.0), (lambda _: time.sleep(60), 0.2)):
    child = WorkerProcess(timeout_s)
    child.fork(fatal)
    try:
        child.call(fatal, None, running)
    except WorkerCrashed:
        child._timeout_s = 20.0
        print(child.call(abs, -5, running), end=" ")
    child.stop()
""")
        == "5 5"
    )


def test_a_fork_keeps_nothing_open_and_leaves_signals_to_its_parent() -> None:
    assert run_single_threaded("""
signal.signal(signal.SIGTERM, lambda *_: None)
with tempfile.TemporaryDirectory() as folder:
    lock = open(folder + "/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    child = WorkerProcess(20.0)
    seen = lambda _: (
        [os.readlink(path) for path in (f"/proc/self/fd/{number}" for number in range(3, 64)) if os.path.exists(path)],
        signal.getsignal(signal.SIGTERM) is signal.SIG_IGN,
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    )
    child.fork(seen)
    opened, *signals = child.call(seen, None, running)
    print([target.split(":")[0] for target in opened], *signals)
    child.stop()
    with open(folder + "/lock", "w") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("still locked")
""").splitlines() == ["['socket'] True True", "still locked"]


def test_a_busy_fork_ends_with_its_parent() -> None:
    assert (
        run_single_threaded("""
ours, theirs = os.pipe()
if os.fork() == 0:
    child = WorkerProcess(60.0)
    hangs = lambda _: time.sleep(60)
    child.fork(hangs)
    child._connection.send(None)
    os.write(theirs, str(child._process._pid).encode())
    os.kill(os.getpid(), signal.SIGKILL)
pid = int(os.read(ours, 20))
os.wait()
print(ends(pid))
""")
        == "True"
    )


def test_a_process_with_another_thread_may_not_fork() -> None:
    assert (
        run_single_threaded("""
begun, done = may_fork(), threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
between = may_fork()
done.set()
thread.join()
print(begun, between)
""")
        == "True False"
    )


def test_a_fork_decodes_documents_itself() -> None:
    assert (
        run_single_threaded("""
from digitrec.images import documents
documents.release(documents.acquire())
child = WorkerProcess(20.0)
count_documents = lambda _: (len(documents._idle), len(documents._all))
child.fork(count_documents)
print(count_documents(None), child.call(count_documents, None, running), documents.acquire().is_usable)
child.stop()
""")
        == "(1, 1) (0, 0) True"
    )


def test_a_fork_works_with_sigchld_ignored() -> None:
    assert run_single_threaded("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = WorkerProcess(20.0)
child.fork(abs)
print(child.call(abs, -5, running))
pid = child._process._pid
child.kill()
child.stop()
child.kill()
print(ends(pid))
""").split() == ["5", "True"]


def test_a_failed_fork_is_replaced_by_a_fresh_interpreter() -> None:
    assert (
        run_single_threaded("""
def refused():
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

os.fork, child = refused, WorkerProcess(20.0)
try:
    child.fork(abs)
except BlockingIOError:
    print("refused", child.call(abs, -5, running))
child.stop()
""")
        == "refused 5"
    )


def test_without_a_thread_count_no_process_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_list(_: str) -> list[str]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/self/task")

    monkeypatch.setattr(os, "listdir", fail_to_list)

    assert not may_fork()
