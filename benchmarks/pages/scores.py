"""Compares what was read on a page with what is written there, and adds up a table per kind of page."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.pages.alignment import NumberCounts, ReadNumber, count_numbers, digits_of
from digitrec.recognition import decision
from digitrec.reports.statistics import Proportion, clopper_pearson
from digitrec.training.synthetic.pages.truth import Truth
from digitrec.types import PageReading, PageStatus

HEADS = (
    *(
        "kind",
        "pages",
        "right",
        "exact",
        "accepted",
        "wrong pages",
        "numbers right",
        "wrong numbers",
        "joined",
        "digit errors",
    ),
    *("rejected", "not accepted, by reason"),
)


@dataclass(frozen=True, slots=True)
class Scored:
    """A page, what was read on it and what is true."""

    kind: str
    number: int
    truth: Truth
    status: str
    counts: NumberCounts
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
    def is_exact(self) -> bool:
        """True if the text is what is written, signs included; spaces are not compared."""
        return self.text.replace(" ", "") == self.truth.text and not self.truth.words

    @property
    def is_wrong(self) -> bool:
        """True if the answer was accepted and is not all that is written, signs and words included."""
        if not self.is_accepted:
            return False
        if self.truth.is_digits_only:
            return not self.is_right
        return not self.is_exact or not self.truth.numbers

    @property
    def is_lost(self) -> bool:
        """True if the page was rejected although something is written on it."""
        return self.status == PageStatus.REJECTED and self.truth.is_written

    @property
    def has_wrong_answer(self) -> bool:
        """True if the page, or one of its numbers, was accepted and is wrong."""
        return self.is_wrong or self.counts.wrong > 0

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
            "is_exact": self.is_exact,
            "is_wrong": self.is_wrong,
            "is_lost": self.is_lost,
            "counts": asdict(self.counts),
        }


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of some pages."""

    pages: int
    right: int
    exact: int
    accepted: int
    wrong_pages: int
    counts: NumberCounts
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
            exact=sum(page.is_exact for page in pages),
            accepted=sum(page.is_accepted for page in pages),
            wrong_pages=sum(page.is_wrong for page in pages),
            counts=sum((page.counts for page in pages), NumberCounts()),
            lost=sum(page.is_lost for page in pages),
            reasons=dict(Counter(page.reason for page in pages if not page.is_accepted).most_common()),
        )

    @property
    def digit_error_share(self) -> float | None:
        """Return the digit edit distance over the number of digits written, or None if none is."""
        return self.counts.digit_errors / self.counts.digits if self.counts.digits else None

    def shares(self) -> dict[str, Proportion]:
        """Return the shares that a reader compares, with their 95 % intervals."""
        counts = self.counts
        return {
            "right": clopper_pearson(self.right, self.pages),
            "exact": clopper_pearson(self.exact, self.pages),
            "accepted": clopper_pearson(self.accepted, self.pages),
            "wrong_pages": clopper_pearson(self.wrong_pages, self.accepted),
            "numbers_right": clopper_pearson(counts.right, counts.written),
            "wrong_numbers": clopper_pearson(counts.wrong, counts.accepted),
        }

    def to_json(self) -> dict[str, object]:
        """Return the counts, and the shares with their 95 % intervals, as plain types."""
        return {
            "pages": self.pages,
            **{name: share.to_json() for name, share in self.shares().items()},
            "counts": asdict(self.counts),
            "digit_error_share": self.digit_error_share,
            "rejected_with_writing": self.lost,
            "reasons": dict(self.reasons),
        }


def score(kind: str, number: int, truth: Truth, readings: Sequence[PageReading]) -> Scored:
    """Score a file by the readings of all its pages."""
    confidences = [reading.confidence for reading in readings if reading.confidence is not None]
    status = decision.file_status(readings)
    numbers = [
        ReadNumber(number.text, number.status is PageStatus.ACCEPTED)
        for reading in readings
        for number in reading.numbers
    ]
    counts = count_numbers(
        truth.texts, numbers, is_accepted=status is PageStatus.ACCEPTED, has_limits=not truth.is_digits_only
    )
    return Scored(
        kind,
        number,
        truth,
        status=str(status),
        counts=counts,
        text=" ".join(reading.text for reading in readings if reading.text),
        reason=next((str(reading.reason) for reading in readings if reading.reason is not None), ""),
        confidence=min(confidences, default=None),
    )


def tallies(pages: Sequence[Scored], pools: Mapping[str, Sequence[str]]) -> dict[str, Tally]:
    """Count the pages of each kind, of each pool of kinds, and all."""
    kinds = {kind: [page for page in pages if page.kind == kind] for kind in dict.fromkeys(page.kind for page in pages)}
    pooled = {name: [page for page in pages if page.kind in members] for name, members in pools.items()}
    return {name: Tally.of(members) for name, members in {**kinds, **pooled, "all": pages}.items()}


def table(tally_of: Mapping[str, Tally]) -> str:
    """Return a table of `tallies` as Markdown with columns of fixed width, and the shares of all pages below it."""
    total = tally_of["all"]
    rows = [HEADS, *(_row(kind, tally) for kind, tally in tally_of.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    last = len(HEADS) - 1
    rule = "|".join("-" * (width + 1) + (":" if 0 < place < last else "-") for place, width in enumerate(widths))
    lines = [_line(row, widths) for row in rows]
    shares = total.shares()
    ends = [
        f"accepted: {_share(shares['accepted'])}",
        f"wrong among accepted, pages: {_share(shares['wrong_pages'])}",
        f"wrong among accepted, numbers: {_share(shares['wrong_numbers'])}",
        f"numbers right: {_share(shares['numbers_right'])}",
        f"rejected although something is written: {total.lost}",
    ]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:], "", *ends])


def _row(kind: str, tally: Tally) -> tuple[str, ...]:
    counts, share = tally.counts, tally.digit_error_share
    return (
        kind,
        str(tally.pages),
        str(tally.right),
        str(tally.exact),
        str(tally.accepted),
        str(tally.wrong_pages),
        f"{counts.right} of {counts.written}",
        f"{counts.wrong} of {counts.accepted}",
        str(counts.joined),
        "-" if share is None else f"{100 * share:.1f} %",
        str(tally.lost),
        ", ".join(f"{reason} {count}" for reason, count in tally.reasons.items()),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if 0 < place < len(row) - 1 else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def _share(share: Proportion) -> str:
    if share.share is None:
        return "-"
    interval = f"{100 * share.low:.2f} to {100 * share.high:.2f}"
    return f"{share.hits} of {share.total} = {100 * share.share:.2f} % (95 %: {interval})"
