"""Compares what was read on a page with what is written there, and adds up a table per kind of page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from digitrec.recognition import decision
from digitrec.reports.statistics import Proportion, clopper_pearson
from digitrec.training.synthetic.pages.truth import Truth
from digitrec.types import PageReading, PageStatus

Rows = list[tuple[str, ...]]
HEADS = ("kind", "pages", "right", "accepted", "wrong pages", "wrong numbers", "rejected", "not accepted, by reason")


@dataclass(frozen=True, slots=True)
class Scored:
    """A page, what was read on it and what is true."""

    kind: str
    number: int
    truth: Truth
    status: str
    text: str = ""
    reason: str = ""
    confidence: float | None = None

    @property
    def is_accepted(self) -> bool:
        """True if nobody would look at the answer."""
        return self.status == PageStatus.ACCEPTED

    @property
    def is_right(self) -> bool:
        """True if all digits and no others were read, whatever the status; without numbers, if it was not accepted."""
        if not self.truth.numbers:
            return not self.is_accepted
        return digits_of(self.text) == digits_of(self.truth.text)

    @property
    def is_wrong(self) -> bool:
        """True if the answer was accepted and is not all that is written, signs and words included."""
        if not self.is_accepted:
            return False
        if self.truth.is_digits_only:
            return not self.is_right
        return bool(self.truth.words) or not self.truth.numbers or self.text.replace(" ", "") != self.truth.text

    @property
    def is_lost(self) -> bool:
        """True if the page was rejected although something is written on it."""
        return self.status == PageStatus.REJECTED and self.truth.is_written

    @property
    def accepted_numbers(self) -> int:
        """How many numbers an accepted page stands for: at least one."""
        return max(1, len(self.truth.numbers)) if self.is_accepted else 0

    @property
    def wrong_numbers(self) -> int:
        """How many numbers of an accepted page do not stand whole in the answer: at least one if it is wrong."""
        if not self.is_wrong:
            return 0
        return max(1, len(self.truth.numbers) - _count_numbers_in(self.truth.texts, self.text.replace(" ", "")))

    def to_json(self) -> dict[str, object]:
        """Return everything about the page as plain types."""
        return {
            "kind": self.kind,
            "page": self.number,
            "numbers": list(self.truth.texts),
            "words": self.truth.words,
            "is_written": self.truth.is_written,
            "status": self.status,
            "text": self.text,
            "reason": self.reason,
            "confidence": self.confidence,
            "is_right": self.is_right,
            "is_wrong": self.is_wrong,
            "is_lost": self.is_lost,
            "accepted_numbers": self.accepted_numbers,
            "wrong_numbers": self.wrong_numbers,
        }


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of some pages."""

    pages: int
    right: int
    accepted: int
    wrong_pages: int
    accepted_numbers: int
    wrong_numbers: int
    lost: int
    reasons: Mapping[str, int]
    """How many pages were not accepted, by reason_code, the most frequent first."""

    @classmethod
    def of(cls, pages: Iterable[Scored]) -> "Tally":
        """Count pages."""
        pages = list(pages)
        return cls(
            pages=len(pages),
            right=sum(page.is_right for page in pages),
            accepted=sum(page.is_accepted for page in pages),
            wrong_pages=sum(page.is_wrong for page in pages),
            accepted_numbers=sum(page.accepted_numbers for page in pages),
            wrong_numbers=sum(page.wrong_numbers for page in pages),
            lost=sum(page.is_lost for page in pages),
            reasons=dict(Counter(page.reason for page in pages if not page.is_accepted).most_common()),
        )

    def to_json(self) -> dict[str, object]:
        """Return the counts and their 95 % intervals as plain types."""
        return {
            "pages": self.pages,
            "right": self.right,
            "accepted": clopper_pearson(self.accepted, self.pages).to_json(),
            "wrong_pages": clopper_pearson(self.wrong_pages, self.accepted).to_json(),
            "wrong_numbers": clopper_pearson(self.wrong_numbers, self.accepted_numbers).to_json(),
            "rejected_with_writing": self.lost,
            "reasons": dict(self.reasons),
        }


def score(kind: str, number: int, truth: Truth, readings: Sequence[PageReading]) -> Scored:
    """Score a file by the readings of all its pages."""
    confidences = [reading.confidence for reading in readings if reading.confidence is not None]
    return Scored(
        kind,
        number,
        truth,
        status=str(decision.file_status(readings)),
        text=" ".join(reading.text for reading in readings),
        reason=next((str(reading.reason) for reading in readings if reading.reason is not None), ""),
        confidence=min(confidences, default=None),
    )


def table(pages: Sequence[Scored]) -> str:
    """Return the table as Markdown with columns of fixed width, and the totals below it."""
    kinds = {
        kind: Tally.of(page for page in pages if page.kind == kind)
        for kind in dict.fromkeys(page.kind for page in pages)
    }
    total = Tally.of(pages)
    rows: Rows = [HEADS, *(_row(kind, tally) for kind, tally in kinds.items()), _row("all", total)]
    lines = [_line(row, _widths(rows)) for row in rows]
    rule = (
        "|"
        + "|".join("-" * (width + 1) + (":" if 0 < place < 7 else "-") for place, width in enumerate(_widths(rows)))
        + "|"
    )
    shares = {
        "accepted": clopper_pearson(total.accepted, total.pages),
        "wrong among accepted, pages": clopper_pearson(total.wrong_pages, total.accepted),
        "wrong among accepted, numbers": clopper_pearson(total.wrong_numbers, total.accepted_numbers),
    }
    ends = [f"{name}: {_share(share)}" for name, share in shares.items()]
    return "\n".join([lines[0], rule, *lines[1:], "", *ends, f"rejected although something is written: {total.lost}"])


def digits_of(text: str) -> str:
    """Return the digits of a text.

    >>> digits_of("-12,5")
    '125'
    """
    return "".join(character for character in text if character.isdigit())


def _count_numbers_in(numbers: Sequence[str], text: str) -> int:
    """How many of these numbers stand whole in a text, in order."""
    written = "".join(numbers)
    blocks = SequenceMatcher(None, written, text, autojunk=False).get_matching_blocks()
    start = count = 0
    for number in numbers:
        end = start + len(number)
        count += any(block.a <= start and end <= block.a + block.size for block in blocks)
        start = end
    return count


def _row(kind: str, tally: Tally) -> tuple[str, ...]:
    return (
        kind,
        str(tally.pages),
        str(tally.right),
        str(tally.accepted),
        str(tally.wrong_pages),
        f"{tally.wrong_numbers} of {tally.accepted_numbers}",
        str(tally.lost),
        ", ".join(f"{reason} {count}" for reason, count in tally.reasons.items()),
    )


def _widths(rows: Rows) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(HEADS))]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if 0 < place < 7 else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def _share(share: Proportion) -> str:
    if share.share is None:
        return "-"
    interval = f"{100 * share.low:.2f} to {100 * share.high:.2f}"
    return f"{share.hits} of {share.total} = {100 * share.share:.2f} % (95 %: {interval})"
