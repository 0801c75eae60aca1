"""Fast path: one character is read from the 64 x 64 thumbnail, with a second prediction if it is not isolated."""

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
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.preprocess import SMALL_PX, Thumbnail, downscale
from digitrec.recognition.reader import PageReader, undecoded_page
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


def take_fast_path(picture: Picture, network: Segmenter) -> FastPathResult | None:
    (result,) = run_fast_path([picture], network)
    return result


def looked_closely(trace: RecognitionTrace) -> bool:
    """Return True if the fast path was not enough, even with the sequence recognizer."""
    return not trace.took_fast_path or (trace.ensemble is not None and trace.ensemble.crop is not None)


SINGLE = page(400, 320, (100, 120, 140))
BARE = page(400, 320)


def test_an_isolated_character_is_read_on_the_fast_path_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused))

    trace = PageReader(Sorter(7, sure=0.995), models).trace("png", sheet_of(SINGLE))

    assert trace.took_fast_path
    assert trace.ensemble is None
    (box,) = trace.page.boxes
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    np.testing.assert_allclose(corners, (100, 120, 240, 260), atol=400 / CROP_PX + 1)
    assert trace.page.ink.shape == (1, 28, 28)
    assert max(trace.page.preview.shape) == SMALL_PX
    assert trace.decoded is not None
    assert trace.decoded.plane.shape == trace.decoded.gray.shape == (64, 51)


def test_a_less_confident_character_gets_a_second_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Says((7,), sure=0.9999)
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))

    trace = PageReader(Sorter(7, sure=0.97), models).trace("png", sheet_of(SINGLE))

    assert trace.took_fast_path
    assert trace.ensemble is not None
    assert [prediction.source for prediction in trace.ensemble.predictions] == [
        "classifier on the segmenter's crop",
        "sequence recognizer",
    ]
    of_cut, of_line = (prediction.scores for prediction in trace.ensemble.predictions)
    assert of_cut[7] == pytest.approx(0.97)
    assert of_line[7] > 0.99
    np.testing.assert_allclose(trace.page.scores, [(of_cut + of_line) / 2], atol=1e-6)
    assert trace.page.boxes == trace.initial.boxes
    # It was shown the strip around the sign: paper, the square, paper.
    (strip,) = line.lines
    columns = np.flatnonzero((strip[0, :, :, 0] < -0.5).any(axis=0))
    assert 0.15 < columns[0] / columns[-1] < 0.35


@pytest.mark.parametrize("second", [Says((3,), sure=0.9999), Says((7, 7), sure=0.9999), Says((), sure=0.9999)])
def test_a_contradicted_fast_path_is_not_enough(monkeypatch: pytest.MonkeyPatch, second: Says) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, second))

    trace = PageReader(Sorter(7, sure=0.97), models).trace("png", sheet_of(SINGLE))

    assert looked_closely(trace)
    assert len(second.lines) > 1


def test_no_second_prediction_is_made_where_it_cannot_help(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, unused))
    reader = PageReader(Sorter(7, sure=0.95), models)
    nearer = RecognitionTrace(undecoded_page("png", sheet_of(SINGLE), RejectedImage(Reason.TRUNCATED)))
    monkeypatch.setattr(PageReader, "_read_zoomed", lambda *_: nearer)

    assert reader.trace("png", sheet_of(SINGLE)) is nearer


def test_an_unconfident_fast_path_is_followed_by_the_page_path(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,))))

    trace = PageReader(Sorter(7, sure=0.98), models).trace("png", sheet_of(SINGLE))

    assert not trace.took_fast_path
    assert trace.page_path is not None
    assert trace.decoded is not None
    assert trace.decoded.plane.shape == SINGLE.shape


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (page(400, 320), "bare paper"),
        (page(400, 320, (100, 20, 140), (100, 230, 140)), "two signs"),
        (page(400, 320, (100, 120, 100), (250, 310, 58)), "a third of a sign beside it"),
        (page(400, 320, (0, 120, 100)), "a small sign at the edge, perhaps cut"),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_pages_without_a_single_character_leave_the_fast_path(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, why: str
) -> None:
    assert take_fast_path(picture, ink_by(monkeypatch, dark)) is None, why


