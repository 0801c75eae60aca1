"""Export the latest results, corrections applied, of all batches and workers: as one table, or as one a page."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote

from digitrec import files, text
from digitrec.errors import UsageError
from digitrec.exchange import formats, page_tables
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import order_by_trust
from digitrec.settings import Settings, resolve_links
from digitrec.storage import csv_tables
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrections import read_latest
from digitrec.storage.ledger import Ledger
from digitrec.text import BATCH_ID
from digitrec.types import Batch, PageStatus, TableRow

LATEST = "latest"
"""Name of the batches in `outbox/latest.csv`."""
COLUMNS = (*csv_tables.COLUMNS, "corrected_by", "corrected_at")


@dataclass(slots=True)
class ExportResult:
    """Counts of an export."""

    batches: int = 0
    rows: int = 0
    reviewed: int = 0
    """Rows that a reviewer settled."""


@dataclass(frozen=True, slots=True)
class TablesResult:
    """Counts of an export of page tables."""

    pages: int
    """Pages with numbers; each is a table."""
    numbers: int
    in_review: int
    """Numbers that need review."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Batches to export; all of them by default."""

    batches: Sequence[str] = ()
    """Batch ids; `latest` stands for those in `outbox/latest.csv`."""
    since: str = ""
    """A date, a time or a batch id: only batches from then on."""


def export(
    settings: Settings,
    ledgers: Mapping[str, Ledger],
    form: TableFormat,
    target: Path | IO[bytes],
    selection: Selection = Selection(),
) -> ExportResult:
    """Write the latest results as one table, atomically.

    Args:
        settings: name the folders that must not be written to, and the CSV profile.
        ledgers: of all workers, by name.
        form: format of the table.
        target: path of a file, which is replaced; or an open file.
        selection: batches to export.

    Raises:
        UsageError: a batch of the selection does not exist, or the file would be in a folder of the service.
        OSError: the table cannot be written; the old file is unchanged.
    """
    batches = _list_batches(settings, ledgers, selection)
    result = ExportResult()
    make_link = _find_links(settings, target) if form is TableFormat.XLSX else None
    rows = _collect_rows(batches, result, make_link)
    with ExitStack() as stack:
        if isinstance(target, Path):
            _require_file(settings, target)
            target = stack.enter_context(files.atomic_writer(target))
        formats.WRITERS[form](target, COLUMNS, rows, settings.csv_profile)
    return result


def export_tables(
    settings: Settings, ledgers: Mapping[str, Ledger], form: TableFormat, target: Path, selection: Selection
) -> TablesResult:
    """Write the numbers of each page as a separate table, laid out as on the page.

    Args:
        settings: name the folders that must not be written to, and the CSV profile.
        ledgers: of all workers, by name.
        form: csv or xlsx.
        target: path of a folder for csv, created if missing; of a file for xlsx, which is replaced.
        selection: batches to export.

    Raises:
        UsageError: a batch of the selection does not exist, or `target` is not usable.
        OSError: a table cannot be written.
    """
    batches = _list_batches(settings, ledgers, selection)
    counts: Counter[PageStatus] = Counter()

    def read_rows() -> Iterator[list[TableRow]]:
        for ledger, batch in batches:
            rows = apply_corrections(ledger, batch.id)
            counts.update(number.status for row in rows for number in row.reading.numbers if number.text)
            yield rows

    tables = page_tables.build_tables(read_rows())
    if form is TableFormat.XLSX:
        _require_file(settings, target)
        pages = page_tables.write_workbook(target, tables)
    else:
        _require_elsewhere(settings, target)
        pages = page_tables.write_csvs(target, tables, settings.csv_profile)
    return TablesResult(pages, counts.total(), counts[PageStatus.REVIEW])


def parse_since(since: str) -> str:
    """Return the smallest batch id to export.

    Raises:
        UsageError: `since` is no date, time or batch id.

    >>> parse_since("2026-01-02"), parse_since("2026-01-02T05:04:05+02:00")
    ('20260102T000000Z', '20260102T030405Z')
    >>> parse_since("20260102T030405Z-0a1b2c3d"), parse_since("")
    ('20260102T030405Z-0a1b2c3d', '')
    """
    if not since or BATCH_ID.fullmatch(since):
        return since
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        hint = "Write a day (2026-01-31), a time (2026-01-31T12:00:00Z) or a batch id."
        raise UsageError(f"--since is {text.escape(since)!r}", hint=hint) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}"


