"""`outbox/corrected/<batch>.csv`: the answers of a batch after a person's review. A copy of the ledger."""

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
"""The folder in the outbox."""

_REBUILT = "rebuilt"
_NEWEST_ID = "SELECT COALESCE(MAX(id), 0) FROM corrections WHERE batch_id = ?"
_UP_TO = "SELECT up_to FROM corrected_tables WHERE batch_id = ?"
_LATE = (
    "SELECT corrections.batch_id FROM corrections LEFT JOIN corrected_tables USING (batch_id) "
    "GROUP BY corrections.batch_id HAVING MAX(id) > COALESCE(MAX(up_to), 0) ORDER BY corrections.batch_id"
)


def apply_corrections(ledger: Ledger, batch_id: str) -> list[TableRow]:
    """The rows of a batch with what people said in place of what the service said; others as published."""
    holds = read_latest(ledger, batch_id)
    return [apply_correction(row, holds.get((batch_id, row.row))) for row in ledger.rows(batch_id)]


def apply_correction(row: TableRow, said: Correction | None) -> TableRow:
    """A row with what a person said in it; as it is, if nobody said anything that settles it.

    A text that is not the service's has no confidence, and no second guess.
    """
    if said is None or not said.verdict.is_settled:
        return row
    is_none = said.new == NONE
    read = replace(
        row.reading,
        status=PageStatus.CONFIRMED if said.verdict is Verdict.CONFIRMED else PageStatus.CORRECTED,
        text="" if is_none else said.new,
        reason=Reason.NOT_A_DIGIT if is_none else None,
        detail=Reason.NOT_A_DIGIT.description if is_none else "",
    )
    if read.text != row.reading.text:
        read = replace(read, confidence=None, runner_up="", runner_up_confidence=None)
    return replace(row, label=said.new, reading=read)


def write_corrected_table(outbox: Path, ledger: Ledger, batch_id: str) -> Path | None:
    """Write a batch's table once its review is finished, and again whenever it is corrected afterwards.

    May be done any number of times, by any process. Once the table is there it stays, and tells what holds.

    Args:
        outbox: of the workspace.
        ledger: opened with `Ledger.for_notes`, or by its worker.
        batch_id: of the ledger.

    Returns:
        Where it lies; None if the review goes on.

    Raises:
        EnvironmentFailure: the outbox is not the folder it was.
        OSError: it cannot be written; `write_outdated_tables` does it later.
    """
    path = outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    if is_table_current(ledger, batch_id) and path.exists():
        return path
    while (found := _text(ledger, batch_id)) is not None:
        newest_id, text = found
        folder_id.verify_folder(outbox, ledger.get_meta("outbox_id"), ledger.get_meta("outbox_device"))
        files.make_dir(path.parent, under=outbox)
        with ledger.transaction():  # one at a time: who comes later must not put an older table in its place
            if _number(ledger, _NEWEST_ID, batch_id) == newest_id:
                files.atomic_write(path, text)
                ledger.query("INSERT OR REPLACE INTO corrected_tables VALUES (?, ?)", (batch_id, newest_id))
                return path
    return None


def has_final_table(outbox: Path, ledger: Ledger, batch_id: str) -> bool:
    """True if no row of a batch is open and its table is there; it stays there when a row is opened again."""
    return (outbox / CORRECTED_FOLDER / f"{batch_id}.csv").exists() and is_review_finished(ledger, batch_id)


def write_outdated_tables(outbox: Path, ledger: Ledger) -> list[Path]:
    """Write the tables that a crash, or a full disk, kept back between a judgement and its table.

    Costs one question to the ledger if there is none.
    """
    late = [batch_id for (batch_id,) in ledger.query(_LATE)]
    return [path for batch_id in late if (path := write_corrected_table(outbox, ledger, batch_id)) is not None]


def restore_corrections(ledger: Ledger, outbox: Path, batch_id: str) -> int:
    """Read a batch's corrected table back into a ledger that was made again; gives how many rows it settles.

    Who judged them, and when, is not in the table: the log says `rebuilt`, and when the table was written.

    Raises:
        ValueError, KeyError, csv.Error, DigitrecError: it cannot be understood; nothing of it was taken.
        OSError: it cannot be read.
    """
    path = outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in csv.DictReader(file, strict=True) if line["status"] in set(Verdict)]
    said = [Judgement(batch_id, int(line["row"]), line["text"] or NONE, 0) for line in lines]
    record_judgements(
        ledger, said, reviewer=_REBUILT, method=ReviewMethod.FILE, reviewed_at=format_utc(path.stat().st_mtime)
    )
    with ledger.transaction():
        ledger.query("INSERT OR REPLACE INTO corrected_tables VALUES (?, 0)", (batch_id,))
    return len(said)


def render_corrected(ledger: Ledger, batch_id: str) -> str | None:
    """The corrected table of a batch as it should lie in the outbox; None if there should be none."""
    found = _text(ledger, batch_id) if ledger.has_table("corrections") else None
    return found[1] if found else None


def is_table_current(ledger: Ledger, batch_id: str) -> bool:
    """False if something was said of a batch since its table was written: `write_outdated_tables` writes it."""
    return not ledger.has_table("corrections") or (_number(ledger, _UP_TO, batch_id) or 0) == _number(
        ledger, _NEWEST_ID, batch_id
    )


def _text(ledger: Ledger, batch_id: str) -> tuple[int, str] | None:
    """The newest entry that the table of a batch tells, and the table; None while its review goes on."""
    # The entry first: one that comes in between is told by the table already, and makes it be written once more.
    newest_id = _number(ledger, _NEWEST_ID, batch_id) or 0
    batch = ledger.batch(batch_id)
    if batch is None or batch.rendering is None:
        return None
    if _number(ledger, _UP_TO, batch_id) is None and not (newest_id and is_review_finished(ledger, batch_id)):
        return None
    return newest_id, csv_tables.render_main(apply_corrections(ledger, batch_id), batch.rendering)


def _number(ledger: Ledger, ask: str, batch_id: str) -> int | None:
    found = ledger.query(ask, (batch_id,)).fetchone()
    return int(found[0]) if found else None
