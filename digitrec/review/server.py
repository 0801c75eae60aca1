"""Addresses -> questions to the desk. Asynchronous on the outside, threads for everything that takes time."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from digitrec.errors import DigitrecError, EnvironmentFailure, UsageError, wrap_os_error
from digitrec.reports import html
from digitrec.review import json_api
from digitrec.review.auth import AuthMiddleware, BodyTooLarge, Session, Sessions, read_body
from digitrec.review.page_images import ImageUnavailable, View
from digitrec.review.queries import Filter
from digitrec.review.service import ResultPage, ReviewService, SaveResult
from digitrec.review.tryout import TryOut
from digitrec.text import escape

_MOST_JSON_BYTES = 300_000
_MOST_LISTED = 100
_COUNTED = {"status", "state", "text", "batch", "file"}

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """The pages of one desk."""

    service: ReviewService
    tryout: TryOut
    sessions: Sessions
    port: int
    max_bytes: int
    """Of a picture that is tried."""

    def app(self) -> ASGIApp:
        """The application, with the guard before it."""
        routes = [
            Route("/", self.overview),
            Route("/one", self.one),
            Route("/grid", self.grid),
            Route("/try", self.try_page),
            Route("/enter", self.enter, methods=["GET"]),
            Route("/picture/{view}/{batch}/{row}", self.picture),
            Route("/api/list", self.listed),
            Route("/api/audit", self.audit),
            Route("/api/entry/{batch}/{row}", self.entry),
            Route("/api/judge", self.judge, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/invite", self.invite, methods=["POST"]),
            Route("/api/try", self.try_it, methods=["POST"]),
            Mount("/static", StaticFiles(directory=str(files("digitrec.review") / "static"))),
        ]
        handlers: dict[Any, Any] = {
            BodyTooLarge: _told("larger than is taken here", 413),
            UsageError: _of_error(400),
            EnvironmentFailure: _of_error(503),
            DigitrecError: _of_error(503),
            sqlite3.Error: _told("the ledger cannot be used now; nothing that was saved is lost", 503),
            OSError: lambda request, why: _of_error(503)(request, wrap_os_error(why)),
        }
        hosts = frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost"))
        app = Starlette(routes=routes, exception_handlers=handlers)
        return AuthMiddleware(app, self.sessions, hosts, self._cookie, _stranger)

    @property
    def _cookie(self) -> str:
        return f"digitrec_review_{self.port}"

    # The door.

    async def enter(self, request: Request) -> Response:
        """Use a link up: a cookie for it, and on to the pages."""
        if request.method != "GET":  # HEAD: whoever looks whether a link is good must not use it up
            return Response(status_code=405)
        cookie = self.sessions.enter(request.query_params.get("token", ""))
        if cookie is None:
            return _html("stranger", 403, is_used=True)
        # A strict cookie is not sent along a redirect that began on another site, as in a mail read in a browser.
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            response: Response = _html("entered")
        else:
            response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, cookie, path="/", httponly=True, samesite="strict")
        return response

    async def invite(self, request: Request) -> Response:
        """A link for another person: {"who": NAME}."""
        asked = await _json(request)
        if not isinstance(asked, dict) or set(asked) != {"who"} or not isinstance(asked["who"], str):
            raise UsageError("say who it is for")
        token = self.sessions.invite(asked["who"])
        return JSONResponse({"link": f"http://{request.headers['host']}/enter?{urlencode({'token': token})}"})

    # Pages.

    async def overview(self, request: Request) -> Response:
        """What waits."""
        found = await run_sync(self.service.build_dashboard)
        return self._page(request, "overview", found=found)

    async def one(self, request: Request) -> Response:
        """One by one."""
        is_audit = "audit" in request.query_params
        return self._page(request, "one", chosen=_filter(request), is_audit=is_audit)

    async def grid(self, request: Request) -> Response:
        """By digit."""
        return self._page(request, "grid", chosen=_filter(request))

    async def try_page(self, request: Request) -> Response:
        """Try it."""
        return self._page(request, "try", max_bytes=self.max_bytes)

    def _page(self, request: Request, name: str, **content: Any) -> Response:
        content |= {"page": name, "session": _session(request), "has_audit": bool(self.service.audit_sample)}
        return _html(name, **content)

    # What the pages' scripts ask.

    async def listed(self, request: Request) -> Response:
        """The next answers of a filter."""
        asked = request.query_params
        chosen, after, most = _filter(request), json_api.parse_key(asked.get("after", "")), _most(asked.get("most", ""))
        found = await run_sync(self.service.list_answers, chosen, after, most)
        return _listed(request, found)

    async def audit(self, request: Request) -> Response:
        """The next answers of the audit."""
        after = json_api.parse_whole_number(request.query_params.get("after", "") or "0")
        if after is None:
            raise UsageError("this list has no such place")
        found = await run_sync(self.service.list_audit, after, _most(request.query_params.get("most", "")))
        return _listed(request, found)

    async def entry(self, request: Request) -> Response:
        """One answer."""
        batch_id, row = _place(request)
        found = await run_sync(self.service.read_entry, batch_id, row) if json_api.is_row_id(batch_id, row) else None
        return JSONResponse(json_api.entry_to_json(found)) if found else _problem("there is no such answer", 404)

    async def picture(self, request: Request) -> Response:
        """What is shown of an answer."""
        batch_id, row = _place(request)
        view = request.path_params["view"]
        if view not in set(View) or not json_api.is_row_id(batch_id, row):
            return _problem("there is no such picture", 404)
        try:
            shown = await run_sync(self.service.render_page, batch_id, row, View(view))
        except ImageUnavailable as why:
            return _problem(escape(str(why)), 404)
        if shown is None:
            return _problem("there is no such picture", 404)
        return Response(shown.data, media_type=shown.media_type, headers={"X-Original": str(int(shown.is_original))})

    async def judge(self, request: Request) -> Response:
        """Keep what a person says."""
        how, judgements = json_api.parse_judgements(await _json(request))
        session = _session(request)
        saved = await run_sync(lambda: self.service.judge(judgements, who=session.reviewer, how=how))
        session.judged += len(saved.done)
        return self._saved(session, saved)

    async def undo(self, request: Request) -> Response:
        """Take back what a person said."""
        entries = json_api.parse_undo(await _json(request))
        session = _session(request)
        saved = await run_sync(lambda: self.service.undo(entries, who=session.reviewer))
        session.judged = max(0, session.judged - len(saved.done))
        return self._saved(session, saved)

    async def try_it(self, request: Request) -> Response:
        """Read a picture; it is kept nowhere."""
        data = await read_body(request, self.max_bytes)
        return JSONResponse(await run_sync(self.tryout.read, data))

    def _saved(self, session: Session, saved: SaveResult) -> Response:
        root = self.service.outbox.parent
        answer = {
            "done": [json_api.row_state_to_json(one.batch_id, one.row, one) for one in saved.done],
            "conflicts": [json_api.row_state_to_json(one.batch_id, one.row, one.newest) for one in saved.conflicts],
            "finished": {each: escape(str(path.relative_to(root))) for each, path in saved.finished.items()},
            "late": escape(saved.late),
            "by_you": session.judged,
        }
        return JSONResponse(answer, 409 if saved.conflicts else 200)


def _html(name: str, status: int = 200, **content: Any) -> Response:
    return HTMLResponse(html.render_template(f"{name}.html.j2", "digitrec.review", **content), status)


def _stranger(_: Request) -> Response:
    return _html("stranger", 403, is_used=False)


def _session(request: Request) -> Session:
    session: Session = request.state.session
    return session


def _filter(request: Request) -> Filter:
    return json_api.parse_filter({name: value for name, value in request.query_params.items() if name in _COUNTED})


def _place(request: Request) -> tuple[str, int]:
    """Return batch and row of an address; row 0, which none has, for what is no number."""
    return request.path_params["batch"], json_api.parse_whole_number(request.path_params["row"]) or 0


def _most(text: str) -> int:
    most = json_api.parse_whole_number(text)
    return _MOST_LISTED if most is None else min(max(most, 1), _MOST_LISTED)


def _listed(request: Request, found: ResultPage) -> Response:
    after = json_api.format_key(found.next) if isinstance(found.next, tuple) else found.next
    return JSONResponse(
        {
            "entries": [json_api.entry_to_json(each) for each in found.entries],
            "next": None if after is None else str(after),
            "count": asdict(found.count),
            "by_you": _session(request).judged,
        }
    )


async def _json(request: Request) -> object:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UsageError("this takes JSON")
    try:
        found = json.loads(await read_body(request, _MOST_JSON_BYTES))
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text: UnicodeEncodeError
        return found
    except (ValueError, RecursionError):
        raise UsageError("this is no JSON") from None


def _problem(words: str, status: int, hint: str = "") -> Response:
    return JSONResponse({"problem": words, "hint": hint}, status)


def _told(words: str, status: int) -> Callable[[Request, Exception], Response]:
    return lambda _request, _why: _problem(words, status)


def _of_error(status: int) -> Callable[[Request, DigitrecError], Response]:
    return lambda _request, why: _problem(escape(str(why)), status, escape(why.hint))
