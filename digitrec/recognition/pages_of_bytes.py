"""Bytes -> what the network sees.

    decode     bytes -> pages, by content, within limits
    ink        page -> ink: polarity, light, ruled lines, noise
    layout     ink -> digits in reading order
    normalise  digit -> centred 28 x 28
    pages      a sheet and its ink -> a page: boxes, digits, preview

No TensorFlow, no file access, no state: all of it may run in any thread.
"""

from digitrec.arrays import Page
from digitrec.images import decode
from digitrec.recognition.page import classical
from digitrec.types import Limits


def read(data: bytes, limits: Limits) -> list[Page]:
    """Find the digits on all pages of a file, the classical way, and score none of them: what training takes.

    A page without writing has reason `blank`; one that alone of its file cannot be decoded has that as its reason.
    Raises RejectedImage as `decode.sheets` does.
    """
    name, found = decode.sheets(data, limits)
    return [classical(name, sheet) for sheet in found]
