"""Collect and judge the state of a workspace: waiting files, workers, failures, free space. Takes no lock."""

import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import text
from digitrec.errors import EnvironmentFailure, describe_error
from digitrec.monitoring import backlog, heartbeat
from digitrec.monitoring.heartbeat import Activity, Heartbeat
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.ledgers import find_ledgers, is_new_workspace
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.settings import Settings
from digitrec.storage import folder_id
from digitrec.storage.ledger import Ledger

NOT_RUNNING = "not running"
_DAY_S = 86_400.0
_MAX_DEFERRED = 1000
"""Upper limit of deferred files in a status."""


@dataclass(frozen=True, slots=True)
class UnfinishedBatch:
    """A batch that is not finished."""

    id: str
    stage: str
    """Stage in the ledger; `claimed` if no ledger here has the batch."""
    files: int
    """Number of claimed files."""
    age_s: float


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """State of one worker, from its heartbeat, ledger and claims; unknown values are None or empty."""

    name: str
    state: str
    """`looking`, `reading`, `failing`, `silent` (its heartbeat is overdue), or `not running`."""
    observer: str
    """`alive`, `scan only`, or `not running`."""
    last_scan_s: float | None
    """Seconds ago."""
    is_late: bool
    """True if its last scan is older than three scan intervals, and it is not reading a batch."""
    model_id: str
    failure: str
    """Last failure of the environment; ongoing while `is_failing`."""
    failed_s: float | None
    """Seconds ago."""
    claimed: int
    """Number of files."""
    open_batches: tuple[UnfinishedBatch, ...]
    ledger: str
    """`ok`, `not here`, `cannot be opened`, `of another version`, or why it cannot be read."""
    unexpected: str = ""
    """Last unexpected exception; the log has its traceback."""
    unexpected_s: float | None = None
    """Seconds ago."""

    @property
    def is_failing(self) -> bool:
        """Return True if the inbox was not scanned since the last failure."""
        return self.failed_s is not None and (self.last_scan_s is None or self.last_scan_s >= self.failed_s)

    @property
    def is_unexpected_new(self) -> bool:
        """Return True if that exception came after the last scan, or within the last day."""
        if self.unexpected_s is None:
            return False
        return self.unexpected_s < _DAY_S or (self.last_scan_s is not None and self.unexpected_s <= self.last_scan_s)


