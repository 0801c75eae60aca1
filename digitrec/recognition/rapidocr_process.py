"""Read strips with RapidOCR in a child process.

Its inference runs in native code, where neither an exception handler nor a thread can end a crash or a hang. A child
process costs only its opinion: it is killed at the time limit, and the page goes on without it. It is started at the
first need, as it takes 2 s of CPU time and 200 MB, and serves all threads of this process in turn.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from digitrec import logs
from digitrec.arrays import Picture
from digitrec.recognition.rapidocr_worker import SIZE
from digitrec.recognition.second_opinion import ReadText

_PROGRAM = """
import json, sys
path, connection, lifeline = json.loads(sys.argv[1])
sys.path[:] = path
from digitrec.recognition.rapidocr_worker import main
main(connection, lifeline)
"""


class RapidOcrParams(NamedTuple):
    """Time limits, seconds, and what follows failures."""

    wait_s: float = 20.0
    """Longest wait of a page for the start, well below `read_timeout_s`; later pages find it started."""
    start_s: float = 120.0
    """Longest start with all imports, on a busy machine; it takes 2 s alone."""
    answer_s: float = 10.0
    """Longest answer; a strip takes 0.05 s, a long one 0.2 s."""
    most_failures: int = 3
    """Failures in a row after which it is not asked for some time."""
    pause_s: float = 600.0
    """This time."""


PARAMS = RapidOcrParams()
PATIENT = RapidOcrParams(wait_s=600.0, start_s=600.0, answer_s=60.0)
"""For calibration, in which an opinion that comes too late would be missing."""


class _Child:
    """The child process and its connection."""

    def __init__(self, program: str) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        # The kernel closes the lifeline when this process ends, and kills the child, even if it hangs.
        arguments = json.dumps([sys.path, theirs.fileno(), lifeline])
        null = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, arguments],
                stdin=null,
                stdout=null,
                stderr=null,
                start_new_session=True,
                pass_fds=[theirs.fileno(), lifeline],
            )
        except BaseException:
            os.close(self._lifeline)
            ours.close()
            raise
        finally:
            os.close(lifeline)
            theirs.close()
        self._socket = ours
        self._is_ready = False
        self._started_s = time.monotonic()

    def wait(self, params: RapidOcrParams) -> bool:
        """Wait for the start; False if it goes on, OSError if it has failed or takes too long."""
        if not self._is_ready:
            try:
                self._receive(params.wait_s)
            except TimeoutError:
                if time.monotonic() - self._started_s > params.start_s:
                    raise
                return False
            self._is_ready = True
        return True

    def ask(self, strip: Picture, answer_s: float) -> ReadText:
        """Read a strip; OSError, ValueError, KeyError or TypeError if it has ended, hangs, or answers nonsense."""
        self._socket.settimeout(answer_s)
        self._socket.sendall(SIZE.pack(*strip.shape) + strip.tobytes())
        answer = json.loads(self._receive(answer_s))
        return ReadText(str(answer["text"]), min(1.0, max(0.0, float(answer["score"]))))

    def stop(self) -> None:
        """Kill the child."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        os.close(self._lifeline)

    def _receive(self, timeout_s: float) -> bytes:
        """Return a line; TimeoutError if none is complete in time."""
        line, until_s = b"", time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            self._socket.settimeout(max(0.001, until_s - time.monotonic()))
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionError("its process has ended")
            line += part
        return line


@dataclass(slots=True)
class _State:
    """The child of this process, if there is one, and its failures in a row."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    child: _Child | None = None
    failures: int = 0
    paused_until_s: float = 0.0


_states: dict[str, _State] = {}
"""By program, for tests with other programs."""


@dataclass(frozen=True, slots=True)
class RapidOcr:
    """Reads strips in the child process, which all copies of this object share."""

    program: str = _PROGRAM
    params: RapidOcrParams = PARAMS
    monotonic: Callable[[], float] = time.monotonic

    def read(self, strip: Picture) -> ReadText | None:
        """Read a strip, (h, w); None if that fails."""
        state = _states.setdefault(self.program, _State())
        with state.lock:
            if self.monotonic() < state.paused_until_s:
                return None
            try:
                if state.child is None:
                    state.child = _Child(self.program)
                read = state.child.ask(strip, self.params.answer_s) if state.child.wait(self.params) else None
            except (OSError, ValueError, KeyError, TypeError) as why:
                self._note_failure(state, why)
                return None
            state.failures = 0
            return read

    def _note_failure(self, state: _State, why: Exception) -> None:
        if state.child is not None:
            state.child.stop()
            state.child = None
        state.failures += 1
        is_paused = state.failures >= self.params.most_failures
        if is_paused:
            state.failures, state.paused_until_s = 0, self.monotonic() + self.params.pause_s
        reason = f"{type(why).__name__}: {why}"
        logs.warning("a number is read without a second opinion", why=reason, pause_s=self.params.pause_s * is_paused)


@atexit.register
def _stop_all() -> None:
    for state in _states.values():
        if state.child is not None:
            state.child.stop()
            state.child = None


# A fork has no child process, and perhaps a lock that another thread held.
os.register_at_fork(after_in_child=_states.clear)
