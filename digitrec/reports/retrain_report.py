"""The page about what a model learned from corrections: `reports/learning/<model>/` with index.html and report.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from digitrec.reports.batch import Json
from digitrec.reports.evaluation_report import write_report
from digitrec.reports.statistics import Proportion
from digitrec.reports.thumbnails import shrink_png

MAX_SUSPECTS = 100
"""Pictures on the page; the rest is counted."""
_SIDE = 96


@dataclass(frozen=True, slots=True)
class RetrainFacts:
    """Which model, from which, and when."""

    model_id: str
    before_id: str
    """The model that was in use."""
    app_version: str
    made_at: str
    """ISO 8601 UTC."""
    max_error: float
    pages: Mapping[str, int]
    """Counts: `learned`, `held_out`, `confirmed`, `corrected`, `repeated`, `missing`."""
    is_promoted: bool | None
    """None if it was not to be decided."""


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One model on the held-out corrected pages."""

    accuracy: Proportion
    accepted: Proportion
    accepted_wrong: Proportion


@dataclass(frozen=True, slots=True)
class ComparisonFacts:
    """Two models on the same things, by McNemar's exact test."""

    items: str
    pictures: int
    current_right: int
    candidate_right: int
    only_current: int
    only_candidate: int
    p_worse: float
    is_worse: bool


@dataclass(frozen=True, slots=True)
class SuspectedLabel:
    """A correction that may be a mistake."""

    file: str
    page: int
    label: str
    """What a person said."""
    before: str
    """What the model in use says."""
    before_confidence: float
    after: str
    after_confidence: float
    is_held_out: bool
    preview_png: bytes


def write_retrain_report(
    folder: Path,
    facts: RetrainFacts,
    before: ModelMetrics,
    after: ModelMetrics,
    compared: Sequence[ComparisonFacts],
    suspects: Sequence[SuspectedLabel],
    won_over: int,
) -> Path:
    """Write the page and its numbers; gives the path of the page.

    Args:
        folder: of this model.
        facts: about it.
        before: the model in use, on the held-out corrected pages.
        after: the new one, on the same.
        compared: both, on everything they were compared on.
        suspects: corrections that may be mistakes, the most suspicious first.
        won_over: corrections that the model in use contradicted confidently, and the new one agrees with.
    """
    report: Json = {
        "kind": "learning",
        **asdict(facts),
        "before": _numbers(before),
        "after": _numbers(after),
        "compared": [_comparison_json(comparison) for comparison in compared],
        "suspects_total": len(suspects),
        "suspects": [{key: value for key, value in asdict(one).items() if key != "preview_png"} for one in suspects],
        "won_over": won_over,
    }
    shown = [(one, shrink_png(one.preview_png, _SIDE) if one.preview_png else b"") for one in suspects[:MAX_SUSPECTS]]
    return write_report(folder, "learning.html.j2", report, {}, suspects=shown)


def _numbers(one: ModelMetrics) -> Json:
    shares = {"right": one.accuracy, "accepted": one.accepted, "accepted_wrong": one.accepted_wrong}
    return {name: share.to_json() for name, share in shares.items()}


def _comparison_json(comparison: ComparisonFacts) -> Json:
    fields = asdict(comparison)
    return {"things": fields.pop("items"), **fields}
