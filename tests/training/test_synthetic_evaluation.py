"""Evaluation of a model on synthetic pages of held-out digits."""

import numpy as np
import pytest

from digitrec.app import composition
from digitrec.models.package import ModelPackage
from digitrec.recognition.reader import PageReader
from digitrec.training import synthetic_evaluation
from digitrec.training.classifier import split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic_evaluation import SCAN, max_page_count, required_digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def held_out() -> Split:
    return split_dataset(mnist.load_mnist_5k(), seed=0).calibration


@pytest.fixture(scope="module")
def shipped() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


def test_a_quarter_of_the_pages_have_clutter(held_out: Split, shipped: PageReader) -> None:
    result = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=60, non_digit_share=0.2, seed=0)

    assert (result.kinds == SCAN).sum() == 45
    assert result.has_digit.sum() == required_digits(60, 0.2) == 57
    assert len(result.confidence) == len(result.is_right) == 60
    assert result.is_right[result.kinds == SCAN].mean() > 0.8
    assert not result.is_right[~result.has_digit].any()
    assert (result.table.trials, result.table.rule) == (60, "bound")
    assert "20% of these without a digit" in result.table.source


def test_worker_processes_give_the_same_result(held_out: Split, shipped: PageReader) -> None:
    serial = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=40, seed=3)

    parallel = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=40, seed=3, processes=2)

    np.testing.assert_array_equal(serial.confidence, parallel.confidence)
    assert serial.table == parallel.table


def test_no_digit_is_on_two_pages(held_out: Split, shipped: PageReader, monkeypatch: pytest.MonkeyPatch) -> None:
    indices: list[int] = []
    monkeypatch.setattr(synthetic_evaluation, "_evaluate_page", lambda _, task: (indices.append(task.index), True))

    synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=30, seed=0)

    assert sorted(indices) == list(range(30))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("digits", [1, 2, 20, 375])
def test_the_number_of_pages_uses_all_digits(digits: int, share: float) -> None:
    pages = max_page_count(digits, share)

    assert required_digits(pages, share) <= digits < required_digits(pages + 1, share)


def test_mnists_held_out_digits_are_enough_for_all_pages() -> None:
    remaining = 60_000 - 5_000  # the shipped model excludes mnist-5k

    assert required_digits(synthetic_evaluation.PAGE_COUNT) <= remaining * 3 // 32
