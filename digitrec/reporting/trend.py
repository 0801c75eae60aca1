"""How it goes over time: the numbers of the trend page, from the entries of all batches."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import add
from statistics import median

from digitrec.records import Reason, Status
from digitrec.reporting.batch import CONFIDENCE_EDGES, BatchFacts, Json, RowFacts, audit, held_back_wrong
from digitrec.reporting.drift import FEWEST, THRESHOLD, Reference, drift
from digitrec.reporting.statistics import Proportion, clopper_pearson, wilson

RECENT_DAYS = 30
MOST_BATCHES, MOST_DAYS = 40, 92
"""Shown one by one; more batches are put together by day, more days by month."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of pages, of a batch or of several; they add up."""

    pages: int = 0
    accepted: int = 0
    review: int = 0
    rejected: int = 0
    held_back_wrong: int = 0
    """Of those in review that a person settled."""
    held_back_settled: int = 0
    audit_wrong: int = 0
    """Of those accepted that were drawn for an audit, and settled."""
    audit_settled: int = 0
    labelled_wrong: int = 0
    """Of those accepted whose label was known when they were read."""
    labelled: int = 0
    digits: tuple[int, ...] = (0,) * 10
    """How often each digit was read, on pages accepted or held back for their confidence alone."""
    confidence: tuple[int, ...] = (0,) * len(CONFIDENCE_EDGES)
    """Pages per bin of CONFIDENCE_EDGES, and at the end those that no threshold would accept; without rejected ones."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.pages + other.pages,
            self.accepted + other.accepted,
            self.review + other.review,
            self.rejected + other.rejected,
            self.held_back_wrong + other.held_back_wrong,
            self.held_back_settled + other.held_back_settled,
            self.audit_wrong + other.audit_wrong,
            self.audit_settled + other.audit_settled,
            self.labelled_wrong + other.labelled_wrong,
            self.labelled + other.labelled,
            _sums(self.digits, other.digits),
            _sums(self.confidence, other.confidence),
        )


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One batch in the trend."""

    batch_id: str
    model_id: str
    at: str
    """When it was read, ISO 8601 UTC."""
    files: int
    """Answered ones."""
    seconds: float | None
    """From the claim to the answers; None if the ledger does not tell."""
    tally: Tally

    @property
    def speed(self) -> float | None:
        """Files a second; None if it is not known."""
        return self.files / self.seconds if self.seconds and self.files else None


def entry_of(facts: BatchFacts) -> BatchEntry:
    """The entry of a batch."""
    return BatchEntry(
        batch_id=facts.batch_id,
        model_id=facts.model_id,
        at=facts.processed_at,
        files=facts.files.claimed - facts.files.deferred,
        seconds=_seconds(facts.opened_at, facts.processed_at),
        tally=tally_of(facts.rows),
    )


def tally_of(rows: Sequence[RowFacts]) -> Tally:
    """Count a batch's pages."""
    status = Counter(row.status for row in rows)
    judged = [(row.status, row.checked) for row in rows if row.checked is not None]
    held_back, drawn = held_back_wrong(judged), audit(judged)
    labelled = [row for row in rows if row.status is Status.ACCEPTED and row.label]
    return Tally(
        pages=len(rows),
        accepted=status[Status.ACCEPTED],
        review=status[Status.REVIEW],
        rejected=status[Status.REJECTED],
        held_back_wrong=held_back.hits,
        held_back_settled=held_back.of,
        audit_wrong=drawn.hits,
        audit_settled=drawn.of,
        labelled_wrong=sum(row.text != row.label for row in labelled),
        labelled=len(labelled),
        digits=_digits(rows),
        confidence=_confidence(rows),
    )


