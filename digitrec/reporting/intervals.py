"""How far a share counted on a sample may lie from the truth: 95 % intervals for proportions."""

from dataclasses import dataclass
from math import sqrt

from digitrec.reporting import beta

Z_95 = 1.959963984540054
"""The normal distribution has 95 % of its mass within this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Proportion:
    """So many of so many, and where the true share lies with 95 % confidence."""

    hits: int
    of: int
    low: float
    """0..1; 0 when nothing was counted."""
    high: float
    """0..1; 1 when nothing was counted."""

    @property
    def share(self) -> float | None:
        """What was counted as a share, 0..1, or None when nothing was counted."""
        return self.hits / self.of if self.of else None

    def to_json(self) -> dict[str, int | float | None]:
        """The same as plain types."""
        return {"hits": self.hits, "of": self.of, "share": self.share, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Range:
    """Where a number that is no share of a count lies with 95 % confidence."""

    low: float
    high: float


def wilson(hits: int, of: int) -> Proportion:
    """Wilson's 95 % interval: right near 0 and 1 too, and needs nothing but a square root.

    >>> few = wilson(19, 20)
    >>> round(few.low, 3), round(few.high, 3)
    (0.764, 0.991)
    """
    _check(hits, of)
    if of == 0:
        return Proportion(0, 0, 0.0, 1.0)
    share, z2 = hits / of, Z_95 * Z_95
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    # At the ends the bound is exact; rounding must not leave 0.9999999 where every hit counted.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == of else min(1.0, centre + half)
    return Proportion(hits, of, low, high)


def clopper_pearson(hits: int, of: int) -> Proportion:
    """The exact 95 % interval: never too narrow, so it is the one for promises about errors.

    >>> none_wrong = clopper_pearson(0, 1000)
    >>> none_wrong.low, round(none_wrong.high, 5)
    (0.0, 0.00368)
    """
    _check(hits, of)
    low = 0.0 if hits == 0 else beta.quantile(0.025, hits, of - hits + 1)
    high = 1.0 if hits == of else beta.quantile(0.975, hits + 1, of - hits)
    return Proportion(hits, of, low, high)


def f1_range(right: int, read: int, support: int) -> Range:
    """The 95 % interval of an F1 score, right at 1 too, where resampling would give no width at all.

    F1 = 2 J / (1 + J) rises with J, the share of right ones among all pictures that are of this class or were read
    as it (F* of Hand, Christen and Kirielle, 2021). Wilson's interval of J, taken through that formula, is F1's.

    Args:
        right: pictures of the class that were read as it.
        read: all that were read as it.
        support: all pictures of the class.

    >>> of_many = f1_range(98, 100, 100)
    >>> round(of_many.low, 3), round(of_many.high, 3)
    (0.949, 0.992)
    """
    share = wilson(right, read + support - right)
    return Range(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))


def _check(hits: int, of: int) -> None:
    if not 0 <= hits <= of:
        raise ValueError(f"{hits} hits of {of} is no proportion")
