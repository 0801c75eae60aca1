"""The evaluation report: `reports/evaluation/<model>/<data>/` with index.html, report.json and the figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from digitrec import files
from digitrec.arrays import Picture
from digitrec.reports import charts, html
from digitrec.reports.batch import Json
from digitrec.reports.confusion_matrix import MAX_ERRORS_PER_CELL, MatrixPicture, build_matrix
from digitrec.reports.evaluation import Evaluation
from digitrec.reports.page_evaluation import READ_AS, PageEvaluation
from digitrec.reports.svg import build_bar_chart
from digitrec.reports.thumbnails import encode_thumbnail, shrink_png

MAX_PAGE_ERRORS = 60
"""Pictures of mistakes on the page of a pipeline evaluation; the rest is counted."""
MAX_PICTURE_ERRORS = 40
"""The same on the page of an array set, where they are small."""

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
        "confusion": charts.draw_confusion_matrix(evaluation.confusion, _READ_AS, READ_AS[:10]),
        "reliability": charts.draw_reliability_diagram(evaluation.reliability),
        "risk_coverage": charts.draw_risk_coverage(
            evaluation.risk_coverage, evaluation.accepted, evaluation.accepted_wrong
        ),
        "classes": charts.draw_class_scores(evaluation.per_class),
    }
    if evaluation.top_confusions:
        figures["pairs"] = charts.draw_confused_pairs(evaluation.top_confusions, evaluation.errors, pictures)
    if history:
        figures["training_loss"] = charts.draw_training_curve(history, "loss")
        figures["training_accuracy"] = charts.draw_training_curve(history, "accuracy")
    report = _report("digits", facts, evaluation.to_json())
    if history:
        report["history"] = {key: [float(value) for value in values] for key, values in history.items()}
    return write_report(
        folder,
        "evaluation.html.j2",
        report,
        figures,
        matrix=build_matrix(evaluation.confusion, READ_AS[:10], _READ_AS, _shown(evaluation, pictures)),
        surest=[(one, encode_thumbnail(_paper(pictures[one.index]))) for one in evaluation.errors[:MAX_PICTURE_ERRORS]],
    )


def write_page_evaluation(folder: Path, facts: EvaluationFacts, evaluation: PageEvaluation) -> Path:
    """Write the report of the whole pipeline on labelled pages; gives the path of the page."""
    figures = {}
    if any(one.pages for one in evaluation.digits):
        figures["confusion"] = charts.draw_confusion_matrix(
            [one.read_as for one in evaluation.digits], READ_AS, READ_AS[:10]
        )
    if evaluation.ece is not None:
        figures["reliability"] = charts.draw_reliability_diagram(evaluation.reliability)
    if evaluation.risk_coverage:
        figures["risk_coverage"] = charts.draw_risk_coverage(
            evaluation.risk_coverage, evaluation.accepted, evaluation.accepted_wrong
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
        matrix=build_matrix([one.read_as for one in evaluation.digits], READ_AS[:10], READ_AS, _previews(evaluation)),
        chart=build_bar_chart("became", "What became of each digit's pages", statuses),
        errors=evaluation.errors[:MAX_PAGE_ERRORS],
        reason_words={reason.value: reason.description for reason, _ in evaluation.reasons},
    )


def _shown(evaluation: Evaluation, pictures: Picture) -> dict[tuple[int, int], list[MatrixPicture]]:
    """The pictures of each cell, (digit, column): the surest mistakes, the least sure of what is right."""
    found: dict[tuple[int, int], list[MatrixPicture]] = {}
    for one in (*evaluation.errors, *evaluation.narrow_correct):
        cell = found.setdefault((one.truth, one.read_as), [])
        if len(cell) < MAX_ERRORS_PER_CELL:
            words = f"{html.format_percent(one.confidence)}, no. {one.index}"
            cell.append(MatrixPicture(encode_thumbnail(_paper(pictures[one.index])), words))
    return found


def _previews(evaluation: PageEvaluation) -> dict[tuple[int, int], list[MatrixPicture]]:
    found = {}
    for cell, rows in evaluation.cells.items():
        pictured = [(row, row.preview_png) for row in rows if row.preview_png]
        found[cell] = [
            MatrixPicture(shrink_png(png), f"{html.format_percent(row.confidence)}, row {row.row}")
            for row, png in pictured[:MAX_ERRORS_PER_CELL]
        ]
    return found


def _paper(ink: Picture) -> Picture:
    """As on paper: dark on light; (28, 28), 255 = ink in, 0 = ink out."""
    return np.asarray(255 - ink, np.uint8)


def write_report(folder: Path, template: str, report: Json, figures: Mapping[str, bytes], **content: object) -> Path:
    """Write figures, report.json and the page made of both; what an earlier report left of figures goes."""
    files.make_dir(folder)
    for name, png in figures.items():
        files.atomic_write(folder / f"{name}.png", png)
    for old in folder.glob("*.png"):
        if old.stem not in figures:
            old.unlink()
    files.atomic_write(folder / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    page = folder / "index.html"
    files.atomic_write(page, html.render_template(template, report=report, figures=figures, **content))
    return page


def _report(what: str, facts: EvaluationFacts, numbers: Json) -> Json:
    return {"kind": "evaluation", "measured": what, **asdict(facts), **numbers}
