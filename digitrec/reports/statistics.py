"""Confidence intervals and tests of shares and measures, and their distributions; without SciPy, which loads slowly."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, lgamma, log, log1p, sqrt
from typing import TYPE_CHECKING, TypeAlias

from digitrec.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Z_95 = 1.959963984540054
"""The normal distribution has 95 % of its mass within this many standard deviations."""
RESAMPLES = 1000
"""Enough for two digits of a bound; half a second for 10,000 pictures."""
_SEED = 20_260
_TAIL = 0.025
_SIGNIFICANCE_LEVEL = 0.05

_MAX_HALVINGS = 1100
"""Bisection of 0..1 ends when no number is left between the bounds: after 1,074 steps if the quantile is 0."""
_MAX_TERMS = 10_000
"""The continued fraction takes about as many terms as the root of the larger parameter."""
_TINY = 1e-300
_CLOSE = 1e-15


@dataclass(frozen=True, slots=True)
class Proportion:
    """Share of a count, with the 95 % confidence interval of the true share."""

    hits: int
    total: int
    low: float
    """0..1; 0 when nothing was counted."""
    high: float
    """0..1; 1 when nothing was counted."""

    @property
    def share(self) -> float | None:
        """Return the measured share, 0..1, or None when nothing was counted."""
        return self.hits / self.total if self.total else None

    def to_json(self) -> dict[str, int | float | None]:
        """Return the fields and the share as plain types."""
        return {"hits": self.hits, "of": self.total, "share": self.share, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Range:
    """95 % confidence interval of a number that is no share of a count."""

    low: float
    high: float


def wilson(hits: int, of: int) -> Proportion:
    """Return Wilson's 95 % interval: correct near 0 and 1 too, and needs nothing but a square root.

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
    """Return the exact 95 % interval: never too narrow, so it is the one for error guarantees.

    >>> none_wrong = clopper_pearson(0, 1000)
    >>> none_wrong.low, round(none_wrong.high, 5)
    (0.0, 0.00368)
    """
    _check(hits, of)
    low = 0.0 if hits == 0 else betaincinv(hits, of - hits + 1, _TAIL)
    high = 1.0 if hits == of else betaincinv(hits + 1, of - hits, 1 - _TAIL)
    return Proportion(hits, of, low, high)


def f1_range(right: int, read: int, support: int) -> Range:
    """Return the 95 % interval of an F1 score, correct at 1 too, where resampling would give no width at all.

    F1 = 2 J / (1 + J) rises with J, the share of correct ones among all pictures that are of this class or were read
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


def bootstrap_rows(rows: "Floats", measure: "Callable[[Floats, NDArray[np.intp]], float]") -> Range:
    """Return the 95 % interval of a measure of pictures by resampling, with a fixed seed.

    Args:
        rows: (n, k), one row per picture.
        measure: takes the rows and the indices of the resampled ones, (n,), some several times.
    """
    import numpy as np

    rng = np.random.default_rng(_SEED)
    resampled = np.array([measure(rows, rng.integers(0, len(rows), len(rows))) for _ in range(RESAMPLES)])
    return bias_corrected_interval(resampled, measure(rows, np.arange(len(rows))))


def bootstrap_table(counts: "NDArray[np.int64]", measure: "Callable[[Floats], Floats]") -> tuple[Range, ...]:
    """Return the 95 % intervals of k measures of a table of counts: as from resampled pictures, but much faster.

    Args:
        counts: (r, c).
        measure: takes tables, (m, r, c), and returns (m, k): k measures of each.
    """
    import numpy as np

    total = int(counts.sum())
    tables = np.random.default_rng(_SEED).multinomial(total, counts.ravel() / total, RESAMPLES)
    resampled = measure(tables.reshape(RESAMPLES, *counts.shape).astype(np.float64))  # (RESAMPLES, k)
    measured = measure(counts[None].astype(np.float64))[0]  # (k,)
    return tuple(bias_corrected_interval(resampled[:, i], float(measured[i])) for i in range(len(measured)))


def bias_corrected_interval(resampled: "Floats", measured: float) -> Range:
    """Return Efron's bias-corrected 95 % interval of a measure from its resampled values, (n,).

    A calibration error is never negative, so that resampling makes it larger on average: the plain percentiles would
    leave out the measured value. The bias-corrected ones are those of a shifted normal distribution.

    >>> import numpy as np
    >>> even = bias_corrected_interval(np.linspace(0.0, 1.0, 1001), 0.5)
    >>> round(even.low, 3), round(even.high, 3)
    (0.025, 0.975)
    """
    from statistics import NormalDist

    import numpy as np

    normal, limit = NormalDist(), 1 / (2 * len(resampled))
    below = float((resampled < measured).sum() + 0.5 * (resampled == measured).sum()) / len(resampled)
    shift = 2 * normal.inv_cdf(min(max(below, limit), 1 - limit))
    low, high = np.quantile(resampled, [normal.cdf(shift - Z_95), normal.cdf(shift + Z_95)]).tolist()
    return Range(min(low, measured), max(high, measured))


@dataclass(frozen=True, slots=True)
class McNemarResult:
    """Two models on the same pictures, with the p-value of McNemar's test."""

    pictures: int
    current_right: int
    candidate_right: int
    only_current: int
    """Number of pictures that only the current model reads correctly."""
    only_candidate: int
    p_worse: float
    """Probability of a result at least this one-sided if the candidate is not worse."""
    items: str = "pictures"
    """Description of the pictures."""

    @property
    def is_worse(self) -> bool:
        """Return True if the candidate is significantly worse."""
        return self.p_worse < _SIGNIFICANCE_LEVEL

    @property
    def words(self) -> str:
        """Return the verdict and its figures in a sentence."""
        verdict = "worse than" if self.is_worse else "not shown to be worse than"
        return (
            f"the candidate is {verdict} the current model: {self.candidate_right} against {self.current_right} of "
            f"{self.pictures} {self.items} right; where they differ, {self.only_candidate} are right only with the "
            f"candidate and {self.only_current} only with the current model (exact McNemar test, one-sided, "
            f"p = {self.p_worse:.3g}; worse means p < {_SIGNIFICANCE_LEVEL})"
        )


