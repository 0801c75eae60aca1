"""How it goes over time: the numbers of the trend page, from the entries of all batches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import reduce
from itertools import groupby
from operator import add
from statistics import median

from digitrec.reporting.batch import CONFIDENCE_EDGES, Json
from digitrec.reporting.drift import FEWEST, THRESHOLD, drift
from digitrec.reporting.entries import BatchEntry, Tally, moment
from digitrec.reporting.intervals import Proportion, clopper_pearson, wilson
from digitrec.reporting.reference import Reference

RECENT_DAYS = 30
MOST_BATCHES, MOST_DAYS = 40, 92
"""Shown one by one; more batches are put together by day, more days by month."""


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
