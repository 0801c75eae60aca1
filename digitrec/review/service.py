"""List answers for review, save and undo judgements, and write corrected tables; every call opens the ledgers."""

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import logs
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.review import characters, queries
from digitrec.review.characters import NumberKey
from digitrec.review.page_images import ImageUnavailable, PageImage, PageImages, View
from digitrec.review.queries import Entry, Filter, Key, ReviewProgress, RowId
from digitrec.storage.corrected_tables import has_final_table, write_corrected_table
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict, read_history
from digitrec.storage.judgements import Conflict, Judgement, record_judgements, undo_correction
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus

_MAX_BATCHES = 200
"""Upper limit of batches on the dashboard."""


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A page of a list of answers."""

    entries: tuple[Entry, ...]
    next: Key | int | None
    """Start of the next page; None at the end of the list."""
    count: ReviewProgress


@dataclass(frozen=True, slots=True)
class NumberPage:
    """A page of a list of numbers."""

    numbers: tuple[tuple[Entry, int], ...]
    """Answers, with the position of a number on each, from 1."""
    next: NumberKey | None
    """Start of the next page; None at the end of the list."""
    count: ReviewProgress


@dataclass(frozen=True, slots=True)
class SaveResult:
    """Result of saving judgements."""

    saved: tuple[Correction, ...] = ()
    """Entries of pages; those of numbers are left out."""
    conflicts: tuple[Conflict, ...] = ()
    """Rows that another reviewer judged meanwhile; no judgement of this request is saved for the same worker."""
    finished: Mapping[str, Path] = field(default_factory=dict)
    """Corrected tables, by batch, of the batches whose last open row this request resolved."""
    table_error: str = ""
    """Why a corrected table could not be written; the next run writes that table."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Progress of the review."""

    review: ReviewProgress
    """Answers with the status `review`."""
    batches: Mapping[str, ReviewProgress]
    """The newest batches with such answers."""
    digits: Mapping[str, ReviewProgress]
    """All answers with one digit, by that digit."""
    in_numbers: Mapping[str, int]
    """Numbers that nobody has judged, by their least certain digit; without pages of one digit."""
    no_digit: ReviewProgress
    """Answers with the reason `not_a_digit`."""
    audit: ReviewProgress
    """Answers of the audit sample."""


