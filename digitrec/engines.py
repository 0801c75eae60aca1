"""Map a pure function over chunks: here, in threads, or in a child process that may die.

An engine spreads only pure work: paths in, ink or scores out.
"""

import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from multiprocessing.connection import Connection
from multiprocessing.pool import ThreadPool
from typing import Any, Protocol, TypeVar

PATIENCE_S = 3.0
"""After a stop, what is being read has this long to finish, seconds."""

_QUICK_S = 0.03
"""A chunk that takes less is of small pictures, at hand: eight scans take 10 ms, eight A4 pages 200."""
_SLICE_S = 0.25
_START_S = 120.0
_READY = "ready"

T = TypeVar("T")
R = TypeVar("R")


class Overrun(Exception):
    """A chunk took longer than it may."""


class ReaderDied(Exception):
    """The child process that worked on a chunk died, or was ended because it took too long."""


class Engine(Protocol):
    """Anything that spreads work."""

    def map(self, function: Callable[[T], R], chunks: Iterable[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """Apply a function to every chunk; results in the order of the chunks.

        Once `stopped` says so it ends, at the latest after `PATIENCE_S`, with the results it has until then.

        Raises:
            Overrun: a chunk took too long; the results before it have been given.
        """

    def close(self) -> None:
        """Let go of what it holds."""


class Serial:
    """One after the other, in this thread."""

    def map(self, function: Callable[[T], R], chunks: Iterable[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """See `Engine.map`; nothing can overrun, and a chunk that was begun is finished."""
        for chunk in chunks:
            if stopped():
                return
            yield function(chunk)

    def close(self) -> None:
        """It holds nothing."""


class Threads:
    """Several at once, where that pays: decoding and waiting release Python's lock, the steps after them hardly do."""

    def __init__(self, threads: int, timeout_s: float) -> None:
        self._threads = threads or len(os.sched_getaffinity(0))
        self._timeout_s = timeout_s

    def map(self, function: Callable[[T], R], chunks: Iterable[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """See `Engine.map`."""
        # ThreadPool's threads are daemons: one that hangs in a decoder does not keep the process from ending.
        with ThreadPool(self._threads) as pool:
            results = pool.imap(_Lane(function), chunks)
            while True:
                answers = _in_time(lambda slice_s: [results.next(slice_s)], self._timeout_s, stopped)
                if not answers:
                    return
                yield answers[0]

    def close(self) -> None:
        """Its threads ended with the last map."""


class _Lane:
    """A function that threads enter one by one as long as it is quick, for they would only wait for Python's lock.

    Two threads took a third more CPU than one for small pictures, and as long (docs/performance.md).
    """

    def __init__(self, function: Callable[[T], R]) -> None:
        self._function: Callable[[Any], Any] = function
        self._one = threading.Lock()
        self._is_quick = True

    def __call__(self, chunk: Any) -> Any:
        with self._one if self._is_quick else nullcontext():
            began_s = time.monotonic()
            result = self._function(chunk)
            self._is_quick = time.monotonic() - began_s < _QUICK_S
        return result


class Child:
    """Calls a function in a child process, which may die or hang without harm; a new one follows a dead one."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: multiprocessing.process.BaseProcess | None = None
        self._line: Connection | None = None

    def call(self, function: Callable[[T], R], argument: T, stopped: Callable[[], bool]) -> R | None:
        """The function's result; None if it was given up because `stopped` said so.

        Raises:
            ReaderDied: the child died, or overran its time and was killed.
            OSError: no child can be started now.
        """
        line = self._line or self._start(function, argument)
        try:
            line.send((function, argument))
            answers = _in_time(lambda slice_s: _received(line, slice_s), self._timeout_s, stopped)
        except (EOFError, OSError, Overrun) as why:
            self.stop()
            raise ReaderDied(str(why) or "the child process died") from why
        if not answers:
            self.stop()
            return None
        answer, error = answers[0]
        if error is not None:
            raise error
        result: R = answer
        return result

    def stop(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None

    def _start(self, function: Callable[[T], R], argument: T) -> Connection:
        # A fresh interpreter: a fork of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        try:
            process = context.Process(target=_answer, args=(theirs,), daemon=True)
            process.start()
            self._process, self._line = process, ours
            # To receive them is to import all they need and to start networks: on a busy machine that takes long, and
            # is no file's fault. So the clock of the first call begins after it.
            ours.send((function, argument))
            if not ours.poll(_START_S) or ours.recv() != _READY:
                raise EOFError
        except (OSError, EOFError) as why:
            ours.close()
            self.stop()
            raise OSError(errno.EAGAIN, "no child process can be started to read in") from why
        finally:
            theirs.close()
        return ours


def _in_time(look: Callable[[float], list[R]], timeout_s: float, stopped: Callable[[], bool]) -> list[R]:
    """What `look` gives within the time, in slices, so that a stop is noticed; [] after a stop or at the end.

    Raises:
        Overrun: nothing came in time.
    """
    began_s = time.monotonic()
    stopped_s: float | None = None
    while True:
        try:
            return look(_SLICE_S)
        except StopIteration:
            return []
        except multiprocessing.TimeoutError:
            now_s = time.monotonic()
        stopped_s = now_s if stopped_s is None and stopped() else stopped_s
        if stopped_s is not None and now_s - stopped_s >= PATIENCE_S:
            return []
        if now_s - began_s >= timeout_s:
            raise Overrun(f"not done after {timeout_s:g} s")


def _received(line: Connection, slice_s: float) -> list[Any]:
    if not line.poll(slice_s):
        raise multiprocessing.TimeoutError
    return [line.recv()]


def _answer(line: Connection) -> None:
    import ctypes
    import signal

    # Ctrl-C reaches the whole group; the parent decides. And die with the parent, even while hanging.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    line.recv()
    line.send(_READY)
    while True:
        try:
            function, argument = line.recv()
        except EOFError:
            return
        try:
            line.send((function(argument), None))
        except Exception as why:  # noqa: BLE001 - it is raised again in the parent
            line.send((None, why))
