"""Groups of complete files: as they arrive (`watch_groups`), or those that are there now (`scan_groups`)."""

import itertools
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from digitrec import logs
from digitrec.pipeline.scanner import StabilityTracker
from digitrec.storage import folder_id
from digitrec.types import FileSnapshot

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler

_MOST_LEVELS = 100
"""watchdog goes down by recursion, anew for every folder that is made: below 1,000 levels its thread ends, and some
hundred keep it busy for minutes."""


class WakeEvent:
    """Wakes the one thread that waits. May be rung from any thread and from a signal handler."""

    def __init__(self) -> None:
        # SimpleQueue.put is reentrant, which threading.Event.set is not: a handler could deadlock on it.
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Wake the waiting thread, or the next one to wait."""
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, timeout_s: float) -> bool:
        """True as soon as it rings, False after the time."""
        try:
            self._rings.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        return True


class ChangeSource(Protocol):
    """Something that rings the bell when the folder may have changed."""

    @property
    def state(self) -> str:
        """`alive`, or `scan only` while no events can come; for `status`."""

    def keep_alive(self) -> None:
        """Start, or start anew if it has died; never raises."""

    def stop(self) -> None:
        """Stop, without waiting for long."""


class NoChangeSource:
    """For `watch_mode = scan`, and for tests: never rings."""

    state = "scan only"

    def keep_alive(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


class WatchdogSource:
    """watchdog on one folder and everything in it."""

    def __init__(self, folder: Path, bell: WakeEvent) -> None:
        self._folder = folder
        self._bell = bell
        self._watchdog: object | None = None
        self._held = -1
        """The folder watched, held open: otherwise a new folder may get the inode number of a deleted one."""
        self._told = False
        self._threads: list[threading.Thread] = []
        """Those that watchdog started; one that reads from inotify is none of its emitters."""

    @property
    def state(self) -> str:
        """See `ChangeSource.state`."""
        return "scan only" if self._watchdog is None else "alive"

    def keep_alive(self) -> None:
        """Start watching; start anew if a thread has died or the folder was replaced."""
        from watchdog.observers import Observer as Watchdog
        from watchdog.observers.api import BaseObserver

        try:
            running = self._watchdog
            if isinstance(running, BaseObserver):
                is_same = os.path.samestat(os.fstat(self._held), self._folder.stat())
                threads = [running, *running.emitters, *self._threads]
                if is_same and running.emitters and all(one.is_alive() for one in threads):
                    return
                logs.warn("observer died, starting it anew", folder=self._folder)
                self.stop()
            if folder_id.is_remote(kind := folder_id.kind_of(self._folder)):
                self._tell(f"events do not travel over {kind}")
                return
            if any(path.count("/") > _MOST_LEVELS for path, _ in folder_id.walk(self._folder, failed=lambda *_: None)):
                self._tell(f"there are folders more than {_MOST_LEVELS} levels deep")
                return
            held = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
            try:
                # It speaks of its inner watches when subfolders come and go; nothing of that is ours to mend.
                warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\b")
                before = set(threading.enumerate())
                observer = Watchdog()
                observer.schedule(
                    _make_handler(self._bell), str(self._folder), recursive=True, event_filter=_event_types()
                )
                observer.start()
                started = set(threading.enumerate()) - before
            except BaseException:
                os.close(held)
                raise
        except OSError as why:
            self._tell(str(why))
            return
        self._watchdog, self._held, self._told = observer, held, False
        self._threads = [one for one in started if type(one).__module__.startswith("watchdog.")]

    def _tell(self, why: str) -> None:
        if not self._told:
            logs.warn("no file system events, the scan goes on alone", folder=self._folder, why=why)
        self._told = True

    def stop(self) -> None:
        """Stop the threads; they are daemons, so exit never depends on them."""
        from watchdog.observers.api import BaseObserver

        observer, self._watchdog = self._watchdog, None
        if isinstance(observer, BaseObserver):
            os.close(self._held)
            observer.stop()
            observer.join(timeout=2.0)


def _make_handler(bell: WakeEvent) -> "FileSystemEventHandler":
    from watchdog.events import FileSystemEventHandler

    handler = FileSystemEventHandler()
    # The whole handler: anything that can raise in it would end the observer's thread.
    handler.on_any_event = lambda event: bell.set()  # type: ignore[method-assign]  # noqa: ARG005
    return handler


def _event_types() -> list[type]:
    # Opening and closing unread would ring at our own looks, over and over.
    from watchdog import events

    return [
        events.FileCreatedEvent,
        events.FileMovedEvent,
        events.FileModifiedEvent,
        events.FileClosedEvent,
        events.DirCreatedEvent,
        events.DirMovedEvent,
    ]


_CLOSEST_S = 0.5
_DEBOUNCE_S = 0.2


def watch_groups(
    look: Callable[[], Iterator[FileSnapshot]],
    settling: StabilityTracker,
    observer: ChangeSource,
    bell: WakeEvent,
    *,
    stopped: Callable[[], bool],
    scan_interval_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[list[FileSnapshot]]:
    """Yield complete files in groups of at most `batch_files`, an empty list after a look that found none.

    Looks when the bell rings, when the next file may be complete, and every `scan_interval_s` regardless;
    never more often than twice a second, nor than twice the time a look takes.

    Args:
        look: lists the inbox.
        settling: remembers what was seen.
        observer: is started before the first look, so that nothing falls between.
        bell: is rung by it.
        stopped: asked between any two steps.
        scan_interval_s: longest time between two looks, seconds.
        batch_files: most files in a group.
        clock: monotonic time, seconds.
        wall_ns: nanoseconds since 1970, by the clock that the times of the files are of.

    Raises:
        OSError: the inbox cannot be listed.
    """
    while not stopped():
        observer.keep_alive()
        began_s = clock()
        settled = _update_tracker(look(), settling, began_s, wall_ns)
        closest_s = max(_CLOSEST_S, 2 * (clock() - began_s))
        for group in _split_batches(settled, batch_files):
            settling.forget(seen.path for seen in group)
            yield group
            if stopped():
                return
        if not settled:
            yield []
        next_at_s = settling.next_at_s()
        due_s = began_s + scan_interval_s if next_at_s is None else min(began_s + scan_interval_s, next_at_s)
        if bell.wait(max(due_s, began_s + closest_s) - clock()) and not stopped():
            # A picture rarely comes alone: let its company arrive.
            pause_s = max(_DEBOUNCE_S, began_s + closest_s - clock())
            _sleep(pause_s, stopped, clock)


def scan_groups(
    look: Callable[[], Iterator[FileSnapshot]],
    settling: StabilityTracker,
    bell: WakeEvent,
    *,
    stopped: Callable[[], bool],
    wait_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[Iterator[list[FileSnapshot]]]:
    """Yield what is there at the first look, as it becomes complete; wait at most `wait_s` for that.

    The groups of one scan come together: none of them has to be waited for. Arguments, errors: see `watch_groups`.
    """

    def grouped(settled: list[FileSnapshot]) -> Iterator[list[FileSnapshot]]:
        for group in _split_batches(settled, batch_files):
            settling.forget(seen.path for seen in group)
            yield group
            if stopped():
                return

    deadline_s = clock() + wait_s
    is_first = True
    while not stopped():
        settled = _update_tracker(look(), settling, clock(), wall_ns, trust_old=is_first, newcomers=is_first)
        is_first = False
        if settled:
            yield grouped(settled)
        if stopped():
            return
        next_at_s = settling.next_at_s()
        if next_at_s is None or next_at_s > deadline_s:
            return
        bell.wait(next_at_s - clock())


def _update_tracker(
    found: Iterator[FileSnapshot],
    settling: StabilityTracker,
    now_s: float,
    wall_ns: Callable[[], int],
    *,
    trust_old: bool = False,
    newcomers: bool = True,
) -> list[FileSnapshot]:
    """Take one look; the clock is asked only if something lies there: that may write to a disk that would sleep."""
    first = next(found, None)
    if first is None:
        return settling.update((), now_s, 0)
    return settling.update(itertools.chain((first,), found), now_s, wall_ns(), trust_old=trust_old, newcomers=newcomers)


def _sleep(pause_s: float, stopped: Callable[[], bool], clock: Callable[[], float]) -> None:
    # Not on the bell: a storm of events would wake us for each.
    until_s = clock() + pause_s
    while not stopped() and (left_s := until_s - clock()) > 0:
        time.sleep(min(left_s, 0.1))


def _split_batches(seen: list[FileSnapshot], size: int) -> Iterator[list[FileSnapshot]]:
    seen.sort()
    each = iter(seen)
    while group := list(itertools.islice(each, size)):
        yield group
