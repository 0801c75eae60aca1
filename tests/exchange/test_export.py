"""Export of the latest results: the same content in every format, with a round trip."""

import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec import text
from digitrec.errors import UsageError
from digitrec.exchange import export, formats
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.rebuild import REBUILT_AT
from digitrec.settings import Settings
from digitrec.storage.corrections import NONE, read_latest
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus
from tests.correction_helpers import AT, BATCH_ID, add_batch, open_test_ledger, row, say

LATER = "20260202T030405Z-00000000"
NASTY = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "'x",
    "\ttab.png",
    "a\nb\r.png",
    'say "7", please;.png',
    "\ufffe\uffff.png",
    "b\udcff.png",
    "ü 字.png",
    "_x0041_.png",
]
NUMBERS = formats.INTEGER_COLUMNS | formats.FLOAT_COLUMNS


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def as_cells(lines: list[dict[str, object]]) -> list[dict[str, str]]:
    """Return typed values as the cells of the CSV; fail on a value of the wrong type."""
    for line in lines:
        for column, value in line.items():
            expected_type = (
                int if column in formats.INTEGER_COLUMNS else (int, float) if column in formats.FLOAT_COLUMNS else str
            )
            assert value is None or isinstance(value, expected_type), (column, value)
    real = formats.FLOAT_COLUMNS
    return [
        {
            column: "" if value is None else f"{value:.6f}" if column in real else str(value)
            for column, value in line.items()
        }
        for line in lines
    ]


def read_jsonl(content: bytes) -> list[dict[str, str]]:
    return as_cells([json.loads(line) for line in content.splitlines()])


def read_xlsx(content: bytes) -> list[dict[str, str]]:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(content))
    header, *lines = list(book.worksheets[0].iter_rows())
    for line in lines:
        for cell in line:
            assert cell.data_type in {"s", "n"}, "no formula, whatever it begins with"
            assert cell.data_type == "n" or cell.number_format == "@"
    names_ = [str(cell.value) for cell in header]
    rows = [dict(zip(names_, (cell.value for cell in line), strict=True)) for line in lines]
    book.close()
    return as_cells(rows)


