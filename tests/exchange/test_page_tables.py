"""Tables of the pages: laid out as on the page, one file or sheet each."""

import csv
import io
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.errors import UsageError
from digitrec.exchange import export, page_tables
from digitrec.exchange.export import Selection
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus
from tests.conftest import RunCommand, ServiceHarness, draw
from tests.correction_helpers import BATCH_ID, add_batch, open_test_ledger, row, say_numbers
from tests.storage.test_number_corrections import TABLE, page, read

LATER = "20260202T030405Z-00000000"
FORM = replace(page(2, read("0650", 2, 3), read("-5", 4), read("7", 4)), path="forms/table.tif")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A table with a corrected number, the same name in another folder, a document, a page without numbers."""
    rows = [
        replace(TABLE, path="desk/table.png"),
        FORM,
        *(
            replace(row(number, PageStatus.ACCEPTED, text=str(number), page=number - 2), path="scan.pdf")
            for number in (3, 4)
        ),
        replace(row(5, PageStatus.REJECTED), path="bad.png"),
    ]
    with closing(open_test_ledger(tmp_path, rows)) as ledger:
        add_batch(ledger, [replace(row(1, PageStatus.ACCEPTED, "8"), path="TABLE.png")], LATER)
        say_numbers(ledger, 1, n2="31")
    return Settings(workspace=tmp_path)


def exported(settings: Settings, target: Path, *batches: str, form: TableFormat = TableFormat.CSV) -> object:
    with open_ledgers(settings) as ledgers:
        return export.export_tables(settings, ledgers, form, target, Selection(batches))


def read_tables(folder: Path) -> dict[str, list[list[str]]]:
    return {
        path.name: list(csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True))
        for path in sorted(folder.iterdir())
    }


def test_each_page_is_a_table_as_on_the_page(settings: Settings, tmp_path: Path) -> None:
    result = exported(settings, tmp_path / "tables")

    assert result == export.TablesResult(pages=5, numbers=10, in_review=1)
    assert read_tables(tmp_path / "tables") == {
        "TABLE~3.csv": [["8"]],
        "scan-page1.csv": [["3"]],
        "scan-page2.csv": [["4"]],
        "table.csv": [["21", "31"], ["65", "4"]],
        "table~2.csv": [["", "", ""], ["", "", "0650"], ["", "", ""], ["'-5 7", "", ""]],
    }


@pytest.mark.parametrize(
    ("batches", "names"),
    [((LATER,), {"TABLE.csv"}), (("latest",), {"TABLE.csv"}), ((LATER, BATCH_ID, "latest"), {"TABLE~3.csv"})],
)
def test_batches_are_chosen_by_id_or_as_the_latest(
    settings: Settings, tmp_path: Path, batches: tuple[str, ...], names: set[str]
) -> None:
    exported(settings, tmp_path / "tables", *batches)

    assert set(read_tables(tmp_path / "tables")) >= names
    assert ("table.csv" in read_tables(tmp_path / "tables")) == (BATCH_ID in batches)


def test_latest_means_the_batches_in_that_table(settings: Settings, tmp_path: Path) -> None:
    settings.outbox.mkdir()
    (settings.outbox / "latest.csv").write_text(f"batch_id,row\r\n{BATCH_ID},1\r\n")

    exported(settings, tmp_path / "tables", "latest")

    assert "table.csv" in read_tables(tmp_path / "tables")
    assert "TABLE.csv" not in read_tables(tmp_path / "tables")


def test_a_workbook_has_a_sheet_for_each_page_and_marks_what_needs_review(settings: Settings, tmp_path: Path) -> None:
    from openpyxl import load_workbook

    path = tmp_path / "tables.xlsx"
    exported(settings, path, form=TableFormat.XLSX)

    book = load_workbook(path)
    assert book.sheetnames == ["table", "table~2", "scan-page1", "scan-page2", "TABLE~3"]
    assert [[cell.value for cell in line] for line in book["table"].iter_rows()] == [["21", "31"], ["65", "4"]]
    assert book["table~2"]["C2"].value == "0650"
    assert {cell.number_format for line in book["table"].iter_rows() for cell in line} == {"@"}
    colored = [cell.coordinate for line in book["table"].iter_rows() for cell in line if cell.fill.fill_type]
    assert colored == ["B2"]
    book.close()


def test_names_of_sheets_are_valid_and_different(tmp_path: Path) -> None:
    from openpyxl import load_workbook

    lines = [[page_tables.Cell("7", needs_review=False)]]
    names = ["a" * 40, "a" * 31, "A" * 35, "b[1]:2", "b_1__2"]

    page_tables.write_workbook(tmp_path / "x.xlsx", [page_tables.PageTable(name, lines) for name in names])

    titles = load_workbook(tmp_path / "x.xlsx").sheetnames
    assert titles == ["a" * 31, "a" * 29 + "~2", "A" * 29 + "~3", "b_1__2", "b_1__2~2"]


def test_names_do_not_depend_on_corrections(tmp_path: Path) -> None:
    empty = replace(row(1, PageStatus.REVIEW, ""), path="a/7.png")
    full = replace(row(2), path="b/7.png")

    before = [table.name for table in page_tables.build_tables([[empty, full]])]
    after = [table.name for table in page_tables.build_tables([[replace(row(1), path="a/7.png"), full]])]

    assert (before, after) == (["7~2"], ["7", "7~2"])


def test_odd_names_become_file_names(tmp_path: Path) -> None:
    rows = [replace(row(number), path=name) for number, name in enumerate(["b\udcff.png", 'a"b.png', "ü" * 120])]

    page_tables.write_csvs(tmp_path, page_tables.build_tables([rows]), "excel")

    assert sorted(path.name for path in tmp_path.iterdir())[:2] == ["a_b.csv", "b_.csv"]
    assert all(path.read_bytes() == b"\xef\xbb\xbf7\r\n" for path in tmp_path.iterdir())


@pytest.mark.parametrize("place", ["outbox/tables", "inbox", ".digitrec/x", "gone/tables"])
def test_a_folder_of_the_service_or_in_none_is_refused(settings: Settings, place: str) -> None:
    with pytest.raises(UsageError, match=r"is in|does not exist"):
        exported(settings, settings.workspace / place)


def test_a_batch_that_does_not_exist_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no batch 'x%0A'"):
        exported(settings, tmp_path / "tables", "x\n")


def test_the_command_writes_tables_and_tells_what_needs_review(
    harness: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    assert run_command("export", "--tables").out == "no page with numbers\n"
    harness.drop("7.png", draw(7))
    harness.run()

    folder = tmp_path / "my.tables"
    done = run_command("export", "--tables", "latest", "--out", str(folder))
    assert (done.code, done.out) == (0, f"1 page, 1 number, 0 need review: {folder}\n")
    assert (folder / "7.csv").read_bytes() == b"7\r\n"
    assert run_command("export", "--tables", "--out", str(tmp_path / "t.xlsx")).code == 0
    assert (tmp_path / "t.xlsx").read_bytes().startswith(b"PK")
    for words in (("--out", str(tmp_path / "t.csv")), ("--format", "jsonl")):
        assert run_command("export", "--tables", *words).code == 2
    assert "text" in run_command("export", "latest").out


def test_one_table_of_chosen_batches(settings: Settings) -> None:
    target = io.BytesIO()
    with open_ledgers(settings) as ledgers:
        result = export.export(settings, ledgers, TableFormat.CSV, target, Selection((LATER,)))

    assert (result.batches, result.rows) == (1, 1)


def test_a_ledger_without_batches_has_no_latest(tmp_path: Path) -> None:
    Ledger.open(tmp_path / ".digitrec" / "main" / "ledger.sqlite3").close()

    result = exported(Settings(workspace=tmp_path), tmp_path / "tables", "latest")

    assert result == export.TablesResult(0, 0, 0)
