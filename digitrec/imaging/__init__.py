"""Bytes -> what the network sees.

    decode     bytes -> pages, by content, within limits
    ink        page -> ink: polarity, light, ruled lines, noise
    layout     ink -> digits in reading order
    normalise  digit -> centred 28 x 28
    pages      a sheet and its ink -> a page: boxes, digits, preview

No TensorFlow, no file access, no state: all of it may run in any thread.
"""

from collections.abc import Iterator

from digitrec.imaging import decode
from digitrec.imaging.pages import classical
from digitrec.pictures import Page
from digitrec.records import Limits

__all__ = ["is_document", "read", "sheet", "sheets"]


def read(data: bytes, limits: Limits) -> list[Page]:
    """Find the digits on all pages of a file, the classical way, and score none of them: what training takes.

    A page without writing has reason `blank`; one that alone of its file cannot be decoded has that as its reason.
    Raises RejectedImage as `sheets` does.
    """
    name, found = sheets(data, limits)
    return [classical(name, sheet) for sheet in found]


def sheets(data: bytes, limits: Limits) -> tuple[str, Iterator[decode.Sheet]]:
    """The name of a file's format, and its pages, each decoded when it is asked for.

    Raises RejectedImage, at once or with the first pages, if there is no page to speak of: empty, no picture, cut off,
    not read, or over a limit.
    """
    kind = decode.format_of(data, limits)
    return kind.name, decode.sheets(kind, data, limits)


def is_document(name: str) -> bool:
    """Whether files of this format may have several pages."""
    return name in decode.DOCUMENTS


def sheet(data: bytes, limits: Limits, number: int) -> decode.Sheet:
    """One page of a file, from 1; of a document, the others are not decoded. RejectedImage if it cannot be had."""
    return decode.sheet(decode.format_of(data, limits), data, limits, number)
