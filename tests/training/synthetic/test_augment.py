"""Augmented digits: reproducible, in range, inputs unchanged."""

import numpy as np
import pytest

from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic.augment import augment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits() -> Split:
    return mnist.load_mnist_5k().train.take(np.arange(600))


def test_the_same_seed_gives_the_same_pictures(digits: Split) -> None:
    first, second = (augment(digits.pictures, digits.digits, np.random.default_rng(5)) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_pictures(digits: Split) -> None:
    first, second = (augment(digits.pictures, digits.digits, np.random.default_rng(seed)) for seed in (5, 6))

    assert (first != second).any(axis=(1, 2)).all()


def test_augmented_pictures_are_ink(digits: Split) -> None:
    ink = augment(digits.pictures, digits.digits, np.random.default_rng(0))

    assert ink.dtype == np.float32
    assert ink.shape == digits.pictures.shape
    assert 0.0 <= ink.min() <= ink.max() <= 1.0
    assert (ink.sum(axis=(1, 2)) > 5).all(), "no digit vanishes"


def test_the_input_is_not_modified(digits: Split) -> None:
    before = digits.pictures.copy()

    augment(digits.pictures, digits.digits, np.random.default_rng(0))

    np.testing.assert_array_equal(digits.pictures, before)


@pytest.mark.parametrize("level", [0, 255])
def test_blank_and_black_pictures_can_be_augmented(level: int) -> None:
    pictures = np.full((40, 28, 28), level, np.uint8)

    ink = augment(pictures, np.arange(40) % 10, np.random.default_rng(0))

    assert np.isfinite(ink).all()


def test_no_pictures_give_no_pictures() -> None:
    empty = np.zeros((0, 28, 28), np.uint8)

    assert augment(empty, np.zeros(0, np.int64), np.random.default_rng(0)).shape == (0, 28, 28)
