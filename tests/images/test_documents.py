"""The processes that decode PDF and HEIC: what they survive, what they may use, and that none is left behind."""

import io
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from digitrec.errors import RejectedImage
from digitrec.images import documents
from digitrec.images.formats import FileFormat, detect_format
from digitrec.types import Limits, Reason
from tests.drawing import LIMITS, page_of, read_page, read_pages, rejection, saved
from tests.images.pdfs import DRAWN, bomb, drawn, pdf, scanned, stream

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def heic(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=50, enc_params={"preset": "ultrafast"}, **options)
    return buffer.getvalue()


GREY = Image.fromarray(page_of())
SMALL = {"pdf": pdf(drawn()), "heic": heic(GREY)}
LARGE_PX = 4000 * 4000
LARGE = heic(Image.new("RGB", (4000, 4000), (235, 235, 235)))
TWO_PAGES = saved(GREY, "PDF", save_all=True, append_images=[GREY])


def kind(data: bytes) -> FileFormat:
    result = detect_format(data)
    assert result is not None
    return result


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No process with the limits of another test."""
    documents._discard_all()
    yield
    documents._discard_all()


@pytest.mark.parametrize("data", [bomb(9), LARGE], ids=["pdf", "heic"])
def test_a_file_that_fills_the_memory_costs_its_row(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than a process takes for the HEIC; for the PDF, whose forms call each other, what one without them takes.
    monkeypatch.setattr(documents, "_MIN_MEMORY", -80_000_000 if data is LARGE else 150_000_000)
    limits = Limits(max_bytes=100_000, max_pixels=LARGE_PX if data is LARGE else 1_000_000)

    assert rejection(data, limits).reason is Reason.CRASHES_READER
    monkeypatch.undo()
    assert read_page(SMALL[kind(data).name]).reason is None


ENDLESS = pdf([*drawn()[:3], stream(zlib.compress(DRAWN * 100_000), b"/Filter/FlateDecode")])


def test_a_pdf_that_takes_too_long_to_decode_is_over_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MAX_CPU_S", 0)

    assert "longer than any scan" in rejection(ENDLESS).detail


@pytest.mark.parametrize("data", [ENDLESS, LARGE], ids=["pdf", "heic"])
def test_a_file_that_hangs_without_using_time_costs_its_row(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_MAX_WALL_S", 0.02)

    assert rejection(data).reason is Reason.CRASHES_READER
    monkeypatch.undo()
    assert read_page(SMALL[kind(data).name]).reason is None


@pytest.mark.parametrize("name", SMALL)
def test_a_document_outlives_the_process_that_decodes_it(name: str) -> None:
    data = SMALL[name]
    document = documents._OpenDocument(kind(data), data, LIMITS)
    first = document.decode(0)
    for process in documents._all:
        os.kill(process.pid, signal.SIGSEGV)

    second = document.decode(0)
    document.close()

    np.testing.assert_array_equal(first, second)


def test_a_page_of_the_largest_size_fits_into_the_limits() -> None:
    side = 10_000
    assert side * side == Limits().max_pixels
    photo = heic(Image.new("RGB", (side, side), (235, 235, 235)))
    scan = scanned(zlib.compress(bytes(side * side), 1), b"/BitsPerComponent 8/Filter/FlateDecode", (side, side))

    for data, shape in ((photo, (side, side, 3)), (scan, (334, 250, 3))):
        (page,) = documents.decode_document(kind(data), data, Limits())
        assert not isinstance(page, RejectedImage)
        assert page.shape == shape


def test_what_was_left_in_the_middle_of_an_answer_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(documents.json, "loads", broken)
        with pytest.raises(KeyboardInterrupt):
            read_pages(TWO_PAGES, LIMITS)

    assert read_page(SMALL["pdf"]).reason is None


def test_metadata_libraries_are_not_loaded_into_the_service() -> None:
    program = f"""
import sys
from digitrec.images import decode, documents
from digitrec.types import Limits
for _ in decode.decode_pages({saved(GREY)!r}, Limits())[1]:
    pass
assert not documents._all
for data in {list(SMALL.values())!r}:
    for _ in decode.decode_pages(data, Limits())[1]:
        pass
assert not {{"pillow_heif", "_pillow_heif", "pypdfium2"}} & set(sys.modules)
print(*(process.pid for process in documents._all))
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
    assert not Path("/proc", done.stdout.strip()).exists()


HANGING = f"""
import os, signal, sys
from digitrec.pipeline.worker_process import WorkerProcess
from digitrec.images import documents
from digitrec.images.formats import detect_format
from digitrec.types import Limits

DATA = {SMALL["heic"]!r}

def hang(_=None):
    process = documents.acquire()
    process.open(detect_format(DATA), DATA, Limits())
    os.kill(process.pid, signal.SIGSTOP)
    return process.pid

def running():
    return False
"""
"""A module for a process that starts a process which hangs."""

ENDS = {
    "a parent that is killed": "print(hang(), flush=True); os.kill(os.getpid(), signal.SIGKILL)",
    "a parent that ends at once": "print(hang(), flush=True); os._exit(0)",
    "a fork that exits": "one = WorkerProcess(20); one.fork(hang); pid = one.call(hang, 0, running); one.stop()",
    "a reader that is killed": "child = WorkerProcess(20); pid = child.call(hang, 0, running); child.kill()",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_hangs_ends_with_the_process_that_uses_it(end: str, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    program = f"from hanging import *\n{ENDS[end]}\nprint(pid, flush=True)\nsys.stdin.read()"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        assert _within(5.0, lambda: not _is_alive(pid))
        parent.communicate(b"")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.02)
    return True
