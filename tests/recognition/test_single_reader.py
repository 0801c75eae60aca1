"""A page's only character: which models are asked, and how their predictions are averaged."""

import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.classifier import NO_DIGIT, DigitClassifier
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.number_reader import read_number
from digitrec.recognition.single_reader import SingleReading, read_crop, read_only
from digitrec.recognition.text_lines import find_numbers
from tests.recognition.drawn import fill, lay_out, paper, stroke, write
from tests.recognition.stand_ins import Entry, Says, Sorter, Spells, dark, ink_by, line_by, nothing, unused

SURE = 0.9999


def digit(rows: int = 160, columns: int = 160) -> Picture:
    return write(paper(rows, columns), "7", 60, 100)


def read(page: Picture, classifier: DigitClassifier, models: RecognitionModels) -> SingleReading | None:
    ink, classed = lay_out(page)
    return read_only(find_numbers(classed, ink.rules), ink, classed, classifier, models)


def models(monkeypatch: pytest.MonkeyPatch, says: Says) -> RecognitionModels:
    return RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, says))


def sources(reading: SingleReading) -> list[str]:
    return [prediction.source for prediction in reading.predictions]


def test_a_sure_classifier_decides_alone_about_a_lone_character(monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))

    reading = read(digit(), Sorter(7, 0.999), unasked)

    assert reading is not None
    assert len(reading.predictions) == 1
    assert reading.number.scores[0, 7] == pytest.approx(0.999)
    assert reading.number.layout_confidence == 1


def test_a_character_of_two_components_is_read_by_the_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    page = stroke(stroke(paper(160, 160), (60, 50), (60, 78)), (62, 88), (62, 110))

    reading = read(page, Sorter(1, 0.999), models(monkeypatch, Says((1,), SURE)))

    assert reading is not None
    assert sources(reading)[0] == "sequence recognizer"


def test_two_sure_models_that_agree_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    both = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, Says((7,), SURE)))

    reading = read(digit(), Sorter(7, 0.975), both)

    assert reading is not None
    assert len(reading.predictions) == 2
    assert reading.zoomed is None
    assert reading.number.scores[0].argmax() == 7


def test_the_scores_are_the_mean_of_all_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(digit(), Sorter(7, 0.6), models(monkeypatch, Says((7,), SURE)))

    assert reading is not None
    assert len(reading.predictions) == len(set(sources(reading))) == 4
    mean = np.mean([prediction.scores for prediction in reading.predictions], axis=0)
    np.testing.assert_allclose(reading.number.scores[0], mean, atol=1e-6)
    assert reading.number.scores[0].argmax() == 7
    np.testing.assert_allclose(reading.number.scores.sum(axis=1), 1, atol=1e-5)


def test_a_character_with_ink_next_to_it_needs_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    page = fill(digit(), 10, 145, 30, 148, level=40)
    says = Says((7,), SURE)

    reading = read(page, Sorter(7, 0.999), models(monkeypatch, says))

    assert says.lines
    assert reading is not None
    assert len(reading.predictions) > 1


def test_a_character_that_is_several_digits_is_left_to_the_number_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    touching = write(write(paper(160, 220), "5", 60, 100), "3", 82, 100)

    assert read(touching, Sorter(8, 0.6), models(monkeypatch, Says((5, 3), SURE))) is None


def test_a_page_of_several_characters_is_left_to_the_number_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))

    assert read(write(paper(160, 220), "53", 60, 100), Sorter(8), unasked) is None


def test_models_that_find_no_digit_give_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read(digit(), Sorter(NO_DIGIT, 0.95), models(monkeypatch, Says((NO_DIGIT,), SURE)))

    assert reading is not None
    assert reading.number.scores[0].argmax() == NO_DIGIT


def test_ink_that_only_the_segmenter_sees_is_read_from_the_zoom(monkeypatch: pytest.MonkeyPatch) -> None:
    def square(entry: Entry) -> Entry:
        ink = np.zeros_like(entry)
        ink[:, 20:44, 26:38] = 1
        return ink

    sees = RecognitionModels(ink_by(monkeypatch, square), line_by(monkeypatch, Says((1,), SURE)))
    blind = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, unused))

    reading = read(paper(160, 160), Sorter(1), sees)

    assert reading is not None
    assert reading.number.scores[0].argmax() == 1
    assert read(paper(160, 160), Sorter(1), blind) is None


def broken() -> Picture:
    """A crop of a 4 whose strokes are far apart."""
    page = stroke(paper(110, 110), (34, 30), (24, 66), (50, 66), thick=5)
    return stroke(page, (72, 26), (70, 90), thick=5)


def crop_of(page: Picture, classifier: DigitClassifier, both: RecognitionModels) -> SingleReading | None:
    ink, classed = lay_out(page)
    numbers = [read_number(number, ink, classed, classifier, None) for number in find_numbers(classed, ink.rules)]
    assert sum(len(number.rects) for number in numbers) > 1
    return read_crop(numbers, ink, classifier, both)


def merged(entry: Entry) -> Entry:
    """Fake segmenter that joins all dark strokes of a page."""
    ink = dark(entry)
    for plane in ink:
        down, across = np.nonzero(plane)
        if down.size:
            plane[down.min() : down.max() + 1, across.min() : across.max() + 1] = 1
    return ink


def test_a_doubtful_crop_of_several_strokes_is_read_as_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    both = RecognitionModels(ink_by(monkeypatch, merged), line_by(monkeypatch, Says((4,), SURE)))

    reading = crop_of(broken(), Sorter(4, 0.6), both)

    assert reading is not None
    (rect,) = reading.number.rects
    assert (rect.left, rect.right) == pytest.approx((22, 75), abs=8)
    assert reading.number.scores[0].argmax() == 4


@pytest.mark.parametrize(
    ("says", "sure"), [(Says((1, 1), SURE), 0.6), (Says((4,), SURE), 0.999)], ids=["two characters", "sure digits"]
)
def test_digits_that_are_sure_or_confirmed_stay_apart(says: Says, sure: float, monkeypatch: pytest.MonkeyPatch) -> None:
    both = RecognitionModels(ink_by(monkeypatch, merged), line_by(monkeypatch, says))

    assert crop_of(broken(), Sorter(1, sure), both) is None


def test_a_page_wider_than_a_character_is_no_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))

    assert crop_of(write(paper(100, 300), "5827", 60, 70), Spells((5, 8, 2, 7), 0.4), unasked) is None
