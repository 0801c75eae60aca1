"""What networks add where the cheap way is not sure: witnesses for one sign, the line network for several."""

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
from digitrec.types import Box, PageStatus, Reason
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
    """A picture, read with stand-ins that see what is dark and say what they are told to."""
    networks = RecognitionModels(ink_by(monkeypatch, sees), line_by(monkeypatch, says or Says((3,))))  # type: ignore[arg-type]
    height, width = picture.shape[:2]
    return PageReader(sorter or Sorter(7), networks).read_full(
        "png", DecodedPage(1, width, height, np.asarray(picture, np.uint8))
    )


def assert_is_whole(page: PageResult) -> None:
    """Everything a page promises about its digits."""
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
    decide(page, 0.5)


ONE = paper(120, 100, (30, 40, 44))
ROW = paper(80, 300, (20, 20, 40), (130, 20, 40), (240, 20, 40))
ROWS = paper(200, 140, (20, 20, 40), (80, 20, 40), (20, 130, 40))


def test_one_sign_is_the_mean_of_what_its_witnesses_say(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read(monkeypatch, ONE, says=Says((3,)), sorter=Sorter(7, sure=0.9))

    assert steps.full_path is not None
    witnesses = steps.full_path.predictions
    # Twice the line network (the strip of the classical way, the one of the ink network), twice the classifier.
    assert sorted(int(one.scores.argmax()) for one in witnesses) == [3, 3, 7, 7]
    assert [isinstance(one.evidence, Rect) for one in witnesses] == [True, False, False, True]
    np.testing.assert_allclose(steps.page.scores[0], np.mean([one.scores for one in witnesses], axis=0), atol=1e-6)
    assert steps.page.reason is None
    assert_is_whole(steps.page)


def test_what_the_first_two_witnesses_agree_on_needs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read(monkeypatch, ONE, says=Says((7,), sure=0.9999), sees=unused, sorter=Sorter(7, sure=0.98))

    assert steps.full_path is not None
    assert [prediction.source for prediction in steps.full_path.predictions] == [
        "sequence recognizer",
        "classifier on the classical crop",
    ]
    assert steps.full_path.crop is None
    np.testing.assert_allclose(
        steps.page.scores[0], np.mean([one.scores for one in steps.full_path.predictions], axis=0), atol=1e-6
    )
    assert steps.page.boxes == steps.initial.boxes
    assert_is_whole(steps.page)


@pytest.mark.parametrize(
    ("picture", "says", "sure"),
    [
        (ONE, Says((7,), sure=0.9999), 0.95),
        (ONE, Says((7,), sure=0.99), 0.98),
        (ONE, Says((3,), sure=0.9999), 0.98),
        (paper(120, 100, (16, 40, 34), (50, 40, 34)), Says((7,), sure=0.9999), 0.98),
        (paper(120, 100, (30, 40, 44), (34, 86, 16)), Says((7,), sure=0.9999), 0.98),
        (paper(120, 100, (30, 40, 44), (86, 100, 12)), Says((7,), sure=0.9999), 0.98),
    ],
    ids=["cut-in-doubt", "line-in-doubt", "another-digit", "too-wide-for-one", "in-two-pieces", "something-beside"],
)
def test_where_the_first_two_are_not_sure_the_ink_network_is_asked(
    monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, says: Says, sure: float
) -> None:
    asked = []

    def sees(entry: Entry) -> Entry:
        asked.append(entry)
        return dark(entry)

    read(monkeypatch, picture, says=says, sees=sees, sorter=Sorter(7, sure=sure))

    assert asked


def test_the_box_of_one_sign_is_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (box,) = read(monkeypatch, ONE).page.boxes

    assert (box.x, box.y, box.width, box.height) == pytest.approx((30, 40, 44, 44), abs=5)


def test_a_witness_that_sees_nothing_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read(monkeypatch, ONE, sees=stand_ins.nothing)

    assert steps.full_path is not None
    assert steps.full_path.crop is None
    assert [int(one.scores.argmax()) for one in steps.full_path.predictions] == [3, 7]
    assert_is_whole(steps.page)


def test_a_sign_that_most_witnesses_take_for_none_is_not_a_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, ONE, says=Says((NO_DIGIT,)), sorter=Sorter(7, sure=0.6)).page

    assert page.scores[0].argmax() == NO_DIGIT
    assert decide(page, 0.01).reason is Reason.NOT_A_DIGIT


