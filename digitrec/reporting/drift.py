"""Whether what comes in is still like what came before: the population stability index (PSI)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

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
    from scipy.stats import chi2

    p, q = ((one + _HALF) / (one.sum() + _HALF * len(one)) for one in (found, expected))
    chance = (1 / of + 1 / with_) * float(chi2.ppf(0.95, len(found) - 1))
    return Drift(float(((p - q) * np.log(p / q)).sum()), chance, of, with_)
