"""Limits that uvicorn lacks: the number of connections, and the time of a request header.

A connection is waiting from its start, or from the first byte of a further request, until a request header is complete.
At the limit a new connection replaces the oldest waiting one, else one that is idle between two requests, so that
hundreds of silent connections cannot block the page.
"""

import asyncio
import resource
import time
from itertools import chain
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from digitrec import logs

HEADER_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 200
BACKLOG = 128
"""Listen backlog; asyncio accepts up to this many connections at once before any can be closed."""

_MAX_OPEN_FILES = 4096
_OTHER_FILES = 120
"""Files for ledgers, pictures and libraries: up to 40 concurrent requests, most of which open one ledger (3 files)."""
_MIN_CONNECTIONS = 16
_WARNING_INTERVAL_S = 600.0
"""Shortest interval between two warnings about too many connections."""
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard limit, at most to 4096; return the resulting limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    return _MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def max_connections(open_files: int) -> int:
    """Return the number of connections that a limit of open files allows.

    >>> max_connections(1024), max_connections(300), max_connections(100)
    (200, 52, 16)
    """
    return max(_MIN_CONNECTIONS, min(MAX_CONNECTIONS, open_files - BACKLOG - _OTHER_FILES))


class ConnectionLimits:
    """Connections of one server, and the timers of those without a complete request header."""

    def __init__(self, most: int = MAX_CONNECTIONS, headers_s: float = HEADER_TIMEOUT_S) -> None:
        self._max = most
        self._header_timeout_s = headers_s
        self._waiting: dict[Connection, asyncio.TimerHandle] = {}  # the oldest first
        self._next_warning_s = 0.0

    def protocol(self, **kwargs: Any) -> "Connection":
        """Create the protocol of a new connection; uvicorn calls this."""
        return Connection(self, **kwargs)

    def admit(self, new: "Connection") -> None:
        """Start the header timer of a new connection; above the limit close another connection, or the new one."""
        self.await_header(new)
        if len(new.connections) <= self._max:
            return
        waiting = (other for other in self._waiting if other is not new)
        idle = (
            other for other in new.connections if isinstance(other, Connection) and other.is_idle and other is not new
        )
        closed = next(chain(waiting, idle), new)
        if closed is new:
            new.transport.write(_BUSY)
        closed.end()
        if time.monotonic() >= self._next_warning_s:
            self._next_warning_s = time.monotonic() + _WARNING_INTERVAL_S
            logs.warning("too many connections to the review page: those without a request are closed", most=self._max)

    def await_header(self, connection: "Connection") -> None:
        """Start the timer for the next request header of a connection, unless it is running."""
        if connection not in self._waiting:
            self._waiting[connection] = connection.loop.call_later(self._header_timeout_s, connection.end)

    def stop_timer(self, connection: "Connection") -> None:
        """Stop the header timer: the header is complete or the connection is lost."""
        if (timer := self._waiting.pop(connection, None)) is not None:
            timer.cancel()


class Connection(H11Protocol):
    """Connection that is closed if its request header does not arrive in time."""

    def __init__(self, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limits = limits

    @property
    def is_idle(self) -> bool:
        """Return whether no request is being answered."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete  # type: ignore[redundant-expr]  # uvicorn begins with None

    def end(self) -> None:
        """Close the connection and remove it from the count."""
        self._limits.stop_timer(self)
        self.connections.discard(self)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register a new connection."""
        super().connection_made(transport)
        self._limits.admit(self)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of a request."""
        if self.is_idle:
            self._limits.await_header(self)
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._limits.stop_timer(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of a closed connection."""
        self._limits.stop_timer(self)
        super().connection_lost(exc)
