"""Read the directories of a TIFF without decoding pixels.

A page is an image file directory: a list of tags and the offset of the next one. Directories may be anywhere in the
file, often at its end, so offsets of a file that is cut off, or still being written, point beyond its end.
"""

import struct
from dataclasses import dataclass

from digitrec.errors import RejectedImage
from digitrec.types import Reason

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION = 254, 256, 257, 259
_OFFSETS = (273, 324)
"""Tags with the offsets of strips or tiles."""
_COUNTS = (279, 325)
"""Tags with the number of bytes of each."""

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
        """True if the compression is supported."""
        return self.compression in _COMPRESSIONS_READ


def read_directories(data: bytes, max_count: int) -> list[TiffDirectory]:
    """List the directories of a TIFF or BigTIFF, at most `most` + 1 of them.

    Raises RejectedImage(truncated) if a directory or compressed pixels are beyond the end of the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in {b"+\x00", b"\x00+"}
    offset = struct.Struct(order + ("Q" if big else "I"))
    directories: list[TiffDirectory] = []
    seen: set[int] = set()
    (at,) = _unpack(offset, data, 8 if big else 4)
    while at and at not in seen and len(directories) <= max_count:  # a cyclic chain ends
        seen.add(at)
        tags, after = _read_tags(data, at, order, big=big)
        directories.append(_make_directory(len(directories), tags, len(data)))
        (at,) = _unpack(offset, data, after)
    if not directories:
        raise RejectedImage(Reason.TRUNCATED, "this TIFF is cut off: it has no page")
    return directories


def _unpack(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    """Unpack integers at an offset that the file itself gives."""
    if at + form.size > len(data):
        raise _outside_file()
    return form.unpack_from(data, at)


def _outside_file() -> RejectedImage:
    return RejectedImage(Reason.TRUNCATED, "this TIFF is cut off: it refers to data beyond its end")


def _read_tags(data: bytes, at: int, order: str, *, big: bool) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the integer tags of the directory at `at`, and the position of the next directory's offset."""
    count_form = struct.Struct(order + ("Q" if big else "H"))
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    offset = struct.Struct(order + ("Q" if big else "I"))
    (count,) = _unpack(count_form, data, at)
    first = at + count_form.size
    if count > _MAX_TAGS:
        raise RejectedImage(Reason.TRUNCATED, "this TIFF is damaged: a page has more tags than exist")
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
        tags[tag] = values.unpack_from(inline) if fits else _unpack(values, data, *offset.unpack(inline))
    return tags, first + count * entry.size


def _make_directory(index: int, tags: dict[int, tuple[int, ...]], size: int) -> TiffDirectory:
    def first_value(tag: int, default: int) -> int:
        return (tags.get(tag) or (default,))[0]

    compression = first_value(_COMPRESSION, _UNCOMPRESSED)
    if compression != _UNCOMPRESSED:  # uncompressed files often have wrong tags, and Pillow counts the bytes itself
        for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
            pieces = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
            if any(start + length > size for start, length in pieces):
                raise _outside_file()
    return TiffDirectory(
        index,
        first_value(_WIDTH, 0),
        first_value(_HEIGHT, 0),
        compression,
        is_page=not first_value(_SUBFILE, 0) & _REDUCED_OR_MASK,
    )
