"""Route requests about a workspace: home, uploads, search, originals, tables, reports, metrics, `/api/read`."""

import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from digitrec.errors import UsageError
from digitrec.exchange.formats import TableFormat
from digitrec.monitoring import metrics
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review import json_api, pages, search
from digitrec.review.auth import API_PATH, read_body
from digitrec.review.home import HomeMonitor
from digitrec.review.json_api import Json
from digitrec.review.page_images import OriginalMissing, read_original
from digitrec.review.queries import Entry
from digitrec.review.service import ReviewService
from digitrec.review.uploads import InboxUploads, UploadRefused
from digitrec.review.workspace_files import EXPORT_TYPES, WorkspaceFiles
from digitrec.settings import Settings
from digitrec.storage.corrections import Verdict
from digitrec.storage.ledger import Ledger
from digitrec.text import BATCH_ID, escape
from digitrec.types import PageStatus

_MAX_BODIES, _MAX_READERS = 4, 2
"""Upper limits of pictures that are received, and that are read, for programs at once."""
_METRICS_SHARE = 20
"""Collecting metrics takes at most a twentieth of the time, however often they are requested."""
_MIN_METRICS_S = 5.0


@dataclass(slots=True)
class MetricsText:
    """Metrics in Prometheus' text format, cached; thread-safe."""

    settings: Settings
    _content: str = ""
    _next_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> str:
        """Return the metrics, which may be some seconds old."""
        with self._lock:
            started_s = time.monotonic()
            if started_s >= self._next_s:
                self._content = metrics.format_samples(metrics.collect_samples(self.settings))
                self._next_s = started_s + max(_MIN_METRICS_S, _METRICS_SHARE * (time.monotonic() - started_s))
            return self._content


