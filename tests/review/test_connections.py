"""Connections that keep their request back cost nobody the page: real sockets on 127.0.0.1."""

import asyncio
import contextlib
import logging
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from digitrec.app.review import open_listening_socket
from digitrec.review.connections import BACKLOG, ConnectionLimits
from tests.review.conftest import Answer, Opens

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MOST, HEADERS_S = 5, 0.6

Opened = Callable[..., socket.socket]


class App:
    """Answers `ok`; to /wait only when it is let go."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            self.waiting += 1
            while not self.may_answer.is_set():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def connect(app: App) -> Iterator[Opened]:
    """A server that holds five connections, and what opens another one and sends something."""
    with open_listening_socket(0) as door, contextlib.ExitStack() as stack:
        http = ConnectionLimits(MOST, HEADERS_S).protocol
        config = uvicorn.Config(app, http=http, log_config=None, lifespan="off", ws="none", backlog=BACKLOG)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()

        def connect_to_app(content: bytes = b"") -> socket.socket:
            connection = stack.enter_context(socket.create_connection(door.getsockname(), timeout=5))
            connection.sendall(content)
            return connection

        yield connect_to_app
        app.may_answer.set()
        server.should_exit = True
        thread.join(10)


def answer(connection: socket.socket) -> bytes:
    """What comes until the answer is complete, or the connection ends."""
    received = b""
    while not received.endswith(b"\r\n\r\nok") and (more := connection.recv(1000)):
        received += more
    return received


def is_closed(connection: socket.socket, within_s: float = 0.0) -> bool:
    readable, _, _ = select.select([connection], [], [], within_s)
    try:
        return bool(readable) and connection.recv(1000, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


def test_a_header_that_does_not_come_in_time_ends_the_connection(connect: Opened) -> None:
    silent, half = connect(), connect(HALF)
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while not is_closed(half, 0.1) and time.monotonic() < began + 10:
            half.sendall(b"x")  # a byte now and then gains no time

    assert HEADERS_S - 0.1 <= time.monotonic() - began < HEADERS_S + 5
    assert is_closed(silent, 5)


@pytest.mark.slow
def test_the_header_of_a_second_request_has_the_same_time(connect: Opened) -> None:
    connection = connect(REQUEST)
    assert b"200 OK" in answer(connection)
    assert not is_closed(connection, 2 * HEADERS_S), "between two requests it may rest"

    connection.sendall(HALF)

    assert is_closed(connection, 5)


def test_a_newcomer_replaces_the_oldest_that_sent_no_request(connect: Opened, caplog: pytest.LogCaptureFixture) -> None:
    served = connect(REQUEST)
    assert b"200 OK" in answer(served)
    silent = [connect(HALF) for _ in range(12)]

    assert b"200 OK" in answer(connect(REQUEST))

    assert not is_closed(served), "one that sent a request stays"
    assert sum(not is_closed(connection) for connection in silent) <= MOST - 2
    assert is_closed(silent[0], 5)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1, "one line, however many there are"


def test_one_that_rests_makes_room_and_one_that_is_answered_does_not(connect: Opened, app: App) -> None:
    busy = [connect(REQUEST.replace(b"GET /", b"GET /wait")) for _ in range(MOST - 1)]
    resting = connect(REQUEST)
    assert b"200 OK" in answer(resting)
    while app.waiting < MOST - 1:
        time.sleep(0.01)

    last = connect(REQUEST.replace(b"GET /", b"GET /wait"))
    assert is_closed(resting, 5)
    while app.waiting < MOST:
        time.sleep(0.01)
    refused = connect(REQUEST)
    assert b"503" in refused.recv(1000), "all are busy: the answer says so"

    app.may_answer.set()
    assert all(b"200 OK" in answer(connection) for connection in (*busy, last))


@pytest.mark.slow
def test_four_hundred_half_open_connections_cost_nobody_the_page(opened: Opens) -> None:
    pages = opened([Answer()])
    command = [sys.executable, "-m", "digitrec", "review", "--no-browser", "--workspace", str(pages.settings.workspace)]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        contextlib.ExitStack() as stack,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running,
    ):
        stack.callback(running.send_signal, signal.SIGTERM)
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (256, hard))  # as some shells and services have it
        assert running.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:(\d+)/enter\?token=\S+", running.stdout.readline())
        assert match
        at = ("127.0.0.1", int(match[1]))
        half = []
        for _ in range(400):
            half.append(stack.enter_context(socket.create_connection(at, timeout=20)))
            half[-1].sendall(HALF)

        person = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        began = time.monotonic()
        with person.open(match[0], timeout=20) as page:
            assert "need" in page.read().decode()
        assert time.monotonic() - began < 5, "meanwhile"
        assert sum(not is_closed(connection) for connection in half) <= 200
        until = time.monotonic() + 20
        while not all(map(is_closed, half)) and time.monotonic() < until:
            time.sleep(0.2)
        assert all(map(is_closed, half))
        with person.open(f"http://127.0.0.1:{at[1]}/one", timeout=20) as page:
            assert "One by one" in page.read().decode(), "and after"
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=20)

    assert len(errors.splitlines()) == 1, errors
    assert "too many connections" in errors
