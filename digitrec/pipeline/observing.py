"""Waking the scanner: a bell, and watchdog to ring it. Events are hints; nothing depends on one arriving."""

import os
import queue
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from digitrec import logs
from digitrec.storage import folder_id, mounts

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler


_MOST_LEVELS = 100
"""watchdog goes down by recursion, anew for every folder that is made: below 1,000 levels its thread ends, and some
hundred keep it busy for minutes."""


class Bell:
    """Wakes the one thread that waits. May be rung from any thread and from a signal handler."""

    def __init__(self) -> None:
        # SimpleQueue.put is reentrant, which threading.Event.set is not: a handler could deadlock on it.
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ring(self) -> None:
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


class Observer(Protocol):
    """Something that rings the bell when the folder may have changed."""

    @property
    def state(self) -> str:
        """`alive`, or `scan only` while no events can come; for `status`."""

    def keep_alive(self) -> None:
        """Start, or start anew if it has died; never raises."""

    def stop(self) -> None:
        """Stop, without waiting for long."""


class NoObserver:
    """For `watch_mode = scan`, and for tests: never rings."""

    state = "scan only"

    def keep_alive(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""


class FolderObserver:
    """watchdog on one folder and everything in it."""

    def __init__(self, folder: Path, bell: Bell) -> None:
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
        """See `Observer.state`."""
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
            if mounts.is_remote(kind := mounts.kind_of(self._folder)):
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
                observer.schedule(_handler(self._bell), str(self._folder), recursive=True, event_filter=_events())
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


def _handler(bell: Bell) -> "FileSystemEventHandler":
    from watchdog.events import FileSystemEventHandler

    handler = FileSystemEventHandler()
    # The whole handler: anything that can raise in it would end the observer's thread.
    handler.on_any_event = lambda event: bell.ring()  # type: ignore[method-assign]  # noqa: ARG005
    return handler


def _events() -> list[type]:
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
