"""Calibration tables of a model: error rates counted on labelled pages, and the acceptance thresholds they imply."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

CONFIDENCE = 0.95
"""Confidence level of the one-sided upper bounds."""
REPORTED_ERROR_RATES = (0.01, 0.005, 0.002, 0.001)
"""Error rates that a model card reports."""


ACCEPT_NOTHING = 2.0
"""Threshold above every confidence."""


class AnswerKind(StrEnum):
    """Answers that have a threshold of their own; see `types.Thresholds`."""

    DIGITS = "digits"
    """The digit of a page that holds one digit and nothing else."""
    NUMBERS = "numbers"
    """Each number of any other page."""

    @property
    def description(self) -> str:
        """Return the answers in words, plural."""
        return "pages of one digit" if self is AnswerKind.DIGITS else "numbers on pages of more than one digit"


class Rule(StrEnum):
    """Which error of the accepted answers of a table must be within `max_error`."""

    UPPER_BOUND = "bound"
    """Upper bound of their error rate, with 95 % confidence (one-sided)."""
    OBSERVED = "share"
    """Their observed error rate: for sets too small for an upper bound."""
    REPORTED = "reported"
    """None: the table decides nothing. For pages without a digit, on which every accepted answer is wrong."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Counts of the answers accepted at one threshold."""

    threshold: float
    """Lowest accepted confidence."""
    accepted: int
    """Number of accepted answers; an answer whose most likely class is no digit is never accepted."""
    wrong: int
    """Number of accepted answers that are wrong."""
    upper: float
    """Upper bound of the error rate, with 95 % confidence (one-sided)."""

    @property
    def observed_error(self) -> float:
        """Error rate of the accepted answers; 1 where none was accepted."""
        return self.wrong / self.accepted if self.accepted else 1.0


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """Operating points of one set of labelled pages or numbers that was not used for training."""

    name: str
    source: str
    """Description of the pages."""
    trials: int
    """Number of pages or numbers, accepted or not."""
    rule: Rule
    bounds: tuple[OperatingPoint, ...]
    """Operating points by rising threshold."""
    applies_to: tuple[AnswerKind, ...] = tuple(AnswerKind)
    """Answers whose threshold depends on this table; both in models of earlier versions."""

    def __post_init__(self) -> None:
        is_rising = all(lower.threshold < upper.threshold for lower, upper in pairwise(self.bounds))
        if not is_rising or not all(_is_valid(point, self.trials) for point in self.bounds):
            raise ValueError(f"its calibration table {self.name!r} is inconsistent")
        if not self.applies_to:
            raise ValueError(f"its calibration table {self.name!r} applies to nothing")

    def error(self, point: OperatingPoint) -> float:
        """Return the error rate at one of its operating points, by its rule, 0..1."""
        return point.upper if self.rule is Rule.UPPER_BOUND else point.observed_error

    def threshold(self, max_error: float) -> float | None:
        """Return the lowest threshold at which the rule holds; None if it holds at none.

        >>> values = ((0.0, 1000, 20, 0.029), (0.9, 950, 1, 0.005), (0.99, 800, 0, 0.0037))
        >>> rows = tuple(OperatingPoint(*row) for row in values)
        >>> CalibrationTable("held out", "", 1000, Rule.UPPER_BOUND, rows).threshold(0.005)
        0.9
        >>> CalibrationTable("real", "", 1000, Rule.OBSERVED, rows).threshold(0.001)
        0.99
        """
        return next((point.threshold for point in self.bounds if self.error(point) <= max_error), None)

    def point_at(self, threshold: float) -> OperatingPoint:
        """Return the operating point with the highest threshold up to this one."""
        points = [point for point in self.bounds if point.threshold <= threshold]
        return points[-1] if points else self.bounds[0]

    @property
    def lowest_error(self) -> float:
        """Return the smallest error rate at which the rule holds, 0..1, rounded up to five digits."""
        return _round_up(min((self.error(point) for point in self.bounds), default=1.0))


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The acceptance threshold of one kind of answers for one error rate."""

    threshold: float
    table: str
    """Name of the deciding table: the one whose own lowest threshold is the highest."""
    points: tuple[tuple[CalibrationTable, OperatingPoint], ...]
    """Each table with its counts at this threshold."""


def tables_for(tables: Sequence[CalibrationTable], kind: AnswerKind) -> tuple[CalibrationTable, ...]:
    """Return the tables that apply to one kind of answers."""
    return tuple(table for table in tables if kind in table.applies_to)


def _deciding(tables: Sequence[CalibrationTable]) -> list[CalibrationTable]:
    return [table for table in tables if table.rule is not Rule.REPORTED]


def choose_operating_point(tables: Sequence[CalibrationTable], max_error: float) -> ThresholdChoice | None:
    """Return the lowest threshold at which the rule of every table holds; None if there is none, or no table.

    It may be higher than the lowest of each table: with fewer accepted answers the upper bound rises again.

    Args:
        tables: tables of one kind of answers.
        max_error: largest error rate of the accepted answers, 0..1.
    """
    deciding = _deciding(tables)
    common = _common_thresholds(deciding)
    threshold = next((value for value in common if _max_error(deciding, value) <= max_error), None)
    if threshold is None:
        return None
    strictest = max(deciding, key=lambda table: table.threshold(max_error) or 0.0)
    return ThresholdChoice(threshold, strictest.name, tuple((table, table.point_at(threshold)) for table in tables))


def lowest_error(tables: Sequence[CalibrationTable]) -> float:
    """Return the smallest error rate at which all rules hold at some threshold, 0..1, rounded up to five digits."""
    deciding = _deciding(tables)
    return _round_up(min((_max_error(deciding, threshold) for threshold in _common_thresholds(deciding)), default=1.0))


def required_sample_size(max_error: float) -> int:
    """Return how many answers without an error show an error rate below `max_error`, with 95 % confidence.

    >>> required_sample_size(0.005)
    598
    """
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log(1.0 - max_error))


def _common_thresholds(tables: Sequence[CalibrationTable]) -> list[float]:
    """Return the thresholds of all tables, sorted; none below the lowest that every table covers."""
    if not tables or not all(table.bounds for table in tables):
        return []
    lowest = max(table.bounds[0].threshold for table in tables)
    return sorted({point.threshold for table in tables for point in table.bounds if point.threshold >= lowest})


def _max_error(tables: Sequence[CalibrationTable], threshold: float) -> float:
    """Return the largest error rate of the tables at a threshold."""
    return max(table.error(table.point_at(threshold)) for table in tables)


def _round_up(error: float) -> float:
    return math.ceil(round(error * 1e5, 6)) / 1e5


def _is_valid(point: OperatingPoint, trials: int) -> bool:
    return (
        0.0 <= point.threshold <= 1.0
        and 0 <= point.wrong <= point.accepted <= trials
        and math.isfinite(point.upper)
        and 0.0 <= point.upper <= 1.0
    )
