"""Draw charts as SVG for the pages; the style sheet colors them."""

from collections.abc import Sequence
from math import log10, sqrt

from markupsafe import Markup, escape

from digitrec.reports.chart import (
    CHARACTER_WIDTH,
    Chart,
    Series,
    choose_log_ticks,
    choose_ticks,
    format_value,
    thin_labels,
)

WIDTH, HEIGHT = 360.0, 200.0
"""Size in SVG units: about the width of a phone, so that text is not scaled down there."""
_TOP, _BOTTOM, _LEFT, _RIGHT = 20.0, 24.0, 42.0, 10.0
_LABEL_ROOM = 17.0
"""Height of the label of the x axis."""
_GAP = 0.28
"""Gap between two bars, as a share of their distance."""
_WIDEST_BAR = 48.0
_MIN_HEIGHT = 2.0
"""Height of the smallest bar, so that one page among thousands stays visible."""
_DOT, _LARGEST_DOT = 3.2, 11.0
"""Radius of a dot; of the largest one, where the area of a dot is a count."""
_MAX_LARGE_DOTS = 40
"""Of more dots in a row, each is smaller."""


def draw_svg(chart: Chart) -> Markup:
    """Return a chart as an `svg` element, without its legend."""
    return _Drawing(chart).draw()


def _format(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _format_totals(chart: Chart) -> list[str]:
    """Return the sums above stacked bars; none if they would overlap, or the bars are not stacked."""
    if not chart.is_stacked:
        return []
    totals = [int(sum(series.values[i] or 0 for series in chart.series)) for i in range(len(chart.labels))]
    room = WIDTH / max(1, len(totals))
    for numbers in (
        [f"{total:,}".replace(",", "\u202f") for total in totals],
        [format_value(total, "count") for total in totals],
    ):
        if max(map(len, numbers), default=0) * CHARACTER_WIDTH <= room:
            return numbers
    return []


class _Drawing:
    """The layout of one chart."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.totals = _format_totals(chart)
        self.left, self.right = (4.0, WIDTH - 4.0) if self.totals else (_LEFT, WIDTH - _RIGHT)
        self.step = (self.right - self.left) / max(1, len(chart.labels))
        self.bottom = HEIGHT - _BOTTOM - (_LABEL_ROOM if chart.x_label else 0.0)
        self.x_bounds, self.y_bounds = chart.x_bounds, chart.y_bounds
        self.shapes: list[str] = []

    def draw(self) -> Markup:
        self._draw_axes()
        self._draw_reference_lines()
        bars = [series for series in self.chart.series if series.mark == "bars"]
        if self.chart.is_stacked:
            self._draw_stacks(bars)
        else:
            for i, series in enumerate(bars):
                self._draw_bars(series, i, len(bars))
        for series in self.chart.series:
            if series.mark == "band":
                self._draw_band(series)
            elif series.mark != "bars":
                self._draw_points(series)
        head = Markup(
            '<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-labelledby="{name}-t {name}-d">'
            '<title id="{name}-t">{}</title><desc id="{name}-d">{}</desc>'
        ).format(WIDTH, HEIGHT, self.chart.title, self.chart.description, name=self.chart.name)
        return head + Markup("".join(self.shapes) + "</svg>")  # noqa: S704 - `_add` escapes every value

    def _add(self, tag: str, text: str = "", *, title: str = "", **attributes: float | str) -> None:
        content = "".join(f' {name.rstrip("_")}="{_format(value)}"' for name, value in attributes.items())
        hint = f"<title>{escape(title)}</title>" if title else ""
        self.shapes.append(f"<{tag}{content}>{hint}{escape(text)}</{tag}>")

    def _x(self, value: float) -> float:
        low, high = self.x_bounds
        return self.left + (self.right - self.left) * (value - low) / (high - low)

    def _y(self, value: float) -> float:
        low, high = self.y_bounds
        if self.chart.is_log:
            low, high, value = 0.0, log10(max(high, 10)), log10(max(value, 1))
        share = (value - low) / (high - low) if high > low else 0.0
        return self.bottom - (self.bottom - _TOP) * min(max(share, 0.0), 1.0)

    def _draw_axes(self) -> None:
        chart = self.chart
        if not self.totals:
            ticks = choose_log_ticks(self.y_bounds[1]) if chart.is_log else choose_ticks(*self.y_bounds)
            for tick in ticks:
                y = self._y(tick)
                self._add("line", class_="grid", x1=self.left, x2=self.right, y1=y, y2=y)
                self._add("text", format_value(tick, chart.unit), class_="y", x=self.left - 5, y=y + 3.8)
            self._add("text", chart.y_label, class_="name", x=2.0, y=10.0)
        self._add("line", x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom)
        named: list[tuple[float, str]] = [*thin_labels(chart.labels, self.step)]
        if not chart.labels:
            named = [(tick, format_value(tick, "share")) for tick in choose_ticks(*self.x_bounds)]
        for position, label in named:
            half = len(label) * CHARACTER_WIDTH / 2
            self._add("text", label, x=min(max(self._x(position), half), WIDTH - half), y=self.bottom + 15)
        if chart.x_label:
            self._add("text", chart.x_label, class_="name end", x=self.right, y=HEIGHT - 5)

    def _draw_reference_lines(self) -> None:
        if self.chart.limit is not None:
            y = self._y(self.chart.limit)
            self._add("line", class_="dashed", x1=self.left, x2=self.right, y1=y, y2=y)
        if self.chart.is_diagonal:
            low, high = (max(self.x_bounds[0], self.y_bounds[0]), min(self.x_bounds[1], self.y_bounds[1]))
            self._add("line", class_="dashed", x1=self._x(low), y1=self._y(low), x2=self._x(high), y2=self._y(high))

    def _draw_stacks(self, bars: Sequence[Series]) -> None:
        width = min(self.step * (1 - _GAP), _WIDEST_BAR)
        for i in range(len(self.chart.labels)):
            top = self.bottom
            for series in bars:
                if value := series.values[i]:
                    height = max(_MIN_HEIGHT, self.bottom - self._y(value))
                    top -= height
                    self._draw_bar(series, i, value, (self._x(i) - width / 2, top, width, height))
            if self.totals and top < self.bottom:
                self._add("text", self.totals[i], class_="value", x=self._x(i), y=top - 5)

    def _draw_bars(self, series: Series, index: int, count: int) -> None:
        width = self.step * (1 - _GAP / 2) / count
        for x, value, _, _ in series.points:
            if value:
                height = max(_MIN_HEIGHT, self.bottom - self._y(value))
                left = self._x(x) + width * (index - count / 2)
                self._draw_bar(series, int(x), value, (left, self.bottom - height, 0.94 * width, height))

    def _draw_bar(self, series: Series, i: int, value: float, box: tuple[float, float, float, float]) -> None:
        title = f"{self.chart.labels[i]}: {format_value(value, self.chart.unit)} {series.label}"
        x, y, width, height = box
        self._add("rect", title=title, class_=series.kind, x=x, y=y, width=width, height=height, rx=1.5)

    def _draw_band(self, series: Series) -> None:
        edges = [(x, interval) for x, _, interval, _ in series.points if interval is not None]
        upper = [f"{self._x(x):.1f},{self._y(interval[1]):.1f}" for x, interval in edges]
        lower = [f"{self._x(x):.1f},{self._y(interval[0]):.1f}" for x, interval in reversed(edges)]
        self._add("polygon", class_=f"band {series.kind}", points=" ".join(upper + lower))

    def _draw_points(self, series: Series) -> None:
        points = list(series.points)
        largest = max((size or 0 for *_, size in points), default=0)
        if series.mark == "line":
            path = " ".join(f"{self._x(x):.1f},{self._y(value):.1f}" for x, value, _, _ in points)
            self._add("polyline", class_=series.kind, points=path)
            if len(points) > WIDTH / 4:
                return
        dot = _DOT if len(points) <= _MAX_LARGE_DOTS else 0.6 * _DOT
        for x, value, interval, size in points:
            at_x, at_y = self._x(x), self._y(value)
            if interval is not None:
                low, high = map(self._y, interval)
                self._add("line", class_=f"range {series.kind}", x1=at_x, x2=at_x, y1=low, y2=high)
            radius = dot if size is None else 1.5 + (_LARGEST_DOT - 1.5) * sqrt(size / max(largest, 1))
            where = self.chart.label_at(x) if self.chart.labels else format_value(x, "share")
            count = "" if size is None else f", n = {size}"
            title = f"{where}: {format_value(value, self.chart.unit)} {series.label}{count}"
            self._add("circle", title=title, class_=series.kind, cx=at_x, cy=at_y, r=radius)
