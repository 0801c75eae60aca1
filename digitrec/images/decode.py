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
from digitrec.images.formats import Kind, kind_of
from digitrec.images.pillow import picture_of, upright
from digitrec.types import Limits, Reason

GLANCE_PX, MEDIUM_PX, ENOUGH_PX = 96, 400, 870
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
class Sheet:
    """One page of a file as decoded."""

    number: int
    """From 1."""
    width: int
    """Of the page as a person sees it; `picture` may be smaller."""
    height: int
    picture: Picture | RejectedImage
    """Or why this page, unlike others of the file, has none."""
    finer: Callable[[int], Picture] | None = None
    """Decodes it once more, its longest side of at least so many pixels: where `picture` has less than there is."""

    @property
    def size(self) -> int:
        """How many levels it holds in memory."""
        return 0 if isinstance(self.picture, RejectedImage) else self.picture.size

    def at(self, longest_px: int) -> Picture | RejectedImage:
        """The picture with its longest side of at least so many pixels, if it has them; or why it cannot be had."""
        if self.finer is None or isinstance(self.picture, RejectedImage) or max(self.picture.shape) >= longest_px:
            return self.picture
        try:
            return self.finer(longest_px)
        except RejectedImage as why:  # its coarse half was sound
            return why

    def fine(self) -> Picture | RejectedImage:
        """The picture with all the detail that is of use."""
        return self.at(ENOUGH_PX)


Decoder = Callable[[Kind, bytes, Limits], Iterator[Sheet]]


def format_of(data: bytes, limits: Limits) -> Kind:
    """Name the format of a file, or raise RejectedImage: empty, too large, no picture, or a kind that is not read."""
    if not data:
        raise RejectedImage(Reason.EMPTY_FILE)
    if len(data) > limits.max_bytes:
        raise RejectedImage(Reason.TOO_LARGE, f"{len(data)} bytes; the limit is {limits.max_bytes}")
    kind = kind_of(data)
    if kind is None:
        raise RejectedImage(Reason.NOT_AN_IMAGE)
    if kind.name not in DECODERS:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, f"{kind.words} is not read")
    return kind


def sheets(data: bytes, limits: Limits) -> tuple[str, Iterator[Sheet]]:
    """Return the name of a file's format, and its pages, each decoded when it is asked for.

    Raises RejectedImage, at once or with the first pages, if there is no page to speak of: empty, no picture, cut off,
    not read, or over a limit.
    """
    kind = format_of(data, limits)
    return kind.name, DECODERS[kind.name](kind, data, limits)


def is_document(name: str) -> bool:
    """Return True if files of this format may have several pages."""
    return name in DOCUMENTS


def sheet(data: bytes, limits: Limits, number: int) -> Sheet:
    """Decode page `number` alone, from 1; RejectedImage if there is none, or none that can be decoded."""
    kind = format_of(data, limits)
    only = DOCUMENTS.get(kind.name)
    pages = only(kind, data, limits, number) if only else DECODERS[kind.name](kind, data, limits)
    for one in islice(pages, 0 if only else number - 1, None):
        if isinstance(one.picture, RejectedImage):
            raise one.picture
        return one
    raise RejectedImage(Reason.TRUNCATED, f"there is no page {number}")


def _still(plugin: str, kind: Kind, data: bytes, limits: Limits) -> Iterator[Sheet]:
    """A file with one picture; of an animation, the first."""
    with pillow.strictly(kind.words):
        image = pillow.opened(data, plugin)
        _check_pixels(*image.size, limits)
        image.load()
        turn = pillow.orientation(image)
        picture = upright(picture_of(image), turn)
    yield Sheet(1, *_size(image.size, turn), picture)


def _png(kind: Kind, data: bytes, limits: Limits) -> Iterator[Sheet]:
    """A PNG: a plain one by OpenCV, which is ten times as quick with a small one; anything else by Pillow."""
    chunks = integrity.png(data)
    is_plain = chunks <= _PLAIN_CHUNKS and data.startswith(b"IHDR", 12)
    mode = _PLAIN_PNG.get(data[24:29]) if is_plain else None
    if mode is not None:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        _check_pixels(width, height, limits)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
        if picture is not None:  # else it is damaged: Pillow says how
            yield Sheet(1, width, height, np.asarray(picture, np.uint8))
            return
    yield from _still("PNG", kind, data, limits)


def _jpeg(kind: Kind, data: bytes, limits: Limits) -> Iterator[Sheet]:
    """A photo or scan, decoded as small as a glance takes it: a plain one by libjpeg-turbo itself, others by Pillow."""
    sheet = _plain_jpeg(data, limits) if integrity.jpeg(data) <= _PLAIN_MARKERS else None
    if sheet is not None:
        yield sheet
        return
    with pillow.strictly(kind.words):
        image = pillow.opened(data, "JPEG")
        full = image.size
        _check_pixels(*full, limits)
        turn = pillow.orientation(image)
        picture = _drafted(image, turn, GLANCE_PX)
    is_reduced = image.size != full

    def finer(longest_px: int) -> Picture:
        with pillow.strictly(kind.words):
            return _drafted(pillow.opened(data, "JPEG"), turn, longest_px)

    yield Sheet(1, *_size(full, turn), picture, finer if is_reduced else None)


