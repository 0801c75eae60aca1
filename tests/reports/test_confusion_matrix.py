import cv2
import numpy as np
import pytest

from digitrec.reports.confusion_matrix import (
    MAX_CORRECT_PER_CELL,
    MAX_ERRORS_PER_CELL,
    MatrixPicture,
    build_matrix,
)
from digitrec.reports.thumbnails import SIDE, encode_thumbnail, shrink_png

PICTURE = MatrixPicture(b"png", "words")


def test_a_cell_shows_a_few_pictures_and_only_such_cells_open():
    cells = build_matrix([[50, 20], [0, 3]], ["7", "1"], ["7", "1"], {(0, 0): [PICTURE] * 20, (0, 1): [PICTURE] * 20})

    assert {cell.name: len(cell.pictures) for row in cells for cell in row if cell.pictures} == {
        "cell-7-7": MAX_CORRECT_PER_CELL,
        "cell-7-1": MAX_ERRORS_PER_CELL,
    }


def test_errors_are_shaded_by_their_share_of_the_row():
    ((right, *wrong),) = build_matrix([[10_000, 5, 20, 100, 500, 2000]], ["0"], list("012345"), {})

    assert right.shade == 0
    assert [cell.shade for cell in wrong] == [1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28), (96, 40), (1, 96), (300, 3)])
def test_a_small_picture_keeps_its_shape_and_takes_few_bytes(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)

    png = encode_thumbnail(noise)

    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert max(decoded.shape) <= SIDE
    assert max(decoded.shape) / min(decoded.shape) == pytest.approx(max(shape) / min(shape), rel=0.8)
    assert len(png) < 1300


@pytest.mark.slow
def test_a_small_picture_looks_like_the_large_one():
    paper = np.full((96, 96), 255, np.uint8)
    cv2.putText(paper, "7", (20, 80), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 5)

    png = shrink_png(cv2.imencode(".png", paper)[1].tobytes(), 48)

    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE).astype(int)
    assert abs(decoded - cv2.resize(paper, (48, 48), interpolation=cv2.INTER_AREA)).max() <= 16


def test_bytes_that_are_not_a_png_are_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        shrink_png(b"not a picture")
