"""A model folder is recalibrated with digits that no training saw, without training."""

import json
import shutil
from pathlib import Path

import pytest

from digitrec.app import composition
from digitrec.models.package import ModelPackage
from digitrec.training.datasets import registry
from tools import calibrate_shipped

pytestmark = pytest.mark.slow


def test_a_model_folder_gets_tables_of_digits_numbers_and_empty_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(composition.SHIPPED_MODELS_DIR, tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    card["training"] |= {"digest": registry.load_dataset("mnist-5k").digest, "left_out": []}
    (folder / "model.json").write_text(json.dumps(card))
    before = ModelPackage.open(folder).card
    options = ["--model", str(folder), "--data", "mnist-5k", "--pages", "12", "--processes", "1"]
    options += ["--checkpoint", str(tmp_path / "done.jsonl")]

    calibrate_shipped.main([*options, "--dry-run"])
    assert ModelPackage.open(folder).card == before
    calibrate_shipped.main(options)

    after = ModelPackage.open(folder).card
    assert [table.name for table in after.calibrations] == [
        "synthetic digits",
        "synthetic numbers",
        "synthetic pages without a digit",
    ]
    assert after.weights_id == before.weights_id
    assert after.id == before.id
    words = (folder / "MODEL_CARD.md").read_text()
    assert words.startswith(f"# {after.id}\n")
    assert "- synthetic numbers (numbers): " in words
    assert "- synthetic pages without a digit (digits and numbers): 1 pages" in words
    assert "25 of 25 pages" in capsys.readouterr().out


def test_a_model_trained_on_other_digits_is_refused() -> None:
    with pytest.raises(SystemExit, match="was not trained on mnist-5k"):
        calibrate_shipped.load_held_out(ModelPackage.open(composition.SHIPPED_MODELS_DIR), "mnist-5k", [])
