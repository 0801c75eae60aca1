"""A table that people or their programs made, or one of ours that a spreadsheet has been at."""

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
from digitrec.storage.corrections import NONE
from digitrec.text import escape

_ZIP, _OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_TRUTH = {"text", "label"}


def is_workbook(content: bytes) -> bool:
    """True for .xlsx, and for what Excel or LibreOffice write besides, which `read_cells` refuses."""
    return content.startswith((_ZIP, _OLD_EXCEL))


def read_cells(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each row with anything in it, and its number. Digits that are kept as text get a `'`: they lost no zeros.

    Raises:
        UsageError: it is no .xlsx, or a damaged one.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (zipfile.BadZipFile, InvalidFileException, ParseError, KeyError, ValueError, TypeError, IndexError)
    columns: list[str] = []
    try:
        with warnings.catch_warnings():  # of styles and extensions that openpyxl leaves out
            warnings.simplefilter("ignore")
            book = load_workbook(BytesIO(content), read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some programs write wrong ones
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            book.close()
    except broken as why:
        hint = "Save it as an Excel workbook (.xlsx) or as `CSV UTF-8`."
        raise UsageError("it is no Excel workbook that can be read", hint=hint) from why
    for number, row in enumerate(rows, start=1):
        while row and row[-1] is None:
            row.pop()
        if not row:
            continue
        is_truth = [name in _TRUTH for name in columns] + [False] * len(row)
        yield number, [_cell(value, is_truth=at) for value, at in zip(row, is_truth, strict=False)]
        columns = columns or [str(value).strip().lower() for value in row]


def _cell(value: object, *, is_truth: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return f"'{text}" if is_truth and isinstance(value, str) and re.fullmatch(" *[0-9]+ *", text) else text


_KEYS = ("sha256", "file")
_WHOLE = re.compile(r"([0-9]{1,15})(\.0*)?")  # programs that know only one kind of number write 5.0
_SEPARATORS = ",;\t"
_COLUMNS_HINT = "It needs batch_id and row, or sha256, or file (with page where there are several); and text or label."


class RowError(Exception):
    """This line cannot be applied; says why."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One line of the table."""

    number: int
    """In the file, from 1; where it begins, if it has several."""
    cells: Mapping[str, str]
    """By column, in small letters; without blanks around them."""

    def __getitem__(self, column: str) -> str:
        """The cell of a column; '' if there is none."""
        return self.cells.get(column, "")

    @property
    def is_ours(self) -> bool:
        """True if it is of one of our tables: then it stands there whether somebody looked at it or not."""
        return "status" in self.cells

    def integer(self, column: str) -> int | None:
        """A whole number; None if the cell is empty."""
        if not self[column]:
            return None
        found = _WHOLE.fullmatch(self[column])
        if found is None:
            raise RowError(f"{column} is {escape(self[column][:40])!r}, which is no whole number")
        return int(found[1])

    @property
    def text(self) -> str:
        """The truth that it tells: digits, 'none', or '' if it tells nothing."""
        cell = self["text"] if "text" in self.cells else self["label"]
        if not cell and self.is_ours and self["status"] in {"corrected", "confirmed"}:
            cell = self["label"]  # how a corrected table writes a page without a digit
        bare = cell.removeprefix("'").strip()
        if bare.lower() == NONE:
            return NONE
        if not re.fullmatch("[0-9]*", bare):
            raise RowError(f"{escape(bare[:40])!r} is neither digits nor {NONE}")
        return bare

    @property
    def is_literal(self) -> bool:
        """True if the text is marked as text: no spreadsheet has taken zeros from it."""
        return (self["text"] or self["label"]).startswith("'")


def read_rows(content: bytes) -> Iterator[SheetRow | tuple[int, str]]:
    """The lines of a table; (number, why) for those that do not fit its header. Empty ones are left out.

    Args:
        content: an Excel workbook; or UTF-8, with or without a byte order mark, cells separated by comma, semicolon or
            tab.

    Raises:
        UsageError: it is no such table, or lacks columns.
    """
    header: list[str] = []
    for begins, cells in read_cells(content) if is_workbook(content) else _cells(content):
        if not any(map(str.strip, cells)):
            continue
        if not header:
            header = [cell.strip().lower() for cell in cells]
            _require_columns(header)
        elif len(cells) > len(header):
            yield begins, f"it has {len(cells)} cells, the header {len(header)}"
        else:
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield SheetRow(begins, dict(zip(header, map(str.strip, padded), strict=True)))
    if not header:
        raise UsageError("the table is empty", hint=_COLUMNS_HINT)


def _cells(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV as cells, and where each begins."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise UsageError(f"it is not UTF-8: {why}", hint="Save it as `CSV UTF-8`.") from why
    first, _, rest = text.partition("\n")
    skipped = int(re.fullmatch("sep=.\r?", first) is not None)  # Excel's own
    if skipped:
        text = rest
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        begins = skipped + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as why:
            raise UsageError(f"line {begins}: {why}", hint="Save it as CSV again.") from why
        if cells is None:
            return
        yield begins, cells


def _require_columns(header: list[str]) -> None:
    doubled = {column for column in header if column and header.count(column) > 1}
    if doubled:
        raise UsageError(f"it has more than one column {escape(min(doubled))!r}")
    names_answers = {"batch_id", "row"} <= set(header) or any(key in header for key in _KEYS)
    if not names_answers or not {"text", "label"} & set(header):
        raise UsageError("the table lacks columns", hint=_COLUMNS_HINT)
