"""Map a pure function over chunks: here, in several threads, or with child processes that help.

An engine spreads only pure work: paths in, ink or scores out.
"""

import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from digitrec import logs
from digitrec.child import Child, ReaderDied, may_fork
from digitrec.patience import Overrun, Patience, in_time

MOST_UNASKED = 8
"""No more are taken for granted, whatever the machine: each child needs 100 MB."""
_WORTH_S = 0.5
"""A fresh child takes up to 0.2 seconds to start: so much work has to be there for each, done or to be done; ..."""
_LEAST_S = 0.3
"""... and so much still to do."""
_WORTH_FORKED_S = 0.15
"""A fork is there already, and has some 20 ms of its own to do: so much work has to be left for each."""
_SHORT_S = 0.010
"""A chunk has to take longer than this: to hand it over and take its results takes up to a millisecond."""
_FORK_CHUNKS = 8
"""A fork takes 5 ms: so many chunks have to be there for each process, this one too."""
_TURN_S = 0.0005
"""Python lets a thread keep its lock for 5 ms: for so long a child would wait for its next chunk."""
_IDLE_S = 10.0
"""A pause: children wait no longer for work."""
_LEAVE_S = 2.0
_KNOWN_CHUNKS = 4
"""After so many it is known how long they take, ..."""
_GUESSED_CHUNKS = 3
"""... after so many well enough for a fork: the first ones take longer than those that follow."""

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Anything that spreads work."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """Apply a function to every chunk; results in the order of the chunks.

        Once `stopped` says so it ends, at the latest after `PATIENCE_S`, with the results it has until then.

        Raises:
            Overrun: a chunk took too long, or ended the process that read it; the results before it have been given.
        """

    def close(self) -> None:
        """Let go of what it holds."""


class Serial:
    """One after the other, in this thread."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """See `Engine.map`; nothing can overrun, and a chunk that was begun is finished."""
        for chunk in chunks:
            if stopped():
                return
            yield function(chunk)

    def close(self) -> None:
        """It holds nothing."""


class Threads:
    """One thread; as many as there are cores for chunks that take long, as decoding and waiting release Python's lock.

    For small pictures a second thread would only cost a third more CPU (docs/performance.md). With `has_children` the
    other cores work on them, too, if there are enough: each in a child process, which stays for what comes next.
    """

    def __init__(self, threads: int, timeout_s: float, *, has_children: bool = False) -> None:
        self._threads = threads or min(MOST_UNASKED, len(os.sched_getaffinity(0)))
        self._timeout_s = timeout_s
        self._has_children = has_children
        self._helpers: list[_Helper] = []
        self._forks: list[Child] = []
        """Children that were made while it was safe, and may be of use."""
        self._ahead: list[_Crew] = []
        """Whose results nobody has asked for yet."""
        self._is_quick = False
        """The chunks of the last map were too quick for children."""
        self._rush_s = 0.0
        """How long work went on without a pause before this map."""
        self._ended_s = 0.0

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        """See `Engine.map`. Children that are there begin at once, even before the first result is asked for."""
        self._helpers = [helper for helper in self._helpers if helper.is_there]
        self._prepare(function, len(chunks))
        crew = _Crew(function, chunks)
        self._ahead.append(crew)
        for helper in self._helpers if not self._is_quick else ():
            crew.ask(helper)
        return self._results(crew, len(chunks), Patience(stopped))

    def _results(self, crew: "_Crew", chunks: int, patience: Patience) -> Iterator[Any]:
        if time.monotonic() - self._ended_s > _IDLE_S:
            self._rush_s = 0.0
        self._ahead.remove(crew)
        try:
            for place in range(chunks):
                done = in_time(partial(self._look, crew, place, patience), self._timeout_s, patience)
                if done is None or done is _NEVER:
                    return
                if isinstance(done.error, ReaderDied):
                    raise Overrun(str(done.error)) from done.error
                if done.error is not None:
                    raise done.error
                yield done.result
        finally:
            crew.call_off()
            self._let_go()
            self._is_quick = 0 < crew.pace_s() * crew.most <= _SHORT_S
            if not crew.is_done:
                self.close()  # a child may be at work that nobody waits for
            now_s = time.monotonic()
            self._rush_s += now_s - max(crew.began_s, self._ended_s)
            self._ended_s = now_s

    def _prepare(self, function: Callable[[Any], Any], chunks: int) -> None:
        """Fork for the other cores as long as there is no other thread here; whether it pays is known later."""
        there = len(self._helpers) + len(self._forks)
        most = min(self._threads, len(os.sched_getaffinity(0)), chunks // _FORK_CHUNKS) - 1 - there
        if self._has_children and most > 0 and not self._is_quick and may_fork():
            with suppress(OSError):  # then there is no help, or fresh children do
                for _ in range(most):
                    child = Child(self._timeout_s)
                    child.fork(function)
                    self._forks.append(child)

    def _let_go(self) -> None:
        """End the forks that were not asked for anything."""
        for child in self._forks:
            child.kill()
        while self._forks:
            self._forks.pop().stop()

    def close(self) -> None:
        """End the children."""
        self._let_go()
        while self._helpers:
            self._helpers.pop().end()

    def _look(self, crew: "_Crew", place: int, patience: Patience, slice_s: float) -> "_Done":
        """What became of the chunk at this place, if that is known in time; more hands are set to work if it pays."""
        if patience.is_stopped():
            crew.call_off()
            return crew.result(place, slice_s)
        if crew.threads == 0:
            crew.hire()
        missing = self._threads - crew.size
        if missing > 0 and crew.is_slow:
            for _ in range(missing):
                crew.hire()
        elif missing > 0 and self._has_children and crew.pace_s(self._known) > _SHORT_S:
            for helper in self._helpers:
                crew.ask(helper)  # if it was not before, as the last chunks were quick
            for _ in range(min(missing, self._worth(crew))):
                child = self._forks.pop() if self._forks else Child(self._timeout_s)
                self._helpers.append(_Helper(child))
                for one in (crew, *self._ahead):
                    one.ask(self._helpers[-1])
        return crew.result(place, slice_s)

    @property
    def _known(self) -> int:
        """So many chunks have to be done before their pace counts."""
        return _GUESSED_CHUNKS if self._forks else _KNOWN_CHUNKS

    def _worth(self, crew: "_Crew") -> int:
        """For how many more children there is enough to do; fresh ones come when no fork is left."""
        left_s = crew.pace_s(self._known) * crew.left
        most = len(os.sched_getaffinity(0)) - 1 - len(self._helpers)
        if self._forks:
            return min(int(left_s / _WORTH_FORKED_S) - len(self._helpers), len(self._forks), most)
        enough_for = int((self._rush_s + left_s) / _WORTH_S) if left_s >= _LEAST_S else 0
        return min(enough_for - len(self._helpers), most)


class _Done(NamedTuple):
    """What became of the chunk at a place."""

    place: int
    at_s: float
    result: Any
    error: Exception | None = None


_NEVER = _Done(-1, 0.0, None)
"""The chunk is not even begun, and will not be."""


class _Crew:
    """Those who work on some chunks; each takes the next one as soon as it is done with the one before."""

    def __init__(self, function: Callable[[Any], Any], chunks: Sequence[Any]) -> None:
        self.function = function
        self.size = self.most = self.threads = 0
        self._asked: list[_Helper] = []
        self.is_slow = False
        """Nothing was done within a time in which a quick chunk is: 16 scans take 20 ms, eight A4 pages 160."""
        self.began_s = self._last_s = time.monotonic()
        self._waiting = enumerate(chunks)
        self._begun = 0
        self.left = len(chunks)
        """Chunks whose results nobody has yet."""
        self._taking = threading.Lock()
        self._is_over = False
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._known: dict[int, _Done] = {}
        self._count = 0

    def hire(self) -> None:
        """One more thread works here. If it hangs in a decoder, it does not keep the process from ending."""
        self._join()
        self.threads += 1
        threading.Thread(target=self.work, args=(self.function,), daemon=True).start()

    def ask(self, helper: "_Helper") -> None:
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

    def work(self, function: Callable[[Any], Any]) -> None:
        """Do chunk after chunk, in whatever thread this is; one that ended the child is the last."""
        while True:
            with self._taking:
                place, chunk = (-1, None) if self._is_over else next(self._waiting, (-1, None))
                self._begun = max(self._begun, place + 1)
            if place < 0:
                return
            try:
                result, error = function(chunk), None
            except Exception as why:  # noqa: BLE001 - it is raised again where the results are taken
                result, error = None, why
            self._done.put(_Done(place, time.monotonic(), result, error))
            if isinstance(error, ReaderDied):
                return

    def result(self, place: int, slice_s: float) -> _Done:
        """What became of the chunk at this place; multiprocessing.TimeoutError if that is not known yet."""
        if self._is_over and place >= self._begun:
            return _NEVER
        if place not in self._known:
            try:
                done = self._done.get(timeout=slice_s)
            except queue.Empty:
                self.is_slow = True
                raise multiprocessing.TimeoutError from None
            self._known[done.place] = done
            self._last_s = max(self._last_s, done.at_s)
            self.left -= 1
            self._count += 1
        if place not in self._known:
            raise multiprocessing.TimeoutError
        return self._known.pop(place)

    def pace_s(self, known: int = _KNOWN_CHUNKS) -> float:
        """How long one chunk takes, seconds; 0.0 as long as fewer than `known` are done."""
        return (self._last_s - self.began_s) / self._count if self._count >= known else 0.0

    @property
    def is_done(self) -> bool:
        """Whatever was begun has come to its end."""
        return self._begun == self._count

    def call_off(self) -> None:
        """Nothing is begun any more."""
        with self._taking:
            self._is_over = True


class _Helper:
    """A child process and the thread that gives it work. Both end when none came for a while."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._crews: queue.SimpleQueue[_Crew | None] = queue.SimpleQueue()
        self._is_at_work = self._is_over = False
        sys.setswitchinterval(_TURN_S)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def is_there(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def help(self, crew: _Crew) -> None:
        """Work with this crew. If it cannot, the others do it all."""
        self._crews.put(crew)

    def end(self) -> None:
        """Stop at once, whatever the child is at."""
        self._is_over = True
        self._crews.put(None)
        if self._is_at_work:
            self._child.kill()
        self._thread.join(_LEAVE_S)

    def _live(self) -> None:
        try:
            while (crew := self._crews.get(timeout=_IDLE_S)) is not None:
                self._work_with(crew)
        except queue.Empty:
            pass
        except OSError as why:
            if not self._is_over:
                logs.warn("no other process helps with reading", why=why)
        finally:
            self._child.stop()

    def _work_with(self, crew: _Crew) -> None:
        self._is_at_work = True
        try:
            if self._child.prepare(crew.function, self._stopped) is not None:
                crew.work(lambda chunk: self._child.call(crew.function, chunk, self._stopped))
        finally:
            self._is_at_work = False
            crew.leave()

    def _stopped(self) -> bool:
        return self._is_over
