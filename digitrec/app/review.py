"""Puts settings, ledgers, page reader and server together: the review pages, on this machine only."""

import getpass
import os
import signal
import socket
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from urllib.parse import urlencode

from digitrec import logs
from digitrec.app import composition
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.pipeline import ledgers as found_ledgers
from digitrec.review import queries
from digitrec.review.auth import Sessions
from digitrec.review.page_images import PageImages
from digitrec.review.server import Site
from digitrec.review.service import ReviewService
from digitrec.review.tryout import LoadedReader, TryOut
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import write_outdated_tables
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc

_HOST = "127.0.0.1"
_LONGEST_IDLE_S = 75
_SHORTEST_END_S = 3


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """What a review is started with."""

    reviewer: str = ""
    """The name beside what is said; empty takes the login name."""
    port: int = 0
    """0 takes a free one."""
    audit: int = 0
    """So many accepted answers are drawn for an audit."""
    seed: int = 0
    """Of that draw."""


def serve_review(settings: Settings, wanted: ReviewOptions, started: Callable[[str], None]) -> None:
    """Serve the pages until stopped by a signal.

    Args:
        settings: say where everything is.
        wanted: who, where, and what for.
        started: told the address that lets one person in, once the server listens.

    Raises:
        UsageError: nothing was read yet, the port is taken, or the name is none.
        EnvironmentFailure: every ledger was written by another version.
    """
    import uvicorn

    from digitrec.review.connections import BACKLOG, ConnectionLimits, max_connections, raise_open_files

    sessions = Sessions()
    token = sessions.invite(wanted.reviewer or get_login_name())
    # While one connection stays, SQLite need not tidy up after every request: a judgement costs one fsync, not five.
    with found_ledgers.open_readable_ledgers(settings) as ledgers, open_listening_socket(wanted.port) as door:
        for ledger in ledgers.values():
            ledger.is_up_to_date()
        port = int(door.getsockname()[1])
        site = build_site(settings, sessions, port, audit=wanted.audit, seed=wanted.seed)
        config = uvicorn.Config(
            site.app(),
            http=ConnectionLimits(max_connections(raise_open_files())).protocol,  # type: ignore[arg-type]  # it takes what makes one, too
            backlog=BACKLOG,
            access_log=False,  # it would hold the token
            log_config=None,
            log_level="error",  # a warning is about what a client sent, and a client can send thousands
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_LONGEST_IDLE_S,
            timeout_graceful_shutdown=_SHORTEST_END_S,
        )
        server = uvicorn.Server(config)
        signal.signal(signal.SIGTERM, _leave)  # uvicorn ends what it serves first, then raises the signal again
        started(f"http://{_HOST}:{port}/enter?{urlencode({'token': token})}")
        server.run(sockets=[door])


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def build_site(settings: Settings, sessions: Sessions, port: int, *, audit: int = 0, seed: int = 0) -> Site:
    """The pages of a workspace.

    Raises:
        UsageError: nothing was read yet.
        EnvironmentFailure: every ledger was written by another version.
    """
    sample = _prepared(settings, audit, seed)

    def load() -> LoadedReader:
        bundle = composition.open_model(settings)
        return composition.load_page_reader(bundle), bundle.threshold(settings.max_error)

    desk = ReviewService(
        outbox=settings.outbox,
        ledgers=lambda: found_ledgers.find_ledgers(settings),
        pictures=PageImages(settings.outbox, settings.limits),
        audit_sample=sample,
        now=lambda: format_utc(time.time()),
    )
    return Site(desk, TryOut(load, settings.limits), sessions, port, settings.max_bytes)


def open_listening_socket(port: int) -> socket.socket:
    """A socket on this machine alone; UsageError if the port is taken."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((_HOST, port))
        door.listen()  # whoever is told the address may come at once
    except OSError as why:
        door.close()
        raise UsageError(
            f"port {port} cannot be had: {why.strerror}", hint="Leave --port away for a free one."
        ) from why
    return door


def get_login_name() -> str:
    """Who works here, for the log of corrections."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may know no name for its user
        return "somebody"


def open_browser(address: str) -> None:
    """Show the pages, where there is a screen."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):  # else it might be one in this terminal
        webbrowser.open(address)


def _prepared(settings: Settings, audit: int, seed: int) -> list[queries.RowId]:
    """Write the tables that are late, draw the sample, and tell which ledgers cannot be used."""
    paths = found_ledgers.find_ledgers(settings)
    if not paths:
        raise UsageError(f"nothing was read in {settings.workspace} yet", hint="`digitrec run` reads the inbox.")
    refused: EnvironmentFailure | None = None
    with ExitStack() as stack:
        usable = []
        for worker, path in paths.items():
            try:
                usable.append(stack.enter_context(closing(Ledger.open_shared(path))))
            except EnvironmentFailure as why:
                logs.warning("answers of this worker cannot be shown", worker=worker, why=why)
                refused = why
        if refused is not None and not usable:
            raise refused
        for ledger in usable:
            write_outdated_tables(settings.outbox, ledger)
        return queries.draw_sample(usable, audit, seed) if audit else []
