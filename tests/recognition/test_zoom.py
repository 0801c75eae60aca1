"""A sign that a glance found and could not tell is looked at closely, and what was seen is handed on."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.images.decode import MEDIUM_PX, Sheet
from digitrec.recognition import reader
from digitrec.recognition.full_path import Networks, SecondLook
from digitrec.recognition.geometry import Span
from digitrec.recognition.reader import PageReader
from digitrec.recognition.zoom import close_look
from tests.recognition.stand_ins import Entry, Learning, Says, Sorter, dark, ink_by, line_by, nothing, paper


@dataclass
class Looks:
    """An ink network that sees what is dark, and keeps what it was shown."""

    shown: list[Entry] = field(default_factory=list)

    def __call__(self, entry: Entry) -> Entry:
        self.shown.append(entry[0])
        return dark(entry)


def page(*squares: tuple[int, int, int], height: int = 400, width: int = 320) -> Picture:
    return paper(height, width, *squares).astype(np.uint8)


def sheet_of(picture: Picture) -> Sheet:
    return Sheet(1, picture.shape[1], picture.shape[0], picture)


SMALL = page((100, 120, 60))


def test_a_small_sign_that_a_glance_cannot_tell_is_read_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, line = Looks(), Says((7,), sure=0.9999)
    networks = Networks(ink_by(monkeypatch, looks), line_by(monkeypatch, line))

    steps = PageReader(Learning(7, [0.5, 0.97]), networks).steps("png", sheet_of(SMALL))

    assert len(looks.shown) == 2  # all of the page, then the sign
    assert len(line.strips) == 1
    assert steps.is_glance
    assert steps.second is not None
    assert [one.way for one in steps.second.witnesses] == ["ink network's cut", "line network"]
    of_cut, of_line = (one.scores for one in steps.second.witnesses)
    np.testing.assert_allclose(steps.page.scores, [(of_cut + of_line) / 2], atol=1e-6)
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((100, 120, 60, 60), abs=3)
    (rough,) = steps.cheap.boxes
    assert abs(rough.width - 60) >= abs(box.width - 60)


@pytest.mark.slow
def test_of_a_large_page_as_much_is_decoded_as_a_close_look_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = page((1000, 1200, 600), height=4000, width=3200)
    asked = []

    def finer(longest_px: int) -> Picture:
        asked.append(longest_px)
        return np.asarray(cv2.resize(large, (320, 400), interpolation=cv2.INTER_AREA), np.uint8)

    tiny = np.asarray(cv2.resize(large, (80, 100), interpolation=cv2.INTER_AREA), np.uint8)
    networks = Networks(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,), sure=0.9999)))

    steps = PageReader(Learning(7, [0.5, 0.97]), networks).steps("jpeg", Sheet(1, 3200, 4000, tiny, finer))

    assert asked == [MEDIUM_PX]
    assert steps.is_glance
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((1000, 1200, 600, 600), abs=40)


@pytest.mark.parametrize("says", [Says((7, 7), sure=0.9999), Says((), sure=0.9999), Says((7,), sure=0.98)])
def test_an_unconfirmed_character_gets_every_prediction(monkeypatch: pytest.MonkeyPatch, says: Says) -> None:
    networks = Networks(ink_by(monkeypatch, dark), line_by(monkeypatch, says))

    steps = PageReader(Learning(7, [0.5, 0.97, 0.9, 0.97]), networks).steps("png", sheet_of(SMALL))

    assert not steps.is_glance
    assert len(says.strips) > 1


@pytest.mark.parametrize(("sign", "sure"), [(7, 0.4), (3, 0.9999)])
def test_of_one_sign_what_both_say_closely_counts_however_unsure_it_is(
    monkeypatch: pytest.MonkeyPatch, sign: int, sure: float
) -> None:
    looks = Looks()
    networks = Networks(ink_by(monkeypatch, looks), line_by(monkeypatch, Says((sign,), sure=0.9999)))
    classifier = Learning(7, [0.5, sure])

    steps = PageReader(classifier, networks).steps("png", sheet_of(SMALL))

    assert len(looks.shown) == 2
    assert classifier.sures == []
    assert steps.is_glance
    confidence = steps.page.scores[0].max()
    assert confidence == pytest.approx((sure + 1) / 2 if sign == 7 else 0.5, abs=0.01)


def test_what_was_seen_closely_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks()
    networks = Networks(ink_by(monkeypatch, looks), line_by(monkeypatch, Says((7,))))
    # At a glance, closely, and as the classical way cuts it out: the sign is not scored a fourth time.
    classifier = Learning(7, [0.5, 0.8, 0.9])

    steps = PageReader(classifier, networks).steps("png", sheet_of(SMALL))

    assert classifier.sures == []
    assert len(looks.shown) == 2
    assert not steps.is_glance
    assert steps.second is not None
    assert steps.second.seen is not None
    ways = [one.way for one in steps.second.witnesses]
    assert ways == ["line network", "classical cut", "ink network's cut", "line network, closer"]
    assert steps.second.witnesses[2].scores[7] == pytest.approx(0.8)
    (box,) = steps.page.boxes
    assert (box.x, box.y, box.width, box.height) == pytest.approx((100, 120, 60, 60), abs=4)


def test_a_close_reading_is_discarded_where_the_page_has_more_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    large = page((1000, 1200, 400), height=3000, width=2400)

    def finer(longest_px: int) -> Picture:
        share = longest_px / 3000
        return np.asarray(cv2.resize(large, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)

    handed = []
    real = reader.second_look

    def noted(*given: Any) -> SecondLook:
        handed.append(given[-1])
        return real(*given)

    monkeypatch.setattr(reader, "second_look", noted)
    networks = Networks(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,))))

    PageReader(Sorter(7, sure=0.5), networks).steps("jpeg", Sheet(1, 2400, 3000, finer(400), finer))

    assert [close is None for close in handed] == [False, True]


def test_a_second_sign_that_shows_only_closely_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    views = []

    def shy(entry: Entry) -> Entry:
        ink = dark(entry)
        if not views:  # from afar the second sign is too faint
            ink[:, :, 40:] = 0
        views.append(entry)
        return ink

    networks = Networks(ink_by(monkeypatch, shy), line_by(monkeypatch, Says((7, 7), sure=0.9999)))

    steps = PageReader(Sorter(7, sure=0.95), networks).steps("png", sheet_of(page((60, 120, 90), (170, 120, 90))))

    assert not steps.is_glance
    assert len(steps.page.boxes) == 2


@pytest.mark.parametrize("share", [0.5, 1.0, 2.5])
def test_what_was_seen_lies_in_the_same_place_of_the_page_in_another_size(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    grey = paper(400, 320, (100, 120, 60))
    other = np.asarray(cv2.resize(grey, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.float32)

    close = close_look(grey, Sorter(7), ink_by(monkeypatch, dark))

    assert close is not None
    assert close.where is not None
    there = close.on(other)
    assert there.where == Span(
        *(share * at for at in (close.where.left, close.where.top)),
        *(share * at for at in (close.where.right, close.where.bottom)),
    )
    assert there.seen.window.side == pytest.approx(share * close.seen.window.side)
    assert there.on(grey).where == close.where
    assert there.cut is close.cut


def test_bare_paper_has_nothing_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    assert close_look(paper(200, 200), Sorter(7), ink_by(monkeypatch, nothing)) is None


def test_of_several_signs_none_is_cut_out(monkeypatch: pytest.MonkeyPatch) -> None:
    close = close_look(paper(200, 200, (40, 60, 40), (110, 60, 40)), Sorter(7), ink_by(monkeypatch, dark))

    assert close is not None
    assert close.cut is None
    assert not close.is_clear
    assert close.where is not None
    assert close.where.left < 45
    assert close.where.right > 145
