"""Tests of the drawn trace: each step of a page, the numbers, unread ink, and the answer with its reason."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.models.calibration import ACCEPT_NOTHING
from digitrec.recognition import canvas, visualize
from digitrec.recognition.decision import decide
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Reason, Thresholds
from tests.recognition.stand_ins import Learning, Says, Sorter, dark, ink_by, line_by, nothing, paper, unused

LEAST_PX = 200


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that receives every drawn line of text."""
    drawn_lines: list[str] = []
    put_text = canvas.put_text

    def noted(sheet: Picture, line: str, foot: tuple[int, int], **how: object) -> None:
        drawn_lines.append(line)
        put_text(sheet, line, foot, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(canvas, "put_text", noted)
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
    """Return True if a picture stands somewhere on the sheet, each pixel of it."""
    return bool(cv2.matchTemplate(sheet, canvas.to_rgb(part), cv2.TM_SQDIFF_NORMED).min() < 1e-5)


def pixels_of(sheet: Picture, color: canvas.Color) -> int:
    return int(np.count_nonzero((sheet == np.array(color)).all(axis=2)))


SINGLE = paper(260, 240, (80, 90, 60))
TWO_LINES = paper(300, 300, (40, 40, 40), (180, 40, 40), (40, 180, 40))


@pytest.mark.slow
def test_the_page_path_shows_page_gray_and_characters(lines: list[str]) -> None:
    color = np.stack([SINGLE, SINGLE * 0.9, SINGLE * 0.8], axis=2).astype(np.uint8)
    trace = trace_page(color)

    sheet = drawn(trace)

    assert sheet.dtype == np.uint8
    assert sheet.shape[1] <= canvas.WIDTH
    assert trace.page_path is not None
    assert shows(sheet, color)
    assert not shows(sheet, color[::-1])
    assert shows(sheet, np.rint(trace.page_path.ink.unpainted).astype(np.uint8))
    assert shows(sheet, np.kron(canvas.ink_to_image(trace.page.ink[0]), np.ones((8, 8), np.uint8)))
    assert {"the paper fills the picture", "no rules, frames or cells found", "green: characters, 1"} <= {*lines}
    assert {"Lines: 1, numbers: 1", "1.1", "1.1 reads 7"} <= {*lines}
    assert {"7  90.00 %", "none  1.00 %", "read by the page path"} <= {*lines}


def test_what_is_around_the_sheet_is_shaded(lines: list[str]) -> None:
    page = paper(260, 340, (180, 90, 60))
    page[:, :80] = 10
    trace = trace_page(page)

    sheet = drawn(trace)

    assert trace.page_path is not None
    assert trace.page_path.ink.margins is not None
    shade = tuple(round(0.4 * 10 + 0.6 * level) for level in canvas.PURPLE)
    assert pixels_of(sheet, (shade[0], shade[1], shade[2])) > 0.8 * 80 * 260
    assert "shaded: around the sheet, painted out" in lines


def test_rules_are_drawn_in_their_color(lines: list[str]) -> None:
    page = paper(260, 340, (150, 100, 60))
    page[200:203] = 60
    trace = trace_page(page)

    sheet = drawn(trace)

    assert trace.page_path is not None
    assert trace.page_path.ink.rules is not None
    assert pixels_of(sheet, canvas.PURPLE) >= 340
    assert "purple: rules, frames and cell grid, painted out" in lines


def test_ink_has_the_color_of_its_class(lines: list[str]) -> None:
    page = paper(300, 400, (80, 90, 60), (200, 90, 60))
    page[135:150, 158:173] = 30
    trace = trace_page(page)

    sheet = drawn(trace)

    assert trace.page_path is not None
    assert len(trace.page_path.classed.small) == 1
    assert {"green: characters, 2", "blue: small (points, dashes, specks), 1"} <= {*lines}
    assert pixels_of(sheet, canvas.BLUE) > 100
    assert pixels_of(sheet, canvas.GREEN) > 60 * 60


@pytest.mark.slow
def test_one_character_is_drawn_with_all_predictions(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    trace = trace_page(SINGLE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((3,)))))

    sheet = drawn(trace)

    assert trace.page_path is not None
    assert trace.page_path.zoomed is not None
    ink = canvas.ink_to_image(trace.page_path.zoomed.crop.ink)
    assert shows(sheet, np.kron(ink, np.ones((4, 4), np.uint8)))
    assert {prediction.source for prediction in trace.page_path.predictions} | {"average"} <= {*lines}
    assert "read by the page path" in lines