def _find_links(settings: Settings, target: Path | IO[bytes]) -> Callable[[str], str]:
    """Return a function that makes the address of an original from its path in the workspace; "" if it is gone.

    In a table inside the workspace it is relative: workspace and table can be moved together.
    """
    workspace = resolve_links(settings.workspace)
    folder = resolve_links(target.absolute().parent) if isinstance(target, Path) else None
    is_inside = folder is not None and folder.is_relative_to(workspace)

    def make_link(location: str) -> str:
        path = workspace / location
        if not location or not os.path.lexists(path):
            return ""
        return quote(os.fsencode(os.path.relpath(path, folder))) if is_inside else path.as_uri()

    return make_link


def _collect_rows(
    batches: Iterable[tuple[Ledger, Batch]], result: ExportResult, make_link: Callable[[str], str] | None
) -> Iterator[dict[str, str]]:
    for ledger, batch in batches:
        if batch.output_format is None:
            continue
        result.batches += 1
        corrections = read_latest(ledger, batch.id)
        locations = {claim.path: claim.location for claim in ledger.claims(batch.id)} if make_link else {}
        for row in apply_corrections(ledger, batch.id):
            correction = corrections.get((batch.id, row.row))
            cells = csv_tables.format_cells(row, batch.output_format)
            if make_link is not None:
                cells[formats.ORIGINAL] = make_link(locations.get(row.path, ""))
            result.rows += 1
            if correction is not None and correction.verdict.is_settled:
                result.reviewed += 1
                yield cells | {
                    "corrected_by": text.guard_formula(correction.reviewer),
                    "corrected_at": correction.reviewed_at,
                }
            else:
                yield cells | {"corrected_by": "", "corrected_at": ""}


def _list_batches(
    settings: Settings, ledgers: Mapping[str, Ledger], selection: Selection
) -> list[tuple[Ledger, Batch]]:
    """Return every batch of a selection once, oldest first."""
    first_id = parse_since(selection.since)
    batches: dict[str, tuple[Ledger, Batch]] = {}
    for ledger in order_by_trust(ledgers).values():
        for batch in ledger.batches():
            batches.setdefault(batch.id, (ledger, batch))
    chosen = set(batches)
    if selection.batches:
        chosen = set(selection.batches)
        if LATEST in chosen:
            chosen = chosen - {LATEST} | _read_latest_ids(settings, batches)
        if unknown := chosen - set(batches):
            hint = f"Name a batch as in outbox/, or {LATEST}."
            raise UsageError(f"there is no batch {text.escape(min(unknown))!r}", hint=hint)
    return [batches[batch_id] for batch_id in sorted(chosen) if batch_id >= first_id]


def _read_latest_ids(settings: Settings, batch_ids: Iterable[str]) -> set[str]:
    """Return the batches in `outbox/latest.csv`; without that file, as in an object store, the newest batch."""
    path = settings.outbox / csv_tables.LATEST_NAME
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {line["batch_id"] for line in csv.DictReader(file)}
    except FileNotFoundError:
        return {max(batch_ids)} if batch_ids else set()


def _require_file(settings: Settings, target: Path) -> None:
    """Raise UsageError for a file in a folder of the service, or in none, and for what is no file."""
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    _require_elsewhere(settings, target)


def _require_elsewhere(settings: Settings, target: Path) -> None:
    """Raise UsageError for a file or folder in a folder of the service, or in none."""
    path = resolve_links(target.absolute().parent) / target.name
    for folder in (settings.inbox, settings.outbox, settings.state):
        if path.is_relative_to(resolve_links(folder)):
            hint = "Name one elsewhere: files in there belong to the service, and are accounted for."
            raise UsageError(f"{target} is in {folder}", hint=hint)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist", hint="Create the folder, or name another one.")
