"""Use cases `serve` and `review`: assemble the web application of a workspace and serve it on this machine."""

import gc
import getpass
import os
import signal
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlencode

from digitrec import logs
from digitrec.app import composition
from digitrec.app.reader import Reader
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.exchange.formats import rows_to_json
from digitrec.pipeline import ledgers
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review import queries
from digitrec.review.auth import Sessions, read_token
from digitrec.review.home import HomeMonitor
from digitrec.review.json_api import Json
from digitrec.review.page_images import PageImages
from digitrec.review.server import Site
from digitrec.review.service import ReviewService
from digitrec.review.summary import ReviewSummary, mark_corrections, summarize_review
from digitrec.review.tryout import LoadedReader, TryOut
from digitrec.review.uploads import InboxUploads, verify_inbox
from digitrec.review.workspace_files import open_files
from digitrec.review.workspace_pages import MetricsText, WorkspacePages
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import write_outdated_tables
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc

_HOST = "127.0.0.1"
_KEEP_ALIVE_S = 75
T = TypeVar("T")
_SHUTDOWN_S = 3
_GC_THRESHOLD = 10_000
"""New objects between two collections of garbage, as each page leaves some in cycles of its template: with the 100,000
of a start, 40 MB would be kept."""
_ACCESS_FILE = "access-token"
"""File in the state folder with the token for programs, and for a login after a restart of the browser."""


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Options of a review server."""

    reviewer: str = ""
    """Name in the log of corrections; "" for the login name."""
    port: int = 0
    """0 for a free port."""
    audit: int = 0
    """Number of accepted answers that are sampled for an audit."""
    seed: int = 0
    """Seed of the audit sample."""
    start: str = "/"
    """Path of the page that follows the login: `/` of `serve`, `/review` of `review`."""


def serve(
    settings: Settings,
    options: ReviewOptions,
    on_started: Callable[[str, Path], None],
    on_stopped: Callable[[ReviewSummary], None],
) -> None:
    """Serve the pages of a workspace until stopped by a signal.

    Args:
        settings: name the workspace.
        options: reviewer, port, audit sample and first page.
        on_started: called with the address, which holds a one-time token of the reviewer, and the file of the access
            token, once the server listens.
        on_stopped: called at the end with what was judged meanwhile.

    Raises:
        UsageError: nothing was read yet and a review is asked for, there is no workspace, the port is in use, or the
            reviewer's name is invalid.
        EnvironmentFailure: every ledger was written by another version.
    """
    import uvicorn

    from digitrec.review.connections import BACKLOG, ConnectionLimits, max_connections, raise_open_files

    reviewer = options.reviewer or get_login_name()
    sessions = Sessions(owner=reviewer)
    token = sessions.invite(reviewer)
    if options.start == "/" and not settings.inbox.is_dir() and ledgers.is_new_workspace(settings):
        hint = "`digitrec init` makes one here, --workspace DIR names another."
        raise UsageError(f"{settings.workspace} is no workspace", hint=hint)
    # While a connection stays open, SQLite keeps its write-ahead log: a verdict costs one fsync instead of five.
    with open_ledgers(settings, skip_unreadable=True) as readable, open_listening_socket(options.port) as listener:
        for ledger in readable.values():
            ledger.is_up_to_date()
        marks = mark_corrections(readable)
        port = int(listener.getsockname()[1])
        site = build_site(settings, sessions, port, audit=options.audit, seed=options.seed, start=options.start)
        token_path = settings.state / _ACCESS_FILE
        sessions.token = read_token(token_path)
        config = uvicorn.Config(
            site.app(),
            http=ConnectionLimits(max_connections(raise_open_files())).protocol,  # type: ignore[arg-type]  # a factory is accepted as well
            backlog=BACKLOG,
            access_log=False,  # a line would hold the token
            log_config=None,
            log_level="error",  # clients can cause thousands of warnings
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
        server = uvicorn.Server(config)
        signal.signal(signal.SIGTERM, _exit_on_signal)  # uvicorn finishes its requests, then raises the signal again
        gc.set_threshold(_GC_THRESHOLD)
        on_started(f"http://{_HOST}:{port}/enter?{urlencode({'token': token})}", token_path)
        try:
            server.run(sockets=[listener])
        finally:
            with open_ledgers(settings, skip_unreadable=True) as at_end:
                on_stopped(summarize_review(settings.outbox, at_end, marks))


def _exit_on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def build_site(
    settings: Settings, sessions: Sessions, port: int, *, audit: int = 0, seed: int = 0, start: str = "/"
) -> Site:
    """Return the web application of a workspace.

    Raises:
        UsageError: nothing was read yet, and the first page is the review.
        EnvironmentFailure: every ledger was written by another version.
    """
    audit_sample = _prepare_ledgers(settings, audit, seed, is_review=start != "/")

    def load_reader() -> LoadedReader:
        package = composition.open_model(settings)
        return composition.load_page_reader(package, settings), composition.choose_thresholds(settings, package)

    load_for_pages = _ModelInUse(settings, load_reader)
    load_for_programs = _ModelInUse(settings, lambda: Reader.from_settings(settings))

    def read_picture(data: bytes) -> list[Json]:
        reader = load_for_programs()
        return rows_to_json(*reader.to_table(reader.read(data)))

    service = ReviewService(
        outbox=settings.outbox,
        ledgers=lambda: ledgers.find_ledgers(settings),
        pictures=PageImages(settings.outbox, settings.limits),
        audit_sample=audit_sample,
        now=lambda: format_utc(time.time()),
    )
    uploads = InboxUploads(settings.inbox, settings.limits, lambda: verify_inbox(settings))
    workspace = WorkspacePages(
        settings, service, HomeMonitor(settings), uploads, open_files(settings), read_picture, MetricsText(settings)
    )
    return Site(service, TryOut(load_for_pages, settings.limits), sessions, port, settings.max_bytes, workspace, start)


class _ModelInUse(Generic[T]):
    """Reader with the model in use, loaded at the first call and after another one was promoted; thread-safe."""

    def __init__(self, settings: Settings, load: Callable[[], T]) -> None:
        self._load = load
        self._registry = composition.open_model_registry(settings)
        self._lock = threading.Lock()
        self._loaded: tuple[str, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            name = self._registry.current_name()
            if self._loaded is None or self._loaded[0] != name:
                self._loaded = name, self._load()
            return self._loaded[1]


def open_listening_socket(port: int) -> socket.socket:
    """Listen on a port of the loopback interface.

    Raises:
        UsageError: the port is in use.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()  # the browser may connect as soon as the address is printed
    except OSError as why:
        listener.close()
        raise UsageError(f"port {port} cannot be used: {why.strerror}", hint="`--port 0` takes a free one.") from why
    return listener


def get_login_name() -> str:
    """Return the login name, for the log of corrections."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "somebody"


def open_browser(address: str) -> None:
    """Open the review pages in a browser if there is a display."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):  # else a browser might open in this terminal
        webbrowser.open(address)


def _prepare_ledgers(settings: Settings, audit: int, seed: int, *, is_review: bool) -> list[queries.RowId]:
    """Write outdated tables of corrections and draw the audit sample; log a warning for each unusable ledger."""
    paths = ledgers.find_ledgers(settings)
    if not paths and is_review:
        raise UsageError(f"nothing was read in {settings.workspace} yet", hint="`digitrec run` reads the inbox.")
    failure: EnvironmentFailure | None = None
    with ExitStack() as stack:
        usable = []
        for worker, path in paths.items():
            try:
                usable.append(stack.enter_context(closing(Ledger.open_shared(path))))
            except EnvironmentFailure as why:
                logs.warning("answers of this worker cannot be shown", worker=worker, why=why)
                failure = why
        if failure is not None and not usable:
            raise failure
        for ledger in usable:
            write_outdated_tables(settings.outbox, ledger)
        return queries.draw_sample(usable, audit, seed) if audit else []
