"""Quantiles of the beta distribution: what exact intervals are made of, also where SciPy is not installed."""

from math import exp, lgamma, log, log1p

_STEPS = 1100
"""Halvings of 0..1 end when no number lies between: 1,074 down to the smallest one, if the quantile is 0."""
_TERMS = 10_000
"""About as many terms as the root of the larger parameter are needed."""
_TINY = 1e-300
_CLOSE = 1e-15


def quantile(share: float, a: float, b: float) -> float:
    """Below this lies so much of the beta distribution with the parameters a and b.

    Args:
        share: 0..1, neither.
        a: above 0.
        b: above 0.

    >>> round(quantile(0.975, 1, 1000), 5), round(quantile(0.5, 3, 3), 12)
    (0.00368, 0.5)
    """
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if below(middle, a, b) < share else (low, middle)
    return (low + high) / 2


def below(x: float, a: float, b: float) -> float:
    """How much of the beta distribution lies below x, which is in 0..1: the regularised incomplete beta function.

    >>> round(below(0.5, 2, 2), 12), round(below(0.1, 1, 3), 12)
    (0.5, 0.271)
    """
    if x in {0.0, 1.0}:
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1.0 - below(1.0 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 26.5.8 of Abramowitz and Stegun, by Lentz's method."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    found = d
    for m in range(1, _TERMS):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _not_zero(1.0 + step * d)
            c = _not_zero(1.0 + step / c)
            found *= c * d
        if abs(c * d - 1.0) < _CLOSE:
            break
    return found


def _not_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
