"""Evaluation and promotion of models, as the service uses them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitrec.app import composition
from digitrec.app import models as app_models
from digitrec.app.models import EvaluationResult
from digitrec.arrays import Ink, Scores
from digitrec.cli.output import format_evaluation
from digitrec.errors import ModelError
from digitrec.models.package import CARD, ModelPackage
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import McNemarResult, wilson
from digitrec.settings import Settings
from digitrec.training.datasets.dataset import Split
from tests.conftest import draw, reader

pytestmark = pytest.mark.slow


class Seven:
    """Stand-in for a network that always reads seven."""

    fingerprint = "says seven"

    def score(self, ink: Ink) -> Scores:
        return np.tile(np.eye(CLASSES, dtype=np.float32)[7], (len(ink), 1))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for digit in (4, 7):
        (folder / f"{digit}.png").write_bytes(draw(digit))
    (folder / "labels.csv").write_text("file,label\n4.png,4\n7.png,7\n")
    return folder


def test_pictures_are_evaluated_with_the_reader_of_the_service(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "load_page_reader", lambda *_: PageReader(Seven()))

    evaluation = app_models.evaluate(Settings(workspace=tmp_path, engine="serial"), f"folder:{pictures}")

    assert (evaluation.right.hits, evaluation.right.total) == (1, 2)
    assert evaluation.accuracy == 0.5


def test_evaluation_prints_what_differs_from_the_labels_as_written(tmp_path: Path) -> None:
    right = wilson(3, 4)
    evaluation = EvaluationResult("m", "d", "s", right, right, right, wilson(2, 4), 1, tmp_path, {0.005: right})

    lines = list(format_evaluation(evaluation))

    assert lines[1].startswith("  accuracy 75.00 % (3 of 4;")
    assert lines[2].startswith("  exactly as labelled 50.00 % (2 of 4;")
    assert lines[3] == "  left out 1 page whose label is no number"
    assert lines[5].startswith(
        "  accepted with a threshold chosen on this set for at most 0.5 % wrong 75.00 % (3 of 4;"
    )
    same = replace(evaluation, exact=right, left_out=0)
    assert [line for line in format_evaluation(same) if "exactly" in line or "left out" in line] == []


def test_with_keras_only_the_digit_classifier_is_replaced(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, used = RecognitionModels(None, None), []  # type: ignore[arg-type]
    monkeypatch.setattr(composition, "load_page_reader", lambda *_: replace(reader(), models=networks))
    monkeypatch.setattr(app_models, "_load_classifier", lambda *_, keras: Seven() if keras else None)
    monkeypatch.setattr(app_models, "_evaluate_files", lambda _, __, reader, *___: used.append(reader))

    app_models.evaluate(Settings(workspace=tmp_path), f"folder:{pictures}", keras=True)

    (with_keras,) = used
    assert with_keras.models is networks
    assert isinstance(with_keras.classifier, Seven)


class ModelPromotion:
    """Two models of a registry whose comparison the test decides."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, paper: str = "") -> None:
        self.settings = Settings(workspace=root, max_error=0.01)
        registry = composition.open_model_registry(self.settings)
        for name in ("first", "second"):
            shutil.copytree(composition.SHIPPED_MODELS_DIR, registry.root / name)
            card = json.loads((registry.root / name / CARD).read_text())
            (registry.root / name / CARD).write_text(
                json.dumps(card | {"id": f"{name}-{card['id'].rpartition('-')[2]}"})
            )
        registry.promote("first")
        self.compared: list[str] = []
        monkeypatch.setattr(ModelPackage, "has_page_models", property(lambda bundle: bundle.folder.name == paper))
        monkeypatch.setattr(composition, "load_page_reader", lambda bundle, *_: bundle.folder.name)
        monkeypatch.setattr(app_models, "compare_classifiers", self._arrays)
        monkeypatch.setattr(app_models, "compare_page_readers", self._pages)
        self.worse_on = ""

    def _arrays(self, *_: object) -> McNemarResult:
        return self._compare("arrays")

    def _pages(self, current: str, candidate: str, split: Split) -> McNemarResult:
        assert (current, candidate) == ("first", "second")
        return self._compare("pages")

    def _compare(self, items: str) -> McNemarResult:
        self.compared.append(items)
        return McNemarResult(100, 90, 80, 10, 0, 0.001 if items == self.worse_on else 0.5, items=items)

    def in_use(self) -> str:
        return composition.open_model_registry(self.settings).current_name()


@pytest.mark.parametrize(
    ("paper", "compared"), [("", ["arrays"]), ("first", ["arrays", "pages"]), ("second", ["arrays", "pages"])]
)
def test_models_are_compared_on_pages_too_if_one_has_page_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: str, compared: list[str]
) -> None:
    models = ModelPromotion(tmp_path, monkeypatch, paper=paper)

    tests = app_models.promote(models.settings, "second", force=False, data="mnist-5k")

    assert models.compared == [test.items for test in tests] == compared
    assert models.in_use() == "second"


def test_a_model_without_a_guarantee_is_promoted_only_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ModelPromotion(tmp_path, monkeypatch)
    strict = replace(models.settings, max_error=0.0001)

    with pytest.raises(ModelError, match=r"cannot guarantee a max_error of 0\.0001") as caught:
        app_models.promote(strict, "second", force=False, data="mnist-5k")

    assert "--force" in caught.value.hint
    assert (models.in_use(), models.compared) == ("first", [])
    app_models.promote(strict, "second", force=True, data="mnist-5k")
    assert models.in_use() == "second"


@pytest.mark.parametrize("worse_on", ["arrays", "pages"])
def test_a_model_that_is_worse_on_either_is_not_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worse_on: str
) -> None:
    models = ModelPromotion(tmp_path, monkeypatch, paper="second")
    models.worse_on = worse_on

    tests = app_models.promote(models.settings, "second", force=False, data="mnist-5k")

    assert [test.items for test in tests if test.is_worse] == [worse_on]
    assert models.in_use() == "first"


def test_the_card_names_the_excluded_data_sets() -> None:
    card = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card

    for names, excluded in (
        (["the test split of mnist", "mnist-5k", "digits-8x8"], ["mnist-5k", "digits-8x8"]),
        (["the test split of mnist"], []),
        (None, ["mnist-5k"]),
    ):
        training = {**card.training, "left_out": names}
        training = training if names is not None else {key: training[key] for key in training if key != "left_out"}
        assert app_models.excluded_datasets(replace(card, training=training)) == excluded
