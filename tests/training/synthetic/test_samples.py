import csv
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from digitrec.errors import DataError, UsageError
from digitrec.training.datasets import mnist
from digitrec.training.synthetic import samples
from tests.drawing import read_pages

pytestmark = pytest.mark.slow


def clean_digits() -> np.ndarray:
    """(10, 28, 28): 0 to 9, white on black."""
    digits = np.zeros((10, 28, 28), np.uint8)
    for digit, picture in enumerate(digits):
        enlarged = np.zeros((112, 112), np.uint8)
        cv2.putText(enlarged, str(digit), (26, 92), cv2.FONT_HERSHEY_SIMPLEX, 3, 255, 9, cv2.LINE_AA)
        picture[:] = cv2.resize(enlarged, (28, 28), interpolation=cv2.INTER_AREA)
    return digits


DIGITS, LABELS = clean_digits(), np.arange(10)


def generate(count: int = 20, seed: int = 0) -> list[samples.SampleFile]:
    return list(samples.generate_samples(DIGITS, LABELS, count, seed))


def labels_of(folder: Path) -> list[list[str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert generate() == generate()


def test_more_scans_begin_with_the_same_ones() -> None:
    assert generate(12)[:5] == generate(5)


def test_another_seed_gives_other_scans() -> None:
    assert not {content for _, content, _ in generate(seed=1)} & {content for _, content, _ in generate(seed=2)}


def test_scans_differ_in_format_size_and_colour() -> None:
    pages = [read_pages(content)[0] for _, content, _ in generate(60)]

    assert {page.format for page in pages} == {"png", "jpeg"}
    assert all(30 < side <= 400 for page in pages for side in (page.width, page.height))
    assert len({page.width for page in pages}) > 30
    dark_pages = sum(float(np.median(page.preview)) < 110 for page in pages)
    assert 4 <= dark_pages <= 20


def test_scans_show_a_single_digit() -> None:
    box_counts = [len(read_pages(content)[0].boxes) for _, content, _ in generate(100)]

    assert box_counts.count(1) >= 95


def test_names_carry_no_answer_and_fit_the_content() -> None:
    for name, content, label in generate(40):
        assert name.startswith("sample-0-")
        assert content.startswith(b"\x89PNG" if name.endswith(".png") else b"\xff\xd8")
        assert 0 <= label <= 9


@given(stn.arrays(np.uint8, (28, 28)), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_digit_with_ink_gives_a_page(digit: np.ndarray, seed: int) -> None:
    digit[10:18, 12:16] = 255

    page, _ = samples.generate_page_and_ink(digit, np.random.default_rng(seed))

    assert page.dtype == np.uint8
    assert page.ndim == 3


def test_a_blank_digit_is_refused() -> None:
    with pytest.raises(DataError):
        samples.generate_page_and_ink(np.zeros((28, 28), np.uint8), np.random.default_rng(0))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(DataError):
        list(samples.generate_samples(DIGITS[:0], LABELS[:0], 1, 0))


def test_scans_are_written_with_their_labels(tmp_path: Path) -> None:
    scans = generate(3)

    paths = samples.save_samples(tmp_path / "new" / "folder", scans)

    assert [path.read_bytes() for path in paths] == [content for _, content, _ in scans]
    assert labels_of(tmp_path / "new" / "folder") == [["file", "label"]] + [
        [name, str(label)] for name, _, label in scans
    ]


def test_existing_labels_are_preserved(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('file,label\n"a,b.png",7\n', encoding="utf-8")

    samples.save_samples(tmp_path, generate(1))

    assert labels_of(tmp_path)[:2] == [["file", "label"], ["a,b.png", "7"]]
    assert len(labels_of(tmp_path)) == 3


def test_an_existing_picture_is_never_overwritten(tmp_path: Path) -> None:
    name, content, label = generate(1)[0]
    (tmp_path / name).write_bytes(b"someone's own")

    (path,) = samples.save_samples(tmp_path, generate(1))

    assert (tmp_path / name).read_bytes() == b"someone's own"
    assert path.name == f"{Path(name).stem}~2{Path(name).suffix}"
    assert path.read_bytes() == content
    assert [path.name, str(label)] in labels_of(tmp_path)


def test_scans_of_the_same_name_become_two_files(tmp_path: Path) -> None:
    paths = samples.save_samples(tmp_path, [("a.png", b"one", 1), ("a.png", b"two", 1)])

    assert [path.read_bytes() for path in paths] == [b"one", b"two"]


def test_saving_twice_changes_nothing(tmp_path: Path) -> None:
    first = samples.save_samples(tmp_path, generate(4))
    before = labels_of(tmp_path)

    assert samples.save_samples(tmp_path, generate(4)) == first
    assert labels_of(tmp_path) == before


def test_a_foreign_labels_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name;class\nx;1\n", encoding="utf-8")

    with pytest.raises(UsageError):
        samples.save_samples(tmp_path, generate(1))

    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_a_scan_without_visible_ink_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    split = mnist.load_mnist_5k().evaluation
    rng = np.random.default_rng((7, 673))
    faint, _ = samples.generate_page_and_ink(split.pictures[int(rng.integers(len(split.pictures)))], rng)

    draw, blank, calls = (
        samples._draw_visible,
        np.zeros((2, 2, 3), np.uint8),
        itertools.count(),
    )  # each has its own seed
    monkeypatch.setattr(samples, "_draw_visible", lambda digit, rng: draw(digit, rng) if next(calls) == 673 else blank)

    scans = samples.generate_samples(split.pictures, split.digits, 674, seed=7)
    ((name, content, label),) = itertools.islice(scans, 673, 674)

    assert (name.partition(".")[0], label) == ("sample-7-0674", 3)
    assert faint.shape[:2] != cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE).shape


def test_the_text_of_a_page_is_a_label_too(tmp_path: Path) -> None:
    samples.save_samples(tmp_path, [("a.png", b"1", 7), ("b.png", b"2", "21 37")])

    assert labels_of(tmp_path) == [["file", "label"], ["a.png", "7"], ["b.png", "21 37"]]
