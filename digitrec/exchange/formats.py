"""Rows into a file, one after the other, in constant memory: csv, jsonl, xlsx.

Cells are those of the CSV in every form, names written harmlessly (`names.cell`), and text stays text: "0650" keeps its
zero. Beyond csv, numbers are numbers and an empty cell is none.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import IO, TypeAlias

from digitrec.errors import UsageError

Cells: TypeAlias = Iterable[Mapping[str, str]]
"""Rows, each a text by column."""

_WHOLE = frozenset({"schema_version", "row", "page", "digit_count", "width", "height", "size_bytes"})
_REAL = frozenset({"confidence", "runner_up_confidence"})
_MOST_XLSX_ROWS = 1_048_576
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class TableFormat(StrEnum):
    """What a table can be written as."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"

    @property
    def is_text(self) -> bool:
        """True if it may go to a terminal."""
        return self in {TableFormat.CSV, TableFormat.JSONL}


def _csv(file: IO[bytes], columns: Sequence[str], rows: Cells, csv_profile: str) -> None:
    """As the CSVs in the outbox are written."""
    encoding = "utf-8-sig" if csv_profile == "excel" else "utf-8"
    text = io.TextIOWrapper(file, encoding=encoding, newline="", write_through=False)
    try:
        writer = csv.DictWriter(text, columns, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    finally:
        text.detach()  # flushes; whoever opened the file closes it


def _jsonl(file: IO[bytes], columns: Sequence[str], rows: Cells, _: str) -> None:
    """One JSON object a line."""
    for row in rows:
        found = {column: _value(column, row[column]) for column in columns}
        file.write(json.dumps(found, ensure_ascii=False).encode() + b"\n")


def _xlsx(file: IO[bytes], columns: Sequence[str], rows: Cells, _: str) -> None:
    """A workbook of one sheet.

    Raises:
        UsageError: more rows than a sheet can hold.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("digitrec")
    sheet.freeze_panes = "A2"

    def cell(column: str, text: str) -> object:
        value = _value(column, text)
        if not isinstance(value, str):
            return value
        one = WriteOnlyCell(sheet, _NOT_IN_XML.sub(_escaped, value))
        one.data_type = "s"  # whatever it begins with
        one.number_format = "@"  # and what is typed over it stays text, too
        return one

    sheet.append(list(columns))
    try:
        for number, row in enumerate(rows, start=2):
            if number > _MOST_XLSX_ROWS:
                hint = "Use --format csv, or --since."
                raise UsageError(f"an xlsx sheet holds no more than {_MOST_XLSX_ROWS - 1:,} rows", hint=hint)
            sheet.append([cell(column, row[column]) for column in columns])
    except BaseException:
        sheet.close()  # or the draft it writes stays open
        raise
    book.save(file)


WRITERS: dict[TableFormat, Callable[[IO[bytes], Sequence[str], Cells, str], None]] = {
    TableFormat.CSV: _csv,
    TableFormat.JSONL: _jsonl,
    TableFormat.XLSX: _xlsx,
}
"""Each takes an open file, the columns, the rows, and the CSV profile."""


def _value(column: str, text: str) -> str | int | float | None:
    if not text:
        return None
    return int(text) if column in _WHOLE else float(text) if column in _REAL else text


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
