"""Lay out the bars of a chart; the template draws them, the style sheet colors them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360.0, 168.0
"""Size in SVG units: about the width of a phone, so that text is not scaled down there."""
_TOP, _BOTTOM, _SIDE = 20.0, 24.0, 4.0
_GAP = 0.28
"""Gap between two bars, as a share of their distance."""
_MIN_HEIGHT = 2.0
"""Height of the smallest bar, so that one page among thousands stays visible."""


@dataclass(frozen=True, slots=True)
class Part:
    """A segment of a stacked bar; `kind` is its class in the style sheet."""

    kind: str
    value: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar, its parts from bottom to top."""

    label: str
    total: int
    x: float
    width: float
    top: float
    parts: tuple[Part, ...]

    @property
    def centre(self) -> float:
        """Return the x position of the label."""
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar chart with a description for screen readers."""

    name: str
    """Unique in its page."""
    title: str
    description: str
    kinds: tuple[str, ...]
    """Kinds that occur, for the legend."""
    bars: tuple[Bar, ...]
    width: float = WIDTH
    height: float = HEIGHT
    baseline: float = HEIGHT - _BOTTOM


def build_bar_chart(name: str, title: str, bars: Sequence[tuple[str, Mapping[str, int]]]) -> BarChart:
    """Lay out stacked bars, each with a label and a count per kind, over the full width.

    >>> chart = build_bar_chart("mix", "Digits", [("0", {"accepted": 3}), ("1", {"accepted": 0})])
    >>> chart.description
    '0: 3 accepted; 1: 0'
    >>> chart.bars[1].parts
    ()
    """
    step = (WIDTH - 2 * _SIDE) / max(1, len(bars))
    highest = max((sum(counts.values()) for _, counts in bars), default=0)
    laid_out = tuple(
        _bar(label, counts, _SIDE + step * (i + _GAP / 2), step * (1 - _GAP), highest)
        for i, (label, counts) in enumerate(bars)
    )
    kinds = dict.fromkeys(kind for _, counts in bars for kind in counts if any(other.get(kind) for _, other in bars))
    return BarChart(name, title, "; ".join(map(_describe, laid_out)), tuple(kinds), laid_out)


def _bar(label: str, counts: Mapping[str, int], x: float, width: float, highest: int) -> Bar:
    room = HEIGHT - _TOP - _BOTTOM
    top, parts = HEIGHT - _BOTTOM, []
    for kind, value in counts.items():
        if value:
            height = max(_MIN_HEIGHT, room * value / highest)
            top -= height
            parts.append(Part(kind, value, round(top, 2), round(height, 2)))
    return Bar(label, sum(counts.values()), round(x, 2), round(width, 2), round(top, 2), tuple(parts))


def _describe(bar: Bar) -> str:
    parts = ", ".join(f"{part.value} {part.kind}" for part in bar.parts)
    return f"{bar.label}: {parts or 0}"
