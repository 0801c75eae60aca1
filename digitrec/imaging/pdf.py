"""PDF -> pages: every page drawn as a person sees it, by a process that may die of it.

`pdf_artist` says why. A process draws one document at a time, so that documents are drawn side by side by as many
threads as read; it waits for the next one afterwards, and ends with this process. None is started before a PDF comes.
"""

import atexit
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from digitrec.errors import RejectedImage
from digitrec.records import Limits, Picture, Reason

_PROGRAM = Path(__file__).with_name("pdf_artist.py")
_MOST_DEATHS = 3
_LEAST_MEMORY = 1_000_000_000
"""What the process may use, bytes, beside what a file and a page within the limits take."""


class _Died(Exception):
    """The process that draws has ended."""


class _Artist:
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
        told, _ = self._ask("open", len(data), memory, after=data)
        return int(told["pages"])

    def draw(self, index: int, limits: Limits) -> Picture:
        """One page, (h, w, 3); RejectedImage if it cannot be drawn."""
        told, pixels = self._ask("draw", index, limits.max_pixels)
        rows = np.frombuffer(pixels, np.uint8).reshape(told["height"], told["stride"])
        return np.ascontiguousarray(rows[:, : 3 * told["width"]]).reshape(told["height"], told["width"], 3)

    def close(self) -> None:
        """Let go of the document."""
        self._ask("close")

    def stop(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, *request: object, after: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self._is_answered = False
        try:
            self._to.write(json.dumps(request).encode() + b"\n" + after)
            self._to.flush()
        except BrokenPipeError as why:
            raise _Died from why
        line = self._from.readline()
        if not line.endswith(b"\n"):
            raise _Died
        told: dict[str, Any] = json.loads(line)
        size = told.get("height", 0) * told.get("stride", 0)
        pixels = self._from.read(size) if size else b""
        if len(pixels) < size:
            raise _Died
        self._is_answered = True
        if "error" in told:
            reason = Reason(told["error"])
            words = "this PDF is cut off or damaged" if reason is Reason.TRUNCATED else reason.words
            raise RejectedImage(reason, f"{words}: {told['detail']}" if told["detail"] else words)
        return told, pixels


_idle: list[_Artist] = []
_all: set[_Artist] = set()


def pages(data: bytes, limits: Limits) -> Iterator[Picture | RejectedImage]:
    """Draw every page, or say why one cannot be drawn.

    RejectedImage for the whole file: damaged, encrypted, too many pages, or it stopped the process three times.
    """
    document = _Document(data, limits)
    try:
        for index in range(document.count):
            try:
                yield document.draw(index)
            except RejectedImage as why:
                if why.reason is Reason.CRASHES_READER or document.count == 1:
                    raise
                yield why
    finally:
        document.close()


class _Document:
    """A document that survives the process that draws it."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._limits = limits
        self._deaths = 0
        self._artist: _Artist | None = None
        self.count = 0
        try:
            self._ready()
        except BaseException:
            self.close()
            raise

    def draw(self, index: int) -> Picture:
        """One page, (h, w, 3); RejectedImage if it cannot be drawn."""
        while True:
            artist = self._ready()
            try:
                return artist.draw(index, self._limits)
            except _Died:
                self._bury()

    def close(self) -> None:
        """Let the process wait for another document."""
        artist, self._artist = self._artist, None
        if artist is None:
            return
        try:
            if artist.is_usable:
                artist.close()
        except _Died:
            pass  # seen below
        if artist.is_usable:
            _idle.append(artist)
        else:
            _dismiss(artist)

    def _ready(self) -> _Artist:
        """A process that has the document open."""
        while self._artist is None:
            self._artist = _hired()
            try:
                self.count = self._artist.open(self._data, self._limits)
            except _Died:
                self._bury()
        if self.count > self._limits.max_pages:
            raise RejectedImage(Reason.TOO_LARGE, f"{self.count} pages; the limit is {self._limits.max_pages}")
        return self._artist

    def _bury(self) -> None:
        if self._artist is not None:
            _dismiss(self._artist)
        self._artist = None
        self._deaths += 1
        if self._deaths == _MOST_DEATHS:
            raise RejectedImage(Reason.CRASHES_READER)


def _hired() -> _Artist:
    """A process that waits, or a new one."""
    while _idle:
        try:
            artist = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if artist.is_usable:
            return artist
        _dismiss(artist)
    artist = _Artist()
    _all.add(artist)
    return artist


def _dismiss(artist: _Artist) -> None:
    _all.discard(artist)
    artist.stop()


@atexit.register
def _dismiss_all() -> None:
    for artist in list(_all):
        _dismiss(artist)
