"""Charts of the evaluation reports: calibration, threshold, digits and training."""

from collections.abc import Mapping, Sequence
from math import floor

from digitrec.reports.chart import Chart, Interval, Series
from digitrec.reports.evaluation import ClassScore
from digitrec.reports.reliability import ReliabilityBin, RiskPoint
from digitrec.reports.statistics import Proportion, Range

_MARGIN = 0.05
"""Share of answers shown before the first error, or before the threshold in use."""


def chart_reliability(bins: Sequence[ReliabilityBin]) -> Chart:
    """Return the chart of accuracy against confidence; the area of a dot is the number of answers of its bin."""
    filled = [item for item in bins if item.confidence is not None]
    measured = Series(
        "correct, with the 95 % interval",
        "c1",
        [item.accuracy for item in filled],
        "dots",
        [item.confidence or 0.0 for item in filled],
        [(item.accuracy_low, item.accuracy_high) for item in filled],
        [item.count for item in filled],
    )
    return Chart(
        "reliability",
        "Reliability",
        [measured],
        x_label="confidence",
        y_label="correct",
        y_range=(0.0, 1.0),
        unit="share",
        is_diagonal=True,
        words="The area of a dot is its number of answers. On the dashed line, confidence and accuracy are equal.",
    )


def chart_risk_coverage(points: Sequence[RiskPoint], accepted: Proportion, wrong: Proportion) -> Chart:
    """Return the chart of the error rate against the share accepted, from just below the first error.

    Args:
        points: points of the curve.
        accepted: share accepted at the threshold in use.
        wrong: error rate at that threshold.
    """
    start = _find_start(points, accepted.share)
    drawn = [point for point in points if point.coverage >= start]
    coverage = [point.coverage for point in drawn]
    risk = [point.risk for point in drawn]
    bounds: list[Interval] = [(point.low, point.high) for point in drawn]
    series = [
        Series("", "c1", risk, "band", coverage, bounds),
        Series("error rate, with its 95 % interval", "c1 plain", risk, "line", coverage),
    ]
    top = max(risk, default=0.0)
    if accepted.share is not None and wrong.share is not None:
        ends: list[Interval] = [(wrong.low, wrong.high)]
        series.append(Series("threshold in use", "c2", [wrong.share], "dots", [accepted.share], ends))
        top = max(top, wrong.high)
    has_errors = any(point.risk for point in points)
    return Chart(
        "risk_coverage",
        "Error rate by share accepted",
        series if has_errors else [],
        x_label="share accepted",
        y_label="error rate",
        x_range=(start, max(coverage, default=1.0)) if len(coverage) > 1 else (0.0, 1.0),
        y_range=(0.0, 1.15 * top or 1.0),
        unit="share",
        words="A lower threshold accepts more, and more of it is wrong.",
        empty="No answer that could be accepted is wrong, so the error rate is 0 at every threshold.",
    )


def _find_start(points: Sequence[RiskPoint], in_use: float | None) -> float:
    """Return the share accepted from which the chart begins: nothing happens below."""
    first_error = next((point.coverage for point in points if point.risk), 1.0)
    start = max(first_error, 0.5)  # the curve of a few answers is noise
    if in_use:
        start = min(start, in_use)
    return max(0.0, floor(20 * (start - _MARGIN)) / 20)


def chart_class_scores(per_class: Sequence[ClassScore]) -> Chart:
    """Return the chart of precision and recall of each digit, on an axis from just below the lowest value to 1."""
    present = [score for score in per_class if score.precision is not None and score.recall is not None]
    series, lowest = [], 1.0
    for offset, kind, name in ((-0.12, "c1", "precision"), (0.12, "c2", "recall")):
        values: list[float] = [getattr(score, name) for score in present]
        ranges: list[Range | None] = [getattr(score, f"{name}_range") for score in present]
        lowest = min([lowest, *values, *(interval.low for interval in ranges if interval)])
        ends: list[Interval] = [(interval.low, interval.high) if interval else None for interval in ranges]
        # Dots, not bars: the axis does not begin at 0, and the length of a bar would mislead.
        series.append(Series(name, kind, values, "dots", [i + offset for i in range(len(present))], ends))
    span = max(0.002, 1 - lowest)
    return Chart(
        "classes",
        "Precision and recall",
        series,
        [str(score.digit) for score in present],
        x_label="digit",
        y_range=(1 - 1.15 * span, 1.0),
        unit="share",
        words="Precision: share of correct answers among the pictures read as this digit. Recall: share of its "
        "pictures that were read correctly.",
    )


def chart_training(history: Mapping[str, Sequence[float]], name: str) -> Chart:
    """Return the chart of a metric per epoch on training and validation data; `history` as Keras returns it."""
    curves = (("training", "c2", history.get(name, ())), ("validation", "c1", history.get(f"val_{name}", ())))
    series = [Series(label, kind, values, "line") for label, kind, values in curves if values]
    epochs = max(len(item.values) for item in series)
    lowest = min(min(value for value in item.values if value is not None) for item in series)
    return Chart(
        f"training_{name}",
        name.capitalize(),
        series,
        [str(epoch) for epoch in range(1, epochs + 1)],
        x_label="epoch",
        y_range=(lowest - 0.1 * (1 - lowest), 1.0) if name == "accuracy" and lowest < 1 else None,
        unit="share" if name == "accuracy" else "number",
    )
