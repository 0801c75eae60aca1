"""Calibrate a model: the temperature of its probabilities, and the error rate at each confidence threshold.

Both are fitted on pictures that no weight was fitted to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Scores
from digitrec.models.calibration import CONFIDENCE, AnswerKind, CalibrationTable, OperatingPoint, Rule
from digitrec.models.card import Metric
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import decision
from digitrec.recognition.classifier import apply_temperature
from digitrec.reports.alignment import align
from digitrec.reports.statistics import betaincinv, wilson
from digitrec.text import is_comparable_label, matches_label
from digitrec.training.datasets.dataset import Digits
from digitrec.types import Thresholds

NEVER = -1.0
"""Confidence of a page that no threshold accepts."""


@dataclass(frozen=True, slots=True)
class CalibrationParams:
    """Search range of the temperature, and the thresholds of a calibration table."""

    temperatures: tuple[float, float] = (0.2, 5.0)
    thresholds: int = 200
    threshold_powers: tuple[float, float] = (0.05, 6.0)
    """Thresholds are 1 - 10^-power: finest close to 1, where answers are nearly certain."""
    min_probability: float = 1e-12  # lower limit before the logarithm


PARAMS = CalibrationParams()


def fit_temperature(scores: Scores, digits: Digits) -> float:
    """Return the temperature with the least negative log-likelihood.

    Args:
        scores: uncalibrated, (n, 11).
        digits: true classes, (n,).
    """
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_temperature: float) -> float:
        probabilities = apply_temperature(scores, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(probabilities[np.arange(len(digits)), digits], PARAMS.min_probability)).mean())

    bounds = tuple(np.log(limit) for limit in PARAMS.temperatures)
    best = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(best.x))


@dataclass(frozen=True, slots=True)
class JudgedNumber:
    """A number that was read on a page, or is missing there."""

    confidence: float
    """Highest threshold at which it is accepted, 0..1, or `NEVER`; of a missing number, that of the page."""
    is_right: bool
    written: int | None
    """Index of the written number that it was aligned with; None if it is read where nothing is written."""
    read: int | None = None
    """Index of the number on the page; None if it is missing there."""


def build_calibration_table(
    name: str,
    source: str,
    confidence: NDArray[np.float64],
    is_right: NDArray[np.bool_],
    rule: Rule,
    applies_to: tuple[AnswerKind, ...] = tuple(AnswerKind),
    clusters: Sequence[Sequence[int]] | None = None,
) -> CalibrationTable:
    """Return the accepted answers and their errors, counted and bounded, at about 200 thresholds.

    Args:
        name: name of the table.
        source: description of the pages.
        confidence: (n,), threshold up to which each answer is accepted, or `NEVER`; see `judge_pages`.
        is_right: (n,), whether each answer is right; ignored for answers that are never accepted.
        rule: requirement of the table.
        applies_to: answers that the table decides about.
        clusters: for each answer the clusters it belongs to, such as the page it is on and the pictures of digits it
            was drawn from. Answers that share one are not independent. None: all are.
    """
    points = []
    members = None if clusters is None else ClusterMembers.of(clusters)
    # Without any error the effect cannot be estimated: then it is as large as it can be.
    effect = 1.0 if members is None or (~is_right & (confidence >= 0.0)).any() else members.mean_size
    for threshold in _thresholds():
        is_accepted = confidence >= threshold
        is_wrong = is_accepted & ~is_right
        accepted, wrong = int(is_accepted.sum()), int(is_wrong.sum())
        if members is not None:
            # An effect estimated from few errors is unreliable: never below that of a lower threshold.
            effect = max(effect, members.design_effect(is_accepted, is_wrong))
        points.append(OperatingPoint(threshold, accepted, wrong, upper_bound(wrong, accepted, effect)))
    return CalibrationTable(name, source, len(confidence), rule, tuple(points), applies_to)


def upper_bound(wrong: int, accepted: int, design_effect: float = 1.0) -> float:
    """Return the one-sided upper bound of an error rate, with 95 % confidence (Clopper-Pearson).

    Clustered answers are worth fewer independent ones: their number is divided by the design effect (Korn and
    Graubard 1998, Confidence intervals for proportions with small expected number of positive counts estimated from
    survey data, Survey Methodology 24).

    >>> round(upper_bound(0, 598), 4), round(upper_bound(2, 1196, 2.0), 4)
    (0.005, 0.0079)
    """
    if wrong == accepted:
        return 1.0
    return betaincinv(wrong / design_effect + 1.0, (accepted - wrong) / design_effect, CONFIDENCE)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMembers:
    """Clusters of answers, as pairs of an answer and a cluster."""

    answers: NDArray[np.intp]
    """(pairs,), index of the answer."""
    clusters: NDArray[np.intp]
    """(pairs,), number of the cluster, from 0."""
    counts: NDArray[np.intp]
    """(n,), number of clusters of each answer."""

    @classmethod
    def of(cls, clusters: Sequence[Sequence[int]]) -> "ClusterMembers":
        """Return the pairs; an answer without a cluster is a separate cluster."""
        own = 1 + max((cluster for group in clusters for cluster in group), default=0)
        groups = [sorted(set(group)) or [own + index] for index, group in enumerate(clusters)]
        counts = np.array([len(group) for group in groups], np.intp)
        flat = np.array([cluster for group in groups for cluster in group], np.int64)
        _, numbers = np.unique(flat, return_inverse=True)
        return cls(np.repeat(np.arange(len(groups)), counts), numbers, counts)

    @property
    def mean_size(self) -> float:
        """Return the mean number of answers in the clusters of an answer, at least 1."""
        sizes = np.bincount(self.clusters)
        return float(np.square(sizes).sum() / max(sizes.sum(), 1)) if len(sizes) else 1.0

    def design_effect(self, is_accepted: NDArray[np.bool_], is_wrong: NDArray[np.bool_]) -> float:
        """Return how many times larger the variance of the error rate is than with independent answers, at least 1.

        The variance is the sum over all pairs of answers in a common cluster (Cameron, Gelbach and Miller 2011, Robust
        inference with multiway clustering, Journal of Business & Economic Statistics 29).
        """
        accepted, wrong = int(is_accepted.sum()), int(is_wrong.sum())
        if wrong in {0, accepted}:
            return 1.0
        rate = wrong / accepted
        residuals = np.where(is_accepted, is_wrong - rate, 0.0)  # (n,)
        sums = np.bincount(self.clusters, weights=residuals[self.answers])
        # Each answer is in several clusters, but only once in the sum over pairs.
        variance = np.square(sums).sum() - ((self.counts - 1) * np.square(residuals)).sum()
        return max(1.0, float(variance / (accepted * rate * (1.0 - rate))))


def judge_pages(labelled: Iterable[tuple[FileResult, str]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the threshold up to which each page is accepted, (n,), and whether it is read correctly, (n,).

    Args:
        labelled: file results with their labels: the number on every page of the file, or `none`. With `none`, any
            accepted answer is wrong. Pages of a label that no answer can equal are left out.
    """
    pages: list[tuple[float, bool]] = []
    for result, label in labelled:
        if not is_comparable_label(label):
            continue
        pages += [_judge_page(page, label) for page in result.pages]
        pages += [(NEVER, False)] * (result.rejected is not None)
    confidence, is_right = [page[0] for page in pages], [page[1] for page in pages]
    return np.array(confidence, np.float64), np.array(is_right, np.bool_)


