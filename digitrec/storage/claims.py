"""Define the files that a scan finds, a batch claims and the ledger stores: claims, deferred and removed files."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

FileIdentity: TypeAlias = tuple[int, int, int]
"""Inode, size and mtime_ns of a file, each folded into signed 64 bit."""


def fold_int64(number: int) -> int:
    """Fold a stat field into signed 64 bit, the range of SQLite; a number that fits is unchanged.

    Inodes reach 2^64 - 1 (mergerfs, CIFS, FUSE), and nanoseconds after 2262 more than 2^63.

    >>> fold_int64(7), fold_int64(-1), fold_int64(2**63), fold_int64(2**64 - 1)
    (7, -1, -9223372036854775808, -1)
    """
    return (number + 2**63) % 2**64 - 2**63


def file_identity(inode: int, size: int, mtime_ns: int) -> FileIdentity:
    """Return the identity of a file, as the ledger stores it."""
    return fold_int64(inode), fold_int64(size), fold_int64(mtime_ns)


def identity_from_stat(state: os.stat_result) -> FileIdentity:
    """Return the identity of a file from its stat fields."""
    return file_identity(state.st_ino, state.st_size, state.st_mtime_ns)


class FileOutcome(StrEnum):
    """Outcome of a claimed file."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    REJECTED = "rejected"
    DEFERRED = "deferred"

    @classmethod
    def _missing_(cls, value: object) -> "FileOutcome | None":
        """Accept `released`, the value of `deferred` in ledgers of schema 4 and earlier."""
        return cls.DEFERRED if value == "released" else None


STOPPED = "the service was stopped before it was read"
"""`Claim.detail` of a file that was deferred by a stop."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One file of a batch, as the last scan before its claim saw it."""

    batch_id: str
    path: str
    """Relative to the inbox; undecodable bytes as surrogates."""
    inode: int
    size: int
    mtime_ns: int
    """As in `os.stat`, or folded, as in the ledger; `identity` is the same for both."""
    is_fresh: bool
    """Changed less than `grace_s` before that scan."""
    received_at: str
    outcome: FileOutcome | None = None
    detail: str = ""
    """Why the file was deferred."""
    sha256: str = ""
    location: str = ""
    """Path of the original, relative to the workspace; "" while it is claimed."""
    reason_file: str = ""
    """Path of the reason file of a rejected file, relative to the workspace."""

    @property
    def identity(self) -> FileIdentity:
        """Return the identity of the file."""
        return file_identity(self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class DeferredFile:
    """A file that stays in the inbox until a later try."""

    inode: int
    size: int
    mtime_ns: int
    sha256: str
    why: str
    first_at_s: float
    """First try, seconds since 1970."""
    tries: int
    next_at_s: float
    """Earliest next try, seconds since 1970."""

    @property
    def identity(self) -> FileIdentity:
        """Return the identity of the file."""
        return file_identity(self.inode, self.size, self.mtime_ns)

    def is_backing_off(self, now_s: float) -> bool:
        """Return whether the file waits for its next try: for its backoff, even if the clock is set back."""
        return self.next_at_s - self._pause_s() <= now_s < self.next_at_s

    def _pause_s(self) -> float:
        # Only a file that was read and cannot be decoded has a digest: it waits `grace_s` from its first try.
        return self.next_at_s - self.first_at_s if self.sha256 else backoff_s(self.tries)


def backoff_s(tries: int) -> float:
    """Return the pause after a number of tries, of a file or of the service: 1 s, 2 s, 4 s, at most 5 minutes.

    >>> backoff_s(1), backoff_s(3), backoff_s(2000)
    (1.0, 4.0, 300.0)
    """
    return min(2.0 ** min(tries - 1, 16), 300.0)


class RemovalKind(StrEnum):
    """Why an original is no longer in the archive of its batch."""

    REQUEUED = "requeued"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class RemovedOriginal:
    """An original that a person requeued or pruned; `verify` counts it as accounted for."""

    batch_id: str
    path: str
    """Relative to the inbox, as it was claimed."""
    kind: RemovalKind
    removed_at: str
    location: str = ""
    """New path of a requeued original, relative to the workspace; "" until it is moved, and for a pruned one."""


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Number of files of one or several batches, by outcome."""

    accepted: int = 0
    review: int = 0
    rejected: int = 0
    deferred: int = 0

    @property
    def claimed(self) -> int:
        """Return the number of all files."""
        return self.accepted + self.review + self.rejected + self.deferred

    def __add__(self, other: "OutcomeCounts") -> "OutcomeCounts":
        pairs = zip(astuple(self), astuple(other), strict=True)
        return OutcomeCounts(*(mine + theirs for mine, theirs in pairs))

    def to_json(self) -> dict[str, int]:
        """Return the counts by name; `released`, the name of `deferred` before 0.2, stays until 1.0."""
        return {**asdict(self), "released": self.deferred}

    @classmethod
    def from_claims(cls, claims: Iterable[Claim]) -> "OutcomeCounts":
        """Count files by outcome."""
        outcomes = Counter(claim.outcome for claim in claims)
        return cls(**{outcome: outcomes[outcome] for outcome in FileOutcome})


class FileSnapshot(NamedTuple):
    """A file at the time of a scan; equal snapshots of two scans mean that it is complete."""

    path: str
    """Relative to the inbox, with `/`; undecodable bytes as surrogates (`os.fsdecode`)."""
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def changed_ns(self) -> int:
        """Return the time of the last change of content or inode, nanoseconds since 1970."""
        return max(self.mtime_ns, self.ctime_ns)

    @property
    def identity(self) -> FileIdentity:
        """Return the identity of the file, as the ledger stores it."""
        return file_identity(self.inode, self.size, self.mtime_ns)
