"""What a supervisor is told (systemd, `Type=notify`): that the service is ready, lives, and is about to end."""

import os
import socket
import time
from contextlib import suppress

_EVERY_S = 1.0


class Supervisor:
    """The socket named by NOTIFY_SOCKET; without one every word is lost, and that is fine.

    >>> Supervisor("").ready()
    """

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # systemd writes an address in the abstract namespace with "@" for the zero byte it begins with.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._alive_at_s = 0.0
        self._is_ready = False

    def ready(self) -> None:
        """The service works, or keeps trying by itself; told once."""
        if not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")

    def alive(self) -> None:
        """A sign of life for the watchdog; at most one a second is passed on."""
        now_s = time.monotonic()
        if self._address and now_s - self._alive_at_s >= _EVERY_S:
            self._alive_at_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has been asked for, and is on its way."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # nobody listens any more: no reason to stop reading pictures
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own,
        ):
            own.settimeout(_EVERY_S)
            own.sendto(state.encode(), self._address)
