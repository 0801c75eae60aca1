"""Each worker of an inbox: whether it lives, what it is at, what it holds."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from digitrec import batch_ids, text
from digitrec.monitoring import backlog, heartbeat
from digitrec.monitoring.heartbeat import Doing, Heartbeat
from digitrec.pipeline.ledgers import paths
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger

NOT_RUNNING = "not running"
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that is not at its end."""

    id: str
    stage: str
    """As in the ledger; `claimed` if no ledger here knows it."""
    files: int
    """That lie claimed."""
    age_s: float


@dataclass(frozen=True, slots=True)
class Worker:
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
    open_batches: tuple[OpenBatch, ...]
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


def all_workers(settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> tuple[Worker, ...]:
    """Every worker that has a ledger, a heartbeat or claims here, by name.

    Args:
        settings: say where everything is.
        ledgers: by worker, as far as they can be opened.
        now_s: seconds since 1970.

    Raises:
        OSError: the claims cannot be looked at.
    """
    hearts = {path.parent.name for path in settings.state.glob(f"*/{heartbeat.FILE_NAME}")}
    names = sorted({*paths(settings), *hearts, *backlog.workers(settings.inbox)})
    return tuple(_worker(name, settings, ledgers.get(name), now_s) for name in names)


def _worker(name: str, settings: Settings, ledger: Ledger | None, now_s: float) -> Worker:
    heart = heartbeat.read(settings.state / name)
    state = _state(heart, now_s)
    claimed = {batch_id: len(files) for batch_id, files in backlog.claims(settings.inbox, name).items()}
    stages, condition = _open(ledger)
    is_running = state != NOT_RUNNING
    return Worker(
        name=name,
        state=state,
        observer=heart.observer or "scan only" if heart and is_running else NOT_RUNNING,
        last_scan_s=_ago(heart.scanned_at_s, now_s) if heart else None,
        is_late=heart is None or heart.is_late(now_s) or (heart.doing is Doing.READING and not is_running),
        model_id=heart.model_id if heart else "",
        failure=text.escape(heart.failure) if heart else "",
        failed_s=_ago(heart.failed_at_s, now_s) if heart else None,
        claimed=sum(claimed.values()),
        open_batches=tuple(
            OpenBatch(batch_id, stages.get(batch_id, "claimed"), claimed.get(batch_id, 0), _age_s(batch_id, now_s))
            for batch_id in sorted({*stages, *claimed})
        ),
        unexpected=text.escape(heart.unexpected) if heart else "",
        unexpected_s=_ago(heart.unexpected_at_s, now_s) if heart else None,
        ledger=condition if ledger or name not in paths(settings) else "cannot be opened",
    )


def _state(heart: Heartbeat | None, now_s: float) -> str:
    if heart is None or heart.has_ended():
        return NOT_RUNNING
    if heart.doing is not Doing.FAILING and heart.is_late(now_s):
        return "silent"
    return heart.doing


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
    is_batch = batch_ids.BATCH_ID.fullmatch(batch_id) is not None
    return max(0.0, now_s - batch_ids.opened_s(batch_id)) if is_batch else 0.0


def _ago(at_s: float | None, now_s: float) -> float | None:
    return None if at_s is None else max(0.0, now_s - at_s)
