"""A file's bytes -> its pages with their scores, in whatever thread or process."""

import dataclasses
import gc
import pickle
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

import digitrec
from digitrec.app import composition
from digitrec.arrays import Ink, PageResult, Picture, Scores
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.pipeline.executor import LocalExecutor
from digitrec.pipeline.read_files import FileResult
from digitrec.pipeline.worker_process import WorkerProcess
from digitrec.recognition.classifier import CLASSES, NO_DIGIT
from digitrec.recognition.decision import decide
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.types import Limits, PageStatus, Reason, Thresholds
from tests.conftest import draw, reader
from tests.drawing import read_file, saved
from tests.recognition.drawn import fill, frame, paper, stroke, write
from tests.recognition.stand_ins import Says, Sorter, Spells, dark, ink_by, line_by, nothing

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


def running() -> bool:
    return False


def assert_same(page: PageResult, other: PageResult) -> None:
    for field in dataclasses.fields(PageResult):
        np.testing.assert_array_equal(getattr(page, field.name), getattr(other, field.name))


def test_every_digit_of_a_page_has_a_row_of_scores() -> None:
    (page,) = read_file(reader(), draw(7))

    assert page.scores.shape == (len(page.boxes), CLASSES) == (1, 11)
    assert page.scores.argmax() == 7


def test_blank_and_undecodable_pages_have_a_reason_and_no_scores() -> None:
    paper = np.full((40, 30), 240, np.uint8)
    broken = RejectedImage(Reason.TRUNCATED, "it ends in the middle")

    blank = reader().trace("png", DecodedPage(1, 30, 40, paper)).page
    undecoded = reader().trace("tiff", DecodedPage(2, 300, 400, broken)).page

    assert (blank.reason, blank.scores.shape) == (Reason.BLANK, (0, 11))
    assert (undecoded.reason, undecoded.detail) == (Reason.TRUNCATED, "it ends in the middle")
    assert (undecoded.number, undecoded.width, undecoded.height, undecoded.scores.shape) == (2, 300, 400, (0, 11))


def test_a_page_that_cannot_be_decoded_larger_costs_only_its_own_row() -> None:
    picture = paper(900, 900)
    for row in range(5):
        write(picture, "7 7 7 7 7", 100, 100 + 150 * row, high=24)

    def fail(longest_px: int) -> Picture:
        raise RejectedImage(Reason.TRUNCATED, f"damaged at {longest_px} pixels")

    small = DecodedPage(1, 3600, 3600, picture, fail)
    damaged, other = reader().trace_all([("jpeg", small), ("png", DecodedPage(1, 900, 900, picture))])

    assert damaged.page.reason is Reason.TRUNCATED
    assert other.page.boxes


def test_what_is_no_picture_is_rejected() -> None:
    with pytest.raises(RejectedImage):
        read_file(reader(), b"no picture")


class Files(list[bytes]):
    """A list of files that can be referred to weakly."""


def test_a_rejected_file_keeps_no_file_in_memory() -> None:
    page_reader, files = reader(), Files([draw(7), b"no picture", saved(paper(80, 60), "JPEG")[:-20]])
    alive = weakref.ref(files)
    gc.disable()
    try:
        pages, *rejected = page_reader.read_files(files, Limits())
        del files
        is_freed = alive() is None
    finally:
        gc.enable()

    assert is_freed
    assert isinstance(pages, list)
    assert [type(result) for result in rejected] == [RejectedImage, RejectedImage]


def test_pages_are_decoded_lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    events = []

    class Scorer:
        fingerprint = "tells when it is asked"

        def score(self, ink: Ink) -> Scores:
            events.append("scored")
            return np.full((len(ink), CLASSES), 1 / CLASSES, np.float32)

    def sheets(*_: object) -> tuple[str, Iterator[DecodedPage]]:
        def page_reader() -> Iterator[DecodedPage]:
            for number in (1, 2):
                events.append("decoded")
                yield DecodedPage(number, 60, 80, write(paper(80, 60), "7", 15, 60))

        return "tiff", page_reader()

    monkeypatch.setattr(decode, "decode_pages", sheets)

    assert [page.number for page in read_file(PageReader(Scorer()), b"")] == [1, 2]
    assert events == ["decoded", "scored"] * 2


