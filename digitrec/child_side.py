"""Answer the calls of `child.Child` in the child process, within its limits, until the parent is gone."""

import gc
import math
import mmap
import os
import pickle
import resource
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Self

from digitrec import patience
from digitrec.patience import Mark
from digitrec.records import Limits


class Function(NamedTuple):
    """The function that is called from now on."""

    call: Callable[[Any], Any]


class Answer(NamedTuple):
    """The result of a call, or its error."""

    result: Any
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a child may use for one page."""

    cpu_s: float
    """Processor time, seconds."""
    memory: int
    """Address space, bytes, beside what it has when its function is loaded."""

    @classmethod
    def for_pages(cls, limits: Limits, cpu_s: float) -> Self:
        """Return what leaves room for a page of `max_pixels` in every format.

        A pixel takes up to 42 bytes while it is read: of a PNG with four channels of 16 bits; of a WebP 18, of a TIFF
        with floating point numbers 21 (24 kinds of pictures of 25 megapixels, peak of the address space).
        """
        return cls(cpu_s, _MEMORY + _BY_BYTE * limits.max_bytes + _BY_PIXEL * limits.max_pixels)


_MEMORY, _BY_BYTE, _BY_PIXEL = 1_000_000_000, 4, 48


def serve(number: int, shared: int, limits: tuple[float, int] | None) -> None:
    """Answer what comes over a connection until it is closed. Runs in the child.

    Args:
        number: the descriptor of the connection.
        shared: the descriptor of the memory of the mark.
        limits: the fields of an `Allowance`.
    """
    from digitrec import one_thread

    _die_with_parent()
    one_thread.load()
    allowance = Allowance(*limits) if limits else None
    mark = Mark(mmap.mmap(shared, Mark.SIZE), partial(_limit_cpu, allowance) if allowance else _unlimited)
    patience.use(mark)
    _answer(Connection(number), str, allowance)


def _unlimited() -> None:
    """Set no limit."""


def _limit_cpu(allowance: Allowance) -> None:
    """Let the page that begins use so much more processor time; beyond it the system ends the process."""
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + allowance.cpu_s))


def _limit_memory(allowance: Allowance) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + allowance.memory)
    _limit(resource.RLIMIT_CORE, 0)  # a copy of so much memory is of no use to anybody


def _limit(what: int, most: int) -> None:
    """Set a soft limit, never beyond the hard one; children of this process may set others."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def serve_as_fork(line: Connection, mark: Mark, function: Callable[[Any], Any], parent: int) -> None:
    """The same in a fork, which keeps nothing that is open but its connection: neither ledger nor lock is its own."""
    gc.freeze()  # what came along stays as it is: else it is copied to be looked at, and may close what is not its own
    _die_with_parent()
    if os.getppid() == parent:  # else it died before it could take us along
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != line.fileno():
                with suppress(OSError):  # it was the one that the folder was read with
                    os.close(number)
        patience.use(mark)
        _answer(line, function)


def _die_with_parent() -> None:
    """Even while hanging."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _answer(line: Connection, function: Callable[[Any], Any], allowance: Allowance | None = None) -> None:
    """Answer what comes with the function that came last."""
    with suppress(EOFError, OSError):  # the parent is gone, or needs us no more
        while True:
            told = line.recv()
            if isinstance(told, Function):
                function = told.call
                if allowance is not None:
                    _limit_memory(allowance)  # now that all is loaded
                line.send(Answer(None))
            else:
                patience.begin_page(0)
                line.send_bytes(_answered(function, told))


def _answered(function: Callable[[Any], Any], told: object) -> bytes:
    """The answer as it is sent: an error with the place where it happened, and in words if it cannot travel itself."""
    try:
        return pickle.dumps(Answer(function(told)))
    except Exception as why:  # noqa: BLE001 - it is raised again in the parent
        why.add_note(f"In the child process:\n{traceback.format_exc()}")
        try:
            sent = pickle.dumps(Answer(None, why))
            pickle.loads(sent)  # noqa: S301 - our own
        except Exception:  # noqa: BLE001 - whatever its class does
            sent = pickle.dumps(Answer(None, RuntimeError("".join(traceback.format_exception(why)))))
        return sent
