"""Pages of several numbers, and workspaces of version 0.1, through pipeline, tables and rebuilt ledgers."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from digitrec import files
from digitrec.arrays import NumberSpan, PageResult
from digitrec.errors import EnvironmentFailure, RejectedImage
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.pipeline.rebuild import write_missing_tables
from digitrec.recognition.reader import PageReader
from digitrec.types import Box, Limits, Reason, TableRow
from tests.conftest import ServiceHarness, draw, read_csv
from tests.older_ledgers import format_of_0_1, make_older
from tests.pipeline.test_crash import PowerCut, cut


@dataclass(frozen=True, slots=True)
class TableReader(PageReader):
    """Reads "21 37" and, in the next line, "5" from every page with a digit; the 37 needs review."""

    def read_files(
        self, files: Iterable[bytes], limits: Limits, begin_page: Callable[[int], object] = lambda _: None
    ) -> list[list[PageResult] | RejectedImage]:
        results = PageReader.read_files(self, files, limits, begin_page)
        return [pages if isinstance(pages, RejectedImage) else [*map(_fill_table, pages)] for pages in results]


def _fill_table(page: PageResult) -> PageResult:
    if not page.boxes:
        return page
    digits = [2, 1, 3, 7, 5]
    boxes = tuple(Box(10 * index, 5 if index < 4 else 40, 8, 12) for index in range(5))
    scores = np.zeros((5, 11), np.float32)
    scores[range(5), digits] = 0.99
    numbers = (
        NumberSpan(0, 2, 1, 1),
        NumberSpan(2, 4, 1, 2, reason=Reason.OTHER_MARKS),
        NumberSpan(4, 5, 2, 1),
    )
    return replace(page, boxes=boxes, ink=page.ink[:1].repeat(5, axis=0), scores=scores, numbers=numbers)


@pytest.fixture
def table(harness: ServiceHarness) -> ServiceHarness:
    harness.reader = TableReader(harness.reader.classifier)
    return harness


def rows_of(harness: ServiceHarness) -> list[TableRow]:
    with open_ledgers(harness.settings) as ledgers:
        ledger = ledgers[harness.settings.worker]
        return [row for batch in ledger.batches() for row in ledger.rows(batch.id)]


def tables_of(harness: ServiceHarness) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in harness.outbox.glob("*Z-*.csv")}


def lose_ledger(harness: ServiceHarness) -> None:
    shutil.rmtree(harness.settings.ledger.parent)


def test_each_number_of_a_page_has_its_row_and_its_status(table: ServiceHarness) -> None:
    table.drop("page.png")
    table.run()

    (main,) = table.rows()
    assert (main["schema_version"], main["status"], main["reason_code"]) == ("2", "review", "other_marks")
    assert (main["text"], main["digit"], main["digit_count"], main["number_count"]) == ("21 37 5", "", "5", "3")
    numbers = read_csv(table.outbox / f"{main['batch_id']}.numbers.csv")
    assert [(row["number"], row["line"], row["column"], row["text"], row["status"]) for row in numbers] == [
        ("1", "1", "1", "21", "accepted"),
        ("2", "1", "2", "37", "review"),
        ("3", "2", "1", "5", "accepted"),
    ]
    assert [row["reason_code"] for row in numbers] == ["", "other_marks", ""]
    assert [numbers[1][name] for name in ("x", "y", "width", "height")] == ["20", "5", "18", "12"]
    digits = read_csv(table.outbox / f"{main['batch_id']}.digits.csv")
    assert [(row["index"], row["digit"], row["number"]) for row in digits] == [
        ("1", "2", "1"),
        ("2", "1", "1"),
        ("3", "3", "2"),
        ("4", "7", "2"),
        ("5", "5", "3"),
    ]
    assert table.account().discrepancies == ()


def test_lost_ledger_is_rebuilt_with_every_number(table: ServiceHarness) -> None:
    table.drop("page.png")
    table.drop("bad.png", b"no picture")
    table.run()
    before, tables = rows_of(table), tables_of(table)
    lose_ledger(table)

    table.run()

    assert [row.reading.numbers[1].reason for row in rows_of(table) if row.reading.numbers] == [Reason.OTHER_MARKS]
    assert [_without_preview_and_rounding(row) for row in rows_of(table)] == [
        _without_preview_and_rounding(row) for row in before
    ]
    assert tables_of(table) == tables
    assert table.account().discrepancies == ()


def _without_preview_and_rounding(row: TableRow) -> object:
    reading = row.reading
    numbers = [(number.line, number.column, number.box, number.text, number.status) for number in reading.numbers]
    boxes = [[digit.box for digit in number.digits] for number in reading.numbers]
    return row.path, reading.text, reading.status, numbers, boxes


@pytest.mark.parametrize("suffix", ["numbers.csv", "digits.csv", "csv"])
def test_lost_table_of_several_numbers_is_written_again(table: ServiceHarness, suffix: str) -> None:
    table.drop("page.png")
    table.run()
    before = tables_of(table)
    (lost,) = [name for name in before if name.partition(".")[2] == suffix]
    (table.outbox / lost).unlink()
    assert table.account().discrepancies == (f"{lost} is missing",)

    with open_ledgers(table.settings) as ledgers:
        assert list(write_missing_tables(table.outbox, ledgers, ())) == [lost]

    assert tables_of(table) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",number,", b",figure,"),
        (b",file,page,number,", b",page,file,number,"),
        (b",accepted,", b",excellent,"),
        (b",3,2,1,40,", b",3,2,1,,40,"),
        (b",3,2,1,40,", b",3,0,1,40,"),
        (b",3,2,1,40,", b",4,2,1,40,"),
        (b",1,page.png,", b",2,page.png,"),
    ],
)
def test_ledger_is_not_rebuilt_from_an_altered_table_of_numbers(table: ServiceHarness, old: bytes, new: bytes) -> None:
    table.drop("page.png")
    table.run()
    lose_ledger(table)
    (numbers,) = table.outbox.glob("*.numbers.csv")
    content = numbers.read_bytes()
    assert old in content
    numbers.write_bytes(content.replace(old, new, 1))

    with pytest.raises(EnvironmentFailure, match="cannot be understood"):
        table.run()


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_ledger_is_not_rebuilt_without_the_table_of_numbers(table: ServiceHarness, content: bytes | None) -> None:
    table.drop("bad.png", b"no picture")
    table.run()
    lose_ledger(table)
    (numbers,) = table.outbox.glob("*.numbers.csv")
    numbers.unlink()
    if content is not None:
        numbers.write_bytes(content)

    with pytest.raises(EnvironmentFailure, match="cannot be understood"):
        table.run()


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_crash_between_tables_is_finished_by_the_next_start(
    table: ServiceHarness, monkeypatch: pytest.MonkeyPatch, *, after: bool, call: int
) -> None:
    table.run()  # creates the markers of the folders, with the same function
    table.drop("page.png")
    with monkeypatch.context() as patch:
        cut(patch, files, "atomic_create", call=call, after=after)
        with pytest.raises(PowerCut):
            table.run()
    written = sorted(name.partition(".")[2] for name in tables_of(table))
    assert written == sorted(["digits.csv", "numbers.csv", "csv"][: call - (not after)])

    table.run()

    assert len(tables_of(table)) == 3
    assert [row["text"] for row in read_csv(next(table.outbox.glob("*.numbers.csv")))] == ["21", "37", "5"]
    assert table.account().discrepancies == ()


@pytest.fixture
def older(harness: ServiceHarness) -> ServiceHarness:
    """A workspace of 0.1: two digits and a file that was rejected, in one batch."""
    harness.output_format = format_of_0_1
    harness.drop("3.png", draw(3))
    harness.drop("7.png", draw(7))
    harness.drop("bad.png", b"no picture")
    harness.run()
    make_older(harness.settings.ledger, 4)
    harness.output_format = lambda output_format: output_format
    return harness


def test_tables_of_0_1_stay_as_they_were_after_the_upgrade(older: ServiceHarness) -> None:
    before = tables_of(older)
    assert len(before) == 2
    assert all(content.startswith(b"schema_version,batch_id,row,") for content in before.values())
    assert older.account().discrepancies == ()
    assert [[number.text for number in row.reading.numbers] for row in rows_of(older)] == [["3"], ["7"], []]
    older.now_s += 10
    older.drop("9.png", draw(9))

    older.run()

    assert {name: tables_of(older)[name] for name in before} == before
    assert len(tables_of(older)) == 5
    assert older.account().discrepancies == ()


def test_latest_holds_rows_of_0_1_and_of_this_version(older: ServiceHarness) -> None:
    (first,) = older.tables()
    older.now_s += 10
    older.drop("0.png", draw(0))
    older.published.append(first.stem)

    older.run()

    rows = read_csv(older.outbox / "latest.csv")
    assert [(row["file"], row["schema_version"], row["number_count"]) for row in rows] == [
        ("0.png", "2", "1"),
        ("3.png", "1", ""),
        ("7.png", "1", ""),
        ("bad.png", "1", ""),
    ]


@pytest.mark.parametrize("is_ledger_lost", [False, True])
def test_lost_tables_of_0_1_are_written_again_byte_by_byte(older: ServiceHarness, *, is_ledger_lost: bool) -> None:
    before = tables_of(older)
    if is_ledger_lost:
        lose_ledger(older)
    older.run()
    for name in before:
        (older.outbox / name).unlink()

    with open_ledgers(older.settings) as ledgers:
        assert sorted(write_missing_tables(older.outbox, ledgers, ())) == sorted(before)

    assert tables_of(older) == before


def test_label_of_0_1_keeps_its_leading_apostrophe(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.drop("labels.csv", b"file,label\r\n7.png,-7\r\n")
    harness.output_format = format_of_0_1
    harness.run()
    harness.now_s += 10
    harness.output_format = lambda output_format: output_format
    harness.drop("7.png", draw(7, shift=1))
    harness.drop("labels.csv", b"file,label\r\n7.png,-7\r\n")
    harness.run()

    assert sorted((row["schema_version"], row["label"]) for row in harness.rows()) == [("1", "'-7"), ("2", "-7")]
    before: Any = tables_of(harness)
    lose_ledger(harness)
    harness.run()
    assert [row.label for row in rows_of(harness)] == ["-7", "-7"]
    assert tables_of(harness) == before
    assert harness.account().discrepancies == ()
