"""What a model saw while it was made, to compare what it sees now with: from its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from digitrec.classifiers.calibration import Calibration
from digitrec.classifiers.card import ModelCard
from digitrec.reporting.batch import CONFIDENCE_EDGES

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
    import numpy as np

    thresholds = [bound.threshold for bound in table.bounds]
    return float(np.interp(confidence, thresholds, [bound.accepted for bound in table.bounds]))


def _digits(found: Any) -> tuple[int, ...] | None:
    """Ten counts; None for anything else that an older or a foreign card may hold there."""
    is_ten = (
        isinstance(found, Sequence) and len(found) == 10 and all(isinstance(one, int) and one >= 0 for one in found)
    )
    return tuple(found) if is_ten and sum(found) else None
