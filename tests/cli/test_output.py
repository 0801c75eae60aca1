"""Progress and status lines of the commands."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.app.service import RunSummary
from digitrec.cli import answers, operations_output
from digitrec.cli.output import format_summary, summary_to_json
from digitrec.cli.terminal import TrainingProgress
from digitrec.models.card import Epoch
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.settings import Settings
from digitrec.storage.claims import OutcomeCounts
from digitrec.training.classifier import TrainingState
from digitrec.types import Box, Number, NumberCounts, PageReading, PageStatus, Reason, TableRow
from tests.storage.test_csv_tables import OUTPUT_FORMAT, SEVEN


def test_a_training_prints_a_line_per_epoch_and_network(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as progress:
        progress.update(TrainingState(1, 1, 50, 100, 0.0, 0.0, stage="crops"))
        progress.update(TrainingState(1, 2, 3, 3, 0.2, 0.9, stage="ink", words="ink network, epoch 1/2"))
        progress.update(TrainingState(1, 16, 2, 4, 0.3, 0.8))
        progress.update(TrainingState(1, 16, 4, 4, 0.3, 0.8, Epoch(1, 0.3, 0.8, 0.2, 0.9, 1e-3, 4.0)))

    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0] == "ink network, epoch 1/2"
    assert lines[1].startswith("epoch 1/16  loss 0.3000")
    assert len(lines) == 2


def test_files_that_can_never_be_claimed_are_counted_in_a_line() -> None:
    assert list(operations_output.format_passed_over(SkippedCounts())) == []
    assert list(operations_output.format_passed_over(SkippedCounts(too_long=1))) == [
        "1 file passed over: 1 with too long a path (`digitrec doctor` says what to do)"
    ]
    assert list(operations_output.format_passed_over(SkippedCounts(2, 3))) == [
        "5 files passed over: 2 with too long a path, 3 on another filesystem (`digitrec doctor` says what to do)"
    ]


def test_run_counts_numbers_where_a_page_had_several() -> None:
    numbers = NumberCounts(100, 99, 100) + NumberCounts(12, 10, 1)
    summary = RunSummary(count=OutcomeCounts(accepted=0, review=1, rejected=1), numbers=numbers)

    assert format_summary(Settings(), summary).splitlines() == [
        "2 files, 112 numbers: 109 accepted, 3 need review",
        "  files   0 accepted, 1 to review, 1 rejected, 0 deferred",
        "  review  digitrec review",
    ]
    assert summary_to_json(Settings(), summary)["numbers"] == {"found": 112, "accepted": 109, "review": 3}


def test_run_names_the_command_that_reviews_answers(tmp_path: Path) -> None:
    summary = RunSummary(count=OutcomeCounts(accepted=1, review=1), numbers=NumberCounts(3, 2, 2))
    settings = Settings.load(tmp_path / "my scans", {"state_dir": tmp_path / "state"})

    lines = format_summary(settings, summary).splitlines()

    assert lines[0].endswith("2 accepted, 1 needs review")
    assert lines[-1] == f"  review  digitrec review --workspace '{settings.workspace}' --state-dir {tmp_path / 'state'}"
    assert format_summary(settings, summary, review="python -m digitrec review").endswith("  python -m digitrec review")


def test_run_of_single_numbers_counts_files() -> None:
    summary = RunSummary(count=OutcomeCounts(accepted=2), numbers=NumberCounts(2, 2, 1))

    assert format_summary(Settings(), summary) == "2 files: 2 accepted, 0 to review, 0 rejected, 0 deferred"


def page_of_numbers(lines: int) -> TableRow:
    """Return a page with the numbers 10, 11 and 7 in each line; the 7 needs review."""
    numbers = []
    for line in range(1, lines + 1):
        numbers += [Number(line, column, Box(9, line, 8, 8), f"1{column - 1}", (SEVEN,) * 2, 0.99) for column in (1, 2)]
        doubtful = (PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
        numbers.append(Number(line, 4, Box(70, line, 8, 8), "7", (SEVEN,), 0.512345678, *doubtful))
    text = " ".join(number.text for number in numbers)
    reading = PageReading(
        1, PageStatus.REVIEW, text, 0.5, reason=Reason.LOW_CONFIDENCE, detail="unsure", numbers=tuple(numbers)
    )
    return TableRow("", 1, "a\nb.png", "ab", 9, "", "", "", reading)


@pytest.mark.parametrize(("columns", "is_unwrapped"), [(80, True), (60, False)])
def test_names_are_not_broken_on_a_terminal_of_80_columns(
    columns: int, is_unwrapped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    page = page_of_numbers(4)
    reading = replace(page.reading, detail="the confidence is too low to accept it without review")

    answers.print_predictions(
        [replace(page, path="scan-20260131-0001.png", reading=reading)], OUTPUT_FORMAT, table_format="table"
    )

    printed = capsys.readouterr().out.partition("\n\n")[0]
    assert ("scan-20260131-0001.png" in printed) == is_unwrapped


def test_page_of_many_numbers_is_printed_as_laid_out(capsys: pytest.CaptureFixture[str]) -> None:
    answers.print_predictions([page_of_numbers(20)], OUTPUT_FORMAT, table_format="table")

    lines = capsys.readouterr().out.splitlines()
    assert "60 numbers" in lines[1]
    assert max(map(len, lines)) < 100
    assert lines[2:4] == ["", "a%0Ab.png, page 1; ? needs review"]
    assert lines[4:] == ["  10  11  7?"] * 20


def test_numbers_of_a_short_line_are_printed_in_the_row_of_their_page(capsys: pytest.CaptureFixture[str]) -> None:
    answers.print_predictions([page_of_numbers(1)], OUTPUT_FORMAT, table_format="table")

    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "page", "status", "text", "confidence", "reason"]
    assert line.split() == ["a%0Ab.png", "1", "review", "10", "11", "7", "0.5000", "unsure"]


def test_predictions_in_json_have_an_object_per_number(capsys: pytest.CaptureFixture[str]) -> None:
    answers.print_predictions([page_of_numbers(2)], OUTPUT_FORMAT, table_format="json")

    (page,) = json.loads(capsys.readouterr().out)
    assert (page["text"], page["number_count"], page["digit_count"]) == ("10 11 7 10 11 7", 6, 10)
    assert (page["confidence"], page["width"], page["batch_id"]) == (0.5, None, "")
    assert page["numbers"][5] == {
        "line": 2,
        "column": 4,
        "box": {"x": 70, "y": 2, "width": 8, "height": 8},
        "text": "7",
        "confidence": 0.512346,
        "status": "review",
        "reason_code": "low_confidence",
    }
    assert page["numbers"][0]["reason_code"] == ""
