"""Select the pages whose true text a reviewer has given, with the answers of the service."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from digitrec.storage.corrections import ReviewMethod, Verdict
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus

_SELECT_REVIEWED = """
    SELECT batch_id, row, readings.path, page, readings.sha256, place, new, text, status, confidence, verdict, how, at
    FROM corrections JOIN readings USING (batch_id, row) JOIN claims USING (batch_id, path)
    WHERE id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND verdict IN ('confirmed', 'corrected')
    ORDER BY batch_id, row
"""


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """Page that a reviewer confirmed or corrected, with the answer of the service and the true text."""

    worker: str
    batch_id: str
    row: int
    path: str
    """Under the inbox, when it was claimed."""
    page: int
    sha256: str
    location: str
    """Location of the archived original under the workspace (as `Claim.location`); it may have been pruned since."""
    text: str
    """The true text: digits, or 'none'."""
    read_text: str
    """The answer of the service; '' if it had none."""
    status: PageStatus
    """Status before the review: accepted, review or rejected."""
    confidence: float | None
    verdict: Verdict
    """Confirmed or corrected."""
    method: ReviewMethod
    reviewed_at: str


def read_reviewed_rows(ledger: Ledger, worker: str) -> Iterator[ReviewedRow]:
    """Yield every confirmed or corrected row, by batch and row; a ledger of an older version has none."""
    if not ledger.has_table("corrections"):
        return
    for values in ledger.query(_SELECT_REVIEWED):
        batch_id, row, path, page, sha256, location, new, answer, status, confidence, verdict, method, at = values
        yield ReviewedRow(
            worker, batch_id, row, os.fsdecode(path), page, sha256, os.fsdecode(location), new, answer,
            PageStatus(status), confidence, Verdict(verdict), ReviewMethod(method), at,
        )  # fmt: skip
