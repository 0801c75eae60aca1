"""`digitrec.read` and `digitrec.Reader`: every kind of source, many files, several threads, explanations."""

import io
import math
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import digitrec
from digitrec import DigitrecError, PageStatus, Reader, Reason
from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import ModelError, SettingsError, UsageError
from digitrec.storage import csv_tables
from tests.conftest import draw
from tests.images.pdfs import drawn, pdf

GOLDEN = Path(__file__).parents[1] / "golden"
GRID = GOLDEN / "grid" / "picture.png"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def gray(data: bytes) -> Picture:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def test_a_page_has_text_confidence_status_numbers_and_digits(tmp_path: Path) -> None:
    path = tmp_path / "7.png"
    path.write_bytes(draw(7))

    (page,) = digitrec.read(path)

    assert (page.text, page.status, page.page, page.format) == ("7", PageStatus.ACCEPTED, 1, "png")
    assert page.confidence is not None
    assert 0.99 < page.confidence <= 1.0
    (number,) = page.numbers
    assert (number.text, number.line, number.column) == ("7", 1, 1)
    (digit,) = page.digits
    assert (digit.digit, len(digit.probabilities)) == (7, 10)
    assert 0 < digit.box.x < digit.box.x + digit.box.width < 60
    assert (page.file, page.size_bytes, len(page.sha256)) == (str(path), len(draw(7)), 64)


SOURCES: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda data: data,
    "gray array": gray,
    "color array": lambda data: np.dstack([gray(data)] * 3),
    "read-only view": lambda data: gray(data)[:, ::-1][:, ::-1],
    "Pillow image": lambda data: Image.open(io.BytesIO(data)),
    "bilevel image": lambda data: Image.open(io.BytesIO(data)).convert("1"),
    "transparent image": lambda data: Image.open(io.BytesIO(data)).convert("RGBA"),
    "deep image": lambda data: Image.fromarray(gray(data).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_source_gives_the_same_answer(reader: Reader, name: str) -> None:
    (page,) = reader.read(SOURCES[name](draw(7)))

    assert (page.text, page.status, page.width, page.height) == ("7", PageStatus.ACCEPTED, 60, 80)
    assert page.file == ""
    assert page.explain().size[0] > 400


def test_the_orientation_of_an_image_is_applied(reader: Reader) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.rot90(gray(draw(7)))).save(file, "JPEG", exif=exif, quality=95)

    (page,) = reader.read(Image.open(file))

    assert (page.text, page.width, page.height) == ("7", 60, 80)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (7, TypeError, "not int"),
        (np.zeros((80, 60)), TypeError, "float64; a picture holds uint8"),
        (np.zeros((80, 60, 4), np.uint8), ValueError, r"\(80, 60, 4\)"),
        (np.zeros((0, 60), np.uint8), ValueError, r"\(0, 60\)"),
        ("missing.png", FileNotFoundError, "missing"),
    ],
)
def test_what_is_no_picture_is_refused(reader: Reader, source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        reader.read(source)


def test_content_that_cannot_be_decoded_is_one_rejected_page(reader: Reader) -> None:
    (page,) = reader.read(b"no picture")

    assert (page.status, page.reason, page.text, page.confidence) == (
        PageStatus.REJECTED,
        Reason.NOT_AN_IMAGE,
        "",
        None,
    )
    assert page.explain().size[1] < 200


@pytest.mark.slow
def test_a_document_has_a_page_for_each_of_its_pages(reader: Reader) -> None:
    pages = reader.read(GOLDEN / "fax_two_pages" / "picture.tiff")

    assert [page.page for page in pages] == [1, 2]
    first, second = (np.asarray(page.explain()) for page in pages)
    assert first.shape != second.shape or (first != second).any()


def test_many_files_are_read_in_order_and_a_missing_one_costs_its_own_page(reader: Reader, tmp_path: Path) -> None:
    for digit in range(3):
        (tmp_path / f"{digit}.png").write_bytes(draw(digit))
    paths = [tmp_path / "2.png", str(tmp_path / "missing.png"), tmp_path / "0.png", tmp_path]

    results = list(reader.read_many(paths))

    assert [path for path, _ in results] == paths
    assert [page.text for _, pages in results for page in pages] == ["2", "", "0", ""]
    missing, folder = results[1][1][0], results[3][1][0]
    assert (missing.status, missing.reason, missing.detail) == (
        PageStatus.REJECTED,
        Reason.IO_ERROR,
        "No such file or directory",
    )
    assert folder.detail == "Is a directory"
    with pytest.raises(FileNotFoundError):
        missing.explain()


def test_a_frame_has_the_columns_of_the_main_table(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(draw(7))
    (tmp_path / "bad.png").write_bytes(b"no picture")

    frame = reader.read_frame([tmp_path / "7.png", tmp_path / "bad.png"])

    assert tuple(frame.columns) == csv_tables.COLUMNS
    assert frame.text.tolist() == ["7", ""]
    assert frame.status.tolist() == ["accepted", "rejected"]
    assert frame.digit_count.sum() == 1
    assert str(frame.digit_count.dtype) == "Int64"
    assert math.isnan(frame.confidence[1])
    assert frame.file.tolist() == [str(tmp_path / "7.png"), str(tmp_path / "bad.png")]
    assert tuple(reader.read_frame([]).columns) == csv_tables.COLUMNS


@pytest.mark.slow
def test_several_threads_get_the_answers_of_one(reader: Reader) -> None:
    sources: list[bytes] = [draw(digit, shift=shift) for digit in range(10) for shift in range(3)]
    sources += [GRID.read_bytes(), (GOLDEN / "turned_photo" / "picture.jpg").read_bytes()]
    sources += [pdf(drawn())] * 2
    expected = [[(page.text, page.confidence) for page in reader.read(source)] for source in sources]
    barrier = threading.Barrier(4)

    def read_all(_: int) -> list[list[tuple[str, float | None]]]:
        barrier.wait()
        return [[(page.text, page.confidence) for page in reader.read(source)] for source in sources]

    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(read_all, range(4)))

    assert results == [expected] * 4


def test_explain_draws_the_page_and_notices_another_file(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "7.png"
    path.write_bytes(draw(7))
    (page,) = reader.read(path)

    drawing = page.explain()

    assert (drawing.mode, drawing.format) == ("RGB", None)
    assert drawing.size[0] <= 1250
    path.write_bytes(draw(3))
    with pytest.raises(UsageError, match="has changed since it was read"):
        page.explain()


def test_the_model_is_named_by_id_path_or_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(composition.SHIPPED_MODELS_DIR, tmp_path / "copy")
    shipped = Reader("shipped").model

    for model in (None, shipped, shipped.card.id, tmp_path / "copy", "./copy"):
        assert Reader(model).model.card.id == shipped.card.id
    with pytest.raises(ModelError, match="there is no model 'none'"):
        Reader("none")
    assert issubclass(ModelError, DigitrecError)


def test_max_error_decides_what_is_accepted(tmp_path: Path) -> None:
    strict = Reader(max_error=0.0001)

    (page,) = strict.read(draw(7))

    assert page.text == "7"
    assert (page.status, page.reason) == (PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    with pytest.raises(SettingsError, match="max_error"):
        Reader(max_error=2)


def test_limits_of_the_workspace_in_the_current_folder_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digitrec.toml").write_text("max_pixels = 1000\n")
    monkeypatch.chdir(tmp_path)

    (page,) = digitrec.read(draw(7))

    assert (page.status, page.reason) == (PageStatus.REJECTED, Reason.TOO_LARGE)
