"""What people said of a batch's answers, as numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from digitrec.corrections import Verdict
from digitrec.records import Status
from digitrec.reporting.intervals import Proportion, clopper_pearson, wilson


@dataclass(frozen=True, slots=True)
class Checked:
    """What a person said of one page, as it holds now."""

    verdict: Verdict
    """Confirmed, corrected or unsure."""
    text: str
    """Digits; `none` if there is no digit; empty if unsure."""
    who: str
    at: str
    """ISO 8601 UTC."""
    is_audit: bool = False
    """It was drawn for an audit of accepted answers: chosen by chance, not because somebody doubted it."""

    @property
    def is_wrong(self) -> bool:
        """Whether the service had said otherwise."""
        return self.verdict is Verdict.CORRECTED


Judged = tuple[Status, Checked]
"""What the service made of a page, and what a person said of it."""


def review_numbers(rows: Sequence[tuple[Status, Checked | None]], corrected_csv: str) -> dict[str, Any] | None:
    """The numbers of a review, from every page of the batch; None if nobody looked at any.

    `held_back` tells of pages in review, `audit` of accepted ones drawn by chance: only that one says how wrong
    accepted work is.
    """
    judged = [(status, said) for status, said in rows if said is not None]
    if not judged:
        return None
    verdicts = Counter(said.verdict for _, said in judged)
    in_review = sum(status is Status.REVIEW for status, _ in rows)
    held_back, audited = held_back_wrong(judged), audit(judged)
    return {
        "pages": len(judged),
        "confirmed": verdicts[Verdict.CONFIRMED],
        "corrected": verdicts[Verdict.CORRECTED],
        "unsure": verdicts[Verdict.UNSURE],
        "open": in_review - held_back.of,
        "held_back": held_back.to_json(),
        "accepted_corrected": sum(status is Status.ACCEPTED and said.is_wrong for status, said in judged),
        "audit": audited.to_json() if audited.of else None,
        "csv": corrected_csv or None,
    }


def held_back_wrong(judged: Sequence[Judged]) -> Proportion:
    """Of the pages in review that a person settled, those whose best guess was wrong; Wilson's 95 % interval."""
    settled = [said for status, said in judged if status is Status.REVIEW and said.verdict.is_settled]
    return wilson(sum(said.is_wrong for said in settled), len(settled))


def audit(judged: Sequence[Judged]) -> Proportion:
    """Of the accepted pages drawn for an audit and settled, those that were wrong; the exact 95 % interval.

    Pages that somebody corrected without an audit are no sample: they were looked at because they looked wrong.
    """
    drawn = [said for status, said in judged if status is Status.ACCEPTED and said.is_audit and said.verdict.is_settled]
    wrong = sum(said.is_wrong for said in drawn)
    return clopper_pearson(wrong, len(drawn)) if drawn else wilson(0, 0)
