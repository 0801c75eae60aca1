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
from digitrec.app.service import RunSummary, Service, ShutdownSignal, WorkspacePort, time_stages
from digitrec.errors import EnvironmentFailure, UsageError, note_step, require_packages
from digitrec.images import threads
from digitrec.models.package import ModelPackage
from digitrec.models.registry import ModelRegistry
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.hooks import Hooks
from digitrec.pipeline import object_store, watcher, workspace
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.ledgers import readable
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.text import format_utc
from digitrec.types import FileSnapshot, OutputFormat

if TYPE_CHECKING:
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.executor import Executor
    from digitrec.recognition.classifier import DigitClassifier
    from digitrec.recognition.reader import PageReader
    from digitrec.storage.ledger import Ledger

SHIPPED_MODELS_DIR = Path(__file__).parents[1] / "models" / "shipped"


def _load_litert(bundle: ModelPackage) -> "DigitClassifier":
    from digitrec.recognition.classifier_litert import LiteRTDigitClassifier

    return LiteRTDigitClassifier.load(bundle)


def _make_serial(_: Settings) -> "Executor":
    from digitrec.pipeline.executor import SerialExecutor

    return SerialExecutor()


def _make_local(settings: Settings) -> "Executor":
    from digitrec.pipeline.executor import LocalExecutor

    return LocalExecutor(settings.threads, settings.read_timeout_s, has_workers=settings.engine == "processes")


def _make_dask(settings: Settings) -> "Executor":
    require_packages("--engine dask", "distributed")
    from digitrec.pipeline.dask_executor import DaskExecutor

    return DaskExecutor(
        settings.scheduler or "", settings.read_timeout_s, "" if settings.source else str(settings.inbox)
    )


CLASSIFIERS: "dict[str, Callable[[ModelPackage], DigitClassifier]]" = {"litert": _load_litert}
EXECUTORS: "dict[str, Callable[[Settings], Executor]]" = {
    "serial": _make_serial,
    "threads": _make_local,
    "dask": _make_dask,
}
EXECUTORS["processes"] = _make_local


def open_model(settings: Settings) -> ModelPackage:
    """The model in use: the one named, else the promoted one, else the shipped; checked."""
    store = open_model_registry(settings)
    return ModelPackage.open(store.find(settings.model) if settings.model else store.current())


def load_page_reader(bundle: ModelPackage) -> "PageReader":
    """What reads pages with a model: with the networks for paper, if it has any."""
    from digitrec.recognition.full_path import RecognitionModels
    from digitrec.recognition.reader import PageReader

    return PageReader(CLASSIFIERS["litert"](bundle), RecognitionModels.load(bundle) if bundle.has_page_models else None)


def open_model_registry(settings: Settings) -> ModelRegistry:
    """Where models lie."""
    return ModelRegistry(settings.models, SHIPPED_MODELS_DIR)


@contextmanager
def open_service(
    settings: Settings,
    stop: ShutdownSignal,
    summary: RunSummary,
    heart: HeartbeatWriter,
    hooks: Hooks,
    truth: Callable[[], LabelLookup],
    published: Callable[[str], None],
    *,
    thorough: bool,
) -> Iterator[Service]:
    """Open the workspace, take its lock and put one worker together."""
    is_folder = not settings.source and not settings.outbox_url
    space_opener = workspace.open_workspace(settings, thorough=thorough) if is_folder else object_store.opened(settings)
    with (
        note_step("looking at the inbox", settings.inbox),
        space_opener as space,
        readable(settings) as ledgers,
        ExitStack() as stack,
    ):
        bundle = open_model(settings)
        bundle.threshold(settings.max_error)  # a model that cannot be used is told before anything is claimed,
        truth()  # and so is a labels file
        others = [ledger for worker, ledger in ledgers.items() if worker != settings.worker]

        def stopped() -> bool:
            heart.set_reading(bundle.card.id)
            return stop()

        def reported(batch_id: str) -> None:
            summary.batches.append(batch_id)
            hooks.add_batch(batch_id)

        alone: list[FileSnapshot] = []

        @cache
        def pipeline() -> "BatchPipeline":
            made = _make_pipeline(settings, space, bundle, others, truth, published, reported, stopped, heart, alone)
            stack.callback(made.engine.close)
            return made

        def is_current() -> bool:
            return settings.model is not None or open_model_registry(settings).current() == bundle.folder

        stopped()
        yield Service(space, pipeline, stop, summary, heart, is_current, hooks, stopped, alone)


def _make_pipeline(
    settings: Settings,
    space: WorkspacePort,
    bundle: ModelPackage,
    others: "list[Ledger]",
    truth: Callable[[], LabelLookup],
    published: Callable[[str], None],
    reported: Callable[[str], None],
    stopped: Callable[[], bool],
    heart: HeartbeatWriter,
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
        reports.write_report(settings, space.ledger, batch_id)
        reported(batch_id)

    return BatchPipeline(
        inbox=space.inbox,
        ledger=space.ledger,
        outbox=space.outbox,
        engine=EXECUTORS[settings.engine](settings),
        child=WorkerProcess(settings.read_timeout_s, WorkerLimits.for_pages(settings.limits, settings.read_timeout_s)),
        read_chunk=partial(read_files.read_chunk, limits=settings.limits, reader=load_page_reader(bundle)),
        outcome_builder=OutcomeBuilder(space.ledger, threshold, settings.grace_s, time.time, others),
        load_labels=truth,
        rendering=lambda: make_output_format(settings, bundle, threshold, format_utc(time.time())),
        restore=lambda batch_id: rebuild.restore(space.ledger, batch_id, settings.outbox, settings.inbox),
        check_folders=space.check_folders,
        published=published,
        report=report,
        stopped=stopped,
        now_s=time.time,
        scanned_at_s=space.scanned_at_s,
        timed=time_stages(settings, heart.time_stage),
        noticed=heart.note_unexpected,
        alone=alone,
    )


def make_label_lookup(settings: Settings) -> Callable[[], LabelLookup]:
    """Return what looks labels up anew; it warns once, and a labels file that could be used once fails later."""
    told: set[str] = set()
    was_usable = False

    def truth() -> LabelLookup:
        nonlocal was_usable
        try:
            found = LabelLookup(
                settings.labels_folder, settings.labels, from_folders=settings.labels_from_folders, warned=told
            )
        except UsageError as why:
            if was_usable:
                raise EnvironmentFailure(str(why), hint=why.hint) from why
            raise
        was_usable = True
        return found

    return truth


def make_output_format(settings: Settings, bundle: ModelPackage, threshold: float, now: str) -> OutputFormat:
    """Return how the tables of a batch that is recorded now are written."""
    return OutputFormat(
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


def make_change_source(settings: Settings, stop: ShutdownSignal) -> watcher.ChangeSource:
    """Return the source of file system events that `watch_mode` names."""
    is_scan = settings.watch_mode == "scan"
    return watcher.NoChangeSource() if is_scan else watcher.WatchdogSource(settings.inbox, stop.wake_event)
