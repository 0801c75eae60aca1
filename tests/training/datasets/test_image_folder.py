"""Folders of labelled pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.training.datasets.image_folder import find_labelled_pictures, load_image_folder

pytestmark = pytest.mark.slow


def draw(path: Path, text: str) -> Path:
    paper = np.full((90, 40 + 50 * len(text)), 235, np.uint8)
    for position, digit in enumerate(text):
        cv2.putText(paper, digit, (20 + 55 * position, 68), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 20, 5, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), paper)
    return path


def test_pictures_are_labelled_by_their_folder(tmp_path: Path) -> None:
    three, seven = draw(tmp_path / "3" / "a.png", "3"), draw(tmp_path / "by" / "anna" / "7" / "b.jpg", "7")
    draw(tmp_path / "other" / "c.png", "5")
    (tmp_path / "3" / "notes.txt").write_text("not a picture")
    draw(tmp_path / "3" / ".hidden.png", "3")

    assert [(picture.path, picture.label) for picture in find_labelled_pictures(tmp_path)] == [
        (three, "3"),
        (seven, "7"),
    ]


def test_a_list_has_precedence_over_the_folder(tmp_path: Path) -> None:
    path = draw(tmp_path / "3" / "a.png", "8")
    (tmp_path / "labels.csv").write_text("file,label\n3/a.png,8\n")

    assert [(picture.path, picture.label) for picture in find_labelled_pictures(tmp_path)] == [(path, "8")]


def test_a_deeper_list_has_precedence(tmp_path: Path) -> None:
    draw(tmp_path / "in" / "a.png", "8")
    (tmp_path / "labels.csv").write_text("file,label\nin/a.png,1\n")
    (tmp_path / "in" / "labels.csv").write_text("\ufefffile,label\r\na.png,8\r\n", encoding="utf-8")

    assert [picture.label for picture in find_labelled_pictures(tmp_path)] == ["8"]


def test_training_uses_single_digits_and_counts_the_excluded(tmp_path: Path) -> None:
    for name, text in (("a", "4"), ("b", "17"), ("c", "2")):
        draw(tmp_path / f"{name}.png", text)
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((60, 60), 240, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "labels.csv").write_text(
        "file,label\na.png,4\nb.png,17\nc.png,2\nblank.png,none\nbroken.png,3\n", encoding="utf-8"
    )

    dataset = load_image_folder(tmp_path)

    assert dataset.train.digits.tolist() == [4, 2]
    assert dataset.train.pictures.shape == (2, 28, 28)
    assert dataset.train.pictures.max() > 200
    assert "2 without one digit" in dataset.source
    assert "1 not read as one digit" in dataset.source
    assert len(find_labelled_pictures(tmp_path)) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header"),
        ("name,label\na.png,1\n", "header"),
        ("file,label\na.png\n", "row 2"),
        ("file,label\n\na.png,\n", "row 3"),
        ("file,label\nmissing.png,1\n", "no file"),
        ('file,label\n"a.png,1\n', "no CSV"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    draw(tmp_path / "a.png", "1")
    (tmp_path / "labels.csv").write_text(text)

    with pytest.raises(DataError, match=message) as caught:
        find_labelled_pictures(tmp_path)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize("label", ["one", "21 37", "-5", "3,14"])
def test_label_may_be_any_text_and_further_columns_are_ignored(tmp_path: Path, label: str) -> None:
    draw(tmp_path / "a.png", "1")
    draw(tmp_path / "b.png", "2")
    (tmp_path / "labels.csv").write_text(f'file,label,by\na.png,"{label}",ann\nb.png,2,bob\n')

    assert [picture.label for picture in find_labelled_pictures(tmp_path)] == [label, "2"]
    assert load_image_folder(tmp_path).evaluation.digits.tolist() == [2]


def test_a_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,label\nö.png,1\n".encode("latin-1"))

    with pytest.raises(DataError, match="UTF-8"):
        find_labelled_pictures(tmp_path)


def test_a_folder_without_labels_says_how_to_label(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "1")

    with pytest.raises(DataError) as caught:
        find_labelled_pictures(tmp_path)
    assert "labels.csv" in caught.value.hint


def test_a_folder_without_single_digits_is_refused(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", "12")
    (tmp_path / "labels.csv").write_text("file,label\na.png,12\n")

    with pytest.raises(DataError, match="none of the 1"):
        load_image_folder(tmp_path)
