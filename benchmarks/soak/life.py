"""`digitrec watch` as a process: started, watched from outside, killed, started again."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process import ROOT, clean_environment, python

_STOP_TIMEOUT_S = 20.0
_KIB = 1024


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """The process as /proc shows it at a moment."""

    at_s: float
    """Since the soak began."""
    age_s: float
    """Of the process."""
    rss_mb: float
    anon_mb: float
    """What of it is the process's own, not a file's."""
    descriptors: int
    threads: int
    children: int
    children_mb: float
    doing: str
    """What its heartbeat says."""


@dataclass(slots=True)
class Life:
    """One process from start to end."""

    began_s: float
    samples: list[ProcessSample] = field(default_factory=list)
    ended_s: float | None = None
    how: str = ""
    in_the_midst: bool = False
    """Files lay claimed when it ended."""


class Watch:
    """The service over all its lives."""

    def __init__(self, workspace: Path, options: Sequence[str], now_s: float) -> None:
        """`now_s` is when the soak began, monotonic seconds."""
        self._workspace = workspace
        self._words = ["watch", "--workspace", str(workspace), *options]
        self._began_s = now_s
        self._process: subprocess.Popen[bytes] | None = None
        self._family: set[int] = set()
        self.log = workspace / "watch.log"
        self.lives: list[Life] = []
        self.left_behind = 0
        """Processes that outlived the service they belonged to by more than five seconds."""
        self.bad_ends: list[str] = []
        """Ends that nobody caused, and orderly ones that were none."""

    def start(self) -> None:
        """Begin a life."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                python("-m", "digitrec", *self._words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=clean_environment(),
                start_new_session=True,
            )
        self.lives.append(Life(self.now_s()))

    def now_s(self) -> float:
        """Since the soak began."""
        return time.monotonic() - self._began_s

    def is_at_work(self) -> bool:
        """True while files lie claimed."""
        claimed = self._workspace / "inbox" / ".claimed" / "main"
        with suppress(FileNotFoundError):
            return any(path.is_dir() for path in claimed.iterdir())
        return False

    def look(self) -> None:
        """Note how the process is; notices if it has ended by itself."""
        process = self._process
        if process is None:
            return
        if process.poll() is not None:
            self.bad_ends.append(f"it ended by itself with {process.returncode}")
            self._ended("by itself")
            return
        seen = sample_process(process.pid)
        if seen is not None:
            family, values = seen
            self._family |= family
            age_s = self.now_s() - self.lives[-1].began_s
            self.lives[-1].samples.append(ProcessSample(self.now_s(), age_s, *values, doing=self._doing()))

    def end(self, how: str) -> None:
        """Kill it (`SIGKILL`), with all of its group (`SIGKILL group`), or ask it to stop (`SIGTERM`)."""
        process = self._process
        if process is None:
            return
        self.look()
        if how == "SIGTERM":
            process.terminate()
        elif how == "SIGKILL":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        try:
            code = process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.bad_ends.append(f"it lived {_STOP_TIMEOUT_S:g} s after {how}")
            process.kill()
            code = process.wait()
        if code != {"SIGTERM": 0}.get(how, -signal.SIGKILL):
            self.bad_ends.append(f"after {how} it ended with {code}")
        self._ended(how)

    @property
    def is_alive(self) -> bool:
        """True between start and end."""
        return self._process is not None

    def health(self) -> int:
        """What `digitrec status --check` says: 0 is well."""
        words = python("-m", "digitrec", "status", "--check", "--workspace", str(self._workspace))
        return subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, check=False).returncode

    def verify(self, *options: str) -> tuple[int, str]:
        """Run `digitrec verify`; return its exit code and its words."""
        words = python("-m", "digitrec", "verify", *options, "--workspace", str(self._workspace))
        done = subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def _ended(self, how: str) -> None:
        life = self.lives[-1]
        life.ended_s, life.how, life.in_the_midst = self.now_s(), how, self.is_at_work()
        self._process = None
        until_s = time.monotonic() + 5.0
        while (left := [pid for pid in self._family if _is_ours(pid)]) and time.monotonic() < until_s:
            time.sleep(0.05)
        self.left_behind += len(left)
        self._family.clear()

    def _doing(self) -> str:
        try:
            heartbeat = json.loads((self._workspace / ".digitrec" / "main" / "heartbeat.json").read_bytes())
            return str(heartbeat["doing"])
        except (OSError, ValueError, KeyError):
            return "unknown"


def sample_process(pid: int) -> tuple[set[int], tuple[float, float, int, int, int, float]] | None:
    """Look at a process: those that it started, and the numbers of `ProcessSample`; None if it is gone."""
    try:
        status = _status(pid)
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        family = _children(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    children_kb = 0
    for child in family:
        with suppress(FileNotFoundError, ProcessLookupError, KeyError):
            children_kb += _status(child)["VmRSS"]
    numbers = (status.get("VmRSS", 0) / _KIB, status.get("RssAnon", 0) / _KIB)
    return family, (*numbers, descriptors, status.get("Threads", 0), len(family), children_kb / _KIB)


def _status(pid: int) -> Mapping[str, int]:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+)", text, re.MULTILINE)}


def _children(pid: int) -> set[int]:
    """All descendants."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                # The name in parentheses may hold anything; behind it stand the state and the parent.
                after = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                parents[int(name)] = int(after.split()[1])
    children: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *children}} - children:
        children |= more
    return children


def _is_ours(pid: int) -> bool:
    """True while a process lives that runs Python of ours; its number may be another's by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"digitrec" in words or b"multiprocessing" in words
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_plan(rng: random.Random, least_s: float, most_s: float) -> tuple[float, str, bool]:
    """When the next end comes, seconds from now; how; and whether it waits until files lie claimed."""
    how = rng.choices(("SIGKILL", "SIGKILL group", "SIGTERM"), (45, 30, 25))[0]
    return rng.uniform(least_s, most_s), how, rng.random() < 0.65
