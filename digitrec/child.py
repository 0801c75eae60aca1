"""A process of its own to call functions in: it may die, or hang, without harm.

It is a fresh interpreter, since a fork of a process with threads may hang; and unlike a process of `multiprocessing` it
does not begin by running the program of its parent once more.
"""

import errno
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from digitrec.patience import Overrun, in_time

_START_S = 120.0
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from digitrec.child import serve; serve(sys.argv[1])"
)

T = TypeVar("T")
R = TypeVar("R")


class ReaderDied(Exception):
    """The child process died, or was ended because it took too long."""


class _Function(NamedTuple):
    call: Callable[[Any], Any]


class _Answer(NamedTuple):
    result: Any
    error: Exception | None = None


class Child:
    """Calls functions in a child process; a new one follows a dead one.

    It serves one thread, and does not outlive it.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._known: object = None
        """The function that it was sent last."""

    def call(self, function: Callable[[T], R], argument: T, stopped: Callable[[], bool]) -> R | None:
        """The function's result; None if it was given up because `stopped` said so.

        Raises:
            ReaderDied: the child died, or overran its time and was killed.
            OSError: no child can be started now.
        """
        line = self.prepare(function)
        try:
            line.send(argument)
            answer = in_time(lambda slice_s: _received(line, slice_s), self._timeout_s, stopped)
        except (EOFError, OSError, Overrun) as why:
            self.stop()
            raise ReaderDied(str(why) or "the child process died") from why
        if answer is None:
            self.stop()
            return None
        if answer.error is not None:
            raise answer.error
        result: R = answer.result
        return result

    def prepare(self, function: Callable[[T], R]) -> Connection:
        """Have a child that knows this function: what comes along with it, such as networks, is sent once.

        To receive it is to import all it needs and to start the networks. On a busy machine that takes long, and is no
        chunk's fault: so the clock of a call begins after it.

        Raises:
            OSError: no child can be started now.
        """
        try:
            line = self._line or self._start()
            if self._known is not function:
                line.send(_Function(function))
                if not line.poll(_START_S):
                    raise EOFError
                line.recv()
                self._known = function
        except (OSError, EOFError) as why:
            self.stop()
            raise OSError(errno.EAGAIN, "no child process can be started to read in") from why
        return line

    def kill(self) -> None:
        """End the child, from any thread; the call that is under way raises."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End the child, and tidy up after it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._line is not None:
            self._line.close()
        self._process = self._line = self._known = None

    def _start(self) -> Connection:
        self._line, theirs = multiprocessing.Pipe()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-c", _PROGRAM, str(number), json.dumps(sys.path)]
            self._process = subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL)
        return self._line


def serve(number: str) -> None:
    """Answer what comes over the connection with this descriptor, until it is closed. Runs in the child."""
    import ctypes
    import signal

    from digitrec import one_thread

    # Ctrl-C reaches the whole group; the parent decides. And die with the parent, even while hanging.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    one_thread.load()
    line: Connection = Connection(int(number))
    function: Callable[[Any], Any] = str
    while True:
        try:
            told = line.recv()
        except EOFError:
            return
        if isinstance(told, _Function):
            function = told.call
            line.send(_Answer(None))
            continue
        try:
            line.send(_Answer(function(told)))
        except Exception as why:  # noqa: BLE001 - it is raised again in the parent
            line.send(_Answer(None, why))


def _received(line: Connection, slice_s: float) -> _Answer:
    if not line.poll(slice_s):
        raise multiprocessing.TimeoutError
    answer: _Answer = line.recv()
    return answer
