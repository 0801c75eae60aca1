"""How far a model's confidence can be trusted: what was counted on labelled pages, and the threshold that follows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from digitrec.errors import ModelError

CONFIDENCE = 0.95
"""Of the bounds, one-sided."""
REPORTED_ERROR_RATES = (0.01, 0.005, 0.002, 0.001)
"""The error rates a model's card tells about."""


class Rule(StrEnum):
    """What must be within `max_error` among the accepted pages of a table."""

    UPPER_BOUND = "bound"
    """The bound on their error, with 95 % confidence (Clopper-Pearson, one-sided)."""
    OBSERVED = "share"
    """The share of errors that was counted: for sets too small for a bound of their own."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What is known of the pages accepted at one threshold."""

    threshold: float
    """Accepted is what has at least this confidence."""
    accepted: int
    """How many of the labelled pages that is; never one that most likely holds no digit."""
    wrong: int
    """How many of those were read wrongly."""
    upper: float
    """With 95 % confidence the true share of wrong ones is below this (Clopper-Pearson, one-sided)."""

    @property
    def observed_error(self) -> float:
        """Of the accepted, the share that was wrong; 1 where none was accepted."""
        return self.wrong / self.accepted if self.accepted else 1.0


@dataclass(frozen=True, slots=True)
class CalibrationTable:
    """One set of labelled pages that no weight was fitted to, and what was accepted of it at each threshold."""

    name: str
    source: str
    """What the pages are, in words."""
    pages: int
    """All of them, accepted or not."""
    rule: Rule
    bounds: tuple[OperatingPoint, ...]
    """By rising threshold."""

    def __post_init__(self) -> None:
        rising = all(one.threshold < two.threshold for one, two in pairwise(self.bounds))
        if not rising or not all(_is_sensible(one, self.pages) for one in self.bounds):
            raise ValueError(f"its calibration table {self.name!r} makes no sense")

    def error(self, bound: OperatingPoint) -> float:
        """The error this table answers for at one of its thresholds, by its rule, 0..1."""
        return bound.upper if self.rule is Rule.UPPER_BOUND else bound.observed_error

    def threshold(self, max_error: float) -> float | None:
        """The lowest threshold at which the rule holds; None if it holds at none.

        >>> values = ((0.0, 1000, 20, 0.029), (0.9, 950, 1, 0.005), (0.99, 800, 0, 0.0037))
        >>> rows = tuple(OperatingPoint(*row) for row in values)
        >>> CalibrationTable("held out", "", 1000, Rule.UPPER_BOUND, rows).threshold(0.005)
        0.9
        >>> CalibrationTable("real", "", 1000, Rule.OBSERVED, rows).threshold(0.001)
        0.99
        """
        return next((bound.threshold for bound in self.bounds if self.error(bound) <= max_error), None)

    def point_at(self, threshold: float) -> OperatingPoint:
        """What was accepted from this confidence on, or from the next lower one that was counted."""
        below = [bound for bound in self.bounds if bound.threshold <= threshold]
        return below[-1] if below else self.bounds[0]

    @property
    def lowest_error(self) -> float:
        """The smallest error at which the rule holds, 0..1, rounded up to five digits."""
        return _rounded_up(min((self.error(bound) for bound in self.bounds), default=1.0))


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """The threshold for one error rate."""

    threshold: float
    table: str
    """The name of the table that decided: its own lowest threshold is the highest."""


def choose_operating_point(tables: Sequence[CalibrationTable], max_error: float) -> ThresholdChoice:
    """The lowest threshold at which the rule of every table holds.

    That may be higher than each table's own lowest: among fewer accepted pages the bound is wider again.

    Raises:
        ModelError: at no threshold do all rules hold, or there is no table.
    """
    lowest = next((one for one in _grid(tables) if _error(tables, one) <= max_error), None)
    if lowest is None:
        raise _refused(tables, max_error)
    return ThresholdChoice(lowest, max(tables, key=lambda table: table.threshold(max_error) or 0.0).name)


def lowest_error(tables: Sequence[CalibrationTable]) -> float:
    """The smallest error at which every table's rule holds at some threshold, 0..1, rounded up to five digits."""
    return _rounded_up(min((_error(tables, one) for one in _grid(tables)), default=1.0))


def required_sample_size(max_error: float) -> int:
    """How many labelled pictures, all read rightly, show with 95 % confidence an error below `max_error`.

    >>> required_sample_size(0.005)
    598
    """
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log(1.0 - max_error))


def _grid(tables: Sequence[CalibrationTable]) -> list[float]:
    """The thresholds that are counted for some table, by size; none below the lowest that is counted for all."""
    if not tables or not all(table.bounds for table in tables):
        return []
    least = max(table.bounds[0].threshold for table in tables)
    every = {bound.threshold for table in tables for bound in table.bounds}
    return sorted(one for one in every if one >= least)


def _error(tables: Sequence[CalibrationTable], threshold: float) -> float:
    """The largest of the errors that the tables answer for there."""
    return max(table.error(table.point_at(threshold)) for table in tables)


def _rounded_up(error: float) -> float:
    return math.ceil(round(error * 1e5, 6)) / 1e5


def _refused(tables: Sequence[CalibrationTable], max_error: float) -> ModelError:
    best = lowest_error(tables)
    return ModelError(
        f"this model cannot promise a max_error of {max_error:g}; the best it can promise is {best:.5f}",
        hint=f"Raise max_error to at least {best:.5f}, or calibrate with more labelled pictures held out: a promise of "
        f"{max_error:g} takes {required_sample_size(max_error):,} of them read without any error.",
    )


def _is_sensible(bound: OperatingPoint, pages: int) -> bool:
    return (
        0.0 <= bound.threshold <= 1.0
        and 0 <= bound.wrong <= bound.accepted <= pages
        and math.isfinite(bound.upper)
        and 0.0 <= bound.upper <= 1.0
    )
