"""Map a pure function over chunks: here, in several threads, or with child processes that help.

An engine spreads only pure work: paths in, ink or scores out.
"""

import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from digitrec import logs, patience
from digitrec.child import Child, ReaderDied, may_fork
from digitrec.crew import KNOWN_CHUNKS, NEVER, Crew, Done
from digitrec.patience import Lost, Mark, Overrun, Patience, in_time

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
_STUCK_S, _MOST_STUCK = 5.0, 8
"""After so long at one page, seconds, a thread or child may be stuck; at most so many are replaced, as each page takes
memory."""
_GUESSED_CHUNKS = 3
"""After so many chunks the pace is known well enough for a fork: the first ones take longer than those that follow."""

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Anything that spreads work."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R | Lost]:
        """Apply a function to every chunk; results in the order of the chunks.

        A chunk with a page that takes too long, or that ends the process that reads it, is `Lost`; the others go on.
        Once `stopped` says so nothing else is begun, and at the latest after `PATIENCE_S` what is not read is `Lost`,
        too; results at the end may be missing then.

        Raises:
            Overrun: nothing more can be had of this engine; the results before have been given.
        """

    def close(self) -> None:
        """Let go of what it holds."""


class _Asking(Mark):
    """Mark of a reader that asks by itself whether it is called off: nobody waits for it."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._stopped = stopped

    @property
    def is_called_off(self) -> bool:
        return self._stopped()


class Serial:
    """One after the other, in this thread."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R | Lost]:
        """See `Engine.map`; nothing can overrun, and a file that was begun is finished."""
        for chunk in chunks:
            if stopped():
                return
            patience.use(_Asking(stopped))
            try:
                result = function(chunk)
            finally:
                patience.use(None)
            yield result

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
        self._ahead: list[Crew] = []
        """Whose results nobody has asked for yet."""
        self._is_quick = False
        """The chunks of the last map were too quick for children."""
        self._has_lost = False
        """The last map lost a chunk: what was lost with it is read in this one."""
        self._rush_s = 0.0
        """How long work went on without a pause before this map."""
        self._ended_s = 0.0

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R | Lost]:
        """See `Engine.map`. Children that are there begin at once, even before the first result is asked for."""
        self._helpers = [helper for helper in self._helpers if helper.is_there]
        self._prepare(function, len(chunks))
        crew = Crew(function, chunks)
        self._ahead.append(crew)
        for helper in self._helpers if not self._is_quick else ():
            crew.ask(helper)
        return self._results(crew, len(chunks), Patience(stopped))

    def _results(self, crew: Crew, chunks: int, patience: Patience) -> Iterator[Any]:
        if time.monotonic() - self._ended_s > _IDLE_S:
            self._rush_s = 0.0
        self._ahead.remove(crew)
        try:
            for place in range(chunks):
                try:
                    since_s = partial(crew.since_s, place)
                    done = in_time(partial(self._look, crew, place, patience), since_s, self._timeout_s, patience)
                except Overrun as why:
                    yield crew.abandon(place, str(why))
                    continue
                if done is NEVER:
                    return  # chunks are begun in order
                if done is None:
                    yield Lost()
                elif isinstance(done.error, ReaderDied):
                    yield Lost(str(done.error), done.error.file)
                elif done.error is not None:
                    raise done.error
                else:
                    yield done.result
        finally:
            crew.call_off()
            self._let_go()
            self._has_lost = crew.has_lost
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

    def _look(self, crew: Crew, place: int, patience: Patience, slice_s: float) -> Done:
        """Return what became of the chunk at this place, if known in time; start threads and children if it pays."""
        if patience.is_stopped():
            crew.call_off()
            return crew.result(place, slice_s)
        if crew.threads == 0:
            crew.hire()
        missing = self._threads + self._stuck(crew) - crew.size
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

    def _stuck(self, crew: Crew) -> int:
        """Return how many threads and children to replace: where one page took too long, others often do, too."""
        if not (crew.has_lost or self._has_lost):
            return 0
        return min(_MOST_STUCK, crew.stuck(min(_STUCK_S, self._timeout_s / 10)))

    @property
    def _known(self) -> int:
        """So many chunks have to be done before their pace counts."""
        return _GUESSED_CHUNKS if self._forks else KNOWN_CHUNKS

    def _worth(self, crew: Crew) -> int:
        """For how many more children there is enough to do; fresh ones come when no fork is left."""
        left_s = crew.pace_s(self._known) * crew.left
        most = len(os.sched_getaffinity(0)) - 1 - len(self._helpers)
        if self._forks:
            return min(int(left_s / _WORTH_FORKED_S) - len(self._helpers), len(self._forks), most)
        enough_for = int((self._rush_s + left_s) / _WORTH_S) if left_s >= _LEAST_S else 0
        return min(enough_for - len(self._helpers), most)


class _Helper:
    """A child process and the thread that gives it work. Both end when none came for a while."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._crews: queue.SimpleQueue[Crew | None] = queue.SimpleQueue()
        self._is_at_work = self._is_over = False
        sys.setswitchinterval(_TURN_S)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def is_there(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def help(self, crew: Crew) -> None:
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

    def _work_with(self, crew: Crew) -> None:
        self._is_at_work = True
        try:
            if self._child.prepare(crew.function, self._stopped) is not None:
                crew.work(partial(self._call, crew.function), self._child.mark, self._stopped)
        finally:
            self._is_at_work = False
            crew.leave()

    def _call(self, function: Callable[[Any], Any], chunk: Any) -> Any:
        try:
            result = self._child.call(function, chunk, self._stopped)
        except ReaderDied:
            if not self._is_over:
                raise
            result = None
        return Lost() if self._is_over and result is None else result

    def _stopped(self) -> bool:
        return self._is_over
