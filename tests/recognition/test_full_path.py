"""Full path: an ensemble for one character, the sequence recognizer for several."""

from collections.abc import Callable

import numpy as np
import pytest

from digitrec.arrays import PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import CLASSES, NO_DIGIT
from digitrec.recognition.decision import decide
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.geometry import Rect
from digitrec.recognition.reader import PageReader
from digitrec.recognition.sequence_recognizer import FRAME_PX
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Box, PageStatus, Reason, Thresholds
from tests.recognition import stand_ins
from tests.recognition.stand_ins import BLANK, Entry, Says, Sorter, dark, ink_by, line_by, paper, unused


def read(
    monkeypatch: pytest.MonkeyPatch,
    picture: Picture | np.ndarray,
    *,
    says: Callable[[Entry], Entry] | None = None,
    sees: object = dark,
    sorter: Sorter | None = None,
) -> RecognitionTrace:
    """Read a picture with fake models: dark pixels are ink, the text is given."""
    models = RecognitionModels(ink_by(monkeypatch, sees), line_by(monkeypatch, says or Says((3,))))  # type: ignore[arg-type]
    height, width = picture.shape[:2]
    return PageReader(sorter or Sorter(7), models).read_full(
        "png", DecodedPage(1, width, height, np.asarray(picture, np.uint8))
    )


def assert_is_valid(page: PageResult) -> None:
    """Check the invariants of a page's digits."""
    assert page.scores.shape == (len(page.boxes), CLASSES)
    assert page.ink.shape == (len(page.boxes), 28, 28)
    assert page.scores.dtype == page.ink.dtype == np.float32
    np.testing.assert_allclose(page.scores.sum(axis=1), 1, atol=1e-5)
    assert 0 <= page.layout_confidence <= 1
    is_rejected = page.reason is not None and page.reason.is_rejection
    assert bool(page.boxes) != is_rejected or (not page.boxes and page.reason is Reason.OTHER_MARKS)
    for box in page.boxes:
        assert min(box.width, box.height) >= 1
        assert 0 <= box.x <= page.width - box.width
        assert 0 <= box.y <= page.height - box.height
    decide(page, Thresholds(0.5, 0.5))


SINGLE = paper(120, 100, (30, 40, 44))
ROW = paper(80, 300, (20, 20, 40), (130, 20, 40), (240, 20, 40))
ROWS = paper(200, 140, (20, 20, 40), (80, 20, 40), (20, 130, 40))


def test_scores_of_one_character_are_the_average_of_all_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = read(monkeypatch, SINGLE, says=Says((3,)), sorter=Sorter(7, sure=0.9))

    assert trace.full_path is not None
    predictions = trace.full_path.predictions
    # Two predictions of the sequence recognizer (classical and zoomed line crop), two of the classifier.
    assert sorted(int(prediction.scores.argmax()) for prediction in predictions) == [3, 3, 7, 7]
    assert [isinstance(prediction.evidence, Rect) for prediction in predictions] == [True, False, False, True]
    np.testing.assert_allclose(
        trace.page.scores[0], np.mean([prediction.scores for prediction in predictions], axis=0), atol=1e-6
    )
    assert trace.page.reason is None
    assert_is_valid(trace.page)


def test_two_confident_predictions_end_the_full_path(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = read(monkeypatch, SINGLE, says=Says((7,), sure=0.9999), sees=unused, sorter=Sorter(7, sure=0.98))

    assert trace.full_path is not None
    assert [prediction.source for prediction in trace.full_path.predictions] == [
        "sequence recognizer",
        "classifier on the classical crop",
    ]
    assert trace.full_path.crop is None
    np.testing.assert_allclose(
        trace.page.scores[0],
        np.mean([prediction.scores for prediction in trace.full_path.predictions], axis=0),
        atol=1e-6,
    )
    assert trace.page.boxes == trace.initial.boxes
    assert_is_valid(trace.page)


@pytest.mark.parametrize(
    ("picture", "says", "sure"),
    [
        (SINGLE, Says((7,), sure=0.9999), 0.95),
        (SINGLE, Says((7,), sure=0.99), 0.98),
        (SINGLE, Says((3,), sure=0.9999), 0.98),
        (paper(120, 100, (16, 40, 34), (50, 40, 34)), Says((7,), sure=0.9999), 0.98),
        (paper(120, 100, (30, 40, 44), (34, 86, 16)), Says((7,), sure=0.9999), 0.98),
        (paper(120, 100, (30, 40, 44), (86, 100, 12)), Says((7,), sure=0.9999), 0.98),
    ],
    ids=["cut-in-doubt", "line-in-doubt", "another-digit", "too-wide-for-one", "in-two-pieces", "something-beside"],
)
def test_without_confidence_the_zoom_is_run(
    monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, says: Says, sure: float
) -> None:
    asked = []

    def sees(entry: Entry) -> Entry:
        asked.append(entry)
        return dark(entry)

    read(monkeypatch, picture, says=says, sees=sees, sorter=Sorter(7, sure=sure))

    assert asked


def test_the_box_of_one_character_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    (box,) = read(monkeypatch, SINGLE).page.boxes

    assert (box.x, box.y, box.width, box.height) == pytest.approx((30, 40, 44, 44), abs=5)


def test_a_zoom_without_ink_gives_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = read(monkeypatch, SINGLE, sees=stand_ins.nothing)

    assert trace.full_path is not None
    assert trace.full_path.crop is None
    assert [int(prediction.scores.argmax()) for prediction in trace.full_path.predictions] == [3, 7]
    assert_is_valid(trace.page)


def test_a_character_that_most_models_reject_is_not_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, SINGLE, says=Says((NO_DIGIT,)), sorter=Sorter(7, sure=0.6)).page

    assert page.scores[0].argmax() == NO_DIGIT
    assert decide(page, Thresholds(0.01, 0.01)).reason is Reason.NOT_A_DIGIT


