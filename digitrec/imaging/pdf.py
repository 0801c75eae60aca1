"""PDF -> pages: every page drawn as a person sees it, by a process that may die of it.

`pdf_artist` says why. Each document has a process to itself while it is read, so that several are drawn side by side.
"""

from collections.abc import Iterator

from digitrec.errors import RejectedImage
from digitrec.imaging import pdf_process
from digitrec.imaging.pdf_process import Artist, Died
from digitrec.pictures import Picture
from digitrec.records import Limits, Reason

_MOST_DEATHS = 3


def pages(data: bytes, limits: Limits, only: int | None = None) -> Iterator[Picture | RejectedImage]:
    """Draw every page, or the one with this number, from 1; or say why one cannot be drawn.

    RejectedImage for the whole file: damaged, encrypted, too many pages, too slow, or three processes died of it.
    """
    document = _Document(data, limits)
    try:
        for index in range(document.count) if only is None else range(only - 1, min(only, document.count)):
            try:
                yield document.draw(index)
            except RejectedImage as why:
                if document.is_lost or document.count == 1:
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
        self._artist: Artist | None = None
        self.is_lost = False
        """True if no process can be found that survives it."""
        self.count = 0
        """Pages."""
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
            except Died:
                self._bury()

    def close(self) -> None:
        """Let the process wait for another document."""
        artist, self._artist = self._artist, None
        if artist is not None:
            pdf_process.put_back(artist)

    def _ready(self) -> Artist:
        """A process that has the document open."""
        while self._artist is None:
            self._artist = pdf_process.hire()
            try:
                self.count = self._artist.open(self._data, self._limits)
            except Died:
                self._bury()
        if self.count > self._limits.max_pages:
            raise RejectedImage(Reason.TOO_LARGE, f"{self.count} pages; the limit is {self._limits.max_pages}")
        return self._artist

    def _bury(self) -> None:
        artist, self._artist = self._artist, None
        was_slow = artist is not None and pdf_process.dismiss(artist)
        self._deaths += 1
        self.is_lost = was_slow or self._deaths == _MOST_DEATHS
        if was_slow:  # another try would be, too
            raise RejectedImage(Reason.TOO_LARGE, "drawing a page takes longer than any scan does")
        if self.is_lost:
            raise RejectedImage(Reason.CRASHES_READER)