@pytest.mark.parametrize(
    ("picture", "why"),
    [
        (page(400, 320, (0, 110, 190)), "runs out of the page at the left"),
        (page(400, 320, (70, 0, 190)), "at the top"),
        (page(400, 320, (130, 110, 190)), "at the right"),
        (page(400, 320, (70, 210, 190)), "at the bottom"),
        (page(400, 320, (100, 120, 100), (130, 228, 40)), "in two pieces"),
        (page(400, 320, (100, 120, 50)), "small"),
    ],
    ids=lambda given: given.replace(" ", "-") if isinstance(given, str) else "",
)
def test_an_incomplete_or_crowded_character_gets_a_second_prediction(
    monkeypatch: pytest.MonkeyPatch, picture: Picture, why: str
) -> None:
    result = take_fast_path(picture, ink_by(monkeypatch, dark))
    assert result is not None, why
    assert not result.is_isolated, why

    for says, is_enough in ((7, True), (3, False)):
        line = Says((says,), sure=0.9999)
        models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))

        trace = PageReader(Sorter(7, sure=0.9999), models).trace("png", sheet_of(picture))

        assert line.lines, why
        assert looked_closely(trace) is not is_enough, why


@pytest.mark.parametrize("shape", [(28, 28), (64, 50), (40, 64), (100, 200), (300, 700)])
def test_small_and_long_pages_do_not_take_the_fast_path(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    assert take_fast_path(page(*shape, (20, 12, 12)), ink_by(monkeypatch, unused)) is None


def test_a_page_without_ink_leaves_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((7,))))

    assert not PageReader(Sorter(7, sure=0.995), models).trace("png", sheet_of(SINGLE)).took_fast_path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_shipped_model_reads_most_large_digits_on_the_fast_path(suffix: str) -> None:
    shipped = composition.load_page_reader(ModelPackage.open(SHIPPED))
    count = 0
    for digit in range(10):
        small = cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE)
        large = np.full((900, 700), 235, np.uint8)
        large[200:640, 180:510] = cv2.resize(small, (330, 440), interpolation=cv2.INTER_CUBIC)
        name, sheets = decode.decode_pages(cv2.imencode(suffix, large)[1].tobytes(), Limits())
        sheet = next(sheets)

        fast, full = shipped.trace(name, sheet), shipped.read_without_fast_path(name, sheet)

        assert not full.took_fast_path
        assert fast.page.scores[0].argmax() == full.page.scores[0].argmax() == digit
        assert (fast.page.width, fast.page.height) == (700, 900)
        assert share_in_common(fast.page.boxes[0], full.page.boxes[0]) > 0.75
        count += fast.took_fast_path
    assert count >= 7


def share_in_common(prediction: Box, other: Box) -> float:
    across = min(prediction.x + prediction.width, other.x + other.width) - max(prediction.x, other.x)
    down = min(prediction.y + prediction.height, other.y + other.height) - max(prediction.y, other.y)
    both = max(0, across) * max(0, down)
    return both / (prediction.width * prediction.height + other.width * other.height - both)


def test_the_line_crop_uses_the_channel_weights_of_the_thumbnail(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Says((7,), sure=0.9999)
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, line))
    cyan = np.dstack([SINGLE, np.full_like(SINGLE, 220), np.full_like(SINGLE, 220)])  # dark in red alone

    trace = PageReader(Sorter(7, sure=0.97), models).trace("png", sheet_of(cyan))

    assert trace.took_fast_path
    assert trace.decoded is not None
    assert max(trace.decoded.gray.shape) == 192
    assert np.ptp(trace.decoded.gray) > 150
    (strip,) = line.lines
    assert (strip < -0.5).any()


@pytest.mark.parametrize("shape", [(1000, 700), (301, 203, 3), (97, 64, 3), (65, 3), (3, 2000, 3), (2000, 1, 3)])
def test_fast_downscaling_is_close_to_area_averaging(shape: tuple[int, ...]) -> None:
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


def test_a_page_with_other_ink_next_to_its_character_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = page(400, 320, (100, 120, 100), (250, 310, 45))
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))

    trace = PageReader(Sorter(7, sure=0.9999), models).trace("png", sheet_of(picture))

    assert trace.page_path is not None
    assert len(trace.page.boxes) == 2 or trace.page.reason is Reason.OTHER_MARKS
