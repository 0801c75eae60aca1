"""Workspace of a fault test: drop files, run, compare files with rows and originals."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.conftest import read_csv

IS_LONG = bool(os.environ.get("DIGITREC_FAULTS"))
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class Account:
    """Counts of one test: files dropped, rows and originals found."""

    name: str
    files: int
    rows: int
    lost: int
    doubled: int
    note: str = ""


ACCOUNTS: list[Account] = []
"""Accounts of the whole session, printed at its end."""


def picture(number: int) -> bytes:
    """Return a small, unique scan of a digit."""
    rng = np.random.default_rng(number)
    paper = rng.normal(225, 4, (40, 32)).clip(0, 255).astype(np.uint8)
    cv2.putText(paper, str(number % 10), (7, 31), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 40, 2, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", paper)[1])


@dataclass
class Scene:
    """Workspace of one test."""

    name: str
    workspace: Path
    dropped: dict[str, str] = field(default_factory=dict)
    """sha256 by name."""

    @property
    def inbox(self) -> Path:
        return self.workspace / "inbox"

    @property
    def outbox(self) -> Path:
        return self.workspace / "outbox"

    def drop(self, count: int) -> None:
        """Drop new pictures, each by a rename."""
        self.inbox.mkdir(parents=True, exist_ok=True)
        for number in range(len(self.dropped), len(self.dropped) + count):
            name = f"{number:06}.png"
            content = picture(number)
            draft = self.inbox / f"{name}.part"
            draft.write_bytes(content)
            draft.rename(self.inbox / name)
            self.dropped[name] = hashlib.sha256(content).hexdigest()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "digitrec", *words, "--workspace", str(self.workspace)]

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        with (self.workspace / "log").open("ab") as log:
            return subprocess.Popen(self.command(*words), stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)

    def run(self, *words: str) -> int:
        """Run to the end; return the exit code."""
        return self.start("run", "--settle-s", "0", *words).wait(timeout=600)

    def rows(self) -> list[dict[str, str]]:
        return [row for path in self.outbox.glob("*Z-????????.csv") for row in read_csv(path)]

    def check_tables(self) -> None:
        """Check that every visible table is complete."""
        for path in self.outbox.glob("*.csv"):
            assert path.read_bytes().endswith(b"\r\n"), path

    def settle(self, note: str = "") -> None:
        """Finish everything, then compare the files that were dropped with rows and originals."""
        assert self.run() == 0, (self.workspace / "log").read_text()[-2000:]
        rows = self.rows()
        answered = [row["file"] for row in rows]
        originals = [
            path.name for kind in ("done", "rejected") for path in self.outbox.glob(f"{kind}/*/*.png") if path.is_file()
        ]
        lost = len(self.dropped.keys() - set(answered)) + len(self.dropped.keys() - set(originals))
        doubled = len(answered) - len(set(answered)) + len(originals) - len(set(originals))
        ACCOUNTS.append(Account(self.name, len(self.dropped), len(rows), lost, doubled, note))
        assert (lost, doubled) == (0, 0)
        assert {row["file"]: row["sha256"] for row in rows} == self.dropped
        for path in self.outbox.glob("done/*/*.png"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == self.dropped[path.name]
        code, printed = self.verify()
        assert code == 0, printed

    def verify(self, *words: str) -> tuple[int, str]:
        """Return the exit code of `verify`, and what it prints."""
        result = subprocess.run(self.command("verify", *words), capture_output=True, text=True, check=False)
        return result.returncode, result.stdout


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> float:
    """Wait until a condition holds; return how long it took, seconds."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it took too long"
        time.sleep(0.05)
    return time.monotonic() - began_s


def kill_at_random(process: "subprocess.Popen[bytes]", rng: random.Random, life_s: float) -> bool:
    """Send SIGKILL within `life_s`; return False if the process had ended."""
    try:
        process.wait(timeout=rng.uniform(0.05, life_s))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0
    return False
