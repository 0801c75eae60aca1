"""When a file has stopped changing: a function of what was seen and `now`, without a clock of its own."""

from collections.abc import Iterable
from typing import NamedTuple

from digitrec.intake.scan import Seen

_OLD_NS = 60 * 10**9


class _FirstLook(NamedTuple):
    seen: Seen
    at_s: float


class Settling:
    """Remembers when each waiting file was first seen as it is now."""

    def __init__(self, settle_s: float, empty_wait_s: float) -> None:
        self._settle_s = settle_s
        self._empty_wait_s = empty_wait_s
        self._first: dict[str, _FirstLook] = {}

    def look(
        self, found: Iterable[Seen], now_s: float, *, trust_old_at_ns: int | None = None, newcomers: bool = True
    ) -> list[Seen]:
        """Take one look at everything in the inbox; give the files that are complete.

        Args:
            found: every file there now; what is missing is forgotten.
            now_s: monotonic time, seconds.
            trust_old_at_ns: wall-clock time, nanoseconds. If given, a file whose inode last changed over
                60 s before it is complete at its first look.
            newcomers: False passes over files that the last look did not see.

        Returns:
            The files seen exactly alike by two looks at least `settle_s` apart. An empty one has to be
            seen so for `empty_wait_s`.
        """
        before, self._first = self._first, {}
        settled = []
        for seen in found:
            first = before.get(seen.path)
            if first is None and not newcomers:
                continue
            if first is None or first.seen != seen:
                first = _FirstLook(seen, now_s)
            self._first[first.seen.path] = first
            wait_s = self._settle_s if seen.size else max(self._settle_s, self._empty_wait_s)
            is_old = trust_old_at_ns is not None and self._is_old(seen, trust_old_at_ns)
            if now_s - first.at_s >= wait_s or is_old:
                settled.append(first.seen)  # not `seen`: with 100,000 files waiting, one record each has to do
        return settled

    def next_at_s(self) -> float | None:
        """When the next file may be complete, monotonic seconds; None if nothing waits.

        Only files with content count: an empty one can wait for the timer.
        """
        return min((first.at_s + self._settle_s for first in self._first.values() if first.seen.size), default=None)

    def forget(self, paths: Iterable[str]) -> None:
        """These were claimed, or are held back: they wait no longer."""
        for path in paths:
            self._first.pop(path, None)

    def _is_old(self, seen: Seen, now_ns: int) -> bool:
        wait_ns = _OLD_NS if seen.size else max(_OLD_NS, int(self._empty_wait_s * 1e9))
        return now_ns - seen.ctime_ns > wait_ns
