"""What people said about the answers: a log in the ledger, from which everything else is made.

    log        judge, undo, and what holds now
    corrected  outbox/corrected/<batch>.csv: the answers of a batch after a person's review
    truths     every page whose truth a person told: for reports and for learning

A published CSV is never touched.
"""

from digitrec.corrections.corrected import corrected_rows, is_complete, write_corrected, write_missing
from digitrec.corrections.log import (
    NONE,
    Conflict,
    Correction,
    How,
    Judgement,
    Verdict,
    audited,
    history,
    is_finished,
    judge,
    name_of,
    newest,
    newest_id,
    open_rows,
    undo,
)
from digitrec.corrections.truths import Labelled, labelled

__all__ = [
    "NONE",
    "Conflict",
    "Correction",
    "How",
    "Judgement",
    "Labelled",
    "Verdict",
    "audited",
    "corrected_rows",
    "history",
    "is_complete",
    "is_finished",
    "judge",
    "labelled",
    "name_of",
    "newest",
    "newest_id",
    "open_rows",
    "undo",
    "write_corrected",
    "write_missing",
]
