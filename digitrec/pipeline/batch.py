"""claim -> read -> record -> publish -> file away -> report; and `recover()`, which finishes what was interrupted.

Every step is durable before the next begins and may be done twice, so that a crash anywhere costs time, never a file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from digitrec import logs, text
from digitrec.errors import FAILURES, ReadFailed
from digitrec.pipeline import read_files
from digitrec.pipeline.batch_reader import (
    MAX_FAILURES,
    BatchReader,
    BatchResults,
    ChunkOutcome,
    GuardedReader,
    LimitedWorker,
    SuspectFiles,
)
from digitrec.pipeline.claiming import Claimer, ClaimQueue
from digitrec.pipeline.executor import Executor
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.outcomes import OutcomeBuilder
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, Claim, Count, FileOutcome, FileSnapshot, Rendering, Row, Stage

_MOST_AHEAD = 1024
"""A larger batch is not claimed before its turn: after a stop all of it has to be deferred, too."""


class Outbox(Protocol):
    """Where answers go, and what becomes of the files; each step may be done again after a crash."""

    def publish(self, batch_id: str, rows: Sequence[Row], how: Rendering) -> None:
        """Put both tables of a batch there, whole and replacing none with other bytes; the digits first.

        Raises:
            FileExistsError: a table of this name with other content is there.
        """

    def archive(self, claims: Sequence[Claim], rows: Sequence[Row]) -> list[Claim]:
        """Put every file where it belongs; gives the claims with its place. `rows` are those of rejected files."""

    def clean_up(
        self, batch_id: str, placed: Sequence[Claim], truth: LabelLookup, outcome_builder: OutcomeBuilder
    ) -> None:
        """See to what came along with a batch."""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose files are claimed, and being read."""

    batch: Batch
    claims: Sequence[Claim]
    reading: Iterator[ChunkOutcome] | None
    """What becomes of its chunks, children may be at it already; None: each file is read by itself."""


