"""A model goes on learning from corrections, with very little of everything."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.app import composition
from digitrec.errors import ModelError
from digitrec.models.package import INK_TFLITE, KERAS, TFLITE, ModelPackage
from digitrec.training import correction_examples, finetune, sequence_recognizer, train
from digitrec.training.classifier import TrainingState, no_progress
from digitrec.training.correction_examples import LabelledCrops, LabelledPage
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.finetune import FinetuneConfig
from digitrec.types import Limits
from tests.conftest import draw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

LITTLE = FinetuneConfig(
    epochs=1, steps=4, pages=60, pages_held_out=10, strips=48, strips_held_out=16, line_epochs=1, pages_judged=40
)
ABOUT = {"learned": 6, "held_out": 1, "confirmed": 4, "corrected": 3, "missing": 2, "unfit": 1}


def look(folder: Path, start: ModelPackage) -> list[LabelledCrops]:
    pages = []
    for digit in range(6):
        path = folder / f"{digit}.png"
        path.write_bytes(draw(digit))
        pages.append(LabelledPage(path, f"{digit:064}", 1, str(digit)))
    return correction_examples.extract_labelled_crops(composition.load_page_reader(start), pages, Limits(), processes=1)


def taught(
    start: ModelPackage,
    dataset: Dataset,
    shown: list[LabelledCrops],
    out: Path,
    told: list[TrainingState] | None = None,
) -> ModelPackage:
    folder = finetune.finetune(
        start,
        dataset,
        shown,
        out_root=out / "models",
        now=lambda: "2026-01-02T03:04:05Z",
        corrections=ABOUT,
        is_new=True,
        config=LITTLE,
        progress=no_progress if told is None else told.append,
        command="digitrec train --with-corrections",
        checkpoint_dir=out / "training",
    )
    return ModelPackage.open(folder)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("going-on")


@pytest.fixture(scope="module")
def shown(out: Path) -> list[LabelledCrops]:
    return look(out, ModelPackage.open(composition.SHIPPED_MODELS_DIR))


@pytest.fixture(scope="module")
def model(out: Path, shown: list[LabelledCrops]) -> ModelPackage:
    return taught(ModelPackage.open(composition.SHIPPED_MODELS_DIR), mnist.load_mnist_5k(), shown, out)


def test_another_model_comes_out_whose_ink_network_is_the_same(model: ModelPackage) -> None:
    start = ModelPackage.open(composition.SHIPPED_MODELS_DIR)

    assert model.card.id != start.card.id
    assert model.card.network == start.card.network
    assert model.card.weights == start.card.weights
    assert model.read_file(INK_TFLITE) == start.read_file(INK_TFLITE)
    assert model.read_file(TFLITE) != start.read_file(TFLITE)
    (page,) = composition.load_page_reader(model).read(draw(7), Limits())
    assert page.scores.shape == (1, 11)


def test_it_still_knows_digits_after_a_few_batches(model: ModelPackage) -> None:
    split = mnist.load_mnist_5k().evaluation

    right = composition.CLASSIFIERS["litert"](model).score(split.ink).argmax(axis=1) == split.digits

    assert right.mean() > 0.97


def test_its_card_says_that_it_is_the_users_own_and_where_it_comes_from(model: ModelPackage) -> None:
    start = ModelPackage.open(composition.SHIPPED_MODELS_DIR)
    words = (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")

    assert model.card.training["corrections"]["went_on_from"] == start.card.id
    assert model.card.training["left_out"] == ["the test split of mnist-5k"]
    assert "This model belongs to its users" in words
    assert "6 pages that people confirmed or corrected gave 12 pictures" in words
    assert "1 pages, one file in five" in words
    assert f"Fine-tuned from `{start.card.id}`" in words
    assert "`line`" in words.split("Training with corrections")[1].split("## ")[0]
    assert "Training with corrections" not in (start.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_same_corrections_give_the_same_model_and_drawn_pages_are_kept(
    model: ModelPackage, out: Path, shown: list[LabelledCrops]
) -> None:
    told: list[TrainingState] = []

    again = taught(ModelPackage.open(composition.SHIPPED_MODELS_DIR), mnist.load_mnist_5k(), shown, out, told)

    assert again.card.id == model.card.id
    assert "pages" not in {one.stage for one in told}
    facts = json.loads(next((out / "training").glob("*/seen.json")).read_text(encoding="utf-8"))
    assert facts["drawn"] == LITTLE.pages


def test_a_line_network_that_reads_drawn_lines_worse_since_is_not_taken(
    out: Path, shown: list[LabelledCrops], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([np.ones(16, np.bool_), np.zeros(16, np.bool_)])
    monkeypatch.setattr(sequence_recognizer, "find_correct_lines", lambda *_: next(answers))

    found = taught(ModelPackage.open(composition.SHIPPED_MODELS_DIR), mnist.load_mnist_5k(), shown, out)

    assert found.read_file("line.tflite") == ModelPackage.open(composition.SHIPPED_MODELS_DIR).read_file("line.tflite")
    assert "stayed as it was" in found.card.training["corrections"]["line"]


def test_a_network_that_reads_digits_only_goes_on_as_well(tmp_path: Path) -> None:
    some = mnist.load_mnist_5k()
    small = Dataset("mnist-5k", "a part", some.train.take(np.arange(0, 4000, 4)), some.test)
    folder = train.train(
        small, "mlp", epochs=1, seed=3, out_root=tmp_path / "models", now=lambda: "2026-01-02T03:04:05Z"
    )
    start = ModelPackage.open(folder)

    found = taught(start, small, look(tmp_path, start), tmp_path)

    assert found.card.id != start.card.id
    assert not found.has_page_models
    assert "Fine-tuned from `mlp-" in (found.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_model_without_its_keras_network_cannot_go_on(tmp_path: Path, shown: list[LabelledCrops]) -> None:
    start = ModelPackage.open(composition.SHIPPED_MODELS_DIR)
    files = {name: digest for name, digest in start.card.files.items() if name != KERAS}
    from dataclasses import replace

    poor = ModelPackage(start.folder, replace(start.card, files=files))

    with pytest.raises(ModelError, match=r"has no model\.keras"):
        taught(poor, mnist.load_mnist_5k(), shown, tmp_path)


def test_a_training_from_nothing_takes_corrections_in(tmp_path: Path) -> None:
    some = mnist.load_mnist_5k()
    small = Dataset("mnist-5k", "a part", some.train.take(np.arange(0, 4000, 4)), some.test)
    one = np.zeros((28, 28), np.uint8)
    cv2.line(one, (14, 4), (14, 23), 255, 2)
    learned = correction_examples.digit_examples([LabelledCrops(signs=(one,), classes=(1,))])
    about = {"corrections": {**ABOUT, "examples": 1}}

    folders = [
        train.train(
            small,
            "mlp",
            epochs=1,
            seed=3,
            out_root=tmp_path / "models",
            now=lambda: "2026-01-02T03:04:05Z",
            corrections=examples,
            card_facts=about,
        )
        for examples in (learned, None)
    ]

    assert folders[0] != folders[1]
    assert "This model belongs to its users" in (folders[0] / "MODEL_CARD.md").read_text(encoding="utf-8")
