"""The small frozen records that travel between modules."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

PREPROCESSING_VERSION: int = 1
"""Number of this way of making ink; a model remembers the one it was trained with, and no other version loads it."""


FileIdentity: TypeAlias = tuple[int, int, int]
"""Inode, size and mtime_ns of a file, each folded into signed 64 bit: what tells it from every other one."""


def fold_int64(number: int) -> int:
    """Fold a stat field into signed 64 bit, all that SQLite stores; a number that fits stays as it is.

    Inodes reach 2^64 - 1 (mergerfs, CIFS, FUSE), and nanoseconds after 2262 more than 2^63.

    >>> fold_int64(7), fold_int64(-1), fold_int64(2**63), fold_int64(2**64 - 1)
    (7, -1, -9223372036854775808, -1)
    """
    return (number + 2**63) % 2**64 - 2**63


def file_identity(inode: int, size: int, mtime_ns: int) -> FileIdentity:
    """Return what tells a file from others, as the ledger stores it."""
    return fold_int64(inode), fold_int64(size), fold_int64(mtime_ns)


def identity_from_stat(state: os.stat_result) -> FileIdentity:
    """Return the identity of a file from its stat fields."""
    return file_identity(state.st_ino, state.st_size, state.st_mtime_ns)


class PageStatus(StrEnum):
    """What became of a page."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    REJECTED = "rejected"
    CORRECTED = "corrected"
    CONFIRMED = "confirmed"


class Reason(StrEnum):
    """Why a page was not accepted. The list is closed: it is part of the CSV's schema."""

    LOW_CONFIDENCE = "low_confidence"
    NOT_A_DIGIT = "not_a_digit"
    AMBIGUOUS_LAYOUT = "ambiguous_layout"
    OTHER_MARKS = "other_marks"
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    ENCRYPTED = "encrypted"
    BLANK = "blank"
    IO_ERROR = "io_error"
    CRASHES_READER = "crashes_reader"

    @property
    def description(self) -> str:
        """The reason as a sentence without its full stop."""
        return _WORDS[self]

    @property
    def is_rejection(self) -> bool:
        """True if a page with this reason has no answer; False if it has one that a person should look at."""
        return self not in {Reason.LOW_CONFIDENCE, Reason.NOT_A_DIGIT, Reason.AMBIGUOUS_LAYOUT, Reason.OTHER_MARKS}


