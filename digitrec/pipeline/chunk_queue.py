"""Queue of the chunks of one map for its threads and worker processes, and timeouts for the results."""

import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from digitrec.pipeline.worker_main import PageProgress, report_to

STOP_GRACE_S = 3.0
"""After a stop, chunks in progress have this long to finish, seconds."""
_SLICE_S = 0.1
"""Interval of checks for a stop and for timeouts, seconds."""
_STARVED_SHARE = 0.5
"""A page has longer if its thread, or a decoder, waited for a core for a larger share of the time."""
_MAX_TIMES = 10

R = TypeVar("R")


class ChunkTimeout(Exception):
    """A page took longer than it may, or ended the process that read it."""


@dataclass(frozen=True, slots=True)
class LostChunk:
    """Takes the place of the result of a chunk that was not read completely."""

    why: str = ""
    """Empty after a stop, which no file caused."""
    file: int | None = None
    """Position in the chunk of the file that was being read; None if it is not known."""


class ChunkResult(NamedTuple):
    """Result or error of the chunk at a place."""

    place: int
    at_s: float
    result: Any
    error: Exception | None = None


NOT_STARTED = ChunkResult(-1, 0.0, None)
"""The chunk was not started, and will not be."""


class ChunkQueue:
    """Chunks of one map; each thread or worker takes the next one as soon as it has finished one."""

    def __init__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> None:
        self.function = function
        self.size = self.max_size = self.threads = 0
        self._workers: list[object] = []
        self.is_slow = False
        """No chunk finished in the time of a quick one: 16 scans take 20 ms, eight A4 pages 160."""
        self.began_s = self._last_s = time.monotonic()
        self._waiting = enumerate(chunks)
        self._started = 0
        self._in_progress: dict[int, PageProgress] = {}
        self._given_up: set[int] = set()
        """Places of chunks whose late results are ignored."""
        self.left = len(chunks)
        """Number of chunks without a result."""
        self.files = sum(map(_count_files, chunks))
        """Number of files of all chunks."""
        self._files_read = 0
        """Number of files of the chunks that were finished."""
        self._lock = threading.Lock()
        self._is_over = False
        self._finished: SimpleQueue[ChunkResult] = SimpleQueue()
        self._results: dict[int, ChunkResult] = {}
        self._count = 0

    def add_thread(self) -> None:
        """Start a thread; as a daemon, it does not keep the process from ending if it hangs in a decoder."""
        self._join()
        self.threads += 1
        threading.Thread(target=self._work_in_thread, daemon=True).start()

    def add_worker(self, worker: object) -> bool:
        """Count a worker that works on these chunks; False if it is counted already."""
        if worker in self._workers:
            return False
        self._workers.append(worker)
        self._join()
        return True

    def remove_worker(self) -> None:
        """Count a worker or thread less."""
        with self._lock:
            self.size -= 1

    def _join(self) -> None:
        with self._lock:
            if self._started == 0 and self.size == 0:
                self.began_s = self._last_s = time.monotonic()
            self.size += 1
            self.max_size = max(self.max_size, self.size)

    def _work_in_thread(self) -> None:
        progress = PageProgress()
        report_to(progress)

        def start(chunk: Any) -> Any:
            progress.begin(0)
            return self.function(chunk)

        self.work(start, progress)

    def work(
        self, function: Callable[[Any], Any], progress: PageProgress, ended: Callable[[], bool] = lambda: False
    ) -> None:
        """Process chunk after chunk in this thread.

        Args:
            function: applied to each chunk.
            progress: where the function reports its pages.
            ended: returns True once no other chunk is to be started here.
        """
        while not ended():
            with self._lock:
                place, chunk = (-1, None) if self._is_over else next(self._waiting, (-1, None))
                if place < 0:
                    return
                self._started = max(self._started, place + 1)
                progress.clear()
                self._in_progress[place] = progress
            try:
                result, error = function(chunk), None
            except Exception as why:  # noqa: BLE001 - it is raised again where the results are taken
                result, error = None, why
            with self._lock:
                self._in_progress.pop(place, None)
                self._files_read += _count_files(chunk)
            self._finished.put(ChunkResult(place, time.monotonic(), result, error))

    def result(self, place: int, slice_s: float) -> ChunkResult:
        """Return the result of the chunk at this place; multiprocessing.TimeoutError if there is none yet."""
        if self._is_over and place >= self._started:
            return NOT_STARTED
        while place not in self._results:
            try:
                done = self._finished.get(timeout=slice_s)
            except Empty:
                self.is_slow = True
                raise multiprocessing.TimeoutError from None
            if done.place not in self._given_up:
                self._results[done.place] = done
                self._note(done.at_s)
        return self._results.pop(place)

    def stuck(self, after_s: float) -> int:
        """Return how many threads and workers have read one page for longer than this, seconds."""
        until_s = time.monotonic() - after_s
        with self._lock:
            return sum(progress.since_s < until_s for progress in self._in_progress.values())

    def count_read(self) -> int:
        """Return the number of files that were read, those of chunks in progress included."""
        with self._lock:
            return self._files_read + sum(progress.file for progress in self._in_progress.values())

    @property
    def has_lost(self) -> bool:
        """Return True if a chunk was given up."""
        return bool(self._given_up)

    def page(self, place: int) -> tuple[float, int]:
        """Return when the current page of the chunk at this place began, monotonic seconds, and its thread's id."""
        with self._lock:
            progress = self._in_progress.get(place)
        return (math.inf, 0) if progress is None else progress.page

    def give_up(self, place: int, why: str) -> LostChunk:
        """Stop waiting for the chunk at this place; a thread may be started to replace the stuck one."""
        with self._lock:
            progress = self._in_progress.pop(place, None)
            self._given_up.add(place)
            self.size -= 1
        self._note(time.monotonic())
        return LostChunk(why, None if progress is None else progress.file)

    def _note(self, at_s: float) -> None:
        self._last_s = max(self._last_s, at_s)
        self.left -= 1
        self._count += 1

    def seconds_per_chunk(self, min_chunks: int) -> float:
        """Return the mean time of a chunk, seconds; 0.0 while fewer than `min_chunks` are done."""
        return (self._last_s - self.began_s) / self._count if self._count >= min_chunks else 0.0

    @property
    def is_done(self) -> bool:
        """Return True if every started chunk has finished."""
        return self._started == self._count

    def cancel(self) -> None:
        """Start no other chunk, and no other file of those in progress."""
        with self._lock:
            self._is_over = True
            for progress in self._in_progress.values():
                progress.cancel()


