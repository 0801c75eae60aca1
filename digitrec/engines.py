"""Map a pure function over chunks: here, in threads, or in a child process that may die.

An engine spreads only pure work: paths in, ink or scores out.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.pool import ThreadPool
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Overrun(Exception):
    """A chunk took longer than it may."""


class ReaderDied(Exception):
    """The child process that worked on a chunk died, or was ended because it took too long."""


class Engine(Protocol):
    """Anything that spreads work."""

    def map(self, function: Callable[[T], R], chunks: Iterable[T]) -> Iterator[R]:
        """Apply a function to every chunk; results in the order of the chunks.

        Raises:
            Overrun: a chunk took too long; the results before it have been given.
        """


class Serial:
    """One after the other, in this thread."""

    def map(self, function: Callable[[T], R], chunks: Iterable[T]) -> Iterator[R]:
        """See `Engine.map`; nothing can overrun."""
        return map(function, chunks)


class Threads:
    """Several at once; decoding releases Python's lock."""

    def __init__(self, threads: int, timeout_s: float) -> None:
        self._threads = threads or len(os.sched_getaffinity(0))
        self._timeout_s = timeout_s

    def map(self, function: Callable[[T], R], chunks: Iterable[T]) -> Iterator[R]:
        """See `Engine.map`."""
        # ThreadPool's threads are daemons: one that hangs in a decoder does not keep the process from ending.
        with ThreadPool(self._threads) as pool:
            results = pool.imap(function, chunks)
            while True:
                try:
                    yield results.next(self._timeout_s)
                except StopIteration:
                    return
                except multiprocessing.TimeoutError:
                    raise Overrun(f"not done after {self._timeout_s:g} s") from None


class Child:
    """Calls a function in a child process, which may die or hang without harm; a new one follows a dead one."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: multiprocessing.process.BaseProcess | None = None
        self._line: Connection | None = None

    def call(self, function: Callable[[T], R], argument: T) -> R:
        """The function's result.

        Raises:
            ReaderDied: the child died, or overran its time and was killed.
        """
        line = self._line or self._start()
        try:
            line.send((function, argument))
            if not line.poll(self._timeout_s):
                raise ReaderDied(f"not done after {self._timeout_s:g} s")
            answer, error = line.recv()
        except (EOFError, OSError, ReaderDied) as why:
            self.stop()
            raise ReaderDied(str(why) or "the child process died") from why
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

    def _start(self) -> Connection:
        # A fresh interpreter: a fork of a process with threads may hang.
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        return self._line


def _answer(line: Connection) -> None:
    import ctypes
    import signal

    # Ctrl-C reaches the whole group; the parent decides. And die with the parent, even while hanging.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    while True:
        try:
            function, argument = line.recv()
        except EOFError:
            return
        try:
            line.send((function(argument), None))
        except Exception as why:  # noqa: BLE001 - it is raised again in the parent
            line.send((None, why))
