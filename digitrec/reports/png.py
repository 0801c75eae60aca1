"""Draw figures as PNG bytes; the only module that imports matplotlib and seaborn.

Every function uses its own figure, without global state or a display. The colors are Okabe and Ito's palette for color
blindness.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.reports.evaluation import ClassScore, ConfusedPair, PictureResult
from digitrec.reports.reliability import ReliabilityBin, RiskPoint
from digitrec.reports.statistics import Proportion, Range
from digitrec.reports.thumbnails import reduce_grays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#6b7680"
_TEXT, _LINE, _FAINT = "#1d2329", "#dedbd4", "#9fb3c3"
_STYLE: dict[Any, Any] = {
    "font.size": 11.5,
    "font.family": "sans-serif",
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "legend.frameon": False,
}
_DPI = 150
_TILES_DPI = 110
"""Resolution for pictures of 28 pixels; at the other one, noisy pictures would take a megabyte."""
_WIDTH = 5.2
"""Inches: half a page on a desktop, the full width of a phone; text of 11 points is legible on both."""
_TILE = 30
"""Pixels of a 28 x 28 picture and the gap to the next."""
_MAX_PER_PAIR = 12
"""Upper limit of pictures of a confused pair."""


@dataclass(frozen=True, slots=True)
class Series:
    """A measure over time."""

    label: str
    points: Sequence[tuple[float | None, tuple[float, float] | None]]
    """Value and interval of each period; None where there is none."""


def draw_confusion_matrix(counts: Sequence[Sequence[int]], columns: Sequence[str], rows: Sequence[str]) -> bytes:
    """Draw a confusion matrix, row = truth, column = read as; only errors are shaded."""
    import seaborn
    from matplotlib.patches import Rectangle

    table = np.asarray(counts)  # (rows, columns)
    right = np.array([[row == column for column in columns] for row in rows])
    errors = np.where(right, 0, table)
    with _figure(0.44 * len(columns) + 0.9, 0.42 * len(rows) + 0.8) as figure:
        axes = figure.subplots()
        seaborn.heatmap(
            errors,
            ax=axes,
            annot=np.where(table > 0, table, "").astype(str),
            fmt="",
            cmap="Blues",
            vmin=0,
            vmax=max(4, int(errors.max())),
            cbar=False,
            linewidths=1,
            linecolor="white",
            xticklabels=list(columns),
            yticklabels=list(rows),
            annot_kws={"fontsize": 9.5},
        )
        for row, column in np.argwhere(right).tolist():
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=GREEN, linewidth=1.4))
        axes.set(xlabel="read as", ylabel="truth")
        axes.tick_params(length=0)
        axes.tick_params(axis="y", rotation=0)
        for label in axes.get_xticklabels():
            label.set(rotation=0, fontsize=8.5 if len(label.get_text()) > 1 else None)
        return _png(figure)


def draw_reliability_diagram(bins: Sequence[ReliabilityBin]) -> bytes:
    """Draw accuracy against confidence, and the count of each bin below."""
    filled = [item for item in bins if item.confidence is not None and item.accuracy is not None]
    with _figure(_WIDTH, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="perfectly calibrated")
        confidence = [item.confidence for item in filled]
        accuracy = [item.accuracy or 0.0 for item in filled]
        bars = _error_bars(accuracy, [(item.accuracy_low, item.accuracy_high) for item in filled])
        upper.errorbar(confidence, accuracy, yerr=bars, color=BLUE, ecolor=_FAINT, marker="o", label="measured, 95 %")
        upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.05))
        _legend_above(upper)
        centres = [(item.low + item.high) / 2 for item in bins]
        width = 0.9 * (bins[0].high - bins[0].low)
        counts = [item.count for item in bins]
        lower.bar(centres, counts, width=width, color=BLUE)
        lower.set_yscale("symlog", linthresh=1)
        lower.set_yticks([0, *(10**power for power in range(1, 8, 2) if 10**power <= max(counts))])
        upper.set_xticklabels([])
        lower.set(xlabel="confidence", ylabel="pictures", xlim=(0, 1.02))
        _grid(upper, lower)
        return _png(figure)


def draw_training_curve(history: Mapping[str, Sequence[float]], name: str) -> bytes:
    """Draw a metric per epoch on training and validation data; `history` as Keras returns it."""
    from matplotlib.ticker import MaxNLocator

    with _figure(_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        for key, color, label in ((name, ORANGE, "training"), (f"val_{name}", BLUE, "validation")):
            if values := history.get(key):
                axes.plot(range(1, len(values) + 1), values, color=color, marker=".", label=label)
        axes.set(ylabel=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend_above(axes)
        _grid(axes)
        return _png(figure)


def draw_class_scores(per_class: Sequence[ClassScore]) -> bytes:
    """Draw precision and recall of each digit, on an axis from just below the lowest value to 1."""
    present = [score for score in per_class if score.precision is not None and score.recall is not None]
    with _figure(_WIDTH, 4.4) as figure:
        axes = figure.subplots()
        x = np.arange(len(present))
        # Dots, not bars: the axis does not begin at 0, and the length of a bar would mislead.
        lowest = 1.0
        for offset, color, marker, name in ((-0.12, BLUE, "o", "precision"), (0.12, ORANGE, "D", "recall")):
            values = [getattr(score, name) for score in present]
            ranges = [
                getattr(score, f"{name}_range") or Range(value, value)
                for score, value in zip(present, values, strict=True)
            ]
            bars = _error_bars(values, [(interval.low, interval.high) for interval in ranges])
            axes.errorbar(x + offset, values, yerr=bars, fmt=marker, color=color, ecolor=_FAINT, label=name)
            lowest = min([lowest, *values, *(interval.low for interval in ranges)])
        span = max(0.002, 1 - lowest)
        axes.set(xlabel="digit", ylim=(1 - 1.15 * span, 1 + 0.08 * span))
        axes.set_xticks(x, [str(score.digit) for score in present])
        _legend_above(axes)
        _grid(axes)
        return _png(figure)


def draw_risk_coverage(points: Sequence[RiskPoint], accepted: Proportion, wrong: Proportion) -> bytes:
    """Draw the error rate against the share accepted, with its 95 % band.

    Args:
        points: points of the curve.
        accepted: share accepted at the threshold in use, drawn as a cross.
        wrong: error rate at that threshold.
    """
    coverage = [point.coverage for point in points]
    with _figure(_WIDTH, 3.6) as figure:
        axes = figure.subplots()
        band = [point.low for point in points], [point.high for point in points]
        axes.fill_between(coverage, *band, color=_FAINT, alpha=0.5, linewidth=0, label="95 %")
        axes.plot(coverage, [point.risk for point in points], color=BLUE)
        top = 1.25 * max(point.risk for point in points)
        if accepted.share is not None and wrong.share is not None:
            bars = _error_bars([wrong.share], [(wrong.low, wrong.high)])
            axes.errorbar([accepted.share], [wrong.share], yerr=bars, color=ORANGE, zorder=3, capsize=4)
            axes.scatter(
                [accepted.share], [wrong.share], marker="X", s=90, color=ORANGE, zorder=4, label="the threshold"
            )
            top = max(top, 1.1 * wrong.high)
        _legend_above(axes)
        axes.set(xlabel="share accepted", ylabel="error rate", xlim=(0, 1.02))
        axes.set_ylim(0, max(top, 0.001))
        _grid(axes)
        return _png(figure)


def draw_confused_pairs(pairs: Sequence[ConfusedPair], errors: Sequence[PictureResult], pictures: Picture) -> bytes:
    """Draw the most confused pairs, each with its most confident errors; pictures (n, 28, 28), 255 = ink."""
    strips = []
    for pair in pairs:
        indices = [error.index for error in errors if (error.truth, error.read_as) == (pair.truth, pair.read_as)]
        strips.append([pictures[i] for i in indices[:_MAX_PER_PAIR]])
    labels = [f"{pair.truth} as {pair.read_as}" for pair in pairs]
    return _tiles(strips, labels, _MAX_PER_PAIR)


def draw_examples(pictures: Picture, digits: NDArray[np.integer[Any]], per_digit: int = 14) -> bytes:
    """Draw examples of each digit, evenly spread over the data; pictures (n, 28, 28), 255 = ink, digits (n,)."""
    strips = []
    for digit in range(10):
        members = np.flatnonzero(digits == digit)
        picked = np.linspace(0, len(members) - 1, min(per_digit, len(members))).astype(int)
        strips.append([pictures[i] for i in members[picked]])
    return _tiles(strips, [str(digit) for digit in range(10)], per_digit)


def draw_mean_and_std(mean: Ink, spread: Ink) -> bytes:
    """Draw mean and standard deviation of the pictures of each digit; both (10, 28, 28)."""
    with _figure(7.0, 1.6) as figure:
        upper, lower = figure.subplots(2, 1)
        for axes, pictures, colors, label in ((upper, mean, "gray_r", "mean"), (lower, spread, "Blues", "spread")):
            axes.imshow(_strip(list(pictures), 10), cmap=colors, vmin=0, vmax=1 if axes is upper else 0.5)
            axes.set_ylabel(label, rotation=0, ha="right", va="center")
            _hide_axes(axes)
        upper.set_xticks([_TILE * i + 14 for i in range(10)], [str(digit) for digit in range(10)])
        upper.xaxis.tick_top()
        return _png(figure)


def draw_grouped_bars(
    labels: Sequence[str], groups: Mapping[str, Sequence[float]], *, xlabel: str = "digit", ylabel: str = "pictures"
) -> bytes:
    """Draw a bar for each label and group."""
    with _figure(_WIDTH, 4.4) as figure:
        axes = figure.subplots()
        width = 0.8 / len(groups)
        for i, (name, values) in enumerate(groups.items()):
            x = np.arange(len(labels)) - 0.4 + width * (i + 0.5)
            axes.bar(x, values, width=0.94 * width, color=(BLUE, ORANGE, GREEN)[i % 3], label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.set_xticks(range(len(labels)), labels, fontsize=9.5 if max(map(len, labels)) > 2 else None)
        _legend_above(axes)
        _grid(axes)
        return _png(figure)


def draw_time_series(names: Sequence[str], lines: Sequence[Series], ylabel: str, limit: float | None = None) -> bytes:
    """Draw series over the periods with their intervals, and a dashed line at the limit."""
    with _figure(2 * _WIDTH, 3.2) as figure:
        axes = figure.subplots()
        for i, line in enumerate(lines):
            points = [(x, value, interval) for x, (value, interval) in enumerate(line.points) if value is not None]
            values = [value for _, value, _ in points]
            bars = _error_bars(values, [interval or (value, value) for _, value, interval in points])
            color, marker = ((BLUE, "o"), (ORANGE, "D"), (GREEN, "s"), (PURPLE, "^"))[i % 4]
            style: dict[str, Any] = {"color": color, "ecolor": _FAINT, "marker": marker, "markersize": 4}
            axes.errorbar([x for x, _, _ in points], values, yerr=bars, label=line.label, linewidth=1, **style)
        if limit is not None:
            axes.axhline(limit, color=GREY, linestyle="--", linewidth=1)
        step = max(1, -(-len(names) // 10))
        axes.set_xticks(range(0, len(names), step), names[::step], fontsize=9.5)
        axes.set(ylabel=ylabel, xlim=(-0.5, len(names) - 0.5))
        axes.set_ylim(bottom=0)
        _legend_above(axes)
        _grid(axes)
        axes.tick_params(axis="x", pad=9)  # below the lowest number of the other axis
        return _png(figure)


def draw_ink_histogram(levels: Sequence[int]) -> bytes:
    """Draw the histogram of the pixels; counts over equal bins of 0..1."""
    with _figure(_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        edges = np.linspace(0, 1, len(levels) + 1)
        axes.bar(edges[:-1], levels, width=np.diff(edges), align="edge", color=BLUE)
        axes.set_yscale("log")
        axes.set(xlabel="ink: 0 = paper, 1 = full", ylabel="pixels, logarithmic", xlim=(0, 1), ylim=(1, None))
        _grid(axes)
        return _png(figure)


def draw_ink_amounts(amounts: NDArray[np.floating[Any]]) -> bytes:
    """Draw the histogram of the mean ink of the pictures, (n,)."""
    with _figure(_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        axes.hist(amounts, bins=40, color=BLUE)
        axes.set(xlabel="mean ink of a picture", ylabel="pictures")
        _grid(axes)
        return _png(figure)


@contextmanager
def _figure(width: float, height: float) -> "Iterator[Figure]":
    """Create a figure in the shared style, without pyplot; sizes in inches."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _png(figure: "Figure", dpi: int = _DPI) -> bytes:
    buffer = BytesIO()
    # Without the version in the metadata, equal numbers give equal bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _grid(*all_axes: "Axes") -> None:
    for axes in all_axes:
        axes.grid(axis="y", linewidth=0.8)
        axes.tick_params(length=0)


