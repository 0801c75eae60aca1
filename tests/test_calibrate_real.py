"""The threshold of a shipped model is set by digits no training saw, and measured on pages that did not set it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench import calibrate_real, held_out_pages
from digitrec import app
from digitrec.classifiers.bundle import Bundle
from digitrec.lab import write_samples
from digitrec.training import mnist
from digitrec.training.loop import cut

pytestmark = pytest.mark.slow


def test_a_half_is_the_same_wherever_the_set_lies_and_the_two_share_nothing(tmp_path: Path) -> None:
    write_samples(tmp_path / "photos", count=31, seed=1)
    shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere" / "photos")

    first, second = calibrate_real.halves(tmp_path / "photos", 0)
    again, _ = calibrate_real.halves(tmp_path / "elsewhere" / "photos", 0)
    other, _ = calibrate_real.halves(tmp_path / "photos", 1)

    assert (len(first), len(second)) == (15, 16)
    assert not {one.path for one in first} & {one.path for one in second}
    assert [one.path.name for one in first] == [one.path.name for one in again]
    assert {one.path for one in first} != {one.path for one in other}


def test_a_half_keeps_its_pictures_when_others_are_listed_in_another_order(tmp_path: Path) -> None:
    write_samples(tmp_path / "photos", count=20, seed=1)
    before, _ = calibrate_real.halves(tmp_path / "photos", 0)
    table = tmp_path / "photos" / "labels.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(lines)]))

    assert calibrate_real.halves(tmp_path / "photos", 0)[0] == before


def test_every_held_out_digit_is_on_one_page_and_half_of_the_pages_have_clutter() -> None:
    held_out = cut(mnist.small(), seed=0).calibrate

    found = held_out_pages.judge(app.SHIPPED, held_out, 60, 0, junk=0.2)

    assert held_out_pages.digits_needed(60, 0.2) == 54
    assert (found.kinds == held_out_pages.SCAN).sum() == 30
    assert found.has_digit.sum() == 54
    assert len(found.confidence) == len(found.is_right) == 60
    assert found.is_right[found.kinds == held_out_pages.SCAN].mean() > 0.8
    assert not found.is_right[~found.has_digit].any()
    again = held_out_pages.judge(app.SHIPPED, held_out, 60, 0, junk=0.2)
    np.testing.assert_array_equal(found.confidence, again.confidence)


def test_a_model_trained_on_other_digits_is_refused() -> None:
    with pytest.raises(SystemExit, match="was not trained on mnist-5k"):
        calibrate_real.held_out(Bundle.open(app.SHIPPED), "mnist-5k", [])
