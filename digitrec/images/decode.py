"""Decode files into pages; the format is detected by content, within limits.

Pillow is imported on first use: plain PNG and JPEG files do not need it.

`DECODERS` lists the supported formats. A decoder takes the whole file and yields its pages one by one, so that a
document of 500 pages is never decoded in memory at once. To add a format: its magic in `formats`, a decoder here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import integrity, tiff
from digitrec.images.formats import FileFormat, detect_format
from digitrec.types import Limits, Reason

if TYPE_CHECKING:
    from PIL import Image

FAST_PATH_PX, MEDIUM_PX, FULL_DETAIL_PX = 96, 400, 870
"""Least longest side of a JPEG decoded at a half, quarter or eighth: for the fast path, for medium size, and for full
detail."""

_PLAIN_CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"cHRM", b"sRGB"}
"""Chunks of a PNG without transparency, animation and orientation."""
_PLAIN_PNG = {bytes((8, 0, 0, 0, 0)): cv2.IMREAD_GRAYSCALE, bytes((8, 2, 0, 0, 0)): cv2.IMREAD_COLOR_RGB}
"""Bit depth, color type, compression, filter and interlace of PNGs with plain gray levels or colors."""

_PLAIN_MARKERS = {0xD8, 0xE0, 0xFE, 0xDB, 0xC0, 0xC2, 0xC4, 0xDD, 0xDA, 0xD9}
"""Markers of JPEGs without EXIF, and so without orientation: tables, scans, comments."""
_PLAIN_JPEG = {"Gray": "GRAY", "YCbCr": "RGB"}
"""Color space of the file, and the one to decode to."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPage:
    """One decoded page of a file."""

    number: int
    """From 1."""
    width: int
    """Size of the upright page; `picture` may be smaller."""
    height: int
    picture: Picture | RejectedImage
    """Or the reason why this page of several cannot be decoded."""
    decode_larger: Callable[[int], Picture] | None = None
    """Decodes the page again with a least longest side; None if `picture` has the full size."""

    @property
    def size(self) -> int:
        """Number of pixel values in memory."""
        return 0 if isinstance(self.picture, RejectedImage) else self.picture.size

    def at_least_px(self, longest_px: int) -> Picture | RejectedImage:
        """Return the picture with a least longest side, if the file has it, or its rejection."""
        if (
            self.decode_larger is None
            or isinstance(self.picture, RejectedImage)
            or max(self.picture.shape) >= longest_px
        ):
            return self.picture
        try:
            return self.decode_larger(longest_px)
        except RejectedImage as why:  # only the reduced size could be decoded
            return why.without_traceback()

    def full_detail(self) -> Picture | RejectedImage:
        """Return the picture with all useful detail."""
        return self.at_least_px(FULL_DETAIL_PX)


Decoder = Callable[[FileFormat, bytes, Limits], Iterator[DecodedPage]]


def require_format(data: bytes, limits: Limits) -> FileFormat:
    """Return the format of a file, or raise RejectedImage: empty, too large, no picture, or an unsupported format."""
    if not data:
        raise RejectedImage(Reason.EMPTY_FILE)
    if len(data) > limits.max_bytes:
        raise RejectedImage(Reason.TOO_LARGE, f"{len(data)} bytes; the limit is {limits.max_bytes}")
    kind = detect_format(data)
    if kind is None:
        raise RejectedImage(Reason.NOT_AN_IMAGE)
    if kind.name not in DECODERS:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, f"{kind.words} is not read{kind.advice}")
    return kind


def decode_pages(data: bytes, limits: Limits) -> tuple[str, Iterator[DecodedPage]]:
    """Return the name of a file's format, and an iterator that decodes its pages.

    Raises RejectedImage, at once or with the first pages, if the file has none: empty, no picture, cut off,
    unsupported, or over a limit.
    """
    kind = require_format(data, limits)
    return kind.name, DECODERS[kind.name](kind, data, limits)


def is_multi_page(name: str) -> bool:
    """Return True if files of this format may have several pages."""
    return name in DOCUMENTS


def decode_page(data: bytes, limits: Limits, number: int) -> DecodedPage:
    """Decode only page `number`, from 1; RejectedImage if it does not exist or cannot be decoded."""
    kind = require_format(data, limits)
    only = DOCUMENTS.get(kind.name)
    pages = only(kind, data, limits, number) if only else DECODERS[kind.name](kind, data, limits)
    for page in islice(pages, 0 if only else number - 1, None):
        if isinstance(page.picture, RejectedImage):
            raise page.picture
        return page
    raise RejectedImage(Reason.TRUNCATED, f"there is no page {number}")


