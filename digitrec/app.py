"""Picks the implementations by name and puts them together: one run, a watch, a prediction."""

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import digitrec
from digitrec import batch_reports, logs, mounts, reading, results, workspace
from digitrec.answering import Answering
from digitrec.classifiers.base import Classifier
from digitrec.classifiers.bundle import Bundle
from digitrec.classifiers.litert import LiteRTClassifier
from digitrec.classifiers.store import ModelStore
from digitrec.clock import utc
from digitrec.engines import Child, Engine, Serial, Threads
from digitrec.errors import DigitrecError, EnvironmentFailure, ModelError
from digitrec.intake import observing, scan, watching
from digitrec.intake.scan import Seen
from digitrec.intake.settling import Settling
from digitrec.intake.truth import Truth
from digitrec.operations import rebuild
from digitrec.operations.heartbeat import Heart
from digitrec.pipeline import Pipeline
from digitrec.records import Count, Rendering, Row
from digitrec.settings import Settings

SHIPPED = Path(__file__).with_name("models") / "default"
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_FAILURES = (EnvironmentFailure, OSError, sqlite3.Error)

CLASSIFIERS: dict[str, Callable[[Bundle], Classifier]] = {"litert": LiteRTClassifier.load}
ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "serial": lambda _: Serial(),
    "threads": lambda settings: Threads(settings.threads, settings.read_timeout_s),
}


