"""Map a pure function over chunks: in this thread, in several threads, or in worker processes."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from digitrec import logs
from digitrec.images.threads import count_cores
from digitrec.pipeline.chunk_queue import (
    NOT_STARTED,
    ChunkQueue,
    ChunkResult,
    ChunkTimeout,
    LostChunk,
    StopDeadline,
    call_with_timeout,
)
from digitrec.pipeline.worker_main import PageProgress, report_to
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess, may_fork


class ExecutorParams(NamedTuple):
    """Tuned constants of `LocalExecutor`, measured on two cores with scans of 28 pixels and pages of A4 size."""

    max_default_threads: int = 8
    """Upper limit of threads and worker processes if the settings name none; each process needs 100 MB."""
    min_work_s: float = 0.5
    """Minimum of work, done or left, for each fresh worker, which takes up to 0.2 s to start."""
    min_work_left_s: float = 0.3
    """Minimum of work left for a fresh worker to start."""
    min_fork_work_s: float = 0.15
    """Minimum of work left for each fork, which exists already and has some 20 ms of overhead."""
    min_chunk_s: float = 0.010
    """Minimum duration of a chunk for workers: to send it and receive its results takes up to 1 ms."""
    slow_chunk_s: float = 0.1
    """Least duration of a slow chunk. Forks read these, as Python's lock would hold up threads and each page of a
    table takes 100 MB; without forks, threads do: most of a photo or a whole page is decoding."""
    min_chunks_per_fork: int = 8
    """A fork takes 5 ms: minimum number of chunks for each process, this one included."""
    min_timed_chunks: int = 4
    """Finished chunks after which their mean duration counts."""
    min_timed_chunks_fork: int = 3
    """The same for forks; the first chunks take longer than the others, so fewer are not enough."""
    switch_interval_s: float = 0.0005
    """Thread switch interval; with Python's 5 ms a worker would wait that long for its next chunk."""
    idle_s: float = 10.0
    """Workers that wait longer for work end."""
    exit_s: float = 2.0
    """Time that a stopped worker thread has to end."""
    stuck_s: float = 5.0
    """Time at one page after which a thread or worker may be stuck."""
    max_replaced: int = 8
    """Upper limit of stuck threads and workers that are replaced, as each takes memory."""


PARAMS = ExecutorParams()

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Maps a function over chunks."""

    def map(
        self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]
    ) -> Iterator[R | LostChunk]:
        """Apply a function to every chunk; results in the order of the chunks.

        A chunk with a page that takes too long, or crashes the process that reads it, is `LostChunk`; the others go on.
        Once `stopped` returns True no chunk is started, and at the latest after `STOP_GRACE_S` what is not read is
        `LostChunk`, too; results at the end may be missing then.

        Raises:
            ChunkTimeout: this executor has failed; the results before have been yielded.
        """

    def close(self) -> None:
        """Release its resources."""


class _StopProgress(PageProgress):
    """Progress of a reader that checks by itself for a stop, as no other thread waits for it."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._stopped = stopped

    @property
    def is_cancelled(self) -> bool:
        return self._stopped()


class SerialExecutor:
    """Processes one chunk after the other, in this thread."""

    def map(
        self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]
    ) -> Iterator[R | LostChunk]:
        """See `Executor.map`; there is no timeout, and a started file is finished."""
        for chunk in chunks:
            if stopped():
                return
            report_to(_StopProgress(stopped))
            try:
                result = function(chunk)
            finally:
                report_to(None)
            yield result

    def close(self) -> None:
        """Do nothing: it has no resources."""


