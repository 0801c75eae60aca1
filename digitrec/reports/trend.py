"""Compute the numbers of the trend page: automation, errors, drift and speed over time, from all batches."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import add
from statistics import median
from typing import Any

from digitrec.reports.batch import (
    CONFIDENCE_EDGES,
    BatchFacts,
    Json,
    RowFacts,
    audit_error_rate,
    count_digits,
    find_bin,
    is_correct,
    review_error_rate,
    select_labelled,
)
from digitrec.reports.drift import DRIFT_THRESHOLD, MIN_COUNT, Reference, find_reference, measure_drift
from digitrec.reports.statistics import clopper_pearson, wilson
from digitrec.types import PageStatus, Reason

RECENT_DAYS = 30
MAX_BATCHES, MAX_DAYS = 40, 92
"""Above these counts, batches are grouped by day, days by month."""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """Page counts of one or several batches; they can be added."""

    pages: int = 0
    accepted: int = 0
    review: int = 0
    rejected: int = 0
    in_review_wrong: int = 0
    """Pages in review that a person resolved, and whose best guess was wrong."""
    in_review_resolved: int = 0
    audit_wrong: int = 0
    """Accepted pages that were drawn for an audit and resolved, and were wrong."""
    audit_resolved: int = 0
    labelled_wrong: int = 0
    """Accepted pages that had a label when they were read, and whose text differs from it."""
    labelled: int = 0
    digits: tuple[int, ...] = (0,) * 10
    """Count of each digit, on pages accepted or sent to review for their confidence alone."""
    confidence: tuple[int, ...] = (0,) * len(CONFIDENCE_EDGES)
    """Pages per bin of CONFIDENCE_EDGES, and at the end those that no threshold accepts; without rejected pages."""

    def __add__(self, other: "PageCounts") -> "PageCounts":
        return PageCounts(
            *(_sum(getattr(self, field.name), getattr(other, field.name)) for field in fields(PageCounts))
        )


@dataclass(frozen=True, slots=True)
class BatchStats:
    """Statistics of one batch, for the trend."""

    batch_id: str
    model_id: str
    processed_at: str
    """Time of the reading, ISO 8601 UTC."""
    files: int
    """Files with an outcome; without deferred files."""
    seconds: float | None
    """From the claim to the outcomes; None if the ledger lacks the times."""
    counts: PageCounts

    @property
    def files_per_s(self) -> float | None:
        """Return files per second; None if it is unknown."""
        return self.files / self.seconds if self.seconds and self.files else None


def compute_batch_stats(facts: BatchFacts, previous_at: str = "") -> BatchStats:
    """Return the statistics of a batch.

    Args:
        facts: the batch.
        previous_at: when the worker's batch before was processed: a run claims the next batch while it still reads
            that one, so that the time until then is not this batch's.
    """
    return BatchStats(
        batch_id=facts.batch_id,
        model_id=facts.model_id,
        processed_at=facts.processed_at,
        files=facts.files.claimed - facts.files.deferred,
        seconds=_seconds(facts.opened_at, facts.processed_at, previous_at),
        counts=count_pages(facts.rows),
    )


def count_pages(rows: Sequence[RowFacts]) -> PageCounts:
    """Return the page counts of a batch."""
    status = Counter(row.status for row in rows)
    held_back, drawn = review_error_rate(rows), audit_error_rate(rows)
    labelled = [row for row in select_labelled(rows) if row.status is PageStatus.ACCEPTED]
    return PageCounts(
        pages=len(rows),
        accepted=status[PageStatus.ACCEPTED],
        review=status[PageStatus.REVIEW],
        rejected=status[PageStatus.REJECTED],
        in_review_wrong=held_back.hits,
        in_review_resolved=held_back.total,
        audit_wrong=drawn.hits,
        audit_resolved=drawn.total,
        labelled_wrong=sum(not is_correct(row) for row in labelled),
        labelled=len(labelled),
        digits=tuple(count_digits(row for row in rows if _is_plain(row)).values()),
        confidence=_confidence(rows),
    )


def _sum(count: Any, other: Any) -> Any:
    if isinstance(count, int):
        return count + other
    return tuple(map(add, count, other))


def _is_plain(row: RowFacts) -> bool:
    """Return whether a threshold decides about this page."""
    return row.status is PageStatus.ACCEPTED or row.reason is Reason.LOW_CONFIDENCE


def _confidence(rows: Iterable[RowFacts]) -> tuple[int, ...]:
    counts = [0] * len(CONFIDENCE_EDGES)
    for row in rows:
        if row.status is PageStatus.REJECTED:
            continue
        if row.confidence is None or not _is_plain(row):
            counts[-1] += 1
        else:
            counts[find_bin(row.confidence)] += 1
    return tuple(counts)


def _seconds(opened_at: str, processed_at: str, previous_at: str) -> float | None:
    try:
        began = max(parse_time(opened_at), parse_time(previous_at or opened_at))
        took = (parse_time(processed_at) - began).total_seconds()
    except ValueError:  # a ledger rebuilt from its CSVs may have other times
        return None
    return took if took > 0 else None


def parse_time(iso: str) -> datetime:
    """Parse a time of the ledger; raises ValueError for anything else."""
    time = datetime.fromisoformat(iso)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A batch, a day or a month."""

    name: str
    batches: tuple[BatchStats, ...]

    @property
    def counts(self) -> PageCounts:
        """Return the page counts of the period."""
        return sum_counts(self.batches)

    @property
    def model_id(self) -> str:
        """Return the model that read most of its pages."""
        pages: dict[str, int] = {}
        for entry in self.batches:
            pages[entry.model_id] = pages.get(entry.model_id, 0) + entry.counts.pages
        return max(pages, key=lambda name: (pages[name], name))