@dataclass(frozen=True, slots=True)
class ReviewService:
    """Operations of the review pages; thread-safe."""

    outbox: Path
    ledgers: Callable[[], Mapping[str, Path]]
    """Return the paths of the ledgers of all workers, by worker."""
    pictures: PageImages
    audit_sample: Sequence[RowId]
    """Empty without an audit."""
    now: Callable[[], str]
    """Clock; ISO 8601 UTC."""

    def list_answers(self, chosen: Filter, after: Key, most: int) -> ResultPage:
        """Return the next answers of a filter, lowest confidence first."""
        with self._open() as ledgers:
            keys = queries.list_keys(ledgers, chosen, after, most)
            entries = [self._entry(ledgers, batch_id, row) for _, batch_id, row in keys]
            counts = [queries.count_answers(ledger, chosen) for ledger in ledgers]
        return ResultPage(tuple(entries), keys[-1] if len(keys) == most else None, sum(counts, ReviewProgress()))

    def list_numbers(self, chosen: Filter, digit: int, after: NumberKey | None, most: int) -> NumberPage:
        """Return the next numbers whose least certain digit is `digit`, lowest probability first."""
        with self._open() as ledgers:
            keys = characters.list_keys(ledgers, chosen, digit)
            start = bisect_right(keys, after) if after else 0
            keys_of_page = keys[start : start + most]
            rows = {key[1:3] for key in keys_of_page}
            entries = {row_id: self._entry(ledgers, *row_id) for row_id in rows}
        numbers = tuple((entries[batch_id, row], number) for _, batch_id, row, number in keys_of_page)
        is_last = start + most >= len(keys)
        return NumberPage(numbers, None if is_last else keys_of_page[-1], ReviewProgress(open=len(keys)))

    def list_audit(self, after: int, most: int) -> ResultPage:
        """Return the next answers of the audit sample without a judgement, from index `after` on."""
        with self._open() as ledgers:
            progress = self._count_audited(ledgers)
            entries = []
            for index, (batch_id, row) in enumerate(self.audit_sample[after:], start=after + 1):
                entry = self._entry(ledgers, batch_id, row)
                if entry.newest is None or entry.newest.verdict is Verdict.WITHDRAWN:
                    entries.append(entry)
                if len(entries) == most:
                    return ResultPage(tuple(entries), index, progress)
        return ResultPage(tuple(entries), None, progress)

    def read_entry(self, batch_id: str, row: int) -> Entry | None:
        """Return an answer; None if there is none."""
        with self._open() as ledgers:
            return _find_entry(ledgers, batch_id, row)

    def render_page(self, batch_id: str, row: int, view: View, number: int = 0) -> PageImage | None:
        """Return the image of an answer or of one of its numbers; None if there is no such answer.

        Raises:
            ImageUnavailable: there is neither an original nor a preview.
        """
        with self._open() as ledgers:
            entry = _find_entry(ledgers, batch_id, row)
            previews = [queries.read_preview(ledger, batch_id, row) for ledger in ledgers]
        if entry is None or number > len(entry.row.reading.numbers):
            return None
        if not entry.row.sha256:
            raise ImageUnavailable("the file could not be read")
        return self.pictures.render(entry.row, entry.location, next(filter(None, previews), None), view, number)

    def build_dashboard(self) -> Dashboard:
        """Count the answers by state."""
        review = Filter(status=PageStatus.REVIEW)
        batches: dict[str, ReviewProgress] = {}
        digits = {str(digit): ReviewProgress() for digit in range(10)}
        no_digit = ReviewProgress()
        with self._open() as ledgers:
            for ledger in ledgers:
                batches |= queries.count_answers_by(ledger, "batch_id", review)
                for text, progress in queries.count_answers_by(ledger, "text", Filter()).items():
                    if text in digits:
                        digits[text] += progress
                for text, progress in queries.count_answers_by(ledger, "text", Filter(text=queries.NO_DIGIT)).items():
                    no_digit += progress
                    if text in digits:
                        digits[text] -= progress
            audit, in_numbers = self._count_audited(ledgers), characters.count_numbers(ledgers)
        newest = sorted(batches, reverse=True)[:_MAX_BATCHES]
        total = sum(batches.values(), ReviewProgress())
        by_batch = {batch_id: batches[batch_id] for batch_id in newest}
        return Dashboard(total, by_batch, digits, in_numbers, no_digit, audit)

    def judge(self, judgements: Sequence[Judgement], *, who: str, how: ReviewMethod) -> SaveResult:
        """Save judgements; raises UsageError if an answer does not exist or is not in the audit sample."""
        if how is ReviewMethod.AUDIT and not {(item.batch_id, item.row) for item in judgements} <= {*self.audit_sample}:
            raise UsageError("the audit has not drawn this")
        with self._open() as ledgers:
            return self._save(
                ledgers,
                judgements,
                lambda ledger, own: record_judgements(ledger, own, reviewer=who, method=how, reviewed_at=self.now()),
            )

    def undo(self, changes: Mapping[Judgement, int], *, who: str) -> SaveResult:
        """Undo judgements, the last one first; the values are the ids of the changes, 0 for the latest of a row."""

        def undo_all(ledger: Ledger, own: Sequence[Judgement]) -> list[Correction]:
            return [
                undo_correction(
                    ledger,
                    item.batch_id,
                    item.row,
                    seen_id=item.seen_id,
                    reviewer=who,
                    reviewed_at=self.now(),
                    change_id=changes[item],
                )
                for item in reversed(own)
            ]

        with self._open() as ledgers:
            return self._save(ledgers, [*changes], undo_all)

    def _save(
        self,
        ledgers: Sequence[Ledger],
        judgements: Sequence[Judgement],
        save: Callable[[Ledger, Sequence[Judgement]], list[Correction]],
    ) -> SaveResult:
        """Save the judgements of each ledger in one transaction, then write the corrected tables of its batches."""
        saved: list[Correction] = []
        conflicts: list[Conflict] = []
        finished: dict[str, Path] = {}
        table_error = ""
        for ledger, own in _group_by_ledger(ledgers, judgements):
            if own_conflicts := _find_conflicts(ledger, own):
                conflicts += own_conflicts
                continue
            batch_ids = {item.batch_id for item in own}
            complete_before = {batch_id for batch_id in batch_ids if has_final_table(self.outbox, ledger, batch_id)}
            try:
                saved += [correction for correction in save(ledger, own) if correction.number == 0]
            except Conflict as why:  # judged by another reviewer, perhaps since the check above
                conflicts += _find_conflicts(ledger, own) or [why.with_traceback(None)]
                continue
            for batch_id in batch_ids:
                try:
                    path = write_corrected_table(self.outbox, ledger, batch_id)
                except (OSError, EnvironmentFailure, sqlite3.OperationalError) as why:  # the judgement is saved
                    logs.warning("a corrected table could not be written now", batch=batch_id, why=why)
                    table_error = str(why)
                else:
                    is_new = batch_id not in complete_before and has_final_table(self.outbox, ledger, batch_id)
                    finished |= {batch_id: path} if path and is_new else {}
        return SaveResult(tuple(saved), tuple(conflicts), finished, table_error)

    def _count_audited(self, ledgers: Sequence[Ledger]) -> ReviewProgress:
        counts = Counter(_newest_verdict(ledgers, batch_id, row) for batch_id, row in self.audit_sample)
        resolved = sum(count for verdict, count in counts.items() if verdict.is_settled)
        return ReviewProgress(counts[Verdict.WITHDRAWN], counts[Verdict.UNSURE], resolved)

    def _entry(self, ledgers: Sequence[Ledger], batch_id: str, row: int) -> Entry:
        entry = _find_entry(ledgers, batch_id, row)
        if entry is None:
            raise EnvironmentFailure(f"row {row} of batch {batch_id} is in no ledger any more")
        return entry

    @contextmanager
    def _open(self) -> Iterator[list[Ledger]]:
        """Open the ledgers of all workers: one SQLite connection per request and ledger."""
        with ExitStack() as stack:
            ledgers = []
            for path in self.ledgers().values():
                try:
                    ledger = Ledger.open_shared(path)
                except EnvironmentFailure:
                    continue  # of another version: logged once, at the start
                stack.callback(ledger.close)
                ledgers.append(ledger)
            yield ledgers


