"""Call functions in a worker process, which may crash or hang without harm to this one.

It is a fresh interpreter, since a fork of a process with threads may hang; and unlike a process that `multiprocessing`
spawns it does not begin by running the main module of its parent again. A process without other threads may fork it
(`WorkerProcess.fork`): that takes 5 ms instead of 200, as all is imported and all networks are loaded.
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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from digitrec.pipeline.chunk_queue import ChunkTimeout, StopDeadline, call_with_timeout
from digitrec.pipeline.worker_main import CallResult, NewFunction, PageProgress, WorkerLimits, run_forked_worker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a closed terminal and a supervisor signal the whole process group; the parent decides for its workers."""
_PROGRAM = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
import json, sys
path, *arguments = json.loads(sys.argv[1])
sys.path[:] = path
from digitrec.pipeline.worker_main import run_worker
run_worker(*arguments)
"""


class WorkerProcessParams(NamedTuple):
    """Times of a worker process, seconds."""

    start_s: float = 120.0
    """Longest start with all imports, on a busy machine."""
    exit_s: float = 1.0
    """Longest wait for the end of a process."""
    poll_s: float = 0.001
    """Interval of checks whether a fork has ended."""


PARAMS = WorkerProcessParams()

T = TypeVar("T")
R = TypeVar("R")


class WorkerCrashed(Exception):
    """The worker process died, or was killed because a page took too long."""

    def __init__(self, why: str = "", file: int | None = None) -> None:
        """Keep the position in the chunk of the file that was being read, if it is known."""
        super().__init__(why)
        self.file = file


class _ForkedProcess:
    """A fork of this process, with the methods of `subprocess.Popen`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED_SIGNALS)  # the parent's handlers
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                for number in _IGNORED_SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                work()
                code = 0
            except Exception:  # noqa: BLE001 - nothing else can report it
                traceback.print_exc()
            finally:
                os._exit(code)  # exit handlers and open files belong to the parent
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        with self._lock:
            return self._poll()

    def kill(self) -> None:
        """Kill it, if it runs."""
        with self._lock:
            if self._poll() is None:
                os.kill(self._pid, signal.SIGKILL)

    def _poll(self) -> int | None:
        if self._exit_code is None:  # once it was reaped, the pid may be another process's
            try:
                ended, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored in this process, by inheritance
                self._exit_code = 0
            else:
                self._exit_code = os.waitstatus_to_exitcode(status) if ended else None
        return self._exit_code

    def wait(self, timeout: float) -> None:
        """Wait until it has ended; TimeoutExpired if that takes longer, seconds."""
        until_s = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until_s:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(PARAMS.poll_s)


class WorkerProcess:
    """Calls functions in a worker process; a new process replaces a dead one.

    It serves one thread, and does not outlive it.
    """

    def __init__(self, timeout_s: float, limits: WorkerLimits | None = None) -> None:
        """Start nothing yet.

        Args:
            timeout_s: longest that one page may take, seconds.
            limits: of the worker process; None: those of this process.
        """
        self._timeout_s = timeout_s
        self._limits = limits
        self._memory = _create_shared_file()
        os.ftruncate(self._memory, PageProgress.SIZE)
        self.progress = PageProgress(mmap.mmap(self._memory, PageProgress.SIZE))
        """Position of the worker in its chunk."""
        weakref.finalize(self, os.close, self._memory)
        self._process: subprocess.Popen[bytes] | _ForkedProcess | None = None
        self._connection: Connection | None = None
        self._function: object = None
        """The last function sent, or the one it was forked with."""

    def call(self, function: Callable[[T], R], argument: T, stopped: Callable[[], bool]) -> R | None:
        """Return the function's result; None if it was given up because `stopped` returned True.

        Raises:
            WorkerCrashed: the process died, or took too long and was killed.
            OSError: no process can be started now.
        """
        connection = self.prepare(function, stopped)
        if connection is None:
            return None
        progress = self.progress
        try:
            progress.begin(0)
            connection.send(argument)
            poll = partial(_receive, connection)
            answer = call_with_timeout(poll, lambda: progress.page, self._timeout_s, StopDeadline(stopped))
        except (EOFError, OSError, ChunkTimeout) as why:
            self._end()
            raise WorkerCrashed(str(why) or "the child process died", progress.file) from why
        if answer is None:
            self._end()
            return None
        if answer.error is not None:
            raise answer.error
        result: R = answer.result
        return result

    def prepare(self, function: Callable[[T], R], stopped: Callable[[], bool]) -> "Connection | None":
        """Start a process if there is none, and send it this function with its networks; None after a stop.

        To unpickle it takes all imports and the start of the networks. On a busy machine that takes long, and is no
        chunk's fault: so the clock of a call begins after it.

        Raises:
            OSError: no process can be started now.
        """
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it died while it was idle
        try:
            connection = self._connection or self._start()
            if self._function is not function:
                began_s = time.monotonic()
                connection.send(NewFunction(function))
                poll = partial(_receive, connection)
                if call_with_timeout(poll, lambda: (began_s, 0), PARAMS.start_s, StopDeadline(stopped)) is None:
                    self._end()
                    return None
                self._function = function
        except (OSError, EOFError, ChunkTimeout) as why:
            self._end()
            raise OSError(errno.EAGAIN, "no child process can be started to read in") from why
        return connection

    def fork(self, function: Callable[[Any], Any]) -> None:
        """Start as a fork of this process that has this function; only where `may_fork`, and before any call.

        Raises:
            OSError: there is no room for another process.
        """
        self._connection, worker_end = multiprocessing.Pipe()
        with worker_end:
            try:
                self._process = _ForkedProcess(
                    partial(run_forked_worker, worker_end, self.progress, function, os.getpid())
                )
            except OSError:
                self._end()
                raise
        self._function = function

    def kill(self) -> None:
        """Kill the process, from any thread; a call in progress raises."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End an idle process, so that its exit handlers run."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PARAMS.exit_s)
        self._end()

    def _end(self) -> None:
        """Kill the process, even while it is busy."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # blocked in the kernel, as by a missing network share
                self._process.wait(PARAMS.exit_s)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = self._function = None

    def _start(self) -> "Connection":
        self._connection, worker_end = multiprocessing.Pipe()
        with worker_end:
            descriptors = (worker_end.fileno(), self._memory)
            # Neither flag lets the current folder be imported from.
            flag, limits = "-I" if sys.flags.isolated else "-P", astuple(self._limits) if self._limits else None
            arguments = json.dumps([[str(path) for path in sys.path], *descriptors, limits])
            command = [sys.executable or "python3", flag, "-c", _PROGRAM, arguments]
            self._process = subprocess.Popen(command, pass_fds=descriptors, stdin=subprocess.DEVNULL)
        return self._connection


def _create_shared_file() -> int:
    """Return the descriptor of an empty file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("digitrec-mark")
    from tempfile import TemporaryFile  # macOS

    with TemporaryFile() as file:
        return os.dup(file.fileno())


def may_fork() -> bool:
    """Return True if this process has no other thread, of Python or not: a fork never gets the locks they hold."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # no /proc
        return False


def _receive(connection: "Connection", slice_s: float) -> CallResult:
    if not connection.poll(slice_s):
        raise multiprocessing.TimeoutError
    answer: CallResult = connection.recv()
    return answer
