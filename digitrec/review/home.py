"""Collect what the home page shows: waiting files, batches being read, last answers, batches by day, health.

The page asks every two seconds. Folders are scanned again only after a multiple of the time that the last scan took,
and the ledgers are queried again only when their files have changed.
"""

import hashlib
import heapq
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from digitrec import text
from digitrec.files import read_state
from digitrec.monitoring import backlog
from digitrec.monitoring.heartbeat import Activity
from digitrec.monitoring.status import NOT_RUNNING, ModelStatus, WorkerStatus, WorkspaceStatus, collect_status
from digitrec.pipeline.ledgers import find_ledgers, open_ledgers
from digitrec.review import queries
from digitrec.review.json_api import Json, correction_to_json
from digitrec.review.queries import Filter, ReviewProgress
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import CORRECTED_FOLDER
from digitrec.storage.csv_tables import LATEST_NAME
from digitrec.storage.ledger import Ledger
from digitrec.text import escape
from digitrec.types import PageStatus

_MAX_BATCHES = 200
_MAX_ANSWERS = 12
_MAX_NAMES = 8
_MAX_SCANNED = 1000
"""Upper limit of waiting files among which those that wait longest are chosen."""
_MIN_INTERVAL_S = 1.5
_IDLE_SHARE, _BUSY_SHARE = 200, 20
"""Collecting status or answers takes at most this part of the time: 1/200 while no file waits or is read, else 1/20.

Answers that have just changed are collected at the higher rate, too.
"""
_LOW_BYTES = 1_000_000_000

