"""Authenticate every request before it reaches a route, and set the security headers of every response.

The Host header is checked against DNS rebinding, a cookie keeps out other people, Origin and Sec-Fetch-Site keep out
other web pages, and bodies have a size limit. Programs send the access token of the workspace instead of a cookie.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitrec import files
from digitrec.storage.judgements import normalize_reviewer

_MAX_LINKS = 50
"""Upper limit of unused invitations; a new one replaces the oldest."""
_MAX_SESSIONS = 10_000
"""Upper limit of open sessions, 3 MB; a new one replaces the oldest."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,100}")


def read_token(path: Path) -> str:
    """Return the access token of a workspace; create its file at first use, readable by its owner only.

    Raises:
        OSError: the file cannot be read or written.
    """
    files.make_dir(path.parent)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
    except FileExistsError:
        pass
    token = path.read_text(encoding="ascii", errors="replace").strip()
    if _TOKEN.fullmatch(token) is None:  # empty after a power cut, or edited
        path.unlink()
        return read_token(path)
    return token


@dataclass(slots=True)
class Session:
    """A reviewer with a browser."""

    reviewer: str
    """Name as entered."""
    judged: int = 0
    """Number of answers judged, without those undone."""

    @property
    def name(self) -> str:
        """Return the name as it is shown and stored with every judgement."""
        return normalize_reviewer(self.reviewer)


@dataclass(slots=True)
class Sessions:
    """Links and sessions by the digest of their secret, so that the time of a lookup reveals nothing about a secret."""

    token: str = field(default_factory=secrets.token_urlsafe)
    """Access token of the workspace: unlike a link it works any number of times."""
    owner: str = "somebody"
    """Name of a reviewer who enters with the access token."""
    _links: dict[bytes, str] = field(default_factory=dict)
    _open: dict[bytes, Session] = field(default_factory=dict)

    def invite(self, who: str) -> str:
        """Return the secret of a new one-time link for a reviewer; raises UsageError if the name is invalid."""
        normalize_reviewer(who)
        secret = secrets.token_urlsafe(32)
        while len(self._links) >= _MAX_LINKS:
            del self._links[next(iter(self._links))]
        self._links[_digest(secret)] = who
        return secret

    def enter(self, secret: str) -> str | None:
        """Redeem a link or the access token; return the secret of the new session for the cookie, None for others."""
        who = self.owner if self.is_token(secret) else self._links.pop(_digest(secret), None)
        if who is None:
            return None
        cookie = secrets.token_urlsafe(32)
        while len(self._open) >= _MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        self._open[_digest(cookie)] = Session(who)
        return cookie

    def is_token(self, secret: str) -> bool:
        """Return whether a secret is the access token."""
        return hmac.compare_digest(_digest(secret), _digest(self.token))

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None."""
        return self._open.get(_digest(cookie))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
PUBLIC_PATHS = ("/enter", "/static/", "/metrics")
"""Paths that need no session: login, static files and metrics, which hold counts only."""
API_PATH = "/api/read"
"""Path for programs, which send the access token as `Authorization: Bearer`."""


class BodyTooLarge(Exception):
    """The body is larger than this route accepts; the rest of the body was not read."""


@dataclass(frozen=True, slots=True)
class AuthMiddleware:
    """ASGI middleware: refuse requests without a session or from other pages, and add the security headers."""

    app: ASGIApp
    sessions: Sessions
    hosts: frozenset[str]
    """Accepted values of the Host header: `127.0.0.1:PORT`, `localhost:PORT`."""
    cookie: str
    """Name of the cookie, which holds the port: the ports of one host share their cookies."""
    unauthorized: Callable[[Request], Response]
    """Make the response to a request without a session."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (self._refuse(scope) or self.app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the response that refuses a request, or None; an accepted request gets its session."""
        headers, method = Headers(scope=scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return PlainTextResponse("This server does not answer to that host name.", 421)
        is_program = scope["path"] == API_PATH and "origin" not in headers and "sec-fetch-site" not in headers
        if not is_program and not _is_same_origin(headers, hosts[0], method):
            return PlainTextResponse("Only pages of this server may send this request.", 403)
        if scope["path"] == API_PATH:
            return None if self._has_token(headers) else _refuse_program()
        if scope["path"].startswith(PUBLIC_PATHS):
            return None
        session = self.sessions.find(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))
        if session is None:
            return self.unauthorized(Request(scope))
        scope.setdefault("state", {})["session"] = session
        return None

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.sessions.is_token(token.strip())


def _refuse_program() -> Response:
    content = {"problem": "the access token is missing or wrong", "hint": "Send it as `Authorization: Bearer TOKEN`."}
    return JSONResponse(content, 401, {"WWW-Authenticate": "Bearer"})


def _is_same_origin(headers: Headers, host: str, method: str) -> bool:
    """Return whether a page of this server, or a person who typed or followed a link, sends the request.

    A browser always sends the origin of a POST. A GET without these headers comes from no browser or from an old one.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return False
    if method not in {"GET", "HEAD"}:
        return site in {None, "same-origin"} and (origin is not None or site is not None)
    # Following a link from another site is harmless: a GET changes nothing, and that site cannot read the response.
    return site in {None, "same-origin", "none"} or headers.get("sec-fetch-mode") == "navigate"


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body of a request.

    Raises:
        BodyTooLarge: the body, or the length in its header, exceeds the limit; the rest is not read.
    """
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and (len(length) > len(str(max_bytes)) or int(length) > max_bytes):
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge
    return bytes(body)
