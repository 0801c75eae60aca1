"""Collects metrics from ledgers, heartbeats and folders, and writes them in Prometheus' text format. Needs no lock.

METRICS has names and meanings; jobs/alerts.yml has alert rules. The last scan is a timestamp (seconds since 1970), not
an age: in a file that is no longer written, an age would stay the same.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import digitrec
from digitrec import files, logs
from digitrec.monitoring.heartbeat import read_heartbeat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage.claims import FileOutcome
from digitrec.storage.ledger import Ledger

if TYPE_CHECKING:
    from digitrec.monitoring.status import WorkspaceStatus

METRICS = {
    "digitrec_build_info": ("gauge", "1; the label is the version."),
    "digitrec_model_info": ("gauge", "1; the label is the model that a worker reads with."),
    "digitrec_files_total": ("counter", "Files of finished batches, by outcome."),
    "digitrec_batches_total": ("counter", "Finished batches."),
    "digitrec_batches_open": ("gauge", "Batches that are not finished."),
    "digitrec_batch_seconds": ("summary", "Seconds from the claim of a batch to its answers."),
    "digitrec_stage_seconds": (
        "summary",
        "Seconds spent in each stage of a batch, since the state folder was created.",
    ),
    "digitrec_files_waiting": ("gauge", "Files in the inbox, deferred ones included."),
    "digitrec_files_claimed": ("gauge", "Claimed files."),
    "digitrec_queue_age_seconds": ("gauge", "Waiting time of the oldest file in the inbox; 0 if it is empty."),
    "digitrec_last_scan_timestamp_seconds": ("gauge", "Time of a worker's last scan of the inbox."),
    "digitrec_worker_running": ("gauge", "1 while a worker's heartbeat is recent."),
    "digitrec_worker_failing": ("gauge", "1 while a worker retries after a failure of disk, folder or model."),
    "digitrec_inbox_readable": ("gauge", "0 if the inbox cannot be scanned."),
    "digitrec_ledger_readable": ("gauge", "0 if the ledger of a worker cannot be read; its metrics are left out."),
    "digitrec_free_bytes": ("gauge", "Free space on the disk of a folder."),
    "digitrec_review_open": ("gauge", "Pages in review."),
    "digitrec_corrections_total": ("counter", "Verdicts of reviewers on pages, by verdict."),
    "digitrec_drift_psi": (
        "gauge",
        "Population stability index of recent pages against the training data, as of the last `digitrec report`.",
    ),
}
"""Type and help text of every metric."""

_INTERVAL_S = 5.0
_COLLECTION_SHARE = 20
"""Collecting takes at most a twentieth of the time, however large the ledger is."""
_FILES = (
    "SELECT fate, COUNT(*) FROM claims JOIN batches USING (batch_id) "
    "WHERE stage = 'closed' AND fate IS NOT NULL GROUP BY fate"
)
_BATCHES = (
    "SELECT stage = 'closed', COUNT(*), "
    "COUNT(rendering), TOTAL(julianday(json_extract(rendering, '$.processed_at')) - julianday(opened_at)) * 86400 "
    "FROM batches GROUP BY stage = 'closed'"
)
_REVIEW = "SELECT COUNT(*) FROM readings WHERE status = 'review'"
_REVIEWED = (
    "SELECT COUNT(*) FROM corrections JOIN readings USING (batch_id, row) WHERE id IN "
    "(SELECT MAX(id) FROM corrections GROUP BY batch_id, row) "
    "AND verdict IN ('confirmed', 'corrected', 'illegible') AND status = 'review'"
)
# A withdrawn entry of a page is counted if it is an undo; otherwise some numbers of the page have no verdict yet.
_COUNTED = "verdict <> 'withdrawn' OR how = 'undo'"
_OLD_CORRECTIONS = f"SELECT verdict, COUNT(*) FROM corrections WHERE {_COUNTED} GROUP BY verdict"
"""For a ledger of schema 4 or earlier, which has no entries of numbers."""
_CORRECTIONS = f"SELECT verdict, COUNT(*) FROM corrections WHERE number = 0 AND ({_COUNTED}) GROUP BY verdict"
_VERDICTS = ("confirmed", "corrected", "unsure", "withdrawn", "illegible")


@dataclass(frozen=True, slots=True)
class Sample:
    """Value of a metric, with its labels."""

    metric: str
    """Name in METRICS."""
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    """`_sum` and `_count` of a summary."""


def collect_samples(settings: Settings, now_s: float | None = None) -> list[Sample]:
    """Collect the samples of all metrics; what cannot be read is left out, and a metric reports it."""
    from digitrec.monitoring.status import ModelStatus, collect_status

    now_s = time.time() if now_s is None else now_s
    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        state = collect_status(settings, ledgers, ModelStatus(""), now_s)
        return [
            *_status_samples(state, settings, now_s),
            *_all_ledger_samples(state, ledgers),
            *_drift_samples(settings),
        ]


class MetricsFile:
    """Writes `metrics_file`, if that is set; a disk that refuses the file does not stop the work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_write_s = 0.0
        self._is_reported = False

    def write(self, *, at_once: bool = False) -> None:
        """Write the file, unless it was written a moment ago."""
        path = self._settings.metrics
        started_s = time.monotonic()
        if path is None or (started_s < self._next_write_s and not at_once):
            return
        try:
            files.atomic_write(path, format_samples(collect_samples(self._settings)))
            self._is_reported = False
        except OSError as error:
            if not self._is_reported:
                logs.warning("metrics cannot be written; work continues", file=path, why=error)
            self._is_reported = True
        except Exception as error:  # noqa: BLE001 - metrics must not stop the service
            logs.log_exception("metrics cannot be collected; work continues", error)
        duration_s = time.monotonic() - started_s
        self._next_write_s = started_s + max(_INTERVAL_S, _COLLECTION_SHARE * duration_s)