def test_strokes_split_in_two_are_merged_if_the_line_network_reads_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = paper(100, 120, (20, 30, 36), (70, 30, 36))

    trace = read(monkeypatch, picture, says=Says((4,)), sees=stand_ins.nothing)

    assert len(trace.initial.boxes) == 2
    (box,) = trace.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((20, 30, 86, 36), abs=3)
    assert trace.page.scores[0].argmax() == 4
    assert trace.page.ink.any()
    assert_is_valid(trace.page)


def single_or_double(p_middle: float) -> Callable[[Entry], Entry]:
    """Fake sequence recognizer: a 1 over three steps, or two of them if the middle step is blank."""

    def run(entry: Entry) -> Entry:
        frames = stand_ins.frames_of(*[BLANK] * (entry.shape[2] // FRAME_PX), sure=0.999)
        frames[2:5] = stand_ins.frames_of(1, 1, 1, sure=0.999)
        frames[3, [1, BLANK]] = p_middle, 1 - p_middle - 0.001
        return frames[None, None]

    return run


@pytest.mark.parametrize(("p_middle", "text"), [(0.3, "1"), (0.02, "11")])
def test_two_characters_of_the_line_network_merge_if_segmentation_saw_one(
    monkeypatch: pytest.MonkeyPatch, p_middle: float, text: str
) -> None:
    trace = read(
        monkeypatch, SINGLE, says=single_or_double(p_middle), sees=stand_ins.nothing, sorter=Sorter(7, sure=0.985)
    )

    assert trace.full_path is not None
    assert trace.full_path.lines[0].line.text == (1, 1)
    assert decide(trace.page, Thresholds(0.9, 0.9)).text == text
    assert trace.page.layout_confidence < 0.99
    assert_is_valid(trace.page)


def test_doubt_about_the_digit_count_remains_with_confident_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = read(monkeypatch, SINGLE, says=single_or_double(0.3), sees=stand_ins.nothing, sorter=Sorter(1, sure=0.989))

    assert trace.page.scores[0, 1] > 0.98
    assert trace.page.layout_confidence < 0.99


@pytest.mark.parametrize("shape", [(40, 30), (1, 1), (3, 2000), (2000, 3), (700, 900)])
def test_a_blank_page_stays_blank(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    page = read(monkeypatch, paper(*shape), says=Says(()))

    assert page.page.reason is Reason.BLANK
    assert_is_valid(page.page)


def test_ink_that_no_network_confirms_is_reviewed_not_called_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, SINGLE, says=Says(()), sees=stand_ins.nothing, sorter=Sorter(7, sure=0.6)).page

    reading = decide(page, Thresholds(0.9, 0.9))

    assert reading.status is PageStatus.REVIEW
    assert reading.text == "7"


def test_a_number_has_a_box_for_each_digit_in_reading_order(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = read(monkeypatch, ROW, says=Says((3, 9, 2)), sees=unused)

    assert decide(trace.page, Thresholds(0.01, 0.01)).text == "392"
    assert [box.x for box in trace.page.boxes] == sorted(box.x for box in trace.page.boxes)
    assert [(box.x, box.width) for box in trace.page.boxes] == [
        (pytest.approx(x, abs=3), pytest.approx(40, abs=5)) for x in (20, 130, 240)
    ]
    assert_is_valid(trace.page)


def test_touching_digits_are_separated_by_the_sequence_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = paper(80, 300, (40, 20, 40), (80, 20, 40), (120, 20, 40), (160, 20, 40))

    page = read(monkeypatch, picture, says=Says((1, 2, 3, 4)), sees=unused).page

    assert decide(page, Thresholds(0.01, 0.01)).text == "1234"
    middles = [box.x + box.width / 2 for box in page.boxes]
    assert middles == sorted(middles)
    assert all(0 < middle < 300 for middle in middles)
    assert_is_valid(page)


def test_equal_digit_counts_of_segmentation_raise_the_confidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted_alike = read(monkeypatch, ROW, says=Says((7, 7, 7), sure=0.8), sees=unused, sorter=Sorter(7)).page
    counted_otherwise = read(monkeypatch, ROW, says=Says((7, 7), sure=0.8), sees=unused, sorter=Sorter(7)).page

    assert counted_alike.layout_confidence > 0.7
    assert counted_alike.layout_confidence > counted_otherwise.layout_confidence + 0.3
    assert_is_valid(counted_alike)
    assert_is_valid(counted_otherwise)


def test_rows_are_read_separately_from_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    class InTurn(Says):
        def __call__(self, entry: Entry) -> Entry:
            self.signs = ((1, 2), (3,))[len(self.lines)]
            return super().__call__(entry)

    trace = read(monkeypatch, ROWS, says=InTurn((), sure=0.9999), sees=unused, sorter=Sorter(5, sure=0.5))

    assert trace.full_path is not None
    assert [strip.line.text for strip in trace.full_path.lines] == [(1, 2), (3,)]
    assert decide(trace.page, Thresholds(0.01, 0.01)).text == "123"
    assert [box.y > 100 for box in trace.page.boxes] == [False, False, True]
    assert_is_valid(trace.page)


def test_an_unconfident_number_is_read_sheared_and_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    in_doubt, plain = Says((3, 9, 2), sure=0.98), Says((3, 9, 2), sure=0.9999)

    assert decide(read(monkeypatch, ROW, says=in_doubt, sees=unused).page, Thresholds(0.01, 0.01)).text == "392"
    assert decide(read(monkeypatch, ROW, says=plain, sees=unused).page, Thresholds(0.01, 0.01)).text == "392"

    assert len(in_doubt.lines) == 4
    assert len(plain.lines) == 1


def test_a_non_digit_at_the_edge_of_a_number_is_dropped_and_reviewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = read(monkeypatch, ROW, says=Says((NO_DIGIT, 3, 2)), sees=unused, sorter=Sorter(5, sure=0.3)).page

    reading = decide(page, Thresholds(0.01, 0.01))

    assert (reading.text, reading.status, reading.reason) == ("32", PageStatus.REVIEW, Reason.NOT_A_DIGIT)
    assert_is_valid(page)


def test_a_non_digit_between_digits_is_guessed_as_a_digit_and_reviewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = read(monkeypatch, ROW, says=Says((3, NO_DIGIT, 2)), sees=unused, sorter=Sorter(5, sure=0.3)).page

    reading = decide(page, Thresholds(0.01, 0.01))

    assert len(reading.text) == 3
    assert (reading.text[0], reading.text[2], reading.status) == ("3", "2", PageStatus.REVIEW)
    assert_is_valid(page)


def test_a_line_of_non_digits_is_not_a_digit_and_not_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, ROW, says=Says((NO_DIGIT, NO_DIGIT, NO_DIGIT)), sees=unused).page

    assert len(page.boxes) == 1
    assert page.reason is Reason.NOT_A_DIGIT
    assert_is_valid(page)


def test_doubt_about_an_empty_row_lowers_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    class EmptyBelow(Says):
        def __call__(self, entry: Entry) -> Entry:
            self.signs = (1, 2) if not self.lines else ()
            self.sure = 0.999 if not self.lines else 0.9  # of every step
            return super().__call__(entry)

    trace = read(monkeypatch, ROWS, says=EmptyBelow(()), sees=unused)

    assert trace.full_path is not None
    above, below = trace.full_path.lines
    assert (above.line.text, below.line.text) == ((1, 2), ())
    assert len(trace.page.boxes) == 2
    assert trace.page.layout_confidence <= below.line.probability < 0.7
    assert_is_valid(trace.page)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (2, 2), (28, 28), (5, 300)])
