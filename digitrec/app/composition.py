"""Picks the implementations by name and puts them together: one run, a watch, a prediction.

What reads pictures is imported when there is one to read: most runs of a scheduled job find an empty inbox.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import digitrec
from digitrec import logs
from digitrec.app import retrying
from digitrec.app.service import Service, Space, Stop, Summary, timed_steps
from digitrec.errors import EnvironmentFailure, ModelError, NotEnoughMemory, UsageError, at_step, require_packages
from digitrec.images import threads
from digitrec.models.package import Bundle
from digitrec.models.registry import ModelStore
from digitrec.monitoring.heartbeat import Heart, Supervisor
from digitrec.monitoring.hooks import Hooks
from digitrec.monitoring.metrics import MetricsFile
from digitrec.pipeline import object_store, watcher, workspace
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.ledgers import readable
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.text import utc
from digitrec.types import FileSnapshot, Rendering

if TYPE_CHECKING:
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.executor import Executor
    from digitrec.recognition.classifier import DigitClassifier
    from digitrec.recognition.reader import PageReader
    from digitrec.storage.ledger import Ledger

SHIPPED = Path(__file__).parents[1] / "models" / "shipped"


def _litert(bundle: Bundle) -> "DigitClassifier":
    from digitrec.recognition.classifier_litert import LiteRTDigitClassifier

    return LiteRTDigitClassifier.load(bundle)


def _serial(_: Settings) -> "Executor":
    from digitrec.pipeline.executor import SerialExecutor

    return SerialExecutor()


def _threads(settings: Settings) -> "Executor":
    from digitrec.pipeline.executor import LocalExecutor

    return LocalExecutor(settings.threads, settings.read_timeout_s, has_workers=settings.engine == "processes")


def _dask(settings: Settings) -> "Executor":
    require_packages("--engine dask", "distributed")
    from digitrec.pipeline.dask_executor import DaskExecutor

    return DaskExecutor(
        settings.scheduler or "", settings.read_timeout_s, "" if settings.source else str(settings.inbox)
    )


CLASSIFIERS: "dict[str, Callable[[Bundle], DigitClassifier]]" = {"litert": _litert}
ENGINES: "dict[str, Callable[[Settings], Executor]]" = {"serial": _serial, "threads": _threads, "dask": _dask}
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
    summary = Summary()
    try:
        _run(settings, summary, stop or Stop(), progress)
    except Exception:
        _write_latest(settings, summary)
        raise
    return summary


def _run(settings: Settings, summary: Summary, stop: Stop, progress: Callable[[int, int], None] | None) -> None:
    """Read until all is done, a stop is asked for, or the environment failed for too long."""
    heart, hooks = Heart(settings), Hooks(settings)
    metrics_file, truth = MetricsFile(settings), _truth_of(settings)
    failed_s, done, pauses = None, 0, retrying.pauses()
    while True:
        try:
            with _service(
                settings, stop, summary, heart, hooks, truth, summary.note, thorough=failed_s is not None
            ) as service:
                service.read_what_is_there(progress)
            object_store.write_latest(settings, summary.published)
            return
        except (ModelError, NotEnoughMemory) as why:
            hooks.failed(why, stop, is_last=True)
            raise
        except Exception as error:
            failure = retrying.failure_from(error, settings.ledger)
            if not isinstance(failure, EnvironmentFailure):
                raise
            heart.failed(failure)
            if failed_s is None or len(summary.batches) > done:  # it has worked since: another failure
                failed_s, done, pauses = time.monotonic(), len(summary.batches), retrying.pauses()
                hooks.worked()
            left_s = failed_s + settings.run_retry_s - time.monotonic()
            hooks.failed(failure, stop, is_last=left_s <= 0)
            if stop():
                _write_latest(settings, summary)
                return
            if left_s <= 0:
                raise failure from error
            pause_s = min(next(pauses), left_s)
            logs.warn("failed, trying again", why=failure, pause_s=round(pause_s, 1))
            stop.bell.wait(pause_s)
        finally:
            metrics_file.write(at_once=True)
            heart.stopped()


def _write_latest(settings: Settings, summary: Summary) -> None:
    """Write latest.csv at the end of a run that failed, if that is possible."""
    try:
        object_store.write_latest(settings, summary.published)
    except (EnvironmentFailure, OSError) as why:
        logs.warn("latest.csv cannot be written; the tables of the batches are complete", why=why)


def watch(settings: Settings, stop: Stop, observer: watcher.ChangeSource | None = None) -> None:
    """Read whatever arrives until stopped; a failing environment or model is retried with back-off.

    Raises:
        BusyError: another process holds this inbox and worker.
        EnvironmentFailure: there is not enough memory.
        SettingsError: a hook is no command line.
    """
    if settings.source or settings.outbox_url:
        raise UsageError("watch looks at a folder, not at a store", hint="Let cron start `digitrec run --source URL`.")
    threads.check_memory()
    observer = observer or _observer(settings, stop)
    supervisor = Supervisor()
    heart = Heart(settings, lambda: observer.state, pulse=supervisor.alive)
    hooks, metrics_file = Hooks(settings), MetricsFile(settings)

    def stopped() -> bool:
        supervisor.alive()
        return stop()

    def show(batch_id: str) -> None:
        object_store.write_latest(settings, [batch_id])

    pauses, truth = retrying.pauses(), _truth_of(settings)
    failed = False
    try:
        while not stop():
            try:
                with _service(settings, stop, Summary(), heart, hooks, truth, show, thorough=failed) as service:
                    for is_well in service.read_what_comes(observer):
                        pauses, failed = retrying.pauses(), False
                        if is_well:
                            hooks.worked()
                        supervisor.ready()
                        metrics_file.write()
            except Exception as error:
                failure = retrying.failure_from(error, settings.ledger)
                if not isinstance(failure, EnvironmentFailure | ModelError):
                    raise
                pause_s = next(pauses)
                failed = True
                heart.failed(failure)
                logs.warn("failed, trying again", why=failure, pause_s=pause_s)
                hooks.failed(failure, stopped)
                supervisor.ready()  # it goes on by itself: nothing that a supervisor could do better
                metrics_file.write(at_once=True)
                retrying.wait(stop.bell, pause_s, stopped)
    finally:
        supervisor.stopping()
        observer.stop()
        heart.stopped()
        metrics_file.write(at_once=True)


def bundle_of(settings: Settings) -> Bundle:
    """The model in use: the one named, else the promoted one, else the shipped; checked."""
    store = model_store(settings)
    return Bundle.open(store.find(settings.model) if settings.model else store.current())


def page_reader(bundle: Bundle) -> "PageReader":
    """What reads pages with a model: with the networks for paper, if it has any."""
    from digitrec.recognition.full_path import RecognitionModels
    from digitrec.recognition.reader import PageReader

    return PageReader(CLASSIFIERS["litert"](bundle), RecognitionModels.load(bundle) if bundle.has_page_models else None)


def model_store(settings: Settings) -> ModelStore:
    """Where models lie."""
    return ModelStore(settings.models, SHIPPED)


@contextmanager
def _service(
    settings: Settings,
    stop: Stop,
    summary: Summary,
    heart: Heart,
    hooks: Hooks,
    truth: Callable[[], LabelLookup],
    published: Callable[[str], None],
    *,
    thorough: bool,
) -> Iterator[Service]:
    is_folder = not settings.source and not settings.outbox_url
    space_opener = workspace.open_workspace(settings, thorough=thorough) if is_folder else object_store.opened(settings)
    with (
        at_step("looking at the inbox", settings.inbox),
        space_opener as space,
        readable(settings) as ledgers,
        ExitStack() as stack,
    ):
        bundle = bundle_of(settings)
        bundle.threshold(settings.max_error)  # a model that cannot be used is told before anything is claimed,
        truth()  # and so is a labels file
        others = [ledger for worker, ledger in ledgers.items() if worker != settings.worker]

        def stopped() -> bool:
            heart.works(bundle.card.id)
            return stop()

        def reported(batch_id: str) -> None:
            summary.batches.append(batch_id)
            hooks.reported(batch_id)

        alone: list[FileSnapshot] = []

        @cache
        def pipeline() -> "BatchPipeline":
            made = _pipeline(settings, space, bundle, others, truth, published, reported, stopped, heart, alone)
            stack.callback(made.engine.close)
            return made

        def is_current() -> bool:
            return settings.model is not None or model_store(settings).current() == bundle.folder

        stopped()
        yield Service(space, pipeline, stop, summary, heart, is_current, hooks, stopped, alone)


def _pipeline(
    settings: Settings,
    space: Space,
    bundle: Bundle,
    others: "list[Ledger]",
    truth: Callable[[], LabelLookup],
    published: Callable[[str], None],
    reported: Callable[[str], None],
    stopped: Callable[[], bool],
    heart: Heart,
    alone: list[FileSnapshot],
) -> "BatchPipeline":
    threads.import_opencv()  # the engine shares out the cores; threads of numpy and OpenCV would fight its own
    from digitrec.app import reports
    from digitrec.pipeline import read_files, rebuild
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.outcomes import OutcomeBuilder
    from digitrec.pipeline.worker_main import WorkerLimits
    from digitrec.pipeline.worker_process import WorkerProcess

    threshold = bundle.threshold(settings.max_error)

    def report(batch_id: str) -> None:
        reports.write(settings, space.ledger, batch_id)
        reported(batch_id)

    return BatchPipeline(
        inbox=space.inbox,
        ledger=space.ledger,
        outbox=space.outbox,
        engine=ENGINES[settings.engine](settings),
        child=WorkerProcess(settings.read_timeout_s, WorkerLimits.for_pages(settings.limits, settings.read_timeout_s)),
        read_chunk=partial(read_files.read_chunk, limits=settings.limits, reader=page_reader(bundle)),
        outcome_builder=OutcomeBuilder(space.ledger, threshold, settings.grace_s, time.time, others),
        load_labels=truth,
        rendering=lambda: rendering(settings, bundle, threshold, utc(time.time())),
        restore=lambda batch_id: rebuild.restore(space.ledger, batch_id, settings.outbox, settings.inbox),
        check_folders=space.check_folders,
        published=published,
        report=report,
        stopped=stopped,
        now_s=time.time,
        scanned_at_s=space.scanned_at_s,
        timed=timed_steps(settings, heart.timed),
        noticed=heart.noticed,
        alone=alone,
    )


def _truth_of(settings: Settings) -> Callable[[], LabelLookup]:
    """Return what looks labels up anew; it warns once, and a labels file that could be used once fails later."""
    told: set[str] = set()
    was_usable = False

    def truth() -> LabelLookup:
        nonlocal was_usable
        try:
            found = LabelLookup(
                settings.truth_folder, settings.labels, from_folders=settings.labels_from_folders, warned=told
            )
        except UsageError as why:
            if was_usable:
                raise EnvironmentFailure(str(why), hint=why.hint) from why
            raise
        was_usable = True
        return found

    return truth


def rendering(settings: Settings, bundle: Bundle, threshold: float, now: str) -> Rendering:
    """Return how the tables of a batch that is recorded now are written."""
    return Rendering(
        columns=csv_tables.COLUMNS,
        digit_columns=csv_tables.DIGIT_COLUMNS,
        schema_version=csv_tables.SCHEMA_VERSION,
        csv_profile=settings.csv_profile,
        model_id=bundle.card.id,
        app_version=digitrec.__version__,
        processed_at=now,
        threshold=threshold,
        max_error=settings.max_error,
    )


def _observer(settings: Settings, stop: Stop) -> watcher.ChangeSource:
    is_scan = settings.watch_mode == "scan"
    return watcher.NoChangeSource() if is_scan else watcher.WatchdogSource(settings.inbox, stop.bell)