def format_samples(samples: Iterable[Sample]) -> str:
    """Write samples in Prometheus' text format, version 0.0.4; metrics in the order of METRICS.

    >>> print(format_samples([Sample("digitrec_files_total", 3, {"status": "review"})]), end="")
    # HELP digitrec_files_total Files of finished batches, by outcome.
    # TYPE digitrec_files_total counter
    digitrec_files_total{status="review"} 3.0
    """
    from prometheus_client import Metric, generate_latest  # 0.1 s to import

    families = {name: Metric(name.removesuffix("_total"), text, kind) for name, (kind, text) in METRICS.items()}
    for sample in samples:
        families[sample.metric].add_sample(sample.metric + sample.suffix, dict(sample.labels), sample.value)

    class Families:
        def collect(self) -> Iterator[Metric]:
            return (family for family in families.values() if family.samples)

    return generate_latest(Families()).decode()


def _status_samples(state: "WorkspaceStatus", settings: Settings, now_s: float) -> Iterator[Sample]:
    from digitrec.monitoring.status import NOT_RUNNING

    yield Sample("digitrec_build_info", 1, {"version": digitrec.__version__})
    yield Sample("digitrec_inbox_readable", not state.problem)
    if not state.problem:
        yield Sample("digitrec_files_waiting", state.waiting)
        yield Sample("digitrec_queue_age_seconds", round(state.oldest_s or 0.0, 3))
    for folder, free in state.free_bytes.items():
        if free is not None:
            yield Sample("digitrec_free_bytes", free, {"folder": folder})
    for worker in state.workers:
        labels = {"worker": worker.name}
        yield Sample("digitrec_files_claimed", worker.claimed, labels)
        yield Sample("digitrec_worker_running", worker.state not in {NOT_RUNNING, "silent"}, labels)
        yield Sample("digitrec_worker_failing", worker.state == "failing", labels)
        if worker.last_scan_s is not None:
            yield Sample("digitrec_last_scan_timestamp_seconds", round(now_s - worker.last_scan_s, 3), labels)
        if worker.model_id:
            yield Sample("digitrec_model_info", 1, {**labels, "model_id": worker.model_id})
        heartbeat = read_heartbeat(settings.state / worker.name)
        for stage, (count, seconds) in sorted(heartbeat.stages.items()) if heartbeat else ():
            yield Sample("digitrec_stage_seconds", count, {**labels, "stage": stage}, "_count")
            yield Sample("digitrec_stage_seconds", round(seconds, 3), {**labels, "stage": stage}, "_sum")


def _all_ledger_samples(state: "WorkspaceStatus", ledgers: Mapping[str, Ledger]) -> Iterator[Sample]:
    for worker in state.workers:
        ledger = ledgers.get(worker.name)
        try:
            samples = [] if ledger is None else list(_ledger_samples(ledger, {"worker": worker.name}))
        except sqlite3.DatabaseError:  # damaged, or of a version with other tables; `doctor` says which
            ledger, samples = None, []
        yield from samples
        if worker.ledger != "not here":
            yield Sample("digitrec_ledger_readable", ledger is not None, {"worker": worker.name})


def _ledger_samples(ledger: Ledger, labels: Mapping[str, str]) -> Iterator[Sample]:
    counts = {FileOutcome(outcome): count for outcome, count in ledger.query(_FILES)}
    for outcome in FileOutcome:  # also those that never occurred: a rate needs a zero to start from
        yield Sample("digitrec_files_total", counts.get(outcome, 0), {**labels, "status": outcome})
    stages = {bool(is_closed): values for is_closed, *values in ledger.query(_BATCHES)}
    closed, answered, seconds = stages.get(True, [0, 0, 0.0])
    yield Sample("digitrec_batches_total", closed, labels)
    yield Sample("digitrec_batches_open", stages.get(False, [0])[0], labels)
    yield Sample("digitrec_batch_seconds", answered, labels, "_count")
    yield Sample("digitrec_batch_seconds", round(seconds, 3), labels, "_sum")
    (in_review,) = ledger.query(_REVIEW).fetchone()
    verdicts: dict[str, int] = {}
    settled = 0
    if ledger.has_table("corrections"):
        verdicts = dict(ledger.query(_CORRECTIONS if ledger.has_table("numbers") else _OLD_CORRECTIONS).fetchall())
        (settled,) = ledger.query(_REVIEWED).fetchone()
    yield Sample("digitrec_review_open", in_review - settled, labels)
    for verdict in _VERDICTS:
        yield Sample("digitrec_corrections_total", verdicts.get(verdict, 0), {**labels, "verdict": verdict})


def _drift_samples(settings: Settings) -> Iterator[Sample]:
    """Take the drift of the newest model from the last trend report; computing it would read every row."""
    try:
        report = json.loads((settings.reports / "trend" / "report.json").read_text(encoding="utf-8"))
        for model in report["models"][:1]:
            for of, drift in model["drift"].items():
                if drift is not None and drift["psi"] is not None:
                    labels = {"of": str(of), "model_id": str(model["model_id"])}
                    yield Sample("digitrec_drift_psi", round(float(drift["psi"]), 6), labels)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return  # there is no such report, or one of another version