def _plain_jpeg(data: bytes, limits: Limits) -> Sheet | None:
    """One that needs no more than its pixels decoded; None if it is another, or damaged: Pillow says how."""
    try:
        height, width, packed, _ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(width, height, limits)
        if packed not in _PLAIN_JPEG:
            return None
        picture = _turbo(data, _PLAIN_JPEG[packed], (height, width), GLANCE_PX)
    except ValueError:
        return None

    def finer(longest_px: int) -> Picture:
        try:
            return _turbo(data, _PLAIN_JPEG[packed], (height, width), longest_px)
        except ValueError as why:
            raise integrity.cut("JPEG is cut off or damaged") from why

    return Sheet(1, width, height, picture, finer if picture.shape[:2] != (height, width) else None)


def _turbo(data: bytes, colours: str, size: tuple[int, int], longest_px: int) -> Picture:
    """A plain JPEG at the smallest scale, down to an eighth, that leaves its longest side so many pixels."""
    by = _reduction(max(size), longest_px)
    found: Picture = simplejpeg.decode_jpeg(
        data, colours, min_height=size[0] // by, min_width=size[1] // by, min_factor=by
    )
    return found[..., 0] if colours == "GRAY" else found


def _drafted(image: Image.Image, turn: int, longest_px: int) -> Picture:
    """A JPEG at the smallest scale that leaves its longest side so many pixels."""
    by = _reduction(max(image.size), longest_px)
    image.draft(None, (max(1, image.width // by), max(1, image.height // by)))
    image.load()
    return upright(picture_of(image), turn)


def _reduction(longest: int, longest_px: int) -> int:
    """By how much a JPEG is made smaller as it is decoded: 1, 2, 4 or 8."""
    return next((by for by in (8, 4, 2) if longest >= by * longest_px), 1)


def _size(size: tuple[int, int], turn: int) -> tuple[int, int]:
    """Width and height as a person sees them."""
    return (size[1], size[0]) if turn in {5, 6, 7, 8} else size


def _measured(
    plugin: str, canvas: Callable[[bytes], tuple[int, int]], kind: Kind, data: bytes, limits: Limits
) -> Iterator[Sheet]:
    """The same for formats whose plugin reserves the memory for all pixels as soon as it opens the file."""
    _check_pixels(*canvas(data), limits)
    return _still(plugin, kind, data, limits)


def _tiff(kind: Kind, data: bytes, limits: Limits, only: int | None = None) -> Iterator[Sheet]:
    """All pages, or only one. One that cannot be decoded costs its own row; a file cut off is rejected as a whole."""
    found = tiff.sheets(data, limits.max_pages)
    if len(found) > limits.max_pages:
        raise RejectedImage(Reason.TOO_LARGE, f"more than {limits.max_pages} pages")
    _check_compression(found[0])  # Pillow opens no TIFF whose first page it cannot read
    pages = [sheet for sheet in found if sheet.is_page] or found
    with pillow.strictly(kind.words):
        image = pillow.opened(data, "TIFF")
    for number, page in enumerate(pages, start=1):
        if only not in (None, number):
            continue
        picture: Picture | RejectedImage
        try:
            picture = _tiff_picture(kind, image, page, limits)
        except RejectedImage as why:
            if len(pages) == 1:
                raise
            yield Sheet(number, page.width, page.height, why)
        else:
            height, width = picture.shape[:2]
            yield Sheet(number, width, height, picture)


def _tiff_picture(kind: Kind, image: Image.Image, page: tiff.Sheet, limits: Limits) -> Picture:
    _check_pixels(page.width, page.height, limits)
    _check_compression(page)
    with pillow.strictly(kind.words):
        image.seek(page.index)
        _check_pixels(*image.size, limits)
        image.load()  # turns the page as its orientation tag says
        return picture_of(image)


def _document(
    check: Callable[[bytes], None], kind: Kind, data: bytes, limits: Limits, only: int | None = None
) -> Iterator[Sheet]:
    """All pages, or only one, decoded by another process. One that cannot be decoded costs its own row.

    Of a HEIC the primary picture is the only page; of a sequence, the others are left out.
    """
    check(data)
    for number, picture in enumerate(documents.pages(kind, data, limits, only), start=only or 1):
        height, width = (0, 0) if isinstance(picture, RejectedImage) else picture.shape[:2]
        yield Sheet(number, width, height, picture)


def _check_compression(page: tiff.Sheet) -> None:
    if not page.is_parsed:
        raise RejectedImage(Reason.UNSUPPORTED_FORMAT, f"TIFF compression {page.compression} is not read")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise RejectedImage(Reason.TOO_LARGE, f"{width} x {height} pixels; the limit is {limits.max_pixels}")


DECODERS: dict[str, Decoder] = {
    "png": _png,
    "jpeg": _jpeg,
    "tiff": _tiff,
    "bmp": partial(_still, "BMP"),
    "gif": partial(_measured, "GIF", integrity.gif_canvas),
    "webp": partial(_measured, "WEBP", integrity.webp_canvas),
    "pbm": partial(_still, "PPM"),
    "pgm": partial(_still, "PPM"),
    "ppm": partial(_still, "PPM"),
    "jpeg2000": partial(_still, "JPEG2000"),
    "heic": partial(_document, integrity.heic),
    "pdf": partial(_document, integrity.pdf),
}
DOCUMENTS: dict[str, Callable[[Kind, bytes, Limits, int], Iterator[Sheet]]] = {
    "tiff": _tiff,
    "pdf": partial(_document, integrity.pdf),
}
"""Of these a page can be had without those before it."""
