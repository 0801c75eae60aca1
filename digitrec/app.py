"""Picks the implementations by name and puts them together: one run, a watch, a prediction.

What reads pictures is imported when there is one to read: most runs of a scheduled job find an empty inbox.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import digitrec
from digitrec import logs, one_thread, results, stores
from digitrec.classifiers.bundle import Bundle
from digitrec.classifiers.store import ModelStore
from digitrec.clock import utc
from digitrec.errors import DigitrecError, EnvironmentFailure, ModelError, UsageError, failure_of
from digitrec.extras import needs
from digitrec.intake import observing
from digitrec.intake.truth import Truth
from digitrec.operations import metrics_places
from digitrec.operations.heartbeat import Heart
from digitrec.operations.hooks import Hooks
from digitrec.operations.ledgers import readable
from digitrec.operations.supervisor import Supervisor
from digitrec.records import Rendering, Row
from digitrec.service import Service, Space, Stop, Summary
from digitrec.settings import Settings

if TYPE_CHECKING:
    from digitrec.classifiers.base import Classifier
    from digitrec.engines import Engine
    from digitrec.ledger import Ledger
    from digitrec.pipeline import Pipeline
    from digitrec.recognition.page_reader import PageReader

SHIPPED = Path(__file__).with_name("models") / "default"
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_ALIVE_EVERY_S = 10.0
"""A sign of life for the supervisor while nothing can be done."""
_FAILURES = (EnvironmentFailure, OSError, sqlite3.Error)


def _litert(bundle: Bundle) -> "Classifier":
    from digitrec.classifiers.litert import LiteRTClassifier

    return LiteRTClassifier.load(bundle)


def _serial(_: Settings) -> "Engine":
    from digitrec.engines import Serial

    return Serial()


def _threads(settings: Settings) -> "Engine":
    from digitrec.engines import Threads

    return Threads(settings.threads, settings.read_timeout_s, has_children=settings.engine == "processes")


def _dask(settings: Settings) -> "Engine":
    needs("--engine dask", "distributed")
    from digitrec.cluster.engine import Dask

    return Dask(settings.scheduler or "", settings.read_timeout_s, "" if settings.source else str(settings.inbox))


CLASSIFIERS: "dict[str, Callable[[Bundle], Classifier]]" = {"litert": _litert}
ENGINES: "dict[str, Callable[[Settings], Engine]]" = {"serial": _serial, "threads": _threads, "dask": _dask}
ENGINES["processes"] = _threads


def run_once(
    settings: Settings, stop: Stop | None = None, progress: Callable[[int, int], None] | None = None
) -> Summary:
    """Read everything now in the inbox.

    Args:
        settings: say where that is.
        stop: asked between any two steps.
        progress: told how many files are done, and how many there are.

    Raises:
        EnvironmentFailure: it failed for `run_retry_s`; the claims are kept.
        BusyError, ModelError, SettingsError: at once.
    """
    stop = stop or Stop()
    summary, heart, hooks = Summary(), Heart(settings), Hooks(settings)
    metrics_file = metrics_places.MetricsFile(settings)
    failed_s, done, pauses = None, 0, _pauses()
    while True:
        try:
            with _service(settings, stop, summary, heart, hooks, thorough=failed_s is not None) as service:
                service.read_what_is_there(progress)
            return summary
        except ModelError as why:
            hooks.failed(why, stop, is_last=True)
            raise
        except _FAILURES as why:
            heart.failed(_told(why))
            if failed_s is None or len(summary.batches) > done:  # it has worked since: another failure
                failed_s, done, pauses = time.monotonic(), len(summary.batches), _pauses()
                hooks.worked()
            left_s = failed_s + settings.run_retry_s - time.monotonic()
            hooks.failed(_told(why), stop, is_last=left_s <= 0)
            if stop():
                return summary
            if left_s <= 0:
                raise _told(why) from why
            pause_s = min(next(pauses), left_s)
            logs.warn("failed, trying again", why=why, pause_s=round(pause_s, 1))
            stop.bell.wait(pause_s)
        finally:
            metrics_file.write(at_once=True)
            heart.stopped()


def watch(settings: Settings, stop: Stop, observer: observing.Observer | None = None) -> None:
    """Read whatever arrives until stopped; a failing environment or model is retried with back-off.

    Raises:
        BusyError: another process holds this inbox and worker.
        EnvironmentFailure: something else has `metrics_port`.
        SettingsError: a hook is neither a command line nor an address.
    """
    if settings.source or settings.outbox_url:
        raise UsageError("watch looks at a folder, not at a store", hint="Let cron start `digitrec run --source URL`.")
    observer = observer or _observer(settings, stop)
    supervisor = Supervisor()
    heart = Heart(settings, lambda: observer.state, pulse=supervisor.alive)
    hooks, metrics_file = Hooks(settings), metrics_places.MetricsFile(settings)

    def stopped() -> bool:
        supervisor.alive()
        return stop()

    pauses = _pauses()
    failed = False
    try:
        with metrics_places.shown(settings):
            while not stop():
                try:
                    with _service(settings, stop, Summary(), heart, hooks, thorough=failed) as service:
                        for _ in service.read_what_comes(observer):
                            pauses, failed = _pauses(), False
                            hooks.worked()
                            supervisor.ready()
                            metrics_file.write()
                except (*_FAILURES, ModelError) as why:
                    pause_s = next(pauses)
                    failed = True
                    heart.failed(_told(why))
                    logs.warn("failed, trying again", why=_told(why), pause_s=pause_s)
                    hooks.failed(_told(why), stopped)
                    supervisor.ready()  # it goes on by itself: nothing that a supervisor could do better
                    metrics_file.write(at_once=True)
                    _wait(stop.bell, pause_s, stopped)
    finally:
        supervisor.stopping()
        observer.stop()
        heart.stopped()
        metrics_file.write(at_once=True)


@dataclass(frozen=True, slots=True)
class Predicted:
    """What `predict` read."""

    rows: list[Row]
    rendering: Rendering
    unread: list[str]
    """Why a path could not be read, a sentence each."""


def predict(settings: Settings, paths: Sequence[Path]) -> Predicted:
    """Read these files now, touching no folder.

    Raises:
        ModelError: there is no usable model.
    """
    from digitrec import reading

    bundle = bundle_of(settings)
    reader = page_reader(bundle)
    threshold = bundle.threshold(settings.max_error)
    now = utc(time.time())
    rows: list[Row] = []
    unread: list[str] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as why:
            unread.append(f"{path} cannot be read: {why.strerror}")
            continue
        content = reading.interpret(data, settings.limits, reader)
        for one in reading.readings_of([content], threshold)[0]:
            rows.append(Row("", len(rows) + 1, str(path), content.sha256, len(data), now, "", "", one))
    return Predicted(rows, _rendering(settings, bundle, threshold, now), unread)


def bundle_of(settings: Settings) -> Bundle:
    """The model in use: the one named, else the promoted one, else the shipped; checked."""
    store = model_store(settings)
    return Bundle.open(store.find(settings.model) if settings.model else store.current())


def page_reader(bundle: Bundle) -> "PageReader":
    """What reads pages with a model: with the networks for paper, if it has any."""
    from digitrec.recognition.page_reader import PageReader
    from digitrec.recognition.second_look import Networks

    return PageReader(CLASSIFIERS["litert"](bundle), Networks.load(bundle) if bundle.reads_paper else None)


def model_store(settings: Settings) -> ModelStore:
    """Where models lie."""
    return ModelStore(settings.models, SHIPPED)


@contextmanager
def _service(
    settings: Settings, stop: Stop, summary: Summary, heart: Heart, hooks: Hooks, *, thorough: bool
) -> Iterator[Service]:
    with (
        stores.folders_or_stores(settings, thorough=thorough) as space,
        readable(settings) as ledgers,
        ExitStack() as stack,
    ):
        bundle = bundle_of(settings)
        bundle.threshold(settings.max_error)  # a model that cannot be used is told before anything is claimed,
        _truth(settings)  # and so is a labels file
        others = [ledger for worker, ledger in ledgers.items() if worker != settings.worker]

        def stopped() -> bool:
            heart.works(bundle.card.id)
            return stop()

        def reported(batch_id: str) -> None:
            summary.batches.append(batch_id)
            hooks.reported(batch_id)

        @cache
        def pipeline() -> "Pipeline":
            made = _pipeline(settings, space, bundle, others, reported, stopped, heart)
            stack.callback(made.engine.close)
            return made

        def is_current() -> bool:
            return settings.model is not None or model_store(settings).current() == bundle.folder

        stopped()
        yield Service(space, pipeline, stop, summary, heart, is_current, hooks, stopped)


def _pipeline(
    settings: Settings,
    space: Space,
    bundle: Bundle,
    others: "list[Ledger]",
    reported: Callable[[str], None],
    stopped: Callable[[], bool],
    heart: Heart,
) -> "Pipeline":
    one_thread.load()  # the engine shares out the cores; threads of numpy and OpenCV would fight its own
    from digitrec import batch_reports, reading
    from digitrec.answering import Answering
    from digitrec.child import Child
    from digitrec.operations import rebuild
    from digitrec.pipeline import Pipeline

    threshold = bundle.threshold(settings.max_error)

    def truth() -> Truth:
        try:
            return _truth(settings)
        except UsageError as why:  # it could be used at the start
            raise EnvironmentFailure(str(why), hint=why.hint) from why

    def report(batch_id: str) -> None:
        batch_reports.write(settings, space.ledger, batch_id)
        reported(batch_id)

    return Pipeline(
        inbox=space.inbox,
        ledger=space.ledger,
        outbox=space.outbox,
        engine=ENGINES[settings.engine](settings),
        child=Child(settings.read_timeout_s),
        read_chunk=partial(reading.read_chunk, limits=settings.limits, reader=page_reader(bundle)),
        answering=Answering(space.ledger, threshold, settings.grace_s, time.time, others),
        truth=truth,
        rendering=lambda: _rendering(settings, bundle, threshold, utc(time.time())),
        restore=lambda batch_id: rebuild.restore(space.ledger, batch_id, settings.outbox, settings.inbox),
        check_folders=space.check_folders,
        report=report,
        stopped=stopped,
        now_s=time.time,
        timed=heart.timed,
    )


def _truth(settings: Settings) -> Truth:
    return Truth(settings.truth_folder, settings.labels, from_folders=settings.labels_from_folders)


def _rendering(settings: Settings, bundle: Bundle, threshold: float, now: str) -> Rendering:
    return Rendering(
        columns=results.COLUMNS,
        digit_columns=results.DIGIT_COLUMNS,
        schema_version=results.SCHEMA_VERSION,
        csv_profile=settings.csv_profile,
        model_id=bundle.card.id,
        app_version=digitrec.__version__,
        processed_at=now,
        threshold=threshold,
        max_error=settings.max_error,
    )


def _observer(settings: Settings, stop: Stop) -> observing.Observer:
    if settings.watch_mode == "scan":
        return observing.NoObserver()
    return observing.FolderObserver(settings.inbox, stop.bell)


def _pauses() -> Iterator[float]:
    pause_s = _SHORTEST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _wait(bell: observing.Bell, pause_s: float, stopped: Callable[[], bool]) -> None:
    until_s = time.monotonic() + pause_s
    while not stopped() and (left_s := until_s - time.monotonic()) > 0:
        bell.wait(min(left_s, _ALIVE_EVERY_S))


def _told(why: Exception) -> DigitrecError:
    if isinstance(why, DigitrecError):
        return why
    return failure_of(why) if isinstance(why, OSError) else EnvironmentFailure(f"the ledger failed: {why}")
