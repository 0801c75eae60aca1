"""A model is replaced unless the new one is shown to be worse."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from digitrec.arrays import PageResult
from digitrec.errors import DataError, RejectedImage
from digitrec.recognition.classifier_litert import NearestMeanClassifier
from digitrec.recognition.reader import PageReader
from digitrec.training.compare import compare_accepted_pages, compare_classifiers, compare_page_readers, mcnemar
from digitrec.training.datasets import mnist
from digitrec.types import Reason

pytestmark = pytest.mark.slow


class Blank:
    """Stands for a reader that sees no writing anywhere."""

    def read_files(self, files: Iterable[bytes], *_: object) -> list[list[PageResult] | RejectedImage]:
        return [RejectedImage(Reason.BLANK) for _ in files]


def rights(both: int, only_current: int, only_candidate: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    current = [True] * both + [True] * only_current + [False] * only_candidate + [False] * neither
    candidate = [True] * both + [False] * only_current + [True] * only_candidate + [False] * neither
    return np.array(current), np.array(candidate)


@pytest.mark.parametrize(
    ("only_current", "only_candidate", "is_worse"),
    [(0, 0, False), (4, 0, False), (5, 0, True), (10, 10, False), (0, 30, False), (30, 18, False), (30, 15, True)],
)
def test_worse_means_more_than_chance_explains(only_current: int, only_candidate: int, is_worse: bool) -> None:
    found = mcnemar(*rights(900, only_current, only_candidate, 7))

    assert found.is_worse == is_worse
    assert (found.only_current, found.only_candidate) == (only_current, only_candidate)
    assert found.pictures == 907 + only_current + only_candidate


def test_the_verdict_says_why() -> None:
    words = mcnemar(*rights(80, 12, 1)).words

    assert "is worse than" in words
    assert "81 against 92 of 93" in words
    assert "p = 0.0017" in words


def test_different_pictures_cannot_be_compared() -> None:
    with pytest.raises(DataError):
        mcnemar(np.array([True]), np.array([True, False]))
    with pytest.raises(DataError):
        mcnemar(np.array([], bool), np.array([], bool))


def test_a_model_that_has_learned_beats_one_that_has_not() -> None:
    small = mnist.load_mnist_5k()
    learned = NearestMeanClassifier.learn(small.train.ink, small.train.digits)
    assert small.test is not None

    assert compare_classifiers(learned, NearestMeanClassifier(), small.test).is_worse
    assert not compare_classifiers(NearestMeanClassifier(), learned, small.test).is_worse


def test_readers_are_compared_on_the_same_scans_of_the_held_out_digits() -> None:
    small = mnist.load_mnist_5k()
    assert small.test is not None
    reader = PageReader(NearestMeanClassifier.learn(small.train.ink, small.train.digits))
    blank: Any = Blank()

    same = compare_page_readers(reader, reader, small.test)
    worse, better = compare_page_readers(reader, blank, small.test), compare_page_readers(blank, reader, small.test)

    assert (same.pictures, same.only_current, same.only_candidate) == (400, 0, 0)
    assert 200 < same.current_right < 400
    assert worse.is_worse
    assert worse.candidate_right == 0
    assert not better.is_worse
    assert f"{same.current_right} against 0 of 400 drawn scans right" in better.words


def test_a_reader_with_more_pages_in_review_is_worse_at_equal_accuracy() -> None:
    small = mnist.load_mnist_5k()
    assert small.test is not None
    reader: Any = PageReader(NearestMeanClassifier.learn(small.train.ink, small.train.digits))

    found = compare_accepted_pages(reader, reader, small.test, (0.0, 1.1))

    assert found.is_worse
    assert found.candidate_right == 0
    assert not compare_accepted_pages(reader, reader, small.test, (0.0, 0.0)).is_worse
