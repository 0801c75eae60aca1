"""Pages that hold more than a digit: the same seed draws the same pages, and what they say is scored by the rules."""

import csv
import doctest
import io
import json
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pages import __main__ as pages
from benchmarks.pages import alignment
from benchmarks.pages.alignment import ReadNumber, count_numbers
from benchmarks.pages.scores import Scored, score, table, tallies
from digitrec.training.datasets import registry
from digitrec.training.synthetic import samples
from digitrec.training.synthetic.pages.truth import Truth, number_lines
from digitrec.types import Box, Number, PageReading, PageStatus, Reason


def truth_of(*numbers: str, words: str = "", is_digits_only: bool = False) -> Truth:
    return Truth(number_lines([numbers]), words, is_digits_only)


def test_the_examples_hold() -> None:
    tried = doctest.testmod(alignment)

    assert tried.attempted
    assert not tried.failed


def test_an_unknown_kind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pages.main(["--kinds", "rows,roes"])

    assert "there is no kind roes" in capsys.readouterr().err


def scored_as(
    kind: str, truth: Truth, status: str, text: str = "", reason: Reason | None = None, number: int = 0
) -> Scored:
    """Score a page that was read as these numbers, all with the status of the page."""
    texts = [] if status == "rejected" else text.split()
    numbers = tuple(
        Number(1, column, Box(0, 0, 1, 1), part, (), 0.9, PageStatus(status)) for column, part in enumerate(texts, 1)
    )
    return score(kind, number, truth, [PageReading(1, PageStatus(status), text, reason=reason, numbers=numbers)])


@pytest.mark.parametrize(
    ("numbers", "words", "status", "text", "is_right", "is_wrong"),
    [
        (("5",), "", "accepted", "5", True, False),
        (("5",), "", "accepted", "6", False, True),
        (("5",), "", "review", "6", False, False),
        (("-5",), "", "accepted", "5", True, True),
        (("-5",), "", "accepted", "-5", True, False),
        (("12,5",), "", "accepted", "125", True, True),
        (("12,5",), "", "review", "125", True, False),
        (("12+5=17",), "", "accepted", "12517", True, True),
        (("12/03/2024",), "", "accepted", "12/03/2024", True, False),
        (("21", "37", "65"), "", "accepted", "213765", True, False),
        (("21", "37", "65"), "", "accepted", "21 37 65", True, False),
        (("21", "37", "65"), "", "accepted", "21 65", False, True),
        (("7",), "kg", "accepted", "7", True, True),
        (("7",), "kg", "review", "7", True, False),
        ((), "", "accepted", "1", False, True),
        ((), "", "rejected", "", True, False),
        (("1",), "", "rejected", "", False, False),
    ],
)
def test_an_answer_is_right_if_it_is_all_that_is_written(
    numbers: tuple[str, ...], words: str, status: str, text: str, is_right: bool, is_wrong: bool
) -> None:
    scored = scored_as("kind", truth_of(*numbers, words=words), status, text)

    assert (scored.is_right, scored.is_wrong) == (is_right, is_wrong)
    assert scored.is_lost == (status == "rejected" and bool(numbers))


@pytest.mark.parametrize(
    ("written", "read", "right", "accepted", "wrong", "joined", "digit_errors"),
    [
        ("21 37 65", "21 37 65", 3, 3, 0, 0, 0),
        ("21 37 65", "213765", 0, 1, 0, 1, 0),
        ("21 37 65", "21 3 7 65", 2, 4, 0, 2, 0),
        ("21 37 65", "21 38 65", 2, 3, 1, 0, 1),
        ("21 37 65", "21 65", 2, 3, 1, 0, 2),  # an accepted page without one of its numbers
        ("21 37 65", "21 37 1 65", 3, 4, 1, 0, 1),
        ("1950", "119501", 0, 1, 1, 0, 2),
        ("1234", "234", 0, 1, 1, 0, 1),
        ("-5", "5", 0, 1, 1, 0, 0),
        ("12,5", "125", 0, 1, 1, 0, 0),
        ("", "1", 0, 1, 1, 0, 1),
        ("", "", 0, 0, 0, 0, 0),
    ],
)
def test_numbers_are_compared_one_by_one(
    written: str, read: str, right: int, accepted: int, wrong: int, joined: int, digit_errors: int
) -> None:
    counts = scored_as("kind", truth_of(*written.split()), "accepted", read).counts

    assert (counts.right, counts.accepted, counts.wrong) == (right, accepted, wrong)
    assert (counts.joined, counts.digit_errors) == (joined, digit_errors)


def test_a_number_may_be_accepted_on_a_page_in_review() -> None:
    read = [ReadNumber("21", True), ReadNumber("99", False), ReadNumber("66", True)]

    counts = count_numbers(["21", "37", "65"], read, is_accepted=False)

    assert (counts.right, counts.accepted, counts.wrong) == (1, 2, 1)


