"""Every page whose truth a person told."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from digitrec.storage.corrections import How, Verdict
from digitrec.storage.ledger import Ledger
from digitrec.types import Status

_ASK = """
    SELECT batch_id, row, readings.path, page, readings.sha256, place, text, new, status, confidence, verdict, how, at
    FROM corrections JOIN readings USING (batch_id, row) JOIN claims USING (batch_id, path)
    WHERE id IN (SELECT MAX(id) FROM corrections GROUP BY batch_id, row) AND verdict IN ('confirmed', 'corrected')
    ORDER BY batch_id, row
"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One page, what the service read on it, and the truth."""

    worker: str
    batch_id: str
    row: int
    path: str
    """Under the inbox, as it was claimed."""
    page: int
    sha256: str
    place: str
    """Where the original was filed away, under the workspace (as `Claim.place`); it may have been pruned since."""
    text: str
    """The truth: digits, or 'none'."""
    read: str
    """What the service said; '' if nothing."""
    status: Status
    """What the service made of it: accepted, review or rejected."""
    confidence: float | None
    verdict: Verdict
    """Confirmed or corrected."""
    how: How
    at: str


def labelled(ledger: Ledger, worker: str) -> Iterator[Labelled]:
    """Every row that a person confirmed or corrected, by batch and row; a ledger of an older version has none.

    The ledger is being read until the last one was taken.
    """
    if not ledger.has_table("corrections"):
        return
    for found in ledger.ask(_ASK):
        batch_id, row, path, page, sha256, place, read, new, status, confidence, verdict, how, at = found
        yield Labelled(
            worker=worker,
            batch_id=batch_id,
            row=row,
            path=os.fsdecode(path),
            page=page,
            sha256=sha256,
            place=os.fsdecode(place),
            text=new,
            read=read,
            status=Status(status),
            confidence=confidence,
            verdict=Verdict(verdict),
            how=How(how),
            at=at,
        )
