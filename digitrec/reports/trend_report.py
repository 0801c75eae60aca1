"""Write the trend report: `reports/trend/` with index.html, report.json and the figures."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from digitrec import files
from digitrec.errors import require_packages
from digitrec.reports import charts
from digitrec.reports.batch import CONFIDENCE_EDGES, Json
from digitrec.reports.charts import Series
from digitrec.reports.drift import Reference
from digitrec.reports.evaluation_report import write_report
from digitrec.reports.trend import BatchStats, summarize_trend

TREND_DIR = "trend"
"""Folder of the trend report in the reports folder."""
_LABEL_PART = {"batch": slice(4, 13), "day": slice(2, 10), "month": slice(0, 7)}
"""Part of the name of a period used as axis label."""
_SHARES = "share of pages"


def write_trend(
    folder: Path,
    entries: Sequence[BatchStats],
    references: Mapping[str, Reference],
    *,
    made_at: str,
    app_version: str,
) -> Path:
    """Write the page, its numbers and its figures; return the path of the page.

    Args:
        folder: `reports/trend`.
        entries: statistics of all batches.
        references: distributions of each model's training, by model id.
        made_at: ISO 8601 UTC.
        app_version: version of this program.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    require_packages("reports/trend", "matplotlib")
    report = summarize_trend(entries, references, made_at=made_at, app_version=app_version)
    files.make_dir(folder.parent)
    return write_report(folder, "trend.html.j2", report, _figures(report))


def _figures(report: Json) -> dict[str, bytes]:
    periods: list[Json] = report["periods"]
    if not periods:
        return {}
    labels = [_axis_label(period["name"], report["unit"]) for period in periods]
    figures = {
        "automation": charts.draw_time_series(labels, [_share_series("accepted", periods, "automation")], _SHARES),
        **_error_figure(periods, "held_back_wrong", "errors_in_review", labels, "wrong, of those resolved"),
        **_error_figure(periods, "audit", "errors_accepted", labels, "wrong, of those audited"),
        "drift": charts.draw_time_series(labels, _drift_series(periods), "PSI", report["drift_threshold"]),
    }
    if any(period["files_per_s"] for period in periods):
        speed = Series("median of the batches", [(period["files_per_s"], None) for period in periods])
        figures["speed"] = charts.draw_time_series(labels, [speed], "files per second")
    return figures | _distributions(report)


def _axis_label(name: str, unit: str) -> str:
    """Return a short name of a period: month and day, and the time of a batch."""
    part = name[_LABEL_PART[unit]]
    return f"{part[:2]}-{part[2:4]} {part[5:7]}:{part[7:9]}" if unit == "batch" else part


def _share_series(label: str, periods: Sequence[Json], key: str) -> Series:
    shares = [period[key] for period in periods]
    return Series(label, [(share["share"], (share["low"], share["high"])) for share in shares])


def _error_figure(
    periods: Sequence[Json], key: str, figure: str, labels: Sequence[str], label: str
) -> dict[str, bytes]:
    """Draw an error rate over time; no figure without counts."""
    if not any(period[key]["of"] for period in periods):
        return {}
    return {figure: charts.draw_time_series(labels, [_share_series(label, periods, key)], "error rate")}


def _drift_series(periods: Sequence[Json]) -> list[Series]:
    return [
        Series(f"{what} against {against}", [((period[key][what] or {}).get("psi"), None) for period in periods])
        for key, against in (("drift", "training"), ("drift_before", "before"))
        for what in ("confidence", "digits")
    ]


def _distributions(report: Json) -> dict[str, bytes]:
    """Draw the recent digits and confidences of the newest model, beside those of its training."""
    newest = report["models"][0]
    recent = newest["recent"] if newest["recent"]["pages"] else newest["all"]
    label = f"last {report['recent_days']} days" if newest["recent"]["pages"] else "all the time"
    reference = newest["reference"] or {"digits": None, "confidence": None}
    source = reference.get("confidence_source") or ""
    digits = {label: _shares(recent["digits"]), "training": _shares(reference["digits"])}
    confidence = {label: _shares(recent["confidence"]), source: _shares(reference["confidence"])}
    edges = [f"{100 * low:.4g}" for low, _ in pairwise(CONFIDENCE_EDGES)]
    return {
        "digits": charts.draw_grouped_bars(
            list("0123456789"), {name: shares for name, shares in digits.items() if shares}, ylabel="share of digits"
        ),
        "confidence": charts.draw_grouped_bars(
            [*edges, "never"],
            {name: shares for name, shares in confidence.items() if shares},
            xlabel="confidence, % and above",
            ylabel=_SHARES,
        ),
    }


def _shares(counts: Sequence[Any] | None) -> list[float]:
    total = sum(counts or ())
    return [count / total if total else 0.0 for count in counts or ()]
