"""What was found: figures with their spread, and the targets they are held against. As records, and as JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure has to reach."""

    at_least: float
    aim: float

    def reached(self, value: float) -> str:
        """`aim`, `at least` or `missed`; whether more or less is better, the two numbers tell.

        >>> Target(12, 6).reached(7.5), Target(1.5, 1.8).reached(1.8), Target(0.35, 0.15).reached(0.4)
        ('at least', 'aim', 'missed')
        """
        sign = 1 if self.aim >= self.at_least else -1
        if sign * value >= sign * self.aim:
            return "aim"
        return "at least" if sign * value >= sign * self.at_least else "missed"


TARGETS: Mapping[str, Target] = {
    "digits_floor": Target(12, 6),
    "scans_cpu": Target(1.5, 0.7),
    "scans_tutorial": Target(30, 80),
    "sheets_floor": Target(1.3, 0.7),
    "photos_floor": Target(1.3, 0.7),
    "cores": Target(1.6, 1.8),
    "cold_0": Target(0.35, 0.15),
    "cold_1": Target(1.0, 0.5),
    "scans_parts": Target(2.6, 2.0),
    "start_0": Target(1.0, 0.6),
    "start_1": Target(2.0, 1.4),
    "tables_file": Target(3.5, 1.5),
    "strips_file": Target(0.12, 0.06),
    "mixed_peak": Target(250, 180),
    "peak": Target(300, 150),
    "growth": Target(1.2, 1.0),
    "idle": Target(0.2, 0.05),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, measured several times."""

    key: str
    """In TARGETS, if there is one for it."""
    label: str
    unit: str
    """`x`, `CPU s`, `MB`, ...; comes after the number."""
    values: tuple[float, ...]
    """One of each pair, in the order they were measured."""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.label} was never measured")

    @property
    def median(self) -> float:
        """The one that stands for all."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest."""
        return min(self.values), max(self.values)

    @property
    def target(self) -> Target | None:
        """What it has to reach, if anything."""
        return TARGETS.get(self.key)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one program took for one set, once for each pair."""

    kind: str
    """Of the pictures."""
    who: str
    files: int
    cpu_s: tuple[float, ...]
    wall_s: tuple[float, ...]
    peak_mb: tuple[float, ...]
    note: str = ""


@dataclass(slots=True)
class Results:
    """Everything one run of the bench found."""

    about: dict[str, Any] = field(default_factory=dict)
    """Machine, versions, options, sources of the pictures."""
    figures: list[Figure] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {"schema": SCHEMA, **asdict(self)}
        for entry, figure in zip(document["figures"], self.figures, strict=True):
            low, high = figure.spread
            entry |= {"median": figure.median, "low": low, "high": high}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            ValueError: it is of another schema.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"{path} has the schema {document['schema']}; this program reads {SCHEMA}")
        return cls(
            document["about"],
            [
                Figure(entry["key"], entry["label"], entry["unit"], tuple(entry["values"]))
                for entry in document["figures"]
            ],
            [Taken(**{name: _frozen(value) for name, value in entry.items()}) for entry in document["taken"]],
            document["notes"],
        )


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Pair by pair.

    >>> ratios([6.0, 9.0], [2.0, 3.0])
    (3.0, 3.0)
    """
    return tuple(value / other for value, other in zip(above, below, strict=True))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
