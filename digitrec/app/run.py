"""Use cases `run` and `watch`: open the service, retry when the environment fails, stop on a signal."""

import gc
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import logs
from digitrec.app import composition
from digitrec.app.service import RunSummary, ShutdownSignal
from digitrec.errors import (
    DigitrecError,
    EnvironmentFailure,
    ModelError,
    NotEnoughMemory,
    UnexpectedFailure,
    UsageError,
    wrap_memory_error,
    wrap_os_error,
)
from digitrec.images import threads
from digitrec.monitoring.heartbeat import HeartbeatWriter, SystemdNotifier
from digitrec.pipeline import first_use, watcher
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.claims import backoff_s

_BEAT_INTERVAL_S = 10.0
"""Time between two signs of life for systemd during a pause, seconds."""
_TRIM_FILES = 500
"""Number of files from which unused memory is returned although more files wait: about one batch, so it is cheap."""


def run_once(
    settings: Settings, stop: ShutdownSignal | None = None, progress: Callable[[int, int], None] | None = None
) -> RunSummary:
    """Read all files now in the inbox; retry while the environment fails, for at most `run_retry_s`.

    Args:
        settings: name the workspace.
        stop: checked between any two steps.
        progress: called several times a second with the number of files read and the number of all files.

    Raises:
        EnvironmentFailure: the environment failed for `run_retry_s`; the claims are kept. At once if the workspace does
            not exist or cannot be made.
        UsageError: the folder is no workspace, and looks as if it was named by mistake; nothing was made in it.
        BusyError, ModelError, SettingsError: at once; ModelError after `run_retry_s` if a folder is missing, too.
    """
    is_first_use = first_use.check_first_use(settings)
    stop, summary, heartbeat = stop or ShutdownSignal(), RunSummary(), HeartbeatWriter(settings)

    def report_read(read: int, _: int) -> None:
        if progress is not None:
            progress(summary.count.claimed + read, summary.expected)

    context = composition.make_worker_context(settings, stop, summary, heartbeat, summary.add_published, report_read)
    hooks = context.hooks
    failed_s, batches_before, pauses = None, 0, iterate_backoff()
    try:
        while True:
            try:
                with composition.open_service(context, thorough=failed_s is not None) as service:
                    service.drain()
                _write_latest(settings, summary.published)
                return summary
            except (ModelError, NotEnoughMemory) as why:
                hooks.count_failure(why, stop, is_last=True)
                raise
            except Exception as error:
                failure = to_digitrec_error(error, settings.ledger)
                if not isinstance(failure, EnvironmentFailure):
                    raise
                heartbeat.set_failing(failure)
                # After a finished batch, this is a new failure.
                if failed_s is None or len(summary.batches) > batches_before:
                    failed_s, batches_before, pauses = time.monotonic(), len(summary.batches), iterate_backoff()
                    hooks.reset_failures()
                left_s = failed_s + settings.run_retry_s - time.monotonic()
                if is_first_use and not os.path.lexists(settings.inbox):  # it cannot be made: there is nothing to read
                    left_s = 0.0
                hooks.count_failure(failure, stop, is_last=left_s <= 0)
                if stop():
                    _write_latest_or_warn(settings, summary)
                    return summary
                if left_s <= 0:
                    composition.open_model(settings)  # exit code 78 of an unusable model comes before 74
                    raise failure from error
                pause_s = min(next(pauses), left_s)
                logs.warning("failed, trying again", why=failure, pause_s=round(pause_s, 1))
                stop.wake_event.wait(pause_s)
            finally:
                context.metrics_file.write(at_once=True)
                heartbeat.set_stopped()
    except Exception:
        _write_latest_or_warn(settings, summary)
        raise


def _write_latest(settings: Settings, batch_ids: Sequence[str]) -> None:
    """Replace latest.csv of the outbox, a folder or an object store, by the tables of these batches, if any."""
    if batch_ids and settings.outbox_url:
        from digitrec.pipeline import object_store

        object_store.publish_latest(settings.outbox_url, batch_ids)
    elif batch_ids:
        csv_tables.write_latest(settings.outbox, batch_ids)


def _write_latest_or_warn(settings: Settings, summary: RunSummary) -> None:
    """Write latest.csv at the end of a run that failed or was stopped; log a warning if that fails too."""
    try:
        _write_latest(settings, summary.published)
    except (EnvironmentFailure, OSError) as why:
        logs.warning("latest.csv cannot be written; the tables of the batches are complete", why=why)


@dataclass(slots=True)
class WatchState:
    """State of `watch`, for a display."""

    summary: RunSummary = field(default_factory=RunSummary)
    """Counts since the start, and files in the inbox at the last scan."""
    read: int = 0
    """Files read of unfinished batches."""
    expected: int = 0
    """All files of unfinished batches."""
    newest: str = ""
    """The batch published last."""
    failure: str = ""
    """Failure that is retried; empty if there is none."""


def show_nothing(_: WatchState) -> None:
    """Ignore a state."""


