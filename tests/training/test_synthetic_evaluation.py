"""Pages drawn from held-out digits show what a model may promise, in training and afterwards alike."""

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
    return split_dataset(mnist.load_mnist_5k(), seed=0).calibrate


@pytest.fixture(scope="module")
def shipped() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


def test_a_quarter_of_the_pages_have_clutter_and_some_of_these_no_digit(held_out: Split, shipped: PageReader) -> None:
    found = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=60, non_digit_share=0.2, seed=0)

    assert (found.kinds == SCAN).sum() == 45
    assert found.has_digit.sum() == required_digits(60, 0.2) == 57
    assert len(found.confidence) == len(found.is_right) == 60
    assert found.is_right[found.kinds == SCAN].mean() > 0.8
    assert not found.is_right[~found.has_digit].any()
    assert (found.table.pages, found.table.rule) == (60, "bound")
    assert "20% of these without a digit" in found.table.source


def test_worker_processes_give_the_same_result(held_out: Split, shipped: PageReader) -> None:
    here = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=40, seed=3)

    elsewhere = synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=40, seed=3, processes=2)

    np.testing.assert_array_equal(here.confidence, elsewhere.confidence)
    assert here.table == elsewhere.table


def test_no_digit_is_on_two_pages(held_out: Split, shipped: PageReader, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[int] = []
    monkeypatch.setattr(synthetic_evaluation, "_evaluate_page", lambda _, task: (places.append(task.place), True))

    synthetic_evaluation.evaluate_synthetic(shipped, held_out, pages=30, seed=0)

    assert sorted(places) == list(range(30))


@pytest.mark.parametrize("junk", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("digits", [1, 2, 20, 375])
def test_as_many_pages_as_there_are_digits_for(digits: int, junk: float) -> None:
    pages = max_page_count(digits, junk)

    assert required_digits(pages, junk) <= digits < required_digits(pages + 1, junk)


def test_mnists_held_out_digits_are_enough_for_all_pages() -> None:
    left = 60_000 - 5_000  # mnist-5k is left out of the model that is shipped

    assert required_digits(synthetic_evaluation.PAGE_COUNT) <= left * 3 // 32
