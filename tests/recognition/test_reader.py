"""A file's bytes -> its pages with their scores, in whatever thread or process."""

import dataclasses
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

import digitrec
from digitrec.app import composition
from digitrec.arrays import Ink, PageResult, Scores
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.pipeline.executor import LocalExecutor
from digitrec.pipeline.read_files import FileResult
from digitrec.pipeline.worker_process import WorkerProcess
from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.page import segment_file
from digitrec.recognition.reader import PageReader
from digitrec.types import Limits, Reason, Thresholds
from tests.conftest import draw, reader
from tests.recognition.stand_ins import Says, Sorter, dark, ink_by, line_by

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


def running() -> bool:
    return False


def assert_same(page: PageResult, other: PageResult) -> None:
    for field in dataclasses.fields(PageResult):
        np.testing.assert_array_equal(getattr(page, field.name), getattr(other, field.name))


def test_every_digit_of_a_page_has_a_row_of_scores() -> None:
    (page,) = reader().read(draw(7), Limits())

    assert page.scores.shape == (len(page.boxes), CLASSES) == (1, 11)
    assert page.scores.argmax() == 7
    (page_result,) = segment_file(draw(7), Limits())
    assert_same(page, dataclasses.replace(page_result, scores=page.scores))


def test_blank_and_undecodable_pages_have_a_reason_and_no_scores() -> None:
    paper = np.full((40, 30), 240, np.uint8)
    broken = RejectedImage(Reason.TRUNCATED, "it ends in the middle")

    blank = reader().trace("png", DecodedPage(1, 30, 40, paper)).page
    undecoded = reader().trace("tiff", DecodedPage(2, 300, 400, broken)).page

    assert (blank.reason, blank.scores.shape) == (Reason.BLANK, (0, 11))
    assert (undecoded.reason, undecoded.detail) == (Reason.TRUNCATED, "it ends in the middle")
    assert (undecoded.number, undecoded.width, undecoded.height, undecoded.scores.shape) == (2, 300, 400, (0, 11))


def test_what_is_no_picture_is_rejected() -> None:
    with pytest.raises(RejectedImage):
        reader().read(b"no picture", Limits())


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
                yield DecodedPage(number, 60, 80, np.full((80, 60), 235, np.uint8))

        return "tiff", page_reader()

    monkeypatch.setattr(decode, "decode_pages", sheets)

    assert [page.number for page in PageReader(Scorer()).read(b"", Limits())] == [1, 2]
    assert events == ["decoded", "scored"] * 2


def test_a_reader_that_was_sent_gives_the_same_pages() -> None:
    sent = pickle.loads(pickle.dumps(reader()))

    (page,), (other,) = (page_reader.read(draw(3), Limits()) for page_reader in (reader(), sent))

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


@pytest.mark.parametrize(("height", "sure", "side"), [(600, 0.999, 500), (200, 0.999, 1000), (600, 0.9, 1000)])
def test_a_large_confident_digit_is_read_at_half_the_resolution(height: int, sure: float, side: int) -> None:
    _, sheets = decode.decode_pages(photo(height), Limits())

    steps = PageReader(Sorter(7, sure)).read_full("jpeg", next(sheets))

    assert steps.decoded is not None
    assert steps.decoded.picture.shape[0] == side
    (box,) = steps.page.boxes
    assert (steps.page.width, steps.page.height) == (1600, 2000)
    assert 400 <= box.y < box.y + box.height <= 400 + height


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
