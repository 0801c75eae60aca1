"""One batch from claim to close: claim, read, decide, record, publish, archive, report, close.

`BatchPipeline.recover` finishes interrupted batches. `reports.batch` holds the numbers of its report.

Every step is durable before the next begins and is idempotent: a crash anywhere costs time, never a file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    SuspectFiles,
    make_chunks,
)
from digitrec.pipeline.claiming import Claimer, ClaimQueue
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.outcomes import BatchOutcomes, OutcomeBuilder
from digitrec.pipeline.read_files import FileResult
from digitrec.storage.claims import Claim, FileOutcome, FileSnapshot, OutcomeCounts
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, OutputFormat, TableRow

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
    claimer: Claimer
    reader: BatchReader
    suspects: SuspectFiles
    """Files that may stop or crash their reader, stored in the ledger."""
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
    time_stage: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Measure a stage by its name, for monitoring."""
    note_unexpected: Callable[[str], None] = logs.info
    """Called with an unexpected exception that stops nothing, for `status`."""
    started_here: set[str] = field(default_factory=set)
    """Batches that this process started to read: it is alive, so their files crashed no reader."""
    claim_alone: list[FileSnapshot] = field(default_factory=list)
    """Files that are claimed next, each in a batch with no other file."""

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

    def process_group(self, files: Sequence[FileSnapshot]) -> OutcomeCounts:
        """Process these files as one batch, then at most one suspect file alone: `watch` scans in between."""
        count = sum(self._process_batches(self._without_suspects([files])), OutcomeCounts())
        if self.claim_alone and not self.is_stopped():
            count += sum(self._process_batches([[self.claim_alone.pop(0)]]), OutcomeCounts())
        return count

    def process_groups(self, groups: Iterable[Sequence[FileSnapshot]]) -> Iterator[OutcomeCounts]:
        """Process each group as one batch, then each suspect file alone; yield the counts of each batch, for `run`."""
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
        return self._finish(batch)

    def _complete(self, opened: OpenBatch) -> OutcomeCounts:
        """Bring a claimed batch to its end: each step is durable before the next begins.

        Raises:
            ReadFailed: reading raised, and is retried later or fails for every file.
        """
        batch = opened.batch
        results = self._read(opened)
        with self.time_stage("record"):
            outcomes, crashes = self._decide(opened.claims, results)
            self._record(batch, outcomes, crashes, results)
        count = self._finish(batch, outcomes.rows)
        if crashes:  # `process_groups` claims these files again, so they are not counted twice
            count += OutcomeCounts(deferred=-self._claim_crashed_next(batch, crashes))
        return count

    def _finish(self, batch: Batch, rows: Sequence[TableRow] | None = None) -> OutcomeCounts:
        """Bring a recorded batch to its end, from the stage in which it was claimed or resumed.

        `rows` are its rows, if it was read just now; None reads them from the ledger.
        """
        count = self._publish_tables(batch, rows)
        self._archive_originals(batch)
        self._report(batch)
        self._close(batch, count)
        return count

    def _read(self, opened: OpenBatch) -> BatchResults:
        """Read the remaining files of a batch; after a stop, some have no result."""
        with self.time_stage("read"):
            if opened.chunks is not None:
                results = self.reader.finish(opened.claims, opened.chunks)
            else:
                results = BatchResults()
                self.reader.read_individually(opened.claims, results)
            if results.errors:
                self._handle_errors(opened, results)
        return results

    def _decide(self, claims: Sequence[Claim], results: BatchResults) -> tuple[BatchOutcomes, dict[str, int]]:
        """Decide the outcome of every file; return them, and the crash counts of files that are read again, by path."""
        by_path = {claim.path: claim for claim in claims}
        files, crashes = dict(results.files), {}
        for path, why in results.crashes.items():
            failures = self.suspects.count_failures(by_path[path]) + 1
            if failures >= MAX_FAILURES:
                files[path] = read_files.reject_crashing(self.reader.make_job(by_path[path]))
            else:
                crashes[path] = failures
                files[path] = FileResult(defer_reason=f"reading it stopped the reader, it is read alone next: {why}")
        for path, error in results.errors.items():
            files[path] = FileResult(defer_reason=f"reading it raised {error.error}", has_backoff=True)
        return self.outcome_builder.decide_outcomes(claims, files, self.load_labels()), crashes

    def _record(self, batch: Batch, outcomes: BatchOutcomes, crashes: Mapping[str, int], results: BatchResults) -> None:
        """Store rows, outcomes and suspect files in one transaction."""
        facts = self.suspects.updated_facts(batch.id, outcomes.claims, crashes, results.errors)
        output_format = self.make_output_format()
        self.ledger.record(batch.id, outcomes.rows, outcomes.claims, output_format, outcomes.deferred, facts)

    def _publish_tables(self, batch: Batch, rows: Sequence[TableRow] | None) -> OutcomeCounts:
        """Write the tables of a recorded batch, unless it is published; return its counts, none if it is closed."""
        self.check_folders()
        if batch.stage not in {BatchStage.PUBLISHED, BatchStage.CLOSED}:
            with self.time_stage("publish"):
                rows = self.ledger.rows(batch.id) if rows is None else rows
                recorded = self.ledger.batch(batch.id)
                if rows and recorded is not None and recorded.output_format is not None:
                    self.outbox.publish(batch.id, rows, recorded.output_format)
                    logs.info("batch published", batch=batch.id, rows=len(rows))
                self.ledger.set_stage(batch.id, BatchStage.PUBLISHED)
        if batch.stage is BatchStage.CLOSED:
            return OutcomeCounts()
        count = self.ledger.count(batch.id)
        if count.claimed > count.deferred:
            self.on_published(batch.id)
        return count

    def _archive_originals(self, batch: Batch) -> None:
        """Move the originals to their archive folders, and store their locations."""
        self.check_folders()
        with self.time_stage("file_away"):
            claims = self.ledger.claims(batch.id)
            rejected = [claim.path for claim in claims if claim.outcome is FileOutcome.REJECTED]
            reasons = [row for path in rejected for row in self.ledger.get_file_rows(batch.id, path)]
            archived = self.outbox.archive(claims, reasons)
            self.ledger.set_locations(archived)
            self.outbox.clean_up(batch.id, archived, self.load_labels(), self.outcome_builder)
        self.inbox.close(batch.id)

    def _report(self, batch: Batch) -> None:
        """Write the report of a batch, unless it is closed; an unexpected exception is logged and noted."""
        if batch.stage is BatchStage.CLOSED:
            return
        with self.time_stage("report"):
            try:
                self.write_report(batch.id)
            except ENVIRONMENT_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - the tables are published; `digitrec report` writes it again
                self.note_unexpected(logs.log_exception("the report of a batch cannot be made", error, batch=batch.id))

    def _close(self, batch: Batch, count: OutcomeCounts) -> None:
        """Store that a batch is finished, unless it is closed."""
        if batch.stage is BatchStage.CLOSED:
            return
        self.check_folders()
        self.ledger.set_stage(batch.id, BatchStage.CLOSED)
        counts = {name: getattr(count, name) for name in ("accepted", "review", "rejected", "deferred")}
        logs.info("batch closed", batch=batch.id, **counts)

    def _claim_crashed_next(self, batch: Batch, crashes: Mapping[str, int]) -> int:
        """Add the files that crashed their reader, and are deferred now, to `claim_alone`; return their number."""
        crashed = [claim for claim in self.ledger.claims(batch.id) if claim.path in crashes]
        self.claim_alone.extend(map(self._deferred_snapshot, crashed))
        return len(crashed)

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
