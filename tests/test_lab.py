"""What is measured is what the service does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digitrec import app, lab
from digitrec.classifiers.base import CLASSES
from digitrec.recognition.page_reader import PageReader
from digitrec.recognition.second_look import Networks
from digitrec.records import Ink, Scores
from digitrec.settings import Settings
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
    monkeypatch.setattr(app, "page_reader", lambda _: PageReader(Seven()))

    found = lab.evaluate(Settings(workspace=tmp_path, engine="serial"), f"folder:{pictures}")

    assert (found.accuracy.hits, found.accuracy.of) == (1, 2)


def test_with_keras_only_the_network_for_digits_is_another(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, used = Networks(None, None), []  # type: ignore[arg-type]
    monkeypatch.setattr(app, "page_reader", lambda _: replace(reader(), networks=networks))
    monkeypatch.setattr(lab, "_classifier", lambda *_, keras: Seven() if keras else None)
    monkeypatch.setattr(lab, "_evaluate_files", lambda _, __, reader, *___: used.append(reader))

    lab.evaluate(Settings(workspace=tmp_path), f"folder:{pictures}", keras=True)

    (with_keras,) = used
    assert with_keras.networks is networks
    assert isinstance(with_keras.classifier, Seven)
