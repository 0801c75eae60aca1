"""Numbers of a batch report: its input records and their statistics.

`app.reports` fills the records from the ledger, `batch_report` writes the page.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from digitrec.reports.statistics import Proportion, clopper_pearson, wilson
from digitrec.storage.claims import OutcomeCounts
from digitrec.storage.corrections import Correction, Verdict
from digitrec.storage.csv_tables import get_group
from digitrec.text import is_comparable_label, matches_label
from digitrec.types import NumberCounts, PageReading, PageStatus, Reason, Thresholds

Json: TypeAlias = dict[str, Any]
"""JSON object without NaN."""

NO_DIGIT = "none"
"""Label of a page without a digit."""

CONFIDENCE_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Bin edges, finer towards 1, where nearly all confidences and all thresholds lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts(PageReading):
    """A row of the batch's CSV, with its preview and its review.

    Its `numbers`, with corrections applied, are needed of pages with several and for the rows with a preview only, at
    most `batch_report.MAX_NUMBERS` in all.
    """

    row: int
    file: str
    """Path under the inbox, escaped as in the CSV."""
    label: str = ""
    """Ground truth; empty if unknown, `none` if the page has no digit."""
    preview_png: bytes | None = None
    """Longest side at most 96 px; needed for the rows of `batch_report.select_pictured_rows` only."""
    duplicate_of: str = ""
    """`<batch_id>/<row>` of the earliest page with the same bytes; empty if this is the first."""
    review: Correction | None = None
    """Valid judgement of a reviewer; None without one."""
    is_audited: bool = False
    """Whether the page was drawn at random for an audit of accepted answers, and judged in it."""
    original: str = ""
    """Path of the archived original, relative to the report; empty for a rejected one, which may be anything."""

    @classmethod
    def of(cls, reading: PageReading, **facts: Any) -> "RowFacts":
        """Return the row of a page, without its numbers."""
        page = {field.name: getattr(reading, field.name) for field in fields(reading)}
        return cls(**{**page, "numbers": (), **facts})

    @property
    def is_open(self) -> bool:
        """Return whether the page needs review and is not resolved yet."""
        is_resolved = self.review is not None and self.review.verdict.is_settled
        return self.status is PageStatus.REVIEW and not is_resolved

    @property
    def is_corrected(self) -> bool:
        """Return whether a reviewer corrected the answer."""
        return self.review is not None and self.review.verdict is Verdict.CORRECTED

    @property
    def has_true_text(self) -> bool:
        """Return whether the true text is known from a reviewer."""
        return self.review is not None and self.review.verdict.has_text


class NumberAnswer(NamedTuple):
    """A number of a batch, as it was read."""

    text: str
    status: PageStatus
    confidence: float | None


@dataclass(frozen=True, slots=True)
class DeferredFacts:
    """A file that was claimed and deferred."""

    file: str
    detail: str


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Input of a batch report."""

    batch_id: str
    worker: str
    model_id: str
    app_version: str
    opened_at: str
    """When the batch was claimed; ISO 8601 UTC, like `processed_at`."""
    processed_at: str
    files: OutcomeCounts
    """Claimed = accepted + review + rejected + deferred."""
    thresholds: Thresholds | None
    """Lowest accepted confidences; None if unknown."""
    max_error: float | None
    """Target error rate of the accepted answers; None if unknown."""
    csv: str
    """Path of the batch's CSV, relative to the folder of the report."""
    rows: Sequence[RowFacts] = ()
    deferred: Sequence[DeferredFacts] = ()
    corrected_csv: str = ""
    """Path of the corrected CSV, relative to the folder of the report; empty if there is none."""
    numbers: NumberCounts = NumberCounts()
    """Numbers of all pages, before corrections."""
    answers: Sequence[NumberAnswer] = ()
    """Those numbers; empty for a batch of a version that recorded pages only."""


