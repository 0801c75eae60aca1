"""`jobs/retrain.py`: a network like the one in use, promoted unless it is worse."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digitrec import app, lab
from digitrec.classifiers.bundle import Bundle
from digitrec.errors import ModelError
from digitrec.training.loop import Progress
from jobs import retrain


class Trainer:
    """Stands for the training and the promotion: notes what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int | None]] = []
        self.promoted: list[str] = []

    def train(self, _: object, data: str, network: str, *, epochs: int | None, progress: Any, **__: object) -> Bundle:
        self.asked.append((data, network, epochs))
        progress(Progress(1, 1, 1, 1, 0.0, 0.0, stage="ink", words="ink network: epoch 1/7"))
        return Bundle.open(app.SHIPPED)

    def promote(self, _: object, name: str, **__: object) -> None:
        self.promoted.append(name)


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = Trainer()
    monkeypatch.setenv("DIGITREC_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(lab, "train", trainer.train)
    monkeypatch.setattr(lab, "promote", trainer.promote)
    return trainer


@pytest.mark.parametrize("network", ["mlp", "paper"])
def test_the_new_network_is_of_the_kind_in_use_and_as_long_trained_as_it_needs(
    network: str, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use = SimpleNamespace(card=SimpleNamespace(network=network))
    monkeypatch.setattr(app, "bundle_of", lambda _: in_use)

    assert retrain.main() == 0

    assert trainer.asked == [("mnist", network, None)]
    assert trainer.promoted == [Bundle.open(app.SHIPPED).card.id]


def test_it_learns_from_the_data_that_is_named_and_tells_its_stages(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIGITREC_TRAIN_DATA", "folder:scans")

    assert retrain.main() == 0

    assert trainer.asked[0][0] == "folder:scans"
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert "ink network: epoch 1/7" in [one.get("words") for one in told]


def test_without_a_usable_model_it_trains_nothing(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITREC_MODEL", "no-such-model")

    assert retrain.main() == ModelError.exit_code
    assert trainer.asked == []
