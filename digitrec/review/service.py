"""The work itself: what waits, what it looks like, what people say of it. Each question opens the ledgers anew."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import logs
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.review import queries
from digitrec.review.page_images import ImageUnavailable, PageImage, PageImages, View
from digitrec.review.queries import Entry, Filter, Key, ReviewProgress, RowId
from digitrec.storage import corrections
from digitrec.storage.corrected_tables import has_final_table, write_corrected_table
from digitrec.storage.corrections import Conflict, Correction, Judgement, ReviewMethod, Verdict, read_history
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus

_NEWEST_BATCHES = 200


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A piece of a list of answers."""

    entries: tuple[Entry, ...]
    next: Key | int | None
    """Where the next piece begins; None if there is none."""
    count: ReviewProgress


@dataclass(frozen=True, slots=True)
class ConflictInfo:
    """A row that somebody else has judged since it was looked at, and what they said."""

    batch_id: str
    row: int
    newest: Correction | None


@dataclass(frozen=True, slots=True)
class SaveResult:
    """What became of what a person said."""

    done: tuple[Correction, ...] = ()
    conflicts: tuple[ConflictInfo, ...] = ()
    """Where somebody else was faster: of these nothing was kept, nor of what came with them for the same worker."""
    finished: Mapping[str, Path] = field(default_factory=dict)
    """The corrected tables of the batches whose last open row this settled, by batch."""
    late: str = ""
    """Why such a table could not be written; it is made by the next run."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Where there is something to do."""

    review: ReviewProgress
    """Of what the service put up for review."""
    batches: Mapping[str, ReviewProgress]
    """The newest that have something to review, and how far they are."""
    digits: Mapping[str, ReviewProgress]
    """By the digit that was read, all answers of one digit."""
    no_digit: ReviewProgress
    """Of those that do not look like a digit."""
    list_audit: ReviewProgress


