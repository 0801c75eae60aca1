"""Open originals, and make the images that a browser shows: whole page, zoom on the digits, thumbnail.

A page is decoded once, at most two pages at a time, and cached in memory with a longest side of `_PAGE_PX`; every
image is made from the cached page.
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
    """The original is gone, or another file has its name; the message says which."""


def read_original(outbox: Path, location: str, sha256: str, max_bytes: int) -> bytes:
    """Read an original without following links below the outbox.

    Args:
        outbox: folder of the archive; may itself be a link.
        location: path of the original in the ledger, relative to the workspace.
        sha256: digest of the bytes that were recognised.
        max_bytes: a larger file is not read.

    Raises:
        OriginalMissing: the original was pruned, requeued, replaced or changed, or is not archived yet.
    """
    top, *parts = location.split("/")
    if top != outbox.name or not parts or any(part in {"", ".", ".."} for part in parts):
        raise OriginalMissing("the original is not archived")
    try:
        descriptor = open_below(outbox, parts)
    except OSError as why:
        raise OriginalMissing(f"the original cannot be opened: {os.strerror(why.errno or 0)}") from why
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
            raise OriginalMissing("the original is not a regular file, or is too large")
        data = file.read(max_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OriginalMissing("another file has the name of the original")
    return data


def open_below(root: Path, parts: list[str]) -> int:
    """Open a file below a folder, folder by folder and without following links; return its descriptor."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


_MAX_PNG_PIXELS = 250_000
"""Larger images are sent as JPEG: a tenth of the bytes and of the time."""
_JPEG_QUALITY = 92
_CACHE_BYTES = 64_000_000
"""Limit of the cache: some 100 whole pages, or 2,000 thumbnails. Set by hand."""
_MAX_DECODERS = 2

_SMALL_DIGIT = 0.16
"""Digits lower than this share of the longest side of the page are shown enlarged (`View.NEAR`)."""


class View(StrEnum):
    """Part and size of a page that is shown; the value is part of addresses."""

    WHOLE = "whole"
    NEAR = "near"
    SMALL = "small"
    FULL = "full"


