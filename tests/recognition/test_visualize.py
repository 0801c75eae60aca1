"""The drawn steps show what was there: the page, the ink, each sign, and the answer with its reason."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.recognition import visualize
from digitrec.recognition.decision import decide
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Reason
from tests.recognition.stand_ins import Learning, Says, Sorter, dark, ink_by, line_by, nothing, paper, unused

LEAST_PX = 200


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line that is written."""
    lines: list[str] = []
    write = visualize.put_text

    def noted(sheet: Picture, line: str, foot: tuple[int, int], **how: object) -> None:
        lines.append(line)
        write(sheet, line, foot, **how)  # type: ignore[arg-type]

    for module in (visualize, visualize):
        monkeypatch.setattr(module, "put_text", noted)
    return lines


def trace_page(
    picture: np.ndarray, networks: RecognitionModels | None = None, sorter: Sorter | Learning | None = None
) -> RecognitionTrace:
    height, width = picture.shape[:2]
    return PageReader(sorter or Sorter(7), networks).trace(
        "png", DecodedPage(1, width, height, np.asarray(picture, np.uint8))
    )


def drawn(steps: RecognitionTrace, threshold: float = 0.5) -> Picture:
    return visualize.draw_trace(steps, decide(steps.page, threshold), threshold)


def shows(sheet: Picture, part: Picture) -> bool:
    """True if a picture is to be seen somewhere on the sheet, each pixel of it."""
    return bool(cv2.matchTemplate(sheet, visualize.to_rgb(part), cv2.TM_SQDIFF_NORMED).min() < 1e-5)


ONE = paper(260, 240, (80, 90, 60))
ROW = paper(80, 300, (20, 20, 40), (130, 20, 40), (240, 20, 40))


@pytest.mark.slow
def test_the_explanation_of_a_classical_page_shows_grey_ink_and_component(told: list[str]) -> None:
    colour = np.stack([ONE, ONE * 0.9, ONE * 0.8], axis=2).astype(np.uint8)
    steps = trace_page(colour)

    sheet = drawn(steps)

    assert sheet.dtype == np.uint8
    assert sheet.shape[1] <= visualize.WIDTH
    assert steps.decoded is not None
    assert shows(sheet, colour)
    assert not shows(sheet, colour[::-1])
    assert shows(sheet, np.rint(steps.decoded.gray).astype(np.uint8))
    assert shows(sheet, np.kron(visualize.ink_to_image(steps.page.ink[0]), np.ones((8, 8), np.uint8)))
    assert "Ink, the classical way: 1 box" in told
    assert "7  90.00%" in told
    assert "none  1.00%" in told
    assert "read by the classical way alone" in told


@pytest.mark.slow
def test_one_sign_is_shown_with_all_its_witnesses(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    steps = trace_page(ONE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((3,)))))

    sheet = drawn(steps)

    assert steps.full_path is not None
    assert steps.full_path.crop is not None
    assert shows(sheet, np.kron(visualize.ink_to_image(steps.full_path.crop.ink), np.ones((4, 4), np.uint8)))
    assert {"line network", "classical cut", "ink network's cut", "line network, closer", "all of them"} <= {*told}
    assert any(line.startswith("reads 3, probability 0.") for line in told)
    assert "the networks were asked" in told


@pytest.mark.slow
def test_a_page_read_at_a_glance_is_shown_as_small_as_it_was_seen(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    steps = trace_page(
        ONE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused)), Sorter(7, sure=0.995)
    )

    sheet = drawn(steps)

    assert steps.decoded is not None
    assert shows(sheet, np.kron(np.rint(steps.decoded.gray).astype(np.uint8), np.ones((5, 5), np.uint8)))
    assert "Ink, at a glance: 1 box" in told
    assert "7  99.50%" in told
    assert "read at a glance: all of the page in 64 x 64" in told


def test_a_page_that_took_a_second_witness_at_a_glance_is_shown_with_both(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    line = Says((7,), sure=0.9999)
    steps = trace_page(
        ONE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line)), Sorter(7, sure=0.98)
    )

    sheet = drawn(steps)

    assert steps.took_fast_path
    assert steps.full_path is not None
    assert sheet.shape[1] <= visualize.WIDTH
    assert "The line network" not in told
    assert (sheet == np.array(visualize.BLUE)).all(axis=2).sum() > 100  # the strip's frame, beside the words
    assert {"ink network's cut", "line network", "all of them"} <= {*told}
    assert "blue: strips that the line network" in told
    assert "read at a glance: all of the page in 64 x 64, and the line network agrees" in told


