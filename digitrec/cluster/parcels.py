"""What is sent to a worker, and what the worker does with it: many chunks in one parcel, the model only once.

A parcel holds a function and its chunks as bytes. Where a chunk names a reader of pages, only the digest of that reader
is put in: the reader goes to each worker once, and stays in its memory.
"""

import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import cloudpickle

from digitrec import one_thread
from digitrec.cluster import likeness
from digitrec.cluster.likeness import Likeness
from digitrec.errors import WorkerMismatch
from digitrec.executor import LocalExecutor
from digitrec.recognition.page_reader import PageReader

_MOST_READERS = 4
"""A worker keeps so many: several coordinators may use it, and models change."""


class SentReader(NamedTuple):
    """A reader of pages with its networks, as bytes."""

    digest: str
    """sha256 of the content, as the coordinator made it."""
    content: bytes


class Parcel(NamedTuple):
    """Work for one worker."""

    content: bytes
    timeout_s: float
    """Longest that one chunk may take, seconds."""
    likeness: Likeness
    """Of the coordinator."""
    inbox: str = ""
    """The folder that is read from, if it is a folder."""


class Done(NamedTuple):
    """What became of a parcel: the results of its first chunks, all of them unless one failed."""

    results: list[Any]
    failure: Exception | None


def send(reader: PageReader) -> SentReader:
    """A reader as it is sent."""
    content = pickle.dumps(reader)
    return SentReader(hashlib.sha256(content).hexdigest(), content)


def pack(function: Callable[..., object], chunks: Iterable[object], name_of: Callable[[PageReader], str]) -> bytes:
    """A function and its chunks as bytes; in the place of each reader stands its name."""
    content = io.BytesIO()
    _Packer(content, name_of).dump((function, list(chunks)))
    return content.getvalue()


def work(parcel: Parcel, readers: Sequence[SentReader]) -> Done:
    """Do the work of a parcel; runs on a worker.

    Raises:
        WorkerMismatch: this worker would read otherwise, or got another model than was sent.
    """
    likeness.require(_name(), likeness.here(parcel.inbox), parcel.likeness)  # one that came late was never asked
    loaded = {sent.digest: _loaded(sent) for sent in readers}
    function, chunks = _Unpacker(io.BytesIO(parcel.content), loaded).load()
    results: list[Any] = []
    try:
        # A thread of its own: a file that hangs is noticed, as it is without a cluster.
        for result in LocalExecutor(1, parcel.timeout_s).map(function, chunks, lambda: False):
            results.append(result)
    except Exception as why:  # noqa: BLE001 - it is raised again by the coordinator, after the results before it
        return Done(results, why)
    return Done(results, None)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, name_of: Callable[[PageReader], str]) -> None:
        super().__init__(file)
        self._name_of = name_of

    def persistent_id(self, thing: object) -> str | None:
        return self._name_of(thing) if isinstance(thing, PageReader) else None


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, readers: dict[str, PageReader]) -> None:
        super().__init__(file)
        self._readers = readers

    def persistent_load(self, name: str) -> PageReader:
        return self._readers[name]


_readers: dict[str, PageReader] = {}
_loading = threading.Lock()


def _loaded(sent: SentReader) -> PageReader:
    """The reader, started once in this process.

    Raises:
        WorkerMismatch: what arrived is not what was sent.
    """
    with _loading:
        if sent.digest not in _readers:
            found = hashlib.sha256(sent.content).hexdigest()
            if found != sent.digest:
                raise WorkerMismatch(f"model {found[:16]} arrived at worker {_name()}, and {sent.digest[:16]} was sent")
            one_thread.load()
            while len(_readers) >= _MOST_READERS:
                del _readers[next(iter(_readers))]
            # It came over the line that every task comes over: who could change it could send code of his own.
            _readers[sent.digest] = pickle.loads(sent.content)  # noqa: S301
        return _readers[sent.digest]


def _name() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:  # no worker: a test
        return "in this process"
