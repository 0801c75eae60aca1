"""`digitrec train --network paper`, from digits to a model folder, with small amounts of synthetic data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from digitrec.app import composition
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, ModelPackage
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier
from digitrec.recognition.segmenter import Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.training import export, synthetic_evaluation
from digitrec.training import train as training
from digitrec.training.classifier import TrainingState, no_progress, split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.pretraining import (
    LineRound,
    PaperTrainingConfig,
    PretrainedModels,
    pretrain_paper_models,
)
from digitrec.training.synthetic_evaluation import EvaluationPages
from tests.conftest import draw
from tests.drawing import read_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SMALL = PaperTrainingConfig(
    crops=192,
    crops_held_out=16,
    segmenter_epochs=1,
    lines_held_out=8,
    line_rounds=(LineRound(40, 1, pages=8),),
    pages=30,
    pages_held_out=10,
    evaluation_pages=12,
)


def small_dataset() -> Dataset:
    small = mnist.load_mnist_5k()
    return Dataset("mnist-5k", "a part", small.train.take(small.train.digits.argsort(kind="stable")[::4]), small.test)


def train(out: Path, progress: Callable[[TrainingState], None] = no_progress) -> Path:
    return training.train(
        small_dataset(),
        "paper",
        epochs=1,
        seed=1,
        out_root=out / "models",
        now=lambda: "2026-01-02T03:04:05Z",
        progress=progress,
        test_splits={"mnist-5k again": mnist.load_mnist_5k().evaluation},
        command="digitrec train --network paper",
        config=SMALL,
        checkpoint_dir=out / "training",
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def trained(out: Path) -> Path:
    return train(out)


def test_the_folder_holds_three_networks_that_can_be_run(trained: Path) -> None:
    bundle = ModelPackage.open(trained)

    assert bundle.has_page_models
    assert sorted(bundle.card.files) == sorted(
        f"{name}.{kind}" for name in ("ink", "line", "model") for kind in ("keras", "tflite")
    )
    classifier = LiteRTDigitClassifier.load(bundle)
    assert classifier.score(mnist.load_mnist_5k().train.ink[:2]).shape == (2, 11)
    gray = mnist.load_mnist_5k().train.ink[0] * 255
    Segmenter(bundle.read_file(INK_TFLITE), INK_TFLITE).segment_zoomed(gray)
    frames, _ = SequenceRecognizer(bundle.read_file(LINE_TFLITE), LINE_TFLITE).read(gray[:, :20].repeat(4, axis=1))
    assert frames.shape[1] == 18


def test_a_page_is_read_with_it(trained: Path) -> None:
    (page,) = read_file(composition.load_page_reader(ModelPackage.open(trained)), draw(7))

    assert page.scores.shape[1] == 11


def test_the_folder_stays_small(trained: Path) -> None:
    assert sum(path.stat().st_size for path in trained.iterdir()) < 6_000_000


def test_the_card_describes_the_training_of_each_network(trained: Path) -> None:
    card = ModelPackage.open(trained).card
    card_text = (trained / "MODEL_CARD.md").read_text(encoding="utf-8")

    assert {name: facts["drawn"] for name, facts in card.training["stages"].items()} == {
        "ink": 192,
        "line": 40,
        "pages": 30,
    }
    assert "`ink` was trained on 192 crops" in card_text
    assert "`line` was trained on 40 text lines with a number each and the numbers of 8 pages" in card_text
    assert "30 synthetic pages" in card_text
    assert "docs/dev/fonts.md" in card_text
    assert "Excluded from everything: the test split of mnist-5k, mnist-5k again." in card_text
    assert "It always names a digit" not in card_text


def test_the_error_table_counts_pages_and_is_reproducible(trained: Path) -> None:
    bundle = ModelPackage.open(trained)
    held_out = split_dataset(small_dataset(), bundle.card.seed).calibration

    result = synthetic_evaluation.evaluate_synthetic(
        composition.load_page_reader(bundle), held_out, pages=EvaluationPages.of(12), seed=bundle.card.seed
    )

    assert bundle.card.calibrations == result.tables
    digits = result.tables[0]
    assert (digits.name, digits.trials, digits.rule) == ("synthetic digits", 12, "bound")
    card_text = (trained / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert digits.source.startswith("12 pages drawn with digits held out of the training")
    assert f"- synthetic digits (digits): {digits.source}" in card_text


def pretrain(checkpoint_root: Path, progress: Callable[[TrainingState], None]) -> PretrainedModels:
    """Train the page models alone, as `train` does."""
    dataset = small_dataset()
    return pretrain_paper_models(
        split_dataset(dataset, 1),
        digest=dataset.digest,
        seed=1,
        config=SMALL,
        checkpoint_root=checkpoint_root,
        progress=progress,
    )


def test_checkpoints_are_reused_and_give_the_same_networks(trained: Path, out: Path) -> None:
    states: list[TrainingState] = []

    pretrained = pretrain(out / "training", states.append)

    package = ModelPackage.open(trained)
    for name in (INK_TFLITE, LINE_TFLITE):  # the Keras files hold the time
        assert pretrained.files[name] == package.read_file(name)
    assert pretrained.stages == package.card.training["stages"]
    assert {state.stage for state in states} == {"paper", "ink", "line", "pages"}
    messages = [state.words for state in states if "taken from" in state.words]
    assert [message.split()[0] for message in messages] == ["ink", "line", "pages:"]


def test_an_interrupted_stage_is_not_saved_but_the_networks_are_built(
    trained: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModelPackage.open(trained)  # its files stand for the conversion, which takes long
    monkeypatch.setattr(export, "to_tflite_bytes", lambda _model, _shape, name: package.read_file(f"{name}.tflite"))
    shutil.copytree(out / "training", tmp_path / "training")
    for path in tmp_path.glob("training/*/[is]*.*"):  # ink and seen
        path.unlink()

    def interrupt(now: TrainingState) -> None:
        if (now.stage, now.step) == ("ink", 3):
            raise KeyboardInterrupt

    pretrained = pretrain(tmp_path / "training", interrupt)

    assert pretrained.interrupted
    assert sorted(pretrained.files) == ["ink.keras", "ink.tflite", "line.keras", "line.tflite"]
    assert sorted(path.name for path in tmp_path.glob("training/*/*")) == ["line.json", "line.keras"]