def test_strokes_split_in_two_are_merged_if_the_line_network_reads_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = paper(100, 120, (20, 30, 36), (70, 30, 36))

    steps = read(monkeypatch, picture, says=Says((4,)), sees=stand_ins.nothing)

    assert len(steps.initial.boxes) == 2
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((20, 30, 86, 36), abs=3)
    assert steps.page.scores[0].argmax() == 4
    assert steps.page.ink.any()
    assert_is_whole(steps.page)


def one_or_two(one: float) -> Callable[[Entry], Entry]:
    """A line network that sees a 1 at three steps, or, unless the middle one counts, two of them."""

    def run(entry: Entry) -> Entry:
        frames = stand_ins.frames_of(*[BLANK] * (entry.shape[2] // FRAME_PX), sure=0.999)
        frames[2:5] = stand_ins.frames_of(1, 1, 1, sure=0.999)
        frames[3, [1, BLANK]] = one, 1 - one - 0.001
        return frames[None, None]

    return run


@pytest.mark.parametrize(("one", "text"), [(0.3, "1"), (0.02, "11")])
def test_two_characters_of_the_line_network_merge_if_segmentation_saw_one(
    monkeypatch: pytest.MonkeyPatch, one: float, text: str
) -> None:
    steps = read(monkeypatch, ONE, says=one_or_two(one), sees=stand_ins.nothing, sorter=Sorter(7, sure=0.985))

    assert steps.full_path is not None
    assert steps.full_path.lines[0].line.text == (1, 1)
    assert decide(steps.page, 0.9).text == text
    assert steps.page.layout_confidence < 0.99
    assert_is_whole(steps.page)


def test_doubt_about_the_digit_count_remains_with_confident_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read(monkeypatch, ONE, says=one_or_two(0.3), sees=stand_ins.nothing, sorter=Sorter(1, sure=0.989))

    assert steps.page.scores[0, 1] > 0.98
    assert steps.page.layout_confidence < 0.99


@pytest.mark.parametrize("shape", [(40, 30), (1, 1), (3, 2000), (2000, 3), (700, 900)])
def test_a_blank_page_stays_blank(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    page = read(monkeypatch, paper(*shape), says=Says(()))

    assert page.page.reason is Reason.BLANK
    assert_is_whole(page.page)


def test_ink_that_no_network_confirms_is_reviewed_not_called_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, ONE, says=Says(()), sees=stand_ins.nothing, sorter=Sorter(7, sure=0.6)).page

    reading = decide(page, 0.9)

    assert reading.status is PageStatus.REVIEW
    assert reading.text == "7"


def test_a_number_has_a_box_for_each_digit_in_reading_order(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = read(monkeypatch, ROW, says=Says((3, 9, 2)), sees=unused)

    assert decide(steps.page, 0.01).text == "392"
    assert [box.x for box in steps.page.boxes] == sorted(box.x for box in steps.page.boxes)
    assert [(box.x, box.width) for box in steps.page.boxes] == [
        (pytest.approx(x, abs=3), pytest.approx(40, abs=5)) for x in (20, 130, 240)
    ]
    assert_is_whole(steps.page)


def test_digits_that_touch_are_told_apart_by_the_line_network(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = paper(80, 300, (40, 20, 40), (80, 20, 40), (120, 20, 40), (160, 20, 40))

    page = read(monkeypatch, picture, says=Says((1, 2, 3, 4)), sees=unused).page

    assert decide(page, 0.01).text == "1234"
    middles = [box.x + box.width / 2 for box in page.boxes]
    assert middles == sorted(middles)
    assert all(0 < middle < 300 for middle in middles)
    assert_is_whole(page)


def test_equal_digit_counts_of_segmentation_raise_the_confidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted_alike = read(monkeypatch, ROW, says=Says((7, 7, 7), sure=0.8), sees=unused, sorter=Sorter(7)).page
    counted_otherwise = read(monkeypatch, ROW, says=Says((7, 7), sure=0.8), sees=unused, sorter=Sorter(7)).page

    assert counted_alike.layout_confidence > 0.7
    assert counted_alike.layout_confidence > counted_otherwise.layout_confidence + 0.3
    assert_is_whole(counted_alike)
    assert_is_whole(counted_otherwise)


def test_rows_are_read_from_the_top_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class InTurn(Says):
        def __call__(self, entry: Entry) -> Entry:
            self.signs = ((1, 2), (3,))[len(self.lines)]
            return super().__call__(entry)

    steps = read(monkeypatch, ROWS, says=InTurn((), sure=0.9999), sees=unused, sorter=Sorter(5, sure=0.5))

    assert steps.full_path is not None
    assert [strip.line.text for strip in steps.full_path.lines] == [(1, 2), (3,)]
    assert decide(steps.page, 0.01).text == "123"
    assert [box.y > 100 for box in steps.page.boxes] == [False, False, True]
    assert_is_whole(steps.page)


def test_a_number_in_doubt_is_looked_at_slanted_to_either_side_and_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    in_doubt, plain = Says((3, 9, 2), sure=0.98), Says((3, 9, 2), sure=0.9999)

    assert decide(read(monkeypatch, ROW, says=in_doubt, sees=unused).page, 0.01).text == "392"
    assert decide(read(monkeypatch, ROW, says=plain, sees=unused).page, 0.01).text == "392"

    assert len(in_doubt.lines) == 4
    assert len(plain.lines) == 1


def test_a_non_digit_at_the_edge_of_a_number_is_dropped_and_reviewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = read(monkeypatch, ROW, says=Says((NO_DIGIT, 3, 2)), sees=unused, sorter=Sorter(5, sure=0.3)).page

    reading = decide(page, 0.01)

    assert (reading.text, reading.status, reading.reason) == ("32", PageStatus.REVIEW, Reason.NOT_A_DIGIT)
    assert_is_whole(page)


def test_a_non_digit_between_digits_is_guessed_as_a_digit_and_reviewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = read(monkeypatch, ROW, says=Says((3, NO_DIGIT, 2)), sees=unused, sorter=Sorter(5, sure=0.3)).page

    reading = decide(page, 0.01)

    assert len(reading.text) == 3
    assert (reading.text[0], reading.text[2], reading.status) == ("3", "2", PageStatus.REVIEW)
    assert_is_whole(page)


def test_a_line_of_nothing_but_other_signs_is_not_a_digit_and_not_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(monkeypatch, ROW, says=Says((NO_DIGIT, NO_DIGIT, NO_DIGIT)), sees=unused).page

    assert len(page.boxes) == 1
    assert page.reason is Reason.NOT_A_DIGIT
    assert_is_whole(page)


def test_the_doubt_whether_a_row_is_empty_is_doubt_about_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class EmptyBelow(Says):
        def __call__(self, entry: Entry) -> Entry:
            self.signs = (1, 2) if not self.lines else ()
            self.sure = 0.999 if not self.lines else 0.9  # of every step
            return super().__call__(entry)

    steps = read(monkeypatch, ROWS, says=EmptyBelow(()), sees=unused)

    assert steps.full_path is not None
    above, below = steps.full_path.lines
    assert (above.line.text, below.line.text) == ((1, 2), ())
    assert len(steps.page.boxes) == 2
    assert steps.page.layout_confidence <= below.line.probability < 0.7
    assert_is_whole(steps.page)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3), (2, 2), (28, 28), (5, 300)])
@pytest.mark.parametrize("text", [(), (4,), (1, 2, 3), (NO_DIGIT, 4)], ids=str)
@pytest.mark.parametrize("sees", [dark, stand_ins.nothing, stand_ins.beyond])
def test_a_page_of_any_shape_is_read_whatever_the_networks_say(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], text: tuple[int, ...], sees: object
) -> None:
    rng = np.random.default_rng(1)
    for picture in (paper(*shape), rng.integers(0, 256, shape), paper(*shape, (shape[1] // 2, 0, 1 + min(shape) // 3))):
        assert_is_whole(read(monkeypatch, picture, says=Says(text), sees=sees).page)


def test_a_page_that_the_cheap_way_is_sure_of_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, unused), line_by(monkeypatch, unused))
    sheet = DecodedPage(1, 100, 120, ONE.astype(np.uint8))

    steps = PageReader(Sorter(7, sure=0.999), networks).read_full("png", sheet)

    assert steps.full_path is None
    assert steps.page is steps.initial


def test_boxes_are_in_page_pixels_even_if_the_page_was_downscaled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = np.kron(ROW, np.ones((10, 10))).astype(np.uint8)

    page = read(monkeypatch, large, says=Says((3, 9, 2)), sees=unused).page

    assert [box.x for box in page.boxes] == [pytest.approx(x, abs=30) for x in (200, 1300, 2400)]
    assert Box(0, 0, 3000, 800) not in page.boxes
    assert_is_whole(page)
