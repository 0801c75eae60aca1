"""Write evaluation reports: `reports/evaluation/<model>/<data>/` with index.html, report.json and the figures."""

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
"""Upper limit of errors on the page of a pipeline evaluation."""
MAX_PICTURE_ERRORS = 40
"""Upper limit of errors on the page of an array set."""

_READ_AS = (*READ_AS[:10], "none")
"""Columns of the confusion matrix of digits."""


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """Model, data set and time of an evaluation."""

    model_id: str
    data: str
    """Name of the data set."""
    source: str
    """Origin of the data set."""
    digest: str
    """Digest of the content of the data set."""
    app_version: str
    evaluated_at: str
    """ISO 8601 UTC."""
    max_error: float | None = None
    """Target error rate of the accepted answers; None if unknown."""


def write_evaluation(
    folder: Path,
    facts: EvaluationFacts,
    evaluation: Evaluation,
    pictures: Picture,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write the report of a classifier on an array set; return the path of the page.

    Args:
        folder: folder of the report.
        facts: model, data set and time.
        evaluation: the metrics.
        pictures: the evaluated pictures, (n, 28, 28), 255 = ink.
        history: training history as Keras returns it (loss, accuracy, val_loss, val_accuracy); None if unknown.
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
        matrix=build_matrix(evaluation.confusion, READ_AS[:10], _READ_AS, _cell_pictures(evaluation, pictures)),
        errors=[
            (result, encode_thumbnail(_dark_on_light(pictures[result.index])))
            for result in evaluation.errors[:MAX_PICTURE_ERRORS]
        ],
    )


def write_page_evaluation(folder: Path, facts: EvaluationFacts, evaluation: PageEvaluation) -> Path:
    """Write the report of the full pipeline on labelled pages; return the path of the page."""
    figures = {}
    confusion = [digit.read_as for digit in evaluation.digits]
    if any(digit.pages for digit in evaluation.digits):
        figures["confusion"] = charts.draw_confusion_matrix(confusion, READ_AS, READ_AS[:10])
    if evaluation.ece is not None:
        figures["reliability"] = charts.draw_reliability_diagram(evaluation.reliability)
    if evaluation.risk_coverage:
        figures["risk_coverage"] = charts.draw_risk_coverage(
            evaluation.risk_coverage, evaluation.accepted, evaluation.accepted_wrong
        )
    report = _report("pages", facts, evaluation.to_json())
    statuses = [
        (str(digit.digit), {"accepted": digit.accepted, "review": digit.review, "rejected": digit.rejected})
        for digit in evaluation.digits
    ]
    return write_report(
        folder,
        "page_evaluation.html.j2",
        report,
        figures,
        matrix=build_matrix(confusion, READ_AS[:10], READ_AS, _cell_previews(evaluation)),
        chart=build_bar_chart("became", "Status of the pages by digit", statuses),
        errors=evaluation.errors[:MAX_PAGE_ERRORS],
        reason_words={reason.value: reason.description for reason, _ in evaluation.reasons},
    )


def _cell_pictures(evaluation: Evaluation, pictures: Picture) -> dict[tuple[int, int], list[MatrixPicture]]:
    """Return the pictures by (digit, column): errors with the highest, correct ones with the lowest confidence."""
    cells: dict[tuple[int, int], list[MatrixPicture]] = {}
    for result in (*evaluation.errors, *evaluation.narrow_correct):
        cell = cells.setdefault((result.truth, result.read_as), [])
        if len(cell) < MAX_ERRORS_PER_CELL:
            caption = f"{html.format_percent(result.confidence)}, no. {result.index}"
            cell.append(MatrixPicture(encode_thumbnail(_dark_on_light(pictures[result.index])), caption))
    return cells


def _cell_previews(evaluation: PageEvaluation) -> dict[tuple[int, int], list[MatrixPicture]]:
    cells = {}
    for cell, rows in evaluation.cells.items():
        previews = [(row, row.preview_png) for row in rows if row.preview_png]
        cells[cell] = [
            MatrixPicture(shrink_png(png), f"{html.format_percent(row.confidence)}, row {row.row}")
            for row, png in previews[:MAX_ERRORS_PER_CELL]
        ]
    return cells


def _dark_on_light(ink: Picture) -> Picture:
    return np.asarray(255 - ink, np.uint8)  # (28, 28), 255 = ink -> 0 = ink


def write_report(folder: Path, template: str, report: Json, figures: Mapping[str, bytes], **content: object) -> Path:
    """Write figures, report.json and the page made of both; remove the figures of an earlier report."""
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
