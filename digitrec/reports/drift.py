"""Measure drift of confidence and digits against training or earlier pages: the population stability index (PSI)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from digitrec.models.calibration import AnswerKind, CalibrationTable, tables_for
from digitrec.models.card import ModelCard
from digitrec.reports.batch import CONFIDENCE_EDGES
from digitrec.reports.statistics import chi2_quantile

DRIFT_THRESHOLD = 0.2
"""A change from here on is considerable, by the usual reading of the index."""
MODERATE_FROM = 0.1
"""A change below this is little; between the two it is moderate."""
MIN_COUNT = 200
"""Fewest counts on either side; below, chance alone comes near the threshold, and there is no index."""
_HALF = 0.5
"""Added to every count: an empty bin would make the index infinite."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Population stability index of one distribution against another."""

    psi: float | None
    """0 or more; None if there are too few to tell."""
    chance: float | None
    """95 % of the indices of two samples of these sizes from the same distribution are below this."""
    total: int
    """Number of items compared."""
    reference: int
    """Number of items in the reference."""

    @property
    def level(self) -> str:
        """Return the usual word for the size of the index."""
        if self.psi is None:
            return "too few"
        if self.psi >= DRIFT_THRESHOLD:
            return "considerable"
        return "moderate" if self.psi >= MODERATE_FROM else "little"

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the reading as plain types."""
        return {
            "with": self.reference,
            "psi": self.psi,
            "chance": self.chance,
            "of": self.total,
            "reading": self.level,
        }


def measure_drift(counts: Sequence[float], reference: Sequence[float]) -> Drift:
    """Return the population stability index of counts against a reference, over the same bins.

        PSI = sum over bins of (p - q) * ln(p / q)

    with p and q the shares of a bin in both, half a count added to each bin. Below 0.1 the change is usually read as
    little, from 0.2 on as considerable. With n and m counted, (1/n + 1/m) times a chi-squared variable of one degree
    of freedom less than bins is what chance alone makes of it (Yurdakul and Naranjo, 2020).

    Args:
        counts: per bin.
        reference: per bin, as many.

    >>> measure_drift([300, 700], [500, 500]).level
    'moderate'
    >>> measure_drift([100, 900], [500, 500]).level, measure_drift([10, 90], [500, 500]).level
    ('considerable', 'too few')
    """
    observed, expected = np.asarray(counts, np.float64), np.asarray(reference, np.float64)
    if observed.shape != expected.shape or observed.ndim != 1:
        raise ValueError(f"counts {observed.shape} and reference {expected.shape} are not over the same bins")
    of, with_ = round(float(observed.sum())), round(float(expected.sum()))
    if min(of, with_) < MIN_COUNT:
        return Drift(None, None, of, with_)
    p, q = ((bins + _HALF) / (bins.sum() + _HALF * len(bins)) for bins in (observed, expected))
    chance = (1 / of + 1 / with_) * chi2_quantile(0.95, len(observed) - 1)
    return Drift(float(((p - q) * np.log(p / q)).sum()), chance, of, with_)


DIGIT_COUNTS_KEY = "learned_of_each"
"""Key of a card's `training`: the number of pictures of each digit that the weights were fitted to."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Distributions of a model's training, from its card."""

    model_id: str
    confidence: tuple[float, ...] | None
    """Pages per bin of CONFIDENCE_EDGES, and at the end those never accepted, whatever the threshold."""
    confidence_source: str
    """Name of the calibration table that these pages are from."""
    digits: tuple[int, ...] | None
    """Pictures of each digit; None if an older card lacks them."""


def find_reference(references: Mapping[str, Reference], model_id: str) -> Reference | None:
    """Return the reference of the model that answered, also where it asked another reader: `ID+rapidocr-3.10`."""
    return references.get(model_id.partition("+")[0])


def read_reference(card: ModelCard) -> Reference:
    """Return the distributions of a card: from its largest table of single digits, and the digits it was trained on."""
    tables = tables_for(card.calibrations, AnswerKind.DIGITS)
    table = max(tables, key=lambda table: table.trials, default=None)
    usable = table is not None and table.trials > 0 and len(table.bounds) > 1
    return Reference(
        model_id=card.id,
        confidence=_histogram(table) if table is not None and usable else None,
        confidence_source=table.name if table is not None and usable else "",
        digits=_digits(card.training.get(DIGIT_COUNTS_KEY)),
    )


def _histogram(table: CalibrationTable) -> tuple[float, ...]:
    """Return pages per bin, from the accepted ones at each threshold; interpolated between two thresholds."""
    accepted = [_accepted_at(table, edge) for edge in CONFIDENCE_EDGES[:-1]] + [0.0]
    bins = [max(0.0, low - high) for low, high in pairwise(accepted)]
    return (*bins, max(0.0, table.trials - accepted[0]))


def _accepted_at(table: CalibrationTable, confidence: float) -> float:
    thresholds = [bound.threshold for bound in table.bounds]
    return float(np.interp(confidence, thresholds, [bound.accepted for bound in table.bounds]))


def _digits(counts: Any) -> tuple[int, ...] | None:
    """Return ten counts, or None for anything else that an older or a foreign card may hold there."""
    is_ten = (
        isinstance(counts, Sequence)
        and len(counts) == 10
        and all(isinstance(count, int) and count >= 0 for count in counts)
    )
    return tuple(counts) if is_ten and sum(counts) else None
