"""Pages that slant: by which angle, and where their boxes are."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from digitrec.app import composition
from digitrec.arrays import PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.recognition import skew
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.decision import decide
from digitrec.recognition.page_ink import find_page_ink
from digitrec.recognition.reader import PageReader
from digitrec.types import Box, Reason, Thresholds
from tests.recognition.drawn import fill, paper, write

Indices = NDArray[np.intp]
_NONE = np.zeros(0, np.intp)
DESK = 60
INK = Box(300, 150, 30, 40)
SIZE = (900, 700)


def sheet(picture: Picture) -> DecodedPage:
    return DecodedPage(1, picture.shape[1], picture.shape[0], picture)


def skew_result(picture: Picture, across: Indices = _NONE, down: Indices = _NONE) -> PageResult:
    """The result of a page with one digit whose ink is at these pixels, or without any."""
    boxes = (
        (Box(int(across.min()), int(down.min()), int(np.ptp(across)) + 1, int(np.ptp(down)) + 1),)
        if across.size
        else ()
    )
    scores, ink = np.zeros((len(boxes), CLASSES), np.float32), np.zeros((len(boxes), 28, 28), np.float32)
    height, width = picture.shape
    return PageResult(
        1,
        "png",
        width,
        height,
        boxes,
        ink,
        np.zeros((9, 9), np.uint8),
        scores=scores,
        reason=None if boxes else Reason.BLANK,
    )


def ruled_note(angle: float, *, desk: int | None = DESK) -> Picture:
    """A ruled note with three numbers, rotated clockwise by an angle in degrees; without a desk, on more paper."""
    width, height = SIZE
    note = paper(height, width)
    for y in range(60, height - 30, 80):
        cv2.line(note, (40, y), (width - 40, y), 150, 2)
    for text, at in (("17", (200, 215)), ("40", (520, 295)), ("295", (280, 455))):
        write(note, text, *at, high=60)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 0.7)
    border = paper(1, 1)[0, 0] if desk is None else desk
    return np.asarray(cv2.warpAffine(note, matrix, SIZE, borderValue=float(border)), np.uint8)


@pytest.mark.parametrize("desk", [DESK, None])
@pytest.mark.parametrize("angle", [-17.0, -6.0, 9.0, 20.0])
def test_the_angle_of_a_sheet_or_of_its_lines_is_measured(angle: float, desk: int | None) -> None:
    assert skew.find_skew(find_page_ink(ruled_note(angle, desk=desk))) == pytest.approx(angle, abs=1.0)


@pytest.mark.parametrize(
    "page", [ruled_note(0.0), ruled_note(1.0), paper(*SIZE), write(paper(400, 400), "7", 150, 250)]
)
def test_a_level_page_has_no_angle(page: Picture) -> None:
    assert skew.find_skew(find_page_ink(page)) == 0.0


@pytest.mark.parametrize("angle", [-30.0, -4.0, 12.0])
def test_a_box_comes_back_where_its_ink_is(angle: float) -> None:
    page = fill(paper(400, 500), INK.x, INK.y, INK.x + INK.width, INK.y + INK.height, level=0)
    ink = find_page_ink(page)

    level = skew.straighten(sheet(page), skew_result(page), ink, angle)
    down, across = np.nonzero(level.picture < 128)
    found = level.restore(skew_result(level.picture, across, down))

    (box,) = found.boxes
    assert (found.width, found.height) == (page.shape[1], page.shape[0])
    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
    assert np.all(np.array(corners) * (1, 1, -1, -1) <= (INK.x, INK.y, -INK.x - INK.width, -INK.y - INK.height))
    assert max(box.width, box.height) <= 70


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


@pytest.mark.slow
@pytest.mark.parametrize("angle", [-15.0, 12.0])
def test_numbers_on_a_slanting_ruled_note_are_read(reader: PageReader, angle: float) -> None:
    page = ruled_note(angle)

    trace = reader.read_without_fast_path("png", sheet(page))

    assert decide(trace.page, Thresholds(0.5, 0.5)).text == "17 40 295"
    assert trace.straightened is not None
    for box in trace.page.boxes:  # all hold the ink of a digit
        assert page[box.y : box.y + box.height, box.x : box.x + box.width].min() < 50
