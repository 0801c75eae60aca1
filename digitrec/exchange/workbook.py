"""The first sheet of an Excel workbook as lines of cells: what `export` writes, or anybody else."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from xml.etree.ElementTree import ParseError

from digitrec.errors import UsageError

_ZIP, _OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_TRUTH = {"text", "label"}


def is_workbook(content: bytes) -> bool:
    """True for .xlsx, and for what Excel or LibreOffice write besides, which `cells` refuses."""
    return content.startswith((_ZIP, _OLD_EXCEL))


def cells(content: bytes) -> Iterator[tuple[int, list[str]]]:
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
