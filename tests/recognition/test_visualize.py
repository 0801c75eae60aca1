"""The drawn trace show what was there: the page, the ink, each sign, and the answer with its reason."""

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
from digitrec.types import Reason, Thresholds
from tests.recognition.stand_ins import Learning, Says, Sorter, dark, ink_by, line_by, nothing, paper, unused

LEAST_PX = 200


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line that is written."""
    drawn_lines: list[str] = []
    write = visualize.put_text

    def noted(sheet: Picture, line: str, foot: tuple[int, int], **how: object) -> None:
        drawn_lines.append(line)
        write(sheet, line, foot, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(visualize, "put_text", noted)
    return drawn_lines


def trace_page(
    picture: np.ndarray, networks: RecognitionModels | None = None, sorter: Sorter | Learning | None = None
) -> RecognitionTrace:
    height, width = picture.shape[:2]
    return PageReader(sorter or Sorter(7), networks).trace(
        "png", DecodedPage(1, width, height, np.asarray(picture, np.uint8))
    )


def drawn(trace: RecognitionTrace, threshold: float = 0.5) -> Picture:
    return visualize.draw_trace(trace, decide(trace.page, Thresholds(threshold, threshold)), threshold)


def shows(sheet: Picture, part: Picture) -> bool:
    """True if a picture is to be seen somewhere on the sheet, each pixel of it."""
    return bool(cv2.matchTemplate(sheet, visualize.to_rgb(part), cv2.TM_SQDIFF_NORMED).min() < 1e-5)


SINGLE = paper(260, 240, (80, 90, 60))
ROW = paper(80, 300, (20, 20, 40), (130, 20, 40), (240, 20, 40))


@pytest.mark.slow
def test_the_explanation_of_a_classical_page_shows_grey_ink_and_component(lines: list[str]) -> None:
    colour = np.stack([SINGLE, SINGLE * 0.9, SINGLE * 0.8], axis=2).astype(np.uint8)
    trace = trace_page(colour)

    sheet = drawn(trace)

    assert sheet.dtype == np.uint8
    assert sheet.shape[1] <= visualize.WIDTH
    assert trace.decoded is not None
    assert shows(sheet, colour)
    assert not shows(sheet, colour[::-1])
    assert shows(sheet, np.rint(trace.decoded.gray).astype(np.uint8))
    assert shows(sheet, np.kron(visualize.ink_to_image(trace.page.ink[0]), np.ones((8, 8), np.uint8)))
    assert "Ink, classical segmentation: 1 box" in lines
    assert "7  90.00%" in lines
    assert "none  1.00%" in lines
    assert "read by classical segmentation only" in lines


@pytest.mark.slow
def test_one_character_is_drawn_with_all_predictions(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    trace = trace_page(SINGLE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((3,)))))

    sheet = drawn(trace)

    assert trace.full_path is not None
    assert trace.full_path.crop is not None
    assert shows(sheet, np.kron(visualize.ink_to_image(trace.full_path.crop.ink), np.ones((4, 4), np.uint8)))
    assert {
        *("sequence recognizer", "classifier on the classical crop", "classifier on the segmenter's crop"),
        *("sequence recognizer, zoomed", "average"),
    } <= {*lines}
    assert any(line.startswith("reads 3, probability 0.") for line in lines)
    assert "read by the full path" in lines


@pytest.mark.slow
def test_the_fast_path_is_drawn_with_its_thumbnail(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    trace = trace_page(
        SINGLE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused)), Sorter(7, sure=0.995)
    )

    sheet = drawn(trace)

    assert trace.decoded is not None
    assert shows(sheet, np.kron(np.rint(trace.decoded.gray).astype(np.uint8), np.ones((5, 5), np.uint8)))
    assert "Ink, fast path: 1 box" in lines
    assert "7  99.50%" in lines
    assert "read by the fast path: the whole page in 64 x 64" in lines


def test_a_confirmed_fast_path_is_drawn_with_both_predictions(
    monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    line = Says((7,), sure=0.9999)
    trace = trace_page(
        SINGLE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line)), Sorter(7, sure=0.98)
    )

    sheet = drawn(trace)

    assert trace.took_fast_path
    assert trace.full_path is not None
    assert sheet.shape[1] <= visualize.WIDTH
    assert "Sequence recognizer" not in lines
    assert (sheet == np.array(visualize.BLUE)).all(axis=2).sum() > 100  # the strip's frame, beside the words
    assert {"sequence recognizer", "average"} <= {*lines}
    assert any(line.startswith("blue: line crops") for line in lines)
    assert "read by the fast path: the whole page in 64 x 64, confirmed by the sequence recognizer" in lines


def test_a_zoomed_character_is_drawn_with_its_crop(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))
    trace = trace_page(SINGLE, networks, Learning(7, [0.5, 0.98]))

    sheet = drawn(trace)

    assert trace.took_fast_path
    assert (sheet == np.array(visualize.ORANGE)).all(axis=2).sum() > 100  # the window's frame
    assert {"Ink, fast path: 1 box", "Segmenter on the zoomed crop", "average"} <= {*lines}
    assert "with a zoom on its only character and the sequence recognizer" in " ".join(lines)


def test_a_number_is_drawn_with_its_line_crop_and_digits(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    trace = trace_page(ROW, RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((10, 3, 2)))))

    sheet = drawn(trace)

    assert sheet.shape[1] <= visualize.WIDTH
    assert any(line.startswith("reads ?32, probability 0.") for line in lines)
    assert "? is a non-digit" in lines
    assert "not_a_digit: this does not look like a digit" in lines


def test_the_decision_is_drawn_with_its_reason(lines: list[str]) -> None:
    trace = trace_page(SINGLE)

    drawn(trace, threshold=0.5)
    drawn(trace, threshold=0.95)

    assert "Answer 7: accepted" in lines
    assert "confidence 0.9000, threshold 0.5000: high enough" in lines
    assert "Answer 7: review" in lines
    assert "confidence 0.9000, threshold 0.9500: too low" in lines
    assert "low_confidence: the confidence is too low to accept it without review" in lines


def test_unread_ink_is_outlined(lines: list[str]) -> None:
    page = paper(260, 240, (80, 90, 60))
    page[200:212, 60:100] = 40
    trace = trace_page(page)

    sheet = drawn(trace)

    assert trace.unread
    assert "orange: could be writing, and is not part of the answer" in " ".join(lines)
    assert "other_marks: something on the page was not read" in lines
    assert (sheet == visualize.ORANGE).all(axis=2).any()


def test_blank_and_undecoded_pages_are_drawn_with_the_reason(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    blank = trace_page(paper(100, 80), RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says(()))))
    broken = PageReader(Sorter(7)).trace(
        "tiff", DecodedPage(2, 300, 400, RejectedImage(Reason.TRUNCATED, "it ends early"))
    )

    for trace in (blank, broken):
        assert drawn(trace).shape[1] <= visualize.WIDTH

    assert "blank: the page is blank" in lines
    assert any(line.startswith("reads nothing") for line in lines)
    assert "truncated: it ends early" in lines


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
def test_a_page_full_of_digits_stays_within_bounds(lines: list[str]) -> None:
    squares = [(20 + 60 * column, 20 + 60 * row, 34) for row in range(7) for column in range(9)]
    trace = trace_page(paper(460, 570, *squares))

    sheet = drawn(trace)

    assert len(trace.page.boxes) == 63
    assert sheet.shape[0] < 3000
    assert lines.count("7  90.00%") == 63


def test_parts_are_laid_out_in_rows_without_touching() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (high, wide, 3)).astype(np.uint8) for high, wide in ((40, 700), (90, 300), (20, 400))]

    for sheet in (visualize.hstack(parts), visualize.vstack(parts)):
        assert all(shows(sheet, part) for part in parts)
    assert visualize.hstack(parts).shape[1] <= visualize.WIDTH
    assert shows(visualize.add_border(parts[0]), parts[0])


def test_text_is_wrapped_at_the_width() -> None:
    line = "a sentence that goes on for quite a while " * 4

    narrow, wide = visualize.text_block([line], width=300), visualize.text_block([line], width=1200)

    assert narrow.shape[1] < 340
    assert narrow.shape[0] > 2 * wide.shape[0]


def test_small_pictures_scale_up_by_integers_and_large_ones_down_to_fit() -> None:
    assert visualize.fit_into(np.zeros((28, 28), np.uint8), 224, 224).shape == (224, 224, 3)
    assert visualize.fit_into(np.zeros((100, 300), np.uint8), 376, 376).shape == (100, 300, 3)
    assert visualize.fit_into(np.zeros((1000, 3000, 3), np.uint8), 376, 376).shape == (125, 376, 3)
    assert visualize.fit_into(np.zeros((3, 2000), np.uint8), 376, 376).shape == (1, 376, 3)
