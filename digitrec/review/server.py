"""Route requests to the review service; blocking work runs in threads."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from digitrec.errors import DigitrecError, UsageError, wrap_os_error
from digitrec.review import json_api, pages
from digitrec.review.auth import AuthMiddleware, BodyTooLarge, Session, Sessions, read_body
from digitrec.review.page_images import ImageUnavailable, OriginalMissing, View, read_original
from digitrec.review.queries import Filter
from digitrec.review.service import NumberPage, ResultPage, ReviewService, SaveResult
from digitrec.review.tryout import TryOut
from digitrec.review.workspace_pages import WorkspacePages
from digitrec.text import escape

_MAX_JSON_BYTES = 300_000
_MAX_FORM_BYTES = 1000
_MAX_LISTED = 100
_FILTER_KEYS = {"status", "state", "text", "batch", "file"}


@dataclass(frozen=True, slots=True)
class Site:
    """Web application of a review service."""

    service: ReviewService
    tryout: TryOut
    sessions: Sessions
    port: int
    max_bytes: int
    """Upper limit of a picture that is tried."""
    workspace: WorkspacePages
    start: str = "/"
    """Path of the page that follows the login."""

    def app(self) -> ASGIApp:
        """Return the application behind its authentication."""
        routes = [
            *self.workspace.routes(),
            Route("/review", self.overview),
            Route("/one", self.one),
            Route("/grid", self.grid),
            Route("/try", self.try_page),
            Route("/enter", self.enter, methods=["GET", "POST"]),
            Route("/picture/{view}/{batch}/{row}", self.picture),
            Route("/picture/{view}/{batch}/{row}/{number}", self.picture),
            Route("/api/list", self.list_answers),
            Route("/api/numbers", self.list_numbers),
            Route("/api/audit", self.list_audit),
            Route("/api/entry/{batch}/{row}", self.entry),
            Route("/api/judge", self.judge, methods=["POST"]),
            Route("/api/undo", self.undo, methods=["POST"]),
            Route("/api/invite", self.invite, methods=["POST"]),
            Route("/api/try", self.try_it, methods=["POST"]),
            Route("/api/explain", self.explain, methods=["POST"]),
            Route("/explain/{batch}/{row}", self.explain_answer),
            Mount("/static", StaticFiles(directory=str(files("digitrec.review") / "static"))),
        ]
        handlers: dict[Any, Any] = {
            BodyTooLarge: _fixed_problem("the request is too large", 413),
            UsageError: _problem_of_error(400),
            DigitrecError: _problem_of_error(503),
            sqlite3.Error: _fixed_problem("the ledger cannot be used now; nothing that was saved is lost", 503),
            OSError: lambda request, why: _problem_of_error(503)(request, wrap_os_error(why)),
        }
        hosts = frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost"))
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return AuthMiddleware(app, self.sessions, hosts, self._cookie, _refuse_entry)

    @property
    def _cookie(self) -> str:
        return f"digitrec_review_{self.port}"

    # Login.

    async def enter(self, request: Request) -> Response:
        """Redeem a one-time link, or take the access token from the form: set the cookie and go to the pages."""
        if request.method == "HEAD":  # as a link checker sends it: it must not redeem the link
            return Response(status_code=405)
        token = request.query_params.get("token", "")
        if request.method == "POST":
            body = (await read_body(request, _MAX_FORM_BYTES)).decode("utf-8", errors="replace")
            token = parse_qs(body).get("token", [""])[0].strip()
        cookie = self.sessions.enter(token)
        if cookie is None:
            return pages.render(request, "refused", 403, is_used=True)
        # A strict cookie is not sent along a redirect that began on another site, such as a web mailer.
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            response = pages.render(request, "welcome", start=self.start)
        else:
            response = RedirectResponse(self.start, 303)
        response.set_cookie(self._cookie, cookie, path="/", httponly=True, samesite="strict")
        return response

    async def invite(self, request: Request) -> Response:
        """Make a one-time link for another reviewer: {"who": NAME}."""
        fields = await _json(request)
        if not isinstance(fields, dict) or set(fields) != {"who"} or not isinstance(fields["who"], str):
            raise UsageError("the name of the reviewer is missing")
        token = self.sessions.invite(fields["who"])
        return JSONResponse({"link": f"http://{request.headers['host']}/enter?{urlencode({'token': token})}"})

    # Pages.

    async def overview(self, request: Request) -> Response:
        """Show the progress of the review."""
        dashboard = await run_sync(self.service.build_dashboard)
        return self._page(request, "overview", dashboard=dashboard)

    async def one(self, request: Request) -> Response:
        """Show answers one by one."""
        is_audit = "audit" in request.query_params
        return self._page(request, "one", chosen=_filter(request), is_audit=is_audit)

    async def grid(self, request: Request) -> Response:
        """Show answers with the same digit in a grid."""
        chosen = _filter(request)
        in_numbers = request.query_params.get("in") == "numbers" and chosen.text in set("0123456789")
        return self._page(request, "grid", chosen=chosen, in_numbers=in_numbers)

    async def try_page(self, request: Request) -> Response:
        """Show the page on which a picture can be tried."""
        return self._page(request, "try", max_bytes=self.max_bytes)

    def _page(self, request: Request, name: str, **content: Any) -> Response:
        content |= {"page": name, "session": _session(request), "has_audit": bool(self.service.audit_sample)}
        return pages.render(request, name, **content)

    # JSON for the scripts of the pages.

    async def list_answers(self, request: Request) -> Response:
        """Return the next answers of a filter."""
        query = request.query_params
        after, limit = json_api.parse_key(query.get("after", "")), _limit(query.get("most", ""))
        page = await run_sync(self.service.list_answers, _filter(request), after, limit)
        return _list(request, page, map(json_api.entry_to_json, page.entries))

    async def list_numbers(self, request: Request) -> Response:
        """Return the next numbers whose least certain digit is the given one."""
        query = request.query_params
        digit = json_api.parse_whole_number(query.get("digit", ""))
        if digit is None or digit > 9:
            raise UsageError("digit is 0 to 9")
        after, limit = json_api.parse_number_key(query.get("after", "")), _limit(query.get("most", ""))
        page = await run_sync(self.service.list_numbers, _filter(request), digit, after, limit)
        return _list(request, page, [json_api.listed_number_to_json(*item) for item in page.numbers])

    async def list_audit(self, request: Request) -> Response:
        """Return the next answers of the audit."""
        query = request.query_params
        after = json_api.parse_whole_number(query.get("after", "") or "0")
        if after is None:
            raise UsageError("this list has no such position")
        page = await run_sync(self.service.list_audit, after, _limit(query.get("most", "")))
        return _list(request, page, map(json_api.entry_to_json, page.entries))

    async def entry(self, request: Request) -> Response:
        """Return an answer."""
        batch_id, row = _row_id(request)
        entry = await run_sync(self.service.read_entry, batch_id, row) if json_api.is_row_id(batch_id, row) else None
        return JSONResponse(json_api.entry_to_json(entry)) if entry else _problem("there is no such answer", 404)

    async def picture(self, request: Request) -> Response:
        """Return the image of an answer."""
        batch_id, row = _row_id(request)
        view = request.path_params["view"]
        number = json_api.parse_whole_number(request.path_params.get("number", "0"))
        if view not in set(View) or not json_api.is_row_id(batch_id, row) or number is None:
            return _problem("there is no such picture", 404)
        try:
            image = await run_sync(self.service.render_page, batch_id, row, View(view), number)
        except ImageUnavailable as why:
            return _problem(escape(str(why)), 404)
        if image is None:
            return _problem("there is no such picture", 404)
        return Response(image.data, media_type=image.media_type, headers={"X-Original": str(int(image.is_original))})

    async def judge(self, request: Request) -> Response:
        """Save judgements."""
        how, judgements = json_api.parse_judgements(await _json(request))
        session = _session(request)
        result = await run_sync(lambda: self.service.judge(judgements, who=session.reviewer, how=how))
        session.judged += len(result.saved)
        return self._save_result(session, result)

    async def undo(self, request: Request) -> Response:
        """Undo judgements."""
        changes = json_api.parse_undo(await _json(request))
        session = _session(request)
        result = await run_sync(lambda: self.service.undo(changes, who=session.reviewer))
        session.judged = max(0, session.judged - len(result.saved))
        return self._save_result(session, result)

    async def try_it(self, request: Request) -> Response:
        """Read a picture without storing it."""
        data = await read_body(request, self.max_bytes)
        return JSONResponse(await run_sync(self.tryout.read, data))

    async def explain(self, request: Request) -> Response:
        """Draw how a picture is read, without storing it."""
        data = await read_body(request, self.max_bytes)
        return Response(await run_sync(self.tryout.explain, data), media_type="image/png")

    async def explain_answer(self, request: Request) -> Response:
        """Draw how the page of an answer is read by the model in use, with the ink that is not part of the answer."""
        batch_id, row = _row_id(request)
        entry = await run_sync(self.service.read_entry, batch_id, row) if json_api.is_row_id(batch_id, row) else None
        if entry is None:
            return _problem("there is no such answer", 404)
        location, digest = entry.location, entry.row.sha256
        try:
            data = await run_sync(read_original, self.service.outbox, location, digest, self.max_bytes)
        except OriginalMissing as why:
            return _problem(escape(str(why)), 404)
        return Response(await run_sync(self.tryout.explain, data, entry.row.reading.page), media_type="image/png")

    def _save_result(self, session: Session, result: SaveResult) -> Response:
        root = self.service.outbox.parent
        content = {
            "done": [json_api.row_state_to_json(item.batch_id, item.row, item) for item in result.saved],
            "conflicts": [
                json_api.row_state_to_json(item.batch_id, item.row, item.correction) for item in result.conflicts
            ],
            "finished": {batch_id: escape(str(path.relative_to(root))) for batch_id, path in result.finished.items()},
            "late": escape(result.table_error),
            "by_you": session.judged,
        }
        return JSONResponse(content, 409 if result.conflicts else 200)


def _refuse_entry(request: Request) -> Response:
    return pages.render(request, "refused", 403, is_used=False)


def _session(request: Request) -> Session:
    session: Session = request.state.session
    return session


def _filter(request: Request) -> Filter:
    return json_api.parse_filter({name: value for name, value in request.query_params.items() if name in _FILTER_KEYS})


def _row_id(request: Request) -> tuple[str, int]:
    """Return batch and row of an address; row 0, which does not exist, if the row is not a number."""
    return request.path_params["batch"], json_api.parse_whole_number(request.path_params["row"]) or 0


def _limit(text: str) -> int:
    limit = json_api.parse_whole_number(text)
    return _MAX_LISTED if limit is None else min(max(limit, 1), _MAX_LISTED)


def _list(request: Request, page: ResultPage | NumberPage, entries: Iterable[json_api.Json]) -> Response:
    after = json_api.format_key(page.next) if isinstance(page.next, tuple) else page.next
    return JSONResponse(
        {
            "entries": [*entries],
            "next": None if after is None else str(after),
            "count": asdict(page.count),
            "by_you": _session(request).judged,
        }
    )


async def _json(request: Request) -> object:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UsageError("the content type must be application/json")
    try:
        content = json.loads(await read_body(request, _MAX_JSON_BYTES))
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate raises UnicodeEncodeError
        return content
    except (ValueError, RecursionError):
        raise UsageError("the request is not valid JSON") from None


def _problem(message: str, status: int, hint: str = "") -> Response:
    return JSONResponse({"problem": message, "hint": hint}, status)


def _fixed_problem(message: str, status: int) -> Callable[[Request, Exception], Response]:
    return lambda _request, _why: _problem(message, status)


def _problem_of_error(status: int) -> Callable[[Request, DigitrecError], Response]:
    return lambda _request, why: _problem(escape(str(why)), status, escape(why.hint))