_PAGE_PX = 2400
_ZOOMED = {View.NEAR, View.SMALL}
_LONGEST_PX = {View.WHOLE: 1000, View.NEAR: 800, View.SMALL: 352, View.FULL: _PAGE_PX}
_SMALL_HEIGHT_PX = 176
_NUMBER_MARGIN = 0.4
"""Margin around a number that is cut out, as a share of its height."""


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image for a browser."""

    data: bytes
    is_original: bool
    """False for the preview from the ledger, used if the original is gone."""

    @property
    def media_type(self) -> str:
        """Return the media type of the response."""
        return "image/png" if self.data.startswith(b"\x89PNG") else "image/jpeg"


class ImageUnavailable(Exception):
    """Neither the original nor a preview can be shown; the message holds the cause."""


class PageImages:
    """Images of answers, with a cache; thread-safe."""

    def __init__(self, outbox: Path, limits: Limits) -> None:
        self._outbox = outbox
        self._limits = limits
        self._decoding = threading.BoundedSemaphore(_MAX_DECODERS)
        self._cache = _Cache(_CACHE_BYTES)
        self._latest: tuple[object, Picture] | None = None
        """The page that was read last, decoded: a grid may show many numbers of one page."""

    def render(self, row: TableRow, location: str, preview: bytes | None, view: View, number: int = 0) -> PageImage:
        """Return the image of an answer.

        Args:
            row: the row, with its digits.
            location: path of the original, relative to the workspace.
            preview: PNG from the ledger, if there is one.
            view: part and size of the page.
            number: position of the number that is cut out, from 1; 0 for the page.

        Raises:
            ImageUnavailable: there is neither an original nor a preview.
        """
        zoom_box = _find_box(row, view, number)
        # The key holds the box: two models may have found different digits in the same bytes.
        key = (row.sha256, row.reading.page, view.value, zoom_box)
        try:
            data = self._cache.get(key)
            if data is None:  # two threads may rarely do the same work, which is harmless
                # The page is not cached for thumbnails: a grid requests a hundred, and few are opened afterwards.
                page = self._read_page(row, location, is_small=view is View.SMALL and zoom_box is None)
                data = _encode(_fit(_crop(page, zoom_box, row), view))
                self._cache.put(key, data)
            return PageImage(data, is_original=True)
        except (OriginalMissing, RejectedImage) as why:
            if preview is None:
                raise ImageUnavailable(str(why)) from why
            return PageImage(preview, is_original=False)

    def _read_page(self, row: TableRow, location: str, *, is_small: bool) -> Picture:
        key = (row.sha256, row.reading.page, "page", None)
        with self._decoding:
            latest, data = self._latest, self._cache.get(key)
            if latest is not None and latest[0] == key:
                return latest[1]
            if data is not None:
                self._latest = key, _decode(data)
                return self._latest[1]
            original = read_original(self._outbox, location, row.sha256, self._limits.max_bytes)
            decoded = decode.decode_page(original, self._limits, row.reading.page)
            picture = decoded.at_least_px(_LONGEST_PX[View.SMALL]) if is_small else decoded.full_detail()
            if isinstance(picture, RejectedImage):
                raise picture
            page = downscale(picture, _PAGE_PX)
            if not is_small:
                self._cache.put(key, _encode(page))
            return page


def draw_preview(outbox: Path, limits: Limits, row: TableRow, location: str) -> bytes:
    """Draw the gray thumbnail of an answer (PNG), equal to the preview that the ledger stores.

    Raises:
        OriginalMissing: the original is gone.
        RejectedImage: the original cannot be decoded.
    """
    original = read_original(outbox, location, row.sha256, limits.max_bytes)
    picture = decode.decode_page(original, limits, row.reading.page).at_least_px(SMALL_PX)
    if isinstance(picture, RejectedImage):
        raise picture
    return _encode(Thumbnail.of(picture, SMALL_PX).preview)


def _find_box(row: TableRow, view: View, number: int) -> Box | None:
    if number:
        return find_number_box(row, number)
    if view is View.SMALL and (box := find_thumbnail_box(row)):
        return box
    return find_zoom_box(row) if view in _ZOOMED else None


def find_number_box(row: TableRow, number: int) -> Box | None:
    """Return the box around a number with a margin, in pixels of the page; None if it is not on the page."""
    box = row.reading.numbers[number - 1].box
    return _add_margin(box, round(_NUMBER_MARGIN * box.height), row)


def find_thumbnail_box(row: TableRow) -> Box | None:
    """Return the part of a page that its thumbnail shows; None for the whole page."""
    if find_zoom_box(row) is None:
        return None
    return find_number_box(row, 1) if len(row.reading.numbers) == 1 else find_zoom_box(row)


def find_zoom_box(row: TableRow) -> Box | None:
    """Return the box around small digits with a margin, in pixels of the page; None if the digits are large enough."""
    boxes = [digit.box for digit in row.reading.digits]
    width, height = row.reading.width or 0, row.reading.height or 0
    margin = max((box.height for box in boxes), default=0)
    if not 0 < margin < _SMALL_DIGIT * max(width, height):
        return None
    return _add_margin(Box.enclose(boxes), margin, row)


def _add_margin(box: Box, margin: int, row: TableRow) -> Box | None:
    width, height = row.reading.width, row.reading.height
    if not width or not height:
        return None
    left, top = max(0, box.x - margin), max(0, box.y - margin)
    right, bottom = min(width, box.x + box.width + margin), min(height, box.y + box.height + margin)
    return Box(left, top, right - left, bottom - top) if left < right and top < bottom else None


def _fit(picture: Picture, view: View) -> Picture:
    """Downscale a picture to the size of a view; a thumbnail has a limit of its height, too."""
    longest = _LONGEST_PX[view]
    if view is View.SMALL:
        height, width = picture.shape[:2]
        longest = min(longest, max(1, _SMALL_HEIGHT_PX * max(height, width) // height))
    return downscale(picture, longest)


class _Cache:
    """Least-recently-used cache with a limit in bytes; thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._items: OrderedDict[object, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, key: object) -> bytes | None:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: object, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._items.pop(key, b""))
            self._items[key] = data
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._items.popitem(last=False)[1])


def _crop(page: Picture, box: Box | None, row: TableRow) -> Picture:
    """Crop a box given in pixels of the original page; `page` may be a downscaled copy."""
    width, height = row.reading.width, row.reading.height
    if box is None or not width or not height:
        return page
    y_scale, x_scale = page.shape[0] / height, page.shape[1] / width
    top, left = int(box.y * y_scale), int(box.x * x_scale)
    bottom, right = round((box.y + box.height) * y_scale), round((box.x + box.width) * x_scale)
    return page[top : max(bottom, top + 1), left : max(right, left + 1)]


def _decode(data: bytes) -> Picture:
    page = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert page is not None  # `_encode` made these bytes
    return np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2RGB) if page.ndim == 3 else page, np.uint8)


def _encode(picture: Picture) -> bytes:
    """Encode a picture as PNG, or as JPEG above `_MAX_PNG_PIXELS`."""
    colors = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    if picture.shape[0] * picture.shape[1] <= _MAX_PNG_PIXELS:
        is_encoded, data = cv2.imencode(".png", colors, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    else:
        is_encoded, data = cv2.imencode(".jpg", colors, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not is_encoded:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return data.tobytes()
