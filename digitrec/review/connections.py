"""Limits on connections that uvicorn lacks: how many there are, and how long a request header may take.

A connection is waiting from its start, or from the first byte of a further request, until a request header is complete.
At the limit a new connection replaces the oldest waiting one, else one that is idle between two requests: a person who
asks for a page is answered although hundreds of connections say nothing.
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
"""Connections the kernel keeps until they are accepted; asyncio accepts as many at once before any can be closed."""

_MOST_OPEN_FILES = 4096
_OTHER_FILES = 120
"""Ledgers, pictures and libraries: at most 40 requests at a time, most of which open one ledger (three files)."""
_FEWEST_CONNECTIONS = 16
_SILENT_S = 600.0
"""No second line about the same trouble before that."""
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, at most to 4096; return the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def max_connections(open_files: int) -> int:
    """Return how many connections a limit of open files leaves room for.

    >>> room_for(1024), room_for(300), room_for(100)
    (200, 52, 16)
    """
    return max(_FEWEST_CONNECTIONS, min(MAX_CONNECTIONS, open_files - BACKLOG - _OTHER_FILES))


class ConnectionLimits:
    """The connections of one server, and which of them still owe a request header."""

    def __init__(self, most: int = MAX_CONNECTIONS, headers_s: float = HEADER_TIMEOUT_S) -> None:
        self._most = most
        self._headers_s = headers_s
        self._waiting: dict[Connection, asyncio.TimerHandle] = {}  # the oldest first
        self._silent_until_s = 0.0

    def protocol(self, **given: Any) -> "Connection":
        """Make the protocol of a new connection, as uvicorn asks for it."""
        return Connection(self, **given)

    def admit(self, new: "Connection") -> None:
        """Wait for the header of a new connection, and close another one, or the new one, if there are too many."""
        self.await_header(new)
        if len(new.connections) <= self._most:
            return
        waiting = (one for one in self._waiting if one is not new)
        idle = (one for one in new.connections if isinstance(one, Connection) and one.is_idle and one is not new)
        closed = next(chain(waiting, idle), new)
        if closed is new:
            new.transport.write(_BUSY)
        closed.end()
        if time.monotonic() >= self._silent_until_s:
            self._silent_until_s = time.monotonic() + _SILENT_S
            logs.warning("too many connections to the review page: those without a request are closed", most=self._most)

    def await_header(self, one: "Connection") -> None:
        """Give a connection `headers_s` for its next request header, unless that time is running already."""
        if one not in self._waiting:
            self._waiting[one] = one.loop.call_later(self._headers_s, one.end)

    def forget(self, one: "Connection") -> None:
        """Stop waiting for a header: it is there, or the connection is gone."""
        if (timer := self._waiting.pop(one, None)) is not None:
            timer.cancel()


class Connection(H11Protocol):
    """A connection that is closed if it keeps its request header back."""

    def __init__(self, limits: ConnectionLimits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits

    @property
    def is_idle(self) -> bool:
        """True if no request is being answered."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete  # type: ignore[redundant-expr]  # uvicorn begins with None

    def end(self) -> None:
        """Close the connection, and count it no more."""
        self._limits.forget(self)
        self.connections.discard(self)
        self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in."""
        super().connection_made(transport)
        self._limits.admit(self)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        if self.is_idle:
            self._limits.await_header(self)
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._limits.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notice that the other side is gone."""
        self._limits.forget(self)
        super().connection_lost(exc)
