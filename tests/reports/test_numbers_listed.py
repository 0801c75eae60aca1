"""The report of a batch lists the numbers of pages that have several."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.app.reports import report_batch
from digitrec.reports import batch_report
from digitrec.settings import Settings
from digitrec.storage.corrections import ILLEGIBLE
from digitrec.types import PageStatus
from tests.correction_helpers import BATCH_ID, open_test_ledger, row, say, say_numbers
from tests.storage.test_number_corrections import TABLE


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path)


def test_numbers_of_a_page_in_review_are_listed_with_corrections(settings: Settings, read_page) -> None:
    with closing(open_test_ledger(settings.workspace, [TABLE, row(2)])) as ledger:
        say_numbers(ledger, 1, n2="31")
        report_batch(settings, ledger, BATCH_ID)

    page = read_page((settings.reports / BATCH_ID / "index.html").read_text())

    assert "4 numbers in row 1, 1 needs review" in page.words
    assert "1 1 21 90.0 % accepted" in page.words
    assert "1 2 31 corrected" in page.words
    assert "2 2 4 90.0 % needs review the confidence is too low" in page.words
    assert "The pages hold 5 numbers: 2 accepted, 3 in review." in page.words
    report = json.loads((settings.reports / BATCH_ID / "report.json").read_text())
    assert report["numbers"] == {"found": 5, "accepted": 2, "review": 3}
    accepted = "".join(number.text for number in TABLE.reading.numbers if number.status is PageStatus.ACCEPTED)
    assert report["digits"] == {digit: accepted.count(digit) for digit in "0123456789"}
    assert sum(item["accepted"] + item["review"] for item in report["confidence"]) == 5
    assert "Numbers by confidence" in page.words


def test_an_illegible_page_is_resolved_and_has_no_error_rate(settings: Settings, read_page) -> None:
    with closing(open_test_ledger(settings.workspace, [TABLE, row(2)])) as ledger:
        say(ledger, 1, ILLEGIBLE)
        report_batch(settings, ledger, BATCH_ID)

    reviewed = json.loads((settings.reports / BATCH_ID / "report.json").read_text())["reviewed"]
    assert (reviewed["illegible"], reviewed["open"], reviewed["held_back"]["of"]) == (1, 1, 0)
    page = read_page((settings.reports / BATCH_ID / "index.html").read_text())
    assert "21 37 65 4 illegible" in page.words
    assert "0 not sure, 1 illegible; 1 page left" in page.words


def test_numbers_beyond_the_limit_are_in_the_csv_only(
    settings: Settings, read_page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_report, "MAX_NUMBERS", 5)
    with closing(open_test_ledger(settings.workspace, [TABLE, replace(TABLE, row=2, path="b.png")])) as ledger:
        report_batch(settings, ledger, BATCH_ID)

    page = read_page((settings.reports / BATCH_ID / "index.html").read_text())

    assert "4 numbers in row 1, 2 need review" in page.words
    assert "The numbers of row 2 are in the CSV of the numbers." in page.words
