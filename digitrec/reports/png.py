"""Draw charts as PNG files beside the pages; the only module that imports matplotlib and seaborn.

Every function uses its own figure, without global state or a display. The colors are Okabe and Ito's palette for color
blindness.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digitrec.reports.chart import Chart, Series, format_value, thin_labels
from digitrec.reports.thumbnails import reduce_grays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#6b7680"
_COLORS = {"c1": BLUE, "accepted": BLUE, "c2": ORANGE, "review": ORANGE, "c3": GREEN, "c4": PURPLE, "rejected": PURPLE}
_MARKERS = {"c1": "o", "c2": "D", "c3": "s", "c4": "^"}
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
_WIDTH, _HEIGHT = 6.0, 3.8
"""Inches."""
_LABEL_ROOM = 420.0
"""Width of the x axis in the units of `chart.thin_labels`."""
_LARGEST_DOT = 300
"""Area of the largest dot, in square points."""


def draw_chart(chart: Chart) -> bytes:
    """Draw a chart, as `svg.draw_svg` does."""
    from matplotlib.ticker import FuncFormatter

    with _figure(_WIDTH, _HEIGHT) as figure:
        axes = figure.subplots()
        bottoms = np.zeros(len(chart.labels))
        bars = [series for series in chart.series if series.mark == "bars"]
        width = 0.8 if chart.is_stacked else 0.8 / max(1, len(bars))
        for i, series in enumerate(bars):
            values = np.array([value or 0 for value in series.values], np.float64)
            offset = 0.0 if chart.is_stacked else width * (i - (len(bars) - 1) / 2)
            x = np.arange(len(values)) + offset
            axes.bar(
                x, values, 0.94 * width, bottoms if chart.is_stacked else 0, color=_color(series), label=series.label
            )
            bottoms += values if chart.is_stacked else 0
        for series in chart.series:
            if series.mark != "bars":
                _draw_points(axes, series)
        if chart.limit is not None:
            axes.axhline(chart.limit, color=GREY, linestyle="--", linewidth=1)
        if chart.is_diagonal:
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        if chart.labels:
            ticks = thin_labels(chart.labels, _LABEL_ROOM / len(chart.labels))
            axes.set_xticks([position for position, _ in ticks], [label for _, label in ticks], fontsize=9.5)
        else:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, "share")))
        if chart.is_log:
            axes.set_yscale("log")
        if not chart.is_stacked:
            axes.set(xlim=chart.x_bounds, ylim=chart.y_bounds)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, chart.unit)))
        axes.set(xlabel=chart.x_label, ylabel=chart.y_label, title=chart.title)
        axes.grid(axis="y", linewidth=0.8)
        axes.tick_params(length=0)
        if chart.legend:
            axes.legend(fontsize=9.5)
        return _png(figure)


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


def draw_strips(strips: "Mapping[str, NDArray[np.uint8]]") -> bytes:
    """Draw strips of pictures below each other, each (h, w) with 0 = ink, and its label on the left."""
    across = max(strip.shape[1] for strip in strips.values())
    rows = [np.pad(strip, ((0, 2), (0, across - strip.shape[1])), constant_values=255) for strip in strips.values()]
    canvas = np.concatenate(rows)
    with _figure(across / 60 + 0.16 * max(map(len, strips)) + 0.2, canvas.shape[0] / 60 + 0.1) as figure:
        axes = figure.subplots()
        axes.imshow(canvas, cmap="gray", vmin=0, vmax=255)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        middles = np.cumsum([row.shape[0] for row in rows]) - rows[0].shape[0] / 2
        axes.set_xticks([])
        axes.set_yticks(middles, list(strips), fontsize=15)
        return reduce_grays(_png(figure, _TILES_DPI))


def _color(series: Series) -> str:
    return _COLORS.get(series.kind, GREY)


def _draw_points(axes: "Axes", series: Series) -> None:
    points = list(series.points)
    if not points:
        return
    x, values, ranges, sizes = zip(*points, strict=True)
    intervals = [interval or (value, value) for value, interval in zip(values, ranges, strict=True)]
    low, high = (np.array(ends, np.float64) for ends in zip(*intervals, strict=True))
    color = _color(series)
    if series.mark == "band":
        axes.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0, label=series.label)
        return
    bars = np.maximum([np.array(values) - low, high - np.array(values)], 0.0)  # (2, n)
    line = "-" if series.mark == "line" else ""
    axes.errorbar(
        x, values, yerr=bars, fmt="", linestyle=line, linewidth=1, color=color, ecolor=_FAINT, label=series.label
    )
    areas = [20 if size is None else 20 + _LARGEST_DOT * size / max(series.sizes) for size in sizes]
    axes.scatter(x, values, areas, color=color, marker=_MARKERS.get(series.kind, "o"), zorder=3, alpha=0.9)


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
