"""Run a command and say what it took: CPU with its children, wall clock, peak memory.

Imported by the process that measures, which has to stay small: Linux lets a child's peak memory begin at what its
parent held when it was started. So pictures are drawn, and networks are run, in processes of their own.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
_NOT_OURS = ("DIGITREC_", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME")
_LAST_WORDS = 2000
_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took, its children included."""

    cpu_s: float
    """User and system time."""
    wall_s: float
    peak_mb: float
    """Of the largest of its processes, MiB resident."""


class CommandFailed(Exception):
    """A command that was to be measured did not end with 0; what it did take says nothing."""


def run(words: Sequence[str], *, cores: int | None = None) -> tuple[Cost, str]:
    """Run a command to its end; gives what it took, and what it printed.

    Args:
        words: the command; it runs in the root of the repository.
        cores: may use only so many; None: all.

    Raises:
        CommandFailed: it ended with something else than 0.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _on(cores):
            began_s = time.perf_counter()
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env=clean_environment()
            )
        try:
            # Not getrusage(RUSAGE_CHILDREN): its peak is that of all children ever.
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for behind its back
        if process.returncode:
            raise CommandFailed(f"{' '.join(words)} ended with {process.returncode}: {_tail(err)}")
        out.seek(0)
        printed = out.read().decode()
    return Cost(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024), printed


def idle(words: Sequence[str], *, warm_s: float, window_s: float, windows: int) -> list[float]:
    """Run a command that waits until it is ended; gives its share of one core in each window, after a warm-up.

    Raises:
        CommandFailed: it ended by itself.
    """
    shares = []
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, cwd=ROOT, env=clean_environment()
        )
        try:
            time.sleep(warm_s)
            for _ in range(windows):
                before_s, began_s = _cpu_s(process), time.monotonic()
                time.sleep(window_s)
                shares.append((_cpu_s(process) - before_s) / (time.monotonic() - began_s))
                if process.poll() is not None:
                    raise CommandFailed(f"{' '.join(words)} ended by itself: {_tail(err)}")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    return shares


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    """What this machine calls its processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def python(*words: str) -> list[str]:
    """A command line that runs this Python."""
    return [sys.executable, *words]


@contextmanager
def _on(count: int | None) -> Iterator[None]:
    """What is started meanwhile inherits that it may use only so many cores."""
    before = os.sched_getaffinity(0)
    if count is not None:
        os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cpu_s(process: "subprocess.Popen[bytes]") -> float:
    """CPU of another process until now. /proc counts in hundredths of a second, which is too coarse for one at rest."""
    if process.poll() is not None:
        raise CommandFailed(f"it ended with {process.returncode} while it was to be watched")
    return time.clock_gettime((~process.pid << 3) | 2)  # what clock_getcpuclockid(3) gives


def clean_environment() -> Mapping[str, str]:
    """The environment without what would change a measurement: settings, or imports that are compiled every time."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}


def _tail(err: IO[bytes]) -> str:
    err.seek(0)
    return err.read().decode(errors="replace")[-_LAST_WORDS:]
