"""Service of one worker: read the files in the inbox, or wait for new ones, until a shutdown is requested."""

import atexit
import math
import os
import signal
import sys
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
from digitrec.monitoring.metrics import MetricsFile
from digitrec.pipeline import watcher
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.scanner import SkippedCounts, StabilityTracker
from digitrec.settings import Settings
from digitrec.storage.claims import FileSnapshot, OutcomeCounts, backoff_s
from digitrec.storage.ledger import Ledger
from digitrec.types import NumberCounts

if TYPE_CHECKING:
    from digitrec.pipeline.archive import Outbox
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.claiming import ClaimQueue


def exit_now(code: int) -> NoReturn:
    """End the process with this exit code, even if a decoder hangs in a daemon thread.

    All results are durable by now. The regular interpreter shutdown would crash under a thread that runs native code,
    and frees one object after the other: a fifth of the CPU of a short run.
    """
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def time_stages(
    settings: Settings, timed: Callable[[str], AbstractContextManager[None]]
) -> Callable[[str], AbstractContextManager[None]]:
    """Return a context manager that times a stage of a batch and adds the step and folder to an OSError in it."""
    steps = {
        "claim": ("claiming files", settings.inbox),
        "read": ("reading files", settings.inbox),
        "record": ("recording the answers", settings.state),
        "publish": ("publishing the tables", settings.outbox),
        "file_away": ("archiving the originals", settings.outbox),
        "report": ("writing the report", settings.reports),
    }

    @contextmanager
    def time_stage(stage: str) -> Iterator[None]:
        with timed(stage), note_step(*steps[stage]):
            yield

    return time_stage


class ShutdownSignal:
    """Shutdown request, set by SIGTERM, SIGINT, SIGHUP or a caller; calling it returns whether to stop."""

    def __init__(self) -> None:
        self.wake_event = watcher.WakeEvent()
        self.signal = 0

    def __call__(self) -> bool:
        """Return True once the work should end."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """Exit code of a run that was stopped; a closed terminal (SIGHUP) counts as SIGTERM."""
        return 128 + (signal.SIGINT if self.signal == signal.SIGINT else signal.SIGTERM)

    def set(self, number: int = signal.SIGTERM) -> None:
        """Request the shutdown."""
        self.signal = number
        self.wake_event.set()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Shut down in order on the first SIGINT, SIGTERM or SIGHUP; a second SIGINT ends the process at once."""

        def handle(number: int, _: FrameType | None) -> None:
            self.set(number)
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                logs.write_from_signal("stopping: results so far are kept; press Ctrl-C again to end at once")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it: outlive the terminal
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(slots=True)
class RunSummary:
    """Result of one run."""

    count: OutcomeCounts = field(default_factory=OutcomeCounts)
    """Files by outcome: accepted, review, rejected, deferred; `claimed` is their sum."""
    numbers: NumberCounts = field(default_factory=NumberCounts)
    """Numbers that were found and accepted."""
    batches: list[str] = field(default_factory=list)
    """Ids of the batches, in the order in which they were claimed."""
    published: list[str] = field(default_factory=list)
    """Batches whose tables go into latest.csv, in the order of publication."""
    expected: int = 0
    """Files that the run is going to claim, as far as is known."""
    waiting: int = 0
    """Files in the inbox at the last scan; after a run: still changing, empty, or deferred."""
    passed_over: SkippedCounts = field(default_factory=SkippedCounts)
    """Files that can never be claimed in their current location."""

    def add_published(self, batch_id: str) -> None:
        """Add a batch whose table is in the outbox, once."""
        if batch_id not in self.published:
            self.published.append(batch_id)


class WorkspacePort(Protocol):
    """Source of files and destination of results, locked for one worker."""

    @property
    def settings(self) -> Settings:
        """Settings of the workspace."""

    @property
    def inbox(self) -> "ClaimQueue":
        """Queue in which files are claimed."""

    @property
    def outbox(self) -> "Outbox":
        """Destination of tables and originals."""

    @property
    def ledger(self) -> Ledger:
        """Ledger of the worker."""

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if inbox or outbox is no longer the folder that was opened."""

    def scan(self, skipped: Callable[[str, str], None], passed: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Return every file that may be claimed; report skipped paths with the reason, and count them."""

    def stability_tracker(self) -> StabilityTracker:
        """Return the tracker that decides when a file is complete."""

    def scanned_at_s(self) -> float:
        """Time of the last scan by the clock of the file times, seconds since 1970."""

    @property
    def clock_ns(self) -> Callable[[], int]:
        """Clock of the file times, nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Collaborators of one worker that outlive a service which failed and is opened again."""

    settings: Settings
    stop: ShutdownSignal
    summary: RunSummary
    heartbeat: HeartbeatWriter
    hooks: Hooks
    metrics_file: MetricsFile
    load_labels: Callable[[], LabelLookup]
    on_published: Callable[[str], None]
    """Called with each batch whose tables are in the outbox."""
    on_read: Callable[[int, int], None]
    """Called several times a second with the number of files read, and of all files, of unfinished batches."""


@dataclass(slots=True)
class _RetrySchedule:
    """Time of the next try of batches whose reading failed."""

    tries: int = 0
    due_s: float = math.inf
    """Monotonic seconds."""

    @property
    def is_due(self) -> bool:
        """Whether the next try is due."""
        return time.monotonic() >= self.due_s

    def add_failure(self) -> float:
        """Count a failure; return the pause before the next try, seconds."""
        self.tries += 1
        pause_s = backoff_s(self.tries)
        self.due_s = time.monotonic() + pause_s
        return pause_s


