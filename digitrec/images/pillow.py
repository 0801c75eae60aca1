"""Pillow, held to what we allow: no guessing, no warnings, no limits but ours.

Its switches are global and its warnings go through Python's global filters, neither of which is safe to change
from several threads. So the first thread to come in sets them, the last one out puts them back.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import ClassVar

from PIL import ExifTags, Image, ImageFile

from digitrec.errors import RejectedImage
from digitrec.types import Reason

# Pillow logs what it also raises; a bad file is told by its row, once.
logging.getLogger("PIL").setLevel(logging.CRITICAL)

DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError),
    *(RuntimeError, AssertionError, BufferError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""What Pillow's decoders are seen to raise on bytes that are not what their header says."""


class _Peace:
    """Pillow's global switches as we want them, while any thread is inside."""

    _lock = Lock()
    _inside: ClassVar[int] = 0
    _filters: ClassVar["warnings.catch_warnings[None]"]
    _before: ClassVar[tuple[int | None, bool]]

    @classmethod
    def enter(cls) -> None:
        with cls._lock:
            if cls._inside == 0:
                cls._filters = warnings.catch_warnings()
                cls._filters.__enter__()
                warnings.simplefilter("ignore")
                cls._before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
                Image.MAX_IMAGE_PIXELS = None  # `Limits` are checked instead, before anything is decoded
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            cls._inside += 1

    @classmethod
    def leave(cls) -> None:
        with cls._lock:
            cls._inside -= 1
            if cls._inside == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = cls._before
                cls._filters.__exit__(None, None, None)


@contextmanager
def strictly(what: str) -> Iterator[None]:
    """Run Pillow's code for the format named `what`; whatever it trips over becomes RejectedImage(truncated)."""
    _Peace.enter()
    try:
        yield
    except DAMAGE as trouble:
        raise RejectedImage(Reason.TRUNCATED, f"this {what} is cut off or damaged") from trouble
    finally:
        _Peace.leave()


def opened(data: bytes, plugin: str) -> Image.Image:
    """Read the header with one of Pillow's plugins, and no other; to be called inside `strictly`."""
    if plugin == "TIFF":
        _silence_libtiff()
    return Image.open(BytesIO(data), formats=[plugin])


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to standard error, beside the log; Pillow raises what it cannot decode."""
    import ctypes

    with Path("/proc/self/maps").open(encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/libtiff" in line}
    for path in paths:
        library = ctypes.CDLL(path)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def orientation(image: Image.Image) -> int:
    """EXIF's 1..8; 1 if there is none or it cannot be read: damage there does not touch the pixels."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return 1
