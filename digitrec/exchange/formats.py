"""Write tables row by row, in constant memory, as csv, jsonl or xlsx.

Cells are those of the CSV in every format, with escaped names, and text stays text: "0650" keeps its zero. In jsonl and
xlsx numbers are numbers, and an empty cell is null.
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
"""Rows; the text of each cell by column."""

INTEGER_COLUMNS = frozenset(
    {"schema_version", "row", "page", "digit_count", "number_count", "width", "height", "size_bytes"}
)
FLOAT_COLUMNS = frozenset({"confidence", "runner_up_confidence"})
NUMERIC_COLUMNS = INTEGER_COLUMNS | FLOAT_COLUMNS
"""Columns of the main table that hold numbers."""
_MAX_XLSX_ROWS = 1_048_576
"""Upper limit of rows in a sheet, with the header."""
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class TableFormat(StrEnum):
    """File format of a table."""

    CSV = "csv"
    JSONL = "jsonl"
    XLSX = "xlsx"

    @property
    def is_text(self) -> bool:
        """Return True if it may be written to a terminal."""
        return self in {TableFormat.CSV, TableFormat.JSONL}


def _csv(file: IO[bytes], columns: Sequence[str], rows: Cells, csv_profile: str) -> None:
    """Write a CSV like those in the outbox."""
    encoding = "utf-8-sig" if csv_profile == "excel" else "utf-8"
    text = io.TextIOWrapper(file, encoding=encoding, newline="", write_through=False)
    try:
        writer = csv.DictWriter(text, columns, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    finally:
        text.detach()  # flushes; the caller closes the file


def _jsonl(file: IO[bytes], columns: Sequence[str], rows: Cells, _: str) -> None:
    """Write one JSON object per line."""
    for row in rows:
        values = {column: parse_value(column, row[column]) for column in columns}
        file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")


def _xlsx(file: IO[bytes], columns: Sequence[str], rows: Cells, _: str) -> None:
    """Write a workbook of one sheet.

    Raises:
        UsageError: more rows than a sheet can hold.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("digitrec")
    sheet.freeze_panes = "A2"

    def make_cell(column: str, text: str) -> object:
        value = parse_value(column, text)
        if not isinstance(value, str):
            return value
        text_cell = WriteOnlyCell(sheet, _NOT_IN_XML.sub(_escape_match, value))
        text_cell.data_type = "s"  # also if it begins with "="
        text_cell.number_format = "@"  # text that a user types over it stays text, too
        return text_cell

    sheet.append(list(columns))
    try:
        for number, row in enumerate(rows, start=2):
            if number > _MAX_XLSX_ROWS:
                hint = "Use --format csv, or --since."
                raise UsageError(f"an xlsx sheet has no more than {_MAX_XLSX_ROWS - 1:,} rows", hint=hint)
            sheet.append([make_cell(column, row[column]) for column in columns])
    except BaseException:
        sheet.close()  # otherwise its temporary file stays open
        raise
    book.save(file)


WRITERS: dict[TableFormat, Callable[[IO[bytes], Sequence[str], Cells, str], None]] = {
    TableFormat.CSV: _csv,
    TableFormat.JSONL: _jsonl,
    TableFormat.XLSX: _xlsx,
}
"""Writer of each format; its arguments: open file, columns, rows, CSV profile."""


def parse_value(column: str, text: str) -> str | int | float | None:
    """Return the value of a cell: a number in columns of numbers, None for an empty cell, else its text."""
    if not text:
        return None
    return int(text) if column in INTEGER_COLUMNS else float(text) if column in FLOAT_COLUMNS else text


def _escape_match(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
