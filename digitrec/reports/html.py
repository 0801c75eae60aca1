"""Render self-contained HTML pages from templates; every value is escaped."""

import os
import sys
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitrec.reports.alignment import find_differences
from digitrec.text import format_percent as format_share

if TYPE_CHECKING:
    from datetime import tzinfo

    from jinja2 import BytecodeCache, Environment
    from markupsafe import Markup

_MAX_NAME_LENGTH = 160
_MAX_TEXT_LENGTH = 40
"""Longest text of several numbers that a table shows; of a longer one, it shows their count."""
_MAX_WHOLE = 16
"""Longest text that is never broken into two lines."""
_NO_TEXT = {"", "none"}
_NARROW = "\u202f"
"""Narrow no-break space between a number and its unit."""

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_UNPRINTABLE = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), *map(ord, _BIDI), *range(0xD800, 0xE000)],
    "\N{REPLACEMENT CHARACTER}",
)


def render_template(template: str, package: str = "digitrec.reports", /, **content: Any) -> str:
    """Render a template of a package; every value is escaped."""
    return _environment(package).get_template(template).render(**content)


@cache
def _environment(package: str) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from digitrec.reports.svg import draw_svg  # loads markupsafe, as Jinja does

    environment = Environment(
        loader=PackageLoader(package),
        bytecode_cache=_compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": format_percent,
        "count": format_count,
        "data_uri": to_data_uri,
        "short": shorten,
        "short_text": shorten_text,
        "when": format_time,
        "link": quote_path,
        "at": value_at,
        "marked": mark_differences,
        "svg": draw_svg,
        "is_wide": is_wide,
    }
    environment.globals |= {"plural": plural}
    return environment


def _compiled() -> "BytecodeCache | None":
    """Return the cache of compiled templates in `__pycache__`; compiling takes a fifth of a short run.

    None if Python writes no bytecode there, as in a read-only installation.
    """
    from jinja2 import FileSystemBytecodeCache

    folder = Path(__file__).with_name("__pycache__")
    is_writable = not sys.dont_write_bytecode and os.access(folder, os.W_OK)
    return FileSystemBytecodeCache(str(folder), "template-%s.cache") if is_writable else None


def value_at(report: Any, key: str) -> Any:
    """Return the value of a dotted key in a report, so that the page shows the numbers of `report.json`.

    >>> value_at({"files": [{"claimed": 3}]}, "files.0.claimed")
    3
    """
    for step in key.split("."):
        report = report[int(step)] if isinstance(report, list) else report[step]
    return report


def format_percent(share: float | None, decimals: int = 1) -> str:
    """Format a share with a narrow space; None is a dash.

    >>> format_percent(0.5), format_percent(0.99996), format_percent(None)
    ('50.0\u202f%', '>99.9\u202f%', '–')
    """
    return "–" if share is None else format_share(share, decimals, _NARROW)


def format_count(number: int) -> str:
    """Format a whole number with separated thousands.

    >>> format_count(12345)
    '12\u202f345'
    """
    return f"{number:,}".replace(",", _NARROW)


def plural(number: int, singular: str, many: str = "") -> str:
    """Format a number with its noun.

    >>> plural(1, "file"), plural(2, "file"), plural(0, "entry", "entries")
    ('1 file', '2 files', '0 entries')
    """
    return f"{format_count(number)} {singular if number == 1 else many or singular + 's'}"


def to_data_uri(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}"


def is_wide(png: bytes) -> bool:
    """Return whether a PNG is more than twice as wide as high, as pictures of numbers are."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    return width > 2 * height


def replace_unprintable(text: str) -> str:
    """Replace control and bidirectional characters and lone surrogates."""
    return text.translate(_UNPRINTABLE)


def shorten(name: str) -> str:
    """Shorten a long name to its start and end."""
    name = replace_unprintable(name)
    if len(name) <= _MAX_NAME_LENGTH:
        return name
    half = _MAX_NAME_LENGTH // 2
    return f"{name[:half]} … {name[-half:]}"


def shorten_text(text: str) -> str:
    """Shorten a long text of several numbers to their count; a report lists them below.

    >>> shorten_text("21 37 65"), shorten_text("21 37 65 " * 9)
    ('21 37 65', '27 numbers')
    """
    numbers = text.split()
    return plural(len(numbers), "number") if len(text) > _MAX_TEXT_LENGTH and len(numbers) > 1 else shorten(text)


def format_time(iso: str, zone: "tzinfo | None" = None) -> "Markup":
    """Format a time of the ledger in the local zone, or another one, with UTC as a hint; other text stays as it is.

    >>> from datetime import timedelta, timezone
    >>> print(format_time("2026-01-22T15:13:05Z", timezone(timedelta(hours=1), "CET")))
    <time datetime="2026-01-22T15:13:05Z" title="2026-01-22 15:13:05 UTC">2026-01-22 16:13:05 CET</time>
    """
    from markupsafe import Markup, escape

    try:
        time = datetime.fromisoformat(iso)
    except ValueError:
        return escape(replace_unprintable(iso).replace("T", " ").replace("Z", " UTC"))
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    utc, local = (moment.strftime("%Y-%m-%d %H:%M:%S %Z") for moment in (time.astimezone(UTC), time.astimezone(zone)))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, utc, local)


def mark_differences(text: str, truth: str) -> "Markup":
    """Return a text with the characters marked that differ from the true text; a long text is shortened instead.

    >>> print(mark_differences("14828", "19828"))
    <span class="whole">1<mark>4</mark>828</span>
    """
    from markupsafe import Markup, escape

    if not text:
        return Markup()
    if len(text) > _MAX_TEXT_LENGTH or len(truth) > _MAX_TEXT_LENGTH:
        return escape(shorten_text(text))
    text, truth = replace_unprintable(text), replace_unprintable(truth)
    wrong = find_differences(text, truth)[0] if max(len(text), len(truth)) > 1 and not _NO_TEXT & {text, truth} else ()
    marked = Markup().join(
        Markup("<mark>{}</mark>").format(character) if i in wrong else character for i, character in enumerate(text)
    )
    # A number is never broken into two lines, unless it is wider than a phone.
    return Markup('<span class="whole">{}</span>').format(marked) if len(text) <= _MAX_WHOLE else marked


def quote_path(path: str) -> str:
    """Quote a relative path as an address, so that no name in it becomes a scheme, a query or a fragment.

    >>> quote_path("a b/#1?.csv"), quote_path("javascript:alert(1)")
    ('a%20b/%231%3F.csv', 'javascript%3Aalert%281%29')
    """
    from urllib.parse import quote

    return quote(path, errors="surrogateescape")
