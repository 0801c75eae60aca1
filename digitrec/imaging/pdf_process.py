"""Processes that draw PDFs: hired when a document comes, kept for the next one, ended with this process.

`pdf_artist` is the program they run. Each draws one document at a time; none is started before a PDF comes.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from digitrec.errors import RejectedImage
from digitrec.pictures import Picture
from digitrec.records import Limits, Reason

_PROGRAM = Path(__file__).with_name("pdf_artist.py")
_MOST_CPU_S = 10
"""Processor time for one request; a scanned page takes 0.1 s."""
_LEAST_MEMORY = 1_000_000_000
"""What the process may use, bytes, beside what a file and a page within the limits take."""


class Died(Exception):
    """The process has ended."""


class Artist:
    """One process that draws, and what it is told."""

    def __init__(self) -> None:
        # -P: its folder is no place to import from. A session of its own: Ctrl-C is not for it.
        command = [sys.executable, "-P", str(_PROGRAM)]
        pipe, silence = subprocess.PIPE, subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silence, start_new_session=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._is_answered = True

    @property
    def is_usable(self) -> bool:
        """False if it has ended, or was left in the middle of an answer."""
        return self._is_answered and self._process.poll() is None

    def open(self, data: bytes, limits: Limits) -> int:
        """Take a document; gives its number of pages. RejectedImage if it is none."""
        memory = _LEAST_MEMORY + 4 * limits.max_bytes + 12 * limits.max_pixels
        told, _ = self._ask("open", len(data), memory, _MOST_CPU_S, after=data)
        return int(told["pages"])

    def draw(self, index: int, limits: Limits) -> Picture:
        """One page, (h, w, 3); RejectedImage if it cannot be drawn."""
        told, pixels = self._ask("draw", index, limits.max_pixels)
        rows = np.frombuffer(pixels, np.uint8).reshape(told["height"], told["stride"])
        return np.ascontiguousarray(rows[:, : 3 * told["width"]]).reshape(told["height"], told["width"], 3)

    def close(self) -> None:
        """Let go of the document."""
        self._ask("close")

    def stop(self) -> int:
        """End the process, if it has not ended; gives its exit code."""
        self._process.kill()
        self._process.communicate()
        return self._process.returncode

    def _ask(self, *request: object, after: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self._is_answered = False
        try:
            self._to.write(json.dumps(request).encode() + b"\n" + after)
            self._to.flush()
        except BrokenPipeError as why:
            raise Died from why
        line = self._from.readline()
        if not line.endswith(b"\n"):
            raise Died
        told: dict[str, Any] = json.loads(line)
        size = told.get("height", 0) * told.get("stride", 0)
        pixels = self._from.read(size) if size else b""
        if len(pixels) < size:
            raise Died
        self._is_answered = True
        if "error" in told:
            reason = Reason(told["error"])
            words = "this PDF is cut off or damaged" if reason is Reason.TRUNCATED else reason.words
            raise RejectedImage(reason, f"{words}: {told['detail']}" if told["detail"] else words)
        return told, pixels


_idle: list[Artist] = []
_all: set[Artist] = set()


def hire() -> Artist:
    """A process that waits for work, or a new one."""
    while _idle:
        try:
            artist = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if artist.is_usable:
            return artist
        dismiss(artist)
    artist = Artist()
    _all.add(artist)
    return artist


def put_back(artist: Artist) -> None:
    """Let it wait for another document, if it can be used again."""
    try:
        if artist.is_usable:
            artist.close()
    except Died:
        pass  # seen below
    if artist.is_usable:
        _idle.append(artist)
    else:
        dismiss(artist)


def dismiss(artist: Artist) -> bool:
    """End it; True if it had ended before, because a request took all the time there is."""
    _all.discard(artist)
    return artist.stop() == -signal.SIGXCPU


@atexit.register
def _dismiss_all() -> None:
    for artist in list(_all):
        dismiss(artist)


def _forget_all() -> None:
    """In a fork: they work for the parent."""
    _idle.clear()
    _all.clear()


os.register_at_fork(after_in_child=_forget_all)
