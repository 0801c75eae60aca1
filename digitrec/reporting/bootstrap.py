"""Intervals for what is no share of a count: drawn again and again from what was measured, with a fixed seed."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from digitrec.reporting.intervals import Range

DRAWS = 1000
"""Enough for two digits of a bound; half a second for 10,000 pictures."""
_SEED = 20_260
_TAIL = 0.025

Floats: TypeAlias = NDArray[np.float64]


def of_rows(rows: Floats, measure: Callable[[Floats, NDArray[np.intp]], float]) -> Range:
    """The range of a measure of pictures, from (n, k) rows, one a picture.

    `measure` takes the rows and which of them are drawn, (n,), some several times.
    """
    dice = np.random.default_rng(_SEED)
    every = np.arange(len(rows))
    drawn = np.array([measure(rows, dice.integers(0, len(rows), len(rows))) for _ in range(DRAWS)])
    return corrected(drawn, measure(rows, every))


def of_table(counts: NDArray[np.int64], measure: Callable[[Floats], Floats]) -> tuple[Range, ...]:
    """The ranges of measures of a table of counts, (r, c): the same as drawing its pictures again, and much faster.

    `measure` takes many tables, (m, r, c), and gives (m, k): k measures of each.
    """
    total = int(counts.sum())
    tables = np.random.default_rng(_SEED).multinomial(total, counts.ravel() / total, DRAWS)
    drawn = measure(tables.reshape(DRAWS, *counts.shape).astype(np.float64))  # (DRAWS, k)
    found = measure(counts[None].astype(np.float64))[0]  # (k,)
    return tuple(corrected(drawn[:, i], float(found[i])) for i in range(len(found)))


def corrected(drawn: Floats, found: float) -> Range:
    """The 95 % interval from what was drawn, (n,), and what was found, without the bias of drawing.

    A calibration error is never negative, so that drawing again makes it larger on average: the plain percentiles
    would leave out what was found. Efron's bias-corrected ones are those of a shifted normal distribution.

    >>> even = corrected(np.linspace(0.0, 1.0, 1001), 0.5)
    >>> round(even.low, 3), round(even.high, 3)
    (0.025, 0.975)
    """
    from scipy.stats import norm

    below = ((drawn < found).sum() + 0.5 * (drawn == found).sum()) / len(drawn)
    shift = norm.ppf(np.clip(below, 1 / (2 * len(drawn)), 1 - 1 / (2 * len(drawn))))
    ends = norm.cdf(2 * shift + norm.ppf([_TAIL, 1 - _TAIL]))
    low, high = np.quantile(drawn, ends).tolist()
    return Range(min(low, found), max(high, found))
