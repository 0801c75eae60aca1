"""Append the judgements of reviewers to the log of corrections."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import groupby
from typing import ClassVar, NamedTuple, TypeAlias

from digitrec import text
from digitrec.errors import DigitrecError, UsageError
from digitrec.storage.corrections import ILLEGIBLE, NONE, Correction, ReviewMethod, Verdict, read_history
from digitrec.storage.ledger import Ledger
from digitrec.types import Number, PageReading, PageStatus, Reason

_NUMBER = "[-+.,/:]*[0-9][-+.,/:0-9]*"
_TEXT = re.compile(f"{_NUMBER}(?: {_NUMBER})*")
_MAX_TEXT_LENGTH = 20_000
"""Characters of a page of 5,000 digits, each a number of its own with signs, and of the spaces between them."""
_MAX_REVIEWER_LENGTH = 100
_INSERT = (
    "INSERT INTO corrections (batch_id, row, at, who, verdict, old, new, how, number) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judgement of a reviewer on a page, or on one of its numbers."""

    batch_id: str
    row: int
    new: str | None
    """The true text, 'none' if there is no digit, 'illegible', or None if the reviewer is unsure."""
    seen_id: int
    """Id of the latest entry of the row when it was shown; 0 if there was none."""
    number: int = 0
    """Number of the page, from 1; 0 for the whole page."""


class Conflict(DigitrecError):
    """The row was judged since it was shown; `correction` is that entry, None if `seen_id` names no entry."""

    exit_code: ClassVar[int] = 75
    hint = "Look at the row again, then decide."

    def __init__(self, batch_id: str, row: int, correction: Correction | None) -> None:
        by = f"by {correction.reviewer}" if correction else "otherwise"
        super().__init__(f"row {row} of batch {batch_id} was judged {by} in between")
        self.batch_id, self.row, self.correction = batch_id, row, correction


def is_text(value: str) -> bool:
    """Return whether a text may be one of a page: numbers, separated by one space.

    >>> is_text("0650"), is_text("-3,5 12/03 7"), is_text("7 "), is_text("- 7"), is_text("none")
    (True, True, False, False, False)
    """
    return len(value) <= _MAX_TEXT_LENGTH and _TEXT.fullmatch(value) is not None


def record_judgements(
    ledger: Ledger, judgements: Sequence[Judgement], *, reviewer: str, method: ReviewMethod, reviewed_at: str
) -> list[Correction]:
    """Append the judgements of a reviewer in one transaction.

    A judgement on a page with several numbers holds for each of them if its text has as many numbers. Judgements on
    numbers settle their page once all of its numbers that need review are settled.

    Args:
        ledger: opened with `Ledger.open_shared`, or by its worker.
        judgements: in order of time; those on numbers of one row follow each other, with the same `seen_id`.
        reviewer: name of the person.
        method: source of the judgements.
        reviewed_at: ISO 8601.

    Returns:
        The new entries; those of numbers before that of their page.

    Raises:
        Conflict: a row was judged since it was shown.
        UsageError: a text is none of a page, a row or number is not in this ledger, or `reviewer` is not valid.
    """
    reviewer = normalize_reviewer(reviewer)
    groups = groupby(judgements, key=lambda item: (item.batch_id, item.row, item.number > 0))
    with ledger.transaction():
        entries = []
        for (batch_id, row, is_of_numbers), group in groups:
            for own in [[*group]] if is_of_numbers else [[item] for item in group]:
                stamp = _Stamp(batch_id, row, reviewed_at, reviewer, method)
                entries += _record(ledger, stamp, own)
        return entries


def undo_correction(
    ledger: Ledger, batch_id: str, row: int, *, seen_id: int, reviewer: str, reviewed_at: str, change_id: int = 0
) -> Correction:
    """Append the entries before a change of a row again; undoing an undo restores that change.

    Args:
        ledger: opened with `Ledger.open_shared`, or by its worker.
        batch_id: of the row.
        row: its number.
        seen_id: id of the latest entry of the page.
        reviewer: name of the person.
        reviewed_at: ISO 8601.
        change_id: id of the page's entry to undo, with all later ones; 0 for the latest.

    Returns:
        The new entry of the page.

    Raises:
        Conflict: `seen_id` is not the latest entry, or another person changed the row since `change_id`.
        UsageError: `reviewer` is not valid.
    """
    stamp = _Stamp(batch_id, row, reviewed_at, normalize_reviewer(reviewer), ReviewMethod.UNDO)
    with ledger.transaction():
        log = read_history(ledger, batch_id, row)
        if not log or log[-1].id != seen_id:
            raise Conflict(batch_id, row, log[-1] if log else None)
        if change_id and any(entry.id > change_id and entry.reviewer != stamp.reviewer for entry in log):
            raise Conflict(batch_id, row, log[-1])
        answers = _read_answers(ledger, batch_id, row)
        change_id = change_id or seen_id
        before = max((entry.id for entry in log if entry.number == 0 and entry.id < change_id), default=0)
        former = {entry.number: entry for entry in log if entry.id <= before}
        entries = []
        latest = {entry.number: entry for entry in log if entry.id > before}
        for undone in sorted(latest.values(), key=lambda entry: entry.number == 0):
            entry = former.get(undone.number)
            verdict, new = (entry.verdict, entry.new) if entry else (Verdict.WITHDRAWN, "")
            old = undone.new if undone.verdict.is_settled else answers[undone.number].text
            entries.append(_append(ledger, stamp, undone.number, verdict, old, new))
        return entries[-1]


