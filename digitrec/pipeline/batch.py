"""One batch from claim to close: claim, read, decide, record, publish, archive, report, close.

`BatchPipeline.recover` finishes interrupted batches. `reports.batch` holds the numbers of its report.

Every step is durable before the next begins and is idempotent: a crash anywhere costs time, never a file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from digitrec import logs, text
from digitrec.errors import ENVIRONMENT_ERRORS, ReadFailed
from digitrec.pipeline import read_files
from digitrec.pipeline.archive import Outbox
from digitrec.pipeline.batch_reader import (
    MAX_FAILURES,
    BatchReader,
    BatchResults,
    ChunkOutcome,
    GuardedReader,
    LimitedWorker,
    SuspectFiles,
    make_chunks,
)
from digitrec.pipeline.claiming import Claimer, ClaimQueue
from digitrec.pipeline.executor import Executor
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.outcomes import OutcomeBuilder
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, Claim, FileOutcome, FileSnapshot, OutcomeCounts, OutputFormat, TableRow

_MAX_PREFETCH_FILES = 1024
"""Upper limit of files in a batch that is claimed before its turn: after a stop all of them have to be deferred."""


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose files are claimed."""

    batch: Batch
    claims: Sequence[Claim]
    chunks: Iterator[ChunkOutcome] | None
    """Its chunks, which the executor may already read; None: each file is read alone in the limited worker."""