@dataclass(frozen=True, slots=True)
class Service:
    """Reader of one locked workspace."""

    context: WorkerContext
    space: WorkspacePort
    get_pipeline: "Callable[[], BatchPipeline]"
    """Creates the pipeline on the first call: an empty inbox costs next to nothing."""
    is_current: Callable[[], bool]
    """Returns False once another model was promoted."""
    beat_and_check_stop: Callable[[], bool]
    """Update the heartbeat and return whether to stop."""
    claim_alone: list[FileSnapshot]
    """Files that the pipeline claims next, each by itself, because one of them may have ended its reader."""
    skipped_paths: set[str] = field(default_factory=set)
    """Skipped paths that were logged."""

    def drain(self) -> None:
        """Read all files in the inbox once."""
        settings, summary, stop = self.space.settings, self.context.summary, self.context.stop
        failure: ReadFailed | None = None
        open_batches = self.space.ledger.batches(unfinished=True)
        claimed = sum(len(self.space.ledger.claims(batch.id)) for batch in open_batches)
        summary.expected = summary.count.claimed + claimed + self._count_waiting()
        self.context.on_read(0, claimed)
        try:
            self._recover()
        except ReadFailed as why:  # new files are read nevertheless
            failure = why
        scans = watcher.scan_groups(
            self._scan,
            self.space.stability_tracker(),
            stop.wake_event,
            is_stopped=stop,
            wait_s=settings.run_wait_s,
            batch_files=settings.batch_files,
            wall_ns=self.space.clock_ns,
        )
        for groups in scans:
            for count in self._process(groups):
                summary.count += count
                self.context.on_read(0, 0)
        if self.claim_alone:  # left by a resumed batch, with no other file to read
            for count in self._process([]):
                summary.count += count
        if failure is not None:
            raise failure
        summary.waiting = self._count_waiting()

    def serve(self, source: watcher.ChangeSource) -> Iterator[bool]:
        """Read files as they arrive; yield after every scan whether no batch waits for a retry.

        Ends when stopped, or when another model was promoted. A batch whose reading failed is retried between two
        scans, so that new files are read meanwhile.
        """
        settings, stop = self.space.settings, self.context.stop
        logs.info("watching", inbox=settings.inbox, worker=settings.worker)
        schedule = _RetrySchedule()
        self._try(self._recover, schedule)
        groups = watcher.watch_groups(
            self._scan,
            self.space.stability_tracker(),
            source,
            stop.wake_event,
            is_stopped=stop,
            scan_interval_s=settings.scan_interval_s,
            batch_files=settings.batch_files,
            wall_ns=self.space.clock_ns,
        )
        for group in groups:
            if schedule.is_due and self._try(self._recover, schedule):
                schedule = _RetrySchedule()
            if group or self.claim_alone:
                self._try(partial(self._process_group, group), schedule)
            if self.claim_alone:
                stop.wake_event.set()  # the next suspect does not wait for the scan interval
            yield schedule.tries == 0
            if not self.is_current():
                logs.info("another model was promoted")
                return

    def _recover(self) -> None:
        """Finish interrupted batches."""
        if self.space.inbox.batches() or self.space.ledger.batches(unfinished=True):
            with self._calling_hooks():
                self.context.summary.count += self.get_pipeline().recover()

    def _process(self, groups: Iterable[list[FileSnapshot]]) -> Iterator[OutcomeCounts]:
        """Read groups of files and yield the counts of each, after its hooks were called."""
        counts = self.get_pipeline().process_groups(groups)
        while True:
            with self._calling_hooks():
                count = next(counts, None)
            if count is None:
                return
            yield count

    def _process_group(self, group: list[FileSnapshot]) -> None:
        with self._calling_hooks():
            self.context.summary.count += self.get_pipeline().process_group(group)

    @contextmanager
    def _calling_hooks(self) -> Iterator[None]:
        """Call the hooks of every batch that is closed in this context, also if a later batch fails."""
        try:
            yield
        finally:
            try:
                self.context.hooks.call_for_closed(self.space.ledger, self.beat_and_check_stop)
            except Exception as why:  # noqa: BLE001 - a failing hook does not end the service
                self.context.heartbeat.note_unexpected(logs.log_exception("a hook cannot be called", why))

    def _try(self, work: Callable[[], object], schedule: _RetrySchedule) -> bool:
        """Do some work; return False and schedule a retry if reading a batch failed."""
        try:
            work()
        except ReadFailed as why:
            pause_s = schedule.add_failure()
            self.context.heartbeat.set_failing(why)
            logs.warning("failed, trying again", why=why, pause_s=pause_s)
            self.context.hooks.count_failure(why, self.beat_and_check_stop)
            return False
        return True

    def _count_waiting(self) -> int:
        self.context.summary.passed_over = SkippedCounts()
        return sum(1 for _ in self.space.scan(self._log_skipped, self.context.summary.passed_over))

    def _scan(self) -> Iterator[FileSnapshot]:
        self.space.check_folders()
        self.context.heartbeat.set_scanned()
        deferred, self.context.summary.waiting = self.space.ledger.deferred(time.time()), 0
        for snapshot in self.space.scan(self._log_skipped):
            self.context.summary.waiting += 1
            # `identity` is computed only if needed: an inbox may hold 100,000 files.
            if not deferred or snapshot.identity not in deferred:
                yield snapshot

    def _log_skipped(self, path: str, why: str) -> None:
        if path not in self.skipped_paths:
            self.skipped_paths.add(path)
            logs.warning("file skipped", file=path, why=why)
