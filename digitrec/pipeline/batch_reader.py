"""Read the files of a batch; report those that crash the reader or raise, and count that in the ledger, across runs.

A file is known by inode, size and mtime, like the files that were deferred: one that changes is another file.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from digitrec import logs
from digitrec.errors import DigitrecError
from digitrec.pipeline.chunk_queue import ChunkTimeout, LostChunk
from digitrec.pipeline.executor import Executor
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.worker_process import WorkerCrashed
from digitrec.storage.ledger import Ledger
from digitrec.types import Claim, FileOutcome, FileSnapshot

MAX_FAILURES = 3
"""A file that stopped its reader so often is rejected; a batch that raised so often is read file by file."""
_ALONE, _TRIES = "alone", "tries"
_CHUNK_FILES = 16
_SMALL_BYTES = 1 << 16
"""A larger file, a photo or a whole page, takes longer: it counts as two."""


def make_chunks(claims: Iterable[Claim]) -> Iterator[list[Claim]]:
    """Yield the files that one call reads: up to 16 small ones, or half as many larger ones."""
    chunk: list[Claim] = []
    count = 0
    for claim in claims:
        chunk.append(claim)
        count += 2 if claim.size > _SMALL_BYTES else 1
        if count >= _CHUNK_FILES:
            yield chunk
            chunk, count = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class ChunkError:
    """Takes the place of the contents of a chunk whose reading raised."""

    error: str
    traceback: str
    is_memory: bool
    """The memory did not suffice: in a limited child that is the file's own fault."""


class LimitedWorker(Protocol):
    """A child process with limits of its own; see `worker_process.WorkerProcess`."""

    def call(
        self, function: "GuardedReader", argument: Sequence[ReadJob], stopped: Callable[[], bool]
    ) -> list[FileResult] | ChunkError | None:
        """Return what the function gives; None after a stop."""

    def stop(self) -> None:
        """End the process."""


@dataclass(frozen=True)
class GuardedReader:
    """Reads a chunk in any process; an exception comes back as a result, since it may be one file's fault."""

    read_chunk: Callable[[Sequence[ReadJob]], list[FileResult]]

    def __call__(self, jobs: Sequence[ReadJob]) -> list[FileResult] | ChunkError:
        """Return the contents, or what was raised; errors that a person can put right are raised on."""
        try:
            return self.read_chunk(jobs)
        except DigitrecError:
            raise
        except Exception as why:  # noqa: BLE001 - its kind is not known: that is what it is reported as
            is_memory = isinstance(why, MemoryError) or "Insufficient memory" in str(why)
            return ChunkError(f"{type(why).__name__}: {why}", traceback.format_exc(), is_memory)


@dataclass(slots=True)
class BatchResults:
    """What was found out about the files of a batch; a file that is missing was not read, because of a stop."""

    contents: dict[str, FileResult] = field(default_factory=dict)
    """By path."""
    killed: dict[str, str] = field(default_factory=dict)
    """Why the reader died or was given up, by the path of the file that it read."""
    raised: dict[str, ChunkError] = field(default_factory=dict)
    """By path: the whole chunk of a file that raised, until it is read file by file."""

    def __contains__(self, path: object) -> bool:
        return path in self.contents or path in self.killed or path in self.raised


ChunkOutcome = tuple[list[Claim], list[FileResult] | ChunkError | LostChunk]
"""A chunk, and what became of it."""


