"""What lies in the reports folder, read from each report's `report.json`; a damaged one is named, not fatal."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from digitrec import batch_ids
from digitrec.reporting.statistics import Proportion

NEWEST = 500
"""Reports of each kind that are listed: thousands of batches must not make every new one dearer."""


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """A batch report in the list."""

    folder: str
    """Relative to the list."""
    processed_at: str
    worker: str
    files: dict[str, int]
    """claimed, accepted, review, rejected, released."""
    accuracy: Proportion | None
    """None where no truth is known."""


@dataclass(frozen=True, slots=True)
class EvaluationEntry:
    """An evaluation report in the list."""

    folder: str
    evaluated_at: str
    model_id: str
    data: str
    accuracy: Proportion


@dataclass(frozen=True, slots=True)
class DataEntry:
    """A look at a data set in the list."""

    folder: str
    made_at: str
    data: str
    pictures: int


@dataclass(frozen=True, slots=True)
class LessonEntry:
    """What a model learned from corrections, in the list."""

    folder: str
    made_at: str
    model_id: str
    pages: int
    """That it learned from."""
    before: Proportion
    """Of the held-out corrected pages, those that the model in use before read rightly."""
    after: Proportion


@dataclass(frozen=True, slots=True)
class Damaged:
    """A report whose numbers cannot be read; its page may be sound."""

    folder: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All reports, newest first."""

    batches: tuple[BatchEntry | Damaged, ...]
    batches_total: int
    evaluations: tuple[EvaluationEntry | Damaged, ...]
    evaluations_total: int
    data: tuple[DataEntry | Damaged, ...]
    data_total: int
    lessons: tuple[LessonEntry | Damaged, ...]
    lessons_total: int
    has_trend: bool
    """Whether there is a page about the time, in `trend/`."""


def listing(reports: Path) -> Listing:
    """Look into `reports/*/`, `reports/evaluation/*/*/`, `reports/explore/*/` and `reports/learning/*/`."""
    # Ids of batches begin with their time; only the newest are opened.
    batches = sorted(filter(batch_ids.BATCH_ID.fullmatch, _folders(reports)), reverse=True)
    evaluations = [
        f"evaluation/{model}/{data}"
        for model in _folders(reports / "evaluation")
        for data in _folders(reports / "evaluation" / model)
    ]
    data = [f"explore/{name}" for name in _folders(reports / "explore")]
    lessons = [f"learning/{name}" for name in _folders(reports / "learning")]
    return Listing(
        batches=tuple(_read_batch(reports, name) for name in batches[:NEWEST]),
        batches_total=len(batches),
        evaluations=tuple(_read_evaluation(reports, name) for name in _newest(reports, evaluations)),
        evaluations_total=len(evaluations),
        data=tuple(_read_data(reports, name) for name in _newest(reports, data)),
        data_total=len(data),
        lessons=tuple(_read_lesson(reports, name) for name in _newest(reports, lessons)),
        lessons_total=len(lessons),
        has_trend=(reports / "trend" / "index.html").is_file(),
    )


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _newest(reports: Path, folders: Iterable[str]) -> list[str]:
    return sorted(folders, key=lambda name: _changed_ns(reports / name / "report.json"), reverse=True)[:NEWEST]


def _changed_ns(path: Path) -> int:
    return _state(path)[0]


def _state(path: Path) -> tuple[int, int, int]:
    """When a file was changed, which it is, and its size; it is written anew, never in place."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0  # oldest: it is going to be listed as damaged
    return found.st_mtime_ns, found.st_ino, found.st_size


def _read_batch(reports: Path, name: str) -> BatchEntry | Damaged:
    path = reports / name / "report.json"
    try:
        return _batch_in(path, _state(path))
    except OSError:
        return Damaged(name)


@lru_cache(maxsize=2 * NEWEST)
def _batch_in(path: Path, _: tuple[int, ...]) -> BatchEntry | Damaged:
    """One whose state is the same is not read again: the list is made after every batch."""
    report, name = _parsed(path.read_bytes(), "batch"), path.parent.name
    try:
        truth = report["truth"]
        return BatchEntry(
            folder=name,
            processed_at=_text(report["processed_at"]),
            worker=_text(report["worker"]),
            files={
                key: _whole(report["files"][key]) for key in ("claimed", "accepted", "review", "rejected", "released")
            },
            accuracy=None if truth is None else _proportion(truth["accuracy"]),
        )
    except (KeyError, TypeError, ValueError):
        return Damaged(name)


def _read_evaluation(reports: Path, name: str) -> EvaluationEntry | Damaged:
    report = _read(reports / name, "evaluation")
    try:
        return EvaluationEntry(
            folder=name,
            evaluated_at=_text(report["evaluated_at"]),
            model_id=_text(report["model_id"]),
            data=_text(report["data"]),
            accuracy=_proportion(report["accuracy"]),
        )
    except (KeyError, TypeError, ValueError):
        return Damaged(name)


def _read_data(reports: Path, name: str) -> DataEntry | Damaged:
    report = _read(reports / name, "explore")
    try:
        return DataEntry(
            folder=name,
            made_at=_text(report["made_at"]),
            data=_text(report["data"]),
            pictures=sum(_whole(split["pictures"]) for split in report["splits"]),
        )
    except (KeyError, TypeError, ValueError):
        return Damaged(name)


def _read_lesson(reports: Path, name: str) -> LessonEntry | Damaged:
    report = _read(reports / name, "learning")
    try:
        return LessonEntry(
            folder=name,
            made_at=_text(report["made_at"]),
            model_id=_text(report["model_id"]),
            pages=_whole(report["pages"]["learned"]),
            before=_counted(report["before"]["right"]),
            after=_counted(report["after"]["right"]),
        )
    except (KeyError, TypeError, ValueError):
        return Damaged(name)


def _read(folder: Path, kind: str) -> dict[str, Any]:
    """The report's numbers; empty if they cannot be read, which the caller then finds incomplete."""
    try:
        return _parsed((folder / "report.json").read_bytes(), kind)
    except OSError:
        return {}


def _parsed(content: bytes, kind: str) -> dict[str, Any]:
    try:
        report = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) and report.get("kind") == kind else {}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError(value)
    return value


def _share(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TypeError(value)
    return float(value)


def _counted(value: dict[str, Any]) -> Proportion:
    """A proportion, or nothing that was counted."""
    return _proportion(value if value["of"] else {**value, "share": 0.0})


def _proportion(value: dict[str, Any]) -> Proportion:
    hits, of = _whole(value["hits"]), _whole(value["of"])
    _share(value["share"])
    return Proportion(hits, of, _share(value["low"]), _share(value["high"]))