def mcnemar(
    current_right: "NDArray[np.bool_]", candidate_right: "NDArray[np.bool_]", items: str = "pictures"
) -> McNemarResult:
    """Run McNemar's exact test, one-sided; only pictures on which the two models differ count.

    Args:
        current_right: (n,) mask of the pictures that the current model reads correctly.
        candidate_right: (n,) the same for the candidate, on the same pictures.
        items: description of the pictures.

    >>> import numpy as np
    >>> mcnemar(np.array([True] * 20), np.array([True] * 12 + [False] * 8)).is_worse
    True
    """
    if current_right.shape != candidate_right.shape or current_right.ndim != 1 or current_right.size == 0:
        raise DataError("two models can only be compared on the same pictures, at least one")
    only_current = int((current_right & ~candidate_right).sum())
    only_candidate = int((candidate_right & ~current_right).sum())
    # Binomial tail P(X >= only_current) for only_current + only_candidate tosses of a fair coin.
    p_worse = betainc(only_current, only_candidate + 1, 0.5) if only_current else 1.0
    right = int(current_right.sum()), int(candidate_right.sum())
    return McNemarResult(len(current_right), *right, only_current, only_candidate, p_worse, items)


def betainc(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function: the share of the beta distribution (a, b) below x in 0..1.

    >>> round(betainc(2, 2, 0.5), 12), round(betainc(1, 3, 0.1), 12)
    (0.5, 0.271)
    """
    if x in {0.0, 1.0}:
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1.0 - betainc(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _beta_fraction(x, a, b)


def betaincinv(a: float, b: float, share: float) -> float:
    """Return the quantile of the beta distribution: the x with `share` of the distribution below it.

    Args:
        a: above 0.
        b: above 0.
        share: between 0 and 1, exclusive.

    >>> round(betaincinv(1, 1000, 0.975), 5), round(betaincinv(3, 3, 0.5), 12)
    (0.00368, 0.5)
    """
    return _bisect(lambda x: betainc(a, b, x) < share, 1.0)


def chi2_quantile(share: float, freedom: int) -> float:
    """Return the quantile of the chi-squared distribution, for a few dozen degrees of freedom at most.

    >>> round(chi2_quantile(0.95, 1), 4), round(chi2_quantile(0.95, 10), 4)
    (3.8415, 18.307)
    """
    return 2 * _bisect(lambda x: _gammainc(freedom / 2, x) < share, 10.0 * (freedom + 10))


def _bisect(is_below: Callable[[float], bool], high: float) -> float:
    """Return the point of 0..high from which on `is_below` no longer holds."""
    low = 0.0
    for _ in range(_MAX_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _gammainc(a: float, x: float) -> float:
    """Return the regularised incomplete gamma function by its series, 6.5.29 of Abramowitz and Stegun."""
    if x == 0.0:
        return 0.0
    term = total = exp(a * log(x) - x - lgamma(a + 1.0))
    for n in range(1, _MAX_TERMS):
        term *= x / (a + n)
        total += term
        if term < total * _CLOSE:
            break
    return total


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction 26.5.8 of Abramowitz and Stegun, by Lentz's method."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _MAX_TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _not_zero(1.0 + step * d)
            c = _not_zero(1.0 + step / c)
            value *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return value


def _not_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
