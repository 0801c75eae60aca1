"""Render the CSV tables of a batch, and write latest.csv."""

import codecs
import csv
import heapq
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import digitrec
from digitrec import files, logs, text
from digitrec.types import Digit, Number, OutputFormat, PageReading, TableRow, Thresholds

SCHEMA_VERSION = 2
LATEST_NAME = "latest.csv"
_BOM = "\ufeff"

_Cell = Callable[[TableRow, OutputFormat], object]
_NumberCell = Callable[[int, Number], object]
"""Cell of a number; the first argument is its position on the page, from 1."""
_DigitCell = Callable[[int, Digit, int], object]
"""Cell of a digit; the other arguments are its position on the page and that of its number, both from 1."""


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _format_probability(value: int, _: int, digit: Digit, __: int) -> str:
    return _format_number(digit.probabilities[value])


def _escape_label(row: TableRow, output_format: OutputFormat) -> str:
    escape = text.escape_cell if output_format.schema_version == 1 else text.escape_answer
    return escape(row.label)


_CELLS: dict[str, _Cell] = {
    "schema_version": lambda _, output_format: output_format.schema_version,
    "batch_id": lambda row, _: row.batch_id,
    "row": lambda row, _: row.row or "",
    "file": lambda row, _: text.escape_cell(row.path),
    "group": lambda row, _: text.escape_cell(get_group(row.path)),
    "page": lambda row, _: row.reading.page,
    "status": lambda row, _: row.reading.status,
    "text": lambda row, _: text.escape_answer(row.reading.text),
    "digit": lambda row, _: row.reading.text if re.fullmatch("[0-9]", row.reading.text) else "",
    "confidence": lambda row, _: _format_number(row.reading.confidence),
    "runner_up": lambda row, _: text.escape_answer(row.reading.runner_up),
    "runner_up_confidence": lambda row, _: _format_number(row.reading.runner_up_confidence),
    "digit_count": lambda row, _: sum(map(str.isdigit, row.reading.text)) or "",
    "reason_code": lambda row, _: row.reading.reason or "",
    "reason": lambda row, _: text.escape_cell(row.reading.detail),
    "duplicate_of": lambda row, _: row.duplicate_of,
    "label": _escape_label,
    "format": lambda row, _: row.reading.format,
    "width": lambda row, _: row.reading.width,
    "height": lambda row, _: row.reading.height,
    "size_bytes": lambda row, _: row.size,
    "sha256": lambda row, _: row.sha256,
    "received_at": lambda row, _: row.received_at,
    "processed_at": lambda _, output_format: output_format.processed_at,
    "model_id": lambda _, output_format: output_format.model_id,
    "app_version": lambda _, output_format: output_format.app_version,
    "number_count": lambda row, _: len(row.reading.text.split()) or "",
}

_PAGE_COLUMNS = ("schema_version", "batch_id", "row", "file", "page")
"""First columns of the tables of numbers and digits; see `_format_page`."""

_NUMBER_CELLS: dict[str, _NumberCell] = {
    "number": lambda position, _: position,
    "line": lambda _, number: number.line,
    "column": lambda _, number: number.column,
    "x": lambda _, number: number.box.x,
    "y": lambda _, number: number.box.y,
    "width": lambda _, number: number.box.width,
    "height": lambda _, number: number.box.height,
    "text": lambda _, number: text.escape_answer(number.text),
    "confidence": lambda _, number: _format_number(number.confidence),
    "status": lambda _, number: number.status,
    "reason_code": lambda _, number: number.reason or "",
}

_DIGIT_CELLS: dict[str, _DigitCell] = {
    "index": lambda index, _, __: index,
    "x": lambda _, digit, __: digit.box.x,
    "y": lambda _, digit, __: digit.box.y,
    "width": lambda _, digit, __: digit.box.width,
    "height": lambda _, digit, __: digit.box.height,
    "digit": lambda _, digit, __: digit.digit,
    "confidence": lambda _, digit, __: _format_number(digit.confidence),
    **{f"p{value}": partial(_format_probability, value) for value in range(10)},
    "number": lambda _, __, position: position,
}

COLUMNS = tuple(_CELLS)
NUMBER_COLUMNS = (*_PAGE_COLUMNS, *_NUMBER_CELLS)
DIGIT_COLUMNS = (*_PAGE_COLUMNS, *_DIGIT_CELLS)


def get_group(path: str) -> str:
    """Return the first folder of a path under the inbox, "" if there is none.

    >>> get_group("monday/desk/7.png"), get_group("7.png")
    ('monday', '')
    """
    first, slash, _ = path.partition("/")
    return first if slash else ""


def sort_key(path: str, page: int) -> tuple[str, int]:
    """Return the sort key of a row: the path as written in the CSV, then the page."""
    return text.escape_cell(path), page


def current_format(
    csv_profile: str, model_id: str, processed_at: str, thresholds: Thresholds | None, max_error: float | None
) -> OutputFormat:
    """Return the output format of a batch that this version records."""
    return OutputFormat(
        columns=COLUMNS,
        digit_columns=DIGIT_COLUMNS,
        number_columns=NUMBER_COLUMNS,
        schema_version=SCHEMA_VERSION,
        csv_profile=csv_profile,
        model_id=model_id,
        app_version=digitrec.__version__,
        processed_at=processed_at,
        thresholds=thresholds,
        max_error=max_error,
    )


def render_main(rows: Sequence[TableRow], output_format: OutputFormat) -> str:
    """Return the main table (RFC 4180), one row per page."""
    cells = [_CELLS[column] for column in output_format.columns]
    return _format_csv(
        output_format, output_format.columns, ([cell(row, output_format) for cell in cells] for row in rows)
    )


