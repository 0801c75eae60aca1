"""Map a function over chunks on a Dask cluster. Only this process writes files; workers read and return results."""

import itertools
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from distributed import Client, Future, KilledWorker, Security

from digitrec import logs
from digitrec.errors import EnvironmentFailure, SettingsError
from digitrec.pipeline import task_batch
from digitrec.pipeline.chunk_queue import STOP_GRACE_S, ChunkTimeout
from digitrec.pipeline.task_batch import SerializedReader, TaskBatch, TaskResult

if TYPE_CHECKING:
    from digitrec.recognition.reader import PageReader


class DaskParams(NamedTuple):
    """Tuned constants of `DaskExecutor`."""

    min_chunks: int = 16
    max_chunks: int = 64
    """Chunks in one batch. A chunk of the pipeline is 16 small files: a batch holds 256 to 1,024 of them."""
    batches_per_thread: int = 4
    """Approximate number of batches for each thread of every worker, so that the last ones end together."""
    prefetch: int = 2
    """Batches for each thread that are sent ahead, so that no thread waits for this process."""
    connect_s: float = 8.0
    """Longest wait for an answer of the scheduler, seconds."""
    close_s: float = 2.0
    """Longest wait for a disconnection, seconds."""
    slice_s: float = 0.25
    """Interval of checks for a stop and for timeouts, seconds."""
    check_every_s: float = 2.0
    """Interval of checks for workers, seconds."""
    no_workers_s: float = 30.0
    """Time without any worker after which the cluster has failed, seconds: nannies restart a worker in a few."""
    quiet_times: float = 30.0
    """Multiple of `timeout_s` without a result after which this process reads by itself."""


PARAMS = DaskParams()

_PENDING_STATES = {"pending", "lost"}
"""States of a batch that will have results: another worker repeats those that were lost with a worker."""

_START = "Start it with `dask scheduler`, and look at --scheduler; claimed files are kept for the next run."
_REACH = (
    "Start it with `dask scheduler`. If it runs, look at --scheduler: tls://... if it uses TLS, with a certificate of "
    "its CA. Claimed files are kept for the next run."
)
_CERTIFICATES = (
    "Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, and CLIENT__CERT and CLIENT__KEY with the same prefix, to PEM files."
)
_WORKERS = "Start some with `dask worker ADDRESS`; claimed files are kept for the next run."

T = TypeVar("T")
R = TypeVar("R")


