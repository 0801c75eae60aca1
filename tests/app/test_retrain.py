"""`jobs/retrain.py`: train a network like the current one on corrections, and promote it unless it is worse."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digitrec.app import composition, models
from digitrec.app import retrain as retraining
from digitrec.app.corrections_dataset import CorrectionsDataset
from digitrec.errors import ModelError
from digitrec.models.package import ModelPackage
from digitrec.reports.statistics import McNemarResult
from digitrec.training import compare
from digitrec.training.classifier import TrainingState
from digitrec.training.correction_examples import LabelledPage
from jobs import retrain
from tests.conftest import draw


class Trainer:
    """Stand-in for training and promotion that records the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int | None]] = []
        self.excluded: list[str] = []
        self.corrected: list[tuple[str, int, bool]] = []
        self.promoted: list[str] = []
        self.comparisons: tuple[McNemarResult, ...] = ()

    def train(
        self,
        _: object,
        data: str,
        network: str,
        *,
        epochs: int | None,
        exclude: list[str],
        progress: Any,
        **__: object,
    ) -> ModelPackage:
        self.requests.append((data, network, epochs))
        self.excluded = exclude
        progress(TrainingState(1, 1, 1, 1, 0.0, 0.0, stage="ink", words="ink network: epoch 1/7"))
        return ModelPackage.open(composition.SHIPPED_MODELS_DIR)

    def train_on_corrections(
        self,
        _: object,
        data: str,
        pages: CorrectionsDataset,
        *,
        base_model: ModelPackage,
        is_finetune: bool,
        **__: object,
    ) -> ModelPackage:
        self.corrected.append((data, len(pages.train), is_finetune))
        return base_model

    def promote(
        self, _: object, name: str, *, also: Sequence[McNemarResult], **__: object
    ) -> tuple[McNemarResult, ...]:
        self.promoted.append(name)
        return (*self.comparisons, *also)


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = Trainer()
    monkeypatch.setenv("DIGITREC_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(models, "train", trainer.train)
    monkeypatch.setattr(models, "promote", trainer.promote)
    monkeypatch.setattr(retraining, "train_on_corrections", trainer.train_on_corrections)
    return trainer


@pytest.mark.parametrize("network", ["mlp", "paper"])
def test_a_new_network_has_the_current_kind_and_enough_epochs(
    network: str, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use = SimpleNamespace(card=SimpleNamespace(id="old", network=network, training={}))
    monkeypatch.setattr(composition, "open_model", lambda _: in_use)

    assert retrain.main() == 0

    assert trainer.requests == [("mnist", network, None)]
    assert trainer.promoted == [ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.id]


def test_retrain_uses_the_given_data_and_reports_its_stages(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "folder:scans")

    assert retrain.main() == 0

    assert trainer.requests[0][0] == "folder:scans"
    log = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert "ink network: epoch 1/7" in [line.get("words") for line in log]


def test_pictures_held_out_of_the_current_model_are_held_out_again(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    excluded = ["the test split of mnist", "mnist-5k", "digits-8x8"]
    in_use = SimpleNamespace(card=SimpleNamespace(id="old", network="cnn", training={"left_out": excluded}))
    monkeypatch.setattr(composition, "open_model", lambda _: in_use)

    assert retrain.main() == 0
    assert trainer.excluded == ["mnist-5k", "digits-8x8"]

    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "mnist-5k")
    assert retrain.main() == 0
    assert trainer.excluded == ["digits-8x8"]  # the training data cannot be excluded


def test_the_outcome_of_every_comparison_is_printed(trainer: Trainer, capfd: pytest.CaptureFixture[str]) -> None:
    same = McNemarResult(100, 90, 90, 0, 0, 1.0)
    trainer.comparisons = (same, replace(same, items="synthetic scans", p_worse=0.01))

    assert retrain.main() == 0

    (log,) = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "retrained"]
    assert "100 pictures right" in log["result"]
    assert "100 synthetic scans right" in log["result"]
    assert log["promoted"] is False


def test_without_a_usable_model_it_trains_nothing(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITREC_MODEL", "no-such-model")

    assert retrain.main() == ModelError.exit_code
    assert trainer.requests == []


@pytest.fixture
def corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorrectionsDataset:
    """One training page, and one held-out page that both models read equally."""
    paths = [tmp_path / f"{digit}.png" for digit in (4, 7)]
    for path in paths:
        path.write_bytes(draw(int(path.stem)))
    training_page, held_out = (LabelledPage(path, "0" * 64, 1, path.stem) for path in paths)
    dataset = CorrectionsDataset((training_page,), (held_out,), confirmed=2, corrected=0, repeated=0, missing=0)
    monkeypatch.setattr(retraining, "load_corrections", lambda _: dataset)
    return dataset


@pytest.mark.slow
def test_with_corrections_the_current_model_is_fine_tuned_and_compared(
    trainer: Trainer,
    corrected: CorrectionsDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "mnist-5k")  # the shipped model was trained without it

    assert retrain.main() == 0

    assert trainer.requests == []
    assert trainer.corrected == [("mnist-5k", len(corrected.train), True)]
    (log,) = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "retrained"]
    assert "1 held-out corrected pages right" in log["result"]
    assert "400 synthetic scans, accepted and right" in log["result"]
    assert log["corrections"] == 1
    assert Path(log["report"]).is_relative_to(tmp_path / "reports/learning")
    assert "in use now; undo: <code>digitrec models rollback" in Path(log["report"]).read_text(encoding="utf-8")


@pytest.mark.slow
def test_with_unknown_data_training_starts_from_scratch(
    trainer: Trainer, corrected: CorrectionsDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "mnist-5k")
    monkeypatch.setattr(retraining, "can_finetune", lambda *_: False)
    monkeypatch.setattr(compare, "_SCANS", 20)

    assert retrain.main() == 0
    assert trainer.corrected == [("mnist-5k", 1, False)]


@pytest.mark.slow
def test_a_model_worse_on_held_out_corrections_is_not_promoted(
    trainer: Trainer, corrected: CorrectionsDataset, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "mnist-5k")
    monkeypatch.setattr(compare, "_SCANS", 20)
    trainer.comparisons = (McNemarResult(9, 9, 1, 8, 0, 0.004, "held-out corrected pages"),)

    assert retrain.main() == 0

    (log,) = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "retrained"]
    assert log["promoted"] is False
    assert "not in use: it is worse in something" in Path(log["report"]).read_text(encoding="utf-8")
