"""Batches of chunks for the workers of a cluster, and their execution.

A batch is a pickled function with its chunks, in which a digest stands for each page reader: a reader is sent to each
worker once, and stays in its memory. A worker refuses work if its program, libraries or inbox differ from those of the
coordinator.
"""

import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

import digitrec
from digitrec.errors import WorkerMismatch
from digitrec.images import threads
from digitrec.pipeline.executor import LocalExecutor
from digitrec.recognition.reader import PageReader
from digitrec.storage import folder_id
from digitrec.types import PREPROCESSING_VERSION

LIBRARIES = ("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "pillow-heif", "pypdfium2", "simplejpeg")
"""Libraries that decode and compute: another version may round differently, which changes answers."""
OTHER_READERS = ("onnxruntime", "rapidocr")
"""Libraries of other readers, which are optional."""
_ABSENT = "not installed"

WorkerFingerprint = Mapping[str, str]
"""Versions of everything that decides on an answer, by name."""


def fingerprint(inbox: str = "", *, asks_others: bool = True) -> WorkerFingerprint:
    """Return the fingerprint of this process.

    Args:
        inbox: the folder it would read from; "" if there is none.
        asks_others: include other readers that are installed.
    """
    versions = {"digitrec": digitrec.__version__, "recipe": str(PREPROCESSING_VERSION)} | {
        name: _get_version(name) for name in LIBRARIES
    }
    if asks_others:
        others = {name: _get_version(name) for name in OTHER_READERS}
        versions |= {name: version for name, version in others.items() if version != _ABSENT}
    return versions | {inbox: _identify_folder(Path(inbox))} if inbox else versions


def fingerprint_query(inbox: str = "") -> Callable[[], WorkerFingerprint]:
    """Return a function that returns the fingerprint of its process; to receive it takes no digitrec."""
    module = __name__

    def ask() -> WorkerFingerprint:
        from importlib import import_module

        try:
            answer: WorkerFingerprint = import_module(module).fingerprint(inbox)
        except ImportError as why:  # not installed, or a version without this module
            return {"digitrec": f"not usable ({why})"}
        return answer

    return ask  # not a function of the module: it is sent as code, so that digitrec is not needed to receive it


def check_same(worker: str, theirs: WorkerFingerprint, ours: WorkerFingerprint) -> None:
    """Refuse a worker that may give other answers.

    Args:
        worker: its name or address, for the message.
        theirs: its fingerprint.
        ours: of the process that would send it work.

    Raises:
        WorkerMismatch: they differ.

    >>> check_same("tcp://10.0.0.7:40001", {"recipe": "4"}, {"recipe": "5"})
    Traceback (most recent call last):
    digitrec.errors.WorkerMismatch: worker tcp://10.0.0.7:40001 does not match: recipe is 4 there and 5 here
    Every worker needs the same digitrec and locked packages, and the inbox at the same path.
    """
    if theirs.get("digitrec", "").startswith("not usable"):
        raise WorkerMismatch(f"worker {worker} does not match: digitrec is {theirs['digitrec']} there")
    other = [name for name in ours if theirs.get(name, _ABSENT) != ours[name]]
    if other:
        differences = ", ".join(f"{name} is {theirs.get(name, _ABSENT)} there and {ours[name]} here" for name in other)
        raise WorkerMismatch(f"worker {worker} does not match: {differences}")


_MAX_READERS = 4
"""Readers that a worker keeps: several coordinators may use it, and models change."""


class SerializedReader(NamedTuple):
    """A page reader with its networks, pickled."""

    digest: str
    """sha256 of the content, computed by the coordinator."""
    content: bytes


class TaskBatch(NamedTuple):
    """A function and its chunks for one worker."""

    content: bytes
    timeout_s: float
    """Longest that one chunk may take, seconds."""
    fingerprint: WorkerFingerprint
    """Fingerprint of the coordinator."""
    inbox: str = ""
    """The folder of the files; "" for a store."""


class TaskResult(NamedTuple):
    """Results of the first chunks of a batch: of all of them unless one failed."""

    results: list[Any]
    failure: Exception | None


def serialize(reader: PageReader) -> SerializedReader:
    """Pickle a reader, with its digest."""
    content = pickle.dumps(reader)
    return SerializedReader(hashlib.sha256(content).hexdigest(), content)


def pack(function: Callable[..., object], chunks: Iterable[object], name_of: Callable[[PageReader], str]) -> bytes:
    """Pickle a function and its chunks, each reader replaced by its name."""
    content = io.BytesIO()
    _Packer(content, name_of).dump((function, list(chunks)))
    return content.getvalue()


def run_batch(batch: TaskBatch, readers: Sequence[SerializedReader]) -> TaskResult:
    """Apply the function of a batch to its chunks; runs on a worker.

    Raises:
        WorkerMismatch: this worker does not match, or received another model than was sent.
    """
    check_same(
        _get_worker_name(), fingerprint(batch.inbox), batch.fingerprint
    )  # a worker that joined late was never checked
    loaded = {sent.digest: _load_reader(sent) for sent in readers}
    function, chunks = _Unpacker(io.BytesIO(batch.content), loaded).load()
    results: list[Any] = []
    try:
        # In a separate thread, so that a hanging file causes a timeout as without a cluster.
        for result in LocalExecutor(1, batch.timeout_s).map(function, chunks, lambda: False):
            results.append(result)
    except Exception as why:  # noqa: BLE001 - it is raised again by the coordinator, after the results before it
        return TaskResult(results, why)
    return TaskResult(results, None)


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, name_of: Callable[[PageReader], str]) -> None:
        super().__init__(file)
        self._name_of = name_of

    def persistent_id(self, item: object) -> str | None:
        return self._name_of(item) if isinstance(item, PageReader) else None


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, readers: dict[str, PageReader]) -> None:
        super().__init__(file)
        self._readers = readers

    def persistent_load(self, name: str) -> PageReader:
        return self._readers[name]


_readers: dict[str, PageReader] = {}
_loading = threading.Lock()


def _load_reader(sent: SerializedReader) -> PageReader:
    """Return the reader, started once in this process.

    Raises:
        WorkerMismatch: the content does not have its digest.
    """
    with _loading:
        if sent.digest not in _readers:
            digest = hashlib.sha256(sent.content).hexdigest()
            if digest != sent.digest:
                raise WorkerMismatch(
                    f"model {digest[:16]} arrived at worker {_get_worker_name()}, and {sent.digest[:16]} was sent"
                )
            threads.import_opencv()
            while len(_readers) >= _MAX_READERS:
                del _readers[next(iter(_readers))]
            # Received over the connection of all tasks: anyone who can change it can send code directly.
            _readers[sent.digest] = pickle.loads(sent.content)  # noqa: S301
        return _readers[sent.digest]


def _get_worker_name() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:  # in a test
        return "in this process"


def _identify_folder(folder: Path) -> str:
    """Identify a folder among others mounted at the same path."""
    try:
        return f"folder {folder_id.read_id(folder)}"
    except OSError as why:
        return f"not readable ({why.strerror})"


def _get_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _ABSENT
