"""Comparison of models by McNemar's test."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from digitrec.arrays import PageResult
from digitrec.errors import DataError, RejectedImage
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import mcnemar
from digitrec.training import compare
from digitrec.training.compare import compare_accepted_pages, compare_classifiers, compare_page_readers
from digitrec.training.datasets import mnist
from digitrec.types import Reason, Thresholds
from tests.nearest_mean import NearestMeanClassifier

pytestmark = pytest.mark.slow


class Blank:
    """Fake reader that finds no writing."""

    def read_files(self, files: Iterable[bytes], *_: object) -> list[list[PageResult] | RejectedImage]:
        return [RejectedImage(Reason.BLANK) for _ in files]


def make_masks(both: int, only_current: int, only_candidate: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    current = [True] * both + [True] * only_current + [False] * only_candidate + [False] * neither
    candidate = [True] * both + [False] * only_current + [True] * only_candidate + [False] * neither
    return np.array(current), np.array(candidate)


@pytest.mark.parametrize(
    ("only_current", "only_candidate", "is_worse"),
    [(0, 0, False), (4, 0, False), (5, 0, True), (10, 10, False), (0, 30, False), (30, 18, False), (30, 15, True)],
)
def test_worse_means_significantly_worse(only_current: int, only_candidate: int, is_worse: bool) -> None:
    result = mcnemar(*make_masks(900, only_current, only_candidate, 7))

    assert result.is_worse == is_worse
    assert (result.only_current, result.only_candidate) == (only_current, only_candidate)
    assert result.pictures == 907 + only_current + only_candidate


def test_the_summary_has_the_figures() -> None:
    summary = mcnemar(*make_masks(80, 12, 1)).words

    assert "is worse than" in summary
    assert "81 against 92 of 93" in summary
    assert "p = 0.0017" in summary


def test_different_pictures_cannot_be_compared() -> None:
    with pytest.raises(DataError):
        mcnemar(np.array([True]), np.array([True, False]))
    with pytest.raises(DataError):
        mcnemar(np.array([], bool), np.array([], bool))


def test_a_trained_model_beats_an_untrained() -> None:
    small = mnist.load_mnist_5k()
    trained = NearestMeanClassifier.learn(small.train.ink, small.train.digits)
    assert small.test is not None

    assert compare_classifiers(trained, NearestMeanClassifier(), small.test).is_worse
    assert not compare_classifiers(NearestMeanClassifier(), trained, small.test).is_worse


def test_readers_are_compared_on_400_synthetic_scans() -> None:
    small = mnist.load_mnist_5k()
    assert small.test is not None
    blank: Any = Blank()

    assert compare_page_readers(blank, blank, small.test).pictures == 400


def test_readers_are_compared_on_the_same_synthetic_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_SCANS", 80)
    small = mnist.load_mnist_5k()
    assert small.test is not None
    reader = PageReader(NearestMeanClassifier.learn(small.train.ink, small.train.digits))
    blank: Any = Blank()

    same = compare_page_readers(reader, reader, small.test)
    worse, better = compare_page_readers(reader, blank, small.test), compare_page_readers(blank, reader, small.test)

    assert (same.pictures, same.only_current, same.only_candidate) == (80, 0, 0)
    assert 40 < same.current_right < 80
    assert worse.is_worse
    assert worse.candidate_right == 0
    assert not better.is_worse
    assert f"{same.current_right} against 0 of 80 synthetic scans right" in better.words


def test_a_reader_with_more_pages_in_review_is_worse_at_equal_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_SCANS", 80)
    small = mnist.load_mnist_5k()
    assert small.test is not None
    reader: Any = PageReader(NearestMeanClassifier.learn(small.train.ink, small.train.digits))

    all_pages, none = Thresholds(0.0, 0.0), Thresholds(1.1, 1.1)
    result = compare_accepted_pages(reader, reader, small.test, (all_pages, none))

    assert result.is_worse
    assert result.candidate_right == 0
    assert not compare_accepted_pages(reader, reader, small.test, (all_pages, all_pages)).is_worse
