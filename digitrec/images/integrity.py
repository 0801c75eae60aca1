"""Check that a file is complete, and read its size, before it is decoded.

Decoders tolerate missing data: libjpeg fills the missing half of a photograph, zlib's checksum comes after the last
pixel. Filled pixels must not be read. The functions check the structure only, at almost no cost, and raise
RejectedImage(truncated).
"""

import re
import zlib

import numpy as np

from digitrec.errors import RejectedImage
from digitrec.types import Reason

_STANDALONE = {0x01, 0xD8}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


_ZERO_TAIL = 4096
"""Zero bytes at the end of a copy that ended early; compressed pixels never have as many."""

_HEIC_BOXES = {b"ftyp", b"meta", b"mdat", b"moov"}
"""Boxes of a HEIC that must be complete; others may be appended by a camera."""

_PDF_END, _PDF_TAIL = b"%%EOF", 1024
_PDF_LINEARIZED = re.compile(rb"<<[^>]{0,200}/Linearized\b[^>]{0,200}>>")
_PDF_LENGTH = re.compile(rb"/L\s+(\d{1,12})")


def truncated(words: str) -> RejectedImage:
    """Return the rejection of an incomplete file; `words` begin with the format's name."""
    return RejectedImage(Reason.TRUNCATED, f"this {words}")


def check_png(data: bytes) -> frozenset[bytes]:
    """Check that all chunks are complete, critical chunks have their checksum, and the last one is IEND.

    Return the names of all chunks.
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
    """Check that an end-of-image marker follows a scan; data that a camera appends is ignored.

    Return the codes of all markers.
    """
    end_of_last, scans, codes = 2, 0, set()
    for at in _markers(data):
        if at < end_of_last:  # a false marker inside a segment
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
    """Return the positions of FF that is not followed by FF, 00 or a restart number (D0..D7), as in pixel data."""
    values = np.frombuffer(data, np.uint8)
    indices = np.flatnonzero(values[:-1] == 0xFF)  # not a regular expression: a page has 10,000 of FF 00
    after = values[indices + 1]
    is_marker = (after != 0xFF) & (after != 0) & ((after < 0xD0) | (after > 0xD7))
    markers: list[int] = indices[is_marker].tolist()
    return markers


def gif_canvas(data: bytes) -> tuple[int, int]:
    """Return the width and height of a GIF's first picture, before Pillow allocates it.

    A picture may be larger than the logical screen.
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
    """Return the bytes of the color table that the flags at `at` declare."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Return the width and height of a complete WebP, before its decoder allocates the memory."""
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
    """Check that all boxes are complete: libheif fills missing tiles with gray."""
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
    """Check the end of a PDF, and the length of a linearized one."""
    if _PDF_END not in data.rstrip(b"\0")[-_PDF_TAIL:]:  # some programs pad the last block
        raise truncated("PDF is cut off: its end is missing")
    linearized = _PDF_LINEARIZED.search(data, 0, 2 * _PDF_TAIL)
    length = _PDF_LENGTH.search(linearized[0]) if linearized else None
    if length and int(length[1]) > len(data):
        raise truncated("PDF is cut off: it is shorter than it says")
