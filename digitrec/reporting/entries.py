"""What the trend needs of each batch: counts alone, so that thousands of batches fit into memory."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from digitrec.records import Reason, Status
from digitrec.reporting.batch import CONFIDENCE_EDGES, BatchFacts, RowFacts
from digitrec.reporting.reviewed import audit, held_back_wrong


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of pages, of a batch or of several; they add up."""

    pages: int = 0
    accepted: int = 0
    review: int = 0
    rejected: int = 0
    held_back_wrong: int = 0
    """Of those in review that a person settled."""
    held_back_settled: int = 0
    audit_wrong: int = 0
    """Of those accepted that were drawn for an audit, and settled."""
    audit_settled: int = 0
    labelled_wrong: int = 0
    """Of those accepted whose label was known when they were read."""
    labelled: int = 0
    digits: tuple[int, ...] = (0,) * 10
    """How often each digit was read, on pages accepted or held back for their confidence alone."""
    confidence: tuple[int, ...] = (0,) * len(CONFIDENCE_EDGES)
    """Pages per bin of CONFIDENCE_EDGES, and at the end those that no threshold would accept; without rejected ones."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.pages + other.pages,
            self.accepted + other.accepted,
            self.review + other.review,
            self.rejected + other.rejected,
            self.held_back_wrong + other.held_back_wrong,
            self.held_back_settled + other.held_back_settled,
            self.audit_wrong + other.audit_wrong,
            self.audit_settled + other.audit_settled,
            self.labelled_wrong + other.labelled_wrong,
            self.labelled + other.labelled,
            _sums(self.digits, other.digits),
            _sums(self.confidence, other.confidence),
        )


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One batch in the trend."""

    batch_id: str
    model_id: str
    at: str
    """When it was read, ISO 8601 UTC."""
    files: int
    """Answered ones."""
    seconds: float | None
    """From the claim to the answers; None if the ledger does not tell."""
    tally: Tally

    @property
    def speed(self) -> float | None:
        """Files a second; None if it is not known."""
        return self.files / self.seconds if self.seconds and self.files else None


def entry_of(facts: BatchFacts) -> BatchEntry:
    """The entry of a batch."""
    return BatchEntry(
        batch_id=facts.batch_id,
        model_id=facts.model_id,
        at=facts.processed_at,
        files=facts.files.claimed - facts.files.released,
        seconds=_seconds(facts.opened_at, facts.processed_at),
        tally=tally_of(facts.rows),
    )


def tally_of(rows: Sequence[RowFacts]) -> Tally:
    """Count a batch's pages."""
    status = Counter(row.status for row in rows)
    judged = [(row.status, row.checked) for row in rows if row.checked is not None]
    held_back, drawn = held_back_wrong(judged), audit(judged)
    labelled = [row for row in rows if row.status is Status.ACCEPTED and row.label]
    return Tally(
        pages=len(rows),
        accepted=status[Status.ACCEPTED],
        review=status[Status.REVIEW],
        rejected=status[Status.REJECTED],
        held_back_wrong=held_back.hits,
        held_back_settled=held_back.of,
        audit_wrong=drawn.hits,
        audit_settled=drawn.of,
        labelled_wrong=sum(row.text != row.label for row in labelled),
        labelled=len(labelled),
        digits=_digits(rows),
        confidence=_confidence(rows),
    )


def _sums(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _is_plain(row: RowFacts) -> bool:
    """Whether a threshold decides about this page."""
    return row.status is Status.ACCEPTED or row.reason is Reason.LOW_CONFIDENCE


def _digits(rows: Iterable[RowFacts]) -> tuple[int, ...]:
    counts = Counter("".join(row.text for row in rows if _is_plain(row)))
    return tuple(counts[digit] for digit in "0123456789")


def _confidence(rows: Iterable[RowFacts]) -> tuple[int, ...]:
    counts = [0] * len(CONFIDENCE_EDGES)
    for row in rows:
        if row.status is Status.REJECTED:
            continue
        if row.confidence is None or not _is_plain(row):
            counts[-1] += 1
        else:
            counts[sum(row.confidence >= edge for edge in CONFIDENCE_EDGES[1:-1])] += 1
    return tuple(counts)


def _seconds(opened_at: str, processed_at: str) -> float | None:
    try:
        took = (moment(processed_at) - moment(opened_at)).total_seconds()
    except ValueError:  # a ledger made again from its CSVs may hold other times
        return None
    return took if took > 0 else None


def moment(iso: str) -> datetime:
    """A time of the ledger; ValueError if it is none."""
    found = datetime.fromisoformat(iso)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
