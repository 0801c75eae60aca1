"""Count what was judged since the server started, for the message at its end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from digitrec.storage.corrected_tables import CORRECTED_FOLDER, has_final_table
from digitrec.storage.corrections import Verdict, count_open_rows
from digitrec.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """Judgements since a mark, and the state of the batches that they are about."""

    verdicts: Mapping[Verdict, int]
    """Count of the answers and numbers with a new valid judgement, by verdict."""
    tables: tuple[Path, ...]
    """Corrected tables of the batches whose review is finished."""
    open_rows: Mapping[str, int]
    """Count of the answers that still need review, by batch, of the other batches."""


def mark_corrections(ledgers: Mapping[str, Ledger]) -> dict[str, int]:
    """Return the id of the latest correction of each ledger, by worker."""
    return {worker: _latest_id(ledger) for worker, ledger in ledgers.items()}


def summarize_review(outbox: Path, ledgers: Mapping[str, Ledger], marks: Mapping[str, int]) -> ReviewSummary:
    """Return what was judged since the marks were taken, by anybody."""
    verdicts: Counter[Verdict] = Counter()
    tables: list[Path] = []
    open_rows = {}
    for worker, ledger in ledgers.items():
        latest = _read_latest(ledger, marks.get(worker, 0))
        with_numbers = {place[:2] for place in latest if place[2]}
        verdicts.update(verdict for place, verdict in latest.items() if place[2] or place[:2] not in with_numbers)
        for batch_id in sorted({batch_id for batch_id, _, _ in latest}):
            if has_final_table(outbox, ledger, batch_id):
                tables.append(outbox / CORRECTED_FOLDER / f"{batch_id}.csv")
            else:
                open_rows[batch_id] = count_open_rows(ledger, batch_id)
    del verdicts[Verdict.WITHDRAWN]
    return ReviewSummary(verdicts, tuple(tables), open_rows)


def _latest_id(ledger: Ledger) -> int:
    if not ledger.has_table("corrections"):
        return 0
    return int(ledger.query("SELECT ifnull(max(id), 0) FROM corrections").fetchone()[0])


def _read_latest(ledger: Ledger, mark: int) -> dict[tuple[str, int, int], Verdict]:
    """Return the latest verdict since a mark on each page (number 0) and number."""
    if not ledger.has_table("numbers"):
        return {}
    sql = "SELECT batch_id, row, number, verdict FROM corrections WHERE id > ? ORDER BY id"
    return {(batch_id, row, number): Verdict(verdict) for batch_id, row, number, verdict in ledger.query(sql, (mark,))}
