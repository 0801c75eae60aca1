"""Write the report of a data set: `reports/explore/<data>/` with index.html, report.json and the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.errors import DataError
from digitrec.reports import charts
from digitrec.reports.batch import Json
from digitrec.reports.evaluation_report import write_report

LEVELS = 32
"""Number of bins of the pixel histogram over 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class DatasetSplit:
    """A split of a data set."""

    name: str
    """For example `train` or `test`."""
    pictures: Picture
    """(n, 28, 28) as stored, 0..255."""
    ink: Ink
    """(n, 28, 28), 0.0 = paper, 1.0 = ink: the same pictures as model input."""
    digits: NDArray[np.integer[Any]]
    """(n,), 0..9."""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Name, source and digest of a data set, and the time of the report."""

    data: str
    source: str
    digest: str
    app_version: str
    made_at: str
    """ISO 8601 UTC."""


def write_dataset_report(folder: Path, facts: DatasetFacts, splits: Sequence[DatasetSplit]) -> Path:
    """Write the page, its numbers and its figures; return the path of the page. Examples are from the first split."""
    if not splits or not all(len(split.digits) for split in splits):
        raise DataError(f"{facts.data} holds no pictures")
    first = splits[0]
    mean, spread = mean_and_std(first.ink, first.digits)
    levels = count_ink_levels(first.ink)
    amounts = first.ink.mean(axis=(1, 2))  # (n,)
    figures = {
        "examples": charts.draw_examples(_as_bytes(first.ink), first.digits),
        "mean_and_spread": charts.draw_mean_and_std(mean, spread),
        "classes": charts.draw_grouped_bars(
            list("0123456789"), {split.name: _counts(split.digits) for split in splits}
        ),
        "ink_levels": charts.draw_ink_histogram(levels),
        "ink_amounts": charts.draw_ink_amounts(amounts),
    }
    report: Json = {
        "kind": "explore",
        "data": facts.data,
        "source": facts.source,
        "digest": facts.digest,
        "app_version": facts.app_version,
        "made_at": facts.made_at,
        "splits": [describe_split(split) for split in splits],
        "ink_levels": levels,
    }
    return write_report(folder, "dataset.html.j2", report, figures)


def describe_split(split: DatasetSplit) -> Json:
    """Return shapes, ranges and counts of a split as plain types."""
    amounts = split.ink.mean(axis=(1, 2), dtype=np.float64)  # (n,)
    return {
        "name": split.name,
        "pictures": len(split.digits),
        "shape": list(split.pictures.shape),
        "stored": {"low": int(split.pictures.min()), "high": int(split.pictures.max())},
        "ink": {
            "low": float(split.ink.min()),
            "high": float(split.ink.max()),
            "mean": float(amounts.mean()),
            "blank": int((amounts == 0).sum()),
        },
        "counts": _counts(split.digits),
        "ink_per_digit": [
            float(amounts[split.digits == digit].mean()) if (split.digits == digit).any() else None
            for digit in range(10)
        ],
    }


def mean_and_std(ink: Ink, digits: NDArray[np.integer[Any]]) -> tuple[Ink, Ink]:
    """Return mean and standard deviation of each digit's pictures, both (10, 28, 28); 0 where there are none."""
    mean = np.zeros((10, 28, 28), dtype=np.float32)
    spread = np.zeros((10, 28, 28), dtype=np.float32)
    for digit in range(10):
        members = ink[digits == digit]  # (m, 28, 28)
        if len(members):
            mean[digit] = members.mean(axis=0)
            spread[digit] = members.std(axis=0)
    return mean, spread


def count_ink_levels(ink: Ink) -> list[int]:
    """Return the histogram of the pixels: LEVELS counts over equal bins of 0..1."""
    counts, _ = np.histogram(ink, bins=LEVELS, range=(0.0, 1.0))
    return [int(count) for count in counts]


def _counts(digits: NDArray[np.integer[Any]]) -> list[int]:
    return [int(count) for count in np.bincount(digits, minlength=10)]


def _as_bytes(ink: Ink) -> Picture:
    return np.rint(ink * 255).astype(np.uint8)
