"""The chunks of one map, and the threads and child processes that work on them."""

import math
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from digitrec import patience
from digitrec.patience import Lost, Mark

KNOWN_CHUNKS = 4
"""After so many chunks it is known how long they take."""


class Helper(Protocol):
    """A child process that works with crews."""

    def help(self, crew: "Crew") -> None:
        """Work with this crew."""


class Done(NamedTuple):
    """What became of the chunk at a place."""

    place: int
    at_s: float
    result: Any
    error: Exception | None = None


NEVER = Done(-1, 0.0, None)
"""The chunk was not begun, and will not be."""


class Crew:
    """Those who work on some chunks; each takes the next one as soon as it is done with the one before."""

    def __init__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> None:
        self.function = function
        self.size = self.most = self.threads = 0
        self._asked: list[Helper] = []
        self.is_slow = False
        """Nothing was done within a time in which a quick chunk is: 16 scans take 20 ms, eight A4 pages 160."""
        self.began_s = self._last_s = time.monotonic()
        self._waiting = enumerate(chunks)
        self._begun = 0
        self._under_way: dict[int, Mark] = {}
        self._abandoned: set[int] = set()
        """Places of chunks whose results, should they ever come, are not waited for any more."""
        self.left = len(chunks)
        """Chunks whose results nobody has yet."""
        self._taking = threading.Lock()
        self._is_over = False
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._known: dict[int, Done] = {}
        self._count = 0

    def hire(self) -> None:
        """One more thread works here. If it hangs in a decoder, it does not keep the process from ending."""
        self._join()
        self.threads += 1
        threading.Thread(target=self._work_here, daemon=True).start()

    def ask(self, helper: Helper) -> None:
        """A child works as well, if it can; it is asked once."""
        if helper not in self._asked:
            self._asked.append(helper)
            self._join()
            helper.help(self)

    def leave(self) -> None:
        """Somebody does not work here any more."""
        with self._taking:
            self.size -= 1

    def _join(self) -> None:
        with self._taking:
            if self._begun == 0 and self.size == 0:
                self.began_s = self._last_s = time.monotonic()
            self.size += 1
            self.most = max(self.most, self.size)

    def _work_here(self) -> None:
        mark = Mark()
        patience.use(mark)

        def begun(chunk: Any) -> Any:
            mark.begin(0)
            return self.function(chunk)

        self.work(begun, mark)

    def work(self, function: Callable[[Any], Any], mark: Mark, ended: Callable[[], bool] = lambda: False) -> None:
        """Do chunk after chunk, in whatever thread this is.

        Args:
            function: what to do.
            mark: tells how far that is.
            ended: True once no other chunk is to be begun here.
        """
        while not ended():
            with self._taking:
                place, chunk = (-1, None) if self._is_over else next(self._waiting, (-1, None))
                if place < 0:
                    return
                self._begun = max(self._begun, place + 1)
                mark.clear()
                self._under_way[place] = mark
            try:
                result, error = function(chunk), None
            except Exception as why:  # noqa: BLE001 - it is raised again where the results are taken
                result, error = None, why
            with self._taking:
                self._under_way.pop(place, None)
            self._done.put(Done(place, time.monotonic(), result, error))

    def result(self, place: int, slice_s: float) -> Done:
        """What became of the chunk at this place; multiprocessing.TimeoutError if that is not known yet."""
        if self._is_over and place >= self._begun:
            return NEVER
        while place not in self._known:
            try:
                done = self._done.get(timeout=slice_s)
            except queue.Empty:
                self.is_slow = True
                raise multiprocessing.TimeoutError from None
            if done.place not in self._abandoned:
                self._known[done.place] = done
                self._note(done.at_s)
        return self._known.pop(place)

    def stuck(self, after_s: float) -> int:
        """Return how many threads and children have read one page for longer than this, seconds."""
        until_s = time.monotonic() - after_s
        with self._taking:
            return sum(mark.since_s < until_s for mark in self._under_way.values())

    @property
    def has_lost(self) -> bool:
        """Return True if a chunk was given up."""
        return bool(self._abandoned)

    def since_s(self, place: int) -> float:
        """When the page was begun that is being read of the chunk at this place, monotonic seconds."""
        with self._taking:
            mark = self._under_way.get(place)
        return math.inf if mark is None else mark.since_s

    def abandon(self, place: int, why: str) -> Lost:
        """Wait no longer for the chunk at this place; a thread may be started for the one that is stuck."""
        with self._taking:
            mark = self._under_way.pop(place, None)
            self._abandoned.add(place)
            self.size -= 1
        self._note(time.monotonic())
        return Lost(why, None if mark is None else mark.file)

    def _note(self, at_s: float) -> None:
        self._last_s = max(self._last_s, at_s)
        self.left -= 1
        self._count += 1

    def pace_s(self, known: int = KNOWN_CHUNKS) -> float:
        """How long one chunk takes, seconds; 0.0 as long as fewer than `known` are done."""
        return (self._last_s - self.began_s) / self._count if self._count >= known else 0.0

    @property
    def is_done(self) -> bool:
        """Whatever was begun has come to its end."""
        return self._begun == self._count

    def call_off(self) -> None:
        """Nothing is begun any more, no file either."""
        with self._taking:
            self._is_over = True
            for mark in self._under_way.values():
                mark.call_off()