def _sums(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _is_plain(row: RowFacts) -> bool:
    """Whether a threshold decides about this page."""
    return row.status is Status.ACCEPTED or row.reason is Reason.LOW_CONFIDENCE


def _digits(rows: Iterable[RowFacts]) -> tuple[int, ...]:
    counts = Counter("".join(row.text for row in rows if _is_plain(row)))
    return tuple(counts[digit] for digit in "0123456789")


def _confidence(rows: Iterable[RowFacts]) -> tuple[int, ...]:
    counts = [0] * len(CONFIDENCE_EDGES)
    for row in rows:
        if row.status is Status.REJECTED:
            continue
        if row.confidence is None or not _is_plain(row):
            counts[-1] += 1
        else:
            counts[sum(row.confidence >= edge for edge in CONFIDENCE_EDGES[1:-1])] += 1
    return tuple(counts)


def _seconds(opened_at: str, processed_at: str) -> float | None:
    try:
        took = (moment(processed_at) - moment(opened_at)).total_seconds()
    except ValueError:  # a ledger made again from its CSVs may hold other times
        return None
    return took if took > 0 else None


def moment(iso: str) -> datetime:
    """A time of the ledger; ValueError if it is none."""
    found = datetime.fromisoformat(iso)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A batch, a day or a month."""

    name: str
    entries: tuple[BatchEntry, ...]

    @property
    def tally(self) -> Tally:
        """All its pages."""
        return total(self.entries)

    @property
    def model_id(self) -> str:
        """The model that read most of it."""
        pages: dict[str, int] = {}
        for entry in self.entries:
            pages[entry.model_id] = pages.get(entry.model_id, 0) + entry.tally.pages
        return max(pages, key=lambda name: (pages[name], name))


def total(entries: Iterable[BatchEntry]) -> Tally:
    """The pages of several batches."""
    return reduce(add, (entry.tally for entry in entries), Tally())


def trend_numbers(
    entries: Sequence[BatchEntry], references: Mapping[str, Reference], *, made_at: str, app_version: str
) -> Json:
    """The content of the trend's `report.json`.

    Args:
        entries: of all batches, in any order.
        references: what is known of the models, by id.
        made_at: ISO 8601 UTC; the last RECENT_DAYS days end here.
        app_version: of this program.
    """
    entries = sorted(entries, key=lambda entry: (entry.at, entry.batch_id))
    unit, periods = periods_of(entries)
    since = (moment(made_at) - timedelta(days=RECENT_DAYS)).strftime("%Y-%m-%dT%H:%M:%S")
    recent = [entry for entry in entries if entry.at >= since]
    return {
        "kind": "trend",
        "made_at": made_at,
        "app_version": app_version,
        "unit": unit,
        "recent_days": RECENT_DAYS,
        "drift_threshold": THRESHOLD,
        "drift_fewest": FEWEST,
        "confidence_edges": list(CONFIDENCE_EDGES),
        "all": _summary(entries),
        "recent": _summary(recent),
        "models": [_model(name, entries, recent, references.get(name)) for name in _models(entries)],
        "periods": _periods(periods, references),
    }


def periods_of(entries: Sequence[BatchEntry]) -> tuple[str, list[Period]]:
    """Batches by time, put together by day or month if there are many; what they were put together by."""
    days = {entry.at[:10] for entry in entries}
    unit, length = (
        ("batch", 0) if len(entries) <= MOST_BATCHES else ("day", 10) if len(days) <= MOST_DAYS else ("month", 7)
    )
    if unit == "batch":
        return unit, [Period(entry.batch_id, (entry,)) for entry in entries]
    return unit, [Period(name, tuple(of)) for name, of in groupby(entries, key=lambda entry: entry.at[:length])]


def _models(entries: Iterable[BatchEntry]) -> list[str]:
    """The newest in use first."""
    return list(dict.fromkeys(entry.model_id for entry in reversed(list(entries))))


def _periods(periods: Iterable[Period], references: Mapping[str, Reference]) -> list[Json]:
    before: dict[str, Tally] = {}  # by model, all it has read so far
    found = []
    for one in periods:
        model_id = one.model_id
        own = total(entry for entry in one.entries if entry.model_id == model_id)
        earlier = before.get(model_id, Tally())
        found.append(
            {
                "name": one.name,
                "from": one.entries[0].at,
                "to": one.entries[-1].at,
                "model_id": model_id,
                **_summary(one.entries),
                "drift": _drift(own, references.get(model_id)),
                "drift_before": {
                    "confidence": drift(own.confidence, earlier.confidence).to_json(),
                    "digits": drift(own.digits, earlier.digits).to_json(),
                },
            }
        )
        for entry in one.entries:
            before[entry.model_id] = before.get(entry.model_id, Tally()) + entry.tally
    return found


def _model(name: str, entries: Iterable[BatchEntry], recent: Iterable[BatchEntry], known: Reference | None) -> Json:
    own = [entry for entry in entries if entry.model_id == name]
    lately = [entry for entry in recent if entry.model_id == name]
    return {
        "model_id": name,
        "all": _summary(own),
        "recent": _summary(lately),
        "drift": _drift(total(lately or own), known),
        "reference": None if known is None else asdict(known),
    }


def _summary(entries: Sequence[BatchEntry]) -> Json:
    tally = total(entries)
    speeds = [entry.speed for entry in entries if entry.speed is not None]
    return {
        "batches": len(entries),
        "files": sum(entry.files for entry in entries),
        "pages": tally.pages,
        "automation": wilson(tally.accepted, tally.pages).to_json(),
        "rejected": wilson(tally.rejected, tally.pages).to_json(),
        "held_back_wrong": wilson(tally.held_back_wrong, tally.held_back_settled).to_json(),
        "audit": _exact(tally.audit_wrong, tally.audit_settled).to_json(),
        "labelled": _exact(tally.labelled_wrong, tally.labelled).to_json(),
        "digits": list(tally.digits),
        "confidence": list(tally.confidence),
        "files_per_s": median(speeds) if speeds else None,
        "files_per_s_range": [min(speeds), max(speeds)] if speeds else None,
    }


def _exact(hits: int, of: int) -> Proportion:
    return clopper_pearson(hits, of) if of else wilson(0, 0)


def _drift(tally: Tally, known: Reference | None) -> Json:
    """Against training; None where the model's card does not tell what it was."""
    confidence = known.confidence if known else None
    digits = known.digits if known else None
    return {
        "confidence": None if confidence is None else drift(tally.confidence, confidence).to_json(),
        "digits": None if digits is None else drift(tally.digits, digits).to_json(),
    }
