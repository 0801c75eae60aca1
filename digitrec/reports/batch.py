"""What a batch report is made from, and the numbers in it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from digitrec.reports.statistics import Proportion, clopper_pearson, wilson
from digitrec.storage.corrections import Verdict
from digitrec.types import OutcomeCounts, PageStatus, Reason

Json: TypeAlias = dict[str, Any]
"""Plain types only, as `json.dumps(..., allow_nan=False)` takes them."""

NO_DIGIT = "none"
"""The label of a page that holds no digit."""

CONFIDENCE_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Finer towards 1, where nearly all confidences and every threshold lie."""


@dataclass(frozen=True, slots=True)
class ReviewVerdict:
    """What a person said of one page, as it holds now."""

    verdict: Verdict
    """Confirmed, corrected or unsure."""
    text: str
    """Digits; `none` if there is no digit; empty if unsure."""
    reviewer: str
    reviewed_at: str
    """ISO 8601 UTC."""
    is_audit: bool = False
    """It was drawn for an audit of accepted answers: chosen by chance, not because somebody doubted it."""

    @property
    def is_wrong(self) -> bool:
        """Whether the service had said otherwise."""
        return self.verdict is Verdict.CORRECTED


ReviewedPage = tuple[PageStatus, ReviewVerdict]
"""What the service made of a page, and what a person said of it."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """One row of the batch's CSV, and a small picture of its page."""

    row: int
    file: str
    """Path under the inbox, escaped as in the CSV."""
    page: int
    """From 1."""
    status: PageStatus
    text: str = ""
    confidence: float | None = None
    runner_up: str = ""
    runner_up_confidence: float | None = None
    reason: Reason | None = None
    detail: str = ""
    label: str = ""
    """The truth; empty if unknown, `none` if there is no digit."""
    preview_png: bytes | None = None
    """No side longer than 96 px; only needed where the page shows it (`report.pictured`)."""
    duplicate_of: str = ""
    """`<batch_id>/<row>` of the earliest page with the same bytes; empty if this is the first."""
    review: ReviewVerdict | None = None
    """What a person said of it."""

    @property
    def is_open(self) -> bool:
        """Whether a person should look at it, and nobody has settled it yet."""
        is_settled = self.review is not None and self.review.verdict.is_settled
        return self.status is PageStatus.REVIEW and not is_settled


@dataclass(frozen=True, slots=True)
class DeferredFacts:
    """A file that was claimed and deferred."""

    file: str
    detail: str


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Everything a batch report says."""

    batch_id: str
    worker: str
    model_id: str
    app_version: str
    opened_at: str
    """When the batch was claimed; ISO 8601 UTC, like `processed_at`."""
    processed_at: str
    files: OutcomeCounts
    """Claimed = accepted + review + rejected + deferred."""
    threshold: float | None
    """A page is accepted if its confidence reaches this."""
    max_error: float | None
    """The share of wrong answers among the accepted that the threshold was chosen for; None if unknown."""
    csv: str
    """The batch's CSV, relative to the folder of the report."""
    rows: Sequence[RowFacts] = ()
    deferred: Sequence[DeferredFacts] = ()
    corrected_csv: str = ""
    """The table after a person's review, relative to the folder of the report; empty while there is none."""


def is_correct(row: RowFacts) -> bool:
    """Whether a labelled page was answered rightly: `text` equal to `label`; for label `none`, not accepted.

    >>> is_right(RowFacts(1, "a.png", 1, Status.REVIEW, text="7", label="7"))
    True
    >>> is_right(RowFacts(1, "b.png", 1, Status.ACCEPTED, text="7", label="none"))
    False
    """
    if row.label == NO_DIGIT:
        return row.status is not PageStatus.ACCEPTED
    return row.text == row.label


def select_errors(rows: Iterable[RowFacts]) -> list[RowFacts]:
    """Labelled pages answered wrongly: accepted before held back, the surer the worse."""
    wrong = [row for row in rows if row.label and not is_correct(row)]
    return sorted(wrong, key=lambda row: (_GRAVITY.get(row.status, 2), -(row.confidence or 0.0)))


_GRAVITY = {PageStatus.ACCEPTED: 0, PageStatus.REVIEW: 1}


def select_corrected(rows: Iterable[RowFacts]) -> list[RowFacts]:
    """Pages that a person corrected or was not sure of: accepted before held back, the surer the worse."""
    said = [row for row in rows if row.review is not None and row.review.verdict is not Verdict.CONFIRMED]
    return sorted(said, key=lambda row: (_GRAVITY.get(row.status, 2), -(row.confidence or 0.0)))


