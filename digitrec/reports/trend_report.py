"""The page about the time: `reports/trend/` with index.html, report.json and the figures."""

from collections.abc import Callable, Mapping, Sequence
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
"""In the reports."""
_KEEP = {"batch": slice(4, 13), "day": slice(2, 10), "month": slice(0, 7)}
"""What of a period's name is told below a figure."""
_SHARES = "share of pages"


def write_trend(
    folder: Path,
    entries: Sequence[BatchStats],
    references: Mapping[str, Reference],
    *,
    made_at: str,
    app_version: str,
) -> Path:
    """Write the page, its numbers and its figures; gives the path of the page.

    Args:
        folder: `reports/trend`.
        entries: of all batches.
        references: what is known of the models, by id.
        made_at: ISO 8601 UTC.
        app_version: of this program.

    Raises:
        OSError: the disk does not take it.
        MissingPackage: the figures cannot be drawn here.
    """
    require_packages("reports/trend", "matplotlib")
    report = summarize_trend(entries, references, made_at=made_at, app_version=app_version)
    files.make_dir(folder.parent)
    return write_report(folder, "trend.html.j2", report, _figures(report))


def _figures(report: Json) -> dict[str, bytes]:
    periods: list[Json] = report["periods"]
    if not periods:
        return {}
    names = [_name(one["name"], report["unit"]) for one in periods]
    figures = {
        "automation": charts.draw_time_series(names, [_line("accepted", periods, "automation")], _SHARES),
        **_when(periods, "held_back_wrong", "errors_in_review", names, "best guess wrong, of those settled"),
        **_when(periods, "audit", "errors_accepted", names, "wrong, of those audited"),
        "drift": charts.draw_time_series(names, _drift_lines(periods), "PSI", report["drift_threshold"]),
    }
    if any(one["files_per_s"] for one in periods):
        speed = Series("median of the batches", [(one["files_per_s"], None) for one in periods])
        figures["speed"] = charts.draw_time_series(names, [speed], "files a second")
    return figures | _mixes(report)


def _name(name: str, unit: str) -> str:
    """As short as a place on an axis: month and day, and the time of a batch."""
    kept = name[_KEEP[unit]]
    return f"{kept[:2]}-{kept[2:4]} {kept[5:7]}:{kept[7:9]}" if unit == "batch" else kept


def _line(words: str, periods: Sequence[Json], key: str) -> Series:
    return Series(words, [(one[key]["share"], (one[key]["low"], one[key]["high"])) for one in periods])


def _when(periods: Sequence[Json], key: str, figure: str, names: Sequence[str], words: str) -> dict[str, bytes]:
    """A figure of a share over time, where anything was counted."""
    if not any(one[key]["of"] for one in periods):
        return {}
    return {figure: charts.draw_time_series(names, [_line(words, periods, key)], "share wrong")}


def _drift_lines(periods: Sequence[Json]) -> list[Series]:
    def points(of: Callable[[Json], Json | None]) -> list[tuple[float | None, None]]:
        return [((of(one) or {}).get("psi"), None) for one in periods]

    return [
        Series("confidence against training", points(lambda one: one["drift"]["confidence"])),
        Series("digits against training", points(lambda one: one["drift"]["digits"])),
        Series("confidence against before", points(lambda one: one["drift_before"]["confidence"])),
        Series("digits against before", points(lambda one: one["drift_before"]["digits"])),
    ]


def _mixes(report: Json) -> dict[str, bytes]:
    """Digits and confidence now, beside those of the training of the newest model."""
    newest = report["models"][0]
    now = newest["recent"] if newest["recent"]["pages"] else newest["all"]
    words = f"last {report['recent_days']} days" if newest["recent"]["pages"] else "all the time"
    known = newest["reference"] or {"digits": None, "confidence": None}
    digits = {words: _shares(now["digits"]), "training": _shares(known["digits"])}
    sure = {words: _shares(now["confidence"]), known.get("confidence_source") or "": _shares(known["confidence"])}
    edges = [f"{100 * low:.4g}" for low, _ in pairwise(CONFIDENCE_EDGES)]
    return {
        "digits": charts.draw_grouped_bars(
            list("0123456789"), {name: one for name, one in digits.items() if one}, ylabel="share of digits"
        ),
        "confidence": charts.draw_grouped_bars(
            [*edges, "never"],
            {name: one for name, one in sure.items() if one},
            xlabel="confidence, % and above",
            ylabel=_SHARES,
        ),
    }


def _shares(counts: Sequence[Any] | None) -> list[float]:
    total = sum(counts or ())
    return [count / total if total else 0.0 for count in counts or ()]
