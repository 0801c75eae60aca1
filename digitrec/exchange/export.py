"""Export the latest results, corrections applied, of all batches and workers."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from digitrec import files, text
from digitrec.errors import UsageError
from digitrec.exchange import formats
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline.ledgers import order_by_trust
from digitrec.settings import Settings, resolve_links
from digitrec.storage import csv_tables
from digitrec.storage.corrected_tables import apply_correction
from digitrec.storage.corrections import read_latest
from digitrec.storage.ledger import Ledger
from digitrec.text import BATCH_ID
from digitrec.types import Batch

COLUMNS = (*csv_tables.COLUMNS, "corrected_by", "corrected_at")


@dataclass(slots=True)
class ExportResult:
    """Counts of an export."""

    batches: int = 0
    rows: int = 0
    reviewed: int = 0
    """Rows that a reviewer confirmed or corrected."""


def export(
    settings: Settings, ledgers: Mapping[str, Ledger], form: TableFormat, target: Path | IO[bytes], since: str = ""
) -> ExportResult:
    """Write the latest results as one table, atomically.

    Args:
        settings: name the folders that must not be written to, and the CSV profile.
        ledgers: of all workers, by name.
        form: format of the table.
        target: path of a file, which is replaced; or an open file.
        since: a date, a time or a batch id: only batches from then on; all if empty.

    Raises:
        UsageError: `since` is none of these, or the file would be in a folder of the service.
        OSError: the table cannot be written; the old file is unchanged.
    """
    first_id = parse_since(since)
    result = ExportResult()
    rows = _collect_rows(ledgers, first_id, result)
    with ExitStack() as stack:
        if isinstance(target, Path):
            _require_elsewhere(settings, target)
            target = stack.enter_context(files.atomic_writer(target))
        formats.WRITERS[form](target, COLUMNS, rows, settings.csv_profile)
    return result


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


def _collect_rows(ledgers: Mapping[str, Ledger], first_id: str, result: ExportResult) -> Iterator[dict[str, str]]:
    for ledger, batch in _list_batches(ledgers, first_id):
        if batch.output_format is None:
            continue
        result.batches += 1
        corrections = read_latest(ledger, batch.id)
        for row in ledger.rows(batch.id):
            correction = corrections.get((batch.id, row.row))
            cells = csv_tables.format_cells(apply_correction(row, correction), batch.output_format)
            result.rows += 1
            if correction is not None and correction.verdict.is_settled:
                result.reviewed += 1
                yield cells | {
                    "corrected_by": text.guard_formula(correction.reviewer),
                    "corrected_at": correction.reviewed_at,
                }
            else:
                yield cells | {"corrected_by": "", "corrected_at": ""}


def _list_batches(ledgers: Mapping[str, Ledger], first_id: str) -> list[tuple[Ledger, Batch]]:
    """Return every batch once, oldest first."""
    batches: dict[str, tuple[Ledger, Batch]] = {}
    for ledger in order_by_trust(ledgers).values():
        for batch in ledger.batches():
            if batch.id >= first_id:
                batches.setdefault(batch.id, (ledger, batch))
    return [batches[batch_id] for batch_id in sorted(batches)]


def _require_elsewhere(settings: Settings, target: Path) -> None:
    """Raise UsageError for a file in a folder of the service, or in none, and for what is no file."""
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    path = resolve_links(target.absolute().parent) / target.name
    for folder in (settings.inbox, settings.outbox, settings.state):
        if path.is_relative_to(resolve_links(folder)):
            hint = "Name a file elsewhere: files in there belong to the service, and are accounted for."
            raise UsageError(f"{target} is in {folder}", hint=hint)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist", hint="Create the folder, or name another file.")
