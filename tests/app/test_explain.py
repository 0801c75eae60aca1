"""`predict --explain` and `--explain-dir`: drawings of the processing steps, beside the usual rows."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from digitrec.app import explain
from digitrec.app.reader import Reader
from digitrec.arrays import Picture
from digitrec.errors import UsageError
from digitrec.recognition import canvas, visualize
from digitrec.recognition.trace import RecognitionTrace
from digitrec.types import PageReading
from tests.cli.test_main import call
from tests.conftest import draw


def read_png(path: Path) -> Picture:
    return np.asarray(cv2.imread(str(path)), np.uint8)


def document(pages: int) -> bytes:
    paper = [Image.fromarray(np.full((60, 50), 200 + number, np.uint8)) for number in range(pages)]
    file = io.BytesIO()
    paper[0].save(file, "TIFF", save_all=True, append_images=paper[1:])
    return file.getvalue()


@pytest.fixture
def drawn_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that receives the drawn lines of text."""
    texts: list[str] = []
    draw_real = canvas.text_block
    monkeypatch.setattr(canvas, "text_block", lambda lines, **how: texts.extend(lines) or draw_real(lines, **how))
    return texts


@pytest.fixture
def drawn_pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list that receives the numbers of drawn pages."""
    numbers: list[int] = []
    draw_real = visualize.draw_trace

    def draw_trace(trace: RecognitionTrace, reading: PageReading, threshold: float) -> Picture:
        numbers.append(reading.page)
        return draw_real(trace, reading, threshold)

    monkeypatch.setattr(visualize, "draw_trace", draw_trace)
    return numbers


def test_explain_writes_a_picture_and_prints_the_usual_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sieben ü.png").write_bytes(draw(7))
    (tmp_path / "why.png").write_bytes(b"an earlier file")

    assert call(monkeypatch, tmp_path, "predict", "--explain", "why.png", "sieben ü.png", "--json") == 0

    assert json.loads(capsys.readouterr().out)[0]["text"] == "7"
    assert min(read_png(tmp_path / "why.png").shape[:2]) > 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sieben ü.png", "why.png"]


def test_explain_takes_a_single_picture_and_never_replaces_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "7.png").write_bytes(draw(7))

    assert call(monkeypatch, tmp_path, "predict", "--explain", "why.png", "7.png", "7.png") == 2
    assert "one picture" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path, "predict", "--explain", "./7.png", "7.png") == 2
    assert "picture itself" in capsys.readouterr().err
    assert (tmp_path / "7.png").read_bytes() == draw(7)
    assert not (tmp_path / "why.png").exists()


@pytest.mark.slow
def test_explain_dir_draws_every_readable_picture_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for folder, digit in (("a", 7), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scan.png").write_bytes(draw(digit))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    words = (
        "predict",
        "a/scan.png",
        "b/scan.png",
        "bad.jpg",
        "missing.png",
        "--csv",
        "--explain-dir",
        "explained/today",
    )

    assert call(monkeypatch, tmp_path, *words) == 2  # a file is missing
    first = {path.name: path.read_bytes() for path in (tmp_path / "explained" / "today").iterdir()}
    call(monkeypatch, tmp_path, *words)
    again = {path.name: path.read_bytes() for path in (tmp_path / "explained" / "today").iterdir()}

    captured = capsys.readouterr()
    assert captured.out.count("scan.png") == 4
    assert "missing.png" in captured.err
    assert [*sorted(first)] == ["bad.png", "scan.png", "scan~2.png"]
    assert first["scan.png"] != first["scan~2.png"]
    assert again == first


def test_existing_files_in_the_folder_stay(tmp_path: Path) -> None:
    picture = tmp_path / "7.png"
    picture.write_bytes(draw(7))

    written = explain.write_explanations([Reader().read(picture)], tmp_path)

    assert [path.name for path in written] == ["7~2.png"]
    assert picture.read_bytes() == draw(7)


def test_a_link_to_the_picture_is_the_picture_itself(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(draw(7))
    (tmp_path / "why.png").symlink_to("7.png")

    with pytest.raises(UsageError, match="picture itself"):
        explain.write_explanation(Reader().read(tmp_path / "7.png"), tmp_path / "why.png")

    assert (tmp_path / "why.png").is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize(("pages", "expected"), [(1, 1), (3, 3), (8, 8), (11, 8)])
def test_only_the_first_eight_pages_have_a_block(
    drawn_pages: list[int], drawn_texts: list[str], tmp_path: Path, pages: int, expected: int
) -> None:
    (tmp_path / "scan.tif").write_bytes(document(pages))

    drawing = explain.draw_explanation(Reader().read(tmp_path / "scan.tif"))

    assert drawn_pages == [*range(1, expected + 1)]
    assert drawing.shape[0] > 200 * expected
    assert drawn_texts[0] == str(tmp_path / "scan.tif")
    assert ("There are more pages: the first 8 are shown." in drawn_texts) == (pages > expected)


def test_a_file_that_is_rejected_has_its_reason_drawn(drawn_texts: list[str]) -> None:
    drawing = explain.draw_explanation(Reader().read(b"no picture"))

    assert drawing.shape[0] < 200
    assert "not_an_image: the content is not a picture" in drawn_texts


def test_the_same_bytes_give_the_same_drawing() -> None:
    first, second = (canvas.encode_png(explain.draw_explanation(Reader().read(draw(7)))) for _ in range(2))

    assert first == second
    assert first.startswith(b"\x89PNG")
