"""When a file has stopped changing: a function of what was seen and `now`, without a clock of its own."""

from collections.abc import Iterable
from typing import NamedTuple

from digitrec.pipeline.scanner import Seen

_OLD_NS = 60 * 10**9


class _Waiting(NamedTuple):
    seen: Seen
    due_s: float
    """Complete if it is seen unchanged from then on, monotonic seconds."""


class Settling:
    """Remembers since when each waiting file has been as it is now."""

    def __init__(self, settle_s: float, empty_wait_s: float, *, trusts_age: bool = True) -> None:
        """`trusts_age` is False on a share: its times may be seen late, and its clock be another one for each file."""
        self._settle_s = settle_s
        self._empty_wait_s = empty_wait_s
        self._trusts_age = trusts_age
        self._waiting: dict[str, _Waiting] = {}

    def look(
        self, found: Iterable[Seen], now_s: float, wall_ns: int, *, trust_old: bool = False, newcomers: bool = True
    ) -> list[Seen]:
        """Take one look at everything in the inbox; give the files that are complete.

        Args:
            found: every file there now; what is missing is forgotten.
            now_s: monotonic time, seconds.
            wall_ns: nanoseconds since 1970, by the clock that the files' times are of; only to tell how old a file is.
            trust_old: a file whose inode last changed over 60 s ago is complete at its first look.
            newcomers: False passes over files that the last look did not see.

        Returns:
            The files seen exactly alike by two looks at least `settle_s` apart. An empty one, besides, has to be
            `empty_wait_s` old.
        """
        before, self._waiting = self._waiting, {}
        due_s = now_s + self._settle_s
        settled = []
        for seen in found:
            one = before.get(seen.path)
            if one is None and not newcomers:
                continue
            if one is None or one.seen != seen:
                one = _Waiting(seen, due_s if seen.size else max(due_s, now_s + self._left_s(seen, wall_ns)))
            self._waiting[one.seen.path] = one
            if now_s >= one.due_s or (trust_old and self._trusts_age and self._is_old(seen, wall_ns)):
                settled.append(one.seen)  # not `seen`: with 100,000 files waiting, one record each has to do
        return settled

    def next_at_s(self) -> float | None:
        """When the next file may be complete, monotonic seconds; None if nothing waits."""
        return min((one.due_s for one in self._waiting.values()), default=None)

    def forget(self, paths: Iterable[str]) -> None:
        """These were claimed, or are deferred: they wait no longer."""
        for path in paths:
            self._waiting.pop(path, None)

    def _left_s(self, seen: Seen, wall_ns: int) -> float:
        """For how long an empty file may still be filled; a time in the future says nothing."""
        age_s = max(0.0, (wall_ns - seen.changed_ns) / 1e9)
        return self._empty_wait_s - age_s

    def _is_old(self, seen: Seen, wall_ns: int) -> bool:
        return wall_ns - seen.ctime_ns > _OLD_NS and (seen.size > 0 or self._left_s(seen, wall_ns) <= 0)


class SettlingByAge(Settling):
    """For a store: an object appears whole, so one look is enough, once its last change is `settle_s` old.

    By the store's clock: where that is ahead, two looks alike with `settle_s` between them will do.
    """

    def look(
        self, found: Iterable[Seen], now_s: float, wall_ns: int, *, trust_old: bool = False, newcomers: bool = True
    ) -> list[Seen]:
        """See `Settling.look`."""
        del trust_old  # age is all that counts
        before, self._waiting = self._waiting, {}
        settled = []
        for seen in found:
            if seen.path not in before and not newcomers:
                continue
            left_s = min(self._settle_s, self._settle_s - (wall_ns - seen.changed_ns) / 1e9)
            one = before.get(seen.path)
            due_s = one.due_s if one is not None and one.seen == seen else now_s + left_s
            if left_s <= 0 or now_s >= due_s:
                settled.append(seen)
            else:
                self._waiting[seen.path] = _Waiting(seen, due_s)
        return settled
