"""Whether what comes in is still like what came before: the population stability index (PSI)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from digitrec.classifiers.calibration import Calibration
from digitrec.classifiers.card import ModelCard
from digitrec.reporting.batch import CONFIDENCE_EDGES
from digitrec.reporting.statistics import chi2_quantile

THRESHOLD = 0.2
"""From here on a change is considerable; by the usual reading, it is little below ..."""
LITTLE = 0.1
"""... this, and moderate between the two."""
FEWEST = 200
"""On either side. Below, chance alone comes near the threshold, and nothing is said."""
_HALF = 0.5
"""Added to every count: an empty bin would make the index infinite."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one distribution is from another."""

    psi: float | None
    """0 or more; None if there are too few to tell."""
    chance: float | None
    """Below this lie 95 % of the indices of two samples of these sizes from one and the same distribution."""
    of: int
    """How many were compared ..."""
    with_: int
    """... with how many."""

    @property
    def reading(self) -> str:
        """The usual words for it."""
        if self.psi is None:
            return "too few"
        if self.psi >= THRESHOLD:
            return "considerable"
        return "moderate" if self.psi >= LITTLE else "little"

    def to_json(self) -> dict[str, Any]:
        """The same as plain types."""
        found = asdict(self)
        return {"with": found.pop("with_"), **found, "reading": self.reading}


def drift(counts: Sequence[float], reference: Sequence[float]) -> Drift:
    """The population stability index of counts against a reference, over the same bins.

        PSI = sum over bins of (p - q) * ln(p / q)

    with p and q the shares of a bin in both, half a count added to each bin. Below 0.1 the change is usually read as
    little, from 0.2 on as considerable. With n and m counted, (1/n + 1/m) times a chi-squared variable of one degree
    of freedom less than bins is what chance alone makes of it (Yurdakul and Naranjo, 2020).

    Args:
        counts: per bin.
        reference: per bin, as many.

    >>> drift([300, 700], [500, 500]).reading
    'moderate'
    >>> drift([100, 900], [500, 500]).reading, drift([10, 90], [500, 500]).reading
    ('considerable', 'too few')
    """
    found, expected = np.asarray(counts, np.float64), np.asarray(reference, np.float64)
    if found.shape != expected.shape or found.ndim != 1:
        raise ValueError(f"counts {found.shape} and reference {expected.shape} are not over the same bins")
    of, with_ = round(float(found.sum())), round(float(expected.sum()))
    if min(of, with_) < FEWEST:
        return Drift(None, None, of, with_)
    p, q = ((one + _HALF) / (one.sum() + _HALF * len(one)) for one in (found, expected))
    chance = (1 / of + 1 / with_) * chi2_quantile(0.95, len(found) - 1)
    return Drift(float(((p - q) * np.log(p / q)).sum()), chance, of, with_)


LEARNED_OF_EACH = "learned_of_each"
"""Where a card has how many pictures of each digit the weights were fitted to."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The distributions that a model's card tells of."""

    model_id: str
    confidence: tuple[float, ...] | None
    """Pages per bin of CONFIDENCE_EDGES, and at the end those never accepted, whatever the threshold."""
    confidence_source: str
    """Which pages these were."""
    digits: tuple[int, ...] | None
    """Pictures of each digit; None if the card, an older one, does not tell."""


def reference_of(card: ModelCard) -> Reference:
    """What a card tells: its largest calibration table, and the digits it learned from."""
    table = max(card.calibrations, key=lambda one: one.pages, default=None)
    usable = table is not None and table.pages > 0 and len(table.bounds) > 1
    return Reference(
        model_id=card.id,
        confidence=_histogram(table) if table is not None and usable else None,
        confidence_source=table.name if table is not None and usable else "",
        digits=_digits(card.training.get(LEARNED_OF_EACH)),
    )


def _histogram(table: Calibration) -> tuple[float, ...]:
    """Pages per bin, from how many were accepted at each threshold; between two thresholds, in proportion."""
    reached = [_reached(table, edge) for edge in CONFIDENCE_EDGES[:-1]] + [0.0]
    bins = [max(0.0, low - high) for low, high in pairwise(reached)]
    return (*bins, max(0.0, table.pages - reached[0]))


def _reached(table: Calibration, confidence: float) -> float:
    thresholds = [bound.threshold for bound in table.bounds]
    return float(np.interp(confidence, thresholds, [bound.accepted for bound in table.bounds]))


def _digits(found: Any) -> tuple[int, ...] | None:
    """Ten counts; None for anything else that an older or a foreign card may hold there."""
    is_ten = (
        isinstance(found, Sequence) and len(found) == 10 and all(isinstance(one, int) and one >= 0 for one in found)
    )
    return tuple(found) if is_ten and sum(found) else None
