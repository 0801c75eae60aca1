"""Bytes -> pages, by content and within limits.

`DECODERS` is the list of what is parsed. A decoder takes the whole file and yields its pages one by one, so that
a document of 500 pages never lies decoded in memory at once. To add a format: its magic in `kinds`, a decoder here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import documents, integrity, pillow, tiff
from digitrec.images.formats import FileFormat, detect_format
from digitrec.images.pillow import apply_orientation, to_picture
from digitrec.types import Limits, Reason

FAST_PATH_PX, MEDIUM_PX, FULL_DETAIL_PX = 96, 400, 870
"""A JPEG is decoded at a half, quarter or eighth if its longest side keeps so many pixels: for a glance, for a look at
half the detail, and for all that is of use."""

_PLAIN_CHUNKS = {b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"cHRM", b"sRGB"}
"""No transparency, no animation, nothing that tells how the picture is turned."""
_PLAIN_PNG = {bytes((8, 0, 0, 0, 0)): cv2.IMREAD_GRAYSCALE, bytes((8, 2, 0, 0, 0)): cv2.IMREAD_COLOR_RGB}
"""Bits, colour type, compression, filter and interlace of PNGs that hold plain grey levels or colours."""

_PLAIN_MARKERS = {0xD8, 0xE0, 0xFE, 0xDB, 0xC0, 0xC2, 0xC4, 0xDD, 0xDA, 0xD9}
"""Of JPEGs without EXIF, so that nothing tells how they are turned: tables, scans, comments."""
_PLAIN_JPEG = {"Gray": "GRAY", "YCbCr": "RGB"}
"""Colours as they are packed, and as what they are decoded."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPage:
    """One page of a file as decoded."""

    number: int
    """From 1."""
    width: int
    """Of the page as a person sees it; `picture` may be smaller."""
    height: int
    picture: Picture | RejectedImage
    """Or why this page, unlike others of the file, has none."""
    decode_larger: Callable[[int], Picture] | None = None
    """Decodes it once more, its longest side of at least so many pixels: where `picture` has less than there is."""

    @property
    def size(self) -> int:
        """How many levels it holds in memory."""
        return 0 if isinstance(self.picture, RejectedImage) else self.picture.size

    def at_least_px(self, longest_px: int) -> Picture | RejectedImage:
        """The picture with its longest side of at least so many pixels, if it has them; or why it cannot be had."""
        if (
            self.decode_larger is None
            or isinstance(self.picture, RejectedImage)
            or max(self.picture.shape) >= longest_px
        ):
            return self.picture
        try:
            return self.decode_larger(longest_px)
        except RejectedImage as why:  # its coarse half was sound
            return why

    def full_detail(self) -> Picture | RejectedImage:
        """The picture with all the detail that is of use."""
        return self.at_least_px(FULL_DETAIL_PX)


Decoder = Callable[[FileFormat, bytes, Limits], Iterator[DecodedPage]]


def require_format(data: bytes, limits: Limits) -> FileFormat:
    """Name the format of a file, or raise RejectedImage: empty, too large, no picture, or a kind that is not read."""
    if not data:
        raise RejectedImage(Reason.EMPTY_FILE)
    if len(data) > limits.max_bytes:
        raise RejectedImage(Reason.TOO_LARGE, f"{len(data)} bytes; the limit is {limits.max_bytes}")
    kind = detect_format(data)
    if kind is None:
        raise RejectedImage(Reason.NOT_AN_IMAGE)
    if kind.name not in DECODERS:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, f"{kind.words} is not read")
    return kind


def decode_pages(data: bytes, limits: Limits) -> tuple[str, Iterator[DecodedPage]]:
    """Return the name of a file's format, and its pages, each decoded when it is asked for.

    Raises RejectedImage, at once or with the first pages, if there is no page to speak of: empty, no picture, cut off,
    not read, or over a limit.
    """
    kind = require_format(data, limits)
    return kind.name, DECODERS[kind.name](kind, data, limits)


def is_multi_page(name: str) -> bool:
    """Return True if files of this format may have several pages."""
    return name in DOCUMENTS


def decode_page(data: bytes, limits: Limits, number: int) -> DecodedPage:
    """Decode page `number` alone, from 1; RejectedImage if there is none, or none that can be decoded."""
    kind = require_format(data, limits)
    only = DOCUMENTS.get(kind.name)
    pages = only(kind, data, limits, number) if only else DECODERS[kind.name](kind, data, limits)
    for one in islice(pages, 0 if only else number - 1, None):
        if isinstance(one.picture, RejectedImage):
            raise one.picture
        return one
    raise RejectedImage(Reason.TRUNCATED, f"there is no page {number}")