def summarize_batch(facts: BatchFacts) -> Json:
    """The content of a batch's `report.json`: the numbers its page shows."""
    pages = Counter(row.status for row in facts.rows)
    return {
        "kind": "batch",
        "batch_id": facts.batch_id,
        "worker": facts.worker,
        "model_id": facts.model_id,
        "app_version": facts.app_version,
        "opened_at": facts.opened_at,
        "processed_at": facts.processed_at,
        "threshold": facts.threshold,
        "max_error": facts.max_error,
        "csv": facts.csv,
        "files": {"claimed": facts.files.claimed, **facts.files.to_json()},
        "pages": {"total": len(facts.rows), **{status.value: pages[status] for status in _SHOWN}},
        "duplicates": sum(row.duplicate_of != "" for row in facts.rows),
        "digits": _digits_accepted(facts.rows),
        "confidence": _confidence_bins(facts.rows),
        "reasons": _reasons(facts.rows),
        "truth": _truth(facts.rows),
        "automation": wilson(pages[PageStatus.ACCEPTED], len(facts.rows)).to_json(),
        "reviewed": summarize_review([(row.status, row.review) for row in facts.rows], facts.corrected_csv),
    }


_SHOWN = (PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED)


def _digits_accepted(rows: Iterable[RowFacts]) -> dict[str, int]:
    counts = Counter("".join(row.text for row in rows if row.status is PageStatus.ACCEPTED))
    return {digit: counts[digit] for digit in "0123456789"}


def _confidence_bins(rows: Iterable[RowFacts]) -> list[dict[str, float | int]]:
    counts: Counter[tuple[int, PageStatus]] = Counter()
    for row in rows:
        if row.confidence is not None:
            # The last bin takes 1.0 in as well.
            index = sum(row.confidence >= edge for edge in CONFIDENCE_EDGES[1:-1])
            counts[index, row.status] += 1
    return [
        {"from": low, "to": high, "accepted": counts[i, PageStatus.ACCEPTED], "review": counts[i, PageStatus.REVIEW]}
        for i, (low, high) in enumerate(pairwise(CONFIDENCE_EDGES))
    ]


def _reasons(rows: Iterable[RowFacts]) -> dict[str, int]:
    counts = Counter(row.reason for row in rows if row.reason is not None)
    return {reason.value: counts[reason] for reason in Reason if counts[reason]}


def _truth(rows: Iterable[RowFacts]) -> Json | None:
    labelled = [row for row in rows if row.label]
    if not labelled:
        return None
    accepted = [row for row in labelled if row.status is PageStatus.ACCEPTED]
    return {
        "accuracy": measure_accuracy(labelled).to_json(),
        "accepted": measure_accuracy(accepted).to_json(),
        "mistakes": sum(not is_correct(row) for row in labelled),
    }


def measure_accuracy(rows: Sequence[RowFacts]) -> Proportion:
    """How many of these labelled pages were answered rightly, with Wilson's 95 % interval."""
    return wilson(sum(map(is_correct, rows)), len(rows))


def summarize_review(
    rows: Sequence[tuple[PageStatus, ReviewVerdict | None]], corrected_csv: str
) -> dict[str, Any] | None:
    """The numbers of a review, from every page of the batch; None if nobody looked at any.

    `held_back` tells of pages in review, `audit` of accepted ones drawn by chance: only that one says how wrong
    accepted work is.
    """
    judged = [(status, said) for status, said in rows if said is not None]
    if not judged:
        return None
    verdicts = Counter(said.verdict for _, said in judged)
    in_review = sum(status is PageStatus.REVIEW for status, _ in rows)
    held_back, audited = review_error_rate(judged), audit_error_rate(judged)
    return {
        "pages": len(judged),
        "confirmed": verdicts[Verdict.CONFIRMED],
        "corrected": verdicts[Verdict.CORRECTED],
        "unsure": verdicts[Verdict.UNSURE],
        "open": in_review - held_back.total,
        "held_back": held_back.to_json(),
        "accepted_corrected": sum(status is PageStatus.ACCEPTED and said.is_wrong for status, said in judged),
        "audit": audited.to_json() if audited.total else None,
        "csv": corrected_csv or None,
    }


def review_error_rate(judged: Sequence[ReviewedPage]) -> Proportion:
    """Of the pages in review that a person settled, those whose best guess was wrong; Wilson's 95 % interval."""
    settled = [said for status, said in judged if status is PageStatus.REVIEW and said.verdict.is_settled]
    return wilson(sum(said.is_wrong for said in settled), len(settled))


def audit_error_rate(judged: Sequence[ReviewedPage]) -> Proportion:
    """Of the accepted pages drawn for an audit and settled, those that were wrong; the exact 95 % interval.

    Pages that somebody corrected without an audit are no sample: they were looked at because they looked wrong.
    """
    drawn = [
        said for status, said in judged if status is PageStatus.ACCEPTED and said.is_audit and said.verdict.is_settled
    ]
    wrong = sum(said.is_wrong for said in drawn)
    return clopper_pearson(wrong, len(drawn))