READERS: dict[TableFormat, Callable[[bytes], list[dict[str, str]]]] = {
    TableFormat.CSV: read_csv,
    TableFormat.JSONL: read_jsonl,
    TableFormat.XLSX: read_xlsx,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two workers: one with two batches, some rows corrected; one with a batch between them."""
    with ExitStack() as stack:
        main = open_test_ledger(tmp_path, [row(1), row(2, text="0650"), row(3, PageStatus.ACCEPTED, text="3")])
        stack.callback(main.close)
        add_batch(main, [row(number, path=name) for number, name in enumerate(NASTY, start=1)], LATER)
        say(main, 1, NONE, who="=ann")
        say(main, 2, "0650")
        say(main, 3, None)
        other = Ledger.open(tmp_path / ".digitrec" / "b" / "ledger.sqlite3")
        stack.callback(other.close)
        add_batch(other, [row(1, PageStatus.REJECTED)], "20260115T030405Z-00000000")
    return Settings(workspace=tmp_path)


def exported(settings: Settings, form: TableFormat = TableFormat.CSV, since: str = "") -> list[dict[str, str]]:

    target = io.BytesIO()
    with open_ledgers(settings) as ledgers:
        result = export.export(settings, ledgers, form, target, export.Selection(since=since))
    rows = READERS[form](target.getvalue())
    assert result.rows == len(rows)
    return rows


@pytest.mark.parametrize(("folder", "begin"), [("tables", "../outbox/"), ("", "outbox/"), ("..", "file:///")])
def test_a_workbook_begins_with_what_a_person_looks_at(settings: Settings, folder: str, begin: str) -> None:
    from openpyxl import load_workbook

    originals = settings.outbox / "done" / BATCH_ID / "desk"
    originals.mkdir(parents=True)
    (originals / "1.png").write_bytes(b"")
    target = settings.workspace / folder / "answers.xlsx"
    target.parent.mkdir(exist_ok=True)
    with open_ledgers(settings) as ledgers:
        export.export(settings, ledgers, TableFormat.XLSX, target)

    sheet = load_workbook(target).worksheets[0]
    assert [cell.value for cell in sheet[1]][:4] == ["file", "text", "status", "reason"]
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, sheet.max_column).column_letter}{sheet.max_row}"
    assert sheet.freeze_panes == "B2"
    assert sheet.column_dimensions["A"].width > len("desk/1.png")
    first, second = sheet["A2"], sheet["A3"]
    assert first.value == "desk/1.png"
    assert first.hyperlink.target.startswith(begin)
    assert first.hyperlink.target.endswith(f"outbox/done/{BATCH_ID}/desk/1.png")
    assert second.hyperlink is None, "its original is gone"


def test_an_export_has_every_row_once_oldest_first_with_corrections(settings: Settings) -> None:
    rows = exported(settings)

    assert [(row["batch_id"], row["row"]) for row in rows[:4]] == [
        (BATCH_ID, "1"), (BATCH_ID, "2"), (BATCH_ID, "3"), ("20260115T030405Z-00000000", "1"),
    ]  # fmt: skip
    assert len(rows) == 4 + len(NASTY)
    columns = ("status", "text", "label", "corrected_by", "corrected_at")
    assert [tuple(row[column] for column in columns) for row in rows[:4]] == [
        ("corrected", "", NONE, "'=ann", AT),
        ("confirmed", "0650", "0650", "ann", AT),
        ("accepted", "3", "", "", ""),
        ("rejected", "", "", "", ""),
    ]
    assert tuple(rows[0]) == export.COLUMNS


@pytest.mark.slow
@pytest.mark.parametrize("form", list(TableFormat))
def test_every_format_has_the_same_content_and_round_trips(settings: Settings, form: TableFormat) -> None:
    plain = exported(settings)

    rows = exported(settings, form)

    if form is TableFormat.XLSX:  # XML has no such characters
        for row in plain:
            row["file"] = row["file"].replace("\ufffe\uffff", "%EF%BF%BE%EF%BF%BF")
    assert rows == plain
    assert {text.unescape_cell(row["file"]) for row in rows} >= set(NASTY)


@pytest.mark.parametrize(
    ("since", "batches"),
    [("2026-01-02", 3), ("2026-01-03", 2), ("2026-01-15T04:04:05+01:00", 2), (LATER, 1), ("2027-01-01", 0)],
)
def test_since_a_day_a_time_or_a_batch(settings: Settings, since: str, batches: int) -> None:
    assert len({row["batch_id"] for row in exported(settings, since=since)}) == batches


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "20260102"[:6]])
def test_an_invalid_since_is_refused(since: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        export.parse_since(since)


def test_a_batch_in_two_ledgers_comes_from_the_original_ledger(tmp_path: Path, settings: Settings) -> None:
    with_doubt = Ledger.open(tmp_path / ".digitrec" / "a" / "ledger.sqlite3")
    with_doubt.set_meta(REBUILT_AT, AT)
    add_batch(with_doubt, [row(1, text="9")])
    with_doubt.close()

    assert exported(settings)[0]["text"] == ""
    assert len(exported(settings)) == 4 + len(NASTY)


def test_the_csv_has_the_profile_that_is_set(settings: Settings) -> None:

    settings = replace(settings, csv_profile="excel")
    target = io.BytesIO()
    with open_ledgers(settings) as ledgers:
        export.export(settings, ledgers, TableFormat.CSV, target)

    assert target.getvalue().startswith(b"\xef\xbb\xbfschema_version,")
    assert target.getvalue().count(b"\r\n") == 5 + len(NASTY)


@pytest.mark.parametrize("place", ["outbox/x.csv", "inbox/x.csv", "outbox/done/../x.csv", ".digitrec/x.csv"])
def test_an_export_into_a_folder_of_the_service_is_refused(settings: Settings, place: str) -> None:
    target = settings.workspace / place
    (settings.outbox / "done").mkdir(parents=True)
    settings.inbox.mkdir()

    with pytest.raises(UsageError, match="is in"):
        export.export(settings, {}, TableFormat.CSV, target)

    assert not target.exists()


@pytest.mark.parametrize("form", list(TableFormat))
def test_the_old_file_stays_until_the_new_table_is_complete(
    tmp_path: Path, settings: Settings, form: TableFormat, monkeypatch: pytest.MonkeyPatch
) -> None:

    target = tmp_path / "answers"
    target.write_text("before")
    real = read_latest

    def fails_late(ledger: Ledger, batch_id: str) -> object:
        if batch_id == LATER:
            raise OSError(5, "input/output error")
        return real(ledger, batch_id)

    with monkeypatch.context() as patch, open_ledgers(settings) as ledgers:
        patch.setattr(export, "read_latest", fails_late)
        with pytest.raises(OSError, match="input/output"):
            export.export(settings, ledgers, form, target)
    assert target.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []

    with open_ledgers(settings) as ledgers:
        export.export(settings, ledgers, form, target)
    assert len(READERS[form](target.read_bytes())) == 4 + len(NASTY)


def test_more_rows_than_the_limit_of_a_sheet_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_MAX_XLSX_ROWS", 5)

    with pytest.raises(UsageError, match="no more than 4 rows"):
        exported(settings, TableFormat.XLSX)


@pytest.mark.slow
@given(
    cells=st.lists(
        st.text(st.characters(codec="utf-8"), max_size=20).map(text.escape_cell), min_size=1, max_size=5
    )  # escaped like all text in the tables
)
@pytest.mark.parametrize("form", [TableFormat.XLSX, TableFormat.JSONL, TableFormat.CSV])
def test_any_text_comes_back_as_text(form: TableFormat, cells: list[str]) -> None:
    target = io.BytesIO()
    formats.WRITERS[form](target, ("file", "row"), [{"file": cell, "row": "1"} for cell in cells], "plain")

    names = [cell["file"] for cell in READERS[form](target.getvalue())]

    assert names == [
        formats._NOT_IN_XML.sub(formats._escape_match, cell) if form is TableFormat.XLSX else cell for cell in cells
    ]


@pytest.mark.slow
def test_the_common_path_imports_neither_openpyxl_nor_pandas() -> None:
    import subprocess

    code = "import sys, digitrec.cli.main; print(sorted({'openpyxl', 'pandas', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() in {"[]", "['sqlite3']"}
