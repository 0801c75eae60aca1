"""Where the bars of a chart lie. The template draws them; the style sheet colours them, in light and dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360.0, 168.0
"""The chart's own units: about the width of a phone, so that its letters are not shrunk there."""
_TOP, _BOTTOM, _SIDE = 20.0, 24.0, 4.0
_GAP = 0.28
"""Share of a bar's place that is left empty."""
_VISIBLE = 2.0
"""One among thousands must not vanish."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: `kind` is its class in the style sheet."""

    kind: str
    value: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, its parts from the bottom up."""

    label: str
    total: int
    x: float
    width: float
    top: float
    parts: tuple[Part, ...]

    @property
    def centre(self) -> float:
        """Where its label stands."""
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class BarChart:
    """A bar chart with its words for people who hear the page."""

    name: str
    """Unique in its page."""
    title: str
    description: str
    kinds: tuple[str, ...]
    """Those that occur, for the legend."""
    bars: tuple[Bar, ...]
    width: float = WIDTH
    height: float = HEIGHT
    baseline: float = HEIGHT - _BOTTOM


def build_bar_chart(name: str, title: str, bars: Sequence[tuple[str, Mapping[str, int]]]) -> BarChart:
    """Lay out stacked bars, each a label and a count per kind, over the whole width.

    >>> chart = bar_chart("mix", "Digits", [("0", {"accepted": 3}), ("1", {"accepted": 0})])
    >>> chart.description
    '0: 3 accepted; 1: 0'
    >>> chart.bars[1].parts
    ()
    """
    place = (WIDTH - 2 * _SIDE) / max(1, len(bars))
    most = max((sum(counts.values()) for _, counts in bars), default=0)
    drawn = tuple(
        _bar(label, counts, _SIDE + place * (i + _GAP / 2), place * (1 - _GAP), most)
        for i, (label, counts) in enumerate(bars)
    )
    kinds = dict.fromkeys(kind for _, counts in bars for kind in counts if any(other.get(kind) for _, other in bars))
    return BarChart(name, title, "; ".join(map(_words, drawn)), tuple(kinds), drawn)


def _bar(label: str, counts: Mapping[str, int], x: float, width: float, most: int) -> Bar:
    room = HEIGHT - _TOP - _BOTTOM
    top, parts = HEIGHT - _BOTTOM, []
    for kind, value in counts.items():
        if value:
            height = max(_VISIBLE, room * value / most)
            top -= height
            parts.append(Part(kind, value, round(top, 2), round(height, 2)))
    return Bar(label, sum(counts.values()), round(x, 2), round(width, 2), round(top, 2), tuple(parts))


def _words(bar: Bar) -> str:
    parts = ", ".join(f"{part.value} {part.kind}" for part in bar.parts)
    return f"{bar.label}: {parts or 0}"
