"""Is a candidate model worse than the current one? Stated as a test, so that luck does not decide."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec import reading, samples
from digitrec.classifiers.base import Classifier
from digitrec.errors import DataError
from digitrec.recognition.page_reader import PageReader
from digitrec.records import Limits
from digitrec.training.arrays import Split

_SIGNIFICANT = 0.05
_SCANS, _SEED = 400, 0
"""How many scans are drawn, always the same."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same pictures."""

    pictures: int
    current_right: int
    candidate_right: int
    only_current: int
    """Pictures that only the current model reads rightly."""
    only_candidate: int
    p_worse: float
    """How likely so lopsided a result, or a more lopsided one, would be if the candidate were no worse."""
    things: str = "pictures"
    """What was read."""

    @property
    def is_worse(self) -> bool:
        """The candidate is worse, and not by chance."""
        return self.p_worse < _SIGNIFICANT

    @property
    def words(self) -> str:
        """The verdict and its grounds in a sentence."""
        verdict = "worse than" if self.is_worse else "not shown to be worse than"
        return (
            f"the candidate is {verdict} the current model: {self.candidate_right} against {self.current_right} of "
            f"{self.pictures} {self.things} right; where they differ {self.only_candidate} speak for the candidate and "
            f"{self.only_current} for the current (exact McNemar test, one-sided, p = {self.p_worse:.3g}; "
            f"worse means p < {_SIGNIFICANT})"
        )


def not_worse(
    current_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], things: str = "pictures"
) -> Comparison:
    """Compare by McNemar's exact test: only pictures on which the two differ say anything.

    Args:
        current_right: (n,) which pictures the current model reads rightly.
        candidate_right: (n,) the same for the candidate, on the same pictures.
        things: what they are, in words.

    >>> not_worse(np.array([True] * 20), np.array([True] * 12 + [False] * 8)).is_worse
    True
    """
    if current_right.shape != candidate_right.shape or current_right.ndim != 1 or current_right.size == 0:
        raise DataError("two models can only be compared on the same pictures, at least one")
    from scipy.stats import binomtest

    only_current = int((current_right & ~candidate_right).sum())
    only_candidate = int((candidate_right & ~current_right).sum())
    differing = only_current + only_candidate
    p_worse = float(binomtest(only_current, differing, 0.5, alternative="greater").pvalue) if differing else 1.0
    return Comparison(
        len(current_right),
        int(current_right.sum()),
        int(candidate_right.sum()),
        only_current,
        only_candidate,
        p_worse,
        things,
    )


def compare(current: Classifier, candidate: Classifier, split: Split) -> Comparison:
    """Let both read the same split, one that neither has learned from."""
    ink = split.ink
    current_right, candidate_right = (one.score(ink).argmax(axis=1) == split.digits for one in (current, candidate))
    return not_worse(current_right, candidate_right)


def compare_pages(current: PageReader, candidate: PageReader, split: Split) -> Comparison:
    """Let both read scans drawn with the digits of a split that neither has learned from, as the service reads."""
    drawn = list(samples.draw(split.pictures, split.digits, _SCANS, _SEED))
    current_right, candidate_right = (
        np.array([_text(reader, scan) == str(digit) for _, scan, digit in drawn]) for reader in (current, candidate)
    )
    return not_worse(current_right, candidate_right, "drawn scans")


def _text(reader: PageReader, scan: bytes) -> str:
    """What it reads, whether it would be accepted or not."""
    (readings,) = reading.readings_of([reading.interpret(scan, Limits(), reader)], 0.0)
    return "".join(one.text for one in readings)
