"""Decode the pages of PDF and HEIC files in a separate process, started by `documents`.

PDFium and libheif read untrusted bytes: a crafted file of 2 kB can keep them busy for hours, fill the memory or crash
them, and PDFium is not thread-safe. Here the worst outcome is that this process ends: its memory and the CPU time of a
request are limited, and it ends with the process that started it. It imports nothing of digitrec, and each library with
its first file, so that it starts in 0.1 s.

A request is a line of JSON on stdin, an answer a line of JSON on stdout; both may be followed by bytes:

    ["open", "pdf" | "heic", size, memory, cpu_s, wall_s], file
    {"pages": 3}
    ["decode", 0, max_pixels]
    {"mode": "RGB", "width": 1654, "height": 2339, "stride": 4964, "pixels": 11610796}, so many bytes
    ["close"]
    {}

or {"error": "truncated" | "encrypted" | "unsupported_format" | "too_large", "detail": "..."}.
"""

import fcntl
import json
import math
import os
import resource
import select
import signal
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, Protocol

_DOUBLE_TIME_PIXELS = 50_000_000
"""Pixels of a picture that doubles the time limit. A HEIC of 100 megapixels takes 2 to 6 s of CPU time, a JPEG 2000 in
a PDF 4 s."""

_DPI, _POINTS = 200, 72
"""Resolution of a rendering, and PDF's unit, both per inch."""
_MIN_PX, _MAX_PX = 256, 4096
"""Limits of a page's longest side, pixels; a small page may be one digit."""

_MAX_OBJECTS = 2000
"""Objects of a page among which images are searched."""
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 1024
_WHITE = 255

_HEVC = b"hvc1"
"""The only supported compression in a HEIF container."""
_LIMIT_WORDS, _SIZE_WORDS, _MEMORY_WORDS = "ecurity limit", "nvalid image size", "emory allocation"
"""Messages of libheif's memory errors: it reports a size over its limit and an invalid tile size as such, too."""
_HEIC_DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, AttributeError, EOFError, LookupError, ArithmeticError),
    *(RuntimeError, struct.error),
)
"""Exceptions of pillow-heif on damaged files."""


class DecodeError(Exception):
    """This file or page cannot be decoded."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Raster(NamedTuple):
    """Pixels of an upright page."""

    mode: str
    """Pillow's name of the pixel format."""
    width: int
    height: int
    stride: int
    """Bytes per row, including padding."""
    pixels: bytes | memoryview


Allow = Callable[[int], None]
"""Sets the time limit from the number of pixels that are decoded next."""


class Document(Protocol):
    """An open file."""

    pages: int

    def decode(self, index: int, max_pixels: int, allow: Allow) -> Raster:
        """Decode one page, from 0."""

    def close(self) -> None:
        """Close the file."""


class Pdf:
    """A PDF; pages are rendered with forms and annotations."""

    def __init__(self, data: bytes) -> None:
        import pypdfium2

        try:
            self._document = pypdfium2.PdfDocument(data)
            self._document.init_forms()
        except pypdfium2.PdfiumError as why:
            raw = pypdfium2.raw
            is_locked = getattr(why, "err_code", 0) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
            raise DecodeError("encrypted" if is_locked else "truncated") from why
        self.pages = len(self._document)

    def decode(self, index: int, max_pixels: int, allow: Allow) -> Raster:
        """Render one page."""
        from pypdfium2 import PdfiumError

        try:
            page = self._document[index]
        except PdfiumError as why:
            raise DecodeError("truncated") from why
        try:
            images = list(_find_images(page))
            allow(max((_count_pixels(image, max_pixels) for image in images), default=0))
            for image in images:
                _check_image(image)
            bitmap = page.render(
                scale=_render_scale(page.get_width(), page.get_height(), max_pixels), rev_byteorder=True
            )
            pixels = bytes(bitmap.buffer)
            raster = Raster("RGB", bitmap.width, bitmap.height, bitmap.stride, pixels)
            bitmap.close()
            if pixels.count(_WHITE) == len(pixels):
                for image in images:
                    image.get_bitmap().close()  # raises if it cannot be decoded, and the page only looks blank
        except PdfiumError as why:
            raise DecodeError("truncated") from why
        finally:
            page.close()
        return raster

    def close(self) -> None:
        """Close the file."""
        self._document.close()


class Heic:
    """A HEIC photograph: the primary picture, rotated by the container; an EXIF orientation is a copy of that."""

    pages = 1

    def __init__(self, data: bytes) -> None:
        import pillow_heif

        try:
            self._file = pillow_heif.open_heif(data)
        except _HEIC_DAMAGE as why:
            raise _heic_error(why) from why
        if len(self._file) == 0 and _HEVC not in data:
            raise DecodeError("unsupported_format", "a HEIF whose pixels are not packed as HEVC is not read")

    def decode(self, _: int, max_pixels: int, allow: Allow) -> Raster:
        """Decode the primary picture, if its size is within the limit."""
        file = self._file
        try:
            width, height = file.size
            if width * height > max_pixels:
                raise DecodeError("too_large", f"{width} x {height} pixels; the limit is {max_pixels}")
            allow(width * height)
            pixels = file.data
            width, height = file.size  # as decoded
            return Raster(file.mode, width, height, file.stride, memoryview(pixels)[: height * file.stride])
        except _HEIC_DAMAGE as why:
            raise _heic_error(why) from why

    def close(self) -> None:
        """Close the file."""


