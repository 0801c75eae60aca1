"""Index of the reports folder, read from the `report.json` of each report; a damaged report is named, not fatal."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from digitrec import text
from digitrec.reports.statistics import Proportion

MAX_LISTED = 500
"""Upper limit of listed reports of a kind: thousands of batches must not slow every new one down."""
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


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _section(reports: Path, folders: Iterable[str], kind: str) -> Section:
    newest = sorted(folders, key=lambda name: _file_state(reports / name / "report.json"), reverse=True)
    return Section(tuple(_entry(reports, name, kind) for name in newest[:MAX_LISTED]), len(newest))


def _file_state(path: Path) -> tuple[int, int, int]:
    """Return time of change, inode and size of a file, which is replaced and never written in place."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0, 0  # sorts last: the report is going to be listed as damaged
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _entry(reports: Path, folder: str, kind: str) -> ReportEntry:
    path = reports / folder / "report.json"
    try:
        return ReportEntry(folder, **_read_header(path, kind, _file_state(path)))
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


_HEADERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "batch": lambda report: {
        "made_at": _text(report["processed_at"]),
        "worker": _text(report["worker"]),
        "files": {fate: _count(report["files"][fate]) for fate in _FATES},
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