@dataclass(frozen=True, slots=True)
class BatchPipeline:
    """The steps of a batch and their collaborators, which `app.composition` chooses."""

    inbox: ClaimQueue
    ledger: Ledger
    outbox: Outbox
    executor: Executor
    limited_worker: LimitedWorker
    """Worker process with CPU and memory limits, for files that may stop their reader."""
    read_chunk: Callable[[Sequence[ReadJob]], list[FileResult]]
    outcome_builder: OutcomeBuilder
    load_labels: Callable[[], LabelLookup]
    make_output_format: Callable[[], OutputFormat]
    """Return the table format of a batch that is recorded now."""
    restore_batch: Callable[[str], bool]
    """Put a batch whose CSV is in the outbox into the ledger; return False if there is no such CSV."""
    check_folders: Callable[[], None]
    """Raise if inbox or outbox was replaced; called before anything is written there."""
    on_published: Callable[[str], None]
    """Called with the id of every batch whose table is published, before its files are archived; for latest.csv."""
    write_report: Callable[[str], None]
    """Write the report of a batch."""
    is_stopped: Callable[[], bool]
    now_s: Callable[[], float]
    """Seconds since 1970."""
    scanned_at_s: Callable[[], float]
    """Time of the last inbox scan by the clock of its filesystem, seconds since 1970."""
    time_stage: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Measure a stage by its name, for monitoring."""
    note_unexpected: Callable[[str], None] = logs.info
    """Called with an unexpected exception that stops nothing, for `status`."""
    started_here: set[str] = field(default_factory=set)
    """Batches that this process started to read: it is alive, so their files crashed no reader."""
    claim_alone: list[FileSnapshot] = field(default_factory=list)
    """Files that are claimed next, each in a batch with no other file."""
    reader: BatchReader = field(init=False)
    suspects: SuspectFiles = field(init=False)
    claimer: Claimer = field(init=False)

    def __post_init__(self) -> None:
        reader = BatchReader(
            self.executor, self.limited_worker, GuardedReader(self.read_chunk), self._make_job, self.is_stopped
        )
        claimer = Claimer(
            self.inbox, self.ledger, self.outcome_builder, self.now_s, self.scanned_at_s, self.note_unexpected
        )
        object.__setattr__(self, "reader", reader)
        object.__setattr__(self, "suspects", SuspectFiles(self.ledger))
        object.__setattr__(self, "claimer", claimer)

    def recover(self) -> OutcomeCounts:
        """Finish interrupted work: open batches of the ledger, and claims that the ledger does not list.

        Raises:
            ReadFailed: reading a batch raised; the other batches are finished first.
        """
        total, failure = OutcomeCounts(), None
        for batch in self._interrupted_batches():
            try:
                total += self._resume(batch)
            except ReadFailed as error:
                failure = error
        if failure is not None:
            raise failure
        return total

    def _interrupted_batches(self) -> Iterator[Batch]:
        for batch in self.ledger.batches(unfinished=True):
            logs.info("interrupted batch resumed", batch=batch.id, stage=batch.stage)
            yield batch
        unfinished = {batch.id for batch in self.ledger.batches(unfinished=True)}
        for name in self.inbox.batches():
            if text.BATCH_ID.fullmatch(name) is None:
                logs.warning("unknown folder among the claims ignored", folder=name)
            elif name not in unfinished:  # those failed to be read above
                yield self.claimer.find_batch(name, self.restore_batch)

    def process(self, files: Sequence[FileSnapshot]) -> OutcomeCounts:
        """Process these files as one batch; then one suspect file alone, if there is any."""
        count = sum(self._process_batches(self._without_suspects([files])), OutcomeCounts())
        if self.claim_alone and not self.is_stopped():
            count += sum(self._process_batches([[self.claim_alone.pop(0)]]), OutcomeCounts())
        return count

    def process_all(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[OutcomeCounts]:
        """Process each group as one batch, then each suspect file alone; yield the counts of each batch."""
        yield from self._process_batches(self._without_suspects(groups))
        while self.claim_alone and not self.is_stopped():
            yield from self._process_batches([[self.claim_alone.pop(0)]])
        if self.claim_alone:
            yield OutcomeCounts(deferred=len(self.claim_alone))

    def _without_suspects(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[Sequence[FileSnapshot]]:
        """Yield the groups without files that wait for a retry; suspect files go to `claim_alone` instead."""
        for group in groups:
            files = [file for file in group if self.claimer.is_due(file)]
            if self.suspects.has_any():
                suspects = {file.path: file for file in files if file in self.suspects}
                waiting = [file for file in self.claim_alone if file.path not in suspects]
                self.claim_alone[:] = [*waiting, *suspects.values()]
                files = [file for file in files if file.path not in suspects]
            if files:
                yield files

    def _process_batches(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[OutcomeCounts]:
        """Process each group as one batch; yield the counts of each.

        The next batch is claimed early: workers read it while the previous one is recorded, published and archived
        here. A batch whose reading raises does not keep the others from being processed.
        """
        current: OpenBatch | None = None
        read_failure: ReadFailed | None = None

        def complete(batch: OpenBatch) -> Iterator[OutcomeCounts]:
            nonlocal read_failure
            try:
                yield self._complete(batch)
            except ReadFailed as error:
                read_failure = error

        for group in groups:
            if current is not None and len(group) > _MAX_PREFETCH_FILES:
                yield from complete(current)
                current = None
            following, failure = None, None
            try:
                following = self._start_batch(group)
            except Exception as error:  # noqa: BLE001 - raised below, after the batch before is complete
                failure = error
            if current is not None:
                yield from complete(current)
            if failure is not None:
                raise failure
            current = following
        if current is not None:
            yield from complete(current)
        if read_failure is not None:
            raise read_failure

    def _start_batch(self, files: Sequence[FileSnapshot]) -> OpenBatch | None:
        """Claim these files as one batch and start to read them; return None if none of them exists any more."""
        batch = self.claimer.plan_batch(files)
        if batch is None:
            return None
        self.started_here.add(batch.id)
        with self.time_stage("claim"):
            claims = self.claimer.claim(batch)
        return self._start_reading(batch, claims) if claims else None

    def _start_reading(self, batch: Batch, claims: Sequence[Claim]) -> OpenBatch:
        """Start to read the files of a batch.

        A suspect file, or a batch that was being read when a process died, is read file by file in the limited worker.
        """
        is_safe = batch.id in self.started_here and not (
            self.suspects.has_any() and any(claim in self.suspects for claim in claims)
        )
        return OpenBatch(batch, claims, self.reader.start(list(make_chunks(claims))) if is_safe else None)

    def _resume(self, batch: Batch) -> OutcomeCounts:
        """Bring a batch from its current stage to its end."""
        if batch.stage in {BatchStage.PLANNED, BatchStage.READING}:
            is_planned = batch.stage is BatchStage.PLANNED
            claims = self.claimer.reconcile_claims(batch) if is_planned else self.ledger.claims(batch.id)
            if is_planned and not claims:
                return OutcomeCounts()
            return self._complete(self._start_reading(batch, claims))
        return self._publish(batch)

    def _complete(self, opened: OpenBatch) -> OutcomeCounts:
        """Read the remaining files, record the batch, and bring it to its end; suspect files go to `claim_alone`.

        After a stop, files that were not read are deferred.

        Raises:
            ReadFailed: reading raised, and is retried later or fails for every file.
        """
        batch_id, claims = opened.batch.id, {claim.path: claim for claim in opened.claims}
        with self.time_stage("read"):
            if opened.chunks is not None:
                results = self.reader.finish(opened.claims, opened.chunks)
            else:
                results = BatchResults()
                self.reader.read_individually(opened.claims, results)
            if results.errors:
                self._handle_errors(opened, results)
        files, crashes = dict(results.files), {}
        with self.time_stage("record"):
            for path, why in results.crashes.items():
                failures = self.suspects.count_failures(claims[path]) + 1
                if failures >= MAX_FAILURES:
                    files[path] = read_files.reject_crashing(self._make_job(claims[path]))
                else:
                    crashes[path] = failures
                    files[path] = FileResult(
                        defer_reason=f"reading it stopped the reader, it is read alone next: {why}"
                    )
            for path, error in results.errors.items():
                files[path] = FileResult(defer_reason=f"reading it raised {error.error}", has_backoff=True)
            outcomes = self.outcome_builder.decide_outcomes(opened.claims, files, self.load_labels())
            facts = self.suspects.updated_facts(batch_id, outcomes.claims, crashes, results.errors)
            self.ledger.record(
                batch_id, outcomes.rows, outcomes.claims, self.make_output_format(), outcomes.deferred, facts
            )
        count = self._publish(opened.batch, outcomes.rows)
        if crashes:
            crashed = [claim for claim in self.ledger.claims(batch_id) if claim.path in crashes]
            self.claim_alone.extend(map(self._deferred_snapshot, crashed))
            count += OutcomeCounts(
                deferred=-len(crashed)
            )  # `process_all` claims them again, so they are not counted twice
        return count

    def _publish(self, batch: Batch, rows: Sequence[TableRow] | None = None) -> OutcomeCounts:
        """Publish, archive and report a recorded batch; `rows` are given if it was read just now."""
        self.check_folders()
        if batch.stage in {BatchStage.PLANNED, BatchStage.READING, BatchStage.RECORDED}:
            with self.time_stage("publish"):
                rows = self.ledger.rows(batch.id) if rows is None else rows
                recorded = self.ledger.batch(batch.id)
                if rows and recorded is not None and recorded.output_format is not None:
                    self.outbox.publish(batch.id, rows, recorded.output_format)
                    logs.info("batch published", batch=batch.id, rows=len(rows))
                self.ledger.set_stage(batch.id, BatchStage.PUBLISHED)
        count = self.ledger.count(batch.id)
        if batch.stage is not BatchStage.CLOSED and count.claimed > count.deferred:
            self.on_published(batch.id)
        self.check_folders()
        with self.time_stage("file_away"):
            claims = self.ledger.claims(batch.id)
            rejected = [claim.path for claim in claims if claim.outcome is FileOutcome.REJECTED]
            reasons = [row for path in rejected for row in self.ledger.get_file_rows(batch.id, path)]
            archived = self.outbox.archive(claims, reasons)
            self.ledger.set_locations(archived)
            self.outbox.clean_up(batch.id, archived, self.load_labels(), self.outcome_builder)
        self.inbox.close(batch.id)
        if batch.stage is BatchStage.CLOSED:
            return OutcomeCounts()
        with self.time_stage("report"):
            try:
                self.write_report(batch.id)
            except ENVIRONMENT_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - the tables are published; `digitrec report` writes it again
                self.note_unexpected(logs.log_exception("the report of a batch cannot be made", error, batch=batch.id))
        self.check_folders()
        self.ledger.set_stage(batch.id, BatchStage.CLOSED)
        counts = {name: getattr(count, name) for name in ("accepted", "review", "rejected", "deferred")}
        logs.info("batch closed", batch=batch.id, **counts)
        return count

    def _handle_errors(self, opened: OpenBatch, results: BatchResults) -> None:
        """Find the files that make reading raise; known suspects may raise again.

        Raises:
            ReadFailed: the batch is to be retried, or no file can be read.
        """
        batch_id = opened.batch.id
        path, first = next(iter(results.errors.items()))
        logs.log_traceback("reading raised an exception", first.traceback, batch=batch_id, file=path, why=first.error)
        failure = ReadFailed(f"batch {batch_id} cannot be read ({path}): unexpected error: {first.error}")
        raising = [claim for claim in opened.claims if claim.path in results.errors]
        if self.is_stopped():
            results.errors.clear()
        elif not all(claim in self.suspects for claim in raising):
            if self.suspects.count_try(batch_id) < MAX_FAILURES:
                raise failure
            if opened.chunks is not None:
                results.errors.clear()
                self.reader.read_individually(raising, results)
            is_any_read = any(not file.defer_reason for file in results.files.values())
            if results.errors and not is_any_read and not self.suspects.is_other_batch_read_since(batch_id):
                raise failure  # the environment is the cause, not these files
        for path, error in results.errors.items():
            logs.log_traceback(
                "reading raised an exception", error.traceback, batch=batch_id, file=path, why=error.error
            )
            logs.warning("a file cannot be read, it is claimed alone from now on", file=path, why=error.error)
            self.note_unexpected(f"reading {path} raised: {error.error}")

    def _deferred_snapshot(self, claim: Claim) -> FileSnapshot:
        """Return the snapshot of a file that was just deferred, at its current path."""
        is_folder = isinstance(self.inbox.location(claim.batch_id, claim.path), Path)
        path = claim.location.partition("/")[2] if is_folder else claim.path
        return FileSnapshot(path, claim.size, claim.mtime_ns, claim.mtime_ns, claim.inode)

    def _make_job(self, claim: Claim) -> ReadJob:
        return ReadJob(self.inbox.location(claim.batch_id, claim.path), claim.inode, claim.size, claim.mtime_ns)
