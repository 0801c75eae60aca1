"""Decode with Pillow in strict mode: given format, no warnings, own limits.

Pillow's settings and Python's warning filters are global and not thread-safe: the first thread sets them, and the last
one restores them.
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

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.types import Reason

_DEEP = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_BITS_PER_SAMPLE = 258
"""The TIFF tag; scanners keep 12 bits in words of 16."""
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_PLANES, _SEPARATE = 284, 2
_UNKNOWN_PIXELS = "unknown pixel mode"
"""What Pillow says of a TIFF whose pixels it cannot read, such as floats of 16 bits."""

_MIN_VISIBLE_ALPHA = 128
"""Least alpha of a visible pixel."""

_BAND_PIXELS = 1_000_000
"""Pixels converted to floats at a time."""


def to_picture(image: Image.Image) -> Picture:
    """Convert a loaded image to (h, w) gray or (h, w, 3) RGB, 0 = black, 255 = white."""
    if image.mode in _DEEP:
        return _to_8_bit(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _flatten_alpha(np.asarray(image.convert("RGBA")))
    if image.mode in {"L", "RGB"}:
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    return np.asarray(image.convert("RGB"))


def apply_orientation(picture: Picture, orientation: int) -> Picture:
    """Apply an EXIF orientation, 1..8; other numbers are ignored.

    >>> apply_orientation(np.array([[1, 2]], np.uint8), 6).tolist()
    [[1], [2]]
    """
    if orientation in {5, 6, 7, 8}:
        picture = picture.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        picture = picture[::-1]
    if orientation in {2, 3, 6, 7}:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def _to_8_bit(image: Image.Image) -> Picture:
    """Scale more than eight bits to 0..255: from the declared range, or from the extremes if it is not declared."""
    values = np.asarray(image).astype(np.float32)  # (h, w)
    tags = getattr(image, "tag_v2", {})
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min(initial=0))
    if image.mode != "F" and values.min() >= 0 and values.max() <= 65535:
        low, high = 0.0, float(2 ** min(16, int(tags.get(_BITS_PER_SAMPLE, (16,))[0])) - 1)
    else:
        low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / max(high - low, 1e-9))
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts fewer bits itself
        scaled = 255 - scaled
    picture: Picture = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return picture


def _flatten_alpha(rgba: NDArray[np.uint8]) -> Picture:
    """Blend a picture with transparent parts, (h, w, 4), with a background that keeps its ink readable.

    Strokes on a transparent background get a contrasting one: white under dark ink, black under light. An opaque page
    with holes or soft corners gets its own color there.
    """
    if rgba[..., 3].min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    paper = _paper_color(rgba)
    laid: Picture = np.empty((*rgba.shape[:2], 3), np.uint8)
    for rows in _bands(rgba.shape):
        cover = rgba[rows, :, 3:].astype(np.float32) / 255
        laid[rows] = np.rint(rgba[rows, :, :3] * cover + paper * (1 - cover)).astype(np.uint8)
    return laid


def _paper_color(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the background color, (3,), of a picture with transparent parts."""
    counts = np.zeros((3, 256), np.int64)  # of the levels of each channel, at visible pixels
    for rows in _bands(rgba.shape):
        is_seen = rgba[rows, :, 3] >= _MIN_VISIBLE_ALPHA  # (h, w)
        counts += [np.bincount(rgba[rows, :, channel][is_seen], minlength=256) for channel in range(3)]
    number = int(counts[0].sum())
    upto = counts.cumsum(axis=1)
    middles = ((number - 1) // 2, number // 2)
    drawn = np.mean([(upto <= at).sum(axis=1) for at in middles], axis=0) if number else np.zeros(3)  # median, (3,)
    is_drawn = number > rgba[..., 3].size / 2
    return (drawn if is_drawn else np.full(3, 255.0 if drawn.mean() < 128 else 0.0)).astype(np.float32)


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of a picture of this shape, (h, w, ...), some at a time: floats of all would take gigabytes."""
    step = max(1, _BAND_PIXELS // shape[1])
    return (slice(top, top + step) for top in range(0, shape[0], step))


# Pillow logs what it also raises; a bad file is reported once, by its row.
logging.getLogger("PIL").setLevel(logging.CRITICAL)

DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError),
    *(RuntimeError, AssertionError, BufferError, struct.error, zlib.error, Image.DecompressionBombError),
)
"""Exceptions of Pillow's decoders on damaged files."""


class _PillowSettings:
    """Strict global settings of Pillow while any thread uses it."""

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
def strict_pillow(what: str) -> Iterator[None]:
    """Run Pillow's code for the format named `what`; its exceptions become RejectedImage(truncated)."""
    _PillowSettings.enter()
    try:
        yield
    except DAMAGE as trouble:
        if _UNKNOWN_PIXELS in str(trouble):
            raise _reject_pixels(what) from trouble
        raise RejectedImage(Reason.TRUNCATED, f"this {what} is cut off or damaged") from trouble
    finally:
        _PillowSettings.leave()


def open_image(data: bytes, plugin: str) -> Image.Image:
    """Read the header with one of Pillow's plugins only; call inside `strict_pillow`."""
    if plugin == "TIFF":
        _silence_libtiff()
        return TiffImagePlugin.TiffImageFile(BytesIO(data))  # `Image.open` hides why it cannot be opened
    return Image.open(BytesIO(data), formats=[plugin])


def check_planes(image: Image.Image) -> None:
    """Raise RejectedImage for a TIFF of 16 bits in separate planes, of which Pillow reads every second byte."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) == _SEPARATE and 16 in tags.get(_BITS_PER_SAMPLE, ()):
        raise _reject_pixels("TIFF")


def _reject_pixels(what: str) -> RejectedImage:
    return RejectedImage(Reason.UNSUPPORTED_FORMAT, f"{what} with pixels of this kind is not read")


@cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to stderr; Pillow raises decoding errors."""
    import ctypes

    table = Path("/proc/self/maps")
    if not table.exists():  # macOS: the messages of libtiff appear on stderr
        return
    with table.open(encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/libtiff" in line}
    for path in paths:
        library = ctypes.CDLL(path)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 if it is missing or damaged, which does not affect the pixels."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGE:
        return 1