@pytest.mark.slow
def test_the_fast_path_is_drawn_with_its_thumbnail(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    trace = trace_page(
        SINGLE, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused)), Sorter(7, sure=0.995)
    )

    sheet = drawn(trace)

    assert trace.decoded is not None
    assert shows(sheet, np.kron(np.rint(trace.decoded.gray).astype(np.uint8), np.ones((5, 5), np.uint8)))
    assert {"Ink, by the segmenter", "7  99.50 %"} <= {*lines}
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
    assert trace.ensemble is not None
    assert sheet.shape[1] <= canvas.WIDTH
    assert pixels_of(sheet, canvas.BLUE) > 100  # the strip's frame
    assert {"sequence recognizer", "average"} <= {*lines}
    assert "blue: strip that the sequence recognizer read" in " ".join(lines)
    assert "read by the fast path: the whole page in 64 x 64, confirmed by the sequence recognizer" in lines


def test_a_zoomed_character_is_drawn_with_its_crop(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))
    trace = trace_page(SINGLE, networks, Learning(7, [0.5, 0.98]))

    sheet = drawn(trace)

    assert trace.took_fast_path
    assert pixels_of(sheet, canvas.ORANGE) > 100  # the window's frame
    assert {"Ink, by the segmenter", "Segmenter on the enlarged crop", "average"} <= {*lines}
    assert "with a zoom on its only character and the sequence recognizer" in " ".join(lines)


def test_a_number_is_drawn_with_its_strip_and_digits(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((3, 2, 1))))
    trace = trace_page(paper(80, 200, (20, 20, 40), (75, 20, 40), (130, 20, 40)), networks)

    sheet = drawn(trace)

    assert sheet.shape[1] <= canvas.WIDTH
    assert "sequence recognizer: 321, probability 0." in " ".join(lines)
    assert [line for line in lines if line in {"3", "2", "1"}]


@pytest.mark.parametrize(
    ("symbols", "text"), [((11, 3, 2, 1), "-321"), ((3, 15, 2, 10), "3/2?"), ((3, 13, 2, 16, 1), "3.2:1")]
)
def test_signs_of_the_recognizer_are_drawn_as_one_character_each(
    monkeypatch: pytest.MonkeyPatch, symbols: tuple[int, ...], text: str, lines: list[str]
) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says(symbols, symbols=17)))
    trace = trace_page(paper(80, 200, (20, 20, 40), (75, 20, 40), (130, 20, 40)), networks)

    drawn(trace)

    assert f"sequence recognizer: {text}, probability 0." in " ".join(lines)
    assert set(text) <= {*lines}


def test_each_number_is_drawn_with_line_column_and_confidence(lines: list[str]) -> None:
    trace = trace_page(TWO_LINES)

    drawn(trace, threshold=0.5)

    assert {"Lines: 2, numbers: 3", "1.1", "1.2", "2.1", "1.1 reads 7", "1.2 reads 7", "2.1 reads 7"} <= {*lines}
    assert lines.count("confidence 0.9000") == 3
    assert {"Answer of 3 numbers: accepted", "3 numbers are accepted"} <= {*lines}


def test_numbers_that_need_review_have_another_color(lines: list[str]) -> None:
    trace = trace_page(TWO_LINES)

    accepted, in_review = drawn(trace, threshold=0.5), drawn(trace, threshold=0.95)

    assert not pixels_of(accepted, canvas.BLUE)
    assert pixels_of(in_review, canvas.BLUE) > 3 * 40
    assert lines.count("review: low_confidence") == 3
    assert {"blue: needs review", "Answer of 3 numbers: review", "0 numbers are accepted"} <= {*lines}


