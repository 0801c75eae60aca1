"""One worker at work: reads what is there, or what comes, until asked to stop."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Protocol

from digitrec import logs
from digitrec.errors import ReadFailed, note_step
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.hooks import Hooks
from digitrec.pipeline import watcher
from digitrec.pipeline.scanner import SkippedCounts, StabilityTracker
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from digitrec.types import FileSnapshot, OutcomeCounts, backoff_s

if TYPE_CHECKING:
    from digitrec.pipeline.batch import BatchPipeline, Outbox
    from digitrec.pipeline.claiming import ClaimQueue


def exit_now(code: int) -> NoReturn:
    """End the process with this exit code, even where a decoder hangs in a thread of ours.

    Everything is durable by now; Python's own end would crash under a thread that still runs native code.
    """
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        os._exit(code)
    sys.exit(code)


def time_stages(
    settings: Settings, timed: Callable[[str], AbstractContextManager[None]]
) -> Callable[[str], AbstractContextManager[None]]:
    """Return `timed` for a stage of a batch; an OSError in it also tells the step, and a folder if it has no path."""
    steps = {
        "claim": ("claiming files", settings.inbox),
        "read": ("reading files", settings.inbox),
        "record": ("recording the answers", settings.state),
        "publish": ("publishing the tables", settings.outbox),
        "file_away": ("archiving the originals", settings.outbox),
        "report": ("writing the report", settings.reports),
    }

    @contextmanager
    def both(stage: str) -> Iterator[None]:
        with timed(stage), note_step(*steps[stage]):
            yield

    return both


class ShutdownSignal:
    """Asked by whoever may have to stop; set by SIGTERM, SIGINT, SIGHUP or a caller."""

    def __init__(self) -> None:
        self.wake_event = watcher.WakeEvent()
        self.signal = 0

    def __call__(self) -> bool:
        """True once the work should end."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """Exit code of a run that was stopped; a terminal that is closed asks like SIGTERM."""
        return 128 + (signal.SIGINT if self.signal == signal.SIGINT else signal.SIGTERM)

    def set(self, number: int = signal.SIGTERM) -> None:
        """Ask for the end of the work."""
        self.signal = number
        self.wake_event.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Finish in order on the first SIGINT, SIGTERM or SIGHUP; the second SIGINT ends at once."""

        def handle(number: int, _: FrameType | None) -> None:
            self.set(number)
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                logs.write_from_signal("stopping: what was read is kept; once more ends at once")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` asks to outlive the terminal
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(slots=True)
class RunSummary:
    """What one run did."""

    count: OutcomeCounts = field(default_factory=OutcomeCounts)
    batches: list[str] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    """Batches whose tables latest.csv will hold, in the order of publication."""
    waiting: int = 0
    """Files left in the inbox: still changing, empty, or deferred."""
    passed_over: SkippedCounts = field(default_factory=SkippedCounts)
    """Files that can never be claimed where they lie."""

    def note(self, batch_id: str) -> None:
        """Note a batch whose table is in the outbox."""
        if batch_id not in self.published:
            self.published.append(batch_id)


class WorkspacePort(Protocol):
    """Where a worker finds its files and leaves its answers, its lock held."""

    @property
    def settings(self) -> Settings:
        """What it goes by."""

    @property
    def inbox(self) -> "ClaimQueue":
        """Where files are claimed."""

    @property
    def outbox(self) -> "Outbox":
        """Where answers go."""

    @property
    def ledger(self) -> Ledger:
        """Its durable truth."""

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if they are not the places that they were."""

    def scan(self, skipped: Callable[[str, str], None], passed: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Every file that may be claimed; what is passed over is told, and counted."""

    def stability_tracker(self) -> StabilityTracker:
        """Tells when a file is complete."""

    def scanned_at_s(self) -> float:
        """When files were looked for last, by the clock that their times are of, seconds since 1970."""

    @property
    def clock_ns(self) -> Callable[[], int]:
        """That clock, nanoseconds since 1970."""


@dataclass(slots=True)
class _RetrySchedule:
    """When batches whose reading raised are tried again."""

    tries: int = 0
    due_s: float = math.inf
    """Monotonic seconds."""

    @property
    def is_due(self) -> bool:
        """Return True once they are to be tried again."""
        return time.monotonic() >= self.due_s

    def failed(self) -> float:
        """Note a failure; return how long to wait, seconds."""
        self.tries += 1
        pause_s = backoff_s(self.tries)
        self.due_s = time.monotonic() + pause_s
        return pause_s


@dataclass(frozen=True, slots=True)
class Service:
    """One worker at work, its lock held."""

    space: WorkspacePort
    pipeline: "Callable[[], BatchPipeline]"
    """Made when there is something to read: an empty inbox costs next to nothing."""
    stop: ShutdownSignal
    summary: RunSummary
    heartbeat: HeartbeatWriter
    is_current: Callable[[], bool]
    """False once another model was promoted."""
    hooks: Hooks
    alive: Callable[[], bool]
    """A sign of life; True if stopped."""
    suspects: list[FileSnapshot] = field(default_factory=list)
    """Suspects that the pipeline claims next."""
    skipped_paths: set[str] = field(default_factory=set)

    def drain(self, progress: Callable[[int, int], None] | None) -> None:
        """One pass; `progress` is told how many files are done, and how many there are."""
        settings = self.space.settings
        failure: ReadFailed | None = None
        try:
            self.summary.count += self._recover()
        except ReadFailed as why:  # what is new may be read all the same
            failure = why
        total = self.summary.count.claimed + self._left()
        looks = watcher.scan_groups(
            self._look,
            self.space.stability_tracker(),
            self.stop.wake_event,
            stopped=self.stop,
            wait_s=settings.run_wait_s,
            batch_files=settings.batch_files,
            wall_ns=self.space.clock_ns,
        )
        for groups in looks:
            for count in self._process(groups):
                self.summary.count += count
                if progress is not None:
                    progress(self.summary.count.claimed, total)
        if self.suspects:  # of a batch that was taken up again, where nothing else was there to read
            for count in self._process([]):
                self.summary.count += count
        if failure is not None:
            raise failure
        self.summary.waiting = self._left()

    def _recover(self) -> OutcomeCounts:
        """Finish what was interrupted, if anything was."""
        if not (self.space.inbox.batches() or self.space.ledger.batches(unfinished=True)):
            return OutcomeCounts()
        with self._telling():
            return self.pipeline().recover()

    def _process(self, groups: Iterable[list[FileSnapshot]]) -> Iterator[OutcomeCounts]:
        """What became of each group; the hooks are called after each."""
        counts = self.pipeline().process_all(groups)
        while True:
            with self._telling():
                count = next(counts, None)
            if count is None:
                return
            yield count

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Call the hooks of every batch that is closed in here, also if a later one fails."""
        try:
            yield
        finally:
            try:
                self.hooks.call_for_closed(self.space.ledger, self.alive)
            except Exception as why:  # noqa: BLE001 - no hook is worth the service
                self.heartbeat.note_unexpected(logs.log_exception("a hook cannot be called", why))

    def _left(self) -> int:
        self.summary.passed_over = SkippedCounts()
        return sum(1 for _ in self.space.scan(self._skipped, self.summary.passed_over))

    def serve(self, observer: watcher.ChangeSource) -> Iterator[bool]:
        """Yield after every look whether all is well; ends when stopped, or when another model was promoted.

        A batch whose reading raises is tried again between two looks: what comes is read meanwhile.
        """
        settings = self.space.settings
        logs.info("watching", inbox=settings.inbox, worker=settings.worker)
        put_off = _RetrySchedule()
        self._try(self._recover, put_off)
        groups = watcher.watch_groups(
            self._look,
            self.space.stability_tracker(),
            observer,
            self.stop.wake_event,
            stopped=self.stop,
            scan_interval_s=settings.scan_interval_s,
            batch_files=settings.batch_files,
            wall_ns=self.space.clock_ns,
        )
        for group in groups:
            if put_off.is_due and self._try(self._recover, put_off):
                put_off = _RetrySchedule()
            if group or self.suspects:
                self._try(partial(self._process_one, group), put_off)
            if self.suspects:
                self.stop.wake_event.set()  # the next one is not to wait for the next look by the clock
            yield put_off.tries == 0
            if not self.is_current():
                logs.info("another model was promoted")
                return

    def _process_one(self, group: list[FileSnapshot]) -> None:
        with self._telling():
            self.pipeline().process(group)

    def _try(self, work: Callable[[], object], put_off: "_RetrySchedule") -> bool:
        """Do some work; return False if reading a batch raised."""
        try:
            work()
        except ReadFailed as why:
            pause_s = put_off.failed()
            self.heartbeat.set_failing(why)
            logs.warning("failed, trying again", why=why, pause_s=pause_s)
            self.hooks.count_failure(why, self.alive)
            return False
        return True

    def _look(self) -> Iterator[FileSnapshot]:
        self.space.check_folders()
        self.heartbeat.set_scanned()
        deferred = self.space.ledger.deferred(time.time())
        for seen in self.space.scan(self._skipped):
            # Mostly there is none, and an inbox may hold 100,000 files.
            if not deferred or seen.identity not in deferred:
                yield seen

    def _skipped(self, path: str, why: str) -> None:
        if path not in self.skipped_paths:
            self.skipped_paths.add(path)
            logs.warning("passed over", file=path, why=why)
