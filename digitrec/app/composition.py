"""Composition root: choose the implementations that the settings name and assemble readers, pipelines and services.

Modules that read pictures are imported on first use, because most runs of a scheduled job find an empty inbox.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, partial
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitrec import logs
from digitrec.app.service import RunSummary, Service, ShutdownSignal, WorkerContext, WorkspacePort, time_stages
from digitrec.errors import EnvironmentFailure, UsageError, note_step, require_packages
from digitrec.images import threads
from digitrec.models.calibration import AnswerKind
from digitrec.models.package import ModelPackage
from digitrec.models.registry import ModelRegistry
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.hooks import Hooks
from digitrec.monitoring.metrics import MetricsFile
from digitrec.pipeline import watcher, workspace
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.claims import FileSnapshot
from digitrec.text import format_utc
from digitrec.types import OutputFormat, Thresholds

if TYPE_CHECKING:
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.executor import Executor
    from digitrec.recognition.classifier import DigitClassifier
    from digitrec.recognition.reader import PageReader
    from digitrec.recognition.second_opinion import SecondOpinion, TextReader
    from digitrec.storage.ledger import Ledger

SHIPPED_MODELS_DIR = Path(__file__).parents[1] / "models" / "shipped"


def _load_litert(package: ModelPackage) -> "DigitClassifier":
    from digitrec.recognition.classifier_litert import LiteRTDigitClassifier

    return LiteRTDigitClassifier.load(package)


def _make_serial(_: Settings, **__: object) -> "Executor":
    from digitrec.pipeline.executor import SerialExecutor

    return SerialExecutor()


def _make_local(settings: Settings, **options: Any) -> "Executor":
    from digitrec.pipeline.executor import LocalExecutor

    has_workers = settings.engine == "processes"
    return LocalExecutor(settings.threads, settings.read_timeout_s, has_workers=has_workers, **options)


def _make_dask(settings: Settings, **_: object) -> "Executor":
    require_packages("--engine dask", "distributed")
    from digitrec.pipeline.dask_executor import DaskExecutor

    return DaskExecutor(
        settings.scheduler or "",
        settings.read_timeout_s,
        "" if settings.source else str(settings.inbox),
        asks_others=settings.second_opinion != "off",
    )


CLASSIFIERS: "dict[str, Callable[[ModelPackage], DigitClassifier]]" = {"litert": _load_litert}
EXECUTORS: "dict[str, Callable[..., Executor]]" = {
    "serial": _make_serial,
    "threads": _make_local,
    "processes": _make_local,
    "dask": _make_dask,
}

_OTHER_READER = "rapidocr"
"""The other reader, by the name of its package."""
_OTHER_READER_PACKAGES = (_OTHER_READER, "onnxruntime")
"""Import names of what it needs."""


def open_model(settings: Settings) -> ModelPackage:
    """Open and check the model that `settings.model` names; default: the promoted model, else the shipped one.

    Raises:
        ModelError: the model is missing or damaged.
    """
    registry = open_model_registry(settings)
    return ModelPackage.open(registry.find(settings.model) if settings.model else registry.current())


def load_page_reader(package: ModelPackage, settings: Settings | None = None) -> "PageReader":
    """Load the classifier of a model, and its page models if it has any.

    Args:
        package: the model.
        settings: name another reader to ask about answers in doubt; None: none is asked.
    """
    from digitrec.recognition.models import RecognitionModels
    from digitrec.recognition.reader import PageReader

    return PageReader(
        CLASSIFIERS["litert"](package),
        RecognitionModels.load(package) if package.has_page_models else None,
        None if settings is None else _make_second_opinion(settings, package),
    )


def get_answering_id(settings: Settings, package: ModelPackage) -> str:
    """Return the `model_id` of rows: the model's id, with the other reader that is asked, as `ID+rapidocr-3.10`."""
    other = find_other_reader(settings, package)
    return f"{package.card.id}+{other}" if other else package.card.id


def find_other_reader(settings: Settings, package: ModelPackage) -> str:
    """Return name and version of the other reader that is asked about answers in doubt; "" if none is.

    None is asked if it was not calibrated with this model, in this version and for `max_error`.

    Raises:
        MissingPackage: the settings name a reader that is not installed.
    """
    calibration, choice = package.card.second_opinion, settings.second_opinion
    if choice == "off":
        return ""
    if choice != "auto":
        require_packages(f"second_opinion = {choice}", *_OTHER_READER_PACKAGES)
    if calibration is None or calibration.reader != find_installed_reader():
        return ""
    return calibration.reader if package.agreement_points(settings.max_error) else ""