@dataclass(frozen=True, slots=True)
class BatchPipeline:
    """The collaborators of one run, chosen in app.py."""

    inbox: ClaimQueue
    ledger: Ledger
    outbox: Outbox
    engine: Executor
    child: LimitedWorker
    """Reads what may stop a reader."""
    read_chunk: Callable[[Sequence[ReadJob]], list[FileResult]]
    """Reads files."""
    outcome_builder: OutcomeBuilder
    load_labels: Callable[[], LabelLookup]
    rendering: Callable[[], Rendering]
    """How a batch that is recorded now will be rendered."""
    restore: Callable[[str], bool]
    """Puts a batch into the ledger whose CSV is in the outbox; False if there is none."""
    check_folders: Callable[[], None]
    """Raises if inbox or outbox is not the folder it was; asked before anything is put there."""
    published: Callable[[str], None]
    """Told of every batch whose table is in the outbox, before its files are archived; for latest.csv."""
    report: Callable[[str], None]
    """Makes the report of a batch."""
    stopped: Callable[[], bool]
    now_s: Callable[[], float]
    """Seconds since 1970."""
    scanned_at_s: Callable[[], float]
    """When the inbox was looked at last, by the clock that the times of its files are of, seconds since 1970."""
    timed: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Measures a stage by its name, for monitoring."""
    noticed: Callable[[str], None] = logs.event
    """Told of an unexpected exception that stops nothing, for `status`."""
    started_here: set[str] = field(default_factory=set)
    """Batches whose reading this process began: it lives, so they killed nobody."""
    alone: list[FileSnapshot] = field(default_factory=list)
    """Files that are claimed next, each by itself."""
    reader: BatchReader = field(init=False)
    suspects: SuspectFiles = field(init=False)
    claimer: Claimer = field(init=False)

    def __post_init__(self) -> None:
        guarded = GuardedReader(self.read_chunk)
        object.__setattr__(self, "reader", BatchReader(self.engine, self.child, guarded, self._job, self.stopped))
        object.__setattr__(self, "suspects", SuspectFiles(self.ledger))
        object.__setattr__(
            self,
            "claimer",
            Claimer(self.inbox, self.ledger, self.outcome_builder, self.now_s, self.scanned_at_s, self.noticed),
        )

    def recover(self) -> Count:
        """Finish whatever was interrupted: open batches of the ledger, and claims it does not know.

        Raises:
            ReadFailed: reading one raised; the others are finished first.
        """
        total, failure = Count(), None
        for batch in self._interrupted():
            try:
                total += self._finish(batch)
            except ReadFailed as why:
                failure = why
        if failure is not None:
            raise failure
        return total

    def _interrupted(self) -> Iterator[Batch]:
        for batch in self.ledger.batches(unfinished=True):
            logs.event("batch taken up again", batch=batch.id, stage=batch.stage)
            yield batch
        unfinished = {batch.id for batch in self.ledger.batches(unfinished=True)}
        for name in self.inbox.batches():
            if text.BATCH_ID.fullmatch(name) is None:
                logs.warn("this folder among the claims is no batch; left alone", folder=name)
            elif name not in unfinished:  # its reading raised just now
                yield self.claimer.find_batch(name, self.restore)

    def process(self, seen: Sequence[FileSnapshot]) -> Count:
        """Claim these files as one batch and bring it to its end; then claim one suspect alone, if there is any."""
        count = sum(self._in_turn(self._without_suspects([seen])), Count())
        if self.alone and not self.stopped():
            count += sum(self._in_turn([[self.alone.pop(0)]]), Count())
        return count

    def process_all(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[Count]:
        """Claim each group as one batch and bring it to its end, then each suspect; gives what became of each."""
        yield from self._in_turn(self._without_suspects(groups))
        while self.alone and not self.stopped():
            yield from self._in_turn([[self.alone.pop(0)]])
        if self.alone:
            yield Count(deferred=len(self.alone))

    def _without_suspects(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[Sequence[FileSnapshot]]:
        """Each group without the files that wait for their turn alone, or for a later try."""
        for group in groups:
            wanted = [one for one in group if self.claimer.is_due(one)]
            if self.suspects.has_any():
                suspects = {one.path: one for one in wanted if one in self.suspects}
                self.alone[:] = [*(one for one in self.alone if one.path not in suspects), *suspects.values()]
                wanted = [one for one in wanted if one.path not in suspects]
            if wanted:
                yield wanted

    def _in_turn(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[Count]:
        """Claim each group as one batch and bring it to its end; gives what became of each.

        The next one is claimed before: children go on with it while what they read is put on record, published and
        filed away here. One whose reading raises does not keep the others from being read.
        """
        opened: OpenBatch | None = None
        read_failed: ReadFailed | None = None

        def answered(batch: OpenBatch) -> Iterator[Count]:
            nonlocal read_failed
            try:
                yield self._complete(batch)
            except ReadFailed as why:
                read_failed = why

        for group in groups:
            if opened is not None and len(group) > _MOST_AHEAD:
                yield from answered(opened)
                opened = None
            following, failure = None, None
            try:
                following = self._start_batch(group)
            except Exception as why:  # noqa: BLE001 - raised below: it keeps no answer from what was claimed before
                failure = why
            if opened is not None:
                yield from answered(opened)
            if failure is not None:
                raise failure
            opened = following
        if opened is not None:
            yield from answered(opened)
        if read_failed is not None:
            raise read_failed

    def _start_batch(self, seen: Sequence[FileSnapshot]) -> OpenBatch | None:
        """Claim these files as one batch, and begin to read them; None if none of them is there any more."""
        batch = self.claimer.plan_batch(seen)
        if batch is None:
            return None
        self.started_here.add(batch.id)
        with self.timed("claim"):
            claims = self.claimer.claim(batch)
        return self._start_reading(batch, claims) if claims else None

    def _start_reading(self, batch: Batch, claims: Sequence[Claim]) -> OpenBatch:
        """Begin to read the files of a batch.

        A batch that was being read when a process died is read file by file in the limited child; so is a suspect.
        """
        is_safe = batch.id in self.started_here and not (
            self.suspects.has_any() and any(one in self.suspects for one in claims)
        )
        return OpenBatch(batch, claims, self.reader.begin(claims) if is_safe else None)

    def _finish(self, batch: Batch) -> Count:
        """Bring a batch from whatever stage it is at to its end."""
        if batch.stage in {Stage.PLANNED, Stage.READING}:
            claims = (
                self.claimer.reconcile_claims(batch) if batch.stage is Stage.PLANNED else self.ledger.claims(batch.id)
            )
            if batch.stage is Stage.PLANNED and not claims:
                return Count()
            return self._complete(self._start_reading(batch, claims))
        return self._publish(batch)

    def _complete(self, opened: OpenBatch) -> Count:
        """Read what is not read yet, put it on record, and bring the batch to its end; suspects are claimed again.

        After a stop, the files that were not read are deferred.

        Raises:
            ReadFailed: reading raised, and it is tried again, or no file can be read.
        """
        batch_id, claims = opened.batch.id, {claim.path: claim for claim in opened.claims}
        with self.timed("read"):
            if opened.reading is not None:
                found = self.reader.finish(opened.claims, opened.reading)
            else:
                found = BatchResults()
                self.reader.read_one_by_one(opened.claims, found)
            if found.raised:
                self._handle_errors(opened, found)
        contents, killed = dict(found.contents), {}
        with self.timed("record"):
            for path, why in found.killed.items():
                failures = self.suspects.count_failures(claims[path]) + 1
                if failures >= MAX_FAILURES:
                    contents[path] = read_files.reject_crashing(self._job(claims[path]))
                else:
                    killed[path] = failures
                    stopped = f"reading it stopped the reader, it is read alone next: {why}"
                    contents[path] = FileResult(defer_reason=stopped)
            for path, raised in found.raised.items():
                contents[path] = FileResult(defer_reason=f"reading it raised {raised.error}", has_backoff=True)
            answers = self.outcome_builder.decide_outcomes(opened.claims, contents, self.load_labels())
            facts = self.suspects.updated_facts(batch_id, answers.claims, killed, found.raised)
            self.ledger.record(batch_id, answers.rows, answers.claims, self.rendering(), answers.deferred, facts)
        count = self._publish(opened.batch, answers.rows)
        if killed:
            again = [claim for claim in self.ledger.claims(batch_id) if claim.path in killed]
            self.alone.extend(map(self._deferred_snapshot, again))
            count += Count(deferred=-len(again))  # they are not left: `process_all` claims them again
        return count

    def _publish(self, batch: Batch, rows: Sequence[Row] | None = None) -> Count:
        """Publish, archive and report a batch that is on record; `rows` are those of one that was read just now."""
        self.check_folders()
        if batch.stage in {Stage.PLANNED, Stage.READING, Stage.RECORDED}:
            with self.timed("publish"):
                rows = self.ledger.rows(batch.id) if rows is None else rows
                recorded = self.ledger.batch(batch.id)
                if rows and recorded is not None and recorded.rendering is not None:
                    self.outbox.publish(batch.id, rows, recorded.rendering)
                    logs.event("batch published", batch=batch.id, rows=len(rows))
                self.ledger.set_stage(batch.id, Stage.PUBLISHED)
        count = self.ledger.count(batch.id)
        if batch.stage is not Stage.CLOSED and count.claimed > count.deferred:
            self.published(batch.id)
        self.check_folders()
        with self.timed("file_away"):
            self._archive(batch.id)
        self.inbox.close(batch.id)
        if batch.stage is Stage.CLOSED:
            return Count()
        with self.timed("report"):
            try:
                self.report(batch.id)
            except FAILURES:
                raise
            except Exception as why:  # noqa: BLE001 - the answers are out, and `digitrec report` makes it again
                error = logs.unexpected_error("the report of a batch cannot be made", why, batch=batch.id)
                self.noticed(error)
        self.check_folders()
        self.ledger.set_stage(batch.id, Stage.CLOSED)
        logs.event("batch closed", batch=batch.id, **_counted(count))
        return count

    def _handle_errors(self, opened: OpenBatch, found: BatchResults) -> None:
        """Tell the files whose own fault it is that reading raised; a file that was told before may raise again."""
        batch_id = opened.batch.id
        path, first = next(iter(found.raised.items()))
        logs.unexpected("reading raised an exception", first.traceback, batch=batch_id, file=path, why=first.error)
        failure = ReadFailed(f"batch {batch_id} cannot be read ({path}): unexpected error: {first.error}")
        raising = [claim for claim in opened.claims if claim.path in found.raised]
        if self.stopped():
            found.raised.clear()
        elif not all(claim in self.suspects for claim in raising):
            if self.suspects.count_try(batch_id) < MAX_FAILURES:
                raise failure
            if opened.reading is not None:
                found.raised.clear()
                self.reader.read_one_by_one(raising, found)
            is_read = any(not content.defer_reason for content in found.contents.values())
            if found.raised and not is_read and not self.suspects.is_other_batch_read_since(batch_id):
                raise failure  # that is no fault of these files
        for path, raised in found.raised.items():
            logs.unexpected(
                "reading raised an exception", raised.traceback, batch=batch_id, file=path, why=raised.error
            )
            logs.warn("a file cannot be read, it is claimed alone from now on", file=path, why=raised.error)
            self.noticed(f"reading {path} raised: {raised.error}")

    def _deferred_snapshot(self, claim: Claim) -> FileSnapshot:
        """Return a file that was just deferred, where it lies now."""
        is_folder = isinstance(self.inbox.location(claim.batch_id, claim.path), Path)
        path = claim.location.partition("/")[2] if is_folder else claim.path
        return FileSnapshot(path, claim.size, claim.mtime_ns, claim.mtime_ns, claim.inode)

    def _job(self, claim: Claim) -> ReadJob:
        return ReadJob(self.inbox.location(claim.batch_id, claim.path), claim.inode, claim.size, claim.mtime_ns)

    def _archive(self, batch_id: str) -> None:
        claims = self.ledger.claims(batch_id)
        rejected = [claim.path for claim in claims if claim.outcome is FileOutcome.REJECTED]
        rows = [row for path in rejected for row in self.ledger.rows_of(batch_id, path)]
        placed = self.outbox.archive(claims, rows)
        self.ledger.note_places(placed)
        self.outbox.clean_up(batch_id, placed, self.load_labels(), self.outcome_builder)


def _counted(count: Count) -> dict[str, int]:
    return {name: getattr(count, name) for name in ("accepted", "review", "rejected", "deferred")}
