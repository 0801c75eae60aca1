"""Is a candidate model worse than the current one? Stated as a test, so that luck does not decide."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.errors import DataError
from digitrec.pipeline import read_files
from digitrec.recognition.classifier import DigitClassifier
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import betainc
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic import samples
from digitrec.types import Limits, PageStatus

_SIGNIFICANT = 0.05
_SCANS, _SEED = 400, 0
"""How many scans are drawn, always the same."""


@dataclass(frozen=True, slots=True)
class McNemarResult:
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


def mcnemar(
    current_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], things: str = "pictures"
) -> McNemarResult:
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
    only_current = int((current_right & ~candidate_right).sum())
    only_candidate = int((candidate_right & ~current_right).sum())
    # P(X >= only_current) of a fair coin thrown as often as the two differ.
    p_worse = betainc(only_current, only_candidate + 1, 0.5) if only_current else 1.0
    return McNemarResult(
        len(current_right),
        int(current_right.sum()),
        int(candidate_right.sum()),
        only_current,
        only_candidate,
        p_worse,
        things,
    )


def compare_classifiers(current: DigitClassifier, candidate: DigitClassifier, split: Split) -> McNemarResult:
    """Let both read the same split, one that neither has learned from."""
    ink = split.ink
    current_right, candidate_right = (one.score(ink).argmax(axis=1) == split.digits for one in (current, candidate))
    return mcnemar(current_right, candidate_right)


def compare_page_readers(current: PageReader, candidate: PageReader, split: Split) -> McNemarResult:
    """Let both read scans drawn with the digits of a split that neither has learned from, as the service reads."""
    return _compare_scans(current, candidate, split, (0.0, 0.0), "drawn scans", only_accepted=False)


def compare_accepted_pages(
    current: PageReader, candidate: PageReader, split: Split, thresholds: tuple[float, float]
) -> McNemarResult:
    """The same, but what is not accepted, by either with its own threshold, is not read rightly: somebody must look."""
    things = "drawn scans, accepted and"
    return _compare_scans(current, candidate, split, thresholds, things, only_accepted=True)


def _compare_scans(
    current: PageReader,
    candidate: PageReader,
    split: Split,
    thresholds: tuple[float, float],
    things: str,
    *,
    only_accepted: bool,
) -> McNemarResult:
    drawn = list(samples.generate_samples(split.pictures, split.digits, _SCANS, _SEED))
    right = []
    for reader, threshold in zip((current, candidate), thresholds, strict=True):
        read = [(_read(reader, scan, threshold), str(digit)) for _, scan, digit in drawn]
        right.append([text == digit and (is_accepted or not only_accepted) for (text, is_accepted), digit in read])
    return mcnemar(np.array(right[0], np.bool_), np.array(right[1], np.bool_), things)


def _read(reader: PageReader, scan: bytes, threshold: float) -> tuple[str, bool]:
    """What it reads, and whether it would be accepted."""
    (readings,) = read_files.decide_readings([read_files.read_bytes(scan, Limits(), reader)], threshold)
    is_accepted = all(one.status is PageStatus.ACCEPTED for one in readings)
    return "".join(one.text for one in readings), is_accepted
