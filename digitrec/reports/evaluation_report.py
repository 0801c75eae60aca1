"""Write evaluation reports: `reports/evaluation/<model>/<data>/` with index.html, report.json and the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from digitrec.arrays import Picture
from digitrec.reports import html, png
from digitrec.reports.batch import Json
from digitrec.reports.chart import build_bar_chart
from digitrec.reports.confusion_matrix import MAX_ERRORS_PER_CELL, MatrixPicture, build_matrix
from digitrec.reports.evaluation import Evaluation
from digitrec.reports.evaluation_charts import (
    chart_class_scores,
    chart_reliability,
    chart_risk_coverage,
    chart_training,
)
from digitrec.reports.page_evaluation import READ_AS, PageEvaluation
from digitrec.reports.report_files import write_report
from digitrec.reports.thumbnails import encode_strips, encode_thumbnail, join_pictures, shrink_png

MAX_PAGE_ERRORS = 60
"""Upper limit of errors on the page of a pipeline evaluation."""
MAX_PICTURE_ERRORS = 40
"""Upper limit of errors on the page of an array set."""
MAX_PER_PAIR = 12
"""Upper limit of pictures of a confused pair."""
STATUS_WORDS = {"review": "needs review"}

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
    plots = [
        chart_reliability(evaluation.reliability),
        chart_risk_coverage(evaluation.risk_coverage, evaluation.accepted, evaluation.accepted_wrong),
        chart_class_scores(evaluation.per_class),
    ]
    figures = {"confusion": partial(png.draw_confusion_matrix, evaluation.confusion, _READ_AS, READ_AS[:10])}
    report = _report("digits", facts, evaluation.to_json())
    strips = _pair_strips(evaluation, pictures)
    if strips:
        figures["pairs"] = partial(png.draw_strips, strips)
    if history:
        plots += [chart_training(history, "loss"), chart_training(history, "accuracy")]
        report["history"] = {key: [float(value) for value in values] for key, values in history.items()}
    return write_report(
        folder,
        "evaluation.html.j2",
        report,
        plots,
        figures,
        matrix=build_matrix(evaluation.confusion, READ_AS[:10], _READ_AS, _cell_pictures(evaluation, pictures)),
        pairs=encode_strips(strips),
        errors=[
            (result, encode_thumbnail(_dark_on_light(pictures[result.index])))
            for result in evaluation.errors[:MAX_PICTURE_ERRORS]
        ],
    )


def write_page_evaluation(folder: Path, facts: EvaluationFacts, evaluation: PageEvaluation) -> Path:
    """Write the report of the full pipeline on labelled pages; return the path of the page."""
    plots, figures = [], {}
    confusion = [digit.read_as for digit in evaluation.digits]
    if any(digit.pages for digit in evaluation.digits):
        figures["confusion"] = partial(png.draw_confusion_matrix, confusion, READ_AS, READ_AS[:10])
        statuses = [
            (str(digit.digit), {"accepted": digit.accepted, "review": digit.review, "rejected": digit.rejected})
            for digit in evaluation.digits
        ]
        plots.append(build_bar_chart("became", "Status of the pages by digit", statuses, STATUS_WORDS))
    if evaluation.ece is not None:
        plots.append(chart_reliability(evaluation.reliability))
    if evaluation.risk_coverage:
        plots.append(chart_risk_coverage(evaluation.risk_coverage, evaluation.accepted, evaluation.accepted_wrong))
    return write_report(
        folder,
        "page_evaluation.html.j2",
        _report("pages", facts, evaluation.to_json()),
        plots,
        figures,
        matrix=build_matrix(confusion, READ_AS[:10], READ_AS, _cell_previews(evaluation)),
        errors=evaluation.errors[:MAX_PAGE_ERRORS],
        reason_words={reason.value: reason.description for reason, _ in evaluation.reasons},
    )


def _pair_strips(evaluation: Evaluation, pictures: Picture) -> dict[str, Picture]:
    """Return the most confident errors of the most confused pairs, side by side, by a label of the pair."""
    strips = {}
    for pair in evaluation.top_confusions:
        indices = [
            error.index for error in evaluation.errors if (error.truth, error.read_as) == (pair.truth, pair.read_as)
        ]
        strips[f"{pair.truth} as {pair.read_as}"] = join_pictures(
            [_dark_on_light(pictures[index]) for index in indices[:MAX_PER_PAIR]]
        )
    return strips


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


def _report(what: str, facts: EvaluationFacts, numbers: Json) -> Json:
    return {"kind": "evaluation", "measured": what, **asdict(facts), **numbers}
