"""The evaluation report: `reports/evaluation/<model>/<data>/` with index.html, report.json and the figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from digitrec import files
from digitrec.pictures import Picture
from digitrec.reporting import charts, pages
from digitrec.reporting.batch import Json
from digitrec.reporting.evaluation import Evaluation
from digitrec.reporting.page_evaluation import READ_AS, PageEvaluation
from digitrec.reporting.svg import bar_chart

SHOWN_MISTAKES = 60
"""Pictures of mistakes on the page of a pipeline evaluation; the rest is counted."""

_READ_AS = (*READ_AS[:10], "none")
"""Columns of the confusion of digits."""


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """What was measured, on what, and when."""

    model_id: str
    data: str
    """The data set's name."""
    source: str
    """Where it came from, in words."""
    digest: str
    """Of its content."""
    app_version: str
    evaluated_at: str
    """ISO 8601 UTC."""
    max_error: float | None = None
    """The share of wrong answers among the accepted that the threshold was chosen for; None if unknown."""


def write_evaluation(
    folder: Path,
    facts: EvaluationFacts,
    evaluation: Evaluation,
    pictures: Picture,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write the report of a classifier on an array set; gives the path of the page.

    `pictures` (n, 28, 28), 255 = ink, are those that were evaluated, in the same order; `history` is the
    model's training as Keras gives it (loss, accuracy, val_loss, val_accuracy), where it is known.
    """
    figures = {
        "confusion": charts.confusion_matrix(evaluation.confusion, _READ_AS, READ_AS[:10]),
        "reliability": charts.reliability_diagram(evaluation.reliability),
        "risk_coverage": charts.risk_coverage_curve(evaluation.risk_coverage, evaluation.threshold),
        "classes": charts.class_bars(evaluation.per_class),
    }
    if evaluation.confused:
        figures["pairs"] = charts.confused_pairs(evaluation.confused, evaluation.mistakes, pictures)
    if history:
        figures["training_loss"] = charts.training_curve(history, "loss")
        figures["training_accuracy"] = charts.training_curve(history, "accuracy")
    report = _report("digits", facts, evaluation.to_json())
    if history:
        report["history"] = {key: [float(value) for value in values] for key, values in history.items()}
    return write_report(folder, "evaluation.html.j2", report, figures)


def write_page_evaluation(folder: Path, facts: EvaluationFacts, evaluation: PageEvaluation) -> Path:
    """Write the report of the whole pipeline on labelled pages; gives the path of the page."""
    figures = {}
    if any(one.pages for one in evaluation.digits):
        figures["confusion"] = charts.confusion_matrix(
            [one.read_as for one in evaluation.digits], READ_AS, READ_AS[:10]
        )
    report = _report("pages", facts, evaluation.to_json())
    statuses = [
        (str(one.digit), {"accepted": one.accepted, "review": one.review, "rejected": one.rejected})
        for one in evaluation.digits
    ]
    return write_report(
        folder,
        "page_evaluation.html.j2",
        report,
        figures,
        chart=bar_chart("became", "What became of each digit's pages", statuses),
        mistakes=evaluation.mistakes[:SHOWN_MISTAKES],
        reason_words={reason.value: reason.words for reason, _ in evaluation.reasons},
    )


def write_report(folder: Path, template: str, report: Json, figures: Mapping[str, bytes], **content: object) -> Path:
    """Write figures, report.json and the page made of both; what an earlier report left of figures goes."""
    files.make_folder(folder)
    for name, png in figures.items():
        files.write_whole(folder / f"{name}.png", png)
    for old in folder.glob("*.png"):
        if old.stem not in figures:
            old.unlink()
    files.write_whole(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    page = folder / "index.html"
    files.write_whole(page, pages.render(template, report=report, figures=figures, **content))
    return page


def _report(what: str, facts: EvaluationFacts, numbers: Json) -> Json:
    return {"kind": "evaluation", "measured": what, **asdict(facts), **numbers}
