"""Write the numbers of each page as a separate table, laid out as on the page: one CSV or one sheet per page."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from digitrec import files, text
from digitrec.files import numbered_name, portable_name
from digitrec.types import Number, PageStatus, TableRow

_MAX_TITLE_LENGTH = 31
"""Characters of the name of a sheet (Excel)."""
_NOT_IN_TITLE = re.compile(r"[\[\]:*?/\\']")
_MAX_WIDTH = 50
"""Upper limit of the width of a column, characters."""
_REVIEW_COLOR = "FFF2CC"
"""Background of a number that needs review: pale yellow."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Numbers at one place of a page; several are separated by a space."""

    text: str
    needs_review: bool


@dataclass(frozen=True, slots=True)
class PageTable:
    """Table of one page."""

    name: str
    """File name without suffix, different from that of every other page, also without regard to case."""
    lines: Sequence[Sequence[Cell]]
    """All lines have the same length."""


def build_tables(batches: Iterable[Sequence[TableRow]]) -> Iterator[PageTable]:
    """Yield the table of each page that has numbers.

    A table is named after its picture; `-page2` marks a page of a document, and `~2` a name that is taken. Pages
    without numbers take part in that, so that the names stay the same when such a page is corrected.

    Args:
        batches: the rows of each batch, corrections applied.
    """
    taken: dict[str, int] = {}
    for rows in batches:
        documents = {row.path for row in rows if row.reading.page > 1}
        for row in rows:
            page = f"-page{row.reading.page}" if row.path in documents else ""
            name = _choose_free(portable_name(PurePath(row.path).stem + page + ".csv"), taken, numbered_name)
            if lines := lay_out(row.reading.numbers):
                yield PageTable(name.removesuffix(".csv"), lines)


def lay_out(numbers: Iterable[Number]) -> list[list[Cell]]:
    """Return the lines of a page; no lines if none of its numbers has a text.

    Args:
        numbers: in reading order.
    """
    cells: dict[tuple[int, int], list[Number]] = {}
    for number in numbers:
        cells.setdefault((number.line, number.column), []).append(number)
    if not any(number.text for own in cells.values() for number in own):
        return []
    height, width = max(line for line, _ in cells), max(column for _, column in cells)
    return [
        [_make_cell(cells.get((line, column), ())) for column in range(1, width + 1)] for line in range(1, height + 1)
    ]


def write_csvs(folder: Path, tables: Iterable[PageTable], csv_profile: str) -> int:
    """Write one CSV for each page; return their number.

    Args:
        folder: created if missing; a file of the same name is replaced.
        tables: of the pages.
        csv_profile: "excel" begins each with a byte order mark.

    Raises:
        OSError: a file cannot be written; those before it are complete.
    """
    files.make_dir(folder)
    count = 0
    for table in tables:
        content = io.StringIO(newline="")
        content.write("\ufeff" if csv_profile == "excel" else "")
        writer = csv.writer(content, lineterminator="\r\n")
        writer.writerows([text.escape_answer(cell.text) for cell in line] for line in table.lines)
        files.atomic_write(folder / f"{table.name}.csv", content.getvalue())
        count += 1
    return count


def write_workbook(path: Path, tables: Iterable[PageTable]) -> int:
    """Write a workbook with a sheet for each page; return their number. Without pages nothing is written.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import PatternFill
    from openpyxl.utils import get_column_letter

    book = Workbook(write_only=True)
    review_fill = PatternFill("solid", fgColor=_REVIEW_COLOR)
    taken: dict[str, int] = {}
    try:
        for table in tables:
            title = _NOT_IN_TITLE.sub("_", table.name)[:_MAX_TITLE_LENGTH]
            sheet = book.create_sheet(_choose_free(title, taken, _numbered_title))
            for number, column in enumerate(zip(*table.lines, strict=True), start=1):
                width = max(len(cell.text) for cell in column) + 2
                sheet.column_dimensions[get_column_letter(number)].width = min(width, _MAX_WIDTH)
            for line in table.lines:
                cells = [WriteOnlyCell(sheet, cell.text or None) for cell in line]
                for cell, book_cell in zip(line, cells, strict=True):
                    book_cell.number_format = "@"  # text: "0650" keeps its zero
                    if cell.needs_review:
                        book_cell.fill = review_fill
                sheet.append(cells)
        if taken:
            with files.atomic_writer(path) as file:
                book.save(file)
    except BaseException:
        for sheet in book.worksheets:
            sheet.close()  # otherwise its temporary file stays open
        raise
    return len(book.worksheets)


def _make_cell(numbers: Sequence[Number]) -> Cell:
    text = " ".join(number.text for number in numbers if number.text)
    return Cell(text, any(number.status is PageStatus.REVIEW for number in numbers))


def _choose_free(name: str, taken: dict[str, int], number_name: Callable[[str, int], str]) -> str:
    """Return a name, with a number if it is taken, and add it to the taken ones.

    Args:
        name: of a file or a sheet.
        taken: the highest number of each name in lower case.
        number_name: adds a number to a name.
    """
    number = taken.get(name.lower(), 0) + 1
    free = name if number == 1 else number_name(name, number)
    while free.lower() in taken:
        number += 1
        free = number_name(name, number)
    taken[name.lower()] = number
    taken.setdefault(free.lower(), 1)
    return free


def _numbered_title(title: str, number: int) -> str:
    mark = f"~{number}"
    return title[: _MAX_TITLE_LENGTH - len(mark)] + mark