def is_correct(row: RowFacts) -> bool:
    """Return whether the answer of a labelled page is correct; for label `none`, whether it is not accepted.

    A label that holds digits only is compared with them only; see `text.matches_label`.

    >>> is_correct(RowFacts(1, PageStatus.REVIEW, "7", row=1, file="a.png", label="7"))
    True
    >>> is_correct(RowFacts(1, PageStatus.ACCEPTED, "7", row=1, file="b.png", label="none"))
    False
    """
    if row.label == NO_DIGIT:
        return row.status is not PageStatus.ACCEPTED
    return matches_label(row.text, row.label)


def is_exact(row: RowFacts) -> bool:
    """Return whether the answer of a labelled page is the label as written; for label `none`, as `is_correct`."""
    return is_correct(row) and row.label in {row.text, NO_DIGIT}


def select_labelled(rows: Iterable[RowFacts]) -> list[RowFacts]:
    """Return the pages whose label can be compared with an answer; `count_left_out` counts the other labelled ones."""
    return [row for row in rows if is_comparable_label(row.label)]


def count_left_out(rows: Iterable[RowFacts]) -> int:
    """Return the number of pages with a label that no answer can equal, such as a word."""
    return sum(row.label != "" and not is_comparable_label(row.label) for row in rows)


def select_errors(rows: Iterable[RowFacts]) -> list[RowFacts]:
    """Return the labelled pages with a wrong answer: accepted ones first, then by descending confidence."""
    return _sort_by_severity(row for row in select_labelled(rows) if not is_correct(row))


_SEVERITY = {PageStatus.ACCEPTED: 0, PageStatus.REVIEW: 1}


def select_corrected(rows: Iterable[RowFacts]) -> list[RowFacts]:
    """Return the pages corrected or marked as not sure: accepted ones first, then by descending confidence."""
    return _sort_by_severity(
        row for row in rows if row.review is not None and row.review.verdict is not Verdict.CONFIRMED
    )


def _sort_by_severity(rows: Iterable[RowFacts]) -> list[RowFacts]:
    return sorted(rows, key=lambda row: (_SEVERITY.get(row.status, 2), -(row.confidence or 0.0)))


def summarize_batch(facts: BatchFacts) -> Json:
    """Return the content of a batch's `report.json`, the numbers of its page."""
    pages = Counter(row.status for row in facts.rows)
    answers = facts.answers or facts.rows
    return {
        "kind": "batch",
        "batch_id": facts.batch_id,
        "worker": facts.worker,
        "model_id": facts.model_id,
        "app_version": facts.app_version,
        "opened_at": facts.opened_at,
        "processed_at": facts.processed_at,
        "thresholds": None if facts.thresholds is None else asdict(facts.thresholds),
        "max_error": facts.max_error,
        "csv": facts.csv,
        "files": {"claimed": facts.files.claimed, **facts.files.to_json()},
        "pages": {"total": len(facts.rows), **{status.value: pages[status] for status in _STATUSES}},
        "numbers": facts.numbers.to_json(),
        "duplicates": sum(row.duplicate_of != "" for row in facts.rows),
        "digits": count_digits(answer for answer in answers if answer.status is PageStatus.ACCEPTED),
        "confidence": _confidence_bins(answers),
        "reasons": _reasons(facts.rows),
        "truth": _truth(facts.rows),
        "groups": _groups(facts.rows),
        "labels_left_out": count_left_out(facts.rows),
        "automation": wilson(pages[PageStatus.ACCEPTED], len(facts.rows)).to_json(),
        "reviewed": summarize_review(facts.rows, facts.corrected_csv),
    }


_STATUSES = (PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED)


def count_digits(answers: Iterable[NumberAnswer | RowFacts]) -> dict[str, int]:
    """Return the count of each digit in the texts of numbers or pages."""
    counts = Counter("".join(answer.text for answer in answers))
    return {digit: counts[digit] for digit in "0123456789"}


def find_bin(confidence: float) -> int:
    """Return the index of the bin of `CONFIDENCE_EDGES` that holds a confidence; the last one holds 1.0, too."""
    return sum(confidence >= edge for edge in CONFIDENCE_EDGES[1:-1])


