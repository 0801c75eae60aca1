"""Pages that lie on a side or upside down: when they are read turned, and where their boxes are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.arrays import Ink, PageResult, Picture, Scores
from digitrec.images.decode import DecodedPage
from digitrec.recognition import turned
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.decision import decide
from digitrec.recognition.reader import PageReader
from digitrec.recognition.turned import find_best, is_better, is_poor, is_promising, turn, turn_back
from digitrec.types import Box, PageStatus, Reason, Thresholds
from tests.recognition.drawn import fill, paper, stroke, write


def sheet(picture: Picture) -> DecodedPage:
    return DecodedPage(1, picture.shape[1], picture.shape[0], picture)


def result(confidences: list[float], width: int = 400, height: int = 300, *boxes: Box) -> PageResult:
    """A page with a digit for each of these confidences."""
    scores = np.zeros((len(confidences), CLASSES), np.float32)
    scores[:, 7] = confidences
    scores[:, 10] = 1 - scores[:, 7]
    count = len(confidences)
    return PageResult(
        1,
        "png",
        width,
        height,
        boxes or tuple(Box(20 * place, 5, 10, 30) for place in range(count)),
        np.zeros((count, 28, 28), np.float32),
        np.zeros((9, 9), np.uint8),
        reason=None if count else Reason.BLANK,
        scores=scores,
    )


@pytest.mark.parametrize("quarters", [1, 2, 3])
@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 59), st.integers(0, 59), st.integers(1, 9), st.integers(1, 9)
)
def test_a_box_of_a_turned_page_comes_back_where_its_ink_is(
    quarters: int, rows: int, columns: int, x: int, y: int, width: int, height: int
) -> None:
    left, top = min(x, columns - 1), min(y, rows - 1)
    box = Box(left, top, min(width, columns - left), min(height, rows - top))
    picture = fill(paper(rows, columns), box.x, box.y, box.x + box.width, box.y + box.height, level=0)

    turned, plane = turn(sheet(picture), picture, quarters)
    down, across = np.nonzero(plane == 0)
    inked_box = Box(
        int(across.min()),
        int(down.min()),
        int(across.max() - across.min() + 1),
        int(down.max() - down.min() + 1),
    )
    preview = np.zeros((2, 3), np.uint8)  # as stored, with its upper right pixel marked
    preview[0, 2] = 1
    page = result([0.9], turned.width, turned.height, inked_box)
    back = turn_back(replace(page, preview=np.asarray(np.rot90(preview, quarters))), quarters)

    assert (turned.height, turned.width) == plane.shape
    assert (back.width, back.height) == (columns, rows)
    assert back.preview.shape == (2, 3)
    assert back.preview[0, 2] == 1
    assert back.boxes == (box,)


def test_four_quarters_give_the_picture_again() -> None:
    picture = write(paper(60, 90), "7", 20, 50)
    page = sheet(picture)
    for _ in range(4):
        page, picture = turn(page, picture, 1)

    np.testing.assert_array_equal(picture, write(paper(60, 90), "7", 20, 50))
    assert (page.width, page.height) == (90, 60)


def test_only_pages_of_several_doubtful_digits_are_turned() -> None:
    assert is_poor(result([0.5] * 5))
    assert not is_poor(result([0.99] * 5))
    assert not is_poor(result([0.85] * 5))
    assert is_poor(result([0.85] * 8))
    assert not is_poor(result([0.92] * 8))
    assert not is_poor(result([0.5]))
    assert not is_poor(result([]))


def test_a_turned_reading_is_taken_only_if_it_is_by_far_better() -> None:
    poor = result([0.5] * 6)

    assert is_better(result([0.98] * 6), poor)
    assert not is_better(result([0.55] * 6), poor)
    assert not is_better(result([0.98] * 2), poor)
    assert is_better(result([0.95] * 6), result([0.87] * 6))
    assert not is_better(result([0.92] * 6), result([0.87] * 6))
    assert not is_better(result([0.98] * 6), result([0.97] * 6))
    assert not is_better(poor, poor)


def test_a_sample_may_be_a_little_less_confident_than_a_whole_reading() -> None:
    page, sample = result([0.66] * 6), result([0.78] * 2)

    assert is_promising(sample, page)
    assert not is_better(result([0.78] * 6), page)
    assert not is_promising(result([0.69] * 2), page)
    assert not is_promising(sample, result([0.8] * 6))


def test_the_best_turned_reading_is_one_of_those_that_are_better() -> None:
    poor, few, most = result([0.5] * 6), result([0.99] * 2), result([0.95] * 6)

    assert find_best(poor, [few, most, result([0.9] * 6)]) == 1
    assert find_best(poor, [few, poor]) is None


def six(page: Picture) -> Picture:
    """Three rows of three digits with a flat foot."""
    for row in range(3):
        for column in range(3):
            left, top = 60 + 120 * column, 50 + 100 * row
            stroke(page, (left + 12, top), (left + 12, top + 40), thick=3)
            fill(page, left, top + 34, left + 25, top + 42, level=40)
    return page


class Upright:
    """Classifier with a high confidence for characters with their mass at the foot: these are centred by mass."""

    fingerprint = "knows where the foot is"

    def score(self, ink: Ink) -> Scores:
        scores = np.full((len(ink), CLASSES), 0.06, np.float32)
        for row, character in zip(scores, ink, strict=True):
            down, across = np.nonzero(character > 0.5)
            is_upright = np.ptp(down) > np.ptp(across) and 14 - down.min() > 1.3 * (down.max() - 13)
            row[1] = 5.0 if is_upright else 0.3
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_page_is_read_upright_and_reviewed(quarters: int) -> None:
    upright = six(paper(360, 400))
    picture = np.ascontiguousarray(np.rot90(upright, quarters))

    page = PageReader(Upright()).trace("png", sheet(picture)).page
    reading = decide(page, Thresholds(0.2, 0.2))

    assert (page.height, page.width) == picture.shape
    assert page.reason is Reason.TURNED
    assert reading.status is PageStatus.REVIEW
    assert {number.reason for number in reading.numbers} == {Reason.TURNED}
    assert reading.text.replace(" ", "") == "1" * 9
    for box in page.boxes:
        assert (picture[box.y : box.y + box.height, box.x : box.x + box.width] < 128).mean() > 0.2


@pytest.mark.parametrize("sampled", [1, 4, 40])
def test_a_sample_of_the_numbers_finds_the_same_turn(sampled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turned, "PARAMS", turned.PARAMS._replace(sampled=sampled))
    picture = np.ascontiguousarray(np.rot90(six(paper(360, 400)), 1))

    trace = PageReader(Upright()).trace("png", sheet(picture))

    assert trace.turns == 3
    assert len(trace.page.boxes) == 9


def test_a_page_that_reads_poorly_in_all_turns_is_read_whole_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doubtful:
        fingerprint = "doubts everything"
        characters = 0

        def score(self, ink: Ink) -> Scores:
            self.characters += len(ink)
            return np.full((len(ink), CLASSES), 1 / CLASSES, np.float32)

    monkeypatch.setattr(turned, "PARAMS", turned.PARAMS._replace(sampled=1))
    classifier = Doubtful()

    page = PageReader(classifier).trace("png", sheet(six(paper(360, 400)))).page

    assert len(page.boxes) == 9
    assert classifier.characters < 2 * 9


def test_an_upright_page_is_never_turned() -> None:
    page = PageReader(Upright()).trace("png", sheet(six(paper(360, 400)))).page

    assert page.reason is None
    assert len(page.boxes) == 9
