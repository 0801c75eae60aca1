"""Look up a label: `--labels`, then the nearest labels.csv, then the folder's name."""

from pathlib import Path

import pytest

from digitrec.errors import UsageError
from digitrec.pipeline.labels import LabelLookup


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_nearest_labels_file_that_names_the_picture_counts(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", "file,label\na/b/1.png,1\na/b/2.png,2\n")
    write(tmp_path / "a" / "b" / "labels.csv", "file,label\n1.png,7\n")
    truth = LabelLookup(tmp_path)

    assert [truth.find(f"a/b/{name}.png") for name in "123"] == ["7", "2", ""]


def test_a_labels_file_given_by_hand_comes_first(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    write(inbox / "set" / "labels.csv", "file,label\n1.png,1\n2.png,2\n")
    labels_path = write(tmp_path / "elsewhere.csv", "file,label\nset/1.png,9\n")

    truth = LabelLookup(inbox, labels_path)

    assert [truth.find("set/1.png"), truth.find("set/2.png")] == ["9", "2"]
    assert LabelLookup(inbox, inbox / "set" / "labels.csv").find("set/2.png") == "2"


def test_a_folder_named_by_a_digit_is_a_label_only_with_the_option(tmp_path: Path) -> None:
    assert LabelLookup(tmp_path).find("7/a.png") == ""
    asked = LabelLookup(tmp_path, from_folders=True)
    assert [asked.find(path) for path in ("7/a.png", "x/7/a.png", "7/x/a.png", "17/a.png", "a.png")] == [
        "7",
        "7",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("text", ["a,b\n", ""])
def test_a_given_file_that_is_no_labels_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no labels file"):
        LabelLookup(tmp_path, write(tmp_path / "x.csv", text))


def test_quoted_names_and_missing_cells_are_understood(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", 'file,label\r\n"a, b.png", 5 \r\nalone\r\n./c.png,none\r\n')
    truth = LabelLookup(tmp_path)

    assert [truth.find("a, b.png"), truth.find("alone"), truth.find("c.png")] == ["5", "", "none"]


def test_changed_labels_are_read_again(tmp_path: Path) -> None:
    labels = []
    for label in "787":
        write(tmp_path / "a" / "labels.csv", f"file,label\n1.png,{label}\n")
        write(tmp_path / "b" / "labels.csv", f"file,label\n1.png,{label}\n")
        labels.append(
            [
                LabelLookup(tmp_path).find("a/1.png"),
                LabelLookup(tmp_path).find("b/1.png"),
                LabelLookup(tmp_path).find("c/1.png"),
            ]
        )

    assert labels == [["7", "7", ""], ["8", "8", ""], ["7", "7", ""]]


@pytest.mark.slow
def test_labels_are_parsed_once_as_long_as_they_stay_the_same(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", "file,label\n" + "".join(f"{number}.png,{number}\n" for number in range(30_000)))

    assert LabelLookup(tmp_path).listed_files(".") is LabelLookup(tmp_path).listed_files("."), (
        "every batch asks, and to parse them takes long"
    )
