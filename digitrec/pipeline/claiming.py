"""Steps 2 and 3: note a batch in the ledger and claim its files; a file that cannot be claimed waits."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from digitrec import logs, text
from digitrec.errors import FAILURES
from digitrec.pipeline.outcomes import OutcomeBuilder, retry_later
from digitrec.storage import schema
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import Stored
from digitrec.text import utc
from digitrec.types import Batch, Claim, DeferredFile, FileSnapshot, Stage, backoff_s


class ClaimQueue(Protocol):
    """Where files are claimed; a folder's are moved out of everybody's way, a store's stay where they are."""

    def claim(self, batch_id: str, path: str) -> None:
        """Make a file ours, if it is still there."""

    def is_writable(self) -> bool:
        """False if nothing can be claimed."""

    def batches(self) -> list[str]:
        """The batches that show without the ledger."""

    def claimed_files(self, batch_id: str) -> list[str]:
        """The files of a batch that are ours."""

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Whatever happens, they stay ours."""

    def location(self, batch_id: str, path: str) -> Path | Stored:
        """Where a claimed file is read."""

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """What a file is that was claimed without being planned."""

    def close(self, batch_id: str) -> None:
        """The batch is done with."""


@dataclass(frozen=True, slots=True)
class Claimer:
    """Claims files of one queue for one ledger."""

    inbox: ClaimQueue
    ledger: Ledger
    outcome_builder: OutcomeBuilder
    now_s: Callable[[], float]
    """Seconds since 1970."""
    scanned_at_s: Callable[[], float]
    """When the inbox was looked at last, by the clock that the times of its files are of, seconds since 1970."""
    noticed: Callable[[str], None]
    """Told of an unexpected exception that stops nothing."""
    passed: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Files that cannot even be noted, by path: number of tries, and when to try again, monotonic seconds."""

    def is_due(self, seen: FileSnapshot) -> bool:
        """Return False for a file that could not be noted just now."""
        return self.passed.get(seen.path, (0, 0.0))[1] <= time.monotonic()

    def plan_batch(self, seen: Sequence[FileSnapshot]) -> Batch | None:
        """Note a batch and the files it is about to claim, before any is touched; None if none of them can be noted."""
        now_s = self.now_s()
        batch = Batch(text.new_batch_id(now_s), utc(now_s), Stage.PLANNED)
        scanned_at_s = self.scanned_at_s()
        planned = [claim for one in seen if (claim := self._plan(batch, one, scanned_at_s)) is not None]
        if not planned:
            return None
        self.ledger.open_batch(batch, planned)
        return batch

    def claim(self, batch: Batch) -> list[Claim]:
        """Claim the files of a batch that was noted; return those that were claimed, by path."""
        now_s = self.now_s()
        noted = self.ledger.claims(batch.id)
        refused = [(claim, why) for claim in noted if (why := self._claim(claim))]
        if refused:
            self.ledger.defer([self._refused(claim, why, now_s) for claim, why in refused])
        return self._reconcile(batch, noted)

    def _plan(self, batch: Batch, seen: FileSnapshot, scanned_at_s: float) -> Claim | None:
        """Return the claim of a file; None if the ledger cannot take it: it is passed over for a while."""
        try:
            claim = self._make_claim(batch, seen, scanned_at_s)
            schema.claim_values(claim)  # raises what to note it would raise
        except FAILURES:
            raise
        except Exception as why:  # noqa: BLE001 - whatever is odd about it, the others are read
            tries = self.passed.get(seen.path, (0, 0.0))[0] + 1
            self.passed[seen.path] = tries, time.monotonic() + backoff_s(tries)
            self.noticed(logs.unexpected_error("a file cannot be claimed, passed over for now", why, file=seen.path))
            return None
        self.passed.pop(seen.path, None)
        return claim

    def _claim(self, claim: Claim) -> str:
        """Claim a file, or return why it cannot be while others can; if none can, that is an environment failure."""
        try:
            self.inbox.claim(claim.batch_id, claim.path)
        except OSError as why:
            if not self.inbox.is_writable():
                raise
            logs.warn("cannot be claimed, tried again later", file=claim.path, why=why.strerror)
            return why.strerror or str(why)
        except FAILURES:
            raise
        except Exception as why:  # noqa: BLE001 - whatever is odd about it, the others are claimed
            self.noticed(logs.unexpected_error("a file cannot be claimed, passed over for now", why, file=claim.path))
            return type(why).__name__
        return ""

    def _refused(self, claim: Claim, why: str, now_s: float) -> DeferredFile:
        return retry_later(claim, f"it cannot be claimed: {why}", self.ledger.deferred_file(claim.identity), now_s)

    def _make_claim(self, batch: Batch, seen: FileSnapshot, scanned_at_s: float) -> Claim:
        # Our own rename, when it was deferred before, is no change of the file.
        is_fresh = self.ledger.was_fresh(seen.path, seen.identity)
        if is_fresh is None:
            is_fresh = scanned_at_s - seen.changed_ns / 1e9 < self.outcome_builder.grace_s
        return Claim(batch.id, seen.path, seen.inode, seen.size, seen.mtime_ns, is_fresh, batch.opened_at)

    def find_batch(self, batch_id: str, restore: Callable[[str], bool]) -> Batch:
        """A batch whose claims lie in the inbox, from the ledger, else from its CSV, else begun anew."""
        if self.ledger.batch(batch_id) is None and not restore(batch_id):
            logs.event("claims adopted", batch=batch_id)
            self.ledger.open_batch(Batch(batch_id, text.batch_opened_at(batch_id), Stage.PLANNED), [])
        batch = self.ledger.batch(batch_id)
        if batch is None:
            raise LookupError(f"batch {batch_id} was noted and is not in the ledger")
        return batch

    def reconcile_claims(self, batch: Batch) -> list[Claim]:
        """Return the claims of a batch, by path: the files that lie in its folder; there may be none."""
        return self._reconcile(batch, self.ledger.claims(batch.id))

    def _reconcile(self, batch: Batch, noted: Iterable[Claim]) -> list[Claim]:
        planned = {claim.path: claim for claim in noted}
        lying = set(self.inbox.claimed_files(batch.id))
        if not lying:
            self.ledger.forget_batch(batch.id)
            self.inbox.close(batch.id)
            return []
        self.inbox.make_durable(batch.id, lying)
        unplanned = [self._unplanned_claim(batch, path) for path in sorted(lying - planned.keys())]
        self.ledger.note_claims(batch.id, planned.keys() - lying, unplanned)
        logs.event("files claimed", batch=batch.id, files=len(lying))
        return self.ledger.claims(batch.id) if unplanned else [planned[path] for path in planned if path in lying]

    def _unplanned_claim(self, batch: Batch, path: str) -> Claim:
        state = self.inbox.stat(batch.id, path)
        # How old it was before its first claim is not known any more: let it have its grace.
        return Claim(batch.id, path, state.st_ino, state.st_size, state.st_mtime_ns, True, batch.opened_at)
