"""What is held out, and what may be trained with."""

import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.training.classifier import augment_half, split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset, Split

pytestmark = pytest.mark.slow


def keys(split: Split) -> set[bytes]:
    return {picture.tobytes() for picture in split.pictures}


def test_no_digit_is_in_two_parts_and_none_is_lost() -> None:
    small = mnist.load_mnist_5k()

    parts = split_dataset(small, seed=3)

    found = [keys(part) for part in (parts.learn, parts.validate, parts.calibrate)]
    assert sum(map(len, found)) == len(set.union(*found)) == 4000
    assert set.union(*found) == keys(small.train)


def test_every_digit_is_held_out_alike() -> None:
    parts = split_dataset(mnist.load_mnist_5k(), seed=3)

    assert np.bincount(parts.validate.digits).tolist() == [12] * 10
    assert np.bincount(parts.calibrate.digits).tolist() == [38] * 10


def test_the_seed_decides_what_is_held_out() -> None:
    one, again, other = (keys(split_dataset(mnist.load_mnist_5k(), seed).calibrate) for seed in (1, 1, 2))

    assert one == again != other


def test_every_second_picture_is_varied_and_the_others_are_not() -> None:
    calibrate = split_dataset(mnist.load_mnist_5k(), seed=0).calibrate

    ink = augment_half(calibrate, seed=0)

    np.testing.assert_array_equal(ink[::2], calibrate.ink[::2])
    assert (ink[1::2] != calibrate.ink[1::2]).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(ink, augment_half(calibrate, seed=0))


def few(count: int, digits: int = 10) -> Dataset:
    return Dataset(
        "mine", "here", Split("all", np.zeros((count, 28, 28), np.uint8), np.arange(count, dtype=np.int64) % digits)
    )


@pytest.mark.parametrize("dataset", [few(100), few(1000, digits=9), few(0)])
def test_too_few_pictures_are_refused(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="pictures to train with"):
        split_dataset(dataset, seed=0)


def test_a_set_for_evaluation_only_is_not_trained_with() -> None:
    small = mnist.load_mnist_5k()
    dataset = Dataset("digits-8x8", "there", small.train, evaluation_only=True)

    with pytest.raises(DataError, match="evaluation only"):
        split_dataset(dataset, seed=0)
