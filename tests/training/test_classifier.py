"""Splits of a data set for training, validation and calibration."""

import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.training.classifier import augment_half, split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset, Split

pytestmark = pytest.mark.slow


def keys(split: Split) -> set[bytes]:
    return {picture.tobytes() for picture in split.pictures}


def test_splits_are_disjoint_and_complete() -> None:
    small = mnist.load_mnist_5k()

    splits = split_dataset(small, seed=3)

    keys_of_splits = [keys(split) for split in (splits.train, splits.validation, splits.calibration)]
    assert sum(map(len, keys_of_splits)) == len(set.union(*keys_of_splits)) == 4000
    assert set.union(*keys_of_splits) == keys(small.train)


def test_splits_are_stratified_by_digit() -> None:
    splits = split_dataset(mnist.load_mnist_5k(), seed=3)

    assert np.bincount(splits.validation.digits).tolist() == [12] * 10
    assert np.bincount(splits.calibration.digits).tolist() == [38] * 10


def test_the_seed_determines_the_splits() -> None:
    first, same, different = (keys(split_dataset(mnist.load_mnist_5k(), seed).calibration) for seed in (1, 1, 2))

    assert first == same != different


def test_every_second_picture_is_augmented() -> None:
    calibration = split_dataset(mnist.load_mnist_5k(), seed=0).calibration

    ink = augment_half(calibration, seed=0)

    np.testing.assert_array_equal(ink[::2], calibration.ink[::2])
    assert (ink[1::2] != calibration.ink[1::2]).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(ink, augment_half(calibration, seed=0))


def small_dataset(count: int, digits: int = 10) -> Dataset:
    return Dataset(
        "mine", "here", Split("all", np.zeros((count, 28, 28), np.uint8), np.arange(count, dtype=np.int64) % digits)
    )


@pytest.mark.parametrize("dataset", [small_dataset(100), small_dataset(1000, digits=9), small_dataset(0)])
def test_too_few_pictures_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="pictures to train with"):
        split_dataset(dataset, seed=0)


def test_a_set_for_evaluation_only_is_refused() -> None:
    small = mnist.load_mnist_5k()
    dataset = Dataset("digits-8x8", "there", small.train, evaluation_only=True)

    with pytest.raises(DataError, match="evaluation only"):
        split_dataset(dataset, seed=0)
