"""Extraction of training examples from corrected pages, and their share of a training."""

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
from tests.drawing import read_file


def page(folder: Path, content: bytes, text: str, number: int = 1) -> LabelledPage:
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256[:8]}.png"
    path.write_bytes(content)
    return LabelledPage(path, sha256, number, text)


def write_text(text: str) -> bytes:
    paper = np.full((90, 60 + 46 * len(text)), 235, np.uint8)
    for position, symbol in enumerate(text):
        cv2.putText(paper, symbol, (20 + 46 * position, 65), cv2.FONT_HERSHEY_SIMPLEX, 1.8, 30, 4, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", paper)[1])


def extract(pages: list[LabelledPage], page_reader: PageReader | None = None) -> list[LabelledCrops]:
    return correction_examples.extract_labelled_crops(page_reader or reader(), pages, Limits(), processes=1)


@pytest.fixture(scope="module")
def shipped() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


def test_a_single_digit_gives_an_example_with_its_label(tmp_path: Path) -> None:
    (crops,) = extract([page(tmp_path, draw(7), "1")])

    examples = correction_examples.digit_examples([crops])
    assert crops.fits
    assert examples.classes.tolist() == [1]
    assert examples.pictures.shape == (1, 28, 28)
    assert np.abs(examples.pictures[0] / 255 - read_file(reader(), draw(7))[0].ink[0]).max() < 0.003


def test_a_corrected_number_gives_an_example_per_segmented_digit(tmp_path: Path) -> None:
    fits, differs = extract([page(tmp_path, write_text("402"), "402"), page(tmp_path, write_text("57"), "577")])

    assert fits.classes == (4, 0, 2)
    assert (differs.fits, differs.crops) == (False, ())


@pytest.mark.parametrize("text", ["40 2", "-402", "4,02"])
def test_page_of_several_numbers_or_signs_gives_examples_of_its_digits(
    tmp_path: Path, shipped: PageReader, text: str
) -> None:
    content = write_text("402")

    (crops,) = extract([page(tmp_path, content, text)])
    (with_lines,) = extract([page(tmp_path, content, text)], shipped)

    assert crops.classes == (4, 0, 2)
    assert with_lines.lines == ()


def test_a_number_that_is_not_segmented_gives_line_examples(tmp_path: Path, shipped: PageReader) -> None:
    (crops,) = extract([page(tmp_path, write_text("57"), "577")], shipped)

    lines = correction_examples.line_examples([crops])
    assert not crops.fits
    assert lines.texts == [(5, 7, 7)]
    assert lines.levels[0].shape[0] == 40


def test_a_page_of_the_fast_path_is_used_for_every_network(tmp_path: Path, shipped: PageReader) -> None:
    (crops,) = extract([page(tmp_path, draw(7), "7")], shipped)

    assert crops.classes == (7, 7)  # the page path, and the segmentation network
    assert len(crops.lines) >= 1
    assert set(crops.texts) == {(7,)}


def test_a_non_digit_is_an_example_of_no_digit(tmp_path: Path, shipped: PageReader) -> None:
    letter, bar = extract([page(tmp_path, write_text("W"), "none"), page(tmp_path, write_text("I"), "none")])
    (result,) = extract([page(tmp_path, write_text("W"), "none")], shipped)

    assert letter.classes == (NO_DIGIT,)
    assert bar.classes == ()
    assert set(result.texts) == {(NON_DIGIT,)}
    assert len(result.lines) >= 1


def test_pages_of_a_file_have_separate_labels(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    pictures = [cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE) for digit in (3, 8)]
    cv2.imwritemulti(str(path), pictures)

    crops = extract([LabelledPage(path, "s", 2, "8"), LabelledPage(path, "s", 1, "3")])

    assert [page.classes for page in crops] == [(8,), (3,)]


def test_an_unreadable_file_gives_no_examples(tmp_path: Path) -> None:
    (crops,) = extract([page(tmp_path, b"no picture", "5")])

    assert (crops.crops, crops.lines, crops.fits) == ((), (), False)


def test_corrections_are_a_limited_part_of_a_batch() -> None:
    network = CLASSIFIERS["paper"]

    def per_batch(count: int) -> int:
        (mixed,) = finetune.oversample(
            network, Examples(np.zeros((count, 28, 28), np.uint8), np.zeros(count, int)), 600
        )
        return mixed.per_batch

    assert per_batch(5) == 1
    assert per_batch(50) == 5  # at most 60 repetitions in 600 batches
    assert per_batch(5000) == round(0.15 * network.batch)


def test_a_network_of_ten_digits_gets_no_non_digits() -> None:
    examples = Examples(np.zeros((3, 28, 28), np.uint8), np.array([2, NO_DIGIT, 4]))

    (mixed,) = finetune.oversample(CLASSIFIERS["cnn"], examples, 10)

    assert mixed.classes.tolist() == [2, 4]
    assert finetune.oversample(CLASSIFIERS["cnn"], Examples(examples.pictures[1:2], examples.classes[1:2]), 10) == []


def test_repeated_lines_keep_their_text(tmp_path: Path, shipped: PageReader) -> None:
    lines = correction_examples.line_examples(
        extract([page(tmp_path, write_text("57"), "57"), page(tmp_path, draw(4), "4")], shipped)
    )

    repeated = finetune.repeat_lines(lines, (1, 2))

    assert len(repeated) == 8 * len(lines)
    assert sorted(set(repeated.texts)) == [(4,), (5, 7)]
    assert len({levels.tobytes() for levels in repeated.levels}) == len(lines)
    assert len(finetune.repeat_lines(LineExamples([], []), (1, 2))) == 0


def test_the_numbers_of_a_page_are_labelled_one_by_one(tmp_path: Path, shipped: PageReader) -> None:
    gap = np.full((90, 200), 235, np.uint8)
    parts = [cv2.imdecode(np.frombuffer(write_text(part), np.uint8), cv2.IMREAD_GRAYSCALE) for part in ("402", "31")]
    content = bytes(cv2.imencode(".png", np.hstack([parts[0], gap, parts[1]]))[1])

    texts = ("402 31", "402 311", "-402 31")
    right, partly, signed = (extract([page(tmp_path, content, text)], shipped)[0] for text in texts)

    assert right.classes == (4, 0, 2, 3, 1)
    assert set(right.texts) == {(4, 0, 2), (3, 1)}
    assert partly.classes == (4, 0, 2)
    assert set(partly.texts) == {(4, 0, 2), (3, 1, 1)}
    assert (signed.classes, set(signed.texts)) == ((4, 0, 2, 3, 1), {(3, 1)})