def _find_entry(ledgers: Sequence[Ledger], batch_id: str, row: int) -> Entry | None:
    return next(filter(None, (queries.read_entry(ledger, batch_id, row) for ledger in ledgers)), None)


def _newest_verdict(ledgers: Sequence[Ledger], batch_id: str, row: int) -> Verdict:
    """Return the newest verdict about a row; `withdrawn` if there is none."""
    entries = [correction for ledger in ledgers for correction in read_history(ledger, batch_id, row)]
    return entries[-1].verdict if entries else Verdict.WITHDRAWN


def _group_by_ledger(
    ledgers: Sequence[Ledger], judgements: Sequence[Judgement]
) -> Iterator[tuple[Ledger, Sequence[Judgement]]]:
    """Yield each ledger with its judgements; raises UsageError at the start if a batch is in no ledger."""
    owners = {
        item.batch_id: next((ledger for ledger in ledgers if ledger.batch(item.batch_id)), None) for item in judgements
    }
    if None in owners.values():
        raise UsageError("there is no such batch")
    for ledger in ledgers:
        own = [item for item in judgements if owners[item.batch_id] is ledger]
        if own:
            yield ledger, own


def _find_conflicts(ledger: Ledger, judgements: Sequence[Judgement]) -> list[Conflict]:
    """Return the rows that were judged after the reviewer loaded them."""
    conflicts = []
    for batch_id, row, seen_id in dict.fromkeys((item.batch_id, item.row, item.seen_id) for item in judgements):
        entries = read_history(ledger, batch_id, row)
        if (entries[-1].id if entries else 0) != seen_id:
            conflicts.append(Conflict(batch_id, row, entries[-1] if entries else None))
    return conflicts
