"""Read tables of corrections: made elsewhere, or exported by digitrec and edited in a spreadsheet."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from xml.etree.ElementTree import ParseError

from digitrec.errors import UsageError
from digitrec.storage.corrections import ILLEGIBLE, NONE
from digitrec.storage.judgements import is_text
from digitrec.text import escape
from digitrec.types import Reason

_ZIP_MAGIC, _OLD_EXCEL_MAGIC = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_LABEL_COLUMNS = {"text", "label"}


def is_workbook(content: bytes) -> bool:
    """Return True for .xlsx, and for other formats of Excel and LibreOffice, which `read_cells` refuses."""
    return content.startswith((_ZIP_MAGIC, _OLD_EXCEL_MAGIC))


def read_cells(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each non-empty row; digits in a text cell get a `'`: they lost no zeros.

    Raises:
        UsageError: the content is no .xlsx, or damaged.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    errors = (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, TypeError, IndexError)
    columns: list[str] = []
    try:
        with warnings.catch_warnings():  # about styles and extensions that openpyxl ignores
            warnings.simplefilter("ignore")
            book = load_workbook(BytesIO(content), read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some programs write wrong ones
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            book.close()
    except errors as error:
        hint = "Save it as an Excel workbook (.xlsx) or as `CSV UTF-8`."
        raise UsageError("it is no Excel workbook that can be read", hint=hint) from error
    for number, row in enumerate(rows, start=1):
        while row and row[-1] is None:
            row.pop()
        if not row:
            continue
        are_labels = [name in _LABEL_COLUMNS for name in columns] + [False] * len(row)
        yield number, [_format_cell(value, is_label=flag) for value, flag in zip(row, are_labels, strict=False)]
        columns = columns or [str(value).strip().lower() for value in row]


def _format_cell(value: object, *, is_label: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return f"'{text}" if is_label and isinstance(value, str) and re.fullmatch(" *[0-9]+ *", text) else text


_KEYS = ("sha256", "file")
_INTEGER = re.compile(r"([0-9]{1,15})(\.0*)?")  # programs without integers write 5.0
_SEPARATORS = ",;\t"
_COLUMNS_HINT = "It needs batch_id and row, or sha256, or file (with page where there are several); and text or label."


class RowError(Exception):
    """Reason why a line cannot be applied."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One line of the table, after the header."""

    number: int
    """Number of its first line in the file, from 1."""
    cells: Mapping[str, str]
    """Stripped cells by column name in lower case."""

    def __getitem__(self, column: str) -> str:
        """Return the cell of a column; empty if there is none."""
        return self.cells.get(column, "")

    @property
    def is_ours(self) -> bool:
        """Return True for a row of an exported table, which may be unreviewed."""
        return "status" in self.cells

    def integer(self, column: str) -> int | None:
        """Return a whole number; None if the cell is empty."""
        if not self[column]:
            return None
        match = _INTEGER.fullmatch(self[column])
        if match is None:
            raise RowError(f"{column} is {escape(self[column][:40])!r}, which is no whole number")
        return int(match[1])

    @property
    def text(self) -> str:
        """Return its label: numbers, 'none', 'illegible', or '' if it has none."""
        cell = self["text"] if "text" in self.cells else self["label"]
        if not cell and self.is_ours:
            cell = self._settled_label()
        bare = " ".join(cell.removeprefix("'").split())
        if bare.lower() in {NONE, ILLEGIBLE}:
            return bare.lower()
        if bare and not is_text(bare):
            raise RowError(f"{escape(bare[:40])!r} is no number, {NONE} or {ILLEGIBLE}")
        return bare

    def _settled_label(self) -> str:
        """Return the label of a row of a corrected table whose text is empty; '' for any other row."""
        if self["status"] in {"corrected", "confirmed"}:
            return NONE if "number" in self.cells else self["label"]
        return ILLEGIBLE if self["status"] == "review" and self["reason_code"] == Reason.NOT_A_DIGIT else ""

    @property
    def is_literal(self) -> bool:
        """Return True if the label is marked as text: no spreadsheet has removed its zeros."""
        return (self["text"] or self["label"]).startswith("'")


def read_rows(content: bytes) -> Iterator[SheetRow | tuple[int, str]]:
    """Yield the rows of a table; (number, why) for those that do not fit its header. Skips empty rows.

    Args:
        content: an Excel workbook; or UTF-8, with or without a byte order mark, cells separated by comma, semicolon or
            tab.

    Raises:
        UsageError: the content is no such table, or lacks columns.
    """
    header: list[str] = []
    for number, cells in read_cells(content) if is_workbook(content) else _read_csv(content):
        if not any(map(str.strip, cells)):
            continue
        if not header:
            header = [cell.strip().lower() for cell in cells]
            _require_columns(header)
        elif len(cells) > len(header):
            yield number, f"it has {len(cells)} cells, the header {len(header)}"
        else:
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield SheetRow(number, dict(zip(header, map(str.strip, padded), strict=True)))
    if not header:
        raise UsageError("the table is empty", hint=_COLUMNS_HINT)


def _read_csv(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the cells of each row of a CSV."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"it is not UTF-8: {error}", hint="Save it as `CSV UTF-8`.") from error
    first, _, rest = text.partition("\n")
    skipped = int(re.fullmatch("sep=.\r?", first) is not None)  # Excel's line for the separator
    if skipped:
        text = rest
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        number = skipped + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UsageError(f"line {number}: {error}", hint="Save it as CSV again.") from error
        if cells is None:
            return
        yield number, cells


def _require_columns(header: list[str]) -> None:
    duplicates = {column for column in header if column and header.count(column) > 1}
    if duplicates:
        raise UsageError(f"it has more than one column {escape(min(duplicates))!r}")
    identifies_rows = {"batch_id", "row"} <= set(header) or any(key in header for key in _KEYS)
    if not identifies_rows or not _LABEL_COLUMNS & set(header):
        raise UsageError("the table lacks columns", hint=_COLUMNS_HINT)
