"""claim -> read -> record -> publish -> file away -> report; and `recover()`, which finishes what was interrupted.

Every step is durable before the next begins and may be done twice, so that a crash anywhere costs time, never a file.
"""

import errno
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from digitrec import batch_ids, logs, reading
from digitrec.answering import STOPPED, Answering, returned
from digitrec.child import Child, ReaderDied
from digitrec.chunks import chunked
from digitrec.clock import utc
from digitrec.engines import Engine
from digitrec.errors import DigitrecError
from digitrec.intake.scan import Seen
from digitrec.intake.store import Stored
from digitrec.intake.truth import Truth
from digitrec.ledger import Ledger
from digitrec.patience import Overrun
from digitrec.reading import Content, Job
from digitrec.records import Batch, Claim, Count, Fate, Rendering, ReturnedFile, Row, Stage

_MOST_AHEAD = 1024
"""A larger batch is not claimed before its turn: after a stop all of it has to be given back, too."""
_MOST_DEATHS = 3
# What keeps one file from being renamed, while others can be.
_OWN_FAULTS = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EXDEV, errno.EBUSY, errno.EROFS}


class Queue(Protocol):
    """Where files are claimed; a folder's are moved out of everybody's way, a store's stay where they are."""

    def claim(self, batch_id: str, path: str) -> None:
        """Make a file ours, if it is still there."""

    def is_writable(self) -> bool:
        """False if nothing can be claimed."""

    def batches(self) -> list[str]:
        """The batches that show without the ledger."""

    def claimed(self, batch_id: str) -> list[str]:
        """The files of a batch that are ours."""

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Whatever happens, they stay ours."""

    def place(self, batch_id: str, path: str) -> Path | Stored:
        """Where a claimed file is read."""

    def state(self, batch_id: str, path: str) -> os.stat_result:
        """What a file is that was claimed without being planned."""

    def close(self, batch_id: str) -> None:
        """The batch is done with."""


class Outbox(Protocol):
    """Where answers go, and what becomes of the files; each step may be done again after a crash."""

    def publish(self, batch_id: str, rows: Sequence[Row], how: Rendering) -> None:
        """Put both tables of a batch there, whole and replacing none with other bytes; the digits first.

        Raises:
            FileExistsError: a table of this name with other content is there.
        """

    def file_away(self, claims: Sequence[Claim], rows: Sequence[Row]) -> list[Claim]:
        """Put every file where it belongs; gives the claims with its place. `rows` are those of rejected files."""

    def tidy(self, batch_id: str, placed: Sequence[Claim], truth: Truth, answering: Answering) -> None:
        """See to what came along with a batch."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A batch whose files are claimed, and being read."""

    batch: Batch
    claims: Sequence[Claim]
    contents: Iterator[tuple[str, Content]]
    """What was read of each file, by path, as far as it is known; children may be at it already."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The collaborators of one run, chosen in app.py."""

    inbox: Queue
    ledger: Ledger
    outbox: Outbox
    engine: Engine
    child: Child
    read_chunk: Callable[[Sequence[Job]], list[Content]]
    """Reads files; always the same, so that a child that knows it is not sent the networks again."""
    answering: Answering
    truth: Callable[[], Truth]
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
    timed: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Measures a stage by its name, for monitoring."""
    begun: set[str] = field(default_factory=set)
    """Batches whose reading this process began: it lives, so they killed nobody."""

    def recover(self) -> Count:
        """Finish whatever was interrupted: open batches of the ledger, and claims it does not know."""
        total = Count()
        for batch in self.ledger.batches(unfinished=True):
            logs.event("batch taken up again", batch=batch.id, stage=batch.stage)
            total += self._finish(batch)
        for name in self.inbox.batches():
            if batch_ids.BATCH_ID.fullmatch(name) is None:
                logs.warn("this folder among the claims is no batch; left alone", folder=name)
                continue
            batch = self._known(name)
            total += self._finish(batch)
        return total

    def process(self, seen: Sequence[Seen]) -> Count:
        """Claim these files as one batch and bring it to its end."""
        return sum(self.process_all([seen]), Count())

    def process_all(self, groups: Iterable[Sequence[Seen]]) -> Iterator[Count]:
        """Claim each group as one batch and bring it to its end; gives what became of each.

        The next one is claimed before: children go on with it while what they read is put on record, published and
        filed away here.
        """
        opened: Opened | None = None
        for group in groups:
            if opened is not None and len(group) > _MOST_AHEAD:
                yield self._answered(opened)
                opened = None
            following, failure = None, None
            try:
                following = self._open(group)
            except (DigitrecError, OSError, sqlite3.Error) as why:  # that keeps no answer from what was claimed before
                failure = why
            if opened is not None:
                yield self._answered(opened)
            if failure is not None:
                raise failure
            opened = following
        if opened is not None:
            yield self._answered(opened)

    def _open(self, seen: Sequence[Seen]) -> Opened | None:
        """Claim these files as one batch, and begin to read them; None if none of them is there any more."""
        now_s = self.now_s()
        batch = Batch(batch_ids.new(now_s), utc(now_s), Stage.PLANNED)
        planned = [self._planned(batch, one, now_s) for one in seen]
        self.begun.add(batch.id)
        self.ledger.open_batch(batch, planned)
        with self.timed("claim"):
            refused = [claim for claim in planned if not self._claim(claim)]
        if refused:
            self.ledger.hold([self._refused(claim, now_s) for claim in refused])
        claims = self._adopted(batch)
        return Opened(batch, claims, self._being_read(batch, claims)) if claims else None

    def _claim(self, claim: Claim) -> bool:
        """False if this one file may not be moved; if none may, that is an environment failure."""
        try:
            self.inbox.claim(claim.batch_id, claim.path)
        except OSError as why:
            if why.errno not in _OWN_FAULTS or not self.inbox.is_writable():
                raise
            logs.warn("cannot be claimed, tried again later", file=claim.path, why=why.strerror)
            return False
        return True

    def _refused(self, claim: Claim, now_s: float) -> ReturnedFile:
        known = self.ledger.returned(claim.identity)
        return returned(claim, "it cannot be claimed: no right to move it, a name too long, or a mount", known, now_s)

    def _planned(self, batch: Batch, seen: Seen, now_s: float) -> Claim:
        # Our own rename, when it was given back before, is no change of the file.
        is_fresh = self.ledger.was_fresh(seen.path, seen.identity)
        if is_fresh is None:
            is_fresh = now_s - seen.changed_ns / 1e9 < self.answering.grace_s
        return Claim(batch.id, seen.path, seen.inode, seen.size, seen.mtime_ns, is_fresh, batch.opened_at)

    def _known(self, batch_id: str) -> Batch:
        """A batch whose claims lie in the inbox, from the ledger, else from its CSV, else begun anew."""
        if self.ledger.batch(batch_id) is None and not self.restore(batch_id):
            logs.event("claims adopted", batch=batch_id)
            self.ledger.open_batch(Batch(batch_id, batch_ids.opened_at(batch_id), Stage.PLANNED), [])
        batch = self.ledger.batch(batch_id)
        if batch is None:
            raise LookupError(f"batch {batch_id} was noted and is not in the ledger")
        return batch

    def _finish(self, batch: Batch) -> Count:
        """Bring a batch from whatever stage it is at to its end."""
        if batch.stage in {Stage.PLANNED, Stage.READING}:
            claims = self._adopted(batch) if batch.stage is Stage.PLANNED else self.ledger.claims(batch.id)
            if batch.stage is Stage.PLANNED and not claims:
                return Count()
            return self._answered(Opened(batch, claims, self._being_read(batch, claims)))
        return self._end(batch)

    def _answered(self, opened: Opened) -> Count:
        """Read what is not read yet, put it on record, and bring the batch to its end."""
        return self._end(opened.batch, self._record(opened, self._read(opened)))

    def _end(self, batch: Batch, rows: Sequence[Row] | None = None) -> Count:
        """Bring a batch that is on record to its end; `rows` are those of one that was read just now."""
        self.check_folders()
        if batch.stage in {Stage.PLANNED, Stage.READING, Stage.RECORDED}:
            with self.timed("publish"):
                self._publish(batch.id, self.ledger.rows(batch.id) if rows is None else rows)
        if batch.stage is not Stage.CLOSED and self.ledger.has_rows(batch.id):
            self.published(batch.id)
        self.check_folders()
        with self.timed("file_away"):
            self._file_away(batch.id)
        self.inbox.close(batch.id)
        if batch.stage is Stage.CLOSED:
            return Count()
        count = self.ledger.count(batch.id)
        with self.timed("report"):
            self.report(batch.id)
        self.ledger.set_stage(batch.id, Stage.CLOSED)
        logs.event("batch closed", batch=batch.id, **_counted(count))
        return count

    def _adopted(self, batch: Batch) -> list[Claim]:
        """The claims of a batch, by path: the files that lie in its folder; there may be none."""
        planned = {claim.path: claim for claim in self.ledger.claims(batch.id)}
        lying = set(self.inbox.claimed(batch.id))
        if not lying:
            self.ledger.forget_batch(batch.id)
            self.inbox.close(batch.id)
            return []
        self.inbox.make_durable(batch.id, lying)
        unplanned = [self._unplanned(batch, path) for path in sorted(lying - planned.keys())]
        self.ledger.note_claims(batch.id, planned.keys() - lying, unplanned)
        logs.event("files claimed", batch=batch.id, files=len(lying))
        return self.ledger.claims(batch.id) if unplanned else [planned[path] for path in planned if path in lying]

    def _unplanned(self, batch: Batch, path: str) -> Claim:
        state = self.inbox.state(batch.id, path)
        # How old it was before its first claim is not known any more: let it have its grace.
        return Claim(batch.id, path, state.st_ino, state.st_size, state.st_mtime_ns, True, batch.opened_at)

    def _being_read(self, batch: Batch, claims: Sequence[Claim]) -> Iterator[tuple[str, Content]]:
        # A batch that was being read when a process died is not read in this one.
        return self._read_fast(claims) if batch.id in self.begun else self._read_one_by_one(claims)

    def _read(self, opened: Opened) -> dict[str, Content]:
        """What every file of a batch holds, by path; after a stop, of those that were read."""
        contents: dict[str, Content] = {}
        with self.timed("read"):
            try:
                contents.update(opened.contents)
            except Overrun as why:
                logs.warn("reading was broken off, going on one by one", batch=opened.batch.id, why=why)
                contents.update(self._read_one_by_one([one for one in opened.claims if one.path not in contents]))
        return contents

    def _record(self, opened: Opened, contents: Mapping[str, Content]) -> Sequence[Row]:
        """Put the answers of a batch on record; gives its rows, as the ledger has them now."""
        with self.timed("record"):
            answers = self.answering.answer(opened.claims, contents, self.truth())
            self.ledger.record(opened.batch.id, answers.rows, answers.claims, self.rendering(), answers.returned)
        return answers.rows

    def _read_fast(self, claims: Sequence[Claim]) -> Iterator[tuple[str, Content]]:
        chunks = list(chunked(claims))
        jobs = [[self._job(claim) for claim in chunk] for chunk in chunks]
        read = self.engine.map(self.read_chunk, jobs, self.stopped)
        return (  # a stop leaves the rest unread
            (claim.path, content)
            for chunk, contents in zip(chunks, read, strict=False)
            for claim, content in zip(chunk, contents, strict=True)
        )

    def _read_one_by_one(self, claims: Sequence[Claim]) -> Iterator[tuple[str, Content]]:
        try:
            for claim in claims:
                if self.stopped():
                    return
                yield claim.path, self._read_in_child(claim)
        finally:
            self.child.stop()

    def _read_in_child(self, claim: Claim) -> Content:
        for death in itertools.count(1):
            try:
                contents = self.child.call(self.read_chunk, [self._job(claim)], self.stopped)
            except ReaderDied as why:
                if self.stopped():  # the signal may have reached the child as well
                    break
                logs.warn("the reader died", batch=claim.batch_id, file=claim.path, death=death, why=why)
                if death == _MOST_DEATHS:
                    return reading.crashed(self._job(claim))
                continue
            if contents is None:
                break
            return contents[0]
        return Content(returned=STOPPED)

    def _job(self, claim: Claim) -> Job:
        return Job(self.inbox.place(claim.batch_id, claim.path), claim.inode, claim.size, claim.mtime_ns)

    def _publish(self, batch_id: str, rows: Sequence[Row]) -> None:
        batch = self.ledger.batch(batch_id)
        if rows and batch is not None and batch.rendering is not None:
            self.outbox.publish(batch_id, rows, batch.rendering)
            logs.event("batch published", batch=batch_id, rows=len(rows))
        self.ledger.set_stage(batch_id, Stage.PUBLISHED)

    def _file_away(self, batch_id: str) -> None:
        claims = self.ledger.claims(batch_id)
        rejected = [claim.path for claim in claims if claim.fate is Fate.REJECTED]
        rows = [row for path in rejected for row in self.ledger.rows_of(batch_id, path)]
        placed = self.outbox.file_away(claims, rows)
        self.ledger.note_places(placed)
        self.outbox.tidy(batch_id, placed, self.truth(), self.answering)


def _counted(count: Count) -> dict[str, int]:
    return {name: getattr(count, name) for name in ("accepted", "review", "rejected", "released")}
