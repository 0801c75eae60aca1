"""Ledgers with a batch that needs review, without pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.corrections import Correction, ReviewMethod, get_latest_id, read_history, read_latest
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, PageStatus, Reason, TableRow
from tests.storage.test_csv_tables import NUMBER, OUTPUT_FORMAT, ROW

BATCH_ID = ROW.batch_id
AT = "2026-01-03T10:00:00.000Z"


def row(number: int, status: PageStatus = PageStatus.REVIEW, text: str = "7", **change: object) -> TableRow:
    """Return a row of one page, in review by default."""
    reasons = {PageStatus.REVIEW: Reason.LOW_CONFIDENCE, PageStatus.REJECTED: Reason.TRUNCATED}
    reason = change.pop("reason", reasons.get(status))
    path = change.pop("path", f"desk/{number}.png")
    numbers = change.pop("numbers", None) or tuple(
        replace(NUMBER, column=column, text=part, digits=ROW.reading.digits * len(part), status=status, reason=reason)
        for column, part in enumerate(text.split(), start=1)
    )
    read = replace(ROW.reading, status=status, text=text, reason=reason, numbers=numbers, **change)  # type: ignore[arg-type]
    if status is PageStatus.REJECTED:
        read = replace(read, text="", confidence=None, runner_up="", runner_up_confidence=None, numbers=())
    return replace(ROW, row=number, path=str(path), sha256=f"{number:064x}", reading=read)


def add_batch(ledger: Ledger, rows: Sequence[TableRow], batch_id: str = BATCH_ID) -> None:
    """Add a closed batch to a ledger."""
    rows = [replace(row, batch_id=batch_id) for row in rows]
    outcomes = {
        PageStatus.ACCEPTED: FileOutcome.ACCEPTED,
        PageStatus.REVIEW: FileOutcome.REVIEW,
        PageStatus.REJECTED: FileOutcome.REJECTED,
    }
    claims = [
        Claim(batch_id, row.path, row.row, row.size, 7, False, row.received_at, outcomes[row.reading.status])
        for row in {item.path: item for item in rows}.values()
    ]
    located_claims = [replace(claim, location=f"outbox/done/{batch_id}/{claim.path}") for claim in claims]
    ledger.open_batch(Batch(batch_id, ROW.received_at, BatchStage.PLANNED), located_claims)
    ledger.record(batch_id, rows, claims, OUTPUT_FORMAT, [])
    ledger.set_stage(batch_id, BatchStage.CLOSED)


def open_test_ledger(folder: Path, rows: Sequence[TableRow], worker: str = "main") -> Ledger:
    """Create the ledger of a worker of a workspace, with one batch."""
    ledger = Ledger.open(folder / ".digitrec" / worker / "ledger.sqlite3")
    add_batch(ledger, rows)
    return ledger


def say(ledger: Ledger, number: int, new: str | None, who: str = "ann", batch_id: str = BATCH_ID) -> Correction:
    """Record the judgement of a person who has seen the latest entry of a row."""
    entries = read_history(ledger, batch_id, number)
    judgement = Judgement(batch_id, number, new, entries[-1].id if entries else 0)
    return record_judgements(ledger, [judgement], reviewer=who, method=ReviewMethod.ONE, reviewed_at=AT)[0]


def say_numbers(ledger: Ledger, number: int, who: str = "ann", **texts: str | None) -> Correction:
    """Record judgements on numbers of a page, `n1="7", n3=None`; return the entry of the page."""
    seen = get_latest_id(ledger, BATCH_ID, number)
    judgements = [Judgement(BATCH_ID, number, new, seen, int(name[1:])) for name, new in texts.items()]
    return record_judgements(ledger, judgements, reviewer=who, method=ReviewMethod.ONE, reviewed_at=AT)[-1]


def texts(ledger: Ledger) -> dict[int, str]:
    """Return the latest text of each row."""
    return {number: entry.new for (_, number), entry in read_latest(ledger).items()}
