"""Is the file all there, and how large is it? What has to be known before a decoder may look.

Decoders are made to show something whatever happens: libjpeg invents the missing half of a photograph, zlib's
checksum comes after the last pixel. An answer must not be read from invented pixels. Each function raises
RejectedImage(truncated) and looks at structure only, so it costs next to nothing.
"""

import re
import zlib

import numpy as np

from digitrec.errors import RejectedImage
from digitrec.types import Reason

_STANDALONE = {0x01, 0xD8}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


_ZERO_TAIL = 4096
"""Pixels are never packed into so many zeros; a copy that ended early has them where its rest should be."""

_HEIC_BOXES = {b"ftyp", b"meta", b"mdat", b"moov"}
"""Anything else may be what a camera appends."""

_PDF_END, _PDF_TAIL = b"%%EOF", 1024
_PDF_LINEARIZED = re.compile(rb"<<[^>]{0,200}/Linearized\b[^>]{0,200}>>")
_PDF_LENGTH = re.compile(rb"/L\s+(\d{1,12})")


def truncated(words: str) -> RejectedImage:
    """The rejection of a file that is not all there; `words` begin with the format's name."""
    return RejectedImage(Reason.TRUNCATED, f"this {words}")


def check_png(data: bytes) -> frozenset[bytes]:
    """Every chunk is complete, those that carry the picture have their checksum, and the last one is IEND.

    Gives the names of all chunks.
    """
    at, names = 8, set()
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            break
        is_critical = not name[0] & 0x20
        if is_critical and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise truncated("PNG is damaged: a checksum is wrong")
        names.add(name)
        if name == b"IEND":
            return frozenset(names)
        at = end
    raise truncated("PNG is cut off: its end is missing")


def check_jpeg(data: bytes) -> frozenset[int]:
    """A scan begins and an end-of-image marker comes after it; what a camera appends behind that does not matter.

    Gives the codes of all markers.
    """
    end_of_last, scans, codes = 2, 0, set()
    for at in _markers(data):
        if at < end_of_last:  # what looks like a marker inside a segment is none
            continue
        code = data[at + 1]
        codes.add(code)
        if code == _END_OF_IMAGE and scans:
            return frozenset(codes)
        end_of_last = at + 2
        if code not in _STANDALONE and code != _END_OF_IMAGE:
            scans += code == _START_OF_SCAN
            end_of_last += int.from_bytes(data[end_of_last : end_of_last + 2], "big")
    raise truncated("JPEG is cut off: its end is missing")


def _markers(data: bytes) -> list[int]:
    """Where FF is followed by anything but FF, 00 or a restart number (D0..D7), as it is inside JPEG pixel data."""
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero(values[:-1] == 0xFF)  # not a regular expression: a page has 10,000 of FF 00
    after = values[places + 1]
    is_marker = (after != 0xFF) & (after != 0) & ((after < 0xD0) | (after > 0xD7))
    found: list[int] = places[is_marker].tolist()
    return found


def gif_canvas(data: bytes) -> tuple[int, int]:
    """The width and height of a GIF's first picture, which Pillow would fill with paper before it tells.

    A picture may be larger than the screen that the file begins with.
    """
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    at = 13 + _gif_color_table_size(data, 10)
    while data[at : at + 1] == b"!":  # an extension: its kind, then pieces, the last of them empty
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] != b"," or at + 10 > len(data):
        raise truncated("GIF is cut off: there is no picture in it")
    left, top, across, down = (int.from_bytes(data[i : i + 2], "little") for i in range(at + 1, at + 9, 2))
    return max(width, left + across), max(height, top + down)


def _gif_color_table_size(data: bytes, at: int) -> int:
    """Bytes of the colour table that the flags at `at` announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def webp_canvas(data: bytes) -> tuple[int, int]:
    """The width and height of a WebP, whose decoder would reserve the memory before it tells; all bytes are there."""
    if len(data) < 30 or 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise truncated("WebP is cut off: its end is missing")
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def check_heic(data: bytes) -> None:
    """Every box is complete and its rest was written: libheif paints a tile that is missing as if it were grey."""
    at = 0
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + length if length else len(data)
        if end > len(data) and name in _HEIC_BOXES:
            raise truncated("HEIC is cut off: its end is missing")
        if name == b"mdat" and end - at > _ZERO_TAIL and not data[end - _ZERO_TAIL : end].strip(b"\0"):
            raise truncated("HEIC is cut off: its rest was never written")
        at = max(end, at + 8)


def check_pdf(data: bytes) -> None:
    """The file ends as a PDF does; one that is made to be shown while it loads has the length that it names."""
    if _PDF_END not in data.rstrip(b"\0")[-_PDF_TAIL:]:  # some programs fill up the last block
        raise truncated("PDF is cut off: its end is missing")
    linearized = _PDF_LINEARIZED.search(data, 0, 2 * _PDF_TAIL)
    length = _PDF_LENGTH.search(linearized[0]) if linearized else None
    if length and int(length[1]) > len(data):
        raise truncated("PDF is cut off: it is shorter than it says")