def sum_counts(entries: Iterable[BatchStats]) -> PageCounts:
    """Return the page counts of several batches."""
    return reduce(add, (entry.counts for entry in entries), PageCounts())


def summarize_trend(
    entries: Sequence[BatchStats], references: Mapping[str, Reference], *, made_at: str, app_version: str
) -> Json:
    """Return the content of the trend's `report.json`.

    Args:
        entries: of all batches, in any order.
        references: distributions of each model's training, by model id.
        made_at: ISO 8601 UTC; the last RECENT_DAYS days end here.
        app_version: of this program.
    """
    entries = sorted(entries, key=lambda entry: (entry.processed_at, entry.batch_id))
    unit, periods = group_periods(entries)
    since = (parse_time(made_at) - timedelta(days=RECENT_DAYS)).strftime("%Y-%m-%dT%H:%M:%S")
    recent = [entry for entry in entries if entry.processed_at >= since]
    return {
        "kind": "trend",
        "made_at": made_at,
        "app_version": app_version,
        "unit": unit,
        "recent_days": RECENT_DAYS,
        "drift_threshold": DRIFT_THRESHOLD,
        "drift_fewest": MIN_COUNT,
        "confidence_edges": list(CONFIDENCE_EDGES),
        "all": _summary(entries),
        "recent": _summary(recent),
        "models": [_model(name, entries, recent, find_reference(references, name)) for name in _models(entries)],
        "periods": _periods(periods, references),
    }


def group_periods(entries: Sequence[BatchStats]) -> tuple[str, list[Period]]:
    """Return the unit, batch, day or month, and the batches grouped by it in order of time."""
    days = {entry.processed_at[:10] for entry in entries}
    unit, length = (
        ("batch", 0) if len(entries) <= MAX_BATCHES else ("day", 10) if len(days) <= MAX_DAYS else ("month", 7)
    )
    if unit == "batch":
        return unit, [Period(entry.batch_id, (entry,)) for entry in entries]
    return unit, [
        Period(name, tuple(of)) for name, of in groupby(entries, key=lambda entry: entry.processed_at[:length])
    ]


def _models(entries: Iterable[BatchStats]) -> list[str]:
    """Return the model ids, the most recently used first."""
    return list(dict.fromkeys(entry.model_id for entry in reversed(list(entries))))


def _periods(periods: Iterable[Period], references: Mapping[str, Reference]) -> list[Json]:
    before: dict[str, PageCounts] = {}  # by model, all it has read so far
    rows = []
    for period in periods:
        model_id = period.model_id
        own = sum_counts(entry for entry in period.batches if entry.model_id == model_id)
        earlier = before.get(model_id, PageCounts())
        rows.append(
            {
                "name": period.name,
                "from": period.batches[0].processed_at,
                "to": period.batches[-1].processed_at,
                "model_id": model_id,
                **_summary(period.batches),
                "drift": _drift(own, find_reference(references, model_id)),
                "drift_before": {
                    "confidence": measure_drift(own.confidence, earlier.confidence).to_json(),
                    "digits": measure_drift(own.digits, earlier.digits).to_json(),
                },
            }
        )
        for entry in period.batches:
            before[entry.model_id] = before.get(entry.model_id, PageCounts()) + entry.counts
    return rows


def _model(name: str, entries: Iterable[BatchStats], recent: Iterable[BatchStats], reference: Reference | None) -> Json:
    own = [entry for entry in entries if entry.model_id == name]
    lately = [entry for entry in recent if entry.model_id == name]
    return {
        "model_id": name,
        "all": _summary(own),
        "recent": _summary(lately),
        "drift": _drift(sum_counts(lately or own), reference),
        "reference": None if reference is None else asdict(reference),
    }


def _summary(entries: Sequence[BatchStats]) -> Json:
    tally = sum_counts(entries)
    speeds = [entry.files_per_s for entry in entries if entry.files_per_s is not None]
    return {
        "batches": len(entries),
        "files": sum(entry.files for entry in entries),
        "pages": tally.pages,
        "automation": wilson(tally.accepted, tally.pages).to_json(),
        "rejected": wilson(tally.rejected, tally.pages).to_json(),
        "held_back_wrong": wilson(tally.in_review_wrong, tally.in_review_resolved).to_json(),
        "audit": clopper_pearson(tally.audit_wrong, tally.audit_resolved).to_json(),
        "labelled": clopper_pearson(tally.labelled_wrong, tally.labelled).to_json(),
        "digits": list(tally.digits),
        "confidence": list(tally.confidence),
        "files_per_s": median(speeds) if speeds else None,
        "files_per_s_range": [min(speeds), max(speeds)] if speeds else None,
    }


def _drift(tally: PageCounts, reference: Reference | None) -> Json:
    """Return the drift against training; None where the model's card lacks the distributions."""
    confidence = reference.confidence if reference else None
    digits = reference.digits if reference else None
    return {
        "confidence": None if confidence is None else measure_drift(tally.confidence, confidence).to_json(),
        "digits": None if digits is None else measure_drift(tally.digits, digits).to_json(),
    }
