"""Times as people and CSVs read them, and the clock that the times of files are compared with."""

import os
import time
from collections.abc import Callable


def utc(now_s: float) -> str:
    """ISO 8601 with milliseconds and `Z`.

    >>> utc(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now_s))}.{int(now_s % 1 * 1000):03d}Z"


def since_boot_ns() -> int:
    """Return a time that no setting of a clock changes, nanoseconds; it goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def touched_ns(descriptor: int) -> int:
    """Touch an open file; gives the time by the clock of its filesystem, on a share that of the server.

    Raises:
        OSError: its times cannot be set or read.
    """
    os.utime(descriptor)
    return os.fstat(descriptor).st_ctime_ns


class FileClock:
    """The clock that the times of files are of, nanoseconds since 1970.

    Where it is set forward while this object lives, it is taken to have gone on as before: what was written just before
    would seem years old, and complete.
    """

    def __init__(self, read_ns: Callable[[], int], steady_ns: Callable[[], int] = since_boot_ns) -> None:
        self._read_ns = read_ns
        self._steady_ns = steady_ns
        self._ahead_ns: int | None = None
        """Of the steady time, at the first look."""
        self.last_ns: int | None = None
        """What it showed last."""

    def __call__(self) -> int:
        """Return the time now, and remember it."""
        shown_ns, steady_ns = self._read_ns(), self._steady_ns()
        if self._ahead_ns is None:
            self._ahead_ns = shown_ns - steady_ns
        self.last_ns = min(shown_ns, self._ahead_ns + steady_ns)
        return self.last_ns
