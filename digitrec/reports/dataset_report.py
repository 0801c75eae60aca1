"""Write the report of a data set: `reports/explore/<data>/` with index.html, report.json and the figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.errors import DataError
from digitrec.reports.batch import Json
from digitrec.reports.chart import Chart, Series
from digitrec.reports.png import draw_strips
from digitrec.reports.report_files import write_report
from digitrec.reports.thumbnails import encode_strips, join_pictures

LEVELS = 20
"""Number of bins of the pixel histogram over 0..1: their edges are round numbers."""
_AMOUNT_STEPS = (0.0025, 0.005, 0.01, 0.025)
"""Widths of the bins of the mean ink of a picture: the smallest with at most MAX_AMOUNTS bins is used."""
MAX_AMOUNTS = 40
MAX_EXAMPLES = 14
"""Upper limit of examples of a digit."""


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
    examples = _example_strips(255 - _as_bytes(first.ink), first.digits)
    averages = {
        "mean": join_pictures(list(255 - _as_bytes(mean))),
        "spread": join_pictures(list(255 - _as_bytes(np.minimum(2 * spread, 1)))),
    }
    counts = [Series(split.name, f"c{1 + i % 4}", _counts(split.digits)) for i, split in enumerate(splits)]
    amount_counts, edges = count_ink_amounts(amounts)
    plots = [
        Chart("classes", "Pictures per digit", counts, list("0123456789"), x_label="digit", y_label="pictures"),
        Chart(
            "ink_levels",
            "Ink of the pixels",
            [Series("pixels", "c1", levels)],
            [f"{i / LEVELS:.2g}" for i in range(LEVELS)],
            x_label="ink: 0 = paper, 1 = full",
            y_label="pixels, logarithmic",
            is_log=True,
        ),
        Chart(
            "ink_amounts",
            "Ink of the pictures",
            [Series("pictures", "c1", amount_counts)],
            [f"{edge:g}" for edge in edges],
            x_label="mean ink of a picture",
            y_label="pictures",
        ),
    ]
    report: Json = {
        "kind": "explore",
        **asdict(facts),
        "splits": [describe_split(split) for split in splits],
        "ink_levels": levels,
    }
    figures = {"examples": partial(draw_strips, examples), "mean_and_spread": partial(draw_strips, averages)}
    return write_report(
        folder,
        "dataset.html.j2",
        report,
        plots,
        figures,
        examples=encode_strips(examples),
        averages=encode_strips(averages),
    )


def _example_strips(pictures: Picture, digits: NDArray[np.integer[Any]]) -> dict[str, Picture]:
    """Return examples of each digit that occurs, evenly spread over the data, side by side; (n, 28, 28), 0 = ink."""
    strips = {}
    for digit in np.unique(digits).tolist():
        members = np.flatnonzero(digits == digit)
        picked = np.linspace(0, len(members) - 1, min(MAX_EXAMPLES, len(members))).astype(int)
        strips[str(digit)] = join_pictures([pictures[i] for i in members[picked]])
    return strips


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


def count_ink_amounts(amounts: NDArray[np.floating[Any]]) -> tuple[list[int], list[float]]:
    """Return the histogram of the mean ink of pictures, (n,), 0..1: counts, and the lower edges of bins from 0.

    >>> count_ink_amounts(np.array([0.004, 0.012, 0.013, 0.3]))[0][:3], count_ink_amounts(np.array([0.004, 0.3]))[1][:3]
    ([1, 2, 0], [0.0, 0.01, 0.02])
    """
    highest = float(amounts.max())
    step = next((step for step in _AMOUNT_STEPS if int(highest / step) < MAX_AMOUNTS), 1 / MAX_AMOUNTS)
    bins = np.minimum((amounts / step).astype(int), MAX_AMOUNTS - 1)  # (n,)
    counts = np.bincount(bins).tolist()
    return counts, [round(i * step, 4) for i in range(len(counts))]


def _counts(digits: NDArray[np.integer[Any]]) -> list[int]:
    return [int(count) for count in np.bincount(digits, minlength=10)]


def _as_bytes(ink: Ink) -> Picture:
    return np.rint(ink * 255).astype(np.uint8)