def _decode_still(plugin: str, kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """A file with one picture; of an animation, the first."""
    with pillow.strict_pillow(kind.words):
        image = pillow.open_image(data, plugin)
        _check_pixels(*image.size, limits)
        image.load()
        turn = pillow.read_orientation(image)
        picture = apply_orientation(to_picture(image), turn)
    yield DecodedPage(1, *_upright_size(image.size, turn), picture)


def _decode_png(kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """A PNG: a plain one by OpenCV, which is ten times as quick with a small one; anything else by Pillow."""
    chunks = integrity.check_png(data)
    is_plain = chunks <= _PLAIN_CHUNKS and data.startswith(b"IHDR", 12)
    mode = _PLAIN_PNG.get(data[24:29]) if is_plain else None
    if mode is not None:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        _check_pixels(width, height, limits)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        if picture is not None:  # else it is damaged: Pillow says how
            yield DecodedPage(1, width, height, np.asarray(picture, np.uint8))
            return
    yield from _decode_still("PNG", kind, data, limits)


def _decode_jpeg(kind: FileFormat, data: bytes, limits: Limits) -> Iterator[DecodedPage]:
    """A photo or scan, decoded as small as a glance takes it: a plain one by libjpeg-turbo itself, others by Pillow."""
    sheet = _decode_plain_jpeg(data, limits) if integrity.check_jpeg(data) <= _PLAIN_MARKERS else None
    if sheet is not None:
        yield sheet
        return
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
    """One that needs no more than its pixels decoded; None if it is another, or damaged: Pillow says how."""
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
    """A plain JPEG at the smallest scale, down to an eighth, that leaves its longest side so many pixels."""
    by = _scale_divisor(max(size), longest_px)
    found: Picture = simplejpeg.decode_jpeg(
        data, colours, min_height=size[0] // by, min_width=size[1] // by, min_factor=by
    )
    return found[..., 0] if colours == "GRAY" else found


def _decode_draft(image: Image.Image, turn: int, longest_px: int) -> Picture:
    """A JPEG at the smallest scale that leaves its longest side so many pixels."""
    by = _scale_divisor(max(image.size), longest_px)
    image.draft(None, (max(1, image.width // by), max(1, image.height // by)))
    image.load()
    return apply_orientation(to_picture(image), turn)


def _scale_divisor(longest: int, longest_px: int) -> int:
    """By how much a JPEG is made smaller as it is decoded: 1, 2, 4 or 8."""
    return next((by for by in (8, 4, 2) if longest >= by * longest_px), 1)


def _upright_size(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Width and height as a person sees them."""
    return (size[1], size[0]) if turn in {5, 6, 7, 8} else size


def _decode_measured(
    plugin: str, canvas: Callable[[bytes], tuple[int, int]], kind: FileFormat, data: bytes, limits: Limits
) -> Iterator[DecodedPage]:
    """The same for formats whose plugin reserves the memory for all pixels as soon as it opens the file."""
    _check_pixels(*canvas(data), limits)
    return _decode_still(plugin, kind, data, limits)


def _decode_tiff(kind: FileFormat, data: bytes, limits: Limits, only: int | None = None) -> Iterator[DecodedPage]:
    """All pages, or only one. One that cannot be decoded costs its own row; a file cut off is rejected as a whole."""
    found = tiff.read_directories(data, limits.max_pages)
    if len(found) > limits.max_pages:
        raise RejectedImage(Reason.TOO_LARGE, f"more than {limits.max_pages} pages")
    _check_compression(found[0])  # Pillow opens no TIFF whose first page it cannot read
    pages = [sheet for sheet in found if sheet.is_page] or found
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
            yield DecodedPage(number, page.width, page.height, why)
        else:
            height, width = picture.shape[:2]
            yield DecodedPage(number, width, height, picture)


def _decode_tiff_page(kind: FileFormat, image: Image.Image, page: tiff.TiffDirectory, limits: Limits) -> Picture:
    _check_pixels(page.width, page.height, limits)
    _check_compression(page)
    with pillow.strict_pillow(kind.words):
        image.seek(page.index)
        _check_pixels(*image.size, limits)
        image.load()  # turns the page as its orientation tag says
        return to_picture(image)


def _decode_document(
    check: Callable[[bytes], None], kind: FileFormat, data: bytes, limits: Limits, only: int | None = None
) -> Iterator[DecodedPage]:
    """All pages, or only one, decoded by another process. One that cannot be decoded costs its own row.

    Of a HEIC the primary picture is the only page; of a sequence, the others are left out.
    """
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
    "bmp": partial(_decode_still, "BMP"),
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
"""Of these a page can be had without those before it."""
