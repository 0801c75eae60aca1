"""How things stand: what waits, who works, what failed, how much room is left. Needs no lock, writes nothing."""

import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import text
from digitrec.errors import describe_error
from digitrec.monitoring import backlog, heartbeat
from digitrec.monitoring.heartbeat import Activity, Heartbeat
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.ledgers import find_ledgers, is_new_workspace
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger

NOT_RUNNING = "not running"
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """A batch that is not at its end."""

    id: str
    stage: str
    """As in the ledger; `claimed` if no ledger here knows it."""
    files: int
    """That lie claimed."""
    age_s: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker. What it never told is None or empty."""

    name: str
    state: str
    """`looking`, `reading`, `failing`, `silent` (a sign of life is overdue), or `not running`."""
    observer: str
    """`alive`, `scan only`, or `not running`."""
    last_scan_s: float | None
    """Seconds ago."""
    is_late: bool
    """Its last look is older than three scan intervals, and it is not at work on a batch."""
    model_id: str
    """What it reads with."""
    failure: str
    """The last failure of the environment; it goes on while `state` is `failing`."""
    failed_s: float | None
    """Seconds ago."""
    claimed: int
    """Files."""
    open_batches: tuple[UnfinishedBatch, ...]
    ledger: str
    """`ok`, `not here`, `cannot be opened`, `of another version`, or why it cannot be read."""
    unexpected: str = ""
    """The last exception that nobody expected; the log has its traceback."""
    unexpected_s: float | None = None
    """Seconds ago."""

    @property
    def is_unexpected_new(self) -> bool:
        """Return True if that exception came after the worker looked last, or within the last day."""
        if self.unexpected_s is None:
            return False
        return self.unexpected_s < _DAY_S or (self.last_scan_s is not None and self.unexpected_s <= self.last_scan_s)


def list_workers(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> tuple[WorkerStatus, ...]:
    """Every worker that has a ledger, a heartbeat or claims here, by name.

    Args:
        settings: say where everything is.
        ledgers: by worker, as far as they can be opened.
        now_s: seconds since 1970.

    Raises:
        OSError: the claims cannot be looked at.
    """
    hearts = {path.parent.name for path in settings.state.glob(f"*/{heartbeat.FILE_NAME}")}
    names = sorted({*find_ledgers(settings), *hearts, *backlog.list_claiming_workers(settings.inbox)})
    return tuple(_worker(name, settings, ledgers.get(name), now_s) for name in names)


def _worker(name: str, settings: Settings, ledger: Ledger | None, now_s: float) -> WorkerStatus:
    heart = heartbeat.read_heartbeat(settings.state / name)
    state = _state(heart, now_s)
    claimed = {batch_id: len(files) for batch_id, files in backlog.list_claims(settings.inbox, name).items()}
    stages, condition = _open(ledger)
    is_running = state != NOT_RUNNING
    return WorkerStatus(
        name=name,
        state=state,
        observer=heart.observer or "scan only" if heart and is_running else NOT_RUNNING,
        last_scan_s=_ago(heart.scanned_at_s, now_s) if heart else None,
        is_late=heart is None or heart.is_late(now_s) or (heart.activity is Activity.READING and not is_running),
        model_id=heart.model_id if heart else "",
        failure=text.escape(heart.failure) if heart else "",
        failed_s=_ago(heart.failed_at_s, now_s) if heart else None,
        claimed=sum(claimed.values()),
        open_batches=tuple(
            UnfinishedBatch(
                batch_id, stages.get(batch_id, "claimed"), claimed.get(batch_id, 0), _age_s(batch_id, now_s)
            )
            for batch_id in sorted({*stages, *claimed})
        ),
        unexpected=text.escape(heart.unexpected) if heart else "",
        unexpected_s=_ago(heart.unexpected_at_s, now_s) if heart else None,
        ledger=condition if ledger or name not in find_ledgers(settings) else "cannot be opened",
    )


def _state(heart: Heartbeat | None, now_s: float) -> str:
    if heart is None or heart.has_ended():
        return NOT_RUNNING
    if heart.activity is not Activity.FAILING and heart.is_late(now_s):
        return "silent"
    return heart.activity


def _open(ledger: Ledger | None) -> tuple[dict[str, str], str]:
    """The stages of the batches that are not closed, by id, and how the ledger is."""
    if ledger is None:
        return {}, "not here"
    try:
        stages = {batch.id: str(batch.stage) for batch in ledger.batches(unfinished=True)}
        return stages, "ok" if ledger.is_up_to_date() else "of another version"
    except sqlite3.DatabaseError as why:
        return {}, f"cannot be read: {text.escape(str(why))}"


def _age_s(batch_id: str, now_s: float) -> float:
    is_batch = text.BATCH_ID.fullmatch(batch_id) is not None
    return max(0.0, now_s - text.batch_opened_s(batch_id)) if is_batch else 0.0


def _ago(at_s: float | None, now_s: float) -> float | None:
    return None if at_s is None else max(0.0, now_s - at_s)


_MOST_DEFERRED = 1000


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The model in use."""

    name: str
    problem: str = ""
    """Why it cannot be used; "" if every digest is right."""


@dataclass(frozen=True, slots=True)
class DeferredStatus:
    """A deferred file in the inbox."""

    file: str
    worker: str
    why: str
    tries: int
    since_s: float
    again_in_s: float


