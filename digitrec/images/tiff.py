"""What a TIFF says about its pages, read without decoding any.

A page of a TIFF is an image file directory: a list of tags and the place of the next one. They lie anywhere in the
file, often at its end, so a file that is cut off, or still being written, points outside itself.
"""

import struct
from dataclasses import dataclass

from digitrec.errors import RejectedImage
from digitrec.types import Reason

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION = 254, 256, 257, 259
_OFFSETS = (273, 324)
"""Where the strips or tiles begin ..."""
_COUNTS = (279, 325)
"""... and how many bytes each has."""

_TAGS_READ = {_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, *_OFFSETS, *_COUNTS}

_UNCOMPRESSED = 1
_COMPRESSIONS_READ = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946}
"""None, CCITT (three), LZW, JPEG (two), deflate (two), PackBits."""

_REDUCED_OR_MASK = 1 | 4
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_TAGS = 4096


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """One directory of the file."""

    index: int
    """From 0, in the order of the file: what Pillow's `seek` takes."""
    width: int
    height: int
    compression: int
    is_page: bool
    """False for the small preview or the mask of another page."""

    @property
    def is_parsed(self) -> bool:
        """True if its pixels are packed in a way that is read here."""
        return self.compression in _COMPRESSIONS_READ


def read_directories(data: bytes, most: int) -> list[TiffDirectory]:
    """List the directories of a TIFF or BigTIFF, at most `most` + 1 of them.

    Raises RejectedImage(truncated) if one of them, or its compressed pixels, lies outside the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in {b"+\x00", b"\x00+"}
    place = struct.Struct(order + ("Q" if big else "I"))
    found: list[TiffDirectory] = []
    seen: set[int] = set()
    (at,) = _unpack(place, data, 8 if big else 4)
    while at and at not in seen and len(found) <= most:  # a chain that bites its tail ends there
        seen.add(at)
        tags, after = _read_tags(data, at, order, big=big)
        found.append(_make_directory(len(found), tags, len(data)))
        (at,) = _unpack(place, data, after)
    if not found:
        raise RejectedImage(Reason.TRUNCATED, "this TIFF is cut off: it has no page")
    return found


def _unpack(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    """Whole numbers of the file, whose places the file itself names."""
    if at + form.size > len(data):
        raise _outside_file()
    return form.unpack_from(data, at)


def _outside_file() -> RejectedImage:
    return RejectedImage(Reason.TRUNCATED, "this TIFF is cut off: a page lies beyond its end")


def _read_tags(data: bytes, at: int, order: str, *, big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    """The whole-number tags of the directory at `at`, and where the place of the next one is written."""
    count_form = struct.Struct(order + ("Q" if big else "H"))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    place = struct.Struct(order + ("Q" if big else "I"))
    (count,) = _unpack(count_form, data, at)
    first = at + count_form.size
    if count > _MAX_TAGS:
        raise RejectedImage(Reason.TRUNCATED, "this TIFF is damaged: a page has more tags than there are")
    if first + count * entry.size > len(data):
        raise _outside_file()
    tags: dict[int, tuple[int, ...]] = {}
    for i in range(count):
        tag, kind, length, inline = entry.unpack_from(data, first + i * entry.size)
        if kind not in _INTEGERS or tag not in _TAGS_READ:
            continue
        if length > len(data):
            raise _outside_file()
        values = struct.Struct(f"{order}{length}{_INTEGERS[kind]}")
        fits = values.size <= len(inline)
        tags[tag] = values.unpack_from(inline) if fits else _unpack(values, data, *place.unpack(inline))
    return tags, first + count * entry.size


def _make_directory(index: int, tags: dict[int, tuple[int, ...]], size: int) -> TiffDirectory:
    def one(tag: int, default: int) -> int:
        return (tags.get(tag) or (default,))[0]

    compression = one(_COMPRESSION, _UNCOMPRESSED)
    if compression != _UNCOMPRESSED:  # of plain pixels Pillow counts the bytes itself; the tags are often wrong there
        for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
            pieces = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
            if any(start + length > size for start, length in pieces):
                raise _outside_file()
    return TiffDirectory(
        index, one(_WIDTH, 0), one(_HEIGHT, 0), compression, is_page=not one(_SUBFILE, 0) & _REDUCED_OR_MASK
    )
