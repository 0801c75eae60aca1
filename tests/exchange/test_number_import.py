"""Import of corrections of single numbers."""

import csv
import io
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.exchange import importer
from digitrec.exchange.importer import ImportPlan
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrections import ILLEGIBLE, NONE, read_history
from tests.correction_helpers import AT, BATCH_ID, open_test_ledger, row
from tests.storage.test_csv_tables import OUTPUT_FORMAT
from tests.storage.test_number_corrections import TABLE, page, read

FORM = replace(page(2, read("0650", is_sure=False), read("3,14", column=2)), path="forms/table.tif")
ROWS = [TABLE, FORM, row(3)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(workspace=tmp_path)
    settings.outbox.mkdir()
    open_test_ledger(tmp_path, ROWS).close()
    return settings


def planned(settings: Settings, text: str, *, confirm_unchanged: bool = False) -> ImportPlan:
    with open_ledgers(settings) as ledgers:
        return importer.plan_import(text.encode(), ledgers, confirm_unchanged=confirm_unchanged)


def applied(settings: Settings, text: str, *, confirm_unchanged: bool = False) -> importer.ImportResult:
    plan = planned(settings, text, confirm_unchanged=confirm_unchanged)
    assert plan.errors == []
    return importer.apply_import(settings, plan, who="ann", at=AT)


def numbers(settings: Settings) -> list[list[str]]:
    """Return status and text of each number of each page."""
    with open_ledgers(settings) as ledgers:
        rows = apply_corrections(ledgers["main"], BATCH_ID)
        return [[f"{number.status} {number.text}".strip() for number in row.reading.numbers] for row in rows]


def edited(change: dict[tuple[str, str], str]) -> str:
    """Return the published table of numbers with some texts changed, by row and number."""
    table = io.StringIO(csv_tables.render_numbers(ROWS, OUTPUT_FORMAT), newline="")
    lines = list(csv.DictReader(table))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, csv_tables.NUMBER_COLUMNS)
    writer.writeheader()
    writer.writerows(line | {"text": change.get((line["row"], line["number"]), line["text"])} for line in lines)
    return out.getvalue()


def test_edited_numbers_of_the_published_table_are_corrected(settings: Settings) -> None:
    result = applied(settings, edited({("1", "2"): "31", ("1", "4"): NONE, ("3", "1"): "8"}))

    assert (result.corrected, result.confirmed) == (3, 0)
    assert numbers(settings) == [
        ["accepted 21", "corrected 31", "accepted 65", "corrected"],
        ["review 0650", "accepted 3,14"],
        ["corrected 8"],
    ]
    assert result.tables == []


def test_unedited_numbers_in_review_can_be_confirmed(settings: Settings) -> None:
    assert planned(settings, edited({})).unchanged == 7

    result = applied(settings, edited({("2", "1"): ILLEGIBLE}), confirm_unchanged=True)

    assert (result.confirmed, result.illegible) == (3, 1)
    assert numbers(settings)[0] == ["accepted 21", "confirmed 37", "accepted 65", "confirmed 4"]
    assert numbers(settings)[1] == ["review", "accepted 3,14"]
    (table,) = result.tables
    corrected = table.with_name(f"{BATCH_ID}.numbers.csv").read_text()
    plan = planned(settings, corrected)
    assert (plan.errors, plan.corrections, plan.repeated) == ([], {}, 4)


def test_an_unedited_page_with_a_corrected_number_is_not_confirmed(settings: Settings) -> None:
    applied(settings, edited({("1", "2"): "31"}))
    main_table = csv_tables.render_main(ROWS, OUTPUT_FORMAT)

    plan = planned(settings, main_table, confirm_unchanged=True)

    assert (plan.errors, plan.unchanged) == ([], 1)
    assert sorted(plan.corrections["main"]) == [(BATCH_ID, 2, 0), (BATCH_ID, 3, 0)]
    assert numbers(settings)[0] == ["accepted 21", "corrected 31", "accepted 65", "review 4"]


def test_numbers_are_named_by_file_and_number(settings: Settings) -> None:
    applied(settings, "file,number,label\r\nforms/table.tif,1,650.5\r\ndesk/3.png,1,9\r\n")

    assert numbers(settings)[1:] == [["corrected 650.5", "accepted 3,14"], ["corrected 9"]]
    with closing(open_test_ledger(settings.workspace / "new", ROWS)) as new:
        assert read_history(new, BATCH_ID, 1) == []


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("2,3,,,7", "line 2: the page has 2 numbers, not 3"),
        ("2,1,2,1,7", "line 2: number 1 has another line: was the table sorted in part?"),
        ("2,2,1,1,7", "line 2: number 2 has another column: was the table sorted in part?"),
        ("2,1,,,7 8", "line 2: '7 8' has a space, and is one number"),
        ("2,1,,,650", "line 2: 650 is what spreadsheets make of 0650; write '650 if it is meant, or '0650"),
        ("2,2,,,3.14", "line 2: 3.14 is what spreadsheets make of 3,14; write '3.14 if it is meant, or '3,14"),
        ("2,2,,,14.3.26 0:00:00 Uhr", "line 2: '14.3.26 0:00:00 Uhr' is no number, none or illegible"),
        ("2,1,,,7\r\n2,1,,,8", "line 3: it says 8, and line 2 says 7 of the same answer"),
        ("2,1,,,7\r\n2,,,,7 3", "line 3: line 2 is about the same page: as a whole, or about one of its numbers"),
        ("2,,,,7 3\r\n2,1,,,7", "line 3: line 2 is about the same page: as a whole, or about one of its numbers"),
    ],
)
def test_an_inapplicable_line_is_reported(settings: Settings, lines: str, why: str) -> None:
    content = "".join(f"{BATCH_ID},{line}\r\n" for line in lines.split("\r\n"))

    plan = planned(settings, f"batch_id,row,number,line,column,text\r\n{content}")

    assert plan.errors == [why]


def test_a_page_is_corrected_by_a_text_with_all_of_its_numbers(settings: Settings) -> None:
    applied(settings, f"batch_id,row,text\r\n{BATCH_ID},1,21  37 65 5\r\n")

    assert numbers(settings)[0] == ["confirmed 21", "confirmed 37", "confirmed 65", "corrected 5"]
