"""Escape names, format numbers and times, and make batch ids."""

import calendar
import os
import re
import time
from urllib.parse import unquote_to_bytes

# Characters that change the display order of a line (Unicode, UAX #9).
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f%{_BIDI}\ud800-\udfff]")
_ANSWER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*|[0-9][0-9 +\-.,/:]*")
_LABEL = re.compile(r"none|[0-9 +\-.,/:]+")
_SEPARATORS = re.compile(r"(?<=[0-9])(?:[ .,/:]+|-)(?=[0-9])")
_FORMULA = re.compile("[=+\\-@'\t\r\uff1d\uff0b\uff0d\uff20\uff07]")


def escape(name: str) -> str:
    r"""Escape a file name for a terminal: control and bidi characters, `%` and undecodable bytes become `%XX`.

    >>> escape("7\n.png"), escape("100%.png"), escape("b\udcff.png")
    ('7%0A.png', '100%25.png', 'b%FF.png')
    """
    return _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in _to_bytes(match[0])), name)


def escape_message(text: str) -> str:
    r"""Escape a message for a terminal, except `%`: names in it are escaped already.

    >>> escape_message("7%0A.png cannot be read\n"), escape_message("/srv/b\udcff")
    ('7%0A.png cannot be read%0A', '/srv/b%FF')
    """
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "%" else escape(match[0]), text)


def escape_cell(text: str) -> str:
    """Escape a text for a CSV cell, which no spreadsheet takes for a formula (OWASP, "CSV injection").

    >>> escape_cell("=HYPERLINK(1)"), escape_cell("7.png"), escape_cell("'x")
    ("'=HYPERLINK(1)", '7.png', "''x")
    """
    return guard_formula(escape(text))


def escape_answer(text: str) -> str:
    """Escape an answer or a label for a CSV cell: digits with spaces and signs stay as they are.

    >>> escape_answer("-5"), escape_answer("12/03/2024 7"), escape_answer("-5 7"), escape_answer("=7")
    ('-5', '12/03/2024 7', "'-5 7", "'=7")
    """
    return text if _ANSWER.fullmatch(text) else escape_cell(text)


def guard_formula(text: str) -> str:
    """Prefix an escaped text that a spreadsheet would take for a formula with an apostrophe.

    >>> guard_formula("=HYPERLINK(1)"), guard_formula("an%0An")
    ("'=HYPERLINK(1)", 'an%0An')
    """
    return "'" + text if _FORMULA.match(text) else text


def unescape_cell(text: str) -> str:
    r"""Return the text that `escape_cell` or `escape_answer` wrote.

    >>> unescape_cell(escape_cell("=7%\n.png")) == "=7%\n.png"
    True
    """
    if text[:1] == "'":
        text = text[1:]
    return os.fsdecode(unquote_to_bytes(text))


def _to_bytes(character: str) -> bytes:
    is_byte = "\udc80" <= character <= "\udcff"  # the surrogate of an undecodable byte
    return os.fsencode(character) if is_byte else character.encode(errors="surrogatepass")


def is_comparable_label(label: str) -> bool:
    """Return whether a label can be compared with an answer: `none`, or made of the characters of answers.

    >>> is_comparable_label("21 37"), is_comparable_label("none"), is_comparable_label("7a"), is_comparable_label("")
    (True, True, False, False)
    """
    return _LABEL.fullmatch(label) is not None


def matches_label(answer: str, label: str) -> bool:
    """Return whether an answer is the one of the label.

    If the label holds digits only, spaces, `. , / :` and `-` between the digits of the answer are ignored.

    >>> matches_label("21 37", "2137"), matches_label("2026-01-31", "20260131"), matches_label("-5", "5")
    (True, True, False)
    >>> matches_label("2137", "21 37"), matches_label("3 -5", "35")
    (False, False)
    """
    has_digits_only = label.isascii() and label.isdigit()
    return answer == label or (has_digits_only and _SEPARATORS.sub("", answer) == label)


