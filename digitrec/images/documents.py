"""Decode PDF and HEIC files in separate processes, which may crash (see `document_worker`).

Each document has its own process while it is read, so that several are decoded in parallel.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images.formats import FileFormat
from digitrec.images.pillow import to_picture
from digitrec.types import Limits, Reason

_PROGRAM = Path(__file__).with_name("document_worker.py")
_MAX_CPU_S = 10
"""CPU time limit of a request; large pictures get more. A scanned page takes 0.1 s."""
_MAX_WALL_S = 120.0
"""Time limit of a request that hangs without using the CPU; the pipeline's own limit is shorter."""
_MIN_MEMORY = 1_000_000_000
"""Memory limit of the process, bytes, plus that for a file and a page within the limits. A HEIC of 100 megapixels, or a
JPEG 2000 in a PDF, takes up to 1.5 GB of address space; the limit is 2.5 GB then."""
_CHANNELS = {"L": 1, "RGB": 3}
"""Modes that are converted without Pillow, and their channels."""


class DecodeProcessDied(Exception):
    """The process has ended."""


class DocumentProcess:
    """A decoding process and its requests."""

    def __init__(self) -> None:
        theirs, ours = os.pipe()
        self._lifeline = os.fdopen(ours, "wb", buffering=0)
        """The kernel closes this pipe when this process ends, and kills the other process."""
        # -P: do not import from its folder. A separate session: it must not receive Ctrl-C.
        command = [sys.executable, "-P", str(_PROGRAM), str(theirs)]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=null, start_new_session=True, pass_fds=[theirs]
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(theirs)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._is_answered = True
        self._words = ""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """False if the process has ended, or an answer was not read to the end."""
        return self._is_answered and self._process.poll() is None

    def open(self, kind: FileFormat, data: bytes, limits: Limits) -> int:
        """Open a document and return its number of pages; RejectedImage if it cannot be opened."""
        memory = _MIN_MEMORY + 4 * limits.max_bytes + 12 * limits.max_pixels
        self._words = f"this {kind.words} is cut off or damaged"
        answer, _ = self._ask("open", kind.name, len(data), memory, _MAX_CPU_S, _MAX_WALL_S, after=data)
        return int(answer["pages"])

    def decode(self, index: int, limits: Limits) -> Picture:
        """Decode one page, (h, w) or (h, w, 3); RejectedImage if it cannot be decoded."""
        answer, pixels = self._ask("decode", index, limits.max_pixels)
        mode, width, height, stride = (answer[name] for name in ("mode", "width", "height", "stride"))
        if mode not in _CHANNELS:
            return to_picture(Image.frombuffer(mode, (width, height), pixels, "raw", mode, stride, 1))
        rows = np.frombuffer(pixels, np.uint8).reshape(height, stride)[:, : _CHANNELS[mode] * width]
        shape = (height, width) if mode == "L" else (height, width, 3)
        return np.ascontiguousarray(rows).reshape(shape)

    def close(self) -> None:
        """Close the document."""
        self._ask("close")

    def stop(self) -> int:
        """Kill the process and return its exit code."""
        self._process.kill()
        self._process.communicate()
        self._lifeline.close()
        return self._process.returncode

    def _ask(self, *request: object, after: bytes = b"") -> tuple[dict[str, Any], bytes]:
        self._is_answered = False
        try:
            self._to.write(json.dumps(request).encode() + b"\n" + after)
            self._to.flush()
        except BrokenPipeError as why:
            raise DecodeProcessDied from why
        line = self._from.readline()
        if not line.endswith(b"\n"):
            raise DecodeProcessDied
        answer: dict[str, Any] = json.loads(line)
        size = answer.get("pixels", 0)
        pixels = self._from.read(size) if size else b""
        if len(pixels) < size:
            raise DecodeProcessDied
        self._is_answered = True
        if "error" in answer:
            reason = Reason(answer["error"])
            words = self._words if reason is Reason.TRUNCATED else reason.description
            raise RejectedImage(reason, f"{words}: {answer['detail']}" if answer["detail"] else words)
        return answer, pixels


_idle: list[DocumentProcess] = []
_all: set[DocumentProcess] = set()


def acquire() -> DocumentProcess:
    """Return an idle process, or a new one."""
    while _idle:
        try:
            process = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if process.is_usable:
            return process
        discard(process)
    process = DocumentProcess()
    _all.add(process)
    return process


def release(process: DocumentProcess) -> None:
    """Make a process idle, if it can be used again."""
    try:
        if process.is_usable:
            process.close()
    except DecodeProcessDied:
        pass  # discarded below
    if process.is_usable:
        _idle.append(process)
    else:
        discard(process)


def discard(process: DocumentProcess) -> bool:
    """Kill a process; return True if it had ended before by the CPU time limit."""
    _all.discard(process)
    return process.stop() == -signal.SIGXCPU


@atexit.register
def _discard_all() -> None:
    for process in list(_all):
        discard(process)


def _forget_all() -> None:
    """Drop all processes in a fork: they work for the parent."""
    _idle.clear()
    _all.clear()


os.register_at_fork(after_in_child=_forget_all)


_MAX_DEATHS = 3


def decode_document(
    kind: FileFormat, data: bytes, limits: Limits, only: int | None = None
) -> Iterator[Picture | RejectedImage]:
    """Decode all pages, or page `only`, from 1; a page that cannot be decoded yields its rejection.

    RejectedImage for the whole file: damaged, encrypted, too many pages, too slow, or three processes crashed.
    """
    document = _OpenDocument(kind, data, limits)
    try:
        for index in range(document.count) if only is None else range(only - 1, min(only, document.count)):
            try:
                yield document.decode(index)
            except RejectedImage as why:
                if document.is_lost or document.count == 1:
                    raise
                yield why.without_traceback()
    finally:
        document.close()


class _OpenDocument:
    """A document that is opened again if its process crashes."""

    def __init__(self, kind: FileFormat, data: bytes, limits: Limits) -> None:
        self._kind = kind
        self._data = data
        self._limits = limits
        self._deaths = 0
        self._process: DocumentProcess | None = None
        self.is_lost = False
        """True if the document cannot be decoded by any process."""
        self.count = 0
        """Number of pages."""
        try:
            self._ready()
        except BaseException:
            self.close()
            raise

    def decode(self, index: int) -> Picture:
        """Decode one page, (h, w) or (h, w, 3); RejectedImage if it cannot be decoded."""
        while True:
            process = self._ready()
            try:
                return process.decode(index, self._limits)
            except DecodeProcessDied:
                self._discard()

    def close(self) -> None:
        """Release the process."""
        process, self._process = self._process, None
        if process is not None:
            release(process)

    def _ready(self) -> DocumentProcess:
        """Return a process that has the document open."""
        while self._process is None:
            self._process = acquire()
            try:
                self.count = self._process.open(self._kind, self._data, self._limits)
            except DecodeProcessDied:
                self._discard()
        if self.count > self._limits.max_pages:
            raise RejectedImage(Reason.TOO_LARGE, f"{self.count} pages; the limit is {self._limits.max_pages}")
        return self._process

    def _discard(self) -> None:
        process, self._process = self._process, None
        was_slow = process is not None and discard(process)
        self._deaths += 1
        self.is_lost = was_slow or self._deaths == _MAX_DEATHS
        if was_slow:  # another attempt is slow, too
            raise RejectedImage(Reason.TOO_LARGE, "decoding a page takes longer than any scan or photo does")
        if self.is_lost:
            raise RejectedImage(Reason.CRASHES_READER)
