"""The HTML of the review pages: frames that the scripts in static/ fill. Every value is escaped."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_NARROW = "\u202f"


def render(template: str, **content: Any) -> str:
    """Fill in one of the templates."""
    return _environment().get_template(template).render(**content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("digitrec.review"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = count
    environment.globals["plural"] = plural
    return environment


def count(number: int) -> str:
    r"""A whole number with its thousands apart.

    >>> count(12345)
    '12\u202f345'
    """
    return f"{number:,}".replace(",", _NARROW)


def plural(number: int, one: str, many: str = "") -> str:
    """A number and its noun.

    >>> plural(1, "page"), plural(2, "page")
    ('1 page', '2 pages')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