def _error_bars(values: Sequence[float], ranges: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Return the lengths of the error bars below and above the values, (2, n)."""
    pairs = zip(values, ranges, strict=True)
    return np.maximum([(value - low, high - value) for value, (low, high) in pairs], 0.0).reshape(-1, 2).T


def _legend_above(axes: "Axes") -> None:
    """Place the legend above the plot, where no line crosses it."""
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, handletextpad=0.5)


def _hide_axes(axes: "Axes") -> None:
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _strip(pictures: "Sequence[NDArray[Any]]", tiles: int) -> NDArray[Any]:
    """Place pictures side by side, (28, tiles * _TILE), padded with paper."""
    strip = np.zeros((28, tiles * _TILE), dtype=np.float32)
    for i, picture in enumerate(pictures):
        strip[:, i * _TILE : i * _TILE + 28] = picture
    return strip


def _tiles(strips: "Sequence[Sequence[NDArray[Any]]]", labels: Sequence[str], across: int) -> bytes:
    """Draw rows of pictures, each with a label."""
    canvas = np.zeros((len(strips) * _TILE, across * _TILE), dtype=np.float32)
    for i, pictures in enumerate(strips):
        canvas[i * _TILE : i * _TILE + 28] = _strip(pictures, across)
    with _figure(0.5 * across + 0.16 * max(map(len, labels)) + 0.2, 0.5 * len(strips) + 0.1) as figure:
        axes = figure.subplots()
        axes.imshow(canvas, cmap="gray_r", vmin=0, vmax=255)
        _hide_axes(axes)
        axes.set_yticks([_TILE * i + 13.5 for i in range(len(labels))], labels, fontsize=15)
        return reduce_grays(_png(figure, _TILES_DPI))
