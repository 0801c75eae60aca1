"""Write tables row by row, in constant memory, as csv, jsonl or xlsx.

Cells are those of the CSV in every format, with escaped names, and text stays text: "0650" keeps its zero. In jsonl and
xlsx numbers are numbers, and an empty cell is null.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import IO, Any, TypeAlias

from digitrec.errors import UsageError
from digitrec.storage import csv_tables
from digitrec.types import Number, OutputFormat, TableRow

Cells: TypeAlias = Iterable[Mapping[str, str]]
"""Rows; the text of each cell by column."""

INTEGER_COLUMNS = frozenset(
    {"schema_version", "row", "page", "digit_count", "number_count", "width", "height", "size_bytes"}
)
FLOAT_COLUMNS = frozenset({"confidence", "runner_up_confidence"})
NUMERIC_COLUMNS = INTEGER_COLUMNS | FLOAT_COLUMNS
"""Columns of the main table that hold numbers."""
ORIGINAL = "original"
"""Key of a row for the address of its original, which a workbook links; no column."""
_MAX_XLSX_ROWS = 1_048_576
"""Upper limit of rows in a sheet, with the header."""
_MAX_XLSX_LINKS = 65_530
"""Upper limit of links in a sheet (Excel)."""
_FIRST_COLUMNS = ("file", "text", "status", "reason")
"""Columns that a person looks at, first in a workbook; programs find columns by their names."""
_MEASURED_ROWS = 200
"""Rows that the widths of the columns are measured by: the others are not known yet."""
_MAX_WIDTH = 50
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
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\r\n")
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
    """Write a workbook of one sheet; names of files are links to the originals.

    Raises:
        UsageError: more rows than a sheet can hold.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    sheet = book.create_sheet("digitrec")
    first = [column for column in _FIRST_COLUMNS if column in columns]
    columns = [*first, *(column for column in columns if column not in first)]
    rows = iter(rows)
    measured = list(itertools.islice(rows, _MEASURED_ROWS))
    for number, column in enumerate(columns, start=1):
        width = max(len(column) + 3, *(len(row[column]) + 2 for row in measured), 0)  # 3: the button of the filter
        sheet.column_dimensions[get_column_letter(number)].width = min(width, _MAX_WIDTH)
    sheet.freeze_panes = "B2"
    link_font = Font(color="0563C1", underline="single")

    def make_cell(column: str, text: str) -> Any:
        value = parse_value(column, text)
        if not isinstance(value, str):
            return value
        text_cell = WriteOnlyCell(sheet, _NOT_IN_XML.sub(_escape_match, value))
        text_cell.data_type = "s"  # also if it begins with "="
        text_cell.number_format = "@"  # text that a user types over it stays text, too
        return text_cell

    sheet.append(list(columns))
    try:
        number = 1
        for number, row in enumerate(itertools.chain(measured, rows), start=2):
            if number > _MAX_XLSX_ROWS:
                hint = "Use --format csv, or --since."
                raise UsageError(f"an xlsx sheet has no more than {_MAX_XLSX_ROWS - 1:,} rows", hint=hint)
            cells = [make_cell(column, row[column]) for column in columns]
            if number <= _MAX_XLSX_LINKS and row.get(ORIGINAL) and cells[0] is not None:
                cells[0].hyperlink, cells[0].font = row[ORIGINAL], link_font
            sheet.append(cells)
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{number}"
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


def rows_to_json(rows: Sequence[TableRow], output_format: OutputFormat) -> list[dict[str, object]]:
    """Return rows with the columns of the main table as `predict --json` prints them.

    Columns of numbers hold numbers, None for an empty cell, and `numbers` has an object for each number.
    """
    pages: list[dict[str, object]] = []
    for row in rows:
        cells = csv_tables.format_cells(row, output_format)
        values = {name: parse_value(name, cell) if name in NUMERIC_COLUMNS else cell for name, cell in cells.items()}
        pages.append(values | {"numbers": [number_to_json(number) for number in row.reading.numbers]})
    return pages


def number_to_json(number: Number) -> dict[str, object]:
    """Return a number with the keys of `predict --json`."""
    return {
        "line": number.line,
        "column": number.column,
        "box": asdict(number.box),
        "text": number.text,
        "confidence": None if number.confidence is None else round(number.confidence, 6),
        "status": number.status,
        "reason_code": number.reason or "",
    }