_WORDS = {
    Reason.LOW_CONFIDENCE: "not sure enough to accept without a look",
    Reason.NOT_A_DIGIT: "this does not look like a digit",
    Reason.AMBIGUOUS_LAYOUT: "it is not clear which marks belong to the number",
    Reason.OTHER_MARKS: "something on the page was not read",
    Reason.EMPTY_FILE: "the file is empty",
    Reason.NOT_AN_IMAGE: "the content is no picture",
    Reason.TRUNCATED: "the picture is cut off or damaged",
    Reason.UNSUPPORTED_FORMAT: "this kind of picture or document is not read",
    Reason.TOO_LARGE: "larger than the limits allow",
    Reason.ENCRYPTED: "the document is encrypted",
    Reason.BLANK: "nothing is written here",
    Reason.IO_ERROR: "the disk reports errors when this file is read",
    Reason.CRASHES_READER: "reading this file stopped the reader three times",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is opened at all; checked before decoding."""

    max_bytes: int = 64_000_000
    max_pixels: int = 100_000_000
    max_pages: int = 500


@dataclass(frozen=True, slots=True)
class Box:
    """Where a digit is, in pixels of the page as a person sees it (EXIF orientation applied)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit found on a page."""

    box: Box
    probabilities: tuple[float, ...]
    """Ten, of the digits; what their sum lacks to 1 is the probability that it is no digit."""

    @property
    def digit(self) -> int:
        """The most probable one, 0..9."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def confidence(self) -> float:
        """Its probability."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class PageReading:
    """What became of one page: the digits read, or the reason there are none. One row of the CSV."""

    page: int
    status: PageStatus
    text: str = ""
    confidence: float | None = None
    runner_up: str = ""
    runner_up_confidence: float | None = None
    reason: Reason | None = None
    detail: str = ""
    format: str = ""
    width: int | None = None
    height: int | None = None
    digits: tuple[Digit, ...] = ()


class BatchStage(StrEnum):
    """How far a batch is; each is durable before the next step begins."""

    PLANNED = "planned"
    READING = "reading"
    RECORDED = "recorded"
    PUBLISHED = "published"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How the CSVs of a batch are written: the same bytes every time, whatever version writes them."""

    columns: tuple[str, ...]
    digit_columns: tuple[str, ...]
    schema_version: int
    csv_profile: str
    model_id: str
    app_version: str
    processed_at: str
    threshold: float | None
    """Lowest confidence that was accepted; None if only the CSV is left to tell."""
    max_error: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were claimed together and are answered together."""

    id: str
    opened_at: str
    stage: BatchStage
    rendering: OutputFormat | None = None


class FileOutcome(StrEnum):
    """What became of a claimed file."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    REJECTED = "rejected"
    DEFERRED = "deferred"

    @classmethod
    def _missing_(cls, value: object) -> "FileOutcome | None":
        """Read the word that a ledger of schema 4 or earlier has for `deferred`."""
        return cls.DEFERRED if value == "released" else None


@dataclass(frozen=True, slots=True)
class Claim:
    """One file of a batch, as it was at the look before it was claimed."""

    batch_id: str
    path: str
    """Under the inbox; undecodable bytes as surrogates."""
    inode: int
    size: int
    mtime_ns: int
    """As `os.stat` tells them, or folded, as the ledger does: `file_identity` compares them."""
    is_fresh: bool
    """It had changed less than `grace_s` before that look."""
    received_at: str
    outcome: FileOutcome | None = None
    detail: str = ""
    """Why the file was deferred."""
    sha256: str = ""
    location: str = ""
    """Where the original lies now, under the workspace; "" while it is claimed."""
    reason_file: str = ""
    """Where its reason file lies, if it was rejected."""

    @property
    def identity(self) -> FileIdentity:
        """What tells this file from others."""
        return file_identity(self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class DeferredFile:
    """A file that stays in the inbox and may be tried again later."""

    inode: int
    size: int
    mtime_ns: int
    sha256: str
    why: str
    first_at_s: float
    """First try, seconds since 1970."""
    tries: int
    next_at_s: float
    """Not tried again before this, seconds since 1970."""

    @property
    def identity(self) -> FileIdentity:
        """What tells this file from others."""
        return file_identity(self.inode, self.size, self.mtime_ns)

    def is_backing_off(self, now_s: float) -> bool:
        """Return whether it is not to be tried yet: for its backoff and no longer, whatever the clock did meanwhile."""
        return self.next_at_s - self._pause_s() <= now_s < self.next_at_s

    def _pause_s(self) -> float:
        # Only what was read and cannot be decoded has a digest: it waits from its first try on, by `grace_s`.
        return self.next_at_s - self.first_at_s if self.sha256 else backoff_s(self.tries)


_LONGEST_BACKOFF_S = 300.0


def backoff_s(tries: int) -> float:
    """Return the pause after so many tries, of a file or of the service: 1 s, 2 s, 4 s, at most 5 minutes.

    >>> backoff_s(1), backoff_s(3), backoff_s(2000)
    (1.0, 4.0, 300.0)
    """
    return float(min(2 ** min(tries - 1, 16), _LONGEST_BACKOFF_S))


class RemovalKind(StrEnum):
    """Why an original is not where its batch filed it away."""

    REQUEUED = "requeued"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class RemovedOriginal:
    """An original that a person let go: back into the inbox, or removed for good. It counts as accounted for."""

    batch_id: str
    path: str
    """Under the inbox, as it was claimed."""
    kind: RemovalKind
    removed_at: str
    location: str = ""
    """Under the workspace, where a requeued one was put; "" while it is on its way, and for a pruned one."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a batch's CSV."""

    batch_id: str
    row: int
    path: str
    sha256: str
    size: int
    received_at: str
    label: str
    duplicate_of: str
    reading: PageReading
    preview: bytes | None = None
    """A small PNG for people, where they should look."""


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What became of the files of a batch, or of several."""

    accepted: int = 0
    review: int = 0
    rejected: int = 0
    deferred: int = 0

    @property
    def claimed(self) -> int:
        """All of them."""
        return self.accepted + self.review + self.rejected + self.deferred

    def __add__(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(
            self.accepted + other.accepted,
            self.review + other.review,
            self.rejected + other.rejected,
            self.deferred + other.deferred,
        )

    def to_json(self) -> dict[str, int]:
        """Return the counts by name; `released` is the name of `deferred` before 0.2 and stays until 1.0."""
        return {**asdict(self), "released": self.deferred}

    @classmethod
    def from_claims(cls, claims: Iterable[Claim]) -> "OutcomeCounts":
        """OutcomeCounts files by fate."""
        fates = Counter(claim.outcome for claim in claims)
        return cls(
            *(
                fates[fate]
                for fate in (FileOutcome.ACCEPTED, FileOutcome.REVIEW, FileOutcome.REJECTED, FileOutcome.DEFERRED)
            )
        )


class FileSnapshot(NamedTuple):
    """A file as one look found it. Two equal ones with time between them mean that it is complete."""

    path: str
    """Under the inbox, `/` between folders; undecodable bytes as surrogates (`os.fsdecode`)."""
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def changed_ns(self) -> int:
        """Its last change, in nanoseconds since 1970: the newer of content and inode time."""
        return max(self.mtime_ns, self.ctime_ns)

    @property
    def identity(self) -> FileIdentity:
        """What tells this file from others, as the ledger stores it."""
        return file_identity(self.inode, self.size, self.mtime_ns)
