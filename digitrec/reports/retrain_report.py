"""Write the report of a training with corrections: `reports/learning/<model>/` with index.html and report.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from digitrec.reports.batch import Json
from digitrec.reports.report_files import write_report
from digitrec.reports.statistics import McNemarResult, Proportion
from digitrec.reports.thumbnails import shrink_png

MAX_SUSPECTS = 100
"""Upper limit of suspected labels on the page."""
_SIDE = 96
"""Longest side of a preview in pixels."""


@dataclass(frozen=True, slots=True)
class RetrainFacts:
    """Model, base model and data of a training."""

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
    """Whether the new model is in use; None if promotion was not requested."""


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """Results of a model on the held-out corrected pages."""

    accuracy: Proportion
    accepted: Proportion
    accepted_wrong: Proportion


@dataclass(frozen=True, slots=True)
class SuspectedLabel:
    """A correction that may be wrong."""

    file: str
    page: int
    label: str
    """Answer of the reviewer."""
    before: str
    """Answer of the model in use."""
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
    compared: Sequence[McNemarResult],
    suspects: Sequence[SuspectedLabel],
    won_over: int,
) -> Path:
    """Write the page and its numbers; return the path of the page.

    Args:
        folder: folder of the report.
        facts: the models and the data.
        before: results of the model in use on the held-out corrected pages.
        after: results of the new model on the same pages.
        compared: comparisons of the two models.
        suspects: corrections that may be wrong, the most suspicious first.
        won_over: number of corrections that only the new model agrees with, and the old one contradicted confidently.
    """
    report: Json = {
        "kind": "learning",
        **asdict(facts),
        "before": _numbers(before),
        "after": _numbers(after),
        "compared": [_comparison_json(comparison) for comparison in compared],
        "suspects_total": len(suspects),
        "suspects": [
            {key: value for key, value in asdict(suspect).items() if key != "preview_png"} for suspect in suspects
        ],
        "won_over": won_over,
    }
    pictured = [
        (suspect, shrink_png(suspect.preview_png, _SIDE) if suspect.preview_png else b"")
        for suspect in suspects[:MAX_SUSPECTS]
    ]
    return write_report(folder, "retrain.html.j2", report, suspects=pictured)


def _numbers(metrics: ModelMetrics) -> Json:
    shares = {"right": metrics.accuracy, "accepted": metrics.accepted, "accepted_wrong": metrics.accepted_wrong}
    return {name: share.to_json() for name, share in shares.items()}


def _comparison_json(comparison: McNemarResult) -> Json:
    fields = asdict(comparison)
    return {"things": fields.pop("items"), **fields, "is_worse": comparison.is_worse}
