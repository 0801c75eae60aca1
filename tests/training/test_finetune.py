"""Fine-tuning on corrections, with small amounts of everything."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from digitrec.app import composition
from digitrec.errors import ModelError
from digitrec.models.package import INK_TFLITE, KERAS, LINE_KERAS, TFLITE, ModelPackage
from digitrec.recognition.classifier_keras import start_keras
from digitrec.training import correction_examples, finetune, sequence_recognizer, train
from digitrec.training.classifier import TrainingState, no_progress
from digitrec.training.correction_examples import LabelledCrops, LabelledPage
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.finetune import FinetuneConfig
from digitrec.types import Limits
from tests.conftest import draw
from tests.drawing import read_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

SMALL = FinetuneConfig(
    epochs=1, steps=4, pages=24, pages_held_out=10, lines=16, lines_held_out=16, line_epochs=1, evaluation_pages=12
)
FACTS = {"learned": 6, "held_out": 1, "confirmed": 4, "corrected": 3, "missing": 2, "unfit": 1}


def extract_crops(folder: Path, base_model: ModelPackage) -> list[LabelledCrops]:
    pages = []
    for digit in range(6):
        path = folder / f"{digit}.png"
        path.write_bytes(draw(digit))
        pages.append(LabelledPage(path, f"{digit:064}", 1, str(digit)))
    return correction_examples.extract_labelled_crops(
        composition.load_page_reader(base_model), pages, Limits(), processes=1
    )


def run_finetune(
    base_model: ModelPackage,
    dataset: Dataset,
    corrected: list[LabelledCrops],
    out: Path,
    states: list[TrainingState] | None = None,
) -> ModelPackage:
    folder = finetune.finetune(
        base_model,
        dataset,
        corrected,
        out_root=out / "models",
        now=lambda: "2026-01-02T03:04:05Z",
        corrections=FACTS,
        is_new=True,
        config=SMALL,
        progress=no_progress if states is None else states.append,
        command="digitrec train --with-corrections",
        checkpoint_dir=out / "training",
    )
    return ModelPackage.open(folder)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finetune")


@pytest.fixture(scope="module")
def corrected(out: Path) -> list[LabelledCrops]:
    return extract_crops(out, ModelPackage.open(composition.SHIPPED_MODELS_DIR))


@pytest.fixture(scope="module")
def model(out: Path, corrected: list[LabelledCrops]) -> ModelPackage:
    return run_finetune(ModelPackage.open(composition.SHIPPED_MODELS_DIR), mnist.load_mnist_5k(), corrected, out)


def test_finetuning_gives_a_new_model_with_the_same_segmenter(model: ModelPackage) -> None:
    base_model = ModelPackage.open(composition.SHIPPED_MODELS_DIR)

    assert model.card.id != base_model.card.id
    assert model.card.network == base_model.card.network
    assert model.card.weights == base_model.card.weights
    assert model.read_file(INK_TFLITE) == base_model.read_file(INK_TFLITE)
    assert model.read_file(TFLITE) != base_model.read_file(TFLITE)
    (page,) = read_file(composition.load_page_reader(model), draw(7))
    assert page.scores.shape == (1, 11)


def test_a_finetuned_model_still_reads_digits(model: ModelPackage) -> None:
    split = mnist.load_mnist_5k().evaluation

    right = composition.CLASSIFIERS["litert"](model).score(split.ink).argmax(axis=1) == split.digits

    assert right.mean() > 0.97


def test_the_card_names_the_base_model_and_the_privacy_of_the_corrections(model: ModelPackage) -> None:
    base_model = ModelPackage.open(composition.SHIPPED_MODELS_DIR)
    card_text = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")

    assert model.card.training["corrections"]["went_on_from"] == base_model.card.id
    assert model.card.training["left_out"] == ["the test split of mnist-5k"]
    assert "This model belongs to its users" in card_text
    assert "6 pages that people confirmed or corrected gave 12 pictures" in card_text
    assert "1 pages, one file in five" in card_text
    assert f"Fine-tuned from `{base_model.card.id}`" in card_text
    assert "`line`" in card_text.split("Training with corrections")[1].split("## ")[0]
    assert "Training with corrections" not in (base_model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rejected(
    model: ModelPackage, out: Path, corrected: list[LabelledCrops]
) -> tuple[ModelPackage, list[TrainingState], Any]:
    """The same fine-tuning again, its sequence recognizer counted as worse: the model, its states, that recognizer."""
    states: list[TrainingState] = []
    trained: list[Any] = []
    fit = sequence_recognizer.fit_sequence_recognizer
    answers = iter([np.ones(16, np.bool_), np.zeros(16, np.bool_)])

    def keep(*args: Any, **options: Any) -> Any:
        trained.append(fit(*args, **options))
        return trained[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_recognizer, "fit_sequence_recognizer", keep)
        patch.setattr(sequence_recognizer, "find_correct_lines", lambda *_: next(answers))
        shipped = ModelPackage.open(composition.SHIPPED_MODELS_DIR)
        tuned = run_finetune(shipped, mnist.load_mnist_5k(), corrected, out, states)
    (recognizer,) = trained
    return tuned, states, recognizer.model


def test_finetuning_is_reproducible_and_reuses_generated_pages(
    model: ModelPackage, rejected: tuple[ModelPackage, list[TrainingState], Any], out: Path
) -> None:
    again, states, recognizer = rejected

    assert again.read_file(TFLITE) == model.read_file(TFLITE)
    kept = start_keras().saving.load_model(model.path(LINE_KERAS), compile=False)
    for weights, others in zip(kept.get_weights(), recognizer.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    assert "pages" not in {state.stage for state in states}
    facts = json.loads(next((out / "training").glob("*/seen.json")).read_text(encoding="utf-8"))
    assert facts["drawn"] == SMALL.pages


def test_a_worse_sequence_recognizer_is_not_used(
    rejected: tuple[ModelPackage, list[TrainingState], Any],
) -> None:
    tuned, _, _ = rejected

    assert tuned.read_file("line.tflite") == ModelPackage.open(composition.SHIPPED_MODELS_DIR).read_file("line.tflite")
    assert "stayed as it was" in tuned.card.training["corrections"]["line"]


def train_mlp(out: Path, **options: Any) -> Path:
    return train.train(
        small_dataset(), "mlp", epochs=1, seed=3, out_root=out / "models", now=lambda: "2026-01-02T03:04:05Z", **options
    )


def small_dataset() -> Dataset:
    full = mnist.load_mnist_5k()
    return Dataset("mnist-5k", "a part", full.train.take(np.arange(0, 4000, 4)), full.test)


@pytest.fixture(scope="module")
def mlp(out: Path) -> ModelPackage:
    """A model without page models."""
    return ModelPackage.open(train_mlp(out / "mlp"))


def test_a_model_without_page_models_can_be_finetuned(mlp: ModelPackage, tmp_path: Path) -> None:
    tuned = run_finetune(mlp, small_dataset(), extract_crops(tmp_path, mlp), tmp_path)

    assert tuned.card.id != mlp.card.id
    assert not tuned.has_page_models
    assert "Fine-tuned from `mlp-" in (tuned.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_model_without_keras_weights_cannot_be_finetuned(tmp_path: Path, corrected: list[LabelledCrops]) -> None:
    base_model = ModelPackage.open(composition.SHIPPED_MODELS_DIR)
    files = {name: digest for name, digest in base_model.card.files.items() if name != KERAS}
    incomplete = ModelPackage(base_model.folder, replace(base_model.card, files=files))

    with pytest.raises(ModelError, match=r"has no model\.keras"):
        run_finetune(incomplete, mnist.load_mnist_5k(), corrected, tmp_path)


def test_a_training_from_scratch_uses_corrections(mlp: ModelPackage, tmp_path: Path) -> None:
    picture = np.zeros((28, 28), np.uint8)
    cv2.line(picture, (14, 4), (14, 23), 255, 2)
    corrections = correction_examples.digit_examples([LabelledCrops(crops=(picture,), classes=(1,))])

    folder = train_mlp(tmp_path, corrections=corrections, card_facts={"corrections": {**FACTS, "examples": 1}})

    assert folder.name != mlp.card.id
    assert "This model belongs to its users" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
