"""Use cases `run` and `watch`: open the service, retry when the environment fails, stop on a signal."""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
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
from digitrec.monitoring.hooks import Hooks
from digitrec.monitoring.metrics import MetricsFile
from digitrec.pipeline import object_store, watcher
from digitrec.pipeline.watcher import WakeEvent
from digitrec.settings import Settings
from digitrec.types import backoff_s

_ALIVE_EVERY_S = 10.0
"""Time between two signs of life for the supervisor while nothing can be done, seconds."""


def run_once(
    settings: Settings, stop: ShutdownSignal | None = None, progress: Callable[[int, int], None] | None = None
) -> RunSummary:
    """Read everything now in the inbox.

    Args:
        settings: say where that is.
        stop: asked between any two steps.
        progress: told how many files are done, and how many there are.

    Raises:
        EnvironmentFailure: it failed for `run_retry_s`; the claims are kept.
        BusyError, ModelError, SettingsError: at once.
    """
    summary = RunSummary()
    try:
        _run(settings, summary, stop or ShutdownSignal(), progress)
    except Exception:
        _write_latest(settings, summary)
        raise
    return summary


def _run(
    settings: Settings, summary: RunSummary, stop: ShutdownSignal, progress: Callable[[int, int], None] | None
) -> None:
    """Read until all is done, a stop is asked for, or the environment failed for too long."""
    heart, hooks = HeartbeatWriter(settings), Hooks(settings)
    metrics_file, truth = MetricsFile(settings), composition.make_label_lookup(settings)
    failed_s, done, pauses = None, 0, iterate_backoff()
    while True:
        try:
            with composition.open_service(
                settings, stop, summary, heart, hooks, truth, summary.note, thorough=failed_s is not None
            ) as service:
                service.drain(progress)
            object_store.write_latest(settings, summary.published)
            return
        except (ModelError, NotEnoughMemory) as why:
            hooks.count_failure(why, stop, is_last=True)
            raise
        except Exception as error:
            failure = to_digitrec_error(error, settings.ledger)
            if not isinstance(failure, EnvironmentFailure):
                raise
            heart.set_failing(failure)
            if failed_s is None or len(summary.batches) > done:  # it has worked since: another failure
                failed_s, done, pauses = time.monotonic(), len(summary.batches), iterate_backoff()
                hooks.reset_failures()
            left_s = failed_s + settings.run_retry_s - time.monotonic()
            hooks.count_failure(failure, stop, is_last=left_s <= 0)
            if stop():
                _write_latest(settings, summary)
                return
            if left_s <= 0:
                raise failure from error
            pause_s = min(next(pauses), left_s)
            logs.warning("failed, trying again", why=failure, pause_s=round(pause_s, 1))
            stop.wake_event.wait(pause_s)
        finally:
            metrics_file.write(at_once=True)
            heart.set_stopped()


def _write_latest(settings: Settings, summary: RunSummary) -> None:
    """Write latest.csv at the end of a run that failed, if that is possible."""
    try:
        object_store.write_latest(settings, summary.published)
    except (EnvironmentFailure, OSError) as why:
        logs.warning("latest.csv cannot be written; the tables of the batches are complete", why=why)


def watch(settings: Settings, stop: ShutdownSignal, observer: watcher.ChangeSource | None = None) -> None:
    """Read whatever arrives until stopped; a failing environment or model is retried with back-off.

    Raises:
        BusyError: another process holds this inbox and worker.
        EnvironmentFailure: there is not enough memory.
        SettingsError: a hook is no command line.
    """
    if settings.source or settings.outbox_url:
        raise UsageError("watch looks at a folder, not at a store", hint="Let cron start `digitrec run --source URL`.")
    threads.check_memory()
    observer = observer or composition.make_change_source(settings, stop)
    supervisor = SystemdNotifier()
    heart = HeartbeatWriter(settings, lambda: observer.state, on_beat=supervisor.notify_alive)
    hooks, metrics_file = Hooks(settings), MetricsFile(settings)

    def stopped() -> bool:
        supervisor.notify_alive()
        return stop()

    def show(batch_id: str) -> None:
        object_store.write_latest(settings, [batch_id])

    pauses, truth = iterate_backoff(), composition.make_label_lookup(settings)
    failed = False
    try:
        while not stop():
            try:
                with composition.open_service(
                    settings, stop, RunSummary(), heart, hooks, truth, show, thorough=failed
                ) as service:
                    for is_well in service.serve(observer):
                        pauses, failed = iterate_backoff(), False
                        if is_well:
                            hooks.reset_failures()
                        supervisor.notify_ready()
                        metrics_file.write()
            except Exception as error:
                failure = to_digitrec_error(error, settings.ledger)
                if not isinstance(failure, EnvironmentFailure | ModelError):
                    raise
                pause_s = next(pauses)
                failed = True
                heart.set_failing(failure)
                logs.warning("failed, trying again", why=failure, pause_s=pause_s)
                hooks.count_failure(failure, stopped)
                supervisor.notify_ready()  # it goes on by itself: nothing that a supervisor could do better
                metrics_file.write(at_once=True)
                wait_for_retry(stop.wake_event, pause_s, stopped)
    finally:
        supervisor.notify_stopping()
        observer.stop()
        heart.set_stopped()
        metrics_file.write(at_once=True)


def iterate_backoff() -> Iterator[float]:
    """Return the pause before each next try, seconds."""
    return map(backoff_s, itertools.count(1))


def wait_for_retry(bell: WakeEvent, pause_s: float, stopped: Callable[[], bool]) -> None:
    """Wait for the next try; a stop ends the wait."""
    until_s = time.monotonic() + pause_s
    while not stopped() and (left_s := until_s - time.monotonic()) > 0:
        bell.wait(min(left_s, _ALIVE_EVERY_S))


def to_digitrec_error(why: Exception, ledger: Path) -> DigitrecError:
    """Return a failure as an error that a person can put right; an unexpected one is logged with its traceback.

    Args:
        why: what was raised.
        ledger: the one that is worked with.
    """
    if isinstance(why, DigitrecError):
        return why
    if isinstance(why, OSError):
        return wrap_os_error(why)
    if isinstance(why, sqlite3.Error):
        return EnvironmentFailure(f"the ledger {ledger} failed: {why}")
    return wrap_memory_error(why) or UnexpectedFailure(logs.log_exception("unexpected error", why))
