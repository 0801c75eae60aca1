"""Code that runs in a worker process: report progress, keep the limits, answer calls until the parent has ended."""

import gc
import math
import mmap
import os
import pickle
import resource
import signal
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from digitrec.types import Limits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class PageProgress:
    """Position of a reader in its chunk: written by the reader, read by the thread that waits for it.

    With shared memory they may be two processes.
    """

    _PAGE = struct.Struct("=dqq")  # start of the page on the system-wide monotonic clock, its file, and its thread
    SIZE = _PAGE.size + 1  # and whether the reader is cancelled, which the waiting side writes

    def __init__(self, memory: bytearray | mmap.mmap | None = None, on_page: Callable[[], None] = lambda: None) -> None:
        """Begin without a page in progress.

        Args:
            memory: `SIZE` bytes; by default those of this process alone.
            on_page: called at the beginning of every page.
        """
        self._memory = bytearray(self.SIZE) if memory is None else memory
        self._on_page = on_page
        if memory is None:
            self.clear()

    def clear(self) -> None:
        """Note that no page is in progress, so none can take too long."""
        self._PAGE.pack_into(self._memory, 0, math.inf, 0, 0)
        self._memory[self.SIZE - 1] = 0

    def begin(self, file: int) -> None:
        """Note that a page of this file begins."""
        self._on_page()
        self._PAGE.pack_into(self._memory, 0, time.monotonic(), file, threading.get_native_id())

    def cancel(self) -> None:
        """Ask the reader to begin no other file."""
        self._memory[self.SIZE - 1] = 1

    @property
    def page(self) -> tuple[float, int]:
        """Start of the page, and the id of the thread that reads it, 0 if none is in progress."""
        since_s, _, thread = self._PAGE.unpack_from(self._memory)
        return float(since_s), int(thread)

    @property
    def since_s(self) -> float:
        """Start of the page, monotonic seconds; infinite if none is in progress."""
        return float(self._PAGE.unpack_from(self._memory)[0])

    @property
    def file(self) -> int:
        """Position in the chunk of the file that is being read."""
        return int(self._PAGE.unpack_from(self._memory)[1])

    @property
    def is_cancelled(self) -> bool:
        """Whether no other file should be started."""
        return self._memory[self.SIZE - 1] != 0


_thread = threading.local()


def report_to(progress: PageProgress | None) -> None:
    """Set where `begin_page` of this thread reports."""
    _thread.progress = progress


def begin_page(file: int) -> None:
    """Report that a page of this file of the chunk begins; its time is counted from now."""
    progress: PageProgress | None = getattr(_thread, "progress", None)
    if progress is not None:
        progress.begin(file)


def is_cancelled() -> bool:
    """Return True once this thread should begin no other file."""
    progress: PageProgress | None = getattr(_thread, "progress", None)
    return progress is not None and progress.is_cancelled


class NewFunction(NamedTuple):
    """The function to call from now on."""

    call: Callable[[Any], Any]


class CallResult(NamedTuple):
    """The result of a call, or its error."""

    result: Any
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Resources that a worker process may use for one page."""

    cpu_s: float
    """Processor time, seconds."""
    memory: int
    """Address space, bytes, beside what it has when its function is loaded."""

    @classmethod
    def for_pages(cls, limits: Limits, cpu_s: float) -> Self:
        """Return limits that leave room for a page of `max_pixels` in every format."""
        return cls(cpu_s, PARAMS.base + PARAMS.per_byte * limits.max_bytes + PARAMS.per_pixel * limits.max_pixels)


class WorkerMemoryParams(NamedTuple):
    """Address space that a worker process may use for a page, bytes."""

    base: int = 1_000_000_000
    """For everything but the file and its pixels."""
    per_byte: int = 4
    """For each byte of the largest file."""
    per_pixel: int = 48
    """For each pixel of the largest page. Peaks of 24 kinds of pictures of 25 megapixels: 42 for a PNG with four
    channels of 16 bits, 21 for a TIFF with floating point numbers, 18 for a WebP."""


PARAMS = WorkerMemoryParams()


def run_worker(connection: int, memory: int, limits: tuple[float, int] | None) -> None:
    """Answer calls until the connection is closed; the main function of a fresh interpreter.

    Args:
        connection: descriptor of the connection.
        memory: descriptor of the memory of the `PageProgress`.
        limits: fields of `WorkerLimits`.
    """
    from multiprocessing.connection import Connection

    from digitrec.images import threads

    _die_with_parent()
    threads.import_opencv()
    worker_limits = WorkerLimits(*limits) if limits else None
    on_page = partial(_limit_cpu, worker_limits) if worker_limits else _set_no_limit
    report_to(PageProgress(mmap.mmap(memory, PageProgress.SIZE), on_page))
    _answer_calls(Connection(connection), str, worker_limits)


def run_forked_worker(
    connection: "Connection", progress: PageProgress, function: Callable[[Any], Any], parent: int
) -> None:
    """Answer calls in a fork, which keeps nothing open but its connection: it owns neither ledger nor lock."""
    gc.freeze()  # inherited objects stay as they are: a collection would copy their pages, and may close files
    _die_with_parent()
    if os.getppid() == parent:  # else it died before `_die_with_parent`
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor > 2 and descriptor != connection.fileno():
                with suppress(OSError):  # the descriptor that the folder was read with
                    os.close(descriptor)
        report_to(progress)
        _answer_calls(connection, function)


def _set_no_limit() -> None:
    """Let a page use any processor time."""


def _limit_cpu(limits: WorkerLimits) -> None:
    """Limit the processor time of the page that begins; beyond it the system ends the process."""
    _set_limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + limits.cpu_s))


def _limit_memory(limits: WorkerLimits) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # macOS has neither this nor the limit
        pages = int(statm.read_text().split()[0])
        _set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits.memory)
    _set_limit(resource.RLIMIT_CORE, 0)  # no core dump of so much memory


def _set_limit(kind: int, value: int) -> None:
    """Set a soft limit, never beyond the hard one; children of this process may set others."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, even while it hangs."""
    import ctypes

    if hasattr(libc := ctypes.CDLL(None), "prctl"):  # Linux
        libc.prctl(1, signal.SIGKILL)


def _answer_calls(connection: "Connection", function: Callable[[Any], Any], limits: WorkerLimits | None = None) -> None:
    """Call the last received function with each received argument."""
    with suppress(EOFError, OSError):  # the parent has ended, or has closed the connection
        while True:
            message = connection.recv()
            if isinstance(message, NewFunction):
                function = message.call
                if limits is not None:
                    _limit_memory(limits)  # now that all is loaded
                connection.send(CallResult(None))
            else:
                begin_page(0)
                connection.send_bytes(_call(function, message))


def _call(function: Callable[[Any], Any], argument: object) -> bytes:
    """Return the pickled result; an error has its traceback as a note, and becomes text if it cannot be pickled."""
    try:
        return pickle.dumps(CallResult(function(argument)))
    except Exception as why:  # noqa: BLE001 - it is raised again in the parent
        why.add_note(f"In the child process:\n{traceback.format_exc()}")
        try:
            content = pickle.dumps(CallResult(None, why))
            pickle.loads(content)  # noqa: S301 - our own
        except Exception:  # noqa: BLE001 - its class may raise any error
            content = pickle.dumps(CallResult(None, RuntimeError("".join(traceback.format_exception(why)))))
        return content
