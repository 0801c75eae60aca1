"""Who may come in: every request passes here before anything else looks at it.

Host against rebound names, a cookie against other people, Origin and Sec-Fetch-Site against other pages, sizes against
floods; and the headers that tell a browser to trust nothing but this server.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digitrec.storage.corrections import normalize_reviewer

_MOST_LINKS = 50
"""Invitations nobody has used; the oldest goes."""


@dataclass(slots=True)
class Session:
    """A person at a browser."""

    reviewer: str
    """Their name as they gave it."""
    judged: int = 0
    """Answers judged, less those undone."""

    @property
    def name(self) -> str:
        """The name as it is shown, and kept with every judgement."""
        return normalize_reviewer(self.reviewer)


@dataclass(slots=True)
class Sessions:
    """Links and sessions, by the digest of what is secret: to look one up tells nothing about the others."""

    _links: dict[bytes, str] = field(default_factory=dict)
    _open: dict[bytes, Session] = field(default_factory=dict)

    def invite(self, who: str) -> str:
        """A secret that lets `who` in, once; UsageError if that is no name."""
        normalize_reviewer(who)
        secret = secrets.token_urlsafe(32)
        while len(self._links) >= _MOST_LINKS:
            del self._links[next(iter(self._links))]
        self._links[_digest(secret)] = who
        return secret

    def enter(self, secret: str) -> str | None:
        """Use a link up; gives the secret of the new session, for the cookie. None if there is no such link."""
        who = self._links.pop(_digest(secret), None)
        if who is None:
            return None
        cookie = secrets.token_urlsafe(32)
        self._open[_digest(cookie)] = Session(who)
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie."""
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
PUBLIC_PATHS = ("/enter", "/static/")
"""The door itself, and what it looks like: nothing there is anybody's data."""


class BodyTooLarge(Exception):
    """A body is larger than this address takes; the rest of it was not read."""


@dataclass(frozen=True, slots=True)
class AuthMiddleware:
    """Stands before the application."""

    app: ASGIApp
    sessions: Sessions
    hosts: frozenset[str]
    """What the Host header may say: `127.0.0.1:PORT`, `localhost:PORT`."""
    cookie: str
    """Its name: cookies of one host are shared by its ports."""
    unauthorized: Callable[[Request], Response]
    """What somebody without a session is shown."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
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

        refused = self._refused(scope)
        await (refused or self.app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return PlainTextResponse("This is not the server of that name.", 421)
        if not _is_ours(headers, hosts[0], method):
            return PlainTextResponse("Only this server's own pages may ask for that.", 403)
        if scope["path"].startswith(PUBLIC_PATHS):
            return None
        session = self.sessions.find(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))
        if session is None:
            return self.unauthorized(Request(scope))
        scope.setdefault("state", {})["session"] = session
        return None


def _is_ours(headers: Headers, host: str, method: str) -> bool:
    """Whether one of our own pages asks, or a person who typed or followed a link.

    A browser always says where a POST comes from. A GET without those headers is no browser's, or an old one's.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return False
    if method not in {"GET", "HEAD"}:
        return site in {None, "same-origin"} and (origin is not None or site is not None)
    # To follow a link here from anywhere is no harm: it changes nothing, and other pages cannot see what comes.
    return site in {None, "same-origin", "none"} or headers.get("sec-fetch-mode") == "navigate"


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The body of a request, at most so large; the rest of a larger one is not read.

    Raises:
        TooLarge: it is larger, or says that it is.
    """
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdecimal() and (len(told) > len(str(most_bytes)) or int(told) > most_bytes):
        raise BodyTooLarge
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > most_bytes:
            raise BodyTooLarge
    return bytes(found)