def test_a_sign_that_took_a_close_look_is_shown_with_its_window(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))
    steps = trace_page(ONE, networks, Learning(7, [0.5, 0.98]))

    sheet = drawn(steps)

    assert steps.took_fast_path
    assert (sheet == np.array(visualize.ORANGE)).all(axis=2).sum() > 100  # the window's frame
    assert {"Ink, at a glance: 1 box", "The ink network's closest look", "ink network's cut"} <= {*told}
    assert "its only sign, found at a glance, was looked at closely, and by the line network" in " ".join(told)


def test_a_number_is_shown_with_its_strip_and_each_digit(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    steps = trace_page(ROW, RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((10, 3, 2)))))

    sheet = drawn(steps)

    assert sheet.shape[1] <= visualize.WIDTH
    assert any(line.startswith("reads ?32, probability 0.") for line in told)
    assert "? is a sign that is no digit" in told
    assert "not_a_digit: this does not look like a digit" in told


def test_it_says_why_an_answer_is_or_is_not_accepted(told: list[str]) -> None:
    steps = trace_page(ONE)

    drawn(steps, threshold=0.5)
    drawn(steps, threshold=0.95)

    assert "Answer 7: accepted" in told
    assert "confidence 0.9000, threshold 0.5000: high enough" in told
    assert "Answer 7: review" in told
    assert "confidence 0.9000, threshold 0.9500: too low" in told
    assert "low_confidence: the confidence is too low to accept it without review" in told


def test_what_was_left_unread_is_outlined(told: list[str]) -> None:
    page = paper(260, 240, (80, 90, 60))
    page[200:212, 60:100] = 40
    steps = trace_page(page)

    sheet = drawn(steps)

    assert steps.unread
    assert "orange: could be writing, and is not part of the answer" in " ".join(told)
    assert "other_marks: something on the page was not read" in told
    assert (sheet == visualize.ORANGE).all(axis=2).any()


def test_a_blank_page_and_one_that_was_not_decoded_say_so(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    blank = trace_page(paper(100, 80), RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says(()))))
    broken = PageReader(Sorter(7)).trace(
        "tiff", DecodedPage(2, 300, 400, RejectedImage(Reason.TRUNCATED, "it ends early"))
    )

    for steps in (blank, broken):
        assert drawn(steps).shape[1] <= visualize.WIDTH

    assert "blank: the page is blank" in told
    assert any(line.startswith("reads nothing") for line in told)
    assert "truncated: it ends early" in told


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (28, 28), (2500, 1800)])
@pytest.mark.parametrize("text", [(), (4,), (1, 2, 3)], ids=str)
def test_pages_of_any_shape_are_drawn_no_wider_than_the_sheet(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], text: tuple[int, ...]
) -> None:
    height, width = shape
    picture = paper(height, width, (width // 3, height // 3, 1 + min(shape) // 4))

    sheet = drawn(trace_page(picture, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says(text)))))

    assert LEAST_PX < sheet.shape[1] <= visualize.WIDTH
    assert sheet.shape[0] > LEAST_PX
    assert np.median(sheet) > 200


@pytest.mark.slow
def test_a_page_full_of_digits_stays_within_bounds(told: list[str]) -> None:
    squares = [(20 + 60 * column, 20 + 60 * row, 34) for row in range(7) for column in range(9)]
    steps = trace_page(paper(460, 570, *squares))

    sheet = drawn(steps)

    assert len(steps.page.boxes) == 63
    assert sheet.shape[0] < 3000
    assert told.count("7  90.00%") == 63


def test_parts_are_laid_out_in_rows_without_touching() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (high, wide, 3)).astype(np.uint8) for high, wide in ((40, 700), (90, 300), (20, 400))]

    for sheet in (visualize.hstack(parts), visualize.vstack(parts)):
        assert all(shows(sheet, part) for part in parts)
    assert visualize.hstack(parts).shape[1] <= visualize.WIDTH
    assert shows(visualize.add_border(parts[0]), parts[0])


def test_words_are_broken_where_there_is_no_room() -> None:
    line = "a sentence that goes on for quite a while " * 4

    narrow, wide = visualize.text_block([line], width=300), visualize.text_block([line], width=1200)

    assert narrow.shape[1] < 340
    assert narrow.shape[0] > 2 * wide.shape[0]


def test_small_pictures_scale_up_by_integers_and_large_ones_down_to_fit() -> None:
    assert visualize.fit_into(np.zeros((28, 28), np.uint8), 224, 224).shape == (224, 224, 3)
    assert visualize.fit_into(np.zeros((100, 300), np.uint8), 376, 376).shape == (100, 300, 3)
    assert visualize.fit_into(np.zeros((1000, 3000, 3), np.uint8), 376, 376).shape == (125, 376, 3)
    assert visualize.fit_into(np.zeros((3, 2000), np.uint8), 376, 376).shape == (1, 376, 3)
