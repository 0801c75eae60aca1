"""Zoom: a character that the fast path cannot read with confidence is segmented again on an enlarged crop."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.recognition.zoom import zoom
from tests.recognition.stand_ins import Entry, Learning, Says, Sorter, dark, ink_by, line_by, nothing, paper


@dataclass
class Looks:
    """An ink network that sees what is dark, and keeps what it was shown."""

    inputs: list[Entry] = field(default_factory=list)

    def __call__(self, entry: Entry) -> Entry:
        self.inputs.append(entry[0])
        return dark(entry)


def page(*squares: tuple[int, int, int], height: int = 400, width: int = 320) -> Picture:
    return paper(height, width, *squares).astype(np.uint8)


def sheet_of(picture: Picture) -> DecodedPage:
    return DecodedPage(1, picture.shape[1], picture.shape[0], picture)


SMALL = page((100, 120, 60))


def test_a_small_unconfident_character_is_zoomed(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, line = Looks(), Says((7,), sure=0.9999)
    networks = RecognitionModels(ink_by(monkeypatch, looks), line_by(monkeypatch, line))

    steps = PageReader(Learning(7, [0.5, 0.97]), networks).trace("png", sheet_of(SMALL))

    assert len(looks.inputs) == 2  # all of the page, then the sign
    assert len(line.lines) == 1
    assert steps.took_fast_path
    assert steps.ensemble is not None
    assert [prediction.source for prediction in steps.ensemble.predictions] == [
        "classifier on the segmenter's crop",
        "sequence recognizer",
    ]
    of_cut, of_line = (prediction.scores for prediction in steps.ensemble.predictions)
    np.testing.assert_allclose(steps.page.scores, [(of_cut + of_line) / 2], atol=1e-6)
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((100, 120, 60, 60), abs=3)
    (rough,) = steps.initial.boxes
    assert abs(rough.width - 60) >= abs(box.width - 60)


@pytest.mark.slow
def test_of_a_large_page_as_much_is_decoded_as_a_close_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = page((1000, 1200, 600), height=4000, width=3200)
    asked = []

    def finer(longest_px: int) -> Picture:
        asked.append(longest_px)
        return np.asarray(cv2.resize(large, (320, 400), interpolation=cv2.INTER_AREA), np.uint8)

    tiny = np.asarray(cv2.resize(large, (80, 100), interpolation=cv2.INTER_AREA), np.uint8)
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))

    steps = PageReader(Learning(7, [0.5, 0.97]), networks).trace("jpeg", DecodedPage(1, 3200, 4000, tiny, finer))

    assert asked == [MEDIUM_PX]
    assert steps.took_fast_path
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((1000, 1200, 600, 600), abs=40)


@pytest.mark.parametrize("says", [Says((7, 7), sure=0.9999), Says((), sure=0.9999), Says((7,), sure=0.98)])
def test_an_unconfirmed_character_gets_every_prediction(monkeypatch: pytest.MonkeyPatch, says: Says) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, says))

    steps = PageReader(Sorter(7, sure=0.5), networks).trace("png", sheet_of(SMALL))

    assert not steps.took_fast_path
    assert len(says.lines) > 1


@pytest.mark.parametrize(("sign", "sure"), [(7, 0.4), (3, 0.9999)])
def test_zoomed_predictions_of_one_character_are_averaged(
    monkeypatch: pytest.MonkeyPatch, sign: int, sure: float
) -> None:
    looks = Looks()
    networks = RecognitionModels(ink_by(monkeypatch, looks), line_by(monkeypatch, Says((sign,), sure=0.9999)))
    classifier = Learning(7, [0.5, sure])

    steps = PageReader(classifier, networks).trace("png", sheet_of(SMALL))

    assert len(looks.inputs) == 2
    assert classifier.sures == []
    assert steps.took_fast_path
    confidence = steps.page.scores[0].max()
    assert confidence == pytest.approx((sure + 1) / 2 if sign == 7 else 0.5, abs=0.01)


def test_a_second_character_visible_only_zoomed_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    views = []

    def shy(entry: Entry) -> Entry:
        ink = dark(entry)
        if not views:  # from afar the second sign is too faint
            ink[:, :, 40:] = 0
        views.append(entry)
        return ink

    networks = RecognitionModels(ink_by(monkeypatch, shy), line_by(monkeypatch, Says((7, 7), sure=0.9999)))

    steps = PageReader(Sorter(7, sure=0.95), networks).trace("png", sheet_of(page((60, 120, 90), (170, 120, 90))))

    assert not steps.took_fast_path
    assert len(steps.page.boxes) == 2


def test_blank_paper_has_no_zoom(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoom(paper(200, 200), Sorter(7), ink_by(monkeypatch, nothing)) is None


def test_several_characters_give_no_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    close = zoom(paper(200, 200, (40, 60, 40), (110, 60, 40)), Sorter(7), ink_by(monkeypatch, dark))

    assert close is not None
    assert close.prediction is None
    assert not close.is_unambiguous
    assert close.rect is not None
    assert close.rect.left < 45
    assert close.rect.right > 145
