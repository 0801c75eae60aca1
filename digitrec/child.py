"""A process of its own to call functions in: it may die, or hang, without harm.

It is a fresh interpreter, since a fork of a process with threads may hang; and unlike a process that `multiprocessing`
spawns it does not begin by running the program of its parent once more. Where there is no other thread it may be a fork
all the same (`Child.fork`): that takes 5 ms instead of 200, as all is imported and all networks are loaded.
"""

import errno
import json
import mmap
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from digitrec.child_side import Allowance, Answer, Function, serve_as_fork
from digitrec.patience import Mark, Overrun, Patience, in_time

_START_S = 120.0
_LEAVE_S = 1.0
_ASK_EVERY_S = 0.001
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a terminal that is closed, and a supervisor signal the whole group; the parent decides for its children."""
_PROGRAM = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
import json, sys
path, *told = json.loads(sys.argv[1])
sys.path[:] = path
from digitrec.child_side import serve
serve(*told)
"""

T = TypeVar("T")
R = TypeVar("R")


class ReaderDied(Exception):
    """The child process died, or was ended because it took too long."""

    def __init__(self, why: str = "", file: int | None = None) -> None:
        """Name the position in the chunk of the file that was being read, if it is known."""
        super().__init__(why)
        self.file = file


class _Fork:
    """A copy of this process, held as one of `subprocess` is."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._asking = threading.Lock()
        self._code: int | None = None
        known = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # the parent's handlers
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_SETMASK, known)
                work()
                code = 0
            except Exception:  # noqa: BLE001 - there is nobody else to tell
                traceback.print_exc()
            finally:
                os._exit(code)  # what the parent holds open is not ours to tidy up
        signal.pthread_sigmask(signal.SIG_SETMASK, known)

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None as long as it lives."""
        with self._asking:
            return self._asked()

    def kill(self) -> None:
        """End it, if it lives."""
        with self._asking:
            if self._asked() is None:
                os.kill(self._pid, signal.SIGKILL)

    def _asked(self) -> int | None:
        if self._code is None:  # once it was told, the number may be another's
            try:
                ended, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # whoever started us ignores the ends of children, and so do we
                self._code = 0
            else:
                self._code = os.waitstatus_to_exitcode(status) if ended else None
        return self._code

    def wait(self, timeout: float) -> None:
        """Until it has ended; TimeoutExpired if that takes longer, seconds."""
        until_s = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until_s:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(_ASK_EVERY_S)


class Child:
    """Calls functions in a child process; a new one follows a dead one.

    It serves one thread, and does not outlive it.
    """

    def __init__(self, timeout_s: float, allowance: Allowance | None = None) -> None:
        """Start nothing yet.

        Args:
            timeout_s: longest that one page may take, seconds.
            allowance: limits of the child; None: those of this process.
        """
        self._timeout_s = timeout_s
        self._allowance = allowance
        self._shared = os.memfd_create("digitrec-mark")
        os.ftruncate(self._shared, Mark.SIZE)
        self.mark = Mark(mmap.mmap(self._shared, Mark.SIZE))
        """How far the child is."""
        weakref.finalize(self, os.close, self._shared)
        self._process: subprocess.Popen[bytes] | _Fork | None = None
        self._line: Connection | None = None
        self._known: object = None
        """The function that it was sent last, or forked with."""

    def call(self, function: Callable[[T], R], argument: T, stopped: Callable[[], bool]) -> R | None:
        """The function's result; None if it was given up because `stopped` said so.

        Raises:
            ReaderDied: the child died, or overran its time and was killed.
            OSError: no child can be started now.
        """
        line = self.prepare(function, stopped)
        if line is None:
            return None
        mark = self.mark
        try:
            mark.begin(0)
            line.send(argument)
            answer = in_time(
                lambda slice_s: _received(line, slice_s), lambda: mark.since_s, self._timeout_s, Patience(stopped)
            )
        except (EOFError, OSError, Overrun) as why:
            self._end()
            raise ReaderDied(str(why) or "the child process died", mark.file) from why
        if answer is None:
            self._end()
            return None
        if answer.error is not None:
            raise answer.error
        result: R = answer.result
        return result

    def prepare(self, function: Callable[[T], R], stopped: Callable[[], bool]) -> Connection | None:
        """Have a child that knows this function, with what comes along, such as networks; None after a stop.

        To receive it is to import all it needs and to start the networks. On a busy machine that takes long, and is no
        chunk's fault: so the clock of a call begins after it.

        Raises:
            OSError: no child can be started now.
        """
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it died while it had nothing to do
        try:
            line = self._line or self._start()
            if self._known is not function:
                began_s = time.monotonic()
                line.send(Function(function))
                if (
                    in_time(lambda slice_s: _received(line, slice_s), lambda: began_s, _START_S, Patience(stopped))
                    is None
                ):
                    self._end()
                    return None
                self._known = function
        except (OSError, EOFError, Overrun) as why:
            self._end()
            raise OSError(errno.EAGAIN, "no child process can be started to read in") from why
        return line

    def fork(self, function: Callable[[Any], Any]) -> None:
        """Begin as a copy of this process that knows this function; only where `may_fork`, and before any call.

        Raises:
            OSError: there is no room for another process.
        """
        self._line, theirs = multiprocessing.Pipe()
        with theirs:
            try:
                self._process = _Fork(partial(serve_as_fork, theirs, self.mark, function, os.getpid()))
            except OSError:
                self._end()
                raise
        self._known = function

    def kill(self) -> None:
        """End the child, from any thread; the call that is under way raises."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End a child that has nothing to do, so that it can tidy up after itself."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
        self._end()

    def _end(self) -> None:
        """End the child, whatever it is at."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # the kernel holds it: a share that is gone
                self._process.wait(_LEAVE_S)
        if self._line is not None:
            self._line.close()
        self._process = self._line = self._known = None

    def _start(self) -> Connection:
        self._line, theirs = multiprocessing.Pipe()
        with theirs:
            numbers = (theirs.fileno(), self._shared)
            # Neither flag lets the current folder be imported from.
            flag, limits = "-I" if sys.flags.isolated else "-P", astuple(self._allowance) if self._allowance else None
            told = json.dumps([[str(one) for one in sys.path], *numbers, limits])
            command = [sys.executable or "python3", flag, "-c", _PROGRAM, told]
            self._process = subprocess.Popen(command, pass_fds=numbers, stdin=subprocess.DEVNULL)
        return self._line


def may_fork() -> bool:
    """Whether there is no other thread in this process, of Python or not: what it holds locked, a copy never gets."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # nobody can tell
        return False


def _received(line: Connection, slice_s: float) -> Answer:
    if not line.poll(slice_s):
        raise multiprocessing.TimeoutError
    answer: Answer = line.recv()
    return answer