def _heic_error(why: Exception) -> DecodeError:
    if _LIMIT_WORDS in str(why):  # reported by libheif as a memory error
        return DecodeError("too_large", "more pixels than any limit allows")
    if _MEMORY_WORDS in str(why) and _SIZE_WORDS not in str(why):
        raise MemoryError from why  # ends this process, like any lack of memory
    return DecodeError("truncated")


DECODERS: dict[str, Callable[[bytes], Document]] = {"pdf": Pdf, "heic": Heic}


def _render_scale(width: float, height: float, max_pixels: int) -> float:
    """Return the scale, in pixels per point, for a PDF page of this size in points."""
    longest = max(width, height)
    if not (math.isfinite(longest) and longest > 0):
        raise DecodeError("truncated")
    scale = min(max(_DPI / _POINTS, _MIN_PX / longest), _MAX_PX / longest)
    while math.ceil(width * scale) * math.ceil(height * scale) > max_pixels:
        scale *= 0.98
    return scale


def _find_images(page: Any) -> Iterator[Any]:
    from pypdfium2 import raw

    objects = islice(page.get_objects(max_depth=3), _MAX_OBJECTS)
    return (item for item in objects if item.type == raw.FPDF_PAGEOBJ_IMAGE)


def _count_pixels(image: Any, max_pixels: int) -> int:
    """Return how many pixels an image of a PDF page has; DecodeError if that is over the limit."""
    from pypdfium2 import raw

    width, height = raw.c_uint(), raw.c_uint()
    if not raw.FPDFImageObj_GetImagePixelSize(image, width, height):
        return 0
    if width.value * height.value > max_pixels:
        raise DecodeError("too_large", f"an image of {width.value} x {height.value} pixels; the limit is {max_pixels}")
    return int(width.value * height.value)


def _check_image(image: Any) -> None:
    """Check that an image is complete: PDFium renders part of a truncated one, or nothing."""
    from pypdfium2 import raw

    facts = raw.FPDF_IMAGEOBJ_METADATA()
    if not raw.FPDFImageObj_GetImageMetadata(image, image.page, facts) or facts.bits_per_pixel == 0:
        raise DecodeError("truncated", "an image in it cannot be decoded")
    needed = (facts.width * facts.bits_per_pixel + 7) // 8 * facts.height
    filters, data = image.get_filters(), image.get_data()
    if filters == ["DCTDecode"]:
        is_complete = _JPEG_END in bytes(data[-_JPEG_TAIL:])
    elif filters == ["FlateDecode"]:
        is_complete = _inflates_to(bytes(data), needed)
    else:
        is_complete = bool(filters) or len(data) >= needed
    if not is_complete:
        raise DecodeError("truncated", "an image in it is cut off or damaged")


def _inflates_to(packed: bytes, needed: int) -> bool:
    """Return True if the data inflates to at least this many bytes."""
    inflater = zlib.decompressobj()
    size = 0
    try:
        while size < needed and not inflater.eof:
            piece = inflater.decompress(packed, 1 << 20)
            size += len(piece)
            if not piece and not inflater.unconsumed_tail:
                break
            packed = inflater.unconsumed_tail
    except zlib.error:
        return False
    return size >= needed


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    document: Document | None = None
    cpu_s = wall_s = 0.0
    for line in requests:
        request, *arguments = json.loads(line)
        raster = None
        answer: dict[str, object] = {}
        try:
            if request == "open":
                kind, size, memory, cpu_s, wall_s = arguments
                _limit(resource.RLIMIT_AS, memory)
                data = requests.read(size)
                _limit_time(cpu_s, wall_s)
                document = DECODERS[kind](data)
                answer = {"pages": document.pages}
            elif request == "decode" and document is not None:
                _limit_time(cpu_s, wall_s)
                index, max_pixels = arguments
                raster = document.decode(index, max_pixels, partial(_limit_time, cpu_s, wall_s))
                answer = raster._asdict() | {"pixels": len(raster.pixels)}
            elif document is not None:
                document.close()
                document = None
        except DecodeError as why:
            answer = {"error": why.reason, "detail": why.detail}
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer).encode() + b"\n")
        if raster is not None:
            answers.write(raster.pixels)
        answers.flush()


def _limit_time(cpu_s: float, wall_s: float, pixels: int = 0) -> None:
    """Let the kernel end this process if the current request takes longer from now on."""
    times = 1 + pixels / _DOUBLE_TIME_PIXELS
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + int(cpu_s * times))
    signal.setitimer(signal.ITIMER_REAL, wall_s * times)


def _limit(what: int, most: int) -> None:
    """Set a resource limit of this process."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def end_with_parent(lifeline: int) -> None:
    """Let the kernel kill this process, even if it hangs, when the other end of this pipe is closed.

    Unlike PR_SET_PDEATHSIG this does not depend on the thread that started the process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # the parent has ended already
        sys.exit()


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
