"""Define the frozen dataclasses and enumerations that travel between packages."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

PREPROCESSING_VERSION: int = 1
"""Version of the preprocessing; a model stores the version it was trained with, and loads in no other."""

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


class PageStatus(StrEnum):
    """Outcome of a page."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    REJECTED = "rejected"
    CORRECTED = "corrected"
    CONFIRMED = "confirmed"


class Reason(StrEnum):
    """Reason code of a page that was not accepted; the list is closed, as part of the CSV schema."""

    LOW_CONFIDENCE = "low_confidence"
    NOT_A_DIGIT = "not_a_digit"
    AMBIGUOUS_LAYOUT = "ambiguous_layout"
    OTHER_MARKS = "other_marks"
    TURNED = "turned"
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
        """Return the reason as a sentence without its full stop."""
        return _WORDS[self]

    @property
    def is_rejection(self) -> bool:
        """Return whether the page has no result; otherwise it has one that needs review."""
        return self not in _REVIEW_REASONS


_REVIEW_REASONS = {
    Reason.LOW_CONFIDENCE,
    Reason.NOT_A_DIGIT,
    Reason.AMBIGUOUS_LAYOUT,
    Reason.OTHER_MARKS,
    Reason.TURNED,
}
_WORDS = {
    Reason.LOW_CONFIDENCE: "the confidence is too low to accept it without review",
    Reason.NOT_A_DIGIT: "this does not look like a digit",
    Reason.AMBIGUOUS_LAYOUT: "it is not clear which marks belong to the number",
    Reason.OTHER_MARKS: "something on the page was not read",
    Reason.TURNED: "the page can only be read when it is turned",
    Reason.EMPTY_FILE: "the file is empty",
    Reason.NOT_AN_IMAGE: "the content is not a picture",
    Reason.TRUNCATED: "the picture is cut off or damaged",
    Reason.UNSUPPORTED_FORMAT: "this picture or document format is not supported",
    Reason.TOO_LARGE: "larger than the limits allow",
    Reason.ENCRYPTED: "the document is encrypted",
    Reason.BLANK: "the page is blank",
    Reason.IO_ERROR: "the disk reports errors when this file is read",
    Reason.CRASHES_READER: "reading this file ended the worker process three times",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a file, checked before it is decoded."""

    max_bytes: int = 64_000_000
    max_pixels: int = 100_000_000
    max_pages: int = 500


@dataclass(frozen=True, slots=True)
class Box:
    """Bounding box of a digit, in pixels of the upright page (EXIF orientation applied)."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of a page."""

    box: Box
    probabilities: tuple[float, ...]
    """Ten, one for each digit; 1 minus their sum is the probability of a non-digit."""

    @property
    def digit(self) -> int:
        """Return the most probable digit, 0..9."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def confidence(self) -> float:
        """Return the probability of the most probable digit."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a page; one row of `<batch>.numbers.csv`."""

    line: int
    """Line of the page, or row of a table, from 1."""
    column: int
    """Position in the line, or column of a table, from 1."""
    box: Box
    text: str
    """The number as written."""
    digits: tuple[Digit, ...]
    """Its digits, from left to right; fewer than the characters of `text` if that has signs."""
    confidence: float | None = None
    """Calibrated probability that `text` is right."""
    status: PageStatus = PageStatus.ACCEPTED
    """Accepted or review."""
    reason: Reason | None = None
    """Why it needs review; None if it is accepted."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Lowest confidences that are accepted without review, 0..1; more than 1 accepts nothing."""

    digit: float
    """For a page that holds one digit and nothing else."""
    number: float
    """For every number of any other page."""


@dataclass(frozen=True, slots=True)
class PageReading:
    """Result of one page: its numbers, or the reason code; one row of the CSV."""

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
    numbers: tuple[Number, ...] = ()
    """In reading order."""

    @property
    def digits(self) -> tuple[Digit, ...]:
        """Return the digits of all numbers, in reading order."""
        return tuple(digit for number in self.numbers for digit in number.digits)


class BatchStage(StrEnum):
    """Stage of a batch; each is durable before the next step begins."""

    PLANNED = "planned"
    READING = "reading"
    RECORDED = "recorded"
    PUBLISHED = "published"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Format of the CSVs of a batch; with it every version writes the same bytes."""

    columns: tuple[str, ...]
    digit_columns: tuple[str, ...]
    schema_version: int
    csv_profile: str
    model_id: str
    app_version: str
    processed_at: str
    threshold: float | None
    """Lowest confidence that was accepted; None for a batch restored from its CSV."""
    max_error: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are claimed, read and published together."""

    id: str
    opened_at: str
    stage: BatchStage
    output_format: OutputFormat | None = None


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
    """Small PNG of a page that needs review."""


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