class DaskExecutor:
    """Maps over the workers of a cluster; each reads the files itself, from the same path or store."""

    def __init__(
        self,
        scheduler: str,
        timeout_s: float,
        inbox: str = "",
        params: DaskParams | None = None,
        *,
        asks_others: bool = False,
    ) -> None:
        """Connect, and compare every worker with this process.

        Args:
            scheduler: its address, `tcp://host:8786` or `tls://host:8786`.
            timeout_s: longest that one chunk may take on a worker, seconds.
            inbox: the folder of all files, which every worker must have; "" if the files are in a store.
            params: tuned constants; None: `PARAMS`.
            asks_others: another reader may be asked, which the workers need in the same version.

        Raises:
            SettingsError: the scheduler uses TLS, and Dask's settings name no usable certificate.
            EnvironmentFailure: the scheduler does not answer in time, or it has no workers.
            WorkerMismatch: a worker does not match.
        """
        logs.capture_loggers("distributed", "tornado")  # distributed gives its loggers handlers when it is imported
        self._params = params or PARAMS
        self._scheduler = scheduler
        self._timeout_s = timeout_s
        self._inbox = inbox
        self._fingerprint = task_batch.fingerprint(inbox, asks_others=asks_others)
        self._serialized: dict[int, tuple[PageReader, SerializedReader]] = {}
        self._readers: dict[str, Future] = {}
        if scheduler.startswith("tls://"):
            _check_certificates(scheduler)
        try:
            self._client = Client(scheduler, timeout=self._params.connect_s, set_as_default=False)
        except (OSError, ValueError) as why:
            raise EnvironmentFailure(
                f"the scheduler {scheduler} cannot be reached: {str(why).splitlines()[0]}", hint=_REACH
            ) from why
        try:
            self._compare()
        except BaseException:
            self.close()
            raise

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """See `Executor.map`.

        Raises:
            ChunkTimeout: a chunk took too long, or killed workers until the scheduler stopped retrying it.
            EnvironmentFailure: the scheduler or all workers are gone.
            WorkerMismatch: a worker that joined later does not match.
        """
        threads = self._threads()
        size = min(
            self._params.max_chunks,
            max(self._params.min_chunks, -(-len(chunks) // (self._params.batches_per_thread * max(1, threads)))),
        )
        waiting = iter(_split(chunks, size))
        pending: deque[Future] = deque()
        try:
            for part in itertools.islice(waiting, self._params.prefetch * max(1, threads)):
                pending.append(self._submit(function, part))
            while pending:
                result = self._wait(pending, stopped)
                if result is None:
                    return
                pending.popleft()
                for part in itertools.islice(waiting, 1):
                    pending.append(self._submit(function, part))
                yield from result.results
                if result.failure is not None:
                    raise result.failure
        finally:
            if pending and self._client.status == "running":
                self._client.cancel(list(pending))

    def close(self) -> None:
        """Disconnect from the cluster, which frees the data of this process."""
        self._readers.clear()
        self._client.close(timeout=self._params.close_s)

    def _submit(self, function: Callable[[T], R], part: Sequence[T]) -> Future:
        used: list[str] = []
        content = task_batch.pack(function, part, lambda reader: self._send_reader(reader, used))
        batch = TaskBatch(content, self._timeout_s, self._fingerprint, self._inbox)
        readers = [self._readers[name] for name in dict.fromkeys(used)]
        return self._client.submit(task_batch.run_batch, batch, readers, pure=False)

    def _send_reader(self, reader: "PageReader", used: list[str]) -> str:
        """Return the digest of a reader, which is sent to the workers if it was not before."""
        if id(reader) not in self._serialized:
            self._serialized[id(reader)] = reader, task_batch.serialize(reader)
        sent = self._serialized[id(reader)][1]
        if sent.digest not in self._readers:
            # The result of a task, not scattered data: when the worker that has it dies, the scheduler makes it again.
            self._readers[sent.digest] = self._client.submit(SerializedReader, *sent, pure=False)
        used.append(sent.digest)
        return sent.digest

    def _wait(self, pending: Iterable[Future], stopped: Callable[[], bool]) -> TaskResult | None:
        """Return the result of the first batch in progress; None after a stop."""
        first, *rest = pending
        checked_s = moved_s = time.monotonic()
        alone_s = stopped_s = None
        finished = sum(future.done() for future in rest)
        is_done = threading.Event()
        first.add_done_callback(lambda _: is_done.set())
        while True:
            is_done.wait(self._params.slice_s)
            is_done.clear()
            if first.status not in _PENDING_STATES:
                return self._fetch(first)
            now_s = time.monotonic()
            stopped_s = now_s if stopped_s is None and stopped() else stopped_s
            if stopped_s is not None and now_s - stopped_s >= STOP_GRACE_S:
                return None
            if finished != (count := sum(future.done() for future in rest)):
                finished, moved_s = count, now_s
            if now_s - moved_s >= self._params.quiet_times * self._timeout_s:
                raise ChunkTimeout(f"nothing came back from the cluster for {now_s - moved_s:.0f} s")
            if now_s - checked_s >= self._params.check_every_s:
                checked_s, alone_s = now_s, None if self._has_workers() else alone_s or now_s
            if alone_s is not None and now_s - alone_s >= self._params.no_workers_s:
                raise EnvironmentFailure(f"the scheduler {self._scheduler} has lost all its workers", hint=_WORKERS)

    def _fetch(self, future: Future) -> TaskResult:
        if future.status == "cancelled":
            raise self._gone("it has lost the submitted tasks")
        try:
            result: TaskResult = future.result(timeout=self._timeout_s)
        except KilledWorker as why:
            raise ChunkTimeout(f"every worker that read some of these files died: {why}") from why
        except (OSError, TimeoutError, CancelledError) as why:
            raise self._gone(str(why)) from why
        return result

    def _compare(self) -> None:
        """Compare the fingerprint of every worker with that of this process.

        Raises:
            EnvironmentFailure: there are no workers, or they do not answer.
            WorkerMismatch: a worker does not match.
        """
        fingerprints = self._query(lambda: self._client.run(task_batch.fingerprint_query(self._inbox)))
        if not fingerprints:
            raise EnvironmentFailure(f"the scheduler {self._scheduler} has no workers", hint=_WORKERS)
        for worker, theirs in fingerprints.items():
            task_batch.check_same(worker, theirs, self._fingerprint)
        logs.info("cluster joined", scheduler=self._scheduler, workers=len(fingerprints))

    def _threads(self) -> int:
        """Return how many chunks the workers can read at the same time; 0 without any worker."""
        return sum(self._query(self._client.nthreads).values())

    def _has_workers(self) -> bool:
        """Return False without workers, and while the scheduler is too busy to answer; that may pass.

        Raises:
            EnvironmentFailure: the connection was closed.
        """
        try:
            return self._threads() > 0
        except EnvironmentFailure:
            if self._client.status == "running":
                return False
            raise

    def _query(self, query: Callable[[], Any]) -> Any:
        """Return the answer of the scheduler, within the time."""
        if self._client.status != "running":
            raise self._gone("the connection was closed")
        with ThreadPool(1) as pool:  # its daemon thread does not block the exit if no answer comes
            try:
                return pool.apply_async(query).get(self._params.connect_s)
            except (multiprocessing.TimeoutError, OSError) as why:
                raise self._gone(str(why) or f"no answer within {self._params.connect_s:g} s") from why

    def _gone(self, why: str) -> EnvironmentFailure:
        return EnvironmentFailure(f"the scheduler {self._scheduler} is gone: {why}", hint=_START)


def _check_certificates(scheduler: str) -> None:
    """Raise SettingsError if Dask's settings name no usable CA, certificate and key of this client."""
    security = Security()
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as why:  # errors of ssl are OSErrors, without the path
        paths = [security.tls_ca_file, security.tls_client_cert, security.tls_client_key]
        named = ", ".join(str(path) for path in paths if path)
        raise SettingsError(
            f"the certificates for {scheduler} cannot be used ({named}): {why}", hint=_CERTIFICATES
        ) from why
    if context is None:
        raise SettingsError(f"{scheduler} needs a CA file and a certificate", hint=_CERTIFICATES)


def _split(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