def test_the_decision_is_drawn_with_its_reason(lines: list[str]) -> None:
    trace = trace_page(SINGLE)

    drawn(trace, threshold=0.5)
    drawn(trace, threshold=0.95)
    drawn(trace, threshold=ACCEPT_NOTHING)

    assert "Answer 7: accepted" in lines
    assert "confidence 0.9000, threshold 0.5000: high enough" in lines
    assert "Answer 7: review" in lines
    assert "confidence 0.9000, threshold 0.9500: too low" in lines
    assert "confidence 0.9000, not calibrated for this max_error" in lines
    assert "low_confidence: the confidence is too low to accept it without review" in lines


def test_unread_ink_is_outlined(lines: list[str]) -> None:
    page = paper(260, 240, (80, 90, 60))
    page[200:212, 60:100] = 40
    trace = trace_page(page)

    sheet = drawn(trace)

    assert trace.unread
    assert "orange: could be writing, and is not part of the answer" in " ".join(lines)
    assert "other_marks: something on the page was not read" in lines
    assert pixels_of(sheet, canvas.ORANGE)


def test_an_enlarged_picture_says_so(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))
    trace = trace_page(paper(16, 16, (4, 0, 12)), networks, Sorter(7, sure=0.995))

    drawn(trace)

    assert trace.enlarged is not None
    assert "Page 1 (png, 16 x 16 pixels)" in lines
    assert "padded by 4 pixels and enlarged 7 times" in lines
    assert "Answer 7: accepted" in lines


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_page_is_drawn_as_it_was_read(turns: int, lines: list[str]) -> None:
    trace = replace(trace_page(TWO_LINES[:240]), turns=turns)

    sheet = drawn(trace)

    assert shows(sheet, TWO_LINES[:240].astype(np.uint8))
    assert f"turned counter-clockwise by {90 * turns} degrees" in lines
    assert f"Page 1 (png, {'240 x 300' if turns % 2 else '300 x 240'} pixels)" in lines
    assert f"turned: {Reason.TURNED.description}" in lines


def test_blank_and_undecoded_pages_are_drawn_with_the_reason(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    blank = trace_page(paper(100, 80), RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says(()))))
    broken = PageReader(Sorter(7)).trace(
        "tiff", DecodedPage(2, 300, 400, RejectedImage(Reason.TRUNCATED, "it ends early"))
    )

    for trace in (blank, broken):
        assert drawn(trace).shape[1] <= canvas.WIDTH

    assert {"blank: the page is blank", "Lines: 0, numbers: 0", "truncated: it ends early"} <= {*lines}


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (28, 28), (2500, 1800)])
@pytest.mark.parametrize("text", [(), (4,), (1, 2, 3)], ids=str)
def test_pages_of_any_shape_are_drawn_no_wider_than_the_sheet(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], text: tuple[int, ...]
) -> None:
    height, width = shape
    picture = paper(height, width, (width // 3, height // 3, 1 + min(shape) // 4))

    sheet = drawn(trace_page(picture, RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says(text)))))

    assert LEAST_PX < sheet.shape[1] <= canvas.WIDTH
    assert sheet.shape[0] > LEAST_PX
    assert np.median(sheet) > 200


@pytest.mark.slow
def test_a_page_full_of_numbers_has_a_short_strip_for_each(lines: list[str]) -> None:
    squares = [(20 + 100 * column, 20 + 60 * row, 30) for row in range(7) for column in range(9)]
    trace = trace_page(paper(460, 940, *squares))

    sheet = drawn(trace)

    assert len(trace.page.numbers) == 63
    assert sheet.shape[0] < 4000
    assert {"1.1 reads 7", "7.9 reads 7", "Answer of 63 numbers: accepted"} <= {*lines}
    assert "7  90.00 %" not in lines
