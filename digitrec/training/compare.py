"""Test whether a candidate model is significantly worse than the current one (McNemar)."""

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
from digitrec.types import Limits, PageStatus, Thresholds

_SIGNIFICANCE_LEVEL = 0.05
_ACCEPT_ALL = Thresholds(0.0, 0.0)
_SCANS, _SEED = 400, 0
"""Number and seed of the synthetic scans, the same for every comparison."""


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
    current_right: NDArray[np.bool_], candidate_right: NDArray[np.bool_], items: str = "pictures"
) -> McNemarResult:
    """Run McNemar's exact test, one-sided; only pictures on which the two models differ count.

    Args:
        current_right: (n,) mask of the pictures that the current model reads correctly.
        candidate_right: (n,) the same for the candidate, on the same pictures.
        items: description of the pictures.

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


def compare_classifiers(current: DigitClassifier, candidate: DigitClassifier, split: Split) -> McNemarResult:
    """Compare two classifiers on a split that neither was trained on."""
    current_right, candidate_right = (
        classifier.score(split.ink).argmax(axis=1) == split.digits for classifier in (current, candidate)
    )
    return mcnemar(current_right, candidate_right)


def compare_page_readers(current: PageReader, candidate: PageReader, split: Split) -> McNemarResult:
    """Compare two page readers on synthetic scans, with digits of a split that neither was trained on."""
    return _compare_scans(current, candidate, split, (_ACCEPT_ALL, _ACCEPT_ALL), "synthetic scans", only_accepted=False)


def compare_accepted_pages(
    current: PageReader, candidate: PageReader, split: Split, thresholds: tuple[Thresholds, Thresholds]
) -> McNemarResult:
    """Compare the answers that both readers accept, each at its own thresholds; pages in review count as wrong."""
    items = "synthetic scans, accepted and"
    return _compare_scans(current, candidate, split, thresholds, items, only_accepted=True)


def _compare_scans(
    current: PageReader,
    candidate: PageReader,
    split: Split,
    thresholds: tuple[Thresholds, Thresholds],
    items: str,
    *,
    only_accepted: bool,
) -> McNemarResult:
    scans = list(samples.generate_samples(split.pictures, split.digits, _SCANS, _SEED))
    is_right = np.zeros((2, _SCANS), np.bool_)
    for row, (reader, own) in enumerate(zip((current, candidate), thresholds, strict=True)):
        for column, (_, content, digit) in enumerate(scans):
            text, is_accepted = _read_scan(reader, content, own)
            is_right[row, column] = text == str(digit) and (is_accepted or not only_accepted)
    return mcnemar(is_right[0], is_right[1], items)


def _read_scan(reader: PageReader, content: bytes, thresholds: Thresholds) -> tuple[str, bool]:
    """Return the text of a scan, and whether all its pages are accepted."""
    (readings,) = read_files.decide_readings([read_files.read_bytes(content, Limits(), reader)], thresholds)
    is_accepted = all(reading.status is PageStatus.ACCEPTED for reading in readings)
    return "".join(reading.text for reading in readings), is_accepted
