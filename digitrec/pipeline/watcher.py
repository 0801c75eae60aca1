"""Group complete files into batches: `scan_groups` for `run` (files in the inbox now), `watch_groups` for `watch`.

The change sources wake `watch_groups` between its timed scans.
"""

import itertools
import os
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from digitrec import logs
from digitrec.pipeline.scanner import StabilityTracker
from digitrec.storage import folder_id
from digitrec.storage.claims import FileSnapshot

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler


class WatchParams(NamedTuple):
    """Limits of watching a folder; set by hand."""

    max_levels: int = 100
    """Depth of folders up to which events are used. watchdog walks down recursively, again for every new folder: some
    hundred levels keep it busy for minutes, and at 1,000 its thread ends."""
    min_gap_s: float = 0.5
    """Least time between two scans that events cause, seconds."""
    debounce_s: float = 0.2
    """Time after an event in which further files may arrive before the scan, seconds: pictures rarely come alone."""
    stop_timeout_s: float = 2.0
    """Longest wait for watchdog's thread to end, seconds; it is a daemon."""


_PARAMS = WatchParams()


class WakeEvent:
    """Wakes the one thread that waits. May be set from any thread and from a signal handler."""

    def __init__(self) -> None:
        # SimpleQueue.put is reentrant, which threading.Event.set is not: a handler could deadlock on it.
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Wake the waiting thread, or the next one to wait."""
        if self._queue.empty():
            self._queue.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the event is set; return False after the timeout."""
        try:
            self._queue.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        return True


class ChangeSource(Protocol):
    """Sets the wake event when the folder may have changed."""

    @property
    def state(self) -> str:
        """`alive`, or `scan only` while no events can arrive; for `status`."""

    def keep_alive(self) -> None:
        """Start, or restart if it has died; never raises."""

    def stop(self) -> None:
        """Stop, without waiting for long."""