def test_a_reader_that_was_sent_gives_the_same_pages() -> None:
    sent = pickle.loads(pickle.dumps(reader()))

    (page,), (other,) = (read_file(page_reader, draw(3)) for page_reader in (reader(), sent))

    assert_same(page, other)


@pytest.mark.slow
def test_the_shipped_model_reads_the_same_in_threads_and_in_a_child(tmp_path: Path) -> None:
    shipped = composition.load_page_reader(ModelPackage.open(SHIPPED))
    chunks = []
    for digit in range(10):
        (tmp_path / f"{digit}.png").write_bytes(draw(digit))
        chunks.append([tmp_path / f"{digit}.png"])
    read_paths = partial(read_files.read_paths, limits=Limits(), reader=shipped)
    here = [read_paths(chunk) for chunk in chunks]

    in_threads = list(LocalExecutor(3, 60.0).map(read_paths, chunks, running))
    child = WorkerProcess(timeout_s=60.0)
    try:
        in_child = [child.call(read_paths, chunk, running) or [] for chunk in chunks]
    finally:
        child.stop()

    for others in (in_threads, in_child):
        for (page,), (other,) in zip(here, others, strict=True):
            assert_same(page.pages[0], other.pages[0])
    assert "".join(page.text for page in _readings(here)) == "0123456789"


def _readings(contents: list[list[FileResult]]) -> list[read_files.PageReading]:
    return [page for (content,) in contents for page in read_files.decide_readings([content], Thresholds(0.5, 0.5))[0]]


def photo(height: int) -> bytes:
    """A page of 1600 x 2000 pixels as JPEG, with a 7 that is drawn in a square of this height."""
    page = np.full((2000, 1600), 235, np.uint8)
    digit = cv2.imdecode(np.frombuffer(draw(7), np.uint8), cv2.IMREAD_GRAYSCALE)
    page[400 : 400 + height, 500 : 500 + height] = cv2.resize(digit, (height, height))
    return bytes(cv2.imencode(".jpg", page)[1])


def test_a_large_photo_is_segmented_in_more_detail_than_on_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((7,))))
    fast, closely = (
        PageReader(Sorter(7, sure), networks).trace("jpeg", next(decode.decode_pages(photo(1000), Limits())[1]))
        for sure in (0.999, 0.98)
    )

    for steps, height in ((fast, 250), (closely, 1000)):
        assert steps.decoded is not None
        assert steps.decoded.picture.shape[0] == height
        (box,) = steps.page.boxes
        assert (steps.page.width, steps.page.height) == (1600, 2000)
        assert 400 <= box.y < box.y + box.height <= 1400
    assert fast.took_fast_path
    assert not closely.took_fast_path


def rows_of_numbers() -> Picture:
    page = paper(260, 420)
    for row in range(2):
        for column in range(2):
            write(page, "47", 60 + 190 * column, 90 + 100 * row)
    return page


def tight() -> Picture:
    """A 3 of 16 pixels that touches the edges."""
    points = [(0, 4), (8, 0), (14, 4), (7, 8), (15, 11), (8, 15), (0, 11)]
    return np.where(stroke(paper(16, 16, 255), *points, thick=2) < 160, 0, 255).astype(np.uint8)


def two_sevens() -> Picture:
    return write(write(paper(120, 260), "7", 30, 80), "7", 180, 80)


PICTURES = {
    "a digit": write(paper(120, 90), "7", 30, 80),
    "rows": rows_of_numbers(),
    "a small crop": tight(),
    "bare paper": paper(50, 70),
    "a cell": write(frame(paper(100, 120), 10, 10, 110, 90), "7", 44, 70),
    "two numbers": two_sevens(),
    "a margin": write(fill(paper(200, 300), 0, 0, 50, 200, level=8), "47", 130, 120),
}


