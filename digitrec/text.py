"""File names are data: how one is written where people and programs read it."""

import calendar
import os
import re
import secrets
import time
from urllib.parse import unquote_to_bytes

# Marks that change the order in which a line is shown (Unicode, UAX #9).
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f%{_BIDI}\ud800-\udfff]")
_FORMULA = re.compile("[=+\\-@'\t\r\uff1d\uff0b\uff0d\uff20\uff07]")


def escape(name: str) -> str:
    r"""A name on one line, harmless in a terminal: control and bidi characters, `%` and undecodable bytes as `%XX`.

    >>> escape("7\n.png"), escape("100%.png"), escape("b\udcff.png")
    ('7%0A.png', '100%25.png', 'b%FF.png')
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), name)


def escape_message(text: str) -> str:
    r"""A message on one line, harmless in a terminal; `%` stays, as names in a message may be escaped already.

    >>> escape_message("7%0A.png cannot be read\n"), escape_message("/srv/b\udcff")
    ('7%0A.png cannot be read%0A', '/srv/b%FF')
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "%" else escape(found[0]), text)


def escape_cell(text: str) -> str:
    """A text for a CSV cell: escaped, and never a formula to a spreadsheet (OWASP, "CSV injection").

    >>> escape_cell("=HYPERLINK(1)"), escape_cell("7.png"), escape_cell("'x")
    ("'=HYPERLINK(1)", '7.png', "''x")
    """
    return guard_formula(escape(text))


def guard_formula(text: str) -> str:
    """A text that was escaped before, never a formula to a spreadsheet.

    >>> guard_formula("=HYPERLINK(1)"), guard_formula("an%0An")
    ("'=HYPERLINK(1)", 'an%0An')
    """
    return "'" + text if _FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    r"""The name that `escape_cell` wrote.

    >>> unescape_cell(escape_cell("=7%\n.png")) == "=7%\n.png"
    True
    """
    if text[:1] == "'":
        text = text[1:]
    return os.fsdecode(unquote_to_bytes(text))


def _bytes(letter: str) -> bytes:
    is_byte = "\udc80" <= letter <= "\udcff"  # how Python keeps an undecodable one
    return os.fsencode(letter) if is_byte else letter.encode(errors="surrogatepass")


def format_utc(now_s: float) -> str:
    """ISO 8601 with milliseconds and `Z`.

    >>> format_utc(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03d}Z"


_PREFIXES = (".", "~$", "._")


_SUFFIXES = ("~", ".part", ".partial", ".tmp", ".crdownload", ".opdownload", ".filepart", ".!ut", ".aria2", ".swp")


_NEVER = {"thumbs.db", "desktop.ini"}


_NEVER_ENTERED = {"@eadir", ".stfolder", "__macosx", "lost+found", "system volume information"}


def is_candidate(name: str) -> bool:
    """False for what file managers, browsers and sync programs leave while they work.

    >>> [is_candidate(name) for name in ("7.png", "7.png.PART", "~$7.png", "Thumbs.db", "7.png~")]
    [True, False, False, False, False]
    """
    low = name.lower()
    return not (low in _NEVER or low.startswith(_PREFIXES) or low.endswith(_SUFFIXES))


def pluralize(number: int, one: str, many: str = "") -> str:
    """A number and its word.

    Args:
        number: how many.
        one: the word for one of them.
        many: for none or several; '' takes `one` and an s.

    >>> pluralize(1, "file"), pluralize(1200, "file"), pluralize(2, "batch", "batches")
    ('1 file', '1200 files', '2 batches')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


BATCH_ID = re.compile(r"[12][0-9]{3}(?:0[1-9]|1[0-2])[0-9]{2}T[0-9]{6}Z-[0-9a-f]{8}")

BATCH_ID_LENGTH = 25
"""Letters of an id."""


def new_batch_id(now_s: float) -> str:
    """An id for a batch that is opened now, seconds since 1970."""
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime(now_s)) + secrets.token_hex(4)


def batch_opened_s(batch_id: str) -> int:
    """When the batch was opened, seconds since 1970.

    >>> batch_opened_s("20260102T030405Z-00000000")
    1767323045
    """
    date, clock = batch_id[:8], batch_id[9:15]
    # Not strptime: a folder named like the 31st of February is still no reason to fail.
    parts = (date[:4], date[4:6], date[6:8], clock[:2], clock[2:4], clock[4:6])
    return calendar.timegm(tuple(map(int, parts)))


def batch_opened_at(batch_id: str) -> str:
    """When the batch was opened, ISO 8601.

    >>> batch_opened_at("20260102T030405Z-00000000")
    '2026-01-02T03:04:05.000Z'
    """
    return format_utc(batch_opened_s(batch_id))