_SELECT_BATCHES = "SELECT batch_id FROM batches WHERE stage = 'closed' ORDER BY batch_id DESC LIMIT ?"
_COUNT_FILES = (
    "SELECT batch_id, fate, COUNT(*) FROM claims WHERE batch_id >= ? AND fate IS NOT NULL GROUP BY batch_id, fate"
)
_LAST_ROWS = (
    "SELECT batch_id, row FROM readings "
    "WHERE batch_id NOT IN (SELECT batch_id FROM batches WHERE stage <> 'closed') ORDER BY rowid DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class HealthLine:
    """Health of a workspace in a line."""

    kind: str
    """`ok`, `wait` (a person has something to do) or `bad`."""
    text: str
    fix: str = ""


class HomeMonitor:
    """State of a workspace as JSON, cached; thread-safe."""

    def __init__(self, settings: Settings, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._status: Json = {}
        self._is_idle = False
        self._next_status_s = 0.0
        self._answers: Json = {}
        self._answers_key: object = None
        self._next_answers_s = 0.0
        self._version = ""

    def read(self, seen: str = "") -> Json:
        """Return the state with its `version`; the version alone if it is the one the page has."""
        with self._lock:
            is_new = self._refresh_status()
            is_new = self._refresh_answers() or is_new
            if is_new or not self._version:
                content = json.dumps([self._status, self._answers], sort_keys=True)
                self._version = hashlib.sha256(content.encode()).hexdigest()[:16]
            if seen == self._version:
                return {"version": self._version}
            return {"version": self._version} | self._status | self._answers

    def _refresh_status(self) -> bool:
        started_s = self._monotonic_s()
        if started_s < self._next_status_s:
            return False
        self._status = self._collect_status()
        self._is_idle = not self._status["waiting"]["count"] and not self._status["reading"]
        self._next_status_s = self._next(started_s, _IDLE_SHARE if self._is_idle else _BUSY_SHARE)
        return True

    def _refresh_answers(self) -> bool:
        started_s = self._monotonic_s()
        if started_s < self._next_answers_s or (key := self._find_state()) == self._answers_key:
            return False
        answers = self._collect_answers()
        is_new = answers != self._answers
        self._answers, self._answers_key = answers, key
        self._next_answers_s = self._next(started_s, _IDLE_SHARE if self._is_idle and not is_new else _BUSY_SHARE)
        return is_new

    def _next(self, started_s: float, share: int) -> float:
        return started_s + max(_MIN_INTERVAL_S, share * (self._monotonic_s() - started_s))

    def _collect_status(self) -> Json:
        settings, now_s = self._settings, time.time()
        with open_ledgers(settings, skip_unreadable=True) as ledgers:
            status = collect_status(settings, ledgers, ModelStatus(""), now_s)
            waiting = self._list_waiting(ledgers, now_s) if not status.problem else []
        health = describe_health(status, settings.max_wait_s)
        return {
            "health": {"kind": health.kind, "text": health.text, "fix": health.fix},
            "waiting": {"count": status.waiting, "files": waiting},
            "reading": [] if status.problem else self._list_reading(status.workers),
        }

    def _list_waiting(self, ledgers: Mapping[str, Ledger], now_s: float) -> list[Json]:
        """Return some waiting files, those that wait longest first."""
        files = backlog.list_waiting(self._settings, backlog.find_deferred(ledgers), now_s)
        try:
            longest = heapq.nlargest(_MAX_NAMES, itertools.islice(files, _MAX_SCANNED), key=lambda file: file.age_s)
        except OSError:  # the folder disappeared; the next scan reports it
            return []
        return [
            {"file": escape(file.path), "since": round(now_s - file.age_s), "why": escape(file.why)} for file in longest
        ]

    def _list_reading(self, workers: Sequence[WorkerStatus]) -> list[Json]:
        reading = []
        for worker in workers:
            claims = backlog.list_claims(self._settings.inbox, worker.name) if worker.open_batches else {}
            for batch in worker.open_batches:
                if not batch.files:  # its answers are being published
                    continue
                names = sorted(map(escape, claims.get(batch.id, ())))
                since = text.batch_opened_s(batch.id) if text.BATCH_ID.fullmatch(batch.id) else 0
                reading.append(
                    {
                        "worker": worker.name,
                        "batch": batch.id,
                        "files": batch.files,
                        "names": names[:_MAX_NAMES],
                        "since": since,
                        "is_running": worker.state not in {NOT_RUNNING, "silent"},
                    }
                )
        return reading

    def _find_state(self) -> object:
        """Return a value that changes whenever an answer, a judgement, a table or a report is added."""
        settings = self._settings
        try:
            paths = list(find_ledgers(settings).values())
        except OSError:
            paths = []
        paths += [path.with_name(f"{path.name}-wal") for path in paths]
        folders = [settings.outbox, settings.outbox / CORRECTED_FOLDER, settings.reports]
        return [read_state(path) for path in (*paths, *folders)]

    def _collect_answers(self) -> Json:
        settings = self._settings
        batches: dict[str, Json] = {}
        answers: list[Json] = []
        review = ReviewProgress()
        reports, tables = _list_names(settings.reports), _list_names(settings.outbox)
        corrected = _list_names(settings.outbox / CORRECTED_FOLDER)
        with open_ledgers(settings, skip_unreadable=True) as ledgers:
            for worker, ledger in ledgers.items():
                if not ledger.is_up_to_date():
                    continue
                progress = queries.count_answers_by(ledger, "batch_id", Filter(status=PageStatus.REVIEW))
                review += sum(progress.values(), ReviewProgress())
                batch_ids = [batch_id for (batch_id,) in ledger.query(_SELECT_BATCHES, (_MAX_BATCHES,))]
                counts: dict[str, dict[str, int]] = {batch_id: {} for batch_id in batch_ids}
                for batch_id, outcome, count in ledger.query(_COUNT_FILES, (min(batch_ids, default="~"),)):
                    counts.setdefault(batch_id, {})[outcome] = count
                for batch_id in batch_ids:
                    reviewed = progress.get(batch_id, ReviewProgress())
                    batches[batch_id] = {
                        "id": batch_id,
                        "worker": worker,
                        "at": text.batch_opened_s(batch_id),
                        "reviewed": reviewed.resolved,
                        "to_review": reviewed.open + reviewed.unsure + reviewed.resolved,
                        "has_report": batch_id in reports,
                        "has_table": f"{batch_id}.csv" in tables,
                        "has_corrected": f"{batch_id}.csv" in corrected,
                        **{name: counts[batch_id].get(name, 0) for name in ("accepted", "review", "rejected")},
                    }
                answers += _read_last_answers(ledger)
        newest = sorted(batches.values(), key=lambda batch: batch["id"], reverse=True)[:_MAX_BATCHES]
        days = itertools.groupby(newest, key=lambda batch: time.strftime("%Y-%m-%d", time.localtime(batch["at"])))
        answers.sort(key=lambda answer: (answer["batch"], answer["row"]), reverse=True)
        return {
            "review": {"open": review.open, "unsure": review.unsure, "resolved": review.resolved},
            "answers": answers[:_MAX_ANSWERS],
            "days": [{"day": day, "batches": list(of_day)} for day, of_day in days],
            "has_latest": LATEST_NAME in tables,
            "has_trend": "trend" in reports,
        }


def _read_last_answers(ledger: Ledger) -> list[Json]:
    answers = []
    for batch_id, row in ledger.query(_LAST_ROWS, (_MAX_ANSWERS,)).fetchall():
        entry = queries.read_entry(ledger, batch_id, row)
        if entry is not None:
            reading = entry.row.reading
            answers.append(
                {
                    "batch": batch_id,
                    "row": row,
                    "file": escape(entry.row.path),
                    "page": reading.page,
                    "status": reading.status,
                    "text": reading.text,
                    "confidence": reading.confidence,
                    "why": escape(reading.detail or (reading.reason.description if reading.reason else "")),
                    "said": correction_to_json(entry.newest),
                }
            )
    return answers


def _list_names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def describe_health(status: WorkspaceStatus, max_wait_s: float) -> HealthLine:
    """Return the health of a workspace: the most urgent problem with its fix, else who reads the inbox."""
    problem = next(_find_problems(status, max_wait_s), None)
    if problem is not None:
        return problem
    if running := _running_workers(status):
        return HealthLine("ok", f"The inbox is read as files arrive (worker {', '.join(running)})")
    if status.waiting:
        files = text.pluralize(status.waiting, "file")
        return HealthLine("wait", f"{files} in the inbox, to be read by a run in another terminal", "digitrec run")
    return HealthLine(
        "ok", "Nothing waits. Files are read by the next `digitrec run`, or as they arrive by `digitrec watch`"
    )


def _running_workers(status: WorkspaceStatus) -> list[str]:
    return [worker.name for worker in status.workers if worker.state not in {NOT_RUNNING, "silent"}]


def _find_problems(status: WorkspaceStatus, max_wait_s: float) -> Iterator[HealthLine]:
    """Yield the problems of a workspace, the most urgent first."""
    if status.problem:
        yield HealthLine("bad", f"The inbox cannot be scanned: {status.problem}", "digitrec doctor")
    for worker in status.workers:
        if worker.state == Activity.FAILING:
            yield HealthLine("bad", f"Worker {worker.name} cannot work: {worker.failure}", "digitrec doctor")
        if worker.ledger not in {"ok", "not here"}:
            yield HealthLine("bad", f"The ledger of worker {worker.name}: {worker.ledger}", "digitrec doctor")
        if worker.state == "silent":
            fix = f"digitrec doctor --worker {worker.name}"
            yield HealthLine("bad", f"Worker {worker.name} has not reported for too long", fix)
    for folder, free in status.free_bytes.items():
        if free is not None and free < _LOW_BYTES:
            line = f"Only {free / 1e6:.0f} MB are free on the disk of {folder}"
            yield HealthLine("bad", line, "make room, or: digitrec prune")
    if status.oldest_s is not None and status.oldest_s > max_wait_s:
        fix = "digitrec doctor" if _running_workers(status) else "digitrec run"
        yield HealthLine("bad", f"{status.oldest} has waited for {_format_age(status.oldest_s)}", fix)
    for worker in status.workers:
        if worker.is_unexpected_new:
            yield HealthLine("wait", f"Worker {worker.name} had an error: {worker.unexpected}", "digitrec status")


def _format_age(age_s: float) -> str:
    """Format a duration.

    >>> _format_age(90), _format_age(7200), _format_age(200_000)
    ('2 minutes', '2 hours', '2 days')
    """
    for unit_s, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if age_s >= unit_s:
            return text.pluralize(round(age_s / unit_s), unit)
    return text.pluralize(round(age_s), "second")
