"""The threshold of a shipped model is set by digits no training saw, and measured on pages that did not set it."""

import shutil
from pathlib import Path

import pytest

from digitrec.app import composition
from digitrec.app.models import write_samples
from digitrec.models.package import ModelPackage
from tools import calibrate_real

pytestmark = pytest.mark.slow


def test_halves_of_a_set_are_disjoint_and_independent_of_its_location(tmp_path: Path) -> None:
    write_samples(tmp_path / "photos", count=31, seed=1)
    shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere" / "photos")

    first, second = calibrate_real.halves(tmp_path / "photos", 0)
    again, _ = calibrate_real.halves(tmp_path / "elsewhere" / "photos", 0)
    other, _ = calibrate_real.halves(tmp_path / "photos", 1)

    assert len(first) + len(second) == 31
    assert min(len(first), len(second)) >= 8
    assert not {picture.path for picture in first} & {picture.path for picture in second}
    assert [picture.path.name for picture in first] == [picture.path.name for picture in again]
    assert {picture.path for picture in first} != {picture.path for picture in other}


def test_a_half_keeps_its_pictures_when_others_are_listed_in_another_order(tmp_path: Path) -> None:
    write_samples(tmp_path / "photos", count=20, seed=1)
    before, _ = calibrate_real.halves(tmp_path / "photos", 0)
    table = tmp_path / "photos" / "labels.csv"
    header, *lines = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(lines)]))

    assert calibrate_real.halves(tmp_path / "photos", 0)[0] == before


def test_a_picture_stays_in_its_half_whatever_else_comes_or_goes(tmp_path: Path) -> None:
    write_samples(tmp_path / "photos", count=20, seed=1)
    before = calibrate_real.halves(tmp_path / "photos", 0)
    table = tmp_path / "photos" / "labels.csv"
    header, *lines = table.read_text().splitlines()

    for gone in range(20):
        table.write_text("\n".join([header, *lines[:gone], *lines[gone + 1 :]]))
        after = calibrate_real.halves(tmp_path / "photos", 0)
        assert all(
            {picture.path for picture in after[side]} <= {picture.path for picture in before[side]} for side in (0, 1)
        )


def test_a_model_trained_on_other_digits_is_refused() -> None:
    with pytest.raises(SystemExit, match="was not trained on mnist-5k"):
        calibrate_real.held_out(ModelPackage.open(composition.SHIPPED_MODELS_DIR), "mnist-5k", [])