@dataclass(frozen=True, slots=True)
class WorkspacePages:
    """Pages about a workspace: what arrives, what was answered, and the files made of it."""

    settings: Settings
    service: ReviewService
    monitor: HomeMonitor
    uploads: InboxUploads
    files: WorkspaceFiles
    read_picture: Callable[[bytes], list[Json]]
    """Return the pages of a file as `predict --json` prints them."""
    metrics_text: MetricsText
    _bodies: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_MAX_BODIES))
    _readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_MAX_READERS))

    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            Route("/", self.home),
            Route("/find", self.find),
            Route("/theme", self.choose_theme),
            Route("/answer/{batch}/{row}", self.answer),
            Route("/original/{batch}/{row}", self.original),
            Route("/outbox/{kind}/{batch}/{path:path}", self.find_original),
            Route("/outbox/{name}", self.table),
            Route("/outbox/corrected/{name}", self.corrected_table),
            Route("/export/{name}", self.export),
            Route("/reports/{path:path}", self.report),
            Route("/reports", self.report),
            Route("/metrics", self.metrics),
            Route("/api/home", self.read_home),
            Route("/api/upload", self.upload, methods=["POST"]),
            Route(API_PATH, self.read, methods=["POST"]),
        ]

    # Home.

    async def home(self, request: Request) -> Response:
        """Show what waits, what is read, the last answers and the batches."""
        workspace, max_bytes = escape(self.settings.workspace.name), self.settings.max_bytes
        return self._page(request, "home", workspace=workspace, max_bytes=max_bytes, max_mb=max_bytes // 10**6)

    async def read_home(self, request: Request) -> Response:
        """Return the state of the workspace; only its version if the page has that."""
        return JSONResponse(await run_sync(self.monitor.read, request.query_params.get("seen", "")))

    async def upload(self, request: Request) -> Response:
        """Store the body in the inbox under the `name` in the query."""
        length = request.headers.get("content-length", "")
        size = json_api.parse_whole_number(length) if len(length) < 10 else self.settings.max_bytes + 1
        try:
            name = await self.uploads.store(_name(request), request.stream(), size if length else None)
        except UploadRefused as why:
            return JSONResponse({"problem": str(why), "hint": why.hint}, why.status)
        except ClientDisconnect:  # nobody reads the response
            return Response(status_code=400)
        return JSONResponse({"file": escape(name)}, 201)

    async def choose_theme(self, request: Request) -> Response:
        """Store the theme in a cookie and return to the page."""
        response = RedirectResponse(pages.local_path(request.query_params.get("next", "")), 303)
        theme = request.query_params.get("to", "")
        if theme in pages.THEMES:
            response.set_cookie(pages.THEME_COOKIE, theme, max_age=31_536_000, path="/", samesite="strict")
        return response

    # Answers and their files.

    async def find(self, request: Request) -> Response:
        """Show the answers that match a query, or those of a batch."""
        query, batch_id = request.query_params.get("q", "").strip(), request.query_params.get("batch", "").strip()
        if len(query) > search.MAX_QUERY_LENGTH or (batch_id and not BATCH_ID.fullmatch(batch_id)):
            raise UsageError("this search cannot be used", hint="Search for a file name, a number or a sha256.")
        result = search.SearchResult((), has_more=False)
        if query or batch_id:
            result = await run_sync(self._find, query, batch_id)
        answers = [_describe(entry) for entry in result.entries]
        return self._page(request, "find", answers=answers, has_more=result.has_more, batch=batch_id)

    def _find(self, query: str, batch_id: str) -> search.SearchResult:
        with open_ledgers(self.settings, skip_unreadable=True) as ledgers:
            return search.find_answers(filter(Ledger.is_up_to_date, ledgers.values()), query, batch_id)

    async def answer(self, request: Request) -> Response:
        """Show the original of an answer with the boxes of what was read."""
        entry = await self._entry(request)
        if entry is None:
            return self._missing(request, "There is no such answer")
        has_report = await run_sync((self.settings.reports / entry.row.batch_id / "index.html").is_file)
        return self._page(request, "answer", answer=_describe(entry), has_report=has_report)

    async def original(self, request: Request) -> Response:
        """Return the original of an answer as a download."""
        entry = await self._entry(request)
        if entry is None:
            return self._missing(request, "There is no such answer")
        row, settings = entry.row, self.settings
        try:
            data = await run_sync(read_original, settings.outbox, entry.location, row.sha256, settings.max_bytes)
        except OriginalMissing as why:
            return self._missing(request, f"The original cannot be shown: {why}")
        return _download(data, "application/octet-stream", row.path.rpartition("/")[2])

    async def find_original(self, request: Request) -> Response:
        """Lead from the place of an original, as reports link it, to the page of its answer."""
        kind, batch_id = request.path_params["kind"], request.path_params["batch"]
        if kind not in {"done", "rejected"} or not BATCH_ID.fullmatch(batch_id):
            return self._missing(request, "There is no such file")
        location = _raw_path(request).removeprefix("/")
        row_id = await run_sync(self._find_original, batch_id, location)
        if row_id is None:
            return self._missing(request, "There is no such original")
        return RedirectResponse(f"/answer/{row_id[0]}/{row_id[1]}", 303)

    def _find_original(self, batch_id: str, location: str) -> tuple[str, int] | None:
        # The ledger has the path as seen from the workspace, the address begins with `outbox`.
        location = f"{self.settings.outbox.name}/{location.partition('/')[2]}"
        with open_ledgers(self.settings, skip_unreadable=True) as ledgers:
            row_ids = (search.find_original(ledger, batch_id, location) for ledger in ledgers.values())
            return next(filter(None, row_ids), None)

    async def table(self, request: Request) -> Response:
        """Return a published table."""
        return await self._table(request, is_corrected=False)

    async def corrected_table(self, request: Request) -> Response:
        """Return a table of a reviewed batch."""
        return await self._table(request, is_corrected=True)

    async def _table(self, request: Request, *, is_corrected: bool) -> Response:
        name = request.path_params["name"]
        data = await run_sync(lambda: self.files.read_table(name, is_corrected=is_corrected))
        if data is None:
            return self._missing(request, "There is no such table")
        return _download(data, "text/csv", f"corrected-{name}" if is_corrected else name)

    async def export(self, request: Request) -> Response:
        """Return the latest answers or the tables of pages, of all batches or those named in the query."""
        name, batch_ids = request.path_params["name"], request.query_params.getlist("batch")
        kind, suffix = name.rpartition(".")[0], f".{name.rpartition('.')[2]}"
        if suffix not in EXPORT_TYPES or (kind, suffix) not in {
            ("answers", ".csv"),
            ("answers", ".xlsx"),
            ("tables", ".xlsx"),
        }:
            return self._missing(request, "There is no such export")
        if kind == "tables":
            data = await run_sync(self.files.export_tables, batch_ids)
        else:
            data = await run_sync(self.files.export_answers, TableFormat(suffix[1:]), batch_ids)
        await run_sync(gc.collect)  # a workbook leaves its cells in reference cycles, 3 MB for 5,000 answers
        return _download(data, EXPORT_TYPES[suffix], name)

    async def report(self, request: Request) -> Response:
        """Return a file of the reports; an HTML page under the bar."""
        path = request.path_params.get("path", "")
        if request.url.path == "/reports":
            return RedirectResponse("/reports/", 303)
        file = await run_sync(self.files.read_report, path)
        if file is None and path in {"", "index.html"}:
            return self._page(request, "no_reports", 200)
        if file is None:
            return self._missing(request, "There is no such report")
        media_type, data = file
        headers = {"Content-Security-Policy": pages.REPORT_POLICY}
        if media_type == "text/html":
            batch_id = path.partition("/")[0]
            is_batch = BATCH_ID.fullmatch(batch_id) is not None
            corrected = await run_sync(lambda: self.files.has_corrected_table(batch_id)) if is_batch else False
            links = {"batch_id": batch_id if is_batch else "", "has_corrected": corrected}
            data = pages.add_bar(request, data.decode("utf-8", errors="replace"), **links).encode()
        return Response(data, media_type=media_type, headers=headers)

    # For programs.

    async def metrics(self, _: Request) -> Response:
        """Return the metrics for Prometheus."""
        return PlainTextResponse(await run_sync(self.metrics_text.read), media_type="text/plain; version=0.0.4")

    async def read(self, request: Request) -> Response:
        """Return the answers for the picture in the body, which is not stored."""
        async with self._bodies:
            data = await read_body(request, self.settings.max_bytes)
            return JSONResponse(await run_sync(self.read_picture, data, limiter=self._readers))

    async def _entry(self, request: Request) -> Entry | None:
        batch_id = request.path_params["batch"]
        row = json_api.parse_whole_number(request.path_params["row"]) or 0
        return await run_sync(self.service.read_entry, batch_id, row) if json_api.is_row_id(batch_id, row) else None

    def _page(self, request: Request, name: str, status: int = 200, /, **content: Any) -> Response:
        return pages.render(request, name, status, page=name, session=request.state.session, **content)

    def _missing(self, request: Request, message: str) -> Response:
        return self._page(request, "missing", 404, message=escape(message))


def _describe(entry: Entry) -> Json:
    """Return an answer for a template: what was read, what a person said, and the addresses of its pages."""
    described = json_api.entry_to_json(entry)
    batch_id, row, read = entry.row.batch_id, entry.row.row, entry.row.reading
    correction = described["said"]
    review = {"batch": batch_id, "state": "any", "file": described["file"]}
    return described | {
        "final": correction["new"] if correction and correction["verdict"] != Verdict.UNSURE else read.text,
        "sha256": entry.row.sha256,
        "model_status": str(read.status),
        "picture": f"/picture/whole/{batch_id}/{row}",
        "thumbnail": f"/picture/small/{batch_id}/{row}",
        "address": f"/answer/{batch_id}/{row}",
        "original": f"/original/{batch_id}/{row}",
        "explanation": f"/explain/{batch_id}/{row}",
        "report": f"/reports/{batch_id}/index.html",
        "review": f"/one?{urlencode(review)}",
        "is_accepted": read.status is PageStatus.ACCEPTED,
    }


def _name(request: Request) -> str:
    """Return the `name` in the query, byte for byte: names of files need not be UTF-8."""
    for part in request.scope["query_string"].split(b"&"):
        key, _, value = part.partition(b"=")
        if key == b"name":
            return os.fsdecode(unquote_to_bytes(value.replace(b"+", b" ")))
    return ""


def _raw_path(request: Request) -> str:
    """Return the path of the address, byte for byte."""
    return os.fsdecode(unquote_to_bytes(request.scope["raw_path"].partition(b"?")[0]))


def _download(data: bytes, media_type: str, name: str) -> Response:
    quoted = quote(name, safe="", errors="surrogateescape")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}
    return Response(data, media_type=media_type, headers=headers)
