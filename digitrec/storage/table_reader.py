"""Read the published tables of a batch back, as a rebuilt ledger needs them."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from digitrec.storage import csv_tables
from digitrec.storage.schema import join_digits
from digitrec.text import escape, unescape_cell
from digitrec.types import Box, Digit, Number, OutputFormat, PageReading, PageStatus, Reason, TableRow

_BOM = b"\xef\xbb\xbf"
_Line = Mapping[str, str]


def read_batch_tables(outbox: Path, batch_id: str) -> tuple[OutputFormat, list[TableRow]]:
    """Return the output format of a batch and its rows with their numbers and digits.

    A batch that 0.1 recorded has no table of numbers: the digits of a page are one number.

    Raises:
        ValueError, KeyError, OverflowError, csv.Error: a table is not valid.
        OSError: a table is missing or cannot be read.
    """
    main = outbox / f"{batch_id}.csv"
    columns, lines = _read_table(main, batch_id, csv_tables.COLUMNS)
    digit_columns, digit_lines = _read_table(outbox / f"{batch_id}.digits.csv", batch_id, csv_tables.DIGIT_COLUMNS)
    if not lines:
        raise ValueError("it has no rows")
    rows = [_parse_row(line) for line in lines]
    number_columns: tuple[str, ...] = ()
    if int(lines[0]["schema_version"]) == 1:
        rows = _join_digits(rows, digit_lines)
    else:
        path = outbox / f"{batch_id}.numbers.csv"
        number_columns, number_lines = _read_table(path, batch_id, csv_tables.NUMBER_COLUMNS)
        rows = _add_numbers(rows, number_lines, digit_lines)
    output_format = OutputFormat(
        columns=columns,
        digit_columns=digit_columns,
        number_columns=number_columns,
        schema_version=int(lines[0]["schema_version"]),
        csv_profile="excel" if main.read_bytes().startswith(_BOM) else "plain",
        model_id=lines[0]["model_id"],
        app_version=lines[0]["app_version"],
        processed_at=lines[0]["processed_at"],
        thresholds=None,
        max_error=None,
    )
    return output_format, rows


def _read_table(table: Path, batch_id: str, all_columns: Sequence[str]) -> tuple[tuple[str, ...], list[_Line]]:
    reader = csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
    lines = list(reader)
    for line in lines:
        if None in line or None in line.values():
            raise ValueError(f"line {reader.line_num} or one before it has not as many cells as the header")
        if line["batch_id"] != batch_id:
            raise ValueError(f"it has a row of batch {escape(line['batch_id'])}")
    columns = tuple(reader.fieldnames or ())
    if not columns or columns != tuple(all_columns[: len(columns)]):  # columns are only ever added at the end
        raise ValueError(f"{table.name} has other columns than {','.join(all_columns)}")
    return columns, [*lines]


def _join_digits(rows: Iterable[TableRow], digit_lines: Iterable[_Line]) -> list[TableRow]:
    """Return the rows with the digits of each page as one number."""
    digits: dict[int, list[Digit]] = {}
    for line in digit_lines:
        digits.setdefault(int(line["row"]), []).append(_parse_digit(line))
    return [
        _replace_numbers(row, [join_digits(row.reading, digits[row.row])]) if row.row in digits else row for row in rows
    ]


def _add_numbers(
    rows: Sequence[TableRow], number_lines: Iterable[_Line], digit_lines: Iterable[_Line]
) -> list[TableRow]:
    """Return the rows with their numbers, and these with their digits."""
    digits: dict[tuple[str, str], list[Digit]] = {}
    for line in digit_lines:
        digits.setdefault((line["row"], line["number"]), []).append(_parse_digit(line))
    numbers: dict[int, list[Number]] = {}
    for line in number_lines:
        number = _parse_number(line, digits.pop((line["row"], line["number"]), ()))
        numbers.setdefault(int(line["row"]), []).append(number)
    if digits:
        raise ValueError("row {} has a digit of number {}, which is in no table".format(*min(digits)))
    if unknown := numbers.keys() - {row.row for row in rows}:
        raise ValueError(f"a number is of row {min(unknown)}, which is in no table")
    return [_replace_numbers(row, numbers.get(row.row, ())) for row in rows]


def _replace_numbers(row: TableRow, numbers: Sequence[Number]) -> TableRow:
    return replace(row, reading=replace(row.reading, numbers=tuple(numbers)))


def _parse_digit(line: _Line) -> Digit:
    return Digit(_parse_box(line), tuple(float(line[f"p{digit}"]) for digit in range(10)))


def _parse_number(line: _Line, digits: Sequence[Digit]) -> Number:
    return Number(
        line=int(line["line"]),
        column=int(line["column"]),
        box=_parse_box(line),
        text=unescape_cell(line["text"]),
        digits=tuple(digits),
        confidence=_parse_float(line["confidence"]),
        status=PageStatus(line["status"]),
        reason=Reason(line["reason_code"]) if line["reason_code"] else None,
    )


def _parse_box(line: _Line) -> Box:
    return Box(*(int(line[name]) for name in ("x", "y", "width", "height")))


def _parse_row(line: _Line) -> TableRow:
    reading = PageReading(
        page=int(line["page"]),
        status=PageStatus(line["status"]),
        text=unescape_cell(line["text"]),
        confidence=_parse_float(line["confidence"]),
        runner_up=unescape_cell(line["runner_up"]),
        runner_up_confidence=_parse_float(line["runner_up_confidence"]),
        reason=Reason(line["reason_code"]) if line["reason_code"] else None,
        detail=unescape_cell(line["reason"]),
        format=line["format"],
        width=int(line["width"]) if line["width"] else None,
        height=int(line["height"]) if line["height"] else None,
    )
    return TableRow(
        batch_id=line["batch_id"],
        row=int(line["row"]),
        path=unescape_cell(line["file"]),
        sha256=line["sha256"],
        size=int(line["size_bytes"]),
        received_at=line["received_at"],
        label=unescape_cell(line["label"]),
        duplicate_of=line["duplicate_of"],
        reading=reading,
    )


def _parse_float(cell: str) -> float | None:
    return float(cell) if cell else None
