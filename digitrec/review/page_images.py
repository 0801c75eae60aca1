"""Originals -> what a browser shows: the page, the part of it where the digits are, a small copy. Kept in memory.

A page is decoded once, at most two at a time, and kept with at most `_PAGE_PX`; what is shown is made from that.
"""

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.recognition.preprocess import SMALL_PX, Thumbnail, downscale
from digitrec.types import Box, Limits, TableRow

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OriginalMissing(Exception):
    """There is no such original any more, or another file has its name; says which."""


def read_original(outbox: Path, place: str, sha256: str, most_bytes: int) -> bytes:
    """The bytes of an original.

    Args:
        outbox: may be a link itself: that is the owner's business.
        place: where the ledger says it lies, under the workspace.
        sha256: of the bytes that were read.
        most_bytes: a larger one is not read.

    Raises:
        Gone: it was pruned, requeued, replaced or changed, or never filed away.
    """
    top, *parts = place.split("/")
    if top != outbox.name or not parts or any(part in {"", ".", ".."} for part in parts):
        raise OriginalMissing("the original was not filed away")
    try:
        descriptor = _opened(outbox, parts)
    except OSError as why:
        raise OriginalMissing(f"the original cannot be opened: {os.strerror(why.errno or 0)}") from why
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most_bytes:
            raise OriginalMissing("what lies there is no picture file, or is too large")
        data = file.read(most_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OriginalMissing("another file has the name of the original")
    return data


def _opened(outbox: Path, parts: list[str]) -> int:
    folder = os.open(outbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


_PAGE_PX = 2400
_SHARP_PIXELS = 250_000
"""Up to so many, PNG; more as JPEG: a tenth of the bytes and of the time."""
_QUALITY = 92
_MOST_BYTES = 256_000_000
_AT_ONCE = 2

_SMALL_DIGIT = 0.16
"""Digits that are lower than this share of the page's longest side are shown near."""


class View(StrEnum):
    """What is shown of a page."""

    WHOLE = "whole"
    NEAR = "near"
    SMALL = "small"


_LONGEST_PX = {View.WHOLE: 1000, View.NEAR: 800, View.SMALL: 176}


@dataclass(frozen=True, slots=True)
class PageImage:
    """A picture for a browser."""

    data: bytes
    is_original: bool
    """False for the small copy that the ledger kept: the original is gone."""

    @property
    def media_type(self) -> str:
        """What a browser calls it."""
        return "image/png" if self.data.startswith(b"\x89PNG") else "image/jpeg"


class ImageUnavailable(Exception):
    """Neither the original nor a small copy of it can be shown; says why."""


class PageImages:
    """Pictures of answers; for several threads at once."""

    def __init__(self, outbox: Path, limits: Limits) -> None:
        self._outbox = outbox
        self._limits = limits
        self._decoding = threading.BoundedSemaphore(_AT_ONCE)
        self._kept = _Kept(_MOST_BYTES)

    def render(self, row: TableRow, place: str, preview: bytes | None, view: View) -> PageImage:
        """The picture of an answer.

        Args:
            row: with its digits.
            place: where the original lies, under the workspace.
            preview: what the ledger kept of it, PNG.
            view: how much of it.

        Raises:
            NoPicture: there is none.
        """
        part = find_zoom_box(row) if view is not View.WHOLE else None
        # The boxes belong to the answer, not to the bytes: two models may have cut the same picture differently.
        key = (row.sha256, row.reading.page, view.value, part)

        def drawn() -> bytes:
            # A hundred small ones are asked for at once, and hardly one of them large afterwards.
            page = self._page(row, place, is_small=view is View.SMALL and part is None)
            return _encoded(downscale(_cut(page, part, row), _LONGEST_PX[view]))

        try:
            data = self._kept.find(key)
            if data is None:  # two threads may draw the same: that is rare, and no harm
                self._kept.keep(key, data := drawn())
            return PageImage(data, is_original=True)
        except (OriginalMissing, RejectedImage) as why:
            if preview is None:
                raise ImageUnavailable(str(why)) from why
            return PageImage(preview, is_original=False)

    def _page(self, row: TableRow, place: str, *, is_small: bool) -> Picture:
        key = (row.sha256, row.reading.page, "page", None)
        with self._decoding:
            data = self._kept.find(key)
            if data is not None:
                return _decoded(data)
            original = read_original(self._outbox, place, row.sha256, self._limits.max_bytes)
            sheet = decode.decode_page(original, self._limits, row.reading.page)
            picture = sheet.at_least_px(_LONGEST_PX[View.SMALL]) if is_small else sheet.full_detail()
            if isinstance(picture, RejectedImage):
                raise picture
            page = downscale(picture, _PAGE_PX)
            if not is_small:
                self._kept.keep(key, _encoded(page))
            return page


def draw_preview(outbox: Path, limits: Limits, row: TableRow, place: str) -> bytes:
    """Draw the small grey picture of an answer, PNG, as the ledger keeps it of answers that people look at.

    Raises:
        Gone: the original is not there any more.
        RejectedImage: it cannot be decoded.
    """
    sheet = decode.decode_page(read_original(outbox, place, row.sha256, limits.max_bytes), limits, row.reading.page)
    picture = sheet.at_least_px(SMALL_PX)
    if isinstance(picture, RejectedImage):
        raise picture
    return _encoded(Thumbnail.of(picture, SMALL_PX).preview)


def find_zoom_box(row: TableRow) -> Box | None:
    """Small digits with their surroundings, in pixels of the page; None if they are seen well on the whole page."""
    boxes = [one.box for one in row.reading.digits]
    width, height = row.reading.width or 0, row.reading.height or 0
    margin = max((box.height for box in boxes), default=0)
    if not 0 < margin < _SMALL_DIGIT * max(width, height):
        return None
    left = max(0, min(box.x for box in boxes) - margin)
    top = max(0, min(box.y for box in boxes) - margin)
    right = min(width, max(box.x + box.width for box in boxes) + margin)
    bottom = min(height, max(box.y + box.height for box in boxes) + margin)
    return Box(left, top, right - left, bottom - top)


class _Kept:
    """What was made lately, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._made: OrderedDict[object, bytes] = OrderedDict()
        self._bytes = 0

    def find(self, key: object) -> bytes | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def keep(self, key: object, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._made.pop(key, b""))
            self._made[key] = data
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._made.popitem(last=False)[1])


def _cut(page: Picture, part: Box | None, row: TableRow) -> Picture:
    """A part given in pixels of the page as a person sees it; `page` may be smaller."""
    width, height = row.reading.width, row.reading.height
    if part is None or not width or not height:
        return page
    down, across = page.shape[0] / height, page.shape[1] / width
    top, left = int(part.y * down), int(part.x * across)
    bottom, right = round((part.y + part.height) * down), round((part.x + part.width) * across)
    return page[top : max(bottom, top + 1), left : max(right, left + 1)]


def _decoded(data: bytes) -> Picture:
    page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert page is not None  # it was encoded here
    return np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2RGB) if page.ndim == 3 else page, np.uint8)


def _encoded(picture: Picture) -> bytes:
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    is_sharp = picture.shape[0] * picture.shape[1] <= _SHARP_PIXELS
    how = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]) if is_sharp else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    done, data = cv2.imencode(how[0], colours, how[1])
    if not done:
        raise ValueError(f"no picture of shape {picture.shape}")
    return data.tobytes()