def trusting(monkeypatch: pytest.MonkeyPatch) -> PageReader:
    """A reader whose models all say 47, surely."""
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((4, 7), 0.9999)))
    return PageReader(Spells((4, 7), 0.999), models)


def test_the_result_of_a_page_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((4, 7), 0.9999)))
    page_reader = PageReader(reader().classifier, models)
    files = [saved(picture) for picture in PICTURES.values()]

    together = page_reader.read_files(files, Limits())
    backwards = page_reader.read_files(files[::-1], Limits())[::-1]

    for data, pages, others in zip(files, together, backwards, strict=True):
        assert not isinstance(pages, RejectedImage)
        assert not isinstance(others, RejectedImage)
        (alone,) = read_file(page_reader, data)
        assert_same(alone, pages[0])
        assert_same(alone, others[0])


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("has_models", [True, False])
def test_the_boxes_of_a_page_are_inside_it(name: str, has_models: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = PICTURES[name]
    page_reader = trusting(monkeypatch) if has_models else PageReader(Spells((4, 7)))

    (page,) = read_file(page_reader, saved(picture))

    assert (page.height, page.width) == picture.shape
    assert all(0 <= box.x < box.x + box.width <= page.width for box in page.boxes)
    assert all(0 <= box.y < box.y + box.height <= page.height for box in page.boxes)
    assert bool(page.boxes) == (name != "bare paper")


def test_the_numbers_of_a_page_are_read_without_page_models() -> None:
    (page,) = read_file(PageReader(Spells((4, 7))), saved(rows_of_numbers()))

    assert [(span.line, span.column, span.stop - span.start) for span in page.numbers] == [
        (1, 1, 2),
        (1, 2, 2),
        (2, 1, 2),
        (2, 2, 2),
    ]
    assert page.reason is None
    assert page.scores[:, :NO_DIGIT].argmax(axis=1).tolist() == [4, 7] * 4


def test_several_numbers_on_one_line_are_numbers_of_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = trusting(monkeypatch).trace("png", DecodedPage(1, 260, 120, two_sevens()))

    assert not steps.took_fast_path
    assert steps.page_path is not None
    assert [(span.line, span.column) for span in steps.page.numbers] == [(1, 1), (1, 2)]


def test_ink_beside_a_digit_that_the_fast_path_leaves_out_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_half(entry: np.ndarray) -> np.ndarray:
        ink = dark(entry)
        ink[:, :, 32:] = 0
        return ink

    models = RecognitionModels(ink_by(monkeypatch, left_half), line_by(monkeypatch, Says((7,), 0.9999)))
    steps = PageReader(Sorter(7, 0.999), models).trace("png", DecodedPage(1, 220, 120, two_sevens()[:, 20:240]))

    assert len(steps.page.boxes) == 2 or steps.page.reason is Reason.OTHER_MARKS


def test_a_small_crop_is_read_enlarged_and_its_box_is_in_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, dark), line_by(monkeypatch, Says((3,), 0.9999)))

    steps = PageReader(Sorter(3, 0.999), models).trace("png", DecodedPage(1, 16, 16, tight()))

    assert steps.enlarged is not None
    (box,) = steps.page.boxes
    assert (steps.page.width, steps.page.height) == (16, 16)
    assert box.width >= 13
    assert box.height >= 13


def test_ink_that_no_model_sees_is_reviewed_not_called_blank(monkeypatch: pytest.MonkeyPatch) -> None:
    models = RecognitionModels(ink_by(monkeypatch, nothing), line_by(monkeypatch, Says((), 0.9999)))

    (page,) = read_file(PageReader(Sorter(NO_DIGIT, 0.999), models), saved(write(paper(120, 90), "7", 30, 80)))

    assert page.reason is not Reason.BLANK
    assert decide(page, Thresholds(0.5, 0.5)).status is PageStatus.REVIEW
