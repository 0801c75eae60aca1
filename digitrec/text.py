"""File names are data: how one is written where people and programs read it."""

import os
import re
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


def printable(text: str) -> str:
    r"""A message on one line, harmless in a terminal; `%` stays, as names in a message may be escaped already.

    >>> printable("7%0A.png cannot be read\n"), printable("/srv/b\udcff")
    ('7%0A.png cannot be read%0A', '/srv/b%FF')
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "%" else escape(found[0]), text)


def cell(text: str) -> str:
    """A text for a CSV cell: escaped, and never a formula to a spreadsheet (OWASP, "CSV injection").

    >>> cell("=HYPERLINK(1)"), cell("7.png"), cell("'x")
    ("'=HYPERLINK(1)", '7.png', "''x")
    """
    return no_formula(escape(text))


def no_formula(text: str) -> str:
    """A text that was escaped before, never a formula to a spreadsheet.

    >>> no_formula("=HYPERLINK(1)"), no_formula("an%0An")
    ("'=HYPERLINK(1)", 'an%0An')
    """
    return "'" + text if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    r"""The name that `cell` wrote.

    >>> from_cell(cell("=7%\n.png")) == "=7%\n.png"
    True
    """
    if text[:1] == "'":
        text = text[1:]
    return os.fsdecode(unquote_to_bytes(text))


def _bytes(letter: str) -> bytes:
    is_byte = "\udc80" <= letter <= "\udcff"  # how Python keeps an undecodable one
    return os.fsencode(letter) if is_byte else letter.encode(errors="surrogatepass")
