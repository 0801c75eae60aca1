"""The files of a chunk are read side by side, and each as it is read alone."""

import dataclasses
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import digitrec
from digitrec.app import composition
from digitrec.arrays import PageResult, Picture
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.models.package import ModelPackage
from digitrec.pipeline.read_files import FileResult, ReadJob, group_by_bytes, read_chunk
from digitrec.recognition.reader import PageReader
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import Limits, Reason
from tests.conftest import draw, reader

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


def scan(digit: int, height: int, width: int) -> bytes:
    small = cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE)
    sheet = np.full((height, width), 230, np.uint8)
    side = min(height, width) // 2
    sheet[side // 2 : side // 2 + side, side // 2 : side // 2 + side] = cv2.resize(small, (side, side))
    return cv2.imencode(".jpg", sheet)[1].tobytes()


def document(*digits: int) -> bytes:
    pages = [Image.open(BytesIO(draw(digit))).convert("L") for digit in digits]
    packed = BytesIO()
    pages[0].save(packed, "TIFF", save_all=True, append_images=pages[1:])
    return packed.getvalue()


def jobs_of(folder: Path, files: Sequence[bytes]) -> list[ReadJob]:
    jobs = []
    for number, content in enumerate(files):
        path = folder / f"{number:03}"
        path.write_bytes(content)
        state = path.stat()
        jobs.append(ReadJob(path, state.st_ino, state.st_size, state.st_mtime_ns))
    return jobs


def assert_same(result: FileResult, other: FileResult) -> None:
    for field in dataclasses.fields(FileResult):
        if field.name != "pages":
            assert getattr(result, field.name) == getattr(other, field.name)
    for page, its_other in zip(result.pages, other.pages, strict=True):
        for field in dataclasses.fields(PageResult):
            np.testing.assert_array_equal(getattr(page, field.name), getattr(its_other, field.name))


def row(*digits: int) -> bytes:
    signs = [cv2.imdecode(np.frombuffer(draw(digit), np.uint8), cv2.IMREAD_GRAYSCALE) for digit in digits]
    return cv2.imencode(".png", np.hstack(signs))[1].tobytes()


FILES = [
    draw(3),
    scan(7, 300, 220),
    b"",
    document(4, 5, 6),
    scan(2, 200, 300)[:-400],
    scan(8, 120, 100),
    b"no picture at all",
    document(1, 2)[:300],
    cv2.imencode(".png", np.full((50, 40), 255, np.uint8))[1].tobytes(),
    scan(9, 1400, 1100),
    draw(0),
    row(4, 2),
    row(1, 7, 3),
    draw(6),
]


def test_a_photo_rejected_at_full_resolution_costs_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = decode._decode_turbo

    def turbo(data: bytes, colours: str, size: tuple[int, int], longest_px: int) -> Picture:
        if longest_px > decode.FAST_PATH_PX and size == (1600, 1200):
            raise ValueError("corrupt from here on")
        return real(data, colours, size, longest_px)

    monkeypatch.setattr(decode, "_decode_turbo", turbo)
    jobs = jobs_of(tmp_path, [draw(3), scan(5, 1600, 1200), draw(8)])

    before, refused, after = read_chunk(jobs, Limits(), reader())

    assert [len(content.pages) for content in (before, after)] == [1, 1]
    assert [page.reason for page in refused.pages] == [Reason.TRUNCATED]


@pytest.mark.slow
def test_files_of_a_chunk_are_read_as_if_alone(tmp_path: Path) -> None:
    jobs, shipped = jobs_of(tmp_path, FILES), composition.load_page_reader(ModelPackage.open(SHIPPED))
    (tmp_path / "006").write_bytes(b"somebody writes into it")
    (tmp_path / "010").unlink()

    together = read_chunk(jobs, Limits(), shipped)

    assert len(together) == len(jobs)
    for job, content in zip(jobs, together, strict=True):
        assert_same(content, *read_chunk([job], Limits(), shipped))
    assert [content.rejected for content in together[:3]] == [None, None, Reason.EMPTY_FILE]
    assert [len(content.pages) for content in together] == [1, 1, 0, 3, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1]
    assert [bool(content.defer_reason) for content in together] == [at in {6, 10} for at in range(14)]
    assert [len(together[at].pages[0].boxes) for at in (11, 12, 13)] == [2, 3, 1]
    assert together[8].pages[0].reason is Reason.BLANK


def test_only_small_pages_are_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[tuple[str, int]]] = []
    trace_all = PageReader.trace_all

    def noted(self: PageReader, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        seen.append([(name, sheet.number) for name, sheet in sheets])
        return trace_all(self, sheets)

    monkeypatch.setattr(PageReader, "trace_all", noted)
    large = cv2.imencode(".png", np.full((1100, 1000), 255, np.uint8))[1].tobytes()
    files = [draw(3), large, document(4, 5), draw(6)]

    contents = read_chunk(jobs_of(tmp_path, files), Limits(), reader())

    assert seen == [[("png", 1)], [("tiff", 1)], [("tiff", 2)], [("png", 1), ("png", 1)]]
    assert [len(content.pages) for content in contents] == [1, 1, 2, 1]


@given(st.lists(st.integers(0, 3_000_000), max_size=12))
def test_groups_hold_at_most_a_megabyte_or_a_single_file(sizes: list[int]) -> None:
    jobs = [ReadJob(Path(str(number)), 0, size, 0) for number, size in enumerate(sizes)]

    groups = [*group_by_bytes(jobs, lambda job: job.size)]

    assert [job for group in groups for job in group] == jobs
    assert all(len(group) == 1 or sum(job.size for job in group) <= 1 << 20 for group in groups)
    for group, following in pairwise(groups):
        assert sum(job.size for job in (*group, following[0])) > 1 << 20  # none could have held one more
