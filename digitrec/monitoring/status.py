"""How things stand: what waits, who works, what failed, how much room is left. Needs no lock, writes nothing."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import text
from digitrec.errors import plain
from digitrec.monitoring import backlog
from digitrec.monitoring.workers import Worker, all_workers
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.ledgers import is_new
from digitrec.pipeline.scanner import PassedOver
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger

_MOST_DEFERRED = 1000


@dataclass(frozen=True, slots=True)
class ModelState:
    """The model in use."""

    name: str
    problem: str = ""
    """Why it cannot be used; "" if every digest is right."""


@dataclass(frozen=True, slots=True)
class DeferredState:
    """A deferred file in the inbox."""

    file: str
    worker: str
    why: str
    tries: int
    since_s: float
    again_in_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """How a workspace stands. Names are as the CSV and the log write them."""

    waiting: int
    """Files in the inbox, deferred ones included."""
    claimed: int
    """Files."""
    oldest: str
    """What has waited longest: a file in the inbox, or a folder of claims; "" if nothing waits."""
    oldest_s: float | None
    deferred: tuple[DeferredState, ...]
    """By path; at most 1000."""
    workers: tuple[Worker, ...]
    free_bytes: Mapping[str, int | None]
    """Of inbox, outbox and state; None where that cannot be told."""
    model: ModelState
    problem: str
    """Why the inbox cannot be looked at; "" if it can."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """Files in the inbox that can never be claimed where they lie."""


def status(settings: Settings, ledgers: Mapping[str, Ledger], model: ModelState, now_s: float) -> Status:
    """Look at everything once.

    Args:
        settings: say where everything is.
        ledgers: of all workers, by name.
        model: the one in use.
        now_s: seconds since 1970.
    """
    count, oldest, problem, passed = 0, ("", -1.0), "", PassedOver()
    deferred: list[DeferredState] = []
    workers: tuple[Worker, ...] = ()
    try:
        workers = all_workers(settings, ledgers, now_s)
        for one in backlog.look(settings, backlog.find_deferred(ledgers), now_s, passed):
            count += 1
            oldest = max(oldest, (one.path, one.age_s), key=lambda pair: pair[1])
            if one.deferred is not None and len(deferred) < _MOST_DEFERRED:
                file = one.deferred.file
                again_in_s = file.next_at_s - now_s if file.is_deferred(now_s) else 0.0
                told = (text.escape(one.path), one.deferred.worker, text.escape(file.why))
                deferred.append(DeferredState(*told, file.tries, one.age_s, again_in_s))
    except OSError as why:
        problem = text.escape(_problem(settings, why))
    for worker in workers:
        for batch in worker.open_batches:
            if batch.files:
                place = f"{CLAIMED}/{worker.name}/{batch.id}"
                oldest = max(oldest, (place, batch.age_s), key=lambda pair: pair[1])
    return Status(
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
        return plain(why)
    if is_new(settings):
        return f"{settings.workspace} is no workspace. Name yours with --workspace DIR, or make one: `digitrec init`"
    return (
        f"{settings.inbox} is missing. If a share is not mounted, mount it; if it is meant to be new, `digitrec init`"
    )


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # not there: `problem`, or a worker's failure, says so
        return None