def _count_files(chunk: object) -> int:
    return len(chunk) if isinstance(chunk, Sized) else 1


class StopDeadline:
    """After a stop, lets chunks in progress finish for `STOP_GRACE_S`."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._checked_s = -_SLICE_S
        self._since_s: float | None = None

    def is_stopped(self) -> bool:
        """Return True after a stop; calls `stopped` once a slice, as each call is a heartbeat, too."""
        now_s = time.monotonic()
        if self._since_s is None and now_s - self._checked_s >= _SLICE_S:
            self._checked_s = now_s
            self._since_s = now_s if self._stopped() else None
        return self._since_s is not None

    def is_spent(self) -> bool:
        """Return True once the grace period is over."""
        return self.is_stopped() and self._since_s is not None and time.monotonic() - self._since_s >= STOP_GRACE_S


def call_with_timeout(
    poll: Callable[[float], R], page: Callable[[], tuple[float, int]], timeout_s: float, deadline: StopDeadline
) -> R | None:
    """Return the result of `poll`; None if the deadline passes before.

    Args:
        poll: waits for the given number of seconds, then raises `multiprocessing.TimeoutError`.
        page: returns when the current page began, monotonic seconds, and the id of the thread that reads it.
        timeout_s: longest time of one page, seconds; ten times as much while its thread waits for a core.
        deadline: checked in every slice.

    Raises:
        ChunkTimeout: a page takes longer.
    """
    clock = _PageClock(timeout_s)
    while True:
        try:
            return poll(0.0 if deadline.is_spent() else _SLICE_S)
        except multiprocessing.TimeoutError:
            if deadline.is_spent():
                return None
            if clock.is_over(*page()):
                raise ChunkTimeout(f"not done after {clock.limit_s:g} s") from None


class _PageClock:
    """Time limit of a page; longer while its thread waits for a core, as no file causes that."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = self.limit_s = timeout_s
        self._began_s = math.nan
        self._checked: tuple[float, float] | None = None
        """When the waiting time was read, and that time, seconds."""

    def is_over(self, began_s: float, thread: int) -> bool:
        """Return True if the page that began then, monotonic seconds, takes too long."""
        if began_s != self._began_s:
            self._began_s, self.limit_s, self._checked = began_s, self._timeout_s, None
        now_s = time.monotonic()
        if self._checked is None and now_s - began_s >= self.limit_s / 2:
            self._checked = now_s, read_core_wait(thread)
        if self._checked is None or now_s - began_s < self.limit_s:
            return False
        checked_s, before_s = self._checked
        self._checked = now_s, read_core_wait(thread)
        is_starved = self._checked[1] - before_s > _STARVED_SHARE * (now_s - checked_s)
        if not is_starved or self.limit_s >= _MAX_TIMES * self._timeout_s:
            return True
        self.limit_s += self._timeout_s
        return False


def read_core_wait(thread: int) -> float:
    """Return how long a thread of any process, and the children that decode for it, had no core to run on, seconds.

    0.0 where nothing tells: the thread has ended, or this is not Linux.
    """
    try:
        status = Path(f"/proc/{thread}/status").read_text("utf-8", "replace")
        process = status.partition("\nTgid:")[2].split()[0]
        return _read_wait(Path(f"/proc/{thread}")) + sum(map(_read_wait, _list_children(process)))
    except (OSError, IndexError, ValueError):
        return 0.0


def _list_children(process: str) -> Iterator[Path]:
    """Yield the folders of the children of a process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it has ended
            if (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1] == process:
                yield folder


def _read_wait(folder: Path) -> float:
    """Return how long a thread was ready to run and had no core, seconds; the first field is how long it ran."""
    return int((folder / "schedstat").read_text("ascii").split()[1]) / 1e9