def find_installed_reader() -> str:
    """Return the other reader with the first two parts of its version, `rapidocr-3.10`; "" if it is not installed."""
    if not all(map(util.find_spec, _OTHER_READER_PACKAGES)):
        return ""
    from importlib import metadata  # takes a tenth of the start of a run

    return f"{_OTHER_READER}-{'.'.join(metadata.version(_OTHER_READER).split('.')[:2])}"


def make_text_reader(*, is_patient: bool = False) -> "TextReader":
    """Return the other reader; `is_patient` waits for its answers (calibration)."""
    from digitrec.recognition.rapidocr_process import PARAMS, PATIENT, RapidOcr

    return RapidOcr(params=PATIENT if is_patient else PARAMS)


def _make_second_opinion(settings: Settings, package: ModelPackage) -> "SecondOpinion | None":
    """Return the other reader with the operating points of its agreement; log a warning if it is named in vain."""
    name, calibration = find_other_reader(settings, package), package.card.second_opinion
    if not name or calibration is None:
        if settings.second_opinion == _OTHER_READER:
            logs.warning("no second opinion is asked", why=f"{package.card.id} is not calibrated with it")
        return None
    from digitrec.recognition.second_opinion import AskRule, SecondOpinion

    thresholds = package.thresholds(settings.max_error)
    own = {AnswerKind.DIGITS: thresholds.digit, AnswerKind.NUMBERS: thresholds.number}
    rules = {
        kind: AskRule(own[kind], point.threshold, model)
        for kind, point in package.agreement_points(settings.max_error).items()
        if (model := calibration.model(kind)) is not None
    }
    return SecondOpinion(name, make_text_reader(), rules)


def choose_thresholds(settings: Settings, package: ModelPackage) -> Thresholds:
    """Return the thresholds of a model for `settings.max_error`; log a warning if some pages always need review."""
    if limit := package.describe_limit(settings.max_error):
        logs.warning(f"answers are not accepted: {limit}")
    return package.thresholds(settings.max_error)


def open_model_registry(settings: Settings) -> ModelRegistry:
    """Return the registry of the workspace's models and the shipped ones."""
    return ModelRegistry(settings.models, SHIPPED_MODELS_DIR)


def make_worker_context(
    settings: Settings,
    stop: ShutdownSignal,
    summary: RunSummary,
    heartbeat: HeartbeatWriter,
    on_published: Callable[[str], None],
    on_read: Callable[[int, int], None],
) -> WorkerContext:
    """Return a context with the hooks, metrics file and labels that the settings name."""
    chosen = (Hooks(settings), MetricsFile(settings), make_label_lookup(settings))
    return WorkerContext(settings, stop, summary, heartbeat, *chosen, on_published, on_read)


@contextmanager
def open_service(context: WorkerContext, *, thorough: bool) -> Iterator[Service]:
    """Lock the workspace of a worker, open its ledger and model, and return the service that reads its files.

    `thorough` checks the folders of the workspace completely, as after a failure.
    """
    settings = context.settings
    is_folder = not settings.source and not settings.outbox_url
    open_space: AbstractContextManager[WorkspacePort]
    if is_folder:
        open_space = workspace.open_workspace(settings, thorough=thorough)
    else:
        from digitrec.pipeline import object_store

        open_space = object_store.open_object_store(settings)
    with (
        note_step("scanning the inbox", settings.inbox),
        open_space as space,
        open_ledgers(settings, skip_unreadable=True) as ledgers,
        ExitStack() as stack,
    ):
        # An unusable model or labels file is reported before any file is claimed.
        package = open_model(settings)
        model_id = get_answering_id(settings, package)
        context.load_labels()
        other_ledgers = [ledger for worker, ledger in ledgers.items() if worker != settings.worker]
        claim_alone: list[FileSnapshot] = []

        def beat_and_check_stop() -> bool:
            context.heartbeat.set_reading(model_id)
            return context.stop()

        def is_current() -> bool:
            return settings.model is not None or open_model_registry(settings).current() == package.folder

        beat_and_check_stop()
        get_pipeline = cache(
            partial(_build_pipeline, context, space, package, other_ledgers, claim_alone, beat_and_check_stop, stack)
        )
        yield Service(context, space, get_pipeline, is_current, beat_and_check_stop, claim_alone)