@pytest.mark.parametrize("text", [(), (4,), (1, 2, 3), (NO_DIGIT, 4)], ids=str)
@pytest.mark.parametrize("sees", [dark, stand_ins.nothing, stand_ins.beyond])
def test_a_page_of_any_shape_is_read_with_any_output_of_the_models(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], text: tuple[int, ...], sees: object
) -> None:
    rng = np.random.default_rng(1)
    for picture in (paper(*shape), rng.integers(0, 256, shape), paper(*shape, (shape[1] // 2, 0, 1 + min(shape) // 3))):
        assert_is_valid(read(monkeypatch, picture, says=Says(text), sees=sees).page)


def test_a_confident_classical_result_skips_the_full_path(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))
    sheet = DecodedPage(1, 100, 120, SINGLE.astype(np.uint8))

    trace = PageReader(Sorter(7, sure=0.999), models).read_full("png", sheet)

    assert trace.full_path is None
    assert trace.page is trace.initial


def test_boxes_are_in_page_pixels_even_if_the_page_was_downscaled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = np.kron(ROW, np.ones((10, 10))).astype(np.uint8)

    page = read(monkeypatch, large, says=Says((3, 9, 2)), sees=unused).page

    assert [box.x for box in page.boxes] == [pytest.approx(x, abs=30) for x in (200, 1300, 2400)]
    assert Box(0, 0, 3000, 800) not in page.boxes
    assert_is_valid(page)
