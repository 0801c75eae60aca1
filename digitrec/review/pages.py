"""Render pages in the chosen theme and under the common bar; add the bar to reports, which are pages of their own."""

import re
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from digitrec.reports import html

THEMES = ("system", "dark", "light")
"""In the order in which the switch of the bar takes them."""
THEME_COOKIE = "digitrec_theme"
_DARK_MEDIA = {"system": "(prefers-color-scheme: dark)", "dark": "all", "light": "not all"}
_COLOR_SCHEMES = {"system": "light dark", "dark": "dark", "light": "light"}

REPORT_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""Content security policy of a report: its styles are inline, and it has no scripts."""
# What a report says about itself as a file, and its response says otherwise.
_REPLACED = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>|<link rel="icon"[^>]*>')
_BODY = re.compile(r"<body[^>]*>")
_BETWEEN = "<!-- body -->"
"""Between the parts of the template that go into the head and the body of a report."""


def theme_of(request: Request) -> str:
    """Return the theme that the browser chose: `system`, `dark` or `light`."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else THEMES[0]


def render(request: Request, template: str, status: int = 200, /, **content: Any) -> Response:
    """Return a page as a response."""
    return HTMLResponse(
        html.render_template(f"{template}.html.j2", "digitrec.review", **_base(request), **content), status
    )


def add_bar(request: Request, report: str, /, **links: object) -> str:
    """Return a report under the bar, in the chosen theme; `links` tell of the other pages of its batch."""
    theme, session = theme_of(request), request.state.session
    content = {**_base(request), **links, "page": "reports", "session": session}
    head, _, bar = html.render_template("report_bar.html.j2", "digitrec.review", **content).partition(_BETWEEN)
    report = _REPLACED.sub("", report)
    if theme != THEMES[0]:
        report = report.replace("(prefers-color-scheme: dark)", _DARK_MEDIA[theme])
        report = re.sub('(color-scheme: |content=")light dark', rf"\g<1>{theme}", report)
    report = report.replace("</head>", f"{head}</head>", 1)
    return _BODY.sub(lambda match: match[0] + bar, report, count=1)


def _base(request: Request) -> dict[str, object]:
    theme = theme_of(request)
    next_theme = THEMES[(THEMES.index(theme) + 1) % len(THEMES)]
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return {
        "theme": theme,
        "next_theme": next_theme,
        "theme_address": f"/theme?{urlencode({'to': next_theme, 'next': path})}",
        "dark_media": _DARK_MEDIA[theme],
        "color_scheme": _COLOR_SCHEMES[theme],
        "query": request.query_params.get("q", "") if request.url.path == "/find" else "",
    }


def local_path(address: str) -> str:
    r"""Return the address if it is a path of this server, else the home page.

    >>> local_path("/find?q=7"), local_path("//evil.example/"), local_path("https://evil.example"), local_path("/\\x")
    ('/find?q=7', '/', '/', '/')
    """
    return address if re.fullmatch(r"/(?![/\\])[!-~]*", address) and "\\" not in address else "/"