class LocalExecutor:
    """Execute chunks on this machine: the engines `threads` and, with `has_workers`, `processes`.

    One thread reads; slow chunks get a thread per core, as decoding and waiting release Python's lock. For small
    pictures a second thread would only cost a third more CPU (docs/dev/performance.md): there, with `has_workers`, the
    other cores read in worker processes, if there are enough chunks; a worker process stays for the next chunks.
    """

    def __init__(
        self,
        threads: int,
        timeout_s: float,
        *,
        has_workers: bool = False,
        params: ExecutorParams | None = None,
        on_read: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Start nothing yet.

        Args:
            threads: upper limit of threads and worker processes; 0: one a core.
            timeout_s: longest time of one page, seconds.
            has_workers: read in worker processes, too.
            params: tuned constants; None: `PARAMS`.
            on_read: called several times a second with the number of files read, and of all files, of unfinished maps.
        """
        self._params = params or PARAMS
        self._threads = threads or min(self._params.max_default_threads, count_cores())
        self._timeout_s = timeout_s
        self._has_workers = has_workers
        self._on_read = on_read
        self._workers: list[WorkerThread] = []
        self._forks: list[WorkerProcess] = []
        """Workers that were forked while it was safe, and may be used."""
        self._prefetched: list[ChunkQueue] = []
        """Queues whose results were not requested yet."""
        self._is_quick = False
        """The chunks of the last map were too quick for workers."""
        self._has_lost = False
        """The last map lost a chunk: its other files are read in this map."""
        self._busy_s = 0.0
        """Duration of continuous work before this map, seconds."""
        self._ended_s = 0.0

    def map(
        self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]
    ) -> Iterator[R | LostChunk]:
        """See `Executor.map`. Running workers begin at once, even before the first result is requested."""
        self._workers = [worker for worker in self._workers if worker.is_alive]
        self._fork(function, len(chunks))
        queue = ChunkQueue(function, chunks)
        self._prefetched.append(queue)
        for worker in self._workers if not self._is_quick else ():
            worker.serve(queue)
        return self._results(queue, len(chunks), StopDeadline(stopped))

    def _results(self, queue: ChunkQueue, chunks: int, deadline: StopDeadline) -> Iterator[Any]:
        if time.monotonic() - self._ended_s > self._params.idle_s:
            self._busy_s = 0.0
        self._prefetched.remove(queue)
        try:
            for place in range(chunks):
                try:
                    poll, page = partial(self._poll, queue, place, deadline), partial(queue.page, place)
                    done = call_with_timeout(poll, page, self._timeout_s, deadline)
                except ChunkTimeout as why:
                    yield queue.give_up(place, str(why))
                    continue
                if done is NOT_STARTED:
                    return  # chunks are started in order
                if done is None:
                    yield LostChunk()
                elif isinstance(done.error, WorkerCrashed):
                    yield LostChunk(str(done.error), done.error.file)
                elif done.error is not None:
                    raise done.error
                else:
                    yield done.result
        finally:
            queue.cancel()
            self._stop_forks()
            self._has_lost = queue.has_lost
            self._is_quick = (
                0 < queue.seconds_per_chunk(self._params.min_timed_chunks) * queue.max_size <= self._params.min_chunk_s
            )
            if not queue.is_done:
                self.close()  # a worker may be busy with a chunk whose result is not needed
            now_s = time.monotonic()
            self._busy_s += now_s - max(queue.began_s, self._ended_s)
            self._ended_s = now_s

    def _fork(self, function: Callable[[Any], Any], chunks: int) -> None:
        """Fork workers for the other cores, if this process has no other thread; `_poll` decides on their use."""
        existing = len(self._workers) + len(self._forks)
        limit = min(self._threads, count_cores(), chunks // self._params.min_chunks_per_fork) - 1 - existing
        if self._has_workers and limit > 0 and not self._is_quick and may_fork():
            with suppress(OSError):  # then there are no workers, or fresh ones
                for _ in range(limit):
                    process = WorkerProcess(self._timeout_s)
                    process.fork(function)
                    self._forks.append(process)

    def _stop_forks(self) -> None:
        """End the forks that got no work."""
        for process in self._forks:
            process.kill()
        while self._forks:
            self._forks.pop().stop()

    def close(self) -> None:
        """End the workers."""
        self._stop_forks()
        while self._workers:
            self._workers.pop().end()

    def _poll(self, queue: ChunkQueue, place: int, deadline: StopDeadline, slice_s: float) -> ChunkResult:
        """Return the result of the chunk at this place; start threads and workers if there is enough work for them."""
        queues = (queue, *self._prefetched)
        self._on_read(sum(chunks.count_read() for chunks in queues), sum(chunks.files for chunks in queues))
        if deadline.is_stopped():
            queue.cancel()
            return queue.result(place, slice_s)
        if queue.threads == 0:
            queue.add_thread()
        missing = self._threads + self._count_stuck(queue) - queue.size
        if missing > 0 and queue.is_slow and (queue.has_lost or not self._forks):
            for _ in range(missing):
                queue.add_thread()
        elif missing > 0 and self._has_workers and self._chunk_s(queue) > self._params.min_chunk_s:
            for worker in self._workers:
                worker.serve(queue)  # if it does not yet, as the last chunks were quick
            for _ in range(min(missing, self._useful_workers(queue))):
                worker = WorkerThread(
                    self._forks.pop() if self._forks else WorkerProcess(self._timeout_s), self._params
                )
                self._workers.append(worker)
                for chunks in queues:
                    worker.serve(chunks)
        return queue.result(place, slice_s)

    def _count_stuck(self, queue: ChunkQueue) -> int:
        """Return how many threads and workers to replace: where one page took too long, others often do, too."""
        if not (queue.has_lost or self._has_lost):
            return 0
        return min(self._params.max_replaced, queue.stuck(min(self._params.stuck_s, self._timeout_s / 10)))

    @property
    def _min_chunks(self) -> int:
        """Number of finished chunks after which their duration counts."""
        return self._params.min_timed_chunks_fork if self._forks else self._params.min_timed_chunks

    def _chunk_s(self, queue: ChunkQueue) -> float:
        """Return the mean time of a chunk, seconds; 0.0 while too few have finished, but more after a slow one."""
        return max(queue.seconds_per_chunk(self._min_chunks), self._params.slow_chunk_s if queue.is_slow else 0.0)

    def _useful_workers(self, queue: ChunkQueue) -> int:
        """Return for how many more workers there is enough to do; fresh ones start when no fork is left."""
        left_s = self._chunk_s(queue) * queue.left
        limit = count_cores() - 1 - len(self._workers)
        if self._forks:
            return min(int(left_s / self._params.min_fork_work_s) - len(self._workers), len(self._forks), limit)
        count = int((self._busy_s + left_s) / self._params.min_work_s) if left_s >= self._params.min_work_left_s else 0
        return min(count - len(self._workers), limit)


class WorkerThread:
    """A worker process and the thread that sends it chunks. Both end when no work came for a while."""

    def __init__(self, process: WorkerProcess, params: ExecutorParams = PARAMS) -> None:
        self._process = process
        self._params = params
        self._queues: SimpleQueue[ChunkQueue | None] = SimpleQueue()
        self._is_busy = self._is_stopped = False
        sys.setswitchinterval(self._params.switch_interval_s)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it is running."""
        return self._thread.is_alive()

    def serve(self, queue: ChunkQueue) -> None:
        """Start work on these chunks, unless already started; after a failure other threads process them."""
        if queue.add_worker(self):
            self._queues.put(queue)

    def end(self) -> None:
        """Stop at once, even while the process is busy."""
        self._is_stopped = True
        self._queues.put(None)
        if self._is_busy:
            self._process.kill()
        self._thread.join(self._params.exit_s)

    def _run(self) -> None:
        try:
            while (queue := self._queues.get(timeout=self._params.idle_s)) is not None:
                self._work(queue)
        except Empty:
            pass
        except OSError as why:
            if not self._is_stopped:
                logs.warning("no worker process can be started, this process reads alone", why=why)
        finally:
            self._process.stop()

    def _work(self, queue: ChunkQueue) -> None:
        self._is_busy = True
        try:
            if self._process.prepare(queue.function, self._stopped) is not None:
                queue.work(partial(self._call, queue.function), self._process.progress, self._stopped)
        finally:
            self._is_busy = False
            queue.remove_worker()

    def _call(self, function: Callable[[Any], Any], chunk: Any) -> Any:
        try:
            result = self._process.call(function, chunk, self._stopped)
        except WorkerCrashed:
            if not self._is_stopped:
                raise
            result = None
        return LostChunk() if self._is_stopped and result is None else result

    def _stopped(self) -> bool:
        return self._is_stopped
