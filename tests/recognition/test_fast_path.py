"""A page at a glance: one sign is read from all of the page in 64 x 64, with a second witness if it is not alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import digitrec
from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.recognition.fast_path import FastPathResult, run_fast_path
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.page import undecoded_page
from digitrec.recognition.preprocess import SMALL_PX, Thumbnail, downscale
from digitrec.recognition.reader import PageReader
from digitrec.recognition.segmenter import CROP_PX, Segmenter
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Box, Limits, Reason
from tests.conftest import draw
from tests.recognition.stand_ins import Says, Sorter, dark, ink_by, line_by, nothing, paper, unused

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


def page(height: int, width: int, *squares: tuple[int, int, int]) -> Picture:
    return paper(height, width, *squares).astype(np.uint8)


def sheet_of(picture: Picture) -> DecodedPage:
    return DecodedPage(1, picture.shape[1], picture.shape[0], picture)


def glance(picture: Picture, network: Segmenter) -> FastPathResult | None:
    (seen,) = run_fast_path([picture], network)
    return seen


def looked_closely(steps: RecognitionTrace) -> bool:
    """Whether a glance, even with the line network's word, was not enough."""
    return not steps.took_fast_path or (steps.full_path is not None and steps.full_path.crop is not None)


ONE = page(400, 320, (100, 120, 140))
BARE = page(400, 320)


def test_one_sign_with_paper_around_it_is_seen_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused))

    steps = PageReader(Sorter(7, sure=0.995), networks).trace("png", sheet_of(ONE))

    assert steps.took_fast_path
    assert steps.full_path is None
    (box,) = steps.page.boxes
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    np.testing.assert_allclose(corners, (100, 120, 240, 260), atol=400 / CROP_PX + 1)
    assert steps.page.ink.shape == (1, 28, 28)
    assert max(steps.page.preview.shape) == SMALL_PX
    assert steps.decoded is not None
    assert steps.decoded.plane.shape == steps.decoded.gray.shape == (64, 51)


def test_a_less_confident_character_is_also_scored_by_the_line_network(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Says((7,), sure=0.9999)
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))

    steps = PageReader(Sorter(7, sure=0.97), networks).trace("png", sheet_of(ONE))

    assert steps.took_fast_path
    assert steps.full_path is not None
    assert [prediction.source for prediction in steps.full_path.predictions] == [
        "classifier on the segmenter's crop",
        "sequence recognizer",
    ]
    of_cut, of_line = (one.scores for one in steps.full_path.predictions)
    assert of_cut[7] == pytest.approx(0.97)
    assert of_line[7] > 0.99
    np.testing.assert_allclose(steps.page.scores, [(of_cut + of_line) / 2], atol=1e-6)
    assert steps.page.boxes == steps.initial.boxes
    # It was shown the strip around the sign: paper, the square, paper.
    (strip,) = line.lines
    columns = np.flatnonzero((strip[0, :, :, 0] < -0.5).any(axis=0))
    assert 0.15 < columns[0] / columns[-1] < 0.35


@pytest.mark.parametrize("second", [Says((3,), sure=0.9999), Says((7, 7), sure=0.9999), Says((), sure=0.9999)])
def test_a_sign_that_the_second_witness_does_not_know_is_looked_at_closely(
    monkeypatch: pytest.MonkeyPatch, second: Says
) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, second))

    steps = PageReader(Sorter(7, sure=0.97), networks).trace("png", sheet_of(ONE))

    assert looked_closely(steps)
    assert len(second.lines) > 1


def test_no_second_witness_is_asked_about_a_sign_that_it_could_not_save(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused))
    reader = PageReader(Sorter(7, sure=0.95), networks)
    nearer = RecognitionTrace(undecoded_page("png", sheet_of(ONE), RejectedImage(Reason.TRUNCATED)))
    monkeypatch.setattr(PageReader, "_read_zoomed", lambda *_: nearer)

    assert reader.trace("png", sheet_of(ONE)) is nearer