def judge_digits(scores: Scores, digits: Digits) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the same as `judge_pages` for normalized single digits: (n, 11) scores, (n,) digits."""
    confidences = (decision.number_confidence(row[None]) for row in scores)
    values = [NEVER if confidence is None else confidence for confidence in confidences]
    return np.array(values, np.float64), scores.argmax(axis=1) == digits


def _judge_page(page: PageResult, label: str) -> tuple[float, bool]:
    confidence = decision.acceptance_threshold(page)
    if confidence is None:
        return NEVER, False
    return confidence, matches_label(decision.decide(page, Thresholds(confidence, confidence)).text, label)


def judge_numbers(page: PageResult, written: Sequence[str]) -> list[JudgedNumber]:
    """Compare the numbers read on a page with those written there, both in reading order.

    A number is right if it stands at its aligned position. A written number that is missing counts as an error that is
    accepted with the page.
    """
    confidences = [NEVER if value is None else value for value in decision.acceptance_thresholds(page)]
    read = [number.text for number in decision.decide(page, Thresholds(0.0, 0.0)).numbers]
    page_confidence = decision.acceptance_threshold(page)
    return [
        JudgedNumber(NEVER if page_confidence is None else page_confidence, False, place)
        if index is None
        else JudgedNumber(confidences[index], place is not None and written[place] == read[index], place, index)
        for place, index in align(written, read)
    ]


def compute_metric(data: str, is_right: NDArray[np.bool_]) -> Metric:
    """Return the accuracy with its Wilson 95 % interval.

    >>> compute_metric("mnist", np.array([True] * 99 + [False]))  # doctest: +ELLIPSIS
    Metric(data='mnist', pictures=100, right=99, accuracy=0.99, low=0.9455..., high=0.9982...)
    """
    count, total = int(is_right.sum()), len(is_right)
    interval = wilson(count, total)
    return Metric(data, total, count, count / total, interval.low, interval.high)


def _thresholds() -> list[float]:
    """Return 0 and the thresholds of a table, rounded to six decimals as in the CSV, without 1."""
    powers = np.linspace(*PARAMS.threshold_powers, PARAMS.thresholds)
    return sorted({0.0, *(round(1.0 - 10.0**-power, 6) for power in powers)} - {1.0})
