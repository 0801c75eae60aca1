"""Tables of reviewed batches, `outbox/corrected/<batch>.csv`: the rows of the ledger with corrections applied."""

import csv
from dataclasses import replace
from pathlib import Path

from digitrec import files
from digitrec.storage import csv_tables, folder_id
from digitrec.storage.corrections import (
    NONE,
    Correction,
    Judgement,
    ReviewMethod,
    Verdict,
    is_review_finished,
    read_latest,
    record_judgements,
)
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.types import PageStatus, Reason, TableRow

CORRECTED_FOLDER = "corrected"
"""Name of the folder in the outbox."""

_REBUILT = "rebuilt"
_SELECT_LATEST_ID = "SELECT COALESCE(MAX(id), 0) FROM corrections WHERE batch_id = ?"
_SELECT_WRITTEN_ID = "SELECT up_to FROM corrected_tables WHERE batch_id = ?"
_SELECT_OUTDATED = (
    "SELECT corrections.batch_id FROM corrections LEFT JOIN corrected_tables USING (batch_id) "
    "GROUP BY corrections.batch_id HAVING MAX(id) > COALESCE(MAX(up_to), 0) ORDER BY corrections.batch_id"
)


def apply_corrections(ledger: Ledger, batch_id: str) -> list[TableRow]:
    """Return the rows of a batch with the corrections in place of the answers."""
    corrections = read_latest(ledger, batch_id)
    return [apply_correction(row, corrections.get((batch_id, row.row))) for row in ledger.rows(batch_id)]


def apply_correction(row: TableRow, correction: Correction | None) -> TableRow:
    """Return a row with a correction applied; unchanged if the correction is missing or does not settle the row.

    A text that is not the service's has neither confidence nor runner-up.
    """
    if correction is None or not correction.verdict.is_settled:
        return row
    is_none = correction.new == NONE
    reading = replace(
        row.reading,
        status=PageStatus.CONFIRMED if correction.verdict is Verdict.CONFIRMED else PageStatus.CORRECTED,
        text="" if is_none else correction.new,
        reason=Reason.NOT_A_DIGIT if is_none else None,
        detail=Reason.NOT_A_DIGIT.description if is_none else "",
    )
    if reading.text != row.reading.text:
        reading = replace(reading, confidence=None, runner_up="", runner_up_confidence=None)
    return replace(row, label=correction.new, reading=reading)


def write_corrected_table(outbox: Path, ledger: Ledger, batch_id: str) -> Path | None:
    """Write the table of a batch once its review is finished, and again after every later correction.

    Idempotent, and any process may call it. A table that exists stays, and is kept up to date.

    Args:
        outbox: of the workspace.
        ledger: opened with `Ledger.open_shared`, or by its worker.
        batch_id: a batch of the ledger.

    Returns:
        Its path; None while the review goes on.

    Raises:
        EnvironmentFailure: the outbox is another folder than before.
        OSError: it cannot be written; `write_outdated_tables` tries again later.
    """
    path = outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    if is_table_current(ledger, batch_id) and path.exists():
        return path
    while (table := _render(ledger, batch_id)) is not None:
        latest_id, text = table
        folder_id.verify_folder(outbox, ledger.get_meta("outbox_id"), ledger.get_meta("outbox_device"))
        files.make_dir(path.parent, under=outbox)
        with ledger.transaction():  # one process at a time, so that none overwrites a newer table
            if _select_int(ledger, _SELECT_LATEST_ID, batch_id) == latest_id:
                files.atomic_write(path, text)
                ledger.query("INSERT OR REPLACE INTO corrected_tables VALUES (?, ?)", (batch_id, latest_id))
                return path
    return None


def has_final_table(outbox: Path, ledger: Ledger, batch_id: str) -> bool:
    """Return whether no row of a batch is open and its table exists; it stays when a row is opened again."""
    return (outbox / CORRECTED_FOLDER / f"{batch_id}.csv").exists() and is_review_finished(ledger, batch_id)


def write_outdated_tables(outbox: Path, ledger: Ledger) -> list[Path]:
    """Write the tables that a crash or a full disk prevented; takes one query if there are none."""
    batch_ids = [batch_id for (batch_id,) in ledger.query(_SELECT_OUTDATED)]
    return [path for batch_id in batch_ids if (path := write_corrected_table(outbox, ledger, batch_id)) is not None]


def restore_corrections(ledger: Ledger, outbox: Path, batch_id: str) -> int:
    """Read the corrected table of a batch into a rebuilt ledger; return the number of settled rows.

    The table has neither reviewer nor time: the log gets the reviewer `rebuilt` and the mtime of the table.

    Raises:
        ValueError, KeyError, csv.Error, DigitrecError: it is not valid; nothing was restored.
        OSError: it cannot be read.
    """
    path = outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in csv.DictReader(file, strict=True) if line["status"] in set(Verdict)]
    judgements = [Judgement(batch_id, int(line["row"]), line["text"] or NONE, 0) for line in lines]
    reviewed_at = format_utc(path.stat().st_mtime)
    record_judgements(ledger, judgements, reviewer=_REBUILT, method=ReviewMethod.FILE, reviewed_at=reviewed_at)
    with ledger.transaction():
        ledger.query("INSERT OR REPLACE INTO corrected_tables VALUES (?, 0)", (batch_id,))
    return len(judgements)


def render_corrected(ledger: Ledger, batch_id: str) -> str | None:
    """Return the expected corrected table of a batch; None if there should be none."""
    table = _render(ledger, batch_id) if ledger.has_table("corrections") else None
    return table[1] if table else None


def is_table_current(ledger: Ledger, batch_id: str) -> bool:
    """Return whether the table of a batch has its latest correction; `write_outdated_tables` writes it otherwise."""
    if not ledger.has_table("corrections"):
        return True
    written_id = _select_int(ledger, _SELECT_WRITTEN_ID, batch_id) or 0
    return written_id == _select_int(ledger, _SELECT_LATEST_ID, batch_id)


def _render(ledger: Ledger, batch_id: str) -> tuple[int, str] | None:
    """Return the id of the latest correction in the table of a batch, and the table; None while its review goes on."""
    # Query the id first: a correction in between is in the table, and only causes another write.
    latest_id = _select_int(ledger, _SELECT_LATEST_ID, batch_id) or 0
    batch = ledger.batch(batch_id)
    if batch is None or batch.output_format is None:
        return None
    if _select_int(ledger, _SELECT_WRITTEN_ID, batch_id) is None and not (
        latest_id and is_review_finished(ledger, batch_id)
    ):
        return None
    return latest_id, csv_tables.render_main(apply_corrections(ledger, batch_id), batch.output_format)


def _select_int(ledger: Ledger, sql: str, batch_id: str) -> int | None:
    values = ledger.query(sql, (batch_id,)).fetchone()
    return int(values[0]) if values else None
