"""Describe charts; `svg` draws them for the pages, and `png` as PNG files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Literal, TypeAlias

Mark: TypeAlias = Literal["bars", "line", "dots", "band"]
Unit: TypeAlias = Literal["count", "share", "number"]
Interval: TypeAlias = tuple[float, float] | None

CHARACTER_WIDTH = 6.4
"""Width of a character of a label, in the units of an SVG that is 360 wide."""
_MAX_DESCRIBED = 60
"""Upper limit of values in the description; a table of the page has the others."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values along the x axis, drawn as bars, a line, dots or a band."""

    label: str
    kind: str
    """Class in the style sheet: a status of a page, or `c1` to `c4`."""
    values: Sequence[float | None]
    mark: Mark = "bars"
    x: Sequence[float] = ()
    """Positions; empty: the indices of the labels, from 0."""
    ranges: Sequence[Interval] = ()
    """Interval of each value; of a band, its lower and upper edge."""
    sizes: Sequence[int] = ()
    """Counts that the areas of the dots show."""

    @property
    def points(self) -> Iterator[tuple[float, float, Interval, int | None]]:
        """Yield position, value, interval and count of each value that there is."""
        for i, value in enumerate(self.values):
            if value is not None:
                interval = self.ranges[i] if self.ranges else None
                yield self.x[i] if self.x else i, value, interval, self.sizes[i] if self.sizes else None


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its words."""

    name: str
    """Unique in its page, and the name of the PNG file."""
    title: str
    series: Sequence[Series]
    labels: Sequence[str] = ()
    """Labels of the positions 0, 1, 2...; empty: the x axis is a share."""
    x_label: str = ""
    y_label: str = ""
    x_range: tuple[float, float] = (0.0, 1.0)
    """Shown part of the x axis, if it is a share."""
    y_range: Interval = None
    """None: from 0 to the largest value or interval."""
    unit: Unit = "count"
    """Of the y axis."""
    is_stacked: bool = False
    """Whether the bars of a label are stacked, with their sum above, instead of side by side on an axis."""
    is_log: bool = False
    limit: float | None = None
    """Value of a dashed horizontal line."""
    is_diagonal: bool = False
    """Whether there is a dashed line through equal x and y."""
    words: str = ""
    empty: str = "There is nothing to show yet."
    """The sentence in place of a chart without values."""

    @property
    def is_empty(self) -> bool:
        """Return whether no series has a value to draw."""
        return not any(any(point[1] for point in series.points) or self._shows_zero(series) for series in self.series)

    def _shows_zero(self, series: Series) -> bool:
        return series.mark != "bars" and any(value is not None for value in series.values)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Return class and label of the series that occur; empty for a single one without a line beside it."""
        entries = [
            (item.kind, item.label)
            for item in self.series
            if any(value is not None for value in item.values) and item.label
        ]
        if self.is_stacked:
            entries = [(item.kind, item.label) for item in self.series if any(item.values)]
        return entries if len(entries) > 1 else []

    @property
    def description(self) -> str:
        """Return the values in words, for screen readers.

        >>> build_bar_chart("mix", "Digits", [("0", {"accepted": 3}), ("1", {"accepted": 0})]).description
        '0: 3 accepted; 1: 0'
        """
        if self.is_stacked:
            return "; ".join(self._describe_bar(i, label) for i, label in enumerate(self.labels))
        total = sum(len(item.values) for item in self.series)
        if total > _MAX_DESCRIBED:
            return f"{self.title}: {total} values"
        return "; ".join(f"{item.label}: {', '.join(self._describe_values(item))}" for item in self.series)

    def _describe_bar(self, i: int, label: str) -> str:
        parts = [f"{item.values[i]} {item.label}" for item in self.series if item.values[i]]
        return f"{label}: {', '.join(parts) or 0}"

    def _describe_values(self, series: Series) -> Iterator[str]:
        for x, value, _, _ in series.points:
            yield f"{self.label_at(x) if self.labels else f'{100 * x:.4g} %'} {format_value(value, self.unit)}"

    def label_at(self, x: float) -> str:
        """Return the label nearest to a position: the marks of two series stand on both sides of it."""
        return self.labels[round(x)]

    @property
    def y_bounds(self) -> tuple[float, float]:
        """Return the ends of the y axis."""
        if self.y_range is not None:
            return self.y_range
        if self.is_stacked:
            return 0.0, max(float(sum(item.values[i] or 0 for item in self.series)) for i in range(len(self.labels)))
        highest = max((_highest(item) for item in self.series), default=0.0)
        return (1.0 if self.is_log else 0.0), 1.04 * max(highest, self.limit or 0.0) or 1.0

    @property
    def x_bounds(self) -> tuple[float, float]:
        """Return the ends of the x axis."""
        return (-0.5, len(self.labels) - 0.5) if self.labels else self.x_range


def _highest(series: Series) -> float:
    return max((max((value, *(interval or ()))) for _, value, interval, _ in series.points), default=0.0)


def build_bar_chart(
    name: str, title: str, bars: Sequence[tuple[str, Mapping[str, int]]], words: Mapping[str, str] | None = None
) -> Chart:
    """Return a chart of stacked bars, each with a label and a count per kind; `words` name the kinds."""
    kinds = dict.fromkeys(kind for _, counts in bars for kind in counts)
    series = [
        Series((words or {}).get(kind, kind), kind, [counts.get(kind, 0) for _, counts in bars]) for kind in kinds
    ]
    return Chart(name, title, series, [label for label, _ in bars], is_stacked=True)


def choose_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers between two numbers.

    >>> choose_ticks(0, 0.97), choose_ticks(0.6, 1), choose_ticks(0, 1234)
    ([0.0, 0.25, 0.5, 0.75], [0.6, 0.7, 0.8, 0.9, 1.0], [0.0, 500.0, 1000.0])
    """
    rough = (high - low) / count
    power = 10.0 ** floor(log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= 0.9 * rough)
    first = ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, floor(high / step + 1e-9) + 1)]


def choose_log_ticks(high: float) -> list[float]:
    """Return at most five powers of ten, from 1.

    >>> choose_log_ticks(20_000_000)
    [1, 100, 10000, 1000000]
    """
    powers = range(floor(log10(max(high, 1))) + 1)
    return [10**power for power in powers[:: ceil(len(powers) / 5)]]


def format_value(value: float, unit: Unit) -> str:
    """Format a number of an axis, in few characters.

    >>> format_value(0.975, "share"), format_value(1234567, "count"), format_value(20_000, "count")
    ('97.5 %', '1.23M', '20k')
    """
    if unit == "share":
        return f"{100 * value:.3g} %"
    for limit, size, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if unit == "count" and value >= limit:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def thin_labels(labels: Sequence[str], room: float) -> list[tuple[int, str]]:
    """Return the labels to draw, with their positions, so that no two overlap; `room` is the distance of two."""
    longest = max(map(len, labels), default=0) * CHARACTER_WIDTH + 3
    step = max(1, ceil(longest / room))
    return list(enumerate(labels))[::step]