def format_cells(row: TableRow, output_format: OutputFormat) -> dict[str, str]:
    """Return the cells of one row of the main table as text, by column; all columns of this version."""
    cells = {column: cell(row, output_format) for column, cell in _CELLS.items()}
    return {column: "" if value is None else str(value) for column, value in cells.items()}


def render_numbers(rows: Iterable[TableRow], output_format: OutputFormat) -> str:
    """Return the table of numbers, one row per number."""
    columns = output_format.number_columns
    cells = [_NUMBER_CELLS[column] for column in columns[len(_PAGE_COLUMNS) :]]
    lines = (
        (*_format_page(row, output_format), *(cell(position, number) for cell in cells))
        for row in rows
        for position, number in enumerate(row.reading.numbers, start=1)
    )
    return _format_csv(output_format, columns, lines)


def render_digits(rows: Iterable[TableRow], output_format: OutputFormat) -> str:
    """Return the table of digits, one row per digit."""
    columns = output_format.digit_columns
    cells = [_DIGIT_CELLS[column] for column in columns[len(_PAGE_COLUMNS) :]]
    lines = (
        (*_format_page(row, output_format), *(cell(index, digit, position) for cell in cells))
        for row in rows
        for index, (digit, position) in enumerate(_iter_digits(row.reading), start=1)
    )
    return _format_csv(output_format, columns, lines)


def _format_page(row: TableRow, output_format: OutputFormat) -> tuple[object, ...]:
    page = row.reading.page
    return output_format.schema_version, row.batch_id, row.row or "", text.escape_cell(row.path), page


def _iter_digits(reading: PageReading) -> Iterator[tuple[Digit, int]]:
    """Yield each digit of a page with the position of its number, from 1."""
    for position, number in enumerate(reading.numbers, start=1):
        for digit in number.digits:
            yield digit, position


def render_tables(batch_id: str, rows: Sequence[TableRow], output_format: OutputFormat) -> dict[str, str]:
    """Return the tables of a batch by file name, the main table last: a visible main table is complete."""
    tables = {f"{batch_id}.digits.csv": render_digits(rows, output_format)}
    if output_format.number_columns:
        tables[f"{batch_id}.numbers.csv"] = render_numbers(rows, output_format)
    return tables | {f"{batch_id}.csv": render_main(rows, output_format)}


def get_batch_id(name: str) -> str:
    """Return the batch of a table by its file name; the name itself for another file.

    >>> get_batch_id("20260102T030405Z-00000000.numbers.csv")
    '20260102T030405Z-00000000'
    """
    return name.removesuffix(".csv").removesuffix(".digits").removesuffix(".numbers")


def find_published(outbox: Path) -> list[str]:
    """Return the ids of all batches whose table is in the outbox, oldest first."""
    if not outbox.is_dir():
        return []
    table_ids = (name.removesuffix(".csv") for name in os.listdir(outbox) if name.endswith(".csv"))
    return sorted(filter(text.BATCH_ID.fullmatch, table_ids))


def write_latest(outbox: Path, batch_ids: Iterable[str]) -> None:
    """Replace latest.csv by the rows of these batches; without any of their tables it stays unchanged.

    Raises:
        OSError: the outbox cannot be read or written.
    """
    if tables := read_tables(batch_ids, partial(read_if_exists, outbox)):
        files.atomic_write(outbox / LATEST_NAME, merge_tables(tables))


def read_tables(batch_ids: Iterable[str], read: Callable[[str], bytes | None]) -> list[bytes]:
    """Return the main tables of these batches.

    Args:
        batch_ids: in the order of publication.
        read: returns the content of a file in the outbox; None if it is missing, as a person may move a table.
    """
    contents = {batch_id: read(f"{batch_id}.csv") for batch_id in batch_ids}
    for batch_id, content in contents.items():
        if content is None:
            logs.warning("the table of a batch is gone, latest.csv lacks its rows", batch=batch_id)
    return [content for content in contents.values() if content is not None]


def merge_tables(tables: Sequence[bytes]) -> bytes:
    r"""Merge main tables into one, sorted by path, then page; rows of the same page in the order of the tables.

    Columns are only ever added at the end, so the longest header fits all. Each table is sorted, so only one row of
    each is in memory at a time.

    >>> merge_tables([b"file,page\r\nb,1\r\n", b"file,page,text\r\na,1,7\r\n"])
    b'file,page,text\r\na,1,7\r\nb,1,\r\n'
    """
    if len(tables) == 1:
        return tables[0]
    readers = [csv.reader(io.TextIOWrapper(io.BytesIO(table), "utf-8-sig", newline="")) for table in tables]
    columns = max((next(reader) for reader in readers), key=len)
    file, page = columns.index("file"), columns.index("page")
    rows = heapq.merge(*readers, key=lambda row: (row[file], int(row[page])))
    filled = (row + [""] * (len(columns) - len(row)) for row in rows)
    return _format_text(columns, filled, has_bom=tables[-1].startswith(codecs.BOM_UTF8)).encode()


def read_if_exists(outbox: Path, name: str) -> bytes | None:
    """Return the content of a file in the outbox; None if it is missing."""
    try:
        return (outbox / name).read_bytes()
    except FileNotFoundError:
        return None


def _format_csv(output_format: OutputFormat, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return _format_text(columns, rows, has_bom=output_format.csv_profile == "excel")


def _format_text(columns: Sequence[str], rows: Iterable[Sequence[object]], *, has_bom: bool) -> str:
    table = io.StringIO(newline="")
    table.write(_BOM if has_bom else "")
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return table.getvalue()
