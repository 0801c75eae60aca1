"""The shipped model on drawn pages that hold more than a digit: nothing is accepted unless all of it was read."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.training.datasets import registry
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.pages.kinds import draw_page
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import Box, Limits, PageReading, PageStatus, Reason
from tests.recognition.test_unread import odd_pages

PAGES = 12
SEED = 3


@pytest.fixture(scope="module")
def sources() -> GlyphSources:
    split = registry.load_dataset("mnist-5k").evaluation
    return GlyphSources.from_digits(split.pictures, split.digits, glyphs.load_glyphs())


@pytest.fixture(scope="module")
def bundle() -> ModelPackage:
    return ModelPackage.open(composition.SHIPPED_MODELS_DIR)


@pytest.fixture(scope="module")
def reader(bundle: ModelPackage) -> PageReader:
    return composition.load_page_reader(bundle)


def read(content: bytes, reader: PageReader, bundle: ModelPackage) -> PageReading:
    (readings,) = read_files.decide_readings(
        [read_files.read_bytes(content, Limits(), reader)], bundle.thresholds(0.005)
    )
    (reading,) = readings
    return reading


def readings(kind: str, sources: GlyphSources, reader: PageReader, bundle: ModelPackage) -> Iterator[PageReading]:
    for number in range(PAGES):
        yield read(draw_page(sources, kind, number, SEED).file.content, reader, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sum", "word"])
def test_a_word_or_an_equals_sign_goes_to_review(
    kind: str, sources: GlyphSources, reader: PageReader, bundle: ModelPackage
) -> None:
    results = [*readings(kind, sources, reader, bundle)]

    assert [reading.status for reading in results] == [PageStatus.REVIEW] * PAGES
    assert Reason.OTHER_MARKS in {reading.reason for reading in results}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "least"),
    [("rows", 6), ("table_lines", 1), ("table_bare", 5), ("cells", 8), ("frame_year", 4), ("minus", 6), ("decimal", 2)],
)
def test_accepted_pages_of_several_numbers_are_read_whole(
    kind: str, least: int, sources: GlyphSources, reader: PageReader, bundle: ModelPackage
) -> None:
    pages = [draw_page(sources, kind, number, SEED) for number in range(PAGES)]
    results = [read(page.file.content, reader, bundle) for page in pages]

    accepted = [
        reading.text == " ".join(page.truth.texts)
        for page, reading in zip(pages, results, strict=True)
        if reading.status is PageStatus.ACCEPTED
    ]
    assert len(accepted) >= least
    assert accepted.count(False) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["edge", "desk", "black_margin", "thin_pen", "turned", "frame"])
def test_a_page_with_writing_is_never_rejected(
    kind: str, sources: GlyphSources, reader: PageReader, bundle: ModelPackage
) -> None:
    assert PageStatus.REJECTED not in {reading.status for reading in readings(kind, sources, reader, bundle)}


@pytest.mark.slow
def test_a_page_without_writing_is_never_accepted(
    sources: GlyphSources, reader: PageReader, bundle: ModelPackage
) -> None:
    assert PageStatus.ACCEPTED not in {reading.status for reading in readings("empty", sources, reader, bundle)}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("single", 10), ("speck", 8), ("one_number", 6), ("frame", 6)])
def test_completely_read_pages_are_still_accepted(
    kind: str, least: int, sources: GlyphSources, reader: PageReader, bundle: ModelPackage
) -> None:
    results = [*readings(kind, sources, reader, bundle)]

    assert sum(reading.status is PageStatus.ACCEPTED for reading in results) >= least


@pytest.mark.slow
@pytest.mark.parametrize("place", [(4, 180), (1440, 60), (1400, 1180), (60, 1190)])
@pytest.mark.parametrize("level", [40, 225])
def test_a_small_digit_near_the_edge_is_not_blank(
    place: tuple[int, int], level: int, reader: PageReader, bundle: ModelPackage
) -> None:
    page = np.full((1200, 1600), 255 - level if level < 128 else 30, np.uint8)
    cv2.putText(page, "5", place, cv2.FONT_HERSHEY_SIMPLEX, 3, level, 6, cv2.LINE_AA)
    _, content = cv2.imencode(".png", page)

    results = read(content.tobytes(), reader, bundle)

    assert results.status is not PageStatus.REJECTED


@pytest.mark.parametrize("level", [255, 128, 0])
def test_a_bare_page_is_blank(level: int, reader: PageReader, bundle: ModelPackage) -> None:
    _, content = cv2.imencode(".png", np.full((300, 200), level, np.uint8))

    assert read(content.tobytes(), reader, bundle).reason is Reason.BLANK


@pytest.mark.slow
@given(page=odd_pages, has_colours=st.booleans())
def test_a_page_of_any_shape_is_answered(page: Picture, has_colours: bool, reader: PageReader) -> None:
    rows, columns = page.shape
    picture = np.dstack([page, page, 255 - page]) if has_colours else page

    steps = reader.trace("png", DecodedPage(1, columns, rows, picture))

    assert (steps.page.width, steps.page.height) == (columns, rows)
    assert all(is_inside(box, columns, rows) for box in steps.page.boxes)
    # Unread ink is in pixels of the page as it was read: perhaps enlarged or turned.
    assert all(is_inside(box, steps.initial.width, steps.initial.height) for box in steps.unread)
    assert np.isfinite(steps.page.scores).all()
    assert bool(steps.page.boxes) or steps.page.reason in {Reason.BLANK, Reason.OTHER_MARKS}
    assert not steps.unread or steps.page.reason is not None


def is_inside(box: Box, width: int, height: int) -> bool:
    return 0 <= box.x < box.x + box.width <= width and 0 <= box.y < box.y + box.height <= height
