"""PDF and HEIC -> pages, each as a person sees it, decoded by a process that may die of it.

`document_worker` says why. Each document has a process to itself while it is read, so that several are decoded side by
side.
"""

from collections.abc import Iterator

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import document_process
from digitrec.images.document_process import DocumentProcess, ProcessDied
from digitrec.images.formats import Kind
from digitrec.types import Limits, Reason

_MOST_DEATHS = 3


def pages(kind: Kind, data: bytes, limits: Limits, only: int | None = None) -> Iterator[Picture | RejectedImage]:
    """Decode every page, or the one with this number, from 1; or say why one cannot be decoded.

    RejectedImage for the whole file: damaged, encrypted, too many pages, too slow, or three processes died of it.
    """
    document = _Document(kind, data, limits)
    try:
        for index in range(document.count) if only is None else range(only - 1, min(only, document.count)):
            try:
                yield document.decode(index)
            except RejectedImage as why:
                if document.is_lost or document.count == 1:
                    raise
                yield why
    finally:
        document.close()


class _Document:
    """A document that survives the process that decodes it."""

    def __init__(self, kind: Kind, data: bytes, limits: Limits) -> None:
        self._kind = kind
        self._data = data
        self._limits = limits
        self._deaths = 0
        self._process: DocumentProcess | None = None
        self.is_lost = False
        """True if no process can be found that survives it."""
        self.count = 0
        """Pages."""
        try:
            self._ready()
        except BaseException:
            self.close()
            raise

    def decode(self, index: int) -> Picture:
        """One page, (h, w) or (h, w, 3); RejectedImage if it cannot be decoded."""
        while True:
            process = self._ready()
            try:
                return process.decode(index, self._limits)
            except ProcessDied:
                self._discard()

    def close(self) -> None:
        """Let the process wait for another document."""
        process, self._process = self._process, None
        if process is not None:
            document_process.release(process)

    def _ready(self) -> DocumentProcess:
        """A process that has the document open."""
        while self._process is None:
            self._process = document_process.acquire()
            try:
                self.count = self._process.open(self._kind, self._data, self._limits)
            except ProcessDied:
                self._discard()
        if self.count > self._limits.max_pages:
            raise RejectedImage(Reason.TOO_LARGE, f"{self.count} pages; the limit is {self._limits.max_pages}")
        return self._process

    def _discard(self) -> None:
        process, self._process = self._process, None
        was_slow = process is not None and document_process.discard(process)
        self._deaths += 1
        self.is_lost = was_slow or self._deaths == _MOST_DEATHS
        if was_slow:  # another try would be, too
            raise RejectedImage(Reason.TOO_LARGE, "decoding a page takes longer than any scan or photo does")
        if self.is_lost:
            raise RejectedImage(Reason.CRASHES_READER)
