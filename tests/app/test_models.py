"""What is measured is what the service does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitrec.app import composition
from digitrec.app import models as lab
from digitrec.arrays import Ink, Scores
from digitrec.models.package import CARD, ModelPackage
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.training.compare import McNemarResult
from digitrec.training.datasets.dataset import Split
from tests.conftest import draw, reader

pytestmark = pytest.mark.slow


class Seven:
    """Stands for a network."""

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


def test_pictures_are_evaluated_by_what_reads_them_in_the_service(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "load_page_reader", lambda _: PageReader(Seven()))

    found = lab.evaluate(Settings(workspace=tmp_path, engine="serial"), f"folder:{pictures}")

    assert (found.accuracy.hits, found.accuracy.total) == (1, 2)


def test_with_keras_only_the_network_for_digits_is_another(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, used = RecognitionModels(None, None), []  # type: ignore[arg-type]
    monkeypatch.setattr(composition, "load_page_reader", lambda _: replace(reader(), models=networks))
    monkeypatch.setattr(lab, "_load_classifier", lambda *_, keras: Seven() if keras else None)
    monkeypatch.setattr(lab, "_evaluate_files", lambda _, __, reader, *___: used.append(reader))

    lab.evaluate(Settings(workspace=tmp_path), f"folder:{pictures}", keras=True)

    (with_keras,) = used
    assert with_keras.models is networks
    assert isinstance(with_keras.classifier, Seven)


class Promoting:
    """Two models of a store that differ only where a test says so."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, paper: str = "") -> None:
        self.settings = Settings(workspace=root, max_error=0.01)
        store = composition.open_model_registry(self.settings)
        for name in ("one", "two"):
            shutil.copytree(composition.SHIPPED_MODELS_DIR, store.root / name)
            card = json.loads((store.root / name / CARD).read_text())
            (store.root / name / CARD).write_text(json.dumps(card | {"id": f"{name}-{card['id'].rpartition('-')[2]}"}))
        store.promote("one")
        self.asked: list[str] = []
        monkeypatch.setattr(ModelPackage, "reads_paper", property(lambda bundle: bundle.folder.name == paper))
        monkeypatch.setattr(composition, "load_page_reader", lambda bundle: bundle.folder.name)
        monkeypatch.setattr(lab, "compare", self._arrays)
        monkeypatch.setattr(lab, "compare_pages", self._pages)
        self.worse_on = ""

    def _arrays(self, *_: object) -> McNemarResult:
        return self._told("arrays")

    def _pages(self, current: str, candidate: str, split: Split) -> McNemarResult:
        assert (current, candidate) == ("one", "two")
        return self._told("pages")

    def _told(self, what: str) -> McNemarResult:
        self.asked.append(what)
        return McNemarResult(100, 90, 80, 10, 0, 0.001 if what == self.worse_on else 0.5, things=what)

    def in_use(self) -> str:
        return composition.open_model_registry(self.settings).current_name()


@pytest.mark.parametrize(
    ("paper", "asked"), [("", ["arrays"]), ("one", ["arrays", "pages"]), ("two", ["arrays", "pages"])]
)
def test_models_are_compared_on_pages_too_where_one_reads_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: str, asked: list[str]
) -> None:
    models = Promoting(tmp_path, monkeypatch, paper=paper)

    found = lab.promote(models.settings, "two", force=False, data="mnist-5k")

    assert models.asked == [one.things for one in found] == asked
    assert models.in_use() == "two"


@pytest.mark.parametrize("worse_on", ["arrays", "pages"])
def test_a_model_that_is_worse_on_either_is_not_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worse_on: str
) -> None:
    models = Promoting(tmp_path, monkeypatch, paper="two")
    models.worse_on = worse_on

    found = lab.promote(models.settings, "two", force=False, data="mnist-5k")

    assert [one.things for one in found if one.is_worse] == [worse_on]
    assert models.in_use() == "one"


def test_the_card_names_the_data_sets_that_were_left_out() -> None:
    card = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card

    for named, left_out in (
        (["the test split of mnist", "mnist-5k", "digits-8x8"], ["mnist-5k", "digits-8x8"]),
        (["the test split of mnist"], []),
        (None, ["mnist-5k"]),
    ):
        training = {**card.training, "left_out": named}
        training = training if named is not None else {key: training[key] for key in training if key != "left_out"}
        assert lab.excluded_datasets(replace(card, training=training)) == left_out