class NoChangeSource:
    """Sets no event; for `watch_mode = scan`, and for tests."""

    state = "scan only"

    def keep_alive(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


class WatchdogSource:
    """File system events of one folder and everything in it, by watchdog."""

    def __init__(self, folder: Path, wake: WakeEvent) -> None:
        self._folder = folder
        self._wake = wake
        self._observer: object | None = None
        self._descriptor = -1
        """The watched folder, held open: otherwise a new folder may get the inode number of a deleted one."""
        self._has_warned = False
        self._threads: list[threading.Thread] = []
        """Threads that watchdog started; the one that reads from inotify is not among its emitters."""

    @property
    def state(self) -> str:
        """See `ChangeSource.state`."""
        return "scan only" if self._observer is None else "alive"

    def keep_alive(self) -> None:
        """Start watching; restart if a thread has died or the folder was replaced."""
        from watchdog.observers import Observer
        from watchdog.observers.api import BaseObserver

        try:
            running = self._observer
            if isinstance(running, BaseObserver):
                is_same = os.path.samestat(os.fstat(self._descriptor), self._folder.stat())
                threads = [running, *running.emitters, *self._threads]
                if is_same and running.emitters and all(thread.is_alive() for thread in threads):
                    return
                logs.warning("observer died, restarting it", folder=self._folder)
                self.stop()
            if folder_id.is_remote_filesystem(kind := folder_id.get_filesystem(self._folder)):
                self._warn(f"events do not travel over {kind}")
                return
            if any(
                path.count("/") > _PARAMS.max_levels for path, _ in folder_id.walk(self._folder, failed=lambda *_: None)
            ):
                self._warn(f"there are folders more than {_PARAMS.max_levels} levels deep")
                return
            access = getattr(os, "O_PATH", os.O_RDONLY)  # macOS has no O_PATH
            descriptor = os.open(self._folder, access | os.O_DIRECTORY)
            try:
                # watchdog warns of its inner watches when subfolders come and go; nobody can act on that.
                warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\b")
                threads_before = set(threading.enumerate())
                observer = Observer()
                observer.schedule(
                    _make_handler(self._wake), str(self._folder), recursive=True, event_filter=_event_types()
                )
                observer.start()
                new_threads = set(threading.enumerate()) - threads_before
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            self._warn(str(error))
            return
        self._observer, self._descriptor, self._has_warned = observer, descriptor, False
        self._threads = [thread for thread in new_threads if type(thread).__module__.startswith("watchdog.")]

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            logs.warning("no file system events, only timed scans", folder=self._folder, why=why)
        self._has_warned = True

    def stop(self) -> None:
        """Stop the threads; they are daemons, so exit never depends on them."""
        from watchdog.observers.api import BaseObserver

        observer, self._observer = self._observer, None
        if isinstance(observer, BaseObserver):
            os.close(self._descriptor)
            observer.stop()
            observer.join(timeout=_PARAMS.stop_timeout_s)


def _make_handler(wake: WakeEvent) -> "FileSystemEventHandler":
    from watchdog.events import FileSystemEventHandler

    handler = FileSystemEventHandler()
    # Nothing else happens here: an exception in the handler would end the observer's thread.
    handler.on_any_event = lambda event: wake.set()  # type: ignore[method-assign]  # noqa: ARG005
    return handler


def _event_types() -> list[type]:
    # Without those of opening and closing unchanged files: our own scans would cause them, over and over.
    from watchdog import events

    return [
        events.FileCreatedEvent,
        events.FileMovedEvent,
        events.FileModifiedEvent,
        events.FileClosedEvent,
        events.DirCreatedEvent,
        events.DirMovedEvent,
    ]


def watch_groups(
    scan: Callable[[], Iterator[FileSnapshot]],
    tracker: StabilityTracker,
    source: ChangeSource,
    wake: WakeEvent,
    *,
    is_stopped: Callable[[], bool],
    scan_interval_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[list[FileSnapshot]]:
    """Yield complete files in groups of at most `batch_files`; an empty list after a scan that found none.

    Scans when the wake event is set, when the next file may be complete, and at least every `scan_interval_s`; never
    more often than twice a second, nor than twice the time a scan takes.

    Args:
        scan: lists the inbox.
        tracker: remembers the scans.
        source: sets the wake event; started before the first scan, so that no change is missed.
        wake: wakes this thread.
        is_stopped: asked between any two steps.
        scan_interval_s: longest time between two scans, seconds.
        batch_files: most files in a group.
        clock: monotonic time, seconds.
        wall_ns: nanoseconds since 1970 by the clock of the inbox's filesystem.

    Raises:
        OSError: the inbox cannot be listed.
    """
    while not is_stopped():
        source.keep_alive()
        began_s = clock()
        files = _update_tracker(scan(), tracker, began_s, wall_ns)
        min_gap_s = max(_PARAMS.min_gap_s, 2 * (clock() - began_s))
        if files:
            yield from _split_batches(files, batch_files, tracker, is_stopped)
            if is_stopped():
                return
        else:
            yield []
        next_at_s = tracker.next_at_s()
        due_s = began_s + scan_interval_s if next_at_s is None else min(began_s + scan_interval_s, next_at_s)
        if wake.wait(max(due_s, began_s + min_gap_s) - clock()) and not is_stopped():
            _sleep(max(_PARAMS.debounce_s, began_s + min_gap_s - clock()), is_stopped, clock)


def scan_groups(
    scan: Callable[[], Iterator[FileSnapshot]],
    tracker: StabilityTracker,
    wake: WakeEvent,
    *,
    is_stopped: Callable[[], bool],
    wait_s: float,
    batch_files: int,
    clock: Callable[[], float] = time.monotonic,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Iterator[Iterator[list[FileSnapshot]]]:
    """Yield the files of the first scan as they become complete; wait at most `wait_s` for that.

    The groups of one scan come together: none of them has to be waited for. Arguments, errors: see `watch_groups`.
    """
    deadline_s = clock() + wait_s
    is_first = True
    while not is_stopped():
        files = _update_tracker(scan(), tracker, clock(), wall_ns, trust_old=is_first, newcomers=is_first)
        is_first = False
        if files:
            yield _split_batches(files, batch_files, tracker, is_stopped)
        if is_stopped():
            return
        next_at_s = tracker.next_at_s()
        if next_at_s is None or next_at_s > deadline_s:
            return
        wake.wait(next_at_s - clock())


def _update_tracker(
    snapshots: Iterator[FileSnapshot],
    tracker: StabilityTracker,
    now_s: float,
    wall_ns: Callable[[], int],
    *,
    trust_old: bool = False,
    newcomers: bool = True,
) -> list[FileSnapshot]:
    """Give one scan to the tracker; the clock is read only if there are files: that may write to a sleeping disk."""
    first = next(snapshots, None)
    if first is None:
        return tracker.update((), now_s, 0)
    return tracker.update(
        itertools.chain((first,), snapshots), now_s, wall_ns(), trust_old=trust_old, newcomers=newcomers
    )


def _sleep(pause_s: float, is_stopped: Callable[[], bool], clock: Callable[[], float]) -> None:
    # Not on the wake event: each event of a storm would end the pause.
    until_s = clock() + pause_s
    while not is_stopped() and (left_s := until_s - clock()) > 0:
        time.sleep(min(left_s, 0.1))


def _split_batches(
    files: list[FileSnapshot], size: int, tracker: StabilityTracker, is_stopped: Callable[[], bool]
) -> Iterator[list[FileSnapshot]]:
    """Yield the files in groups, sorted by path, until a stop; the tracker forgets each group when it is taken."""
    files.sort()
    for start in range(0, len(files), size):
        if start and is_stopped():
            return
        group = files[start : start + size]
        tracker.forget(file.path for file in group)
        yield group