def _confidence_bins(answers: Iterable[NumberAnswer | RowFacts]) -> list[dict[str, float | int]]:
    counts: Counter[tuple[int, PageStatus]] = Counter()
    for answer in answers:
        if answer.confidence is not None:
            counts[find_bin(answer.confidence), answer.status] += 1
    return [
        {"from": low, "to": high, "accepted": counts[i, PageStatus.ACCEPTED], "review": counts[i, PageStatus.REVIEW]}
        for i, (low, high) in enumerate(pairwise(CONFIDENCE_EDGES))
    ]


def _reasons(rows: Iterable[RowFacts]) -> dict[str, int]:
    counts = Counter(row.reason for row in rows if row.reason is not None)
    return {reason.value: counts[reason] for reason in Reason if counts[reason]}


def _truth(rows: Iterable[RowFacts]) -> Json | None:
    labelled = select_labelled(rows)
    if not labelled:
        return None
    accepted = [row for row in labelled if row.status is PageStatus.ACCEPTED]
    return {
        "accuracy": measure_accuracy(labelled).to_json(),
        "exact": measure_exact(labelled).to_json(),
        "accepted": measure_accuracy(accepted).to_json(),
        "wrong": clopper_pearson(sum(not is_correct(row) for row in accepted), len(accepted)).to_json(),
        "mistakes": sum(not is_correct(row) for row in labelled),
    }


def _groups(rows: Iterable[RowFacts]) -> list[Json]:
    """Return the counts of each group, the first folder under the inbox; empty if there is only one."""
    by_group: dict[str, list[RowFacts]] = {}
    for row in rows:
        by_group.setdefault(get_group(row.file), []).append(row)
    if len(by_group) < 2:
        return []
    return [
        {
            "name": name,
            "pages": len(members),
            **{status.value: sum(row.status is status for row in members) for status in _STATUSES},
            "accuracy": measure_accuracy(select_labelled(members)).to_json(),
        }
        for name, members in sorted(by_group.items())
    ]


def measure_accuracy(rows: Sequence[RowFacts]) -> Proportion:
    """Return the share of labelled pages with a correct answer, with Wilson's 95 % interval."""
    return wilson(sum(map(is_correct, rows)), len(rows))


def measure_exact(rows: Sequence[RowFacts]) -> Proportion:
    """Return the share of labelled pages whose answer is the label as written, with Wilson's 95 % interval."""
    return wilson(sum(map(is_exact, rows)), len(rows))


def summarize_review(rows: Sequence[RowFacts], corrected_csv: str) -> dict[str, Any] | None:
    """Return the numbers of a review from all pages of a batch; None if no page was judged.

    `held_back` is the error rate of pages in review, `audit` the one of accepted pages drawn at random: only the latter
    estimates the error rate of accepted answers.
    """
    verdicts = Counter(row.review.verdict for row in rows if row.review is not None)
    if not verdicts:
        return None
    review_errors, audit_errors = review_error_rate(rows), audit_error_rate(rows)
    return {
        "pages": verdicts.total(),
        "confirmed": verdicts[Verdict.CONFIRMED],
        "corrected": verdicts[Verdict.CORRECTED],
        "unsure": verdicts[Verdict.UNSURE],
        "illegible": verdicts[Verdict.ILLEGIBLE],
        "open": sum(row.is_open for row in rows),
        "held_back": review_errors.to_json(),
        "accepted_corrected": sum(row.status is PageStatus.ACCEPTED and row.is_corrected for row in rows),
        "audit": audit_errors.to_json() if audit_errors.total else None,
        "csv": corrected_csv or None,
    }


def review_error_rate(rows: Iterable[RowFacts]) -> Proportion:
    """Return the share of wrong answers among the pages in review whose text is known, with Wilson's 95 % interval."""
    resolved = [row for row in rows if row.status is PageStatus.REVIEW and row.has_true_text]
    return wilson(sum(row.is_corrected for row in resolved), len(resolved))


def audit_error_rate(rows: Iterable[RowFacts]) -> Proportion:
    """Return the share of wrong answers among the audited pages whose text is known, with the exact 95 % interval.

    Pages corrected outside an audit are left out: they were selected because they looked wrong.
    """
    drawn = [row for row in rows if row.status is PageStatus.ACCEPTED and row.is_audited and row.has_true_text]
    return clopper_pearson(sum(row.is_corrected for row in drawn), len(drawn))