@given(
    written=st.lists(st.text("0123456789", min_size=1, max_size=4), max_size=8),
    read=st.lists(st.text("0123456789", min_size=1, max_size=4), max_size=8),
)
def test_the_counts_of_numbers_agree(written: list[str], read: list[str]) -> None:
    answer = [ReadNumber(text, True) for text in read]

    counts = count_numbers(written, answer, is_accepted=False)
    same = count_numbers(written, [ReadNumber(text, True) for text in written], is_accepted=True)

    assert counts.right <= min(len(written), len(read))
    assert counts.right + counts.wrong + counts.joined == counts.accepted == len(read)
    assert abs(len("".join(written)) - len("".join(read))) <= counts.digit_errors <= counts.digits + len("".join(read))
    assert (same.right, same.accepted, same.wrong, same.joined) == (len(written), len(written), 0, 0)
    assert same.digit_errors == 0


def test_of_real_pictures_only_digits_are_compared() -> None:
    assert not scored_as("real", truth_of("125", is_digits_only=True), "accepted", "12,5").has_wrong_answer
    assert scored_as("real", truth_of("125", is_digits_only=True), "accepted", "12,6").has_wrong_answer
    assert scored_as("real", truth_of(is_digits_only=True), "accepted", "1").has_wrong_answer


def test_a_label_does_not_say_where_its_numbers_end() -> None:
    complete = scored_as("real", truth_of("213765", is_digits_only=True), "accepted", "21 37 65")
    part = scored_as("real", truth_of("213765", is_digits_only=True), "review", "21 65")

    assert (complete.counts.written, complete.counts.right, complete.counts.wrong, complete.counts.joined) == (
        1,
        1,
        0,
        0,
    )
    assert (part.counts.right, part.counts.digit_errors, part.counts.digits) == (0, 2, 6)


def test_a_file_of_several_pages_gets_a_single_score() -> None:
    accepted = PageReading(1, PageStatus.ACCEPTED, text="12", confidence=0.99)
    two = PageReading(2, PageStatus.REVIEW, text="7", confidence=0.5, reason=Reason.LOW_CONFIDENCE)

    scored = score("real", 3, truth_of("12", "7"), [accepted, two])

    assert (scored.status, scored.text, scored.reason, scored.confidence) == ("review", "12 7", "low_confidence", 0.5)
    assert scored.is_right


def test_the_table_adds_up() -> None:
    scored = [
        scored_as("rows", truth_of("12", "7", "9"), "accepted", "12 7"),
        scored_as("rows", truth_of("1", "2"), "accepted", "12"),
        scored_as("rows", truth_of("1", "2"), "review", "1 2", Reason.LOW_CONFIDENCE),
        scored_as("single", truth_of("4"), "accepted", "4"),
        scored_as("single", truth_of("4"), "rejected", "", Reason.BLANK),
    ]

    tally_of = tallies(scored, {"both": ["rows", "single"]})
    tally, lines = tally_of["all"], table(tally_of).splitlines()

    assert (tally.pages, tally.right, tally.accepted, tally.wrong_pages, tally.lost) == (5, 3, 3, 1, 1)
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[2:6]}
    assert cells["rows"] == ["3", "2", "2", "2", "1", "4 of 7", "1 of 4", "1", "12.5 %", "0", "low_confidence 1"]
    assert cells["single"] == ["2", "1", "1", "1", "0", "1 of 2", "0 of 1", "0", "50.0 %", "1", "blank 1"]
    assert cells["all"] == cells["both"]
    assert cells["all"] == [
        *("5", "3", "3", "3", "1", "5 of 9", "1 of 5", "1", "20.0 %", "1", "low_confidence 1, blank 1")
    ]
    assert len({len(line) for line in lines[:6]}) == 1
    assert "wrong among accepted, numbers: 1 of 5 = 20.00 % (95 %: 0.51 to 71.64)" in lines
    assert "rejected although something is written: 1" in lines


@pytest.mark.slow
def test_processes_give_the_same_scores(tmp_path: Path) -> None:
    results = []
    for jobs in ("1", "2"):
        path = tmp_path / f"{jobs}.json"
        pages.main(
            [*("--count", "3", "--kinds", "single,cells", "--data", "mnist-5k"), "--jobs", jobs, "--json", str(path)]
        )
        read = json.loads(path.read_text(encoding="utf-8"))["pages"]
        results.append([{**page, "seconds": 0} for page in read])

    assert results[0] == results[1]


def test_a_pool_needs_a_name_and_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pages.main(["--pool", "single"])

    assert "'single' is not NAME=KIND,KIND" in capsys.readouterr().err


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
def test_pages_can_be_turned(tmp_path: Path) -> None:
    result = tmp_path / "pages.json"

    pages.main(
        [
            *("--count", "2", "--kinds", "digit_page", "--data", "mnist-5k", "--turns", "2", "--seed", "3"),
            "--json",
            str(result),
        ]
    )

    result_data = json.loads(result.read_text(encoding="utf-8"))
    assert result_data["about"]["turns"] == 2
    assert {entry["reason"] for entry in result_data["pages"]} == {"turned"}


@pytest.mark.slow
def test_only_what_is_wrong_or_lost_is_dumped(tmp_path: Path) -> None:
    folder, result = tmp_path / "dump", tmp_path / "pages.json"

    pages.main(
        ["--count", "2", "--kinds", "single,minus", "--data", "mnist-5k", "--dump", str(folder), "--json", str(result)]
    )

    expected_pages = [
        entry
        for entry in json.loads(result.read_text())["pages"]
        if entry["is_wrong"] or entry["counts"]["wrong"] or entry["is_lost"]
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