class Stop:
    """Asked by whoever may have to stop; set by SIGTERM, SIGINT or a caller."""

    def __init__(self) -> None:
        self.bell = observing.Bell()
        self.signal = 0

    def __call__(self) -> bool:
        """True once the work should end."""
        return self.signal != 0

    def set(self, number: int = signal.SIGTERM) -> None:
        """Ask for the end of the work."""
        self.signal = number
        self.bell.ring()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Finish in order on the first SIGINT or SIGTERM; the second SIGINT ends at once."""

        def handle(number: int, _: FrameType | None) -> None:
            self.set(number)
            if number == signal.SIGINT:
                signal.signal(signal.SIGINT, signal.SIG_DFL)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(slots=True)
class Summary:
    """What one run did."""

    count: Count = field(default_factory=Count)
    batches: list[str] = field(default_factory=list)
    waiting: int = 0
    """Files left in the inbox: still changing, empty, or given back."""


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
    summary, heart = Summary(), Heart(settings)
    deadline_s = time.monotonic() + settings.run_retry_s
    for pause_s in _pauses():
        try:
            with _service(settings, stop, summary, heart, thorough=pause_s > _SHORTEST_PAUSE_S) as service:
                service.read_what_is_there(progress)
            break
        except _FAILURES as why:
            heart.failed(_told(why))
            left_s = deadline_s - time.monotonic()
            if stop():
                break
            if left_s <= 0:
                raise _told(why) from why
            logs.warn("failed, trying again", why=why, pause_s=round(min(pause_s, left_s), 1))
            stop.bell.wait(min(pause_s, left_s))
        finally:
            heart.stopped()
    return summary


def watch(settings: Settings, stop: Stop, observer: observing.Observer | None = None) -> None:
    """Read whatever arrives until stopped; a failing environment or model is retried with back-off.

    Raises:
        BusyError: another process holds this inbox and worker.
    """
    observer = observer or _observer(settings, stop)
    heart = Heart(settings, lambda: observer.state)
    pauses = _pauses()
    failed = False
    try:
        while not stop():
            try:
                with _service(settings, stop, Summary(), heart, thorough=failed) as service:
                    for _ in service.read_what_comes(observer):
                        pauses, failed = _pauses(), False
            except (*_FAILURES, ModelError) as why:
                pause_s = next(pauses)
                failed = True
                heart.failed(_told(why))
                logs.warn("failed, trying again", why=_told(why), pause_s=pause_s)
                _wait(stop, pause_s)
    finally:
        observer.stop()
        heart.stopped()


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
    bundle = bundle_of(settings)
    classifier = CLASSIFIERS["litert"](bundle)
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
        content = reading.interpret(data, settings.limits)
        for one in reading.readings_of([content], classifier, threshold)[0]:
            rows.append(Row("", len(rows) + 1, str(path), content.sha256, len(data), now, "", "", one))
    return Predicted(rows, _rendering(settings, bundle, threshold, now), unread)


def bundle_of(settings: Settings) -> Bundle:
    """The model in use: the one named, else the promoted one, else the shipped; checked."""
    store = model_store(settings)
    return Bundle.open(store.find(settings.model) if settings.model else store.current())


def model_store(settings: Settings) -> ModelStore:
    """Where models lie."""
    return ModelStore(settings.models, SHIPPED)


@dataclass(frozen=True, slots=True)
class _Service:
    """One worker at work, its lock held."""

    space: workspace.Workspace
    pipeline: Pipeline
    stop: Stop
    summary: Summary
    model: Path
    heart: Heart
    told: set[str] = field(default_factory=set)

    def read_what_is_there(self, progress: Callable[[int, int], None] | None) -> None:
        settings = self.space.settings
        self.summary.count += self.pipeline.recover()
        total = self.summary.count.claimed + self._left()
        groups = watching.once(
            self._look,
            _settling(settings),
            self.stop.bell,
            stopped=self.stop,
            wait_s=settings.run_wait_s,
            batch_files=settings.batch_files,
        )
        for group in groups:
            self.summary.count += self.pipeline.process(group)
            if progress is not None:
                progress(self.summary.count.claimed, total)
        self.summary.waiting = self._left()

    def _left(self) -> int:
        return sum(1 for _ in scan.look(self.space.settings.inbox, self._skipped))

    def read_what_comes(self, observer: observing.Observer) -> Iterator[None]:
        """Yield after every look that went well; ends when stopped, or when another model was promoted."""
        settings = self.space.settings
        logs.event("watching", inbox=settings.inbox, worker=settings.worker)
        self.pipeline.recover()
        groups = watching.groups(
            self._look,
            _settling(settings),
            observer,
            self.stop.bell,
            stopped=self.stop,
            scan_interval_s=settings.scan_interval_s,
            batch_files=settings.batch_files,
        )
        for group in groups:
            if group:
                self.pipeline.process(group)
            yield
            if not settings.model and model_store(settings).current() != self.model:
                logs.event("another model was promoted", model=model_store(settings).current().name)
                return

    def _look(self) -> Iterator[Seen]:
        self.space.check_folders()
        self.heart.scanned()
        held = self.space.ledger.held(time.time())
        for seen in scan.look(self.space.settings.inbox, self._skipped):
            if (seen.inode, seen.size, seen.mtime_ns) not in held:
                yield seen

    def _skipped(self, path: str, why: str) -> None:
        if path not in self.told:
            self.told.add(path)
            logs.warn("passed over", file=path, why=why)


@contextmanager
def _service(settings: Settings, stop: Stop, summary: Summary, heart: Heart, *, thorough: bool) -> Iterator[_Service]:
    bundle = bundle_of(settings)
    threshold = bundle.threshold(settings.max_error)

    def truth() -> Truth:
        return Truth(settings.inbox, settings.labels, from_folders=settings.labels_from_folders)

    truth()  # a labels file that cannot be used is told before anything is claimed
    with workspace.opened(settings, thorough=thorough) as space:

        def report(batch_id: str) -> None:
            batch_reports.write(settings, space.ledger, batch_id)
            summary.batches.append(batch_id)

        def stopped() -> bool:
            heart.works(bundle.card.id)
            return stop()

        stopped()
        line = Pipeline(
            inbox=space.inbox,
            ledger=space.ledger,
            outbox=settings.outbox,
            engine=ENGINES[settings.engine](settings),
            child=Child(settings.read_timeout_s),
            answering=Answering(
                space.ledger, CLASSIFIERS["litert"](bundle), threshold, settings.grace_s, now_s=time.time
            ),
            truth=truth,
            limits=settings.limits,
            rendering=lambda: _rendering(settings, bundle, threshold, utc(time.time())),
            restore=lambda batch_id: rebuild.restore(space.ledger, batch_id, settings.outbox, settings.inbox),
            check_folders=space.check_folders,
            report=report,
            stopped=stopped,
            now_s=time.time,
        )
        yield _Service(space, line, stop, summary, bundle.folder, heart)


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


def _settling(settings: Settings) -> Settling:
    settle_s = settings.settle_s
    if mounts.is_remote(kind := mounts.kind_of(settings.inbox)):
        # There, sizes and times are seen with a delay (attribute caches).
        settle_s = max(settle_s, settings.network_settle_s)
        logs.event("the inbox lies on a network filesystem", kind=kind, settle_s=settle_s)
    return Settling(settle_s, settings.empty_wait_s)


def _observer(settings: Settings, stop: Stop) -> observing.Observer:
    if settings.watch_mode == "scan":
        return observing.NoObserver()
    return observing.FolderObserver(settings.inbox, stop.bell)


def _pauses() -> Iterator[float]:
    pause_s = _SHORTEST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _wait(stop: Stop, pause_s: float) -> None:
    until_s = time.monotonic() + pause_s
    while not stop() and (left_s := until_s - time.monotonic()) > 0:
        stop.bell.wait(left_s)


def _told(why: Exception) -> DigitrecError:
    if isinstance(why, DigitrecError):
        return why
    what = "the ledger" if isinstance(why, sqlite3.Error) else "disk or folder"
    return EnvironmentFailure(f"{what} failed: {why}")
