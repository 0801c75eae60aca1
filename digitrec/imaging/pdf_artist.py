"""Draws the pages of PDFs in a process of its own; `pdf_process` starts it and talks to it.

PDFium is not thread-safe, and a crafted file of 2 kB keeps it busy for hours, fills the memory or crashes it. Here
the worst that happens is that this process ends: by itself, since it may use only so much memory, and so much
processor time for one request. Nothing of digitrec is imported, so that it starts in a tenth of a second.

A request is a line of JSON on stdin, an answer a line of JSON on stdout; either may be followed by bytes:

    ["open", size, memory, seconds], file    {"pages": 3}
    ["draw", 0, max_pixels]                  {"width": 1654, "height": 2339, "stride": 4964}, height * stride bytes
    ["close"]                                {}

or {"error": "truncated" | "encrypted" | "too_large", "detail": "..."}.
"""

import json
import math
import resource
import sys
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import pypdfium2
from pypdfium2 import raw

_DPI, _POINTS = 200, 72
"""Resolution of a rendering, and PDF's own unit: both per inch."""
_LEAST_PX, _MOST_PX = 256, 4096
"""A page's longest side has at least this many pixels, since it may be one digit cut out, and at most this many."""

_MOST_OBJECTS = 2000
"""Images are looked for among this many objects of a page."""
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 1024
_WHITE = 255


class Trouble(Exception):
    """This file or page cannot be drawn."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Artist:
    """Holds one document open."""

    def __init__(self) -> None:
        self._document: Any = None

    def open(self, data: bytes) -> int:
        """Take a document; gives its number of pages."""
        self.close()
        try:
            self._document = pypdfium2.PdfDocument(data)
            self._document.init_forms()
        except pypdfium2.PdfiumError as why:
            is_locked = getattr(why, "err_code", 0) in {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY}
            raise Trouble("encrypted" if is_locked else "truncated") from why
        return len(self._document)

    def draw(self, index: int, max_pixels: int) -> tuple[int, int, int, bytes]:
        """Width, height, bytes a row, and the pixels, RGB, of a page as a person sees it, with its forms and notes."""
        try:
            page = self._document[index]
        except pypdfium2.PdfiumError as why:
            raise Trouble("truncated") from why
        try:
            images = list(_images(page))
            for image in images:
                _check(image, max_pixels)
            bitmap = page.render(scale=_scale(page.get_width(), page.get_height(), max_pixels), rev_byteorder=True)
            pixels = bytes(bitmap.buffer)
            drawn = bitmap.width, bitmap.height, bitmap.stride, pixels
            bitmap.close()
            if pixels.count(_WHITE) == len(pixels):
                for image in images:
                    image.get_bitmap().close()  # one that cannot be decoded raises: the page only looks blank
        except pypdfium2.PdfiumError as why:
            raise Trouble("truncated") from why
        finally:
            page.close()
        return drawn

    def close(self) -> None:
        """Let go of the document."""
        if self._document is not None:
            self._document.close()
        self._document = None


def _scale(width: float, height: float, max_pixels: int) -> float:
    """Pixels a point, for a page of this many points."""
    longest = max(width, height)
    if not (math.isfinite(longest) and longest > 0):
        raise Trouble("truncated")
    scale = min(max(_DPI / _POINTS, _LEAST_PX / longest), _MOST_PX / longest)
    while math.ceil(width * scale) * math.ceil(height * scale) > max_pixels:
        scale *= 0.98
    return scale


def _images(page: Any) -> Iterator[Any]:
    objects = islice(page.get_objects(max_depth=3), _MOST_OBJECTS)
    return (each for each in objects if each.type == raw.FPDF_PAGEOBJ_IMAGE)


def _check(image: Any, max_pixels: int) -> None:
    """PDFium draws what it can of an image that is cut off, or nothing: neither may pass for what was written."""
    facts = raw.FPDF_IMAGEOBJ_METADATA()
    width, height = raw.c_uint(), raw.c_uint()
    if raw.FPDFImageObj_GetImagePixelSize(image, width, height) and width.value * height.value > max_pixels:
        raise Trouble("too_large", f"an image of {width.value} x {height.value} pixels; the limit is {max_pixels}")
    if not raw.FPDFImageObj_GetImageMetadata(image, image.page, facts) or facts.bits_per_pixel == 0:
        raise Trouble("truncated", "an image in it cannot be decoded")
    needed = (facts.width * facts.bits_per_pixel + 7) // 8 * facts.height
    filters, data = image.get_filters(), image.get_data()
    if filters == ["DCTDecode"]:
        is_whole = _JPEG_END in bytes(data[-_JPEG_TAIL:])
    elif filters == ["FlateDecode"]:
        is_whole = _inflates_to(bytes(data), needed)
    else:
        is_whole = bool(filters) or len(data) >= needed
    if not is_whole:
        raise Trouble("truncated", "an image in it is cut off or damaged")


def _inflates_to(packed: bytes, needed: int) -> bool:
    """True if at least this many bytes come out."""
    inflater = zlib.decompressobj()
    found = 0
    try:
        while found < needed and not inflater.eof:
            piece = inflater.decompress(packed, 1 << 20)
            found += len(piece)
            if not piece and not inflater.unconsumed_tail:
                break
            packed = inflater.unconsumed_tail
    except zlib.error:
        return False
    return found >= needed


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    artist = Artist()
    seconds = 0
    for line in requests:
        what, *numbers = json.loads(line)
        if what == "open":
            size, memory, seconds = numbers
            _limit(resource.RLIMIT_AS, memory)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + seconds)
        pixels = b""
        answer: dict[str, object] = {}
        try:
            if what == "open":
                answer = {"pages": artist.open(requests.read(size))}
            elif what == "draw":
                width, height, stride, pixels = artist.draw(*numbers)
                answer = {"width": width, "height": height, "stride": stride}
            else:
                artist.close()
        except Trouble as why:
            answer = {"error": why.reason, "detail": why.detail}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


def _limit(what: int, most: int) -> None:
    """Beyond this the kernel ends the process, or gives it no more."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