def normalize_reviewer(reviewer: str) -> str:
    """Return the name of a reviewer as it is stored and shown: stripped and escaped; UsageError if it is not valid."""
    name = text.escape(reviewer.strip())
    if "\0" in reviewer:
        raise UsageError("a name holds no NUL character", hint="Use --reviewer NAME.")
    if not 1 <= len(name) <= _MAX_REVIEWER_LENGTH:
        raise UsageError(
            f"a name has {len(name)} characters; the limits are 1..{_MAX_REVIEWER_LENGTH}", hint="Use --reviewer NAME."
        )
    return name


class _Stamp(NamedTuple):
    """Row, time, author and source of new entries."""

    batch_id: str
    row: int
    reviewed_at: str
    reviewer: str
    method: ReviewMethod


_Answer: TypeAlias = PageReading | Number


def _record(ledger: Ledger, stamp: _Stamp, judgements: Sequence[Judgement]) -> list[Correction]:
    """Append one judgement on a page, or several on its numbers."""
    for judgement in judgements:
        _check_text(judgement)
    answers = _read_answers(ledger, stamp.batch_id, stamp.row)
    numbers = [number for number in answers if number]
    log = read_history(ledger, stamp.batch_id, stamp.row)
    if any((log[-1].id if log else 0) != judgement.seen_id for judgement in judgements):
        raise Conflict(stamp.batch_id, stamp.row, log[-1] if log else None)
    texts = {judgement.number: judgement.new for judgement in judgements}
    if unknown := texts.keys() - answers.keys():
        raise UsageError(f"row {stamp.row} of batch {stamp.batch_id} has no number {min(unknown)}")
    if len(numbers) == 1:
        texts = {0: next(iter(texts.values()))}
    elif 0 in texts:
        texts = _split_text(texts[0], numbers) | texts
    latest = {entry.number: entry for entry in log}
    verdicts = {number: _judge(answers[number], new) for number, new in texts.items()}
    if 0 not in verdicts:
        former = {number: (latest[number].verdict, latest[number].new) for number in numbers if number in latest}
        verdicts[0] = _judge_page(answers, former | verdicts)
    entries = []
    for number, (verdict, new) in verdicts.items():
        entry = latest.get(number)
        old = entry.new if entry is not None and entry.verdict.is_settled else answers[number].text
        entries.append(_append(ledger, stamp, number, verdict, old, new))
    return entries


def _check_text(judgement: Judgement) -> None:
    new = judgement.new
    if new is None or new in {NONE, ILLEGIBLE} or (is_text(new) and not (judgement.number and " " in new)):
        return
    hint = f"A number is made of the digits 0 to 9 and the signs + - . , / : between them, or is {NONE!r}."
    raise UsageError(f"{text.escape(new[:40])!r} is no number", hint=hint)


def _read_answers(ledger: Ledger, batch_id: str, row: int) -> dict[int, _Answer]:
    """Return the answers for a page, under 0, and for each of its numbers."""
    answer = ledger.row(batch_id, row)
    if answer is None:
        raise UsageError(f"batch {text.escape(batch_id)} has no row {row} here")
    return dict(enumerate((answer.reading, *answer.reading.numbers)))


def _judge(answer: _Answer, new: str | None) -> tuple[Verdict, str]:
    """Return the verdict of a judgement on an answer, and the text of its entry."""
    if new is None:
        return Verdict.UNSURE, ""
    if new == ILLEGIBLE:
        return Verdict.ILLEGIBLE, ""
    is_right = new == answer.text or (new == NONE and answer.reason in {Reason.NOT_A_DIGIT, Reason.BLANK})
    return Verdict.CONFIRMED if is_right else Verdict.CORRECTED, new


def _split_text(new: str | None, numbers: Sequence[int]) -> dict[int, str | None]:
    """Return what a judgement on a page says of each of its numbers; nothing if it does not fit them."""
    if new in {NONE, ILLEGIBLE}:
        return dict.fromkeys(numbers, new)
    parts = new.split(" ") if new else []
    return dict(zip(numbers, parts, strict=True)) if len(parts) == len(numbers) else {}


def _judge_page(answers: Mapping[int, _Answer], verdicts: Mapping[int, tuple[Verdict, str]]) -> tuple[Verdict, str]:
    """Return the verdict on a page that follows from the verdicts on its numbers."""
    numbers = [number for number in answers if number]
    judged = {number for number, (verdict, _) in verdicts.items() if verdict is not Verdict.WITHDRAWN}
    to_review = {number for number in numbers if answers[number].status is PageStatus.REVIEW}
    if not to_review and answers[0].status is not PageStatus.ACCEPTED:
        to_review = {*numbers}  # something else on the page was not read
    if not judged or not to_review <= judged:
        return Verdict.WITHDRAWN, ""
    kinds = {verdicts[number][0] for number in judged}
    if Verdict.UNSURE in kinds:
        return Verdict.UNSURE, ""
    if Verdict.ILLEGIBLE in kinds:
        return Verdict.ILLEGIBLE, ""
    texts = (verdicts[number][1] if number in judged else answers[number].text for number in numbers)
    return _judge(answers[0], " ".join(text for text in texts if text != NONE) or NONE)


def _append(ledger: Ledger, stamp: _Stamp, number: int, verdict: Verdict, old: str, new: str) -> Correction:
    entry = Correction(0, *stamp[:4], verdict, old, new, stamp.method, number)
    return replace(entry, id=ledger.query(_INSERT, astuple(entry)[1:]).lastrowid or 0)
