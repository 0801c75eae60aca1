"""Stage `claim`: record a planned batch in the ledger, claim its files, and defer those that cannot be claimed."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from digitrec import logs, text
from digitrec.errors import ENVIRONMENT_ERRORS
from digitrec.pipeline.outcomes import OutcomeBuilder, retry_later
from digitrec.storage import schema
from digitrec.storage.claims import Claim, DeferredFile, FileSnapshot, backoff_s
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectRef
from digitrec.text import format_utc
from digitrec.types import Batch, BatchStage


class ClaimQueue(Protocol):
    """Where files are claimed: a folder moves them out of reach of others, an object store leaves them in place."""

    def claim(self, batch_id: str, path: str) -> None:
        """Claim a file, if it still exists."""

    def is_writable(self) -> bool:
        """Return False if no file can be claimed."""

    def batches(self) -> list[str]:
        """Return the ids of the batches that have claims, without the ledger."""

    def claimed_files(self, batch_id: str) -> list[str]:
        """Return the paths of the claimed files of a batch."""

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Make the claims of these files survive a power loss."""

    def location(self, batch_id: str, path: str) -> Path | ObjectRef:
        """Return where a claimed file is read."""

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """Return the stat fields of a file that was claimed without being planned."""

    def close(self, batch_id: str) -> None:
        """Remove what is left of a finished batch."""


@dataclass(frozen=True, slots=True)
class Claimer:
    """Claims files of one queue for one ledger."""

    inbox: ClaimQueue
    ledger: Ledger
    outcome_builder: OutcomeBuilder
    now_s: Callable[[], float]
    """Seconds since 1970."""
    scanned_at_s: Callable[[], float]
    """Time of the last inbox scan by the clock of its filesystem, seconds since 1970."""
    note_unexpected: Callable[[str], None]
    """Called with an unexpected exception that stops nothing."""
    retries: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Files that cannot even be planned, by path: number of tries, and time of the next one, monotonic seconds."""

    def is_due(self, file: FileSnapshot) -> bool:
        """Return False for a file that could not be planned and waits for its next try."""
        return self.retries.get(file.path, (0, 0.0))[1] <= time.monotonic()

    def plan_batch(self, files: Sequence[FileSnapshot]) -> Batch | None:
        """Record a batch and the files it will claim, before any is moved; return None if none can be recorded."""
        now_s = self.now_s()
        batch = Batch(text.new_batch_id(now_s), format_utc(now_s), BatchStage.PLANNED)
        scanned_at_s = self.scanned_at_s()
        claims = [claim for file in files if (claim := self._plan_claim(batch, file, scanned_at_s)) is not None]
        if not claims:
            return None
        self.ledger.open_batch(batch, claims)
        return batch

    def claim(self, batch: Batch) -> list[Claim]:
        """Claim the files of a planned batch; return the claims that succeeded, by path."""
        now_s = self.now_s()
        claims = self.ledger.claims(batch.id)
        failures = [(claim, why) for claim in claims if (why := self._claim_file(claim))]
        if failures:
            self.ledger.defer([self._defer(claim, why, now_s) for claim, why in failures])
        return self.reconcile_claims(batch, claims)

    def _plan_claim(self, batch: Batch, file: FileSnapshot, scanned_at_s: float) -> Claim | None:
        """Return the planned claim of a file; None if the ledger cannot store it: the file is retried with backoff."""
        try:
            # A file that was deferred before keeps its freshness: our own rename has changed its ctime.
            is_fresh = self.ledger.was_fresh(file.path, file.identity)
            if is_fresh is None:
                is_fresh = scanned_at_s - file.changed_ns / 1e9 < self.outcome_builder.grace_s
            claim = Claim(batch.id, file.path, file.inode, file.size, file.mtime_ns, is_fresh, batch.opened_at)
            schema.encode_claim(claim)  # raises here, not when the whole batch is recorded
        except ENVIRONMENT_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is odd about this file, the others are read
            tries = self.retries.get(file.path, (0, 0.0))[0] + 1
            self.retries[file.path] = tries, time.monotonic() + backoff_s(tries)
            self.note_unexpected(logs.log_exception("a file cannot be claimed, skipped for now", error, file=file.path))
            return None
        self.retries.pop(file.path, None)
        return claim

    def _claim_file(self, claim: Claim) -> str:
        """Claim a file; return "", or why this file cannot be claimed while others can.

        Raises:
            OSError: no file can be claimed.
        """
        try:
            self.inbox.claim(claim.batch_id, claim.path)
        except OSError as error:
            if not self.inbox.is_writable():
                raise
            logs.warning("cannot be claimed, tried again later", file=claim.path, why=error.strerror)
            return error.strerror or str(error)
        except ENVIRONMENT_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is odd about this file, the others are claimed
            self.note_unexpected(
                logs.log_exception("a file cannot be claimed, skipped for now", error, file=claim.path)
            )
            return type(error).__name__
        return ""

    def _defer(self, claim: Claim, why: str, now_s: float) -> DeferredFile:
        return retry_later(claim, f"it cannot be claimed: {why}", self.ledger.deferred_file(claim.identity), now_s)

    def find_batch(self, batch_id: str, restore_batch: Callable[[str], bool]) -> Batch:
        """Return a batch whose claims are in the inbox: from the ledger, else from its CSV, else a new record."""
        if self.ledger.batch(batch_id) is None and not restore_batch(batch_id):
            logs.info("claims adopted", batch=batch_id)
            self.ledger.open_batch(Batch(batch_id, text.batch_opened_at(batch_id), BatchStage.PLANNED), [])
        batch = self.ledger.batch(batch_id)
        if batch is None:
            raise LookupError(f"batch {batch_id} was recorded and is not in the ledger")
        return batch

    def reconcile_claims(self, batch: Batch, claims: Iterable[Claim] | None = None) -> list[Claim]:
        """Make the ledger agree with the claimed files in the batch's folder; return their claims, by path.

        Args:
            batch: the batch; forgotten if no file is claimed.
            claims: its claims in the ledger, if they are at hand.
        """
        planned = {claim.path: claim for claim in (self.ledger.claims(batch.id) if claims is None else claims)}
        claimed = set(self.inbox.claimed_files(batch.id))
        if not claimed:
            self.ledger.delete_batch(batch.id)
            self.inbox.close(batch.id)
            return []
        self.inbox.make_durable(batch.id, claimed)
        unplanned = [self._unplanned_claim(batch, path) for path in sorted(claimed - planned.keys())]
        self.ledger.update_claims(batch.id, planned.keys() - claimed, unplanned)
        logs.info("files claimed", batch=batch.id, files=len(claimed))
        return self.ledger.claims(batch.id) if unplanned else [planned[path] for path in planned if path in claimed]

    def _unplanned_claim(self, batch: Batch, path: str) -> Claim:
        state = self.inbox.stat(batch.id, path)
        # Its age before the first claim is unknown: the file gets the full grace period.
        return Claim(batch.id, path, state.st_ino, state.st_size, state.st_mtime_ns, True, batch.opened_at)