def _decode_still(plugin: str, kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """Decode a file with one picture, or the first picture of an animation."""
    from digitrec.images import pillow

    with pillow.strict_pillow(kind.words):
        image = pillow.open_image(data, plugin)
        _check_pixels(*image.size, limits)
        image.load()
        turn = pillow.read_orientation(image)
        picture = pillow.apply_orientation(pillow.to_picture(image), turn)
    yield DecodedPage(1, *_upright_size(image.size, turn), picture)


def _decode_bmp(kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """Decode a BMP.

    Where a palette is just black and white, Pillow takes every bit for a pixel, also if a pixel has 4 or 8 bits. Any
    other black keeps it from that.
    """
    palette = 14 + int.from_bytes(data[14:18], "little")
    has_large_pixels = data[28:30] in {b"\x04\x00", b"\x08\x00"}
    if has_large_pixels and data[46:50] == b"\x02\0\0\0" and data[palette : palette + 3] == bytes(3):
        data = data[:palette] + b"\x01" + data[palette + 1 :]
    return _decode_still("BMP", kind, data, limits)


def _decode_png(kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """Decode a PNG: a plain one with OpenCV, ten times as fast for small files; others with Pillow."""
    chunks = integrity.check_png(data)
    is_plain = chunks <= _PLAIN_CHUNKS and data.startswith(b"IHDR", 12)
    mode = _PLAIN_PNG.get(data[24:29]) if is_plain else None
    if mode is not None:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        _check_pixels(width, height, limits)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        if picture is not None:  # else it is damaged, and Pillow has the message
            yield DecodedPage(1, width, height, np.asarray(picture, np.uint8))
            return
    yield from _decode_still("PNG", kind, data, limits)


def _decode_jpeg(kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """Decode a JPEG at the size of the fast path: a plain one with libjpeg-turbo, others with Pillow."""
    sheet = _decode_plain_jpeg(data, limits) if integrity.check_jpeg(data) <= _PLAIN_MARKERS else None
    if sheet is not None:
        yield sheet
        return
    from digitrec.images import pillow

    with pillow.strict_pillow(kind.words):
        image = pillow.open_image(data, "JPEG")
        full = image.size
        _check_pixels(*full, limits)
        turn = pillow.read_orientation(image)
        picture = _decode_draft(image, turn, FAST_PATH_PX)
    is_reduced = image.size != full

    def decode_larger(longest_px: int) -> Picture:
        with pillow.strict_pillow(kind.words):
            return _decode_draft(pillow.open_image(data, "JPEG"), turn, longest_px)

    yield DecodedPage(1, *_upright_size(full, turn), picture, decode_larger if is_reduced else None)


def _decode_plain_jpeg(data: bytes, limits: Limits) -> DecodedPage | None:
    """Decode a plain JPEG; None if it is not plain or is damaged, which Pillow then reports."""
    try:
        height, width, packed, _ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(width, height, limits)
        if packed not in _PLAIN_JPEG:
            return None
        picture = _decode_turbo(data, _PLAIN_JPEG[packed], (height, width), FAST_PATH_PX)
    except ValueError:
        return None

    def decode_larger(longest_px: int) -> Picture:
        try:
            return _decode_turbo(data, _PLAIN_JPEG[packed], (height, width), longest_px)
        except ValueError as why:
            raise integrity.truncated("JPEG is cut off or damaged") from why

    return DecodedPage(1, width, height, picture, decode_larger if picture.shape[:2] != (height, width) else None)


def _decode_turbo(data: bytes, colours: str, size: tuple[int, int], longest_px: int) -> Picture:
    """Decode a plain JPEG at the smallest scale, down to an eighth, that keeps a least longest side."""
    by = _scale_divisor(max(size), longest_px)
    picture: Picture = simplejpeg.decode_jpeg(
        data, colours, min_height=size[0] // by, min_width=size[1] // by, min_factor=by
    )
    return picture[..., 0] if colours == "GRAY" else picture


def _decode_draft(image: "Image.Image", turn: int, longest_px: int) -> Picture:
    """Decode a JPEG at the smallest scale that keeps a least longest side."""
    from digitrec.images.pillow import apply_orientation, to_picture

    by = _scale_divisor(max(image.size), longest_px)
    image.draft(None, (max(1, image.width // by), max(1, image.height // by)))
    image.load()
    return apply_orientation(to_picture(image), turn)


def _scale_divisor(longest: int, longest_px: int) -> int:
    """Return the divisor of a JPEG's size at decoding: 1, 2, 4 or 8."""
    return next((by for by in (8, 4, 2) if longest >= by * longest_px), 1)


def _upright_size(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Return the width and height of the upright picture."""
    return (size[1], size[0]) if turn in {5, 6, 7, 8} else size


def _decode_measured(
    plugin: str, canvas: Callable[[bytes], tuple[int, int]], kind: FileFormat, data: bytes, limits: Limits
) -> Iterator[DecodedPage]:
    """Do the same for formats whose plugin allocates all pixels when it opens the file."""
    _check_pixels(*canvas(data), limits)
    return _decode_still(plugin, kind, data, limits)


def _decode_tiff(kind: FileFormat, data: bytes, limits: Limits, only: int | None = None) -> Iterator[DecodedPage]:
    """Decode all pages or one. A page that cannot be decoded costs its own row; a cut-off file is rejected."""
    from digitrec.images import pillow

    directories = tiff.read_directories(data, limits.max_pages)
    if len(directories) > limits.max_pages:
        raise RejectedImage(Reason.TOO_LARGE, f"more than {limits.max_pages} pages")
    _check_compression(directories[0])  # Pillow opens no TIFF whose first page it cannot read
    pages = [sheet for sheet in directories if sheet.is_page] or directories
    with pillow.strict_pillow(kind.words):
        image = pillow.open_image(data, "TIFF")
    for number, page in enumerate(pages, start=1):
        if only not in (None, number):
            continue
        picture: Picture | RejectedImage
        try:
            picture = _decode_tiff_page(kind, image, page, limits)
        except RejectedImage as why:
            if len(pages) == 1:
                raise
            yield DecodedPage(number, page.width, page.height, why.without_traceback())
        else:
            height, width = picture.shape[:2]
            yield DecodedPage(number, width, height, picture)


def _decode_tiff_page(kind: FileFormat, image: "Image.Image", page: tiff.TiffDirectory, limits: Limits) -> Picture:
    from digitrec.images import pillow

    _check_pixels(page.width, page.height, limits)
    _check_compression(page)
    with pillow.strict_pillow(kind.words):
        image.seek(page.index)
        _check_pixels(*image.size, limits)
        pillow.check_planes(image)
        image.load()  # turns the page as its orientation tag says
        return pillow.to_picture(image)


def _decode_document(
    check: Callable[[bytes], None], kind: FileFormat, data: bytes, limits: Limits, only: int | None = None
) -> Iterator[DecodedPage]:
    """Decode all pages or one in another process. A page that cannot be decoded costs its own row.

    The primary picture is the only page of a HEIC.
    """
    from digitrec.images import documents

    check(data)
    for number, picture in enumerate(documents.decode_document(kind, data, limits, only), start=only or 1):
        height, width = (0, 0) if isinstance(picture, RejectedImage) else picture.shape[:2]
        yield DecodedPage(number, width, height, picture)


def _check_compression(page: tiff.TiffDirectory) -> None:
    if not page.is_parsed:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, f"TIFF compression {page.compression} is not read")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise RejectedImage(Reason.TOO_LARGE, f"{width} x {height} pixels; the limit is {limits.max_pixels}")


DECODERS: dict[str, Decoder] = {
    "png": _decode_png,
    "jpeg": _decode_jpeg,
    "tiff": _decode_tiff,
    "bmp": _decode_bmp,
    "gif": partial(_decode_measured, "GIF", integrity.gif_canvas),
    "webp": partial(_decode_measured, "WEBP", integrity.webp_canvas),
    "pbm": partial(_decode_still, "PPM"),
    "pgm": partial(_decode_still, "PPM"),
    "ppm": partial(_decode_still, "PPM"),
    "jpeg2000": partial(_decode_still, "JPEG2000"),
    "heic": partial(_decode_document, integrity.check_heic),
    "pdf": partial(_decode_document, integrity.check_pdf),
}
DOCUMENTS: dict[str, Callable[[FileFormat, bytes, Limits, int], Iterator[DecodedPage]]] = {
    "tiff": _decode_tiff,
    "pdf": partial(_decode_document, integrity.check_pdf),
}
"""Formats whose pages can be decoded independently."""
