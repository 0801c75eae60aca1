"""Read the files of a batch, and count the files that crash their reader or raise in the ledger, across runs.

A file is identified by inode, size and mtime, like a deferred file: one that changes is another file.
"""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from digitrec import logs
from digitrec.errors import DigitrecError
from digitrec.pipeline import read_files
from digitrec.pipeline.chunk_queue import ChunkTimeout, LostChunk
from digitrec.pipeline.executor import Executor
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess
from digitrec.recognition.reader import PageReader
from digitrec.storage.claims import Claim, FileOutcome, FileSnapshot
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectRef
from digitrec.types import Limits

MAX_FAILURES = 3
"""Crashes after which a file is rejected; failed tries after which a batch is read file by file."""
_ALONE, _TRIES = "alone", "tries"


class ChunkParams(NamedTuple):
    """Size of a chunk, the files of one call of the reader; set by hand."""

    small_files: int = 16
    """Number of small files."""
    small_file_bytes: int = 1 << 16
    """Upper limit of a small file; a larger one, such as a photo or a whole page, takes longer and counts as two."""


_CHUNK = ChunkParams()


def make_chunks(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    """Yield the files that one call reads: up to 16 small ones, or half as many larger ones."""
    chunk: list[Claim] = []
    count = 0
    for claim in claims:
        chunk.append(claim)
        count += 2 if claim.size > _CHUNK.small_file_bytes else 1
        if count >= _CHUNK.small_files:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class ChunkError:
    """Result of a chunk whose reading raised."""

    error: str
    traceback: str
    is_memory: bool
    """The memory did not suffice: in a limited worker the file is the cause."""


@dataclass(frozen=True)
class GuardedReader:
    """Reads a chunk in any process; returns an exception as a result, since one file may be its cause."""

    limits: Limits
    reader: PageReader
    fstat: Callable[[int], os.stat_result] | None = None
    """Replaces `os.fstat`, for tests of filesystems."""

    def __call__(self, jobs: Sequence[ReadJob]) -> list[FileResult] | ChunkError:
        """Return the file results or the error; errors that an operator can fix are raised."""
        try:
            return read_files.read_chunk(jobs, limits=self.limits, reader=self.reader, fstat=self.fstat)
        except DigitrecError:
            raise
        except Exception as error:  # noqa: BLE001 - any kind is reported as a ChunkError
            is_memory = isinstance(error, MemoryError) or "Insufficient memory" in str(error)
            return ChunkError(f"{type(error).__name__}: {error}", traceback.format_exc(), is_memory)


@dataclass(slots=True)
class BatchResults:
    """Results of the files of a batch by path; a missing file was not read, because of a stop."""

    files: dict[str, FileResult] = field(default_factory=dict)
    crashes: dict[str, str] = field(default_factory=dict)
    """Why the reader of a file crashed or was stopped."""
    errors: dict[str, ChunkError] = field(default_factory=dict)
    """All files of a chunk that raised, until they are read one by one."""

    def __contains__(self, path: object) -> bool:
        return path in self.files or path in self.crashes or path in self.errors


ChunkOutcome = tuple[list[Claim], list[FileResult] | ChunkError | LostChunk]
"""The files of a chunk and their result."""


@dataclass(frozen=True, slots=True)
class BatchReader:
    """Reads claimed files with an executor, or one by one in a limited worker process."""

    executor: Executor
    limited_worker: WorkerProcess
    """With CPU and memory limits."""
    read: GuardedReader
    """The same object for every call, so that the models are sent to a worker process once."""
    locate: Callable[[str, str], Path | ObjectRef]
    """Return where a claimed file is read, by batch and path; see `ClaimQueue.location`."""
    is_stopped: Callable[[], bool]

    def make_job(self, claim: Claim) -> ReadJob:
        """Return the job that reads a claimed file."""
        return ReadJob(self.locate(claim.batch_id, claim.path), claim.inode, claim.size, claim.mtime_ns)

    def start(self, chunks: list[list[Claim]]) -> Iterator[ChunkOutcome]:
        """Start to read; worker processes may begin before the first result is requested."""
        jobs = [[self.make_job(claim) for claim in chunk] for chunk in chunks]
        results = self.executor.map(self.read, jobs, self.is_stopped)
        # `results` comes first in `zip`, so that the executor's generator runs to its end.
        return ((chunk, result) for result, chunk in zip(results, chunks, strict=False))

    def finish(self, claims: Sequence[Claim], chunks: Iterable[ChunkOutcome]) -> BatchResults:
        """Read the files of a batch to the end.

        Files that were lost with another one are read again, each in its own chunk: the next file that times out then
        costs no other file.

        Args:
            claims: the files of the batch.
            chunks: the chunks of these files that `start` returned.
        """
        results = BatchResults()
        while True:
            crashes_before, is_exhausted = len(results.crashes), self._collect(chunks, results)
            unread = [claim for claim in claims if claim.path not in results]
            if not unread or self.is_stopped():
                return results
            if is_exhausted or len(results.crashes) == crashes_before:
                break
            chunks = self.start([[claim] for claim in unread])
        self.read_individually(unread, results)
        return results

    def read_individually(self, claims: Iterable[Claim], results: BatchResults) -> None:
        """Read files in the limited worker until a stop."""
        try:
            for claim in claims:
                if self.is_stopped() or not self._read_in_worker(claim, results):
                    return
        finally:
            self.limited_worker.stop()

    def _collect(self, chunks: Iterable[ChunkOutcome], results: BatchResults) -> bool:
        """Add the result of each chunk to `results`; return True if the executor can read no more."""
        try:
            for chunk, outcome in chunks:
                if isinstance(outcome, ChunkError):
                    results.errors.update((claim.path, outcome) for claim in chunk)
                elif not isinstance(outcome, LostChunk):
                    results.files.update((claim.path, file) for claim, file in zip(chunk, outcome, strict=False))
                elif outcome.file is not None and outcome.why and not self.is_stopped():
                    self._add_crash(chunk[outcome.file], outcome.why, results)
        except ChunkTimeout as error:
            logs.warning("reading was interrupted, continuing file by file", why=error)
            return True
        return False

    def _read_in_worker(self, claim: Claim, results: BatchResults) -> bool:
        """Read one file; return False after a stop."""
        try:
            result = self.limited_worker.call(self.read, [self.make_job(claim)], self.is_stopped)
        except WorkerCrashed as error:
            if self.is_stopped():
                return False
            self._add_crash(claim, str(error), results)
            return True
        if isinstance(result, ChunkError) and result.is_memory:
            self.limited_worker.stop()
            self._add_crash(claim, f"the memory for a page does not suffice: {result.error}", results)
        elif isinstance(result, ChunkError):
            results.errors[claim.path] = result
        elif result:
            results.files[claim.path] = result[0]
        return bool(result)

    def _add_crash(self, claim: Claim, why: str, results: BatchResults) -> None:
        logs.warning("reading a file stopped the reader", batch=claim.batch_id, file=claim.path, why=why)
        results.crashes[claim.path] = why


@dataclass(frozen=True, slots=True)
class SuspectFiles:
    """The files of one worker that are claimed and read alone, stored in the `facts` of its ledger."""

    ledger: Ledger

    def __contains__(self, file: FileSnapshot | Claim) -> bool:
        """Return True for a file that is claimed and read alone."""
        return self.ledger.get_meta(_key(file)) is not None

    def has_any(self) -> bool:
        """Return True if at least one file is to be claimed alone."""
        query = "SELECT 1 FROM facts WHERE name >= ? AND name < ? LIMIT 1"
        return self.ledger.query(query, (f"{_ALONE}:", f"{_ALONE};")).fetchone() is not None

    def count_failures(self, claim: Claim) -> int:
        """Return how often the file has crashed its reader."""
        return int(self.ledger.get_meta(_key(claim)) or 0)

    def count_try(self, batch_id: str) -> int:
        """Count one more failed try of a batch; return the number of its tries."""
        tries, newest = self._get_tries(batch_id)
        self.ledger.set_meta(f"{_TRIES}:{batch_id}", f"{tries + 1} {self._newest_row() if newest is None else newest}")
        return tries + 1

    def is_other_batch_read_since(self, batch_id: str) -> bool:
        """Return True if another batch was read since this one raised first: the environment is not the cause then."""
        _, newest = self._get_tries(batch_id)
        query = "SELECT 1 FROM readings WHERE rowid > ? AND status <> 'rejected' LIMIT 1"
        return self.ledger.query(query, (self._newest_row() if newest is None else newest,)).fetchone() is not None

    def _get_tries(self, batch_id: str) -> tuple[int, int | None]:
        """Return how often a batch raised, and the newest row number of the ledger at its first failure."""
        fact = self.ledger.get_meta(f"{_TRIES}:{batch_id}")
        if fact is None:
            return 0, None
        tries, _, newest = fact.partition(" ")
        return int(tries), int(newest)

    def _newest_row(self) -> int:
        """Return the highest row number of the readings: unlike clocks, row numbers only grow."""
        newest: int | None = self.ledger.query("SELECT max(rowid) FROM readings").fetchone()[0]
        return newest or 0

    def updated_facts(
        self, batch_id: str, claims: Iterable[Claim], crashes: Mapping[str, int], errors: Iterable[str]
    ) -> dict[str, str | None]:
        """Return the facts to store when a batch is recorded; None deletes a fact.

        Args:
            batch_id: the batch.
            claims: its files with their outcomes; a file that has an answer is no suspect any more.
            crashes: by path, how often each file that is claimed again has crashed its reader.
            errors: paths of the files that raised.
        """
        by_path = {claim.path: claim for claim in claims}
        answered = [claim for claim in by_path.values() if claim.outcome is not FileOutcome.DEFERRED]
        facts: dict[str, str | None] = dict.fromkeys(map(_key, answered)) if self.has_any() else {}
        facts |= {_key(by_path[path]): str(failures) for path, failures in crashes.items()}
        facts |= {_key(by_path[path]): str(self.count_failures(by_path[path])) for path in errors}
        return facts | {f"{_TRIES}:{batch_id}": None}


def _key(file: FileSnapshot | Claim) -> str:
    return ":".join(map(str, (_ALONE, *file.identity)))