def test_a_sign_that_is_not_sure_at_a_glance_is_looked_at_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,))))

    steps = PageReader(Sorter(7, sure=0.98), networks).trace("png", sheet_of(ONE))

    assert not steps.took_fast_path
    assert steps.full_path is not None
    assert steps.decoded is not None
    assert steps.decoded.plane.shape == ONE.shape


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (page(400, 320), "bare paper"),
        (page(400, 320, (100, 20, 140), (100, 230, 140)), "two signs"),
        (page(400, 320, (100, 120, 100), (250, 310, 58)), "a third of a sign beside it"),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_what_else_there_may_be_is_left_to_a_closer_look(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, why: str
) -> None:
    assert glance(picture, ink_by(monkeypatch, dark)) is None, why


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (page(400, 320, (0, 120, 140)), "runs out of the page at the left"),
        (page(400, 320, (100, 0, 140)), "at the top"),
        (page(400, 320, (180, 120, 140)), "at the right"),
        (page(400, 320, (100, 260, 140)), "at the bottom"),
        (page(400, 320, (100, 120, 100), (130, 228, 40)), "in two pieces"),
        (page(400, 320, (100, 120, 50)), "small"),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_an_incomplete_or_crowded_character_gets_a_second_prediction(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, why: str
) -> None:
    seen = glance(picture, ink_by(monkeypatch, dark))
    assert seen is not None, why
    assert not seen.is_isolated, why

    for says, is_enough in ((7, True), (3, False)):
        line = Says((says,), sure=0.9999)
        networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))

        steps = PageReader(Sorter(7, sure=0.9999), networks).trace("png", sheet_of(picture))

        assert line.lines, why
        assert looked_closely(steps) is not is_enough, why


@pytest.mark.parametrize("shape", [(28, 28), (64, 50), (40, 64), (100, 200), (300, 700)])
def test_small_pages_and_those_that_may_be_a_line_get_no_glance(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    assert glance(page(*shape, (20, 12, 12)), ink_by(monkeypatch, unused)) is None


def test_a_page_without_ink_is_looked_at_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((7,))))

    assert not PageReader(Sorter(7, sure=0.995), networks).trace("png", sheet_of(ONE)).took_fast_path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_shipped_model_reads_most_large_digits_on_the_fast_path(suffix: str) -> None:
    shipped = composition.load_page_reader(ModelPackage.open(SHIPPED))
    glances = 0
    for digit in range(10):
        small = cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE)
        large = np.full((900, 700), 235, np.uint8)
        large[200:640, 180:510] = cv2.resize(small, (330, 440), interpolation=cv2.INTER_CUBIC)
        name, sheets = decode.decode_pages(cv2.imencode(suffix, large)[1].tobytes(), Limits())
        sheet = next(sheets)

        at_a_glance, closely = shipped.trace(name, sheet), shipped.read_full(name, sheet)

        assert not closely.took_fast_path
        assert at_a_glance.page.scores[0].argmax() == closely.page.scores[0].argmax() == digit
        assert (at_a_glance.page.width, at_a_glance.page.height) == (700, 900)
        assert share_in_common(at_a_glance.page.boxes[0], closely.page.boxes[0]) > 0.75
        glances += at_a_glance.took_fast_path
    assert glances >= 7


def share_in_common(one: Box, other: Box) -> float:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(0, across) * max(0, down)
    return both / (one.width * one.height + other.width * other.height - both)


def test_the_second_witness_sees_a_page_in_the_colour_that_shows_the_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Says((7,), sure=0.9999)
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))
    cyan = np.dstack([ONE, np.full_like(ONE, 220), np.full_like(ONE, 220)])  # dark in red alone

    steps = PageReader(Sorter(7, sure=0.97), networks).trace("png", sheet_of(cyan))

    assert steps.took_fast_path
    assert steps.decoded is not None
    assert max(steps.decoded.gray.shape) == 192
    assert np.ptp(steps.decoded.gray) > 150
    (strip,) = line.lines
    assert (strip < -0.5).any()


@pytest.mark.parametrize("shape", [(1000, 700), (301, 203, 3), (97, 64, 3), (65, 3), (3, 2000, 3), (2000, 1, 3)])
def test_a_thumbnail_shows_what_the_slow_way_does(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    blots = cv2.resize(rng.integers(0, 256, (5, 4), np.uint8), shape[1::-1], interpolation=cv2.INTER_CUBIC)
    picture = np.dstack([blots] * 3) if len(shape) == 3 else blots

    tiny = Thumbnail.of(picture, CROP_PX)

    slow = downscale(blots.astype(np.float32), CROP_PX)
    assert tiny.gray.shape == slow.shape
    assert max(tiny.preview.shape) == min(SMALL_PX, max(shape))
    assert tiny.preview.dtype == np.uint8
    if min(shape[:2]) > 3:
        assert np.abs(tiny.gray - slow).mean() < 2.5


def test_a_page_with_something_beside_its_sign_goes_to_review(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = page(400, 320, (100, 120, 100), (250, 310, 45))
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))

    found = PageReader(Sorter(7, sure=0.9999), networks).trace("png", sheet_of(picture))

    assert found.page.reason is Reason.OTHER_MARKS
    assert [box.y > 280 for box in found.unread] == [True]
