"""Print answers: rows of the main table, and the numbers of a page as they are laid out on it."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import typer

from digitrec.exchange.formats import rows_to_json
from digitrec.settings import Settings
from digitrec.storage import csv_tables, table_reader
from digitrec.text import escape, pluralize
from digitrec.types import Number, OutputFormat, PageReading, PageStatus, Reason, TableRow

_COLUMNS = ("file", "page", "status", "text", "confidence", "reason")
STYLES = {"accepted": "green", "review": "yellow", "rejected": "red"}
"""Colour of each status."""
_MAX_REJECTED = 5
"""Rejected files that are listed below the summary of a run."""
_MIN_WIDTH = 72
"""Width of a terminal from which long texts and reasons are wrapped rather than names."""
_MAX_TEXT = 40
"""Longest text of a page that is printed in its row; a longer one is printed line by line below."""


def print_batches(settings: Settings, batches: Iterable[str]) -> None:
    """Print the rows of batches as a table, from their CSVs, and the numbers of pages that have several lines."""
    for batch_id in batches:
        path = settings.table_location(batch_id)
        if isinstance(path, str):
            typer.echo(f"{path} is in the object store and not shown here")
        elif path.exists():
            lines = read_table(path)
            _print_table(lines)
            if any(int(line["number_count"] or 0) > 1 for line in lines):
                _print_laid_out(table_reader.read_batch_tables(settings.outbox, batch_id)[1])


def format_rejected(settings: Settings, batches: Sequence[str]) -> Iterator[str]:
    """Yield a line for each rejected file of these batches with the reason, newest batch first, a few at most."""
    count = 0
    for batch_id in reversed(batches):
        path = settings.table_location(batch_id)
        for line in read_table(path) if isinstance(path, Path) and path.exists() else ():
            count += line["status"] == PageStatus.REJECTED
            if line["status"] == PageStatus.REJECTED and count <= _MAX_REJECTED:
                yield f"  rejected  {line['file']}: {line['reason']}"
        if count > _MAX_REJECTED:
            yield "  rejected  and more (the report lists all)"
            return


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as text by column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def print_predictions(rows: Sequence[TableRow], output_format: OutputFormat, *, table_format: str) -> None:
    """Print rows as `table`, `json` or `csv`; json and csv have the columns of the main table.

    In json, columns of numbers hold numbers, null for an empty cell, and `numbers` has an object for each number.
    """
    text = csv_tables.render_main(rows, output_format)
    if table_format == "csv":
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    if table_format == "json":
        typer.echo(json.dumps(rows_to_json(rows, output_format), indent=1))
        return
    _print_table(list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))))
    _print_laid_out(rows)


def _print_laid_out(rows: Iterable[TableRow]) -> None:
    """Print the numbers of pages that have several lines, or a long text, as they are laid out."""
    for row in rows:
        if _is_laid_out(row.reading):
            has_doubt = any(number.status is PageStatus.REVIEW for number in row.reading.numbers)
            typer.echo(f"\n{escape(row.path)}, page {row.reading.page}{'; ? needs review' if has_doubt else ''}")
            for line in format_numbers(row.reading.numbers):
                typer.echo(line)


def is_unreadable(reading: PageReading) -> bool:
    """Return whether a page could not be read; a blank page was read."""
    return reading.status is PageStatus.REJECTED and reading.reason is not Reason.BLANK


def format_numbers(numbers: Sequence[Number]) -> Iterator[str]:
    r"""Yield the numbers of a page, one text line per line of the page, each number in its column.

    >>> from digitrec.types import Box
    >>> box, doubtful = Box(0, 0, 9, 9), PageStatus.REVIEW
    >>> numbers = [Number(1, 1, box, "7", ()), Number(1, 2, box, "50", ()), Number(2, 2, box, "9", (), 0.4, doubtful)]
    >>> print(*format_numbers(numbers), sep="\n")
      7  50
         9?
    """
    texts: dict[tuple[int, int], str] = {}
    for number in numbers:
        position, mark = (number.line, number.column), "?" if number.status is PageStatus.REVIEW else ""
        texts[position] = f"{texts.get(position, '')} {number.text}{mark}".lstrip()
    columns = sorted({column for _, column in texts})
    widths = {column: max(len(text) for (_, at), text in texts.items() if at == column) for column in columns}
    for line, _ in groupby(sorted(texts), key=lambda position: position[0]):
        cells = [texts.get((line, column), "").ljust(widths[column]) for column in columns]
        yield f"  {'  '.join(cells)}".rstrip()


def _is_laid_out(reading: PageReading) -> bool:
    """Return whether the numbers of a page are printed below the table: they have several lines, or a long text."""
    return len(reading.text) > _MAX_TEXT or len({number.line for number in reading.numbers}) > 1


def _print_table(lines: Sequence[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_terminal = sys.stdout.isatty()
    lines = shorten_files(lines) if is_terminal else lines
    console = Console(width=None if is_terminal else 160)
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        width = max((len(shorten_cell(column, line)) for line in lines), default=0)
        is_unwrapped = column not in {"text", "reason"} and width <= console.width // 3 and console.width >= _MIN_WIDTH
        side: Literal["left", "right"] = "right" if column in {"page", "confidence"} else "left"
        table.add_column(column, justify=side, overflow="fold", min_width=width if is_unwrapped else None)
    for line in lines:
        cells = [Text(shorten_cell(column, line), style=STYLES.get(line[column], "")) for column in _COLUMNS]
        table.add_row(*cells)
    console.print(table)


def shorten_files(lines: Sequence[dict[str, str]]) -> Sequence[dict[str, str]]:
    """Return rows with base names in place of paths, unless two files have the same base name.

    >>> shorten_files([{"file": "/srv/1.png"}, {"file": "/srv/2.png"}])
    [{'file': '1.png'}, {'file': '2.png'}]
    >>> shorten_files([{"file": "a/1.png"}, {"file": "b/1.png"}])
    [{'file': 'a/1.png'}, {'file': 'b/1.png'}]
    """
    names = {line["file"]: line["file"].rpartition("/")[2] for line in lines}
    is_clear = len(set(names.values())) == len(names)
    return [line | {"file": names[line["file"]]} for line in lines] if is_clear else lines


def shorten_cell(column: str, line: dict[str, str]) -> str:
    """Return a cell of the main table for a person: the count of the numbers of a long text, a short confidence."""
    cell = line[column]
    if column == "text" and len(cell) > _MAX_TEXT:
        return pluralize(len(cell.split()), "number")
    return f"{float(cell):.4f}" if column == "confidence" and cell else cell
