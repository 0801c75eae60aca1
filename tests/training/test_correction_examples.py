"""What the networks are shown of pages that a person has read, and how often."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.app import composition
from digitrec.models.package import ModelPackage
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.reader import PageReader
from digitrec.training import correction_examples, finetune
from digitrec.training.correction_examples import LabelledCrops, LabelledPage
from digitrec.training.networks import CLASSIFIERS
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic.generate import LineExamples
from digitrec.training.synthetic.symbols import NON_DIGIT
from digitrec.types import Limits
from tests.conftest import draw, reader


def page(folder: Path, content: bytes, text: str, number: int = 1) -> LabelledPage:
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256[:8]}.png"
    path.write_bytes(content)
    return LabelledPage(path, sha256, number, text)


def written(text: str) -> bytes:
    paper = np.full((90, 60 + 46 * len(text)), 235, np.uint8)
    for place, sign in enumerate(text):
        cv2.putText(paper, sign, (20 + 46 * place, 65), cv2.FONT_HERSHEY_SIMPLEX, 1.8, 30, 4, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", paper)[1])


def look(pages: list[LabelledPage], by: PageReader | None = None) -> list[LabelledCrops]:
    return correction_examples.extract_labelled_crops(by or reader(), pages, Limits(), processes=1)


@pytest.fixture(scope="module")
def shipped() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


def test_a_page_with_one_digit_gives_an_example_of_what_the_person_said(tmp_path: Path) -> None:
    (shown,) = look([page(tmp_path, draw(7), "1")])

    learned = correction_examples.digit_examples([shown])
    assert shown.fits
    assert learned.classes.tolist() == [1]
    assert learned.pictures.shape == (1, 28, 28)
    assert np.abs(learned.pictures[0] / 255 - reader().read(draw(7), Limits())[0].ink[0]).max() < 0.003


def test_a_corrected_number_gives_one_example_per_segmented_digit(tmp_path: Path) -> None:
    fits, differs = look([page(tmp_path, written("402"), "402"), page(tmp_path, written("57"), "577")])

    assert fits.classes == (4, 0, 2)
    assert (differs.fits, differs.signs) == (False, ())


def test_the_line_network_learns_numbers_whose_digits_were_not_separated(tmp_path: Path, shipped: PageReader) -> None:
    (shown,) = look([page(tmp_path, written("57"), "577")], shipped)

    strips = correction_examples.line_examples([shown])
    assert not shown.fits
    assert strips.texts == [(5, 7, 7)]
    assert strips.levels[0].shape[0] == 40


def test_a_page_of_the_fast_path_is_used_for_every_network(tmp_path: Path, shipped: PageReader) -> None:
    (shown,) = look([page(tmp_path, draw(7), "7")], shipped)

    assert shown.classes == (7, 7)  # as the classical way cut it out, and the ink network
    assert len(shown.strips) >= 1
    assert shown.text == (7,)


def test_a_non_digit_is_an_example_of_none_unless_it_may_be_a_one(tmp_path: Path, shipped: PageReader) -> None:
    letter, stroke = look([page(tmp_path, written("W"), "none"), page(tmp_path, written("I"), "none")])
    (line,) = look([page(tmp_path, written("W"), "none")], shipped)

    assert letter.classes == (NO_DIGIT,)
    assert stroke.classes == ()
    assert line.text == (NON_DIGIT,)
    assert len(line.strips) >= 1


def test_each_page_of_a_file_has_a_truth_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    pictures = [cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE) for digit in (3, 8)]
    cv2.imwritemulti(str(path), pictures)

    shown = look([LabelledPage(path, "s", 2, "8"), LabelledPage(path, "s", 1, "3")])

    assert [one.classes for one in shown] == [(8,), (3,)]


def test_a_file_that_nobody_can_read_gives_nothing(tmp_path: Path) -> None:
    (shown,) = look([page(tmp_path, b"no picture", "5")])

    assert (shown.signs, shown.strips, shown.fits) == ((), (), False)


def test_corrections_are_a_limited_part_of_each_training_batch() -> None:
    network = CLASSIFIERS["paper"]

    def per_batch(count: int) -> int:
        (found,) = finetune.oversample(
            network, Examples(np.zeros((count, 28, 28), np.uint8), np.zeros(count, int)), 600
        )
        return found.per_batch

    assert per_batch(5) == 1
    assert per_batch(50) == 5  # 600 batches show each of them 60 times
    assert per_batch(5000) == round(0.15 * network.batch)


def test_a_network_of_ten_digits_is_not_shown_what_is_none() -> None:
    learned = Examples(np.zeros((3, 28, 28), np.uint8), np.array([2, NO_DIGIT, 4]))

    (found,) = finetune.oversample(CLASSIFIERS["cnn"], learned, 10)

    assert found.classes.tolist() == [2, 4]
    assert finetune.oversample(CLASSIFIERS["cnn"], Examples(learned.pictures[1:2], learned.classes[1:2]), 10) == []


def test_varied_strips_keep_their_text_and_size(tmp_path: Path, shipped: PageReader) -> None:
    strips = correction_examples.line_examples(
        look([page(tmp_path, written("57"), "57"), page(tmp_path, draw(4), "4")], shipped)
    )

    varied = finetune.augment_lines(strips, (1, 2))

    assert len(varied) == 8 * len(strips)
    assert sorted(set(varied.texts)) == [(4,), (5, 7)]
    assert {levels.shape[1] % 32 for levels in varied.levels} == {0}
    assert len({levels.tobytes() for levels in varied.levels}) == len(varied)
    assert len(finetune.augment_lines(LineExamples([], []), (1, 2))) == 0