def watch(
    settings: Settings,
    stop: ShutdownSignal,
    source: watcher.ChangeSource | None = None,
    show: Callable[[WatchState], None] = show_nothing,
) -> None:
    """Read files as they arrive until stopped; retry with back-off when the environment or the model fails.

    Args:
        settings: name the workspace.
        stop: checked between any two steps.
        source: wakes the scanner; default: the one that the settings name.
        show: called after each scan, and several times a second while files are read.

    Raises:
        BusyError: another process holds this inbox and worker.
        EnvironmentFailure: the workspace does not exist, or there is not enough memory.
        UsageError: as `run_once`, or an object store is named.
        SettingsError: a hook is no command line.
    """
    if settings.source or settings.outbox_url:
        raise UsageError(
            "watch reads a folder, not an object store", hint="Let cron start `digitrec run --source URL`."
        )
    first_use.check_first_use(settings)
    threads.check_memory()
    source = source or composition.make_change_source(settings, stop)
    systemd = SystemdNotifier()
    heartbeat = HeartbeatWriter(settings, lambda: source.state, on_beat=systemd.notify_alive)

    def is_stopped() -> bool:
        systemd.notify_alive()
        return stop()

    state = WatchState()

    def publish(batch_id: str) -> None:
        _write_latest(settings, [batch_id])
        state.newest = batch_id

    def report_read(read: int, expected: int) -> None:
        state.read, state.expected = read, expected
        show(state)

    context = composition.make_worker_context(settings, stop, state.summary, heartbeat, publish, report_read)
    hooks, metrics_file = context.hooks, context.metrics_file
    pauses, has_failed = iterate_backoff(), False
    try:
        while not stop():
            try:
                with composition.open_service(context, thorough=has_failed) as service:
                    for is_well in _release_memory(service.serve(source), state.summary):
                        pauses, has_failed = iterate_backoff(), False
                        if is_well:
                            hooks.reset_failures()
                            state.failure = ""
                        report_read(0, 0)
                        systemd.notify_ready()
                        metrics_file.write()
            except Exception as error:
                failure = to_digitrec_error(error, settings.ledger)
                if not isinstance(failure, EnvironmentFailure | ModelError):
                    raise
                pause_s, has_failed = next(pauses), True
                heartbeat.set_failing(failure)
                logs.warning("failed, trying again", why=failure, pause_s=pause_s)
                state.failure = str(failure)
                report_read(0, 0)
                hooks.count_failure(failure, is_stopped)
                systemd.notify_ready()  # the service retries by itself: a restart by systemd would not help
                metrics_file.write(at_once=True)
                _wait_for_retry(stop, pause_s, is_stopped)
    finally:
        systemd.notify_stopping()
        source.stop()
        heartbeat.set_stopped()
        metrics_file.write(at_once=True)


def _release_memory(scans: Iterator[bool], summary: RunSummary) -> Iterator[bool]:
    """Pass on what a service yields; free the garbage of each batch, and return unused memory to the system.

    A report leaves thousands of objects in cycles of templates and JSON encoders, which Python would collect only
    after many batches: that takes 1 ms. glibc keeps the memory of freed pictures: to return it takes 5 ms, and the
    next batch takes up to 5 % longer, so it is done at the first quiet scan, and under load after `_TRIM_FILES` files.
    """
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    is_trimmed, trimmed_at = True, summary.count.claimed
    for is_well in scans:
        has_read = bool(summary.batches)
        if has_read:
            summary.batches.clear()  # nobody asks a service for all of them
            gc.collect(1)  # the oldest generation holds what was there before the batch
            is_trimmed = False
        is_due = not has_read or summary.count.claimed - trimmed_at >= _TRIM_FILES
        if trim is not None and is_due and not is_trimmed:
            trim(0)
            is_trimmed, trimmed_at = True, summary.count.claimed
        yield is_well


def iterate_backoff() -> Iterator[float]:
    """Return the pause before each next try, seconds."""
    return map(backoff_s, itertools.count(1))


def _wait_for_retry(stop: ShutdownSignal, pause_s: float, is_stopped: Callable[[], bool]) -> None:
    until_s = time.monotonic() + pause_s
    while not is_stopped() and (left_s := until_s - time.monotonic()) > 0:
        stop.wake_event.wait(min(left_s, _BEAT_INTERVAL_S))


def to_digitrec_error(error: Exception, ledger: Path) -> DigitrecError:
    """Return an exception as an error with a hint; log an unexpected one with its traceback.

    Args:
        error: the exception.
        ledger: path of the worker's ledger, for the message of a database error.
    """
    if isinstance(error, DigitrecError):
        return error
    if isinstance(error, OSError):
        return wrap_os_error(error)
    if isinstance(error, sqlite3.Error):
        return EnvironmentFailure(f"the ledger {ledger} failed: {error}")
    return wrap_memory_error(error) or UnexpectedFailure(logs.log_exception("unexpected error", error))