@dataclass(frozen=True, slots=True)
class BatchReader:
    """Reads claimed files, with an engine or one by one in a limited child."""

    engine: Executor
    child: LimitedWorker
    read: GuardedReader
    """The same object for every call, so that the networks are sent to a child once."""
    job_of: Callable[[Claim], ReadJob]
    stopped: Callable[[], bool]

    def begin(self, claims: Iterable[Claim]) -> Iterator[ChunkOutcome]:
        """Begin to read; children may start before the first result is asked for."""
        return self._results(list(make_chunks(claims)))

    def finish(self, claims: Sequence[Claim], begun: Iterable[ChunkOutcome]) -> BatchResults:
        """Read the files of a batch to the end.

        Files that were lost with another one are read again, each as a chunk of its own: the next one that takes too
        long then costs nobody else.

        Args:
            claims: the files of the batch.
            begun: what `begin` gave for them.
        """
        found = BatchResults()
        while True:
            before, is_over = len(found.killed), self._take(begun, found)
            left = [claim for claim in claims if claim.path not in found]
            if not left or self.stopped():
                return found
            if is_over or len(found.killed) == before:
                break
            begun = self._results([[claim] for claim in left])
        self.read_one_by_one(left, found)
        return found

    def read_one_by_one(self, claims: Iterable[Claim], found: BatchResults) -> None:
        """Read files in the limited child until a stop."""
        try:
            for claim in claims:
                if self.stopped() or not self._read_in_child(claim, found):
                    return
        finally:
            self.child.stop()

    def _results(self, chunks: list[list[Claim]]) -> Iterator[ChunkOutcome]:
        jobs = [[self.job_of(claim) for claim in chunk] for chunk in chunks]
        results = self.engine.map(self.read, jobs, self.stopped)
        # The engine is asked first: so it comes to its end, too.
        return ((chunk, result) for result, chunk in zip(results, chunks, strict=False))

    def _take(self, results: Iterable[ChunkOutcome], found: BatchResults) -> bool:
        """Sort what became of each chunk; return True if the engine can give no more."""
        try:
            for chunk, result in results:
                if isinstance(result, ChunkError):
                    found.raised.update((claim.path, result) for claim in chunk)
                elif not isinstance(result, LostChunk):
                    found.contents.update((claim.path, one) for claim, one in zip(chunk, result, strict=False))
                elif result.file is not None and result.why and not self.stopped():
                    self._note_killed(chunk[result.file], result.why, found)
        except ChunkTimeout as why:
            logs.warn("reading was broken off, going on one by one", why=why)
            return True
        return False

    def _read_in_child(self, claim: Claim, found: BatchResults) -> bool:
        """Read one file; return False after a stop."""
        try:
            result = self.child.call(self.read, [self.job_of(claim)], self.stopped)
        except WorkerCrashed as why:
            if self.stopped():
                return False
            self._note_killed(claim, str(why), found)
            return True
        if isinstance(result, ChunkError) and result.is_memory:
            self.child.stop()
            self._note_killed(claim, f"the memory for a page does not suffice: {result.error}", found)
        elif isinstance(result, ChunkError):
            found.raised[claim.path] = result
        elif result:
            found.contents[claim.path] = result[0]
        return bool(result)

    def _note_killed(self, claim: Claim, why: str, found: BatchResults) -> None:
        logs.warn("reading a file stopped the reader", batch=claim.batch_id, file=claim.path, why=why)
        found.killed[claim.path] = why


@dataclass(frozen=True, slots=True)
class SuspectFiles:
    """The files of one worker that are claimed and read alone, kept in the `facts` of its ledger."""

    ledger: Ledger

    def __contains__(self, file: FileSnapshot | Claim) -> bool:
        """Return True for a file that is claimed and read alone."""
        return self.ledger.fact(_key(file)) is not None

    def has_any(self) -> bool:
        """Return False if no file is to be claimed alone."""
        ask = "SELECT 1 FROM facts WHERE name >= ? AND name < ? LIMIT 1"
        return self.ledger.ask(ask, (f"{_ALONE}:", f"{_ALONE};")).fetchone() is not None

    def count_failures(self, claim: Claim) -> int:
        """Return how often the file has stopped its reader."""
        return int(self.ledger.fact(_key(claim)) or 0)

    def count_try(self, batch_id: str) -> int:
        """Count one more try of a batch that raised; return how many there were."""
        tries, seen = self._tries(batch_id)
        self.ledger.remember(f"{_TRIES}:{batch_id}", f"{tries + 1} {self._newest() if seen is None else seen}")
        return tries + 1

    def is_other_batch_read_since(self, batch_id: str) -> bool:
        """Return True if another batch was read since this one raised first: so the environment is not at fault."""
        _, seen = self._tries(batch_id)
        ask = "SELECT 1 FROM readings WHERE rowid > ? AND status <> 'rejected' LIMIT 1"
        return self.ledger.ask(ask, (self._newest() if seen is None else seen,)).fetchone() is not None

    def _tries(self, batch_id: str) -> tuple[int, int | None]:
        """Return how often a batch raised, and the newest reading of the ledger when it did so first."""
        fact = self.ledger.fact(f"{_TRIES}:{batch_id}")
        if fact is None:
            return 0, None
        tries, _, seen = fact.partition(" ")
        return int(tries), int(seen)

    def _newest(self) -> int:
        """Return the number of the newest reading: clocks may jump, numbers only grow."""
        found: int | None = self.ledger.ask("SELECT max(rowid) FROM readings").fetchone()[0]
        return found or 0

    def updated_facts(
        self, batch_id: str, claims: Iterable[Claim], killed: Mapping[str, int], raised: Iterable[str]
    ) -> dict[str, str | None]:
        """Return what to remember once a batch is recorded; None is to be forgotten.

        Args:
            batch_id: the batch.
            claims: its files, with their fates; those that have an answer are under suspicion no longer.
            killed: how often each file has stopped its reader that is claimed again, by path.
            raised: paths of the files that raised.
        """
        by_path = {claim.path: claim for claim in claims}
        answered = [claim for claim in by_path.values() if claim.outcome is not FileOutcome.DEFERRED]
        facts: dict[str, str | None] = dict.fromkeys(map(_key, answered)) if self.has_any() else {}
        facts |= {_key(by_path[path]): str(failures) for path, failures in killed.items()}
        facts |= {_key(by_path[path]): str(self.count_failures(by_path[path])) for path in raised}
        return facts | {f"{_TRIES}:{batch_id}": None}


def _key(file: FileSnapshot | Claim) -> str:
    return ":".join(map(str, (_ALONE, *file.identity)))
