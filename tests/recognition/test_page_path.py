"""The page path with stand-ins for the models: numbers in reading order, with lines, columns and boxes."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import CLASSES, NO_DIGIT
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.page_path import PageTrace, read_page
from digitrec.types import Reason
from tests.recognition.drawn import fill, frame, paper, rule, write
from tests.recognition.stand_ins import Says, Sorter, Spells, dark, ink_by, line_by, nothing, unused

SURE = 0.9999


def read(
    page: Picture, classifier: Spells | Sorter, models: RecognitionModels | None = None, scale: int = 1
) -> tuple[PageResult, PageTrace]:
    sheet = DecodedPage(3, scale * page.shape[1], scale * page.shape[0], page)
    return read_page("png", sheet, page, classifier, models)


def models(monkeypatch: pytest.MonkeyPatch, says: Says) -> RecognitionModels:
    return RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, says))


def grid() -> Picture:
    """Three rows of two numbers of two digits."""
    page = paper(340, 420)
    for row in range(3):
        for column in range(2):
            write(page, "47", 60 + 190 * column, 90 + 100 * row)
    return page


@pytest.mark.parametrize("has_recognizer", [True, False])
def test_every_number_has_its_line_column_digits_and_boxes(
    has_recognizer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = models(monkeypatch, Says((4, 7), SURE)) if has_recognizer else None

    result, _ = read(grid(), Spells((4, 7)), both)

    assert [(span.line, span.column) for span in result.numbers] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    assert [(span.start, span.stop) for span in result.numbers] == [(2 * place, 2 * place + 2) for place in range(6)]
    assert result.scores[:, :NO_DIGIT].argmax(axis=1).tolist() == [4, 7] * 6
    assert len(result.boxes) == len(result.ink) == len(result.scores) == 12
    assert result.reason is None
    for place, box in enumerate(result.boxes):
        row, column = place // 4, place // 2 % 2
        assert 45 + 100 * row < box.y < box.y + box.height < 96 + 100 * row
        assert 55 + 190 * column < box.x < box.x + box.width < 150 + 190 * column


def test_boxes_are_in_pixels_of_the_page_even_if_the_picture_is_smaller() -> None:
    full, _ = read(grid(), Spells((4, 7)))
    reduced, _ = read(grid(), Spells((4, 7)), scale=3)

    assert (reduced.width, reduced.height) == (3 * full.width, 3 * full.height)
    for box, other in zip(full.boxes, reduced.boxes, strict=True):
        assert (other.x, other.y, other.width, other.height) == pytest.approx(
            (3 * box.x, 3 * box.y, 3 * box.width, 3 * box.height), abs=3
        )


def test_the_cells_of_a_table_are_numbers_of_their_own() -> None:
    page = frame(paper(280, 420), 30, 30, 390, 250)
    rule(page, (210, 30), (210, 250))
    rule(page, (30, 140), (390, 140))
    for x in (90, 270):
        for y in (105, 215):
            write(page, "47", x, y)

    result, trace = read(page, Spells((4, 7)))

    assert [(span.line, span.column) for span in result.numbers] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert trace.ink.rules is not None


def test_a_page_with_a_margin_has_no_digit_in_it() -> None:
    page = fill(write(paper(240, 400), "47", 160, 140), 0, 0, 70, 240, level=8)

    result, trace = read(page, Spells((4, 7)))

    assert trace.ink.margins is not None
    assert len(result.boxes) == 2
    assert min(box.x for box in result.boxes) > 140


def test_a_letter_left_out_of_a_number_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = read(grid(), Spells((4, 7)), models(monkeypatch, Says((4, NO_DIGIT), SURE)))

    assert {span.reason for span in result.numbers} == {Reason.OTHER_MARKS}
    assert len(result.boxes) == 6


def test_a_sure_lone_digit_needs_the_classifier_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(paper(160, 160), "7", 60, 100)
    unasked = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))

    result, trace = read(page, Sorter(7, 0.995), unasked)

    assert result.scores[0].argmax() == 7
    assert len(trace.predictions) == 1


def test_a_doubtful_lone_digit_gets_the_predictions_of_all_models(monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(paper(160, 160), "7", 60, 100)

    result, trace = read(page, Sorter(7, 0.6), models(monkeypatch, Says((7,), SURE)))

    assert len(trace.predictions) > 2
    assert result.scores[0].argmax() == 7
    assert 0.6 < result.scores[0].max() < 1.0
    (box,) = result.boxes
    assert (box.x, box.y) == pytest.approx((62, 60), abs=8)


def test_two_sure_models_that_contradict_each_other_are_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(paper(160, 160), "7", 60, 100)

    result, _ = read(page, Sorter(1, 0.97), models(monkeypatch, Says((7,), SURE)))

    assert result.scores[0].max() < 0.7


def test_the_only_character_may_be_several_digits_that_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(write(paper(160, 220), "5", 60, 100), "3", 82, 100)

    result, _ = read(page, Sorter(8, 0.6), models(monkeypatch, Says((5, 3), SURE)))

    assert result.scores[:, :NO_DIGIT].argmax(axis=1).tolist() == [5, 3]
    assert [(span.start, span.stop) for span in result.numbers] == [(0, 2)]


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (3, 5), (80, 60)])
def test_bare_paper_is_blank(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    both = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, unused))

    for given in (both, None):
        result, _ = read(paper(*size), Sorter(7), given)
        assert (result.reason, result.boxes, result.numbers) == (Reason.BLANK, (), ())
        assert result.scores.shape == (0, CLASSES)


@pytest.mark.slow
def test_a_page_of_several_hundred_digits_is_read() -> None:
    page = paper(1500, 1400)
    for row in range(20):
        for column in range(16):
            write(page, str((row + column) % 10), 40 + 84 * column, 60 + 72 * row)

    result, _ = read(page, Sorter(7))

    assert len(result.boxes) == 320
    assert sorted({span.line for span in result.numbers}) == [*range(1, 21)]


def test_slanting_rows_are_read_in_order() -> None:
    page = paper(400, 500)
    write(write(page, "4747", 150, 170), "474747", 120, 270)
    turn = cv2.getRotationMatrix2D((250, 200), 14, 1.0)
    turned = np.asarray(cv2.warpAffine(page, turn, (500, 400), borderMode=cv2.BORDER_REPLICATE), np.uint8)

    result, _ = read(turned, Spells((4, 7)))

    assert [(span.line, span.stop - span.start) for span in result.numbers] == [(1, 4), (2, 6)]
