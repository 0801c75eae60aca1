"""Pages that hold more than a digit: the same seed draws the same pages, and what they say is scored by the rules."""

import csv
import doctest
import io
import json
from pathlib import Path

import cv2
import pytest

from benchmarks.pages import __main__ as pages
from benchmarks.pages import scores
from benchmarks.pages.scores import Scored, Tally, score, table
from digitrec.training.datasets import registry
from digitrec.training.synthetic import samples
from digitrec.training.synthetic.pages.truth import Truth, number_lines
from digitrec.types import PageReading, PageStatus, Reason


def truth_of(*numbers: str, words: str = "", is_digits_only: bool = False) -> Truth:
    return Truth(number_lines([numbers]), words, is_digits_only)


def test_the_examples_hold() -> None:
    tried = doctest.testmod(scores)

    assert tried.attempted
    assert not tried.failed


def test_an_unknown_kind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pages.main(["--kinds", "rows,roes"])

    assert "there is no kind roes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("numbers", "words", "status", "text", "is_right", "wrong_numbers"),
    [
        (("5",), "", "accepted", "5", True, 0),
        (("5",), "", "accepted", "6", False, 1),
        (("5",), "", "review", "6", False, 0),
        (("-5",), "", "accepted", "5", True, 1),
        (("-5",), "", "accepted", "-5", True, 0),
        (("12,5",), "", "accepted", "125", True, 1),
        (("12,5",), "", "review", "125", True, 0),
        (("12+5=17",), "", "accepted", "12517", True, 1),
        (("12/03/2024",), "", "accepted", "12/03/2024", True, 0),
        (("21", "37", "65"), "", "accepted", "213765", True, 0),
        (("21", "37", "65"), "", "accepted", "21 37 65", True, 0),
        (("21", "37", "65"), "", "accepted", "2165", False, 1),
        (("21", "37", "65"), "", "accepted", "21", False, 2),
        (("21", "37", "65"), "", "accepted", "213766", False, 1),
        (("7",), "kg", "accepted", "7", True, 1),
        (("7",), "kg", "review", "7", True, 0),
        ((), "", "accepted", "1", False, 1),
        ((), "", "rejected", "", True, 0),
        (("1",), "", "rejected", "", False, 0),
    ],
)
def test_an_answer_is_right_if_it_is_all_that_is_written(
    numbers: tuple[str, ...], words: str, status: str, text: str, is_right: bool, wrong_numbers: int
) -> None:
    scored = Scored("kind", 0, truth_of(*numbers, words=words), status, text)

    assert scored.is_right == is_right
    assert (scored.is_wrong, scored.wrong_numbers) == (wrong_numbers > 0, wrong_numbers)
    assert scored.is_lost == (status == "rejected" and bool(numbers))


def test_of_real_pictures_only_digits_are_compared() -> None:
    assert not Scored("real", 0, truth_of("125", is_digits_only=True), "accepted", "12,5").is_wrong
    assert Scored("real", 0, truth_of("125", is_digits_only=True), "accepted", "12,6").is_wrong
    assert Scored("real", 0, truth_of(is_digits_only=True), "accepted", "1").is_wrong


def test_a_file_of_several_pages_gets_a_single_score() -> None:
    accepted = PageReading(1, PageStatus.ACCEPTED, text="12", confidence=0.99)
    two = PageReading(2, PageStatus.REVIEW, text="7", confidence=0.5, reason=Reason.LOW_CONFIDENCE)

    scored = score("real", 3, truth_of("12", "7"), [accepted, two])

    assert (scored.status, scored.text, scored.reason, scored.confidence) == ("review", "12 7", "low_confidence", 0.5)
    assert scored.is_right


def test_the_table_adds_up() -> None:
    scored = [
        Scored("rows", 0, truth_of("12", "7", "9"), "accepted", "127"),
        Scored("rows", 1, truth_of("1", "2"), "accepted", "12"),
        Scored("rows", 2, truth_of("1", "2"), "review", "12", "low_confidence"),
        Scored("single", 0, truth_of("4"), "accepted", "4"),
        Scored("single", 1, truth_of("4"), "rejected", "", "blank"),
    ]

    tally, lines = Tally.of(scored), table(scored).splitlines()

    assert (tally.pages, tally.right, tally.accepted, tally.wrong_pages, tally.lost) == (5, 3, 3, 1, 1)
    assert (tally.accepted_numbers, tally.wrong_numbers) == (6, 1)
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[2:5]}
    assert cells["rows"] == ["3", "2", "2", "1", "1 of 5", "0", "low_confidence 1"]
    assert cells["single"] == ["2", "1", "1", "0", "0 of 1", "1", "blank 1"]
    assert cells["all"] == ["5", "3", "3", "1", "1 of 6", "1", "low_confidence 1, blank 1"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "wrong among accepted, numbers: 1 of 6 = 16.67 % (95 %: 0.42 to 64.12)" in lines
    assert "rejected although something is written: 1" in lines


@pytest.mark.slow
def test_pages_are_read_scored_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, folder = tmp_path / "pages.json", tmp_path / "dump"
    given = ["--count", "2", "--kinds", "single,minus", "--data", "mnist-5k", "--json", str(result)]

    pages.main([*given, "--dump", str(folder), "--dump-all"])

    result_data = json.loads(result.read_text(encoding="utf-8"))
    assert [(entry["kind"], entry["page"]) for entry in result_data["pages"]] == [
        ("single", 0), ("single", 1), ("minus", 0), ("minus", 1)
    ]  # fmt: skip
    assert result_data["all"]["pages"] == 4
    assert result_data["all"]["accepted"]["hits"] == sum(
        entry["status"] == "accepted" for entry in result_data["pages"]
    )
    assert result_data["about"]["max_error"] == 0.005
    assert "| minus" in capsys.readouterr().out
    assert len([path for path in folder.iterdir() if path.suffix != ".json"]) == 4
    assert sum(path.name.startswith("minus-0001_is_-") for path in folder.iterdir()) == 2


@pytest.mark.slow
def test_only_what_is_wrong_or_lost_is_dumped(tmp_path: Path) -> None:
    folder, result = tmp_path / "dump", tmp_path / "pages.json"

    pages.main(
        ["--count", "2", "--kinds", "single,minus", "--data", "mnist-5k", "--dump", str(folder), "--json", str(result)]
    )

    expected_pages = [
        entry for entry in json.loads(result.read_text())["pages"] if entry["is_wrong"] or entry["is_lost"]
    ]
    assert len([*folder.glob("*.json")] if folder.exists() else []) == len(expected_pages)


def test_real_pictures_are_scored_by_their_labels(tmp_path: Path) -> None:
    split = registry.load_dataset("mnist-5k").evaluation
    folder, result = tmp_path / "real" / "scans", tmp_path / "real.json"
    samples.save_samples(folder, samples.generate_samples(split.pictures, split.digits, 3, seed=1))
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(io.StringIO(file.read()))}

    pages.main(["--real", str(tmp_path / "real"), "--json", str(result)])

    result_data = json.loads(result.read_text(encoding="utf-8"))
    assert {Path(entry["parameters"]["file"]).name: entry["numbers"] for entry in result_data["pages"]} == {
        name: [label] for name, label in labels.items()
    }
    assert result_data["kinds"].keys() == {"scans"}


@pytest.mark.slow
def test_a_contact_sheet_has_pages_of_every_kind(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"

    pages.main(["--sheet", str(sheet), "--kinds", "single,comb", "--data", "mnist-5k"])

    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape[0] > 300
    assert picture.shape[1] > 1000
