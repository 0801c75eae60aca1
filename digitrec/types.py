"""Define the frozen dataclasses and enumerations that travel between packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PREPROCESSING_VERSION: int = 1
"""Version of the preprocessing; a model stores the version it was trained with, and loads in no other."""


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
    """Bounding box of a digit or number, in pixels of the upright page (EXIF orientation applied)."""

    x: int
    """Left edge, from the left edge of the page."""
    y: int
    """Top edge, from the top edge of the page."""
    width: int
    """At least 1."""
    height: int
    """At least 1."""

    def share_inside(self, other: "Box") -> float:
        """Return the share of its area that is inside another box, 0..1.

        >>> Box(0, 0, 4, 2).share_inside(Box(3, 0, 9, 9))
        0.25
        """
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0) / (self.width * self.height)

    @classmethod
    def enclose(cls, boxes: "Sequence[Box]") -> "Box":
        """Return the smallest box that holds all of these, at least one.

        >>> Box.enclose([Box(1, 5, 2, 3), Box(4, 2, 3, 4)])
        Box(x=1, y=2, width=6, height=6)
        """
        left, top = min(box.x for box in boxes), min(box.y for box in boxes)
        right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
        return cls(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of a page."""

    box: Box
    """Bounding box of the ink, pixels."""
    probabilities: tuple[float, ...]
    """Ten, 0..1, one for each digit 0 to 9; 1 minus their sum is the probability of a non-digit."""

    @property
    def digit(self) -> int:
        """Return the most probable digit, 0..9."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def confidence(self) -> float:
        """Return the probability of the most probable digit, 0..1."""
        return max(self.probabilities)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What another reader says of a number that was in doubt, and what that is worth."""

    reader: str
    """Name and version of the other reader."""
    text: str
    """The text that it reads."""
    score: float
    """Its confidence in that text, 0..1."""
    agrees: bool
    """It reads the text of the number."""
    confidence: float
    """Calibrated probability that the text of the number is right, with this evidence, 0..1."""
    threshold: float
    """Lowest such probability that is accepted; more than 1 accepts nothing."""

    @property
    def description(self) -> str:
        """Return what the other reader says in a line of ASCII characters.

        >>> Opinion("rapidocr-3.10", "l2Ⅲ", 0.91, False, 0.2, 0.98).description
        'rapidocr-3.10 reads l2?, score 0.9100'
        """
        text = "".join(character if " " < character < "\x7f" else "?" for character in self.text)
        result = "agrees" if self.agrees else f"reads {text or 'nothing'}"
        return f"{self.reader} {result}, score {self.score:.4f}"


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
    """Calibrated probability that `text` is right, 0..1; None if a person typed it."""
    status: PageStatus = PageStatus.ACCEPTED
    """Accepted or review."""
    reason: Reason | None = None
    """Why it needs review; None if it is accepted."""
    opinion: Opinion | None = None
    """Of another reader; None if none was asked."""


@dataclass(frozen=True, slots=True)
class NumberCounts:
    """Counts of the numbers on the pages of one or several batches."""

    found: int = 0
    accepted: int = 0
    most_on_page: int = 0
    """Largest count of numbers on one page."""

    @property
    def review(self) -> int:
        """Return how many numbers need review."""
        return self.found - self.accepted

    def __add__(self, other: "NumberCounts") -> "NumberCounts":
        return NumberCounts(
            self.found + other.found,
            self.accepted + other.accepted,
            max(self.most_on_page, other.most_on_page),
        )

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return {"found": self.found, "accepted": self.accepted, "review": self.review}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Lowest confidences that are accepted without review, 0..1; more than 1 accepts nothing."""

    digit: float
    """For a page that holds one digit and nothing else."""
    number: float
    """For every number of any other page."""

    def for_text(self, text: str) -> float:
        """Return the threshold of a page on which this text was read."""
        return self.digit if len(text) <= 1 else self.number


@dataclass(frozen=True, slots=True)
class PageReading:
    """Result of one page: its numbers, or the reason code; one row of the CSV."""

    page: int
    """Number of the page in its file, from 1."""
    status: PageStatus
    """Accepted, review or rejected."""
    text: str = ""
    """The numbers as written, in reading order, with one space between them; "" if there are none."""
    confidence: float | None = None
    """Calibrated probability that all of `text` is right, 0..1; None without numbers."""
    runner_up: str = ""
    """The second most probable text; "" if there is none."""
    runner_up_confidence: float | None = None
    """Its probability, 0..1; None without a runner-up."""
    reason: Reason | None = None
    """Why the page is not accepted; None if it is."""
    detail: str = ""
    """The same as a sentence for a person."""
    format: str = ""
    """Format of the file, such as png; "" if it is unknown."""
    width: int | None = None
    """Width of the upright page, pixels; None if it cannot be decoded."""
    height: int | None = None
    """Height of the upright page, pixels; None if it cannot be decoded."""
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
    number_columns: tuple[str, ...]
    """Empty for a batch that 0.1 recorded: it has no table of numbers."""
    schema_version: int
    csv_profile: str
    model_id: str
    app_version: str
    processed_at: str
    thresholds: Thresholds | None
    """Lowest confidences that were accepted; None for a batch restored from its CSV."""
    max_error: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are claimed, read and published together."""

    id: str
    opened_at: str
    stage: BatchStage
    output_format: OutputFormat | None = None


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
