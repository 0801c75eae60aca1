"""Training gives a usable model folder, even after an interruption."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitrec.errors import DataError, UsageError
from digitrec.models import registry as store
from digitrec.models.package import ModelPackage
from digitrec.recognition.classifier_keras import KerasDigitClassifier
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier
from digitrec.text import format_percent
from digitrec.training import train as training
from digitrec.training.classifier import FittedClassifier, TrainingState, no_progress
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.training.datasets.registry import load_dataset
from digitrec.training.networks import CLASSIFIERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    # Keras uses a deprecated numpy protocol.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def now() -> str:
    return "2026-01-02T03:04:05Z"


def train(out: Path, network: str = "mlp", *, epochs: int = 2, seed: int = 0, **options: object) -> Path:
    return training.train(mnist.load_mnist_5k(), network, epochs=epochs, seed=seed, out_root=out, now=now, **options)  # type: ignore[arg-type]


@dataclass
class Training:
    """A training of five epochs, what it reported, and a further set that it measured."""

    states: list[TrainingState] = field(default_factory=list)
    seven: Split = field(
        default_factory=lambda: Split("all", mnist.load_mnist_5k().train.pictures[:7], np.zeros(7, np.int64))
    )
    folder: Path = Path()

    def train(self, out: Path, progress: Callable[[TrainingState], None] = no_progress) -> Path:
        command = "digitrec train --network mlp"
        return train(out, epochs=5, test_splits={"seven": self.seven}, progress=progress, command=command)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Training:
    finished = Training()
    finished.folder = finished.train(tmp_path_factory.mktemp("models"), finished.states.append)
    return finished


@pytest.fixture(scope="module")
def trained(finished: Training) -> Path:
    return finished.folder


def test_the_model_folder_reads_digits(trained: Path) -> None:
    bundle = ModelPackage.open(trained)
    small = mnist.load_mnist_5k()
    assert small.test is not None

    scores = LiteRTDigitClassifier.load(bundle).score(small.test.ink)

    assert (scores.argmax(axis=1) == small.test.digits).mean() > 0.88
    assert sorted(path.name for path in trained.iterdir()) == [
        "MODEL_CARD.md",
        "model.json",
        "model.keras",
        "model.tflite",
    ]


def test_the_card_describes_the_training(trained: Path) -> None:
    card = ModelPackage.open(trained).card

    assert trained.name == card.id
    assert card.network == "mlp"
    assert card.created_at == now()
    assert card.weights == 109_386
    assert len(card.history) == 5
    assert card.best_epoch in range(1, 6)
    assert not card.interrupted
    names = ["held out, half of them augmented", "mnist-5k, test split", "seven"]
    assert [metric.data for metric in card.metrics] == names
    assert card.training["digest"] == mnist.load_mnist_5k().digest
    assert sum(card.training["learned_of_each"]) == card.training["learned"]
    assert card.training["learned"] + card.training["validated"] + card.training["calibrated"] == 4000
    assert {"tensorflow", "keras", "numpy", "digitrec"} <= set(card.versions)


def test_the_model_card_has_the_figures_and_the_command(trained: Path) -> None:
    text = (trained / "MODEL_CARD.md").read_text(encoding="utf-8")
    test = ModelPackage.open(trained).card.metrics[1]

    assert trained.name in text
    assert "digitrec train --network mlp" in text
    assert format_percent(test.accuracy) in text
    assert "95 %" in text


def test_no_optimizer_state_is_shipped(trained: Path) -> None:
    assert (trained / "model.keras").stat().st_size < 1.2 * 4 * 109_386


def test_both_files_of_a_model_give_the_same_scores(trained: Path) -> None:
    bundle = ModelPackage.open(trained)
    ink = mnist.load_mnist_5k().train.ink[:300]

    service, reference = LiteRTDigitClassifier.load(bundle).score(ink), KerasDigitClassifier.load(bundle).score(ink)

    np.testing.assert_allclose(service, reference, atol=0.01)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, FittedClassifier]]:
    """The network and the course of each training, whose package is not written."""
    trainings: list[tuple[Any, FittedClassifier]] = []

    def keep(model: Any, fitted: FittedClassifier, **_: object) -> Path:
        trainings.append((model, fitted))
        return Path()

    monkeypatch.setattr(training, "write_model_package", keep)
    return trainings


@pytest.mark.parametrize("network", [name for name in CLASSIFIERS if not CLASSIFIERS[name].has_page_models])
def test_the_same_seed_gives_the_same_weights(
    tmp_path: Path, network: str, fitted: list[tuple[Any, FittedClassifier]]
) -> None:
    small = mnist.load_mnist_5k()
    dataset = Dataset("few", "here", small.train.take(np.arange(700)), small.test)

    for seed in (4, 4, 5):
        training.train(dataset, network, epochs=1, seed=seed, out_root=tmp_path, now=now)

    first, same, different = (b"".join(part.tobytes() for part in model.get_weights()) for model, _ in fitted)
    assert first == same != different


def interrupted_at(epoch: int, step: int) -> Callable[[TrainingState], None]:
    def interrupt(progress: TrainingState) -> None:
        if (progress.epoch, progress.step) == (epoch, step) and progress.done is None:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.parametrize(("epoch", "step", "finished"), [(1, 40, 0), (3, 30, 2)])
def test_an_interrupted_training_keeps_its_best_weights(
    tmp_path: Path, epoch: int, step: int, finished: int, fitted: list[tuple[Any, FittedClassifier]]
) -> None:
    train(tmp_path, epochs=9, progress=interrupted_at(epoch, step))

    ((model, result),) = fitted
    small = mnist.load_mnist_5k().train
    assert result.interrupted
    assert len(result.history) == finished
    assert (model.predict_on_batch(small.ink).argmax(axis=1) == small.digits).mean() > 0.3


def test_an_interrupted_training_gives_a_model_that_says_so(tmp_path: Path) -> None:
    path = train(tmp_path, epochs=9, progress=interrupted_at(2, 1))

    bundle = ModelPackage.open(path)
    small = mnist.load_mnist_5k()
    assert bundle.card.interrupted
    assert len(bundle.card.history) == 1
    assert (LiteRTDigitClassifier.load(bundle).score(small.train.ink).argmax(axis=1) == small.train.digits).mean() > 0.3
    assert "stopped early" in (path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_progress_is_reported_by_batch_and_epoch(finished: Training) -> None:
    states = finished.states

    done = [state.done for state in states if state.done]
    assert [epoch.epoch for epoch in done] == [1, 2, 3, 4, 5]
    assert all(state.steps == states[0].steps and 1 <= state.step <= state.steps for state in states)
    assert len(states) == 5 * states[0].steps + 5
    assert done[1].validation_loss < done[0].validation_loss


def test_further_sets_are_measured(finished: Training) -> None:
    metrics = ModelPackage.open(finished.folder).card.metrics

    assert (metrics[-1].data, metrics[-1].pictures) == ("seven", 7)


def test_training_the_same_again_prints_nothing_and_replaces_the_folder(
    finished: Training, capfd: pytest.CaptureFixture[str]
) -> None:
    (finished.folder / "model.keras").write_bytes(b"damaged meanwhile")

    assert finished.train(finished.folder.parent) == finished.folder

    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
    ModelPackage.open(finished.folder)
    assert [path.name for path in finished.folder.parent.iterdir()] == [finished.folder.name]


def test_a_write_that_fails_leaves_no_folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: str | bytes) -> None:
        if path.name == "model.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    contents = {path.name: path.read_bytes() for path in sorted(trained.iterdir(), reverse=True)}
    monkeypatch.setattr(store, "atomic_write", full)

    with pytest.raises(OSError, match="No space"):
        store.install(tmp_path, trained.name, contents)
    assert list(tmp_path.iterdir()) == []


def test_invalid_trainings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no network") as caught:
        train(tmp_path, "lenet")
    assert "mlp, cnn" in caught.value.hint
    with pytest.raises(UsageError, match="at least 1"):
        train(tmp_path, epochs=0)
    with pytest.raises(DataError, match="evaluation only"):
        training.train(load_dataset("digits-8x8"), "mlp", epochs=1, seed=0, out_root=tmp_path, now=now)
    assert list(tmp_path.iterdir()) == []


def test_the_mlp_has_the_documented_layers() -> None:
    model = CLASSIFIERS["mlp"].build()

    kinds = [(type(layer).__name__, getattr(layer, "units", None)) for layer in model.layers]
    assert kinds == [("Flatten", None), ("Dense", 128), ("Dense", 64), ("Dense", 10)]
    assert [layer.activation.__name__ for layer in model.layers[1:]] == ["relu", "relu", "softmax"]


def test_model_json_is_indented_json(trained: Path) -> None:
    text = (trained / "model.json").read_text(encoding="utf-8")

    assert json.loads(text)["id"] == trained.name
    assert text.count("\n") > 50
