"""Index of the reports folder, read from the `report.json` of each report; a damaged report is named, not fatal."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from digitrec import text
from digitrec.files import read_state
from digitrec.reports.chart import Chart, build_bar_chart
from digitrec.reports.statistics import Proportion

MAX_LISTED = 500
"""Upper limit of listed reports of a kind: thousands of batches must not slow every new one down."""
MAX_DAYS = 31
"""Upper limit of days in the chart."""
_KINDS = {"accepted": "accepted", "review": "review", "rejected": "rejected", "released": "deferred"}
"""Class in the style sheet of each outcome."""
_FATES = ("claimed", "accepted", "review", "rejected", "released")  # reports of 0.1 have no key `deferred`


@dataclass(frozen=True, slots=True)
class ReportEntry:
    """Header of a report, as the index shows it; empty where a report of its kind has no such value."""

    folder: str
    """Relative to the reports folder."""
    is_damaged: bool = False
    """Whether `report.json` cannot be read; the page may be intact."""
    made_at: str = ""
    worker: str = ""
    model_id: str = ""
    data: str = ""
    """Name of the data set."""
    files: Mapping[str, int] = field(default_factory=dict)
    """Files of a batch by outcome."""
    to_review: int = 0
    """Pages of a batch that needed review."""
    reviewed: int = 0
    """Those of them that are resolved, when the report was written."""
    pictures: int = 0
    """Pictures of a data set, or pages that a model was trained on."""
    accuracy: Proportion | None = None
    """None where no label is known."""
    accuracy_before: Proportion | None = None
    """Accuracy of the model in use before a training, on the same held-out pages."""


@dataclass(frozen=True, slots=True)
class Section:
    """Reports of one kind, newest first."""

    entries: tuple[ReportEntry, ...]
    total: int
    """Number of reports, the older ones that are not listed included."""


@dataclass(frozen=True, slots=True)
class ReportIndex:
    """All reports."""

    batches: Section
    evaluations: Section
    data: Section
    trainings: Section
    has_trend: bool
    """Whether there is a trend report in `trend/`."""

    @property
    def totals(self) -> dict[str, int]:
        """Return the sums over the listed batches: files by outcome, and pages to review and reviewed."""
        batches = [entry for entry in self.batches.entries if not entry.is_damaged]
        return {outcome: sum(entry.files[outcome] for entry in batches) for outcome in _FATES} | {
            "to_review": sum(entry.to_review for entry in batches),
            "reviewed": sum(entry.reviewed for entry in batches),
        }

    @property
    def days(self) -> Chart:
        """Return a chart of the files of the last days with a batch, by outcome; days are local."""
        days: dict[str, Counter[str]] = {}
        for entry in self.batches.entries:
            day = _local_day(entry.made_at)
            if day and (day in days or len(days) < MAX_DAYS):
                days.setdefault(day, Counter()).update(
                    {kind: entry.files[outcome] for outcome, kind in _KINDS.items() if not entry.is_damaged}
                )
        bars = [(day[5:], days[day]) for day in sorted(days)]
        return build_bar_chart("days", "Files by day", bars, {"review": "need review"})


def read_index(reports: Path) -> ReportIndex:
    """Read the headers in `reports/*/`, `reports/evaluation/*/*/`, `reports/explore/*/` and `reports/learning/*/`."""
    # Batch ids begin with their time: only the newest reports are opened.
    batches = sorted(filter(text.BATCH_ID.fullmatch, _folders(reports)), reverse=True)
    folders = {model: _folders(reports / "evaluation" / model) for model in _folders(reports / "evaluation")}
    evaluations = [f"evaluation/{model}/{data}" for model, names in folders.items() for data in names]
    return ReportIndex(
        batches=Section(tuple(_entry(reports, name, "batch") for name in batches[:MAX_LISTED]), len(batches)),
        evaluations=_section(reports, evaluations, "evaluation"),
        data=_section(reports, [f"explore/{name}" for name in _folders(reports / "explore")], "explore"),
        trainings=_section(reports, [f"learning/{name}" for name in _folders(reports / "learning")], "learning"),
        has_trend=(reports / "trend" / "index.html").is_file(),
    )


def _local_day(iso: str) -> str:
    """Return the local day of a time, "" for anything else."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d}"
    except (ValueError, OverflowError):
        return ""


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _section(reports: Path, folders: Iterable[str], kind: str) -> Section:
    newest = sorted(folders, key=lambda name: read_state(reports / name / "report.json"), reverse=True)
    return Section(tuple(_entry(reports, name, kind) for name in newest[:MAX_LISTED]), len(newest))


def _entry(reports: Path, folder: str, kind: str) -> ReportEntry:
    path = reports / folder / "report.json"
    try:
        return ReportEntry(folder, **_read_header(path, kind, read_state(path)))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return ReportEntry(folder, is_damaged=True)


@lru_cache(maxsize=4 * MAX_LISTED)
def _read_header(path: Path, kind: str, _: tuple[int, ...]) -> dict[str, Any]:
    """Read the header of a report; cached by the state of the file, as the index is written after every batch."""
    report = json.loads(path.read_bytes())
    if report["kind"] != kind:
        raise ValueError(report["kind"])
    return _HEADERS[kind](report)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(value)
    return value


def _share(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TypeError(value)
    return float(value)


def _proportion(value: dict[str, Any]) -> Proportion:
    hits, of = _count(value["hits"]), _count(value["of"])
    if of:
        _share(value["share"])
    return Proportion(hits, of, _share(value["low"]), _share(value["high"]))


def _review(report: dict[str, Any]) -> dict[str, int]:
    """Return the pages that needed review, and how many of them are resolved."""
    if "pages" not in report:
        return {}
    to_review, reviewed = _count(report["pages"]["review"]), report.get("reviewed")
    still_open = to_review if reviewed is None else min(to_review, _count(reviewed["open"]))
    return {"to_review": to_review, "reviewed": to_review - still_open}


_HEADERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "batch": lambda report: {
        "made_at": _text(report["processed_at"]),
        "worker": _text(report["worker"]),
        "files": {outcome: _count(report["files"][outcome]) for outcome in _FATES},
        **_review(report),
        "accuracy": None if report["truth"] is None else _proportion(report["truth"]["accuracy"]),
    },
    "evaluation": lambda report: {
        "made_at": _text(report["evaluated_at"]),
        "model_id": _text(report["model_id"]),
        "data": _text(report["data"]),
        "accuracy": _proportion(report["accuracy"]),
    },
    "explore": lambda report: {
        "made_at": _text(report["made_at"]),
        "data": _text(report["data"]),
        "pictures": sum(_count(split["pictures"]) for split in report["splits"]),
    },
    "learning": lambda report: {
        "made_at": _text(report["made_at"]),
        "model_id": _text(report["model_id"]),
        "pictures": _count(report["pages"]["learned"]),
        "accuracy_before": _proportion(report["before"]["right"]),
        "accuracy": _proportion(report["after"]["right"]),
    },
}
"""Header of each kind of report, checked: the same in the reports of version 0.1."""
