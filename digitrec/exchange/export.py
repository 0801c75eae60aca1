"""The newest truth: what was read, with what people said in place of it; of all batches and all workers."""

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
from digitrec.pipeline.rebuild import REBUILT_AT
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
    """What was exported."""

    batches: int = 0
    rows: int = 0
    reviewed: int = 0
    """Rows that a person confirmed or corrected."""


def export(
    settings: Settings, ledgers: Mapping[str, Ledger], form: TableFormat, target: Path | IO[bytes], since: str = ""
) -> ExportResult:
    """Write the newest truth as one table, whole or not at all.

    Args:
        settings: name folders that are not written to, and the CSV profile.
        ledgers: of all workers, by name.
        form: of the table.
        target: a file, replaced at once; or one that is open.
        since: a date, a time or a batch id: only batches from then on; all if empty.

    Raises:
        UsageError: `since` is none of these, or the file would lie among the service's own.
        OSError: it cannot be written; what was there is there still.
    """
    first_id = parse_since(since)
    told = ExportResult()
    rows = _rows(ledgers, first_id, told)
    with ExitStack() as stack:
        if isinstance(target, Path):
            _require_elsewhere(settings, target)
            target = stack.enter_context(files.atomic_writer(target))
        formats.WRITERS[form](target, COLUMNS, rows, settings.csv_profile)
    return told


def parse_since(since: str) -> str:
    """The smallest batch id that is wanted; UsageError if there is none such.

    >>> since = ("2026-01-02", "2026-01-02T05:04:05+02:00", "20260102T030405Z-0a1b2c3d", "")
    >>> tuple(parse_since(value) for value in since)
    ('20260102T000000Z', '20260102T030405Z', '20260102T030405Z-0a1b2c3d', '')
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


def _rows(ledgers: Mapping[str, Ledger], first_id: str, told: ExportResult) -> Iterator[dict[str, str]]:
    for ledger, batch in _batches(ledgers, first_id):
        if batch.rendering is None:
            continue
        told.batches += 1
        holds = read_latest(ledger, batch.id)
        for row in ledger.rows(batch.id):
            said = holds.get((batch.id, row.row))
            is_settled = said is not None and said.verdict.is_settled
            told.rows += 1
            told.reviewed += is_settled
            yield csv_tables.format_cells(apply_correction(row, said), batch.rendering) | {
                "corrected_by": text.guard_formula(said.reviewer) if said is not None and is_settled else "",
                "corrected_at": said.reviewed_at if said is not None and is_settled else "",
            }


def _batches(ledgers: Mapping[str, Ledger], first_id: str) -> list[tuple[Ledger, Batch]]:
    """Every batch once, the oldest first."""
    found: dict[str, tuple[Ledger, Batch]] = {}
    for ledger in order_by_trust(ledgers).values():
        for batch in ledger.batches():
            if batch.id >= first_id:
                found.setdefault(batch.id, (ledger, batch))
    return [found[batch_id] for batch_id in sorted(found)]


def order_by_trust(ledgers: Mapping[str, Ledger]) -> dict[str, Ledger]:
    """The ledgers in the order in which they are believed, where two know the same batch.

    One that was made again may have taken over what another knows better.
    """
    return dict(sorted(ledgers.items(), key=lambda each: (each[1].get_meta(REBUILT_AT) is not None, each[0])))


def _require_elsewhere(settings: Settings, target: Path) -> None:
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    place = resolve_links(target.absolute().parent) / target.name
    for folder in (settings.inbox, settings.outbox, settings.state):
        if place.is_relative_to(resolve_links(folder)):
            hint = "Name a file elsewhere: what lies there is the service's own, and accounted for."
            raise UsageError(f"{target} lies in {folder}", hint=hint)
    if not place.parent.is_dir():
        raise UsageError(f"{place.parent} is not there", hint="Make the folder, or name another file.")