@dataclass(frozen=True, slots=True)
class WorkspaceStatus:
    """How a workspace stands. Names are as the CSV and the log write them."""

    waiting: int
    """Files in the inbox, deferred ones included."""
    claimed: int
    """Files."""
    oldest: str
    """What has waited longest: a file in the inbox, or a folder of claims; "" if nothing waits."""
    oldest_s: float | None
    deferred: tuple[DeferredStatus, ...]
    """By path; at most 1000."""
    workers: tuple[WorkerStatus, ...]
    free_bytes: Mapping[str, int | None]
    """Of inbox, outbox and state; None where that cannot be told."""
    model: ModelStatus
    problem: str
    """Why the inbox cannot be looked at; "" if it can."""
    passed_over: SkippedCounts = field(default_factory=SkippedCounts)
    """Files in the inbox that can never be claimed where they lie."""


def collect_status(
    settings: Settings, ledgers: Mapping[str, Ledger], model: ModelStatus, now_s: float
) -> WorkspaceStatus:
    """Look at everything once.

    Args:
        settings: say where everything is.
        ledgers: of all workers, by name.
        model: the one in use.
        now_s: seconds since 1970.
    """
    count, oldest, problem, passed = 0, ("", -1.0), "", SkippedCounts()
    deferred: list[DeferredStatus] = []
    workers: tuple[WorkerStatus, ...] = ()
    try:
        workers = list_workers(settings, ledgers, now_s)
        for one in backlog.list_waiting(settings, backlog.find_deferred(ledgers), now_s, passed):
            count += 1
            oldest = max(oldest, (one.path, one.age_s), key=lambda pair: pair[1])
            if one.deferred is not None and len(deferred) < _MOST_DEFERRED:
                file = one.deferred.file
                again_in_s = file.next_at_s - now_s if file.is_backing_off(now_s) else 0.0
                told = (text.escape(one.path), one.deferred.worker, text.escape(file.why))
                deferred.append(DeferredStatus(*told, file.tries, one.age_s, again_in_s))
    except OSError as why:
        problem = text.escape(_problem(settings, why))
    for worker in workers:
        for batch in worker.open_batches:
            if batch.files:
                place = f"{CLAIMED}/{worker.name}/{batch.id}"
                oldest = max(oldest, (place, batch.age_s), key=lambda pair: pair[1])
    return WorkspaceStatus(
        waiting=count,
        claimed=sum(worker.claimed for worker in workers),
        oldest=text.escape(oldest[0]),
        oldest_s=oldest[1] if oldest[0] else None,
        deferred=tuple(sorted(deferred, key=lambda one: one.file)),
        workers=workers,
        free_bytes={"inbox": _free(settings.inbox), "outbox": _free(settings.outbox), "state": _free(settings.state)},
        model=model,
        problem=problem,
        passed_over=passed,
    )


def _problem(settings: Settings, why: OSError) -> str:
    if settings.inbox.exists():
        return describe_error(why)
    if is_new_workspace(settings):
        return f"{settings.workspace} is no workspace. Name yours with --workspace DIR, or make one: `digitrec init`"
    return (
        f"{settings.inbox} is missing. If a share is not mounted, mount it; if it is meant to be new, `digitrec init`"
    )


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # not there: `problem`, or a worker's failure, says so
        return None


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict and its reason."""

    is_well: bool
    why: str


def check_health(found: WorkspaceStatus, worker: str, max_wait_s: float, max_scan_age_s: float = 0.0) -> Health:
    """Judge one worker, and the files that wait for any.

    Args:
        found: how things stand.
        worker: the one to judge.
        max_wait_s: longest a file may wait, seconds.
        max_scan_age_s: longest time since the last scan of the inbox, seconds; 0: three scan intervals of the worker.
    """
    mine = next((one for one in found.workers if one.name == worker), None)
    if found.problem:
        return Health(False, f"the inbox cannot be scanned: {found.problem}")
    if mine is None or mine.last_scan_s is None:
        return Health(False, f"worker {worker} has never scanned the inbox{_why(mine)}")
    if _is_late(mine, mine.last_scan_s, max_scan_age_s):
        why = _why(mine) or _of_cron(mine, max_scan_age_s)
        return Health(False, f"worker {worker}: last scan {mine.last_scan_s:.0f} s ago{why}")
    if found.oldest_s is not None and found.oldest_s > max_wait_s:
        return Health(False, f"{found.oldest} has waited {found.oldest_s:.0f} s{_why(mine)}")
    waits = f"the longest wait is {found.oldest_s:.0f} s" if found.oldest_s is not None else "nothing waits"
    noticed = f"; {mine.unexpected_s:.0f} s ago: {mine.unexpected}" if mine.is_unexpected_new else ""
    return Health(True, f"worker {worker}: last scan {mine.last_scan_s:.0f} s ago; {waits}{noticed}")


def _is_late(worker: WorkerStatus, scan_age_s: float, max_scan_age_s: float) -> bool:
    if not max_scan_age_s:
        return worker.is_late
    return scan_age_s > max_scan_age_s and (worker.state != Activity.READING or worker.is_late)


def _of_cron(worker: WorkerStatus, max_scan_age_s: float) -> str:
    """Return the option that cron needs, where a worker between two starts is judged as one that always runs."""
    is_resting = worker.state == NOT_RUNNING and not max_scan_age_s
    return "; if cron starts it: --max-scan-age-s, three times the interval between two starts" if is_resting else ""


def _why(worker: WorkerStatus | None) -> str:
    """Return the failure, unless the inbox was scanned since."""
    if worker is None or worker.failed_s is None:
        return ""
    is_over = worker.last_scan_s is not None and worker.last_scan_s < worker.failed_s
    return "" if is_over else f": {worker.failure}"
