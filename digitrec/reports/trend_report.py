"""Write the trend report: `reports/trend/` with index.html, report.json and the figures."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from digitrec import files
from digitrec.reports.batch import CONFIDENCE_EDGES, Json
from digitrec.reports.chart import Chart, Interval, Series
from digitrec.reports.drift import Reference
from digitrec.reports.report_files import write_report
from digitrec.reports.trend import BatchStats, summarize_trend

TREND_DIR = "trend"
"""Folder of the trend report in the reports folder."""
_LABEL_PART = {"batch": slice(4, 13), "day": slice(5, 10), "month": slice(0, 7)}
"""Part of the name of a period used as axis label."""

_TOO_FEW = "A course over time takes two batches with this figure."


def write_trend(
    folder: Path,
    entries: Sequence[BatchStats],
    references: Mapping[str, Reference],
    *,
    made_at: str,
    app_version: str,
    has_png: bool = False,
) -> Path:
    """Write the page, its numbers and its figures; return the path of the page.

    Args:
        folder: `reports/trend`.
        entries: statistics of all batches.
        references: distributions of each model's training, by model id.
        made_at: ISO 8601 UTC.
        app_version: version of this program.

        has_png: also write each chart as PNG, if matplotlib and seaborn are installed; loading them takes a second.
    """
    report = summarize_trend(entries, references, made_at=made_at, app_version=app_version)
    files.make_dir(folder.parent)
    return write_report(folder, "trend.html.j2", report, _charts(report), has_png=has_png)


def _charts(report: Json) -> list[Chart]:
    periods: list[Json] = report["periods"]
    if not periods:
        return []
    labels = [_axis_label(period["name"], report["unit"]) for period in periods]
    speeds = [period["files_per_s"] for period in periods]
    distances = [
        (f"{what} against {against}", [(period[key][what] or {}).get("psi") for period in periods])
        for key, against in (("drift", "training"), ("drift_before", "before"))
        for what in ("confidence", "digits")
    ]
    return [
        _chart_share("automation", "Pages accepted", labels, periods, "automation"),
        _chart_share("errors_in_review", "Error rate in review", labels, periods, "held_back_wrong"),
        _chart_share("errors_accepted", "Estimated error rate of accepted answers", labels, periods, "audit"),
        Chart(
            "drift",
            "Population stability index",
            [_over_time(label, f"c{i}", values) for i, (label, values) in enumerate(distances, start=1)],
            labels,
            unit="number",
            limit=report["drift_threshold"],
            words="Dashed: the threshold.",
            empty=f"No index over time yet: it takes two batches with {report['drift_fewest']} answers each.",
        ),
        Chart(
            "speed",
            "Files per second",
            [_over_time("files per second", "c1", speeds)],
            labels,
            unit="number",
            words="Small batches are slower because of the fixed cost of a start.",
            empty=_TOO_FEW,
        ),
        *_distributions(report),
    ]


def _axis_label(name: str, unit: str) -> str:
    """Return a short name of a period: month and day, and the time of a batch."""
    part = name[_LABEL_PART[unit]]
    return f"{part[:2]}-{part[2:4]} {part[5:7]}:{part[7:9]}" if unit == "batch" else part


def _chart_share(name: str, title: str, labels: Sequence[str], periods: Sequence[Json], key: str) -> Chart:
    shares = [period[key] for period in periods]
    ends: list[Interval] = [(share["low"], share["high"]) for share in shares]
    series = _over_time(title.lower(), "c1", [share["share"] for share in shares], ends)
    return Chart(name, title, [series], labels, unit="share", words="With 95\u202f% intervals.", empty=_TOO_FEW)


def _over_time(label: str, kind: str, values: Sequence[float | None], ranges: Sequence[Interval] = ()) -> Series:
    """Return a line; without values if there is only one, which the table of the page shows as well."""
    has_course = sum(value is not None for value in values) > 1
    return Series(label, kind, values if has_course else [], "line", ranges=ranges)


def _distributions(report: Json) -> list[Chart]:
    """Return charts of the recent digits and confidences of the newest model, beside those of its training."""
    newest = report["models"][0]
    recent = newest["recent"] if newest["recent"]["pages"] else newest["all"]
    label = f"last {report['recent_days']} days" if newest["recent"]["pages"] else "all the time"
    reference = newest["reference"] or {"digits": None, "confidence": None}
    source = reference.get("confidence_source") or ""
    edges = [f"{100 * low:.4g}" for low, _ in pairwise(CONFIDENCE_EDGES)]
    return [
        Chart(
            "digits",
            "Digits",
            _share_series({label: recent["digits"], "training": reference["digits"]}),
            list("0123456789"),
            y_label="share of digits",
            unit="share",
            words="Recent answers and training data.",
        ),
        Chart(
            "confidence",
            "Confidence",
            _share_series({label: recent["confidence"], source: reference["confidence"]}),
            [*edges, "never"],
            x_label="confidence, % and above",
            y_label="share of pages",
            unit="share",
            words="Recent pages, and the pages that the threshold was calibrated on. Never: accepted at no threshold.",
        ),
    ]


def _share_series(counts: Mapping[str, Sequence[float] | None]) -> list[Series]:
    return [
        Series(label, f"c{i}", [count / sum(values) for count in values])
        for i, (label, values) in enumerate(counts.items(), start=1)
        if values and sum(values)
    ]
