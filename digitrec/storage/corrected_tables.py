"""Tables of reviewed batches in `outbox/corrected/`: the rows of the ledger with corrections applied.

`<batch>.csv` has the pages, `<batch>.numbers.csv` their numbers.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

from digitrec import files
from digitrec.storage import csv_tables, folder_id
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrections import ILLEGIBLE, NONE, ReviewMethod, is_review_finished
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc, unescape_cell
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


def write_corrected_table(outbox: Path, ledger: Ledger, batch_id: str) -> Path | None:
    """Write the tables of a batch once its review is finished, and again after every later correction.

    Idempotent, and any process may call it. A table that exists stays, and is kept up to date.

    Args:
        outbox: of the workspace.
        ledger: opened with `Ledger.open_shared`, or by its worker.
        batch_id: a batch of the ledger.

    Returns:
        The path of the main table; None while the review goes on.

    Raises:
        EnvironmentFailure: the outbox is another folder than before.
        OSError: it cannot be written; `write_outdated_tables` tries again later.
    """
    folder = outbox / CORRECTED_FOLDER
    path = folder / f"{batch_id}.csv"
    if is_table_current(ledger, batch_id) and path.exists():
        return path
    while tables := _render(ledger, batch_id):
        latest_id, texts = tables
        folder_id.verify_folder(outbox, ledger.get_meta("outbox_id"), ledger.get_meta("outbox_device"))
        files.make_dir(folder, under=outbox)
        with ledger.transaction():  # one process at a time, so that none overwrites a newer table
            if _select_int(ledger, _SELECT_LATEST_ID, batch_id) == latest_id:
                for name, text in texts.items():
                    files.atomic_write(folder / name, text)
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
    """Read the corrected tables of a batch into a rebuilt ledger; return the number of judged rows.

    The tables have neither reviewer nor time: the log gets the reviewer `rebuilt` and the mtime of the main table.

    Raises:
        ValueError, KeyError, csv.Error, DigitrecError: a table is not valid; nothing was restored.
        OSError: a table cannot be read.
    """
    path = outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    if not path.is_file():
        return 0
    numbers_path = path.with_name(f"{batch_id}.numbers.csv")
    numbers: dict[int, list[Mapping[str, str]]] = {}
    for line in _read_lines(numbers_path) if numbers_path.is_file() else ():
        numbers.setdefault(int(line["row"]), []).append(line)
    judgements: list[Judgement] = []
    for line in _read_lines(path):
        row = ledger.row(batch_id, int(line["row"]))
        own = numbers.get(int(line["row"]), [])
        if row is not None and len(row.reading.numbers) == len(own) > 1:
            judged = [(int(number["number"]), _restore_text(number)) for number in own]
            judgements += [Judgement(batch_id, row.row, text, 0, number) for number, text in judged if text is not None]
        elif (text := _restore_text(line)) is not None and not (text == ILLEGIBLE and row and _is_unread(row)):
            judgements.append(Judgement(batch_id, int(line["row"]), text, 0))
    reviewed_at = format_utc(path.stat().st_mtime)
    record_judgements(ledger, judgements, reviewer=_REBUILT, method=ReviewMethod.FILE, reviewed_at=reviewed_at)
    with ledger.transaction():
        ledger.query("INSERT OR REPLACE INTO corrected_tables VALUES (?, 0)", (batch_id,))
    return len({judgement.row for judgement in judgements})


def _is_unread(row: TableRow) -> bool:
    """Return whether the service left a page that looks like no digit without a text, as 0.1 did."""
    return not row.reading.text and row.reading.reason is Reason.NOT_A_DIGIT


def _read_lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _restore_text(line: Mapping[str, str]) -> str | None:
    """Return the text of the judgement behind a line of a corrected table; None if there was none."""
    if line["status"] in {PageStatus.CONFIRMED, PageStatus.CORRECTED}:
        return unescape_cell(line["text"]) or NONE
    is_open = line["status"] != PageStatus.REVIEW or line["text"] or line["reason_code"] != Reason.NOT_A_DIGIT
    return None if is_open else ILLEGIBLE


def render_corrected(ledger: Ledger, batch_id: str) -> dict[str, str]:
    """Return the expected corrected tables of a batch by file name; empty if there should be none."""
    tables = _render(ledger, batch_id) if ledger.has_table("corrections") else None
    return tables[1] if tables else {}


def is_table_current(ledger: Ledger, batch_id: str) -> bool:
    """Return whether the table of a batch has its latest correction; `write_outdated_tables` writes it otherwise."""
    if not ledger.has_table("corrections"):
        return True
    written_id = _select_int(ledger, _SELECT_WRITTEN_ID, batch_id) or 0
    return written_id == _select_int(ledger, _SELECT_LATEST_ID, batch_id)


def _render(ledger: Ledger, batch_id: str) -> tuple[int, dict[str, str]] | None:
    """Return the id of the latest correction of a batch, and its tables; None while its review goes on."""
    # Query the id first: a correction in between is in the tables, and only causes another write.
    latest_id = _select_int(ledger, _SELECT_LATEST_ID, batch_id) or 0
    batch = ledger.batch(batch_id)
    if batch is None or batch.output_format is None:
        return None
    if _select_int(ledger, _SELECT_WRITTEN_ID, batch_id) is None and not (
        latest_id and is_review_finished(ledger, batch_id)
    ):
        return None
    rows = apply_corrections(ledger, batch_id)
    tables = csv_tables.render_tables(batch_id, rows, batch.output_format)
    return latest_id, {name: text for name, text in tables.items() if not name.endswith(".digits.csv")}


def _select_int(ledger: Ledger, sql: str, batch_id: str) -> int | None:
    values = ledger.query(sql, (batch_id,)).fetchone()
    return int(values[0]) if values else None