@dataclass(frozen=True, slots=True)
class ReviewService:
    """What the pages ask; for several threads at once."""

    outbox: Path
    ledgers: Callable[[], Mapping[str, Path]]
    """Of all workers, by name."""
    pictures: PageImages
    audit_sample: Sequence[RowId]
    """The audit's; empty if there is none."""
    now: Callable[[], str]

    def list_answers(self, chosen: Filter, after: Key, most: int) -> ResultPage:
        """The next answers of a filter, the least sure first."""
        with self._open() as ledgers:
            found = queries.list_keys(ledgers, chosen, after, most)
            entries = [self._entry(ledgers, batch_id, row) for _, batch_id, row in found]
            counts = [queries.count_answers(ledger, chosen) for ledger in ledgers]
        return ResultPage(tuple(entries), found[-1] if len(found) == most else None, sum(counts, ReviewProgress()))

    def list_audit(self, after: int, most: int) -> ResultPage:
        """The next answers of the sample that nobody has judged, from place `after` on."""
        with self._open() as ledgers:
            count = self._audited(ledgers)
            entries = []
            for at, (batch_id, row) in enumerate(self.audit_sample[after:], start=after + 1):
                one = self._entry(ledgers, batch_id, row)
                if one.newest is None or one.newest.verdict is Verdict.WITHDRAWN:
                    entries.append(one)
                if len(entries) == most:
                    return ResultPage(tuple(entries), at, count)
        return ResultPage(tuple(entries), None, count)

    def read_entry(self, batch_id: str, row: int) -> Entry | None:
        """One answer; None if there is none."""
        with self._open() as ledgers:
            return _found(ledgers, batch_id, row)

    def render_page(self, batch_id: str, row: int, view: View) -> PageImage | None:
        """What is shown of an answer; None if there is no such answer. NoPicture if it cannot be shown."""
        with self._open() as ledgers:
            one = _found(ledgers, batch_id, row)
            kept = [queries.read_preview(ledger, batch_id, row) for ledger in ledgers]
        if one is None:
            return None
        if not one.row.sha256:
            raise ImageUnavailable("the file could not be read")
        return self.pictures.render(one.row, one.location, next(filter(None, kept), None), view)

    def build_dashboard(self) -> Dashboard:
        """What waits, and how far it is."""
        review = Filter(status=PageStatus.REVIEW)
        batches: dict[str, ReviewProgress] = {}
        digits = {str(digit): ReviewProgress() for digit in range(10)}
        no_digit = ReviewProgress()
        with self._open() as ledgers:
            for ledger in ledgers:
                batches |= queries.count_answers_by(ledger, "batch_id", review)
                for text, each in queries.count_answers_by(ledger, "text", Filter()).items():
                    if text in digits:
                        digits[text] += each
                for text, each in queries.count_answers_by(ledger, "text", Filter(text=queries.NO_DIGIT)).items():
                    no_digit += each
                    if text in digits:
                        digits[text] -= each
            audit = self._audited(ledgers)
        newest = sorted(batches, reverse=True)[:_NEWEST_BATCHES]
        total = sum(batches.values(), ReviewProgress())
        return Dashboard(total, {each: batches[each] for each in newest}, digits, no_digit, audit)

    def judge(self, judgements: Sequence[Judgement], *, who: str, how: ReviewMethod) -> SaveResult:
        """Keep what a person says of some answers.

        Raises:
            UsageError: there is no such answer, or the audit has not drawn it.
        """
        if how is ReviewMethod.AUDIT and not {(one.batch_id, one.row) for one in judgements} <= {*self.audit_sample}:
            raise UsageError("the audit has not drawn this")
        with self._open() as ledgers:
            return self._saved(
                ledgers,
                judgements,
                lambda ledger, own: corrections.record_judgements(
                    ledger, own, reviewer=who, method=how, reviewed_at=self.now()
                ),
            )

    def undo(self, entries: Sequence[tuple[str, int, int]], *, who: str) -> SaveResult:
        """Take entries back, the last one first: each is batch, row, and the id of the entry."""
        given = [Judgement(batch_id, row, None, seen) for batch_id, row, seen in entries]

        def undone(ledger: Ledger, own: Sequence[Judgement]) -> list[Correction]:
            return [
                corrections.undo_correction(
                    ledger, one.batch_id, one.row, seen_id=one.seen_id, reviewer=who, reviewed_at=self.now()
                )
                for one in reversed(own)
            ]

        with self._open() as ledgers:
            return self._saved(ledgers, given, undone)

    def _saved(
        self,
        ledgers: Sequence[Ledger],
        judgements: Sequence[Judgement],
        save: Callable[[Ledger, Sequence[Judgement]], list[Correction]],
    ) -> SaveResult:
        done: list[Correction] = []
        conflicts: list[ConflictInfo] = []
        finished: dict[str, Path] = {}
        late = ""
        for ledger, own in _by_ledger(ledgers, judgements):
            conflicts += (clash := _conflicts(ledger, own))
            if clash:
                continue
            batch_ids = {one.batch_id for one in own}
            before = {one for one in batch_ids if has_final_table(self.outbox, ledger, one)}
            try:
                done += save(ledger, own)
            except Conflict:  # since the look just now
                conflicts += _conflicts(ledger, own)
                continue
            for batch_id in batch_ids:
                try:
                    path = write_corrected_table(self.outbox, ledger, batch_id)
                except (OSError, EnvironmentFailure, sqlite3.OperationalError) as why:  # what was said is kept
                    logs.warning("a corrected table could not be written now", batch=batch_id, why=why)
                    late = str(why)
                else:
                    is_new = batch_id not in before and has_final_table(self.outbox, ledger, batch_id)
                    finished |= {batch_id: path} if path and is_new else {}
        return SaveResult(tuple(done), tuple(conflicts), finished, late)

    def _audited(self, ledgers: Sequence[Ledger]) -> ReviewProgress:
        counts = Counter(_holds(ledgers, batch_id, row) for batch_id, row in self.audit_sample)
        return ReviewProgress(
            counts[Verdict.WITHDRAWN], counts[Verdict.UNSURE], counts[Verdict.CONFIRMED] + counts[Verdict.CORRECTED]
        )

    def _entry(self, ledgers: Sequence[Ledger], batch_id: str, row: int) -> Entry:
        found = _found(ledgers, batch_id, row)
        if found is None:
            raise EnvironmentFailure(f"row {row} of batch {batch_id} is in no ledger any more")
        return found

    @contextmanager
    def _open(self) -> Iterator[list[Ledger]]:
        """The ledgers of all workers: a connection of its own for each request, as SQLite likes it."""
        with ExitStack() as stack:
            found = []
            for path in self.ledgers().values():
                try:
                    ledger = Ledger.open_shared(path)
                except EnvironmentFailure:
                    continue  # of another version: told once, at the start
                stack.callback(ledger.close)
                found.append(ledger)
            yield found


def _found(ledgers: Sequence[Ledger], batch_id: str, row: int) -> Entry | None:
    return next(filter(None, (queries.read_entry(ledger, batch_id, row) for ledger in ledgers)), None)


def _holds(ledgers: Sequence[Ledger], batch_id: str, row: int) -> Verdict:
    """What was said of a row last; withdrawn if nothing was."""
    said = [one for ledger in ledgers for one in read_history(ledger, batch_id, row)]
    return said[-1].verdict if said else Verdict.WITHDRAWN


def _by_ledger(
    ledgers: Sequence[Ledger], judgements: Sequence[Judgement]
) -> Iterator[tuple[Ledger, Sequence[Judgement]]]:
    """What concerns each ledger; UsageError, before anything is kept, if something concerns none."""
    known = {one.batch_id: next((each for each in ledgers if each.batch(one.batch_id)), None) for one in judgements}
    if None in known.values():
        raise UsageError("there is no such batch")
    for ledger in ledgers:
        own = [one for one in judgements if known[one.batch_id] is ledger]
        if own:
            yield ledger, own


def _conflicts(ledger: Ledger, judgements: Sequence[Judgement]) -> list[ConflictInfo]:
    """All rows that somebody judged since they were looked at."""
    found = []
    for one in judgements:
        said = read_history(ledger, one.batch_id, one.row)
        if (said[-1].id if said else 0) != one.seen_id:
            found.append(ConflictInfo(one.batch_id, one.row, said[-1] if said else None))
    return found