def list_workers(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> tuple[WorkerStatus, ...]:
    """Return every worker that has a ledger, a heartbeat or claims here, by name.

    Raises:
        OSError: the claims cannot be listed.
    """
    beating = {path.parent.name for path in settings.state.glob(f"*/{heartbeat.FILE_NAME}")}
    names = sorted({*find_ledgers(settings), *beating, *backlog.list_claiming_workers(settings.inbox)})
    return tuple(_describe_worker(name, settings, ledgers.get(name), now_s) for name in names)


def _describe_worker(name: str, settings: Settings, ledger: Ledger | None, now_s: float) -> WorkerStatus:
    beat = heartbeat.read_heartbeat(settings.state / name)
    state = _worker_state(beat, now_s)
    claimed = {batch_id: len(files) for batch_id, files in backlog.list_claims(settings.inbox, name).items()}
    stages, condition = _read_stages(ledger)
    is_running = state != NOT_RUNNING
    return WorkerStatus(
        name=name,
        state=state,
        observer=beat.observer or "scan only" if beat and is_running else NOT_RUNNING,
        last_scan_s=_seconds_since(beat.scanned_at_s, now_s) if beat else None,
        is_late=beat is None or beat.is_late(now_s) or (beat.activity is Activity.READING and not is_running),
        model_id=beat.model_id if beat else "",
        failure=text.escape(beat.failure) if beat else "",
        failed_s=_seconds_since(beat.failed_at_s, now_s) if beat else None,
        claimed=sum(claimed.values()),
        open_batches=tuple(
            UnfinishedBatch(
                batch_id, stages.get(batch_id, "claimed"), claimed.get(batch_id, 0), _batch_age_s(batch_id, now_s)
            )
            for batch_id in sorted({*stages, *claimed})
        ),
        unexpected=text.escape(beat.unexpected) if beat else "",
        unexpected_s=_seconds_since(beat.unexpected_at_s, now_s) if beat else None,
        ledger=condition if ledger or name not in find_ledgers(settings) else "cannot be opened",
    )


def _worker_state(beat: Heartbeat | None, now_s: float) -> str:
    if beat is None or beat.has_ended():
        return NOT_RUNNING
    if beat.activity is not Activity.FAILING and beat.is_late(now_s):
        return "silent"
    return beat.activity


def _read_stages(ledger: Ledger | None) -> tuple[dict[str, str], str]:
    """Return the stages of the unfinished batches by id, and the condition of the ledger."""
    if ledger is None:
        return {}, "not here"
    try:
        stages = {batch.id: str(batch.stage) for batch in ledger.batches(unfinished=True)}
        return stages, "ok" if ledger.is_up_to_date() else "of another version"
    except sqlite3.DatabaseError as error:
        return {}, f"cannot be read: {text.escape(str(error))}"


def _batch_age_s(batch_id: str, now_s: float) -> float:
    is_batch = text.BATCH_ID.fullmatch(batch_id) is not None
    return max(0.0, now_s - text.batch_opened_s(batch_id)) if is_batch else 0.0


def _seconds_since(at_s: float | None, now_s: float) -> float | None:
    return None if at_s is None else max(0.0, now_s - at_s)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The model in use."""

    name: str
    problem: str = ""
    """Why it cannot be used; empty if every digest matches."""


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
    """State of a workspace. Names are escaped as in the CSV and the log."""

    waiting: int
    """Number of files in the inbox, deferred ones included."""
    claimed: int
    """Number of files."""
    oldest: str
    """Path of the file or claims folder that waits longest; empty if none waits."""
    oldest_s: float | None
    deferred: tuple[DeferredStatus, ...]
    """By path; at most 1000."""
    workers: tuple[WorkerStatus, ...]
    free_bytes: Mapping[str, int | None]
    """Free space of inbox, outbox and state; None if unknown."""
    model: ModelStatus
    problem: str
    """Why the inbox cannot be scanned; empty if it can."""
    passed_over: SkippedCounts = field(default_factory=SkippedCounts)
    """Number of files that can never be claimed from their folder."""


def collect_status(
    settings: Settings, ledgers: Mapping[str, Ledger], model: ModelStatus, now_s: float
) -> WorkspaceStatus:
    """Collect the state of inbox, workers, disks and model; `ledgers` are the readable ones, by worker."""
    waiting, oldest, problem, skipped = 0, ("", -1.0), "", SkippedCounts()
    deferred: list[DeferredStatus] = []
    workers: tuple[WorkerStatus, ...] = ()
    try:
        workers = list_workers(settings, ledgers, now_s)
        for file in backlog.list_waiting(settings, backlog.find_deferred(ledgers), now_s, skipped):
            waiting += 1
            oldest = max(oldest, (file.path, file.age_s), key=lambda pair: pair[1])
            if file.deferred is not None and len(deferred) < _MAX_DEFERRED:
                deferred.append(_describe_deferred(file, file.deferred, now_s))
        if not waiting and not is_new_workspace(settings):
            folder_id.require_folder(settings.inbox)
    except OSError as error:
        problem = text.escape(_describe_problem(settings, error))
    except EnvironmentFailure as failure:
        problem = text.escape(f"{failure}. {failure.hint}")
    for worker in workers:
        for batch in worker.open_batches:
            if batch.files:
                folder = f"{CLAIMED}/{worker.name}/{batch.id}"
                oldest = max(oldest, (folder, batch.age_s), key=lambda pair: pair[1])
    return WorkspaceStatus(
        waiting=waiting,
        claimed=sum(worker.claimed for worker in workers),
        oldest=text.escape(oldest[0]),
        oldest_s=oldest[1] if oldest[0] else None,
        deferred=tuple(sorted(deferred, key=lambda file: file.file)),
        workers=workers,
        free_bytes={
            "inbox": _free_bytes(settings.inbox),
            "outbox": _free_bytes(settings.outbox),
            "state": _free_bytes(settings.state),
        },
        model=model,
        problem=problem,
        passed_over=skipped,
    )


def _describe_deferred(waiting: backlog.WaitingFile, deferred: backlog.DeferredBy, now_s: float) -> DeferredStatus:
    file = deferred.file
    again_in_s = file.next_at_s - now_s if file.is_backing_off(now_s) else 0.0
    names = (text.escape(waiting.path), deferred.worker, text.escape(file.why))
    return DeferredStatus(*names, file.tries, waiting.age_s, again_in_s)


def _describe_problem(settings: Settings, error: OSError) -> str:
    if settings.inbox.exists():
        return describe_error(error)
    if is_new_workspace(settings):
        return f"{settings.workspace} is no workspace. Name yours with --workspace DIR, or make one: `digitrec init`"
    return (
        f"{settings.inbox} is missing. If a share is not mounted, mount it; if it is meant to be new, `digitrec init`"
    )


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # missing: reported by `problem`, or as a worker's failure
        return None


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict and its reason."""

    is_well: bool
    why: str


def check_health(status: WorkspaceStatus, worker: str, max_wait_s: float, max_scan_age_s: float = 0.0) -> Health:
    """Judge one worker, and the waiting time of files for any worker.

    Args:
        status: of the workspace.
        worker: the worker to judge.
        max_wait_s: longest a file may wait, seconds.
        max_scan_age_s: longest time since the last scan of the inbox, seconds; 0: three scan intervals of the worker.
    """
    own = next((candidate for candidate in status.workers if candidate.name == worker), None)
    if status.problem:
        return Health(False, f"the inbox cannot be scanned: {status.problem}")
    if own is None or own.last_scan_s is None:
        return Health(False, f"worker {worker} has never scanned the inbox{_describe_failure(own)}")
    if _is_late(own, own.last_scan_s, max_scan_age_s):
        why = _describe_failure(own) or _suggest_for_cron(own, max_scan_age_s)
        return Health(False, f"worker {worker}: last scan {own.last_scan_s:.0f} s ago{why}")
    if status.oldest_s is not None and status.oldest_s > max_wait_s:
        return Health(False, f"{status.oldest} has waited {status.oldest_s:.0f} s{_describe_failure(own)}")
    waits = f"the longest wait is {status.oldest_s:.0f} s" if status.oldest_s is not None else "nothing waits"
    unexpected = f"; {own.unexpected_s:.0f} s ago: {own.unexpected}" if own.is_unexpected_new else ""
    return Health(True, f"worker {worker}: last scan {own.last_scan_s:.0f} s ago; {waits}{unexpected}")


def _is_late(worker: WorkerStatus, scan_age_s: float, max_scan_age_s: float) -> bool:
    if not max_scan_age_s:
        return worker.is_late
    return scan_age_s > max_scan_age_s and (worker.state != Activity.READING or worker.is_late)


def _suggest_for_cron(worker: WorkerStatus, max_scan_age_s: float) -> str:
    """Return the option that cron needs, where a worker between two starts is judged as one that always runs."""
    is_resting = worker.state == NOT_RUNNING and not max_scan_age_s
    return "; if cron starts it: --max-scan-age-s, three times the interval between two starts" if is_resting else ""


def _describe_failure(worker: WorkerStatus | None) -> str:
    """Return the failure, unless the inbox was scanned since."""
    return f": {worker.failure}" if worker is not None and worker.is_failing else ""