def _build_pipeline(
    context: WorkerContext,
    space: WorkspacePort,
    package: ModelPackage,
    other_ledgers: "list[Ledger]",
    claim_alone: list[FileSnapshot],
    beat_and_check_stop: Callable[[], bool],
    stack: ExitStack,
) -> "BatchPipeline":
    """Return the pipeline of a worker; `stack` closes its executor."""
    # Before numpy and OpenCV start their own threads: the executor distributes the cores.
    threads.import_opencv()
    from digitrec.app import reports
    from digitrec.pipeline import batch_reader
    from digitrec.pipeline.batch import BatchPipeline
    from digitrec.pipeline.claiming import Claimer
    from digitrec.pipeline.outcomes import OutcomeBuilder
    from digitrec.pipeline.worker_main import WorkerLimits
    from digitrec.pipeline.worker_process import WorkerProcess

    settings, heartbeat, ledger = context.settings, context.heartbeat, space.ledger
    thresholds = choose_thresholds(settings, package)

    def write_report(batch_id: str) -> None:
        reports.report_batch(settings, ledger, batch_id)
        context.summary.batches.append(batch_id)
        context.summary.numbers += ledger.count_numbers(batch_id)
        context.hooks.add_batch(batch_id)

    def restore_batch(batch_id: str) -> bool:
        from digitrec.pipeline import rebuild

        return rebuild.restore_batch(ledger, batch_id, settings.outbox, settings.inbox)

    executor = EXECUTORS[settings.engine](settings, on_read=context.on_read)
    stack.callback(executor.close)
    worker_limits = WorkerLimits.for_pages(settings.limits, settings.read_timeout_s)
    reader = batch_reader.BatchReader(
        executor=executor,
        limited_worker=WorkerProcess(settings.read_timeout_s, worker_limits),
        read=batch_reader.GuardedReader(settings.limits, load_page_reader(package, settings)),
        locate=space.inbox.location,
        is_stopped=beat_and_check_stop,
    )
    outcome_builder = OutcomeBuilder(ledger, thresholds, settings.grace_s, time.time, other_ledgers)
    claimer = Claimer(space.inbox, ledger, outcome_builder, time.time, space.scanned_at_s, heartbeat.note_unexpected)
    return BatchPipeline(
        inbox=space.inbox,
        ledger=ledger,
        outbox=space.outbox,
        claimer=claimer,
        reader=reader,
        suspects=batch_reader.SuspectFiles(ledger),
        outcome_builder=outcome_builder,
        load_labels=context.load_labels,
        make_output_format=lambda: make_output_format(settings, package, thresholds, format_utc(time.time())),
        restore_batch=restore_batch,
        check_folders=space.check_folders,
        on_published=context.on_published,
        write_report=write_report,
        is_stopped=beat_and_check_stop,
        time_stage=time_stages(settings, heartbeat.time_stage),
        note_unexpected=heartbeat.note_unexpected,
        claim_alone=claim_alone,
    )


def make_label_lookup(settings: Settings) -> Callable[[], LabelLookup]:
    """Return a function that loads the labels again and warns of each problem once.

    A labels file that was usable before and is not now counts as a failure of the environment.
    """
    warned: set[str] = set()
    was_usable = False

    def load_labels() -> LabelLookup:
        nonlocal was_usable
        try:
            labels = LabelLookup(
                settings.labels_folder, settings.labels, from_folders=settings.labels_from_folders, warned=warned
            )
        except UsageError as why:
            if was_usable:
                raise EnvironmentFailure(str(why), hint=why.hint) from why
            raise
        was_usable = True
        return labels

    return load_labels


def make_output_format(settings: Settings, package: ModelPackage, thresholds: Thresholds, now: str) -> OutputFormat:
    """Return the output format of a batch that is recorded now."""
    model_id = get_answering_id(settings, package)
    return csv_tables.current_format(settings.csv_profile, model_id, now, thresholds, settings.max_error)


def make_change_source(settings: Settings, stop: ShutdownSignal) -> watcher.ChangeSource:
    """Return the source of file system events that `watch_mode` names."""
    is_scan = settings.watch_mode == "scan"
    return watcher.NoChangeSource() if is_scan else watcher.WatchdogSource(settings.inbox, stop.wake_event)