def format_utc(now_s: float) -> str:
    """Format seconds since 1970 as ISO 8601 with milliseconds and `Z`.

    >>> format_utc(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03d}Z"


_TEMP_PREFIXES = (".", "~$", "._")
_TEMP_SUFFIXES = (
    "~",
    ".part",
    ".partial",
    ".tmp",
    ".crdownload",
    ".opdownload",
    ".filepart",
    ".!ut",
    ".aria2",
    ".swp",
)
_IGNORED_FILES = {"thumbs.db", "desktop.ini"}
IGNORED_DIRS = {"@eadir", ".stfolder", "__macosx", "lost+found", "system volume information"}
"""Lower-case names of system folders, which are not scanned."""


def is_candidate(name: str) -> bool:
    """Return whether a name is not a temporary one of file managers, browsers and sync programs.

    >>> [is_candidate(name) for name in ("7.png", "7.png.PART", "~$7.png", "Thumbs.db", "7.png~")]
    [True, False, False, False, False]
    """
    low = name.lower()
    return not (low in _IGNORED_FILES or low.startswith(_TEMP_PREFIXES) or low.endswith(_TEMP_SUFFIXES))


def pluralize(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun.

    Args:
        number: the number of items.
        singular: the noun for one item.
        plural: the noun for zero or several items; '' means `singular` with an s.

    >>> pluralize(1, "file"), pluralize(1200, "file"), pluralize(2, "batch", "batches")
    ('1 file', '1200 files', '2 batches')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def format_percent(share: float, decimals: int = 2, space: str = " ") -> str:
    """Format a share, 0..1; one below 1 is never rounded to 100 %, and one above 0 never to 0 %.

    Args:
        share: the share.
        decimals: number of decimals.
        space: character between number and unit.

    >>> format_percent(0.5), format_percent(0.99996), format_percent(1.0)
    ('50.00 %', '>99.99 %', '100 %')
    >>> format_percent(0.00001), format_percent(0.0), format_percent(0.125, 1)
    ('<0.01 %', '0 %', '12.5 %')
    """
    if share in {0.0, 1.0}:
        return f"{100 * share:.0f}{space}%"
    smallest = 0.1**decimals
    number = f"{100 * share:.{decimals}f}"
    if float(number) >= 100:
        number = f">{100 - smallest:.{decimals}f}"
    elif float(number) == 0:
        number = f"<{smallest:.{decimals}f}"
    return f"{number}{space}%"


BATCH_ID = re.compile(r"[12][0-9]{3}(?:0[1-9]|1[0-2])[0-9]{2}T[0-9]{6}Z-[0-9a-f]{8}")
BATCH_ID_LENGTH = 25
"""Characters of a batch id."""


def random_hex(count: int) -> str:
    """Return random bytes as hexadecimal digits; `secrets` would load `hmac` and `random` at every start."""
    return os.urandom(count).hex()


def new_batch_id(now_s: float) -> str:
    """Return an id for a batch that is opened at this time, seconds since 1970."""
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime(now_s)) + random_hex(4)


def batch_opened_s(batch_id: str) -> int:
    """Return the time at which a batch was opened, seconds since 1970.

    >>> batch_opened_s("20260102T030405Z-00000000")
    1767323045
    """
    date, clock = batch_id[:8], batch_id[9:15]
    # Not strptime, which raises for a folder named like the 31st of February.
    parts = (date[:4], date[4:6], date[6:8], clock[:2], clock[2:4], clock[4:6])
    return calendar.timegm(tuple(map(int, parts)))


def batch_opened_at(batch_id: str) -> str:
    """Return the time at which a batch was opened, ISO 8601.

    >>> batch_opened_at("20260102T030405Z-00000000")
    '2026-01-02T03:04:05.000Z'
    """
    return format_utc(batch_opened_s(batch_id))
