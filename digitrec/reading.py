"""A claimed file -> what it says: the pure half of the pipeline (open, hash, read the pages), then the judgement."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from digitrec import patience
from digitrec.chunks import together
from digitrec.classifiers.base import DIGITS, NONE
from digitrec.errors import RejectedImage
from digitrec.intake import store
from digitrec.intake.store import Stored, Wanted
from digitrec.pictures import Page, Scores
from digitrec.recognition.page_reader import PageReader
from digitrec.records import Digit, Identity, Limits, Reading, Reason, Status, identity, identity_of

_UNDECODABLE = {Reason.NOT_AN_IMAGE, Reason.TRUNCATED}
CHANGED = "it changed while it was read"
GONE = "it is not there any more"
_LEAST_SHARE_OF_TWO = 0.6


@dataclass(frozen=True, slots=True)
class Job:
    """One file to read, and what it must still be."""

    path: Path | Stored
    inode: int
    size: int
    mtime_ns: int

    @property
    def identity(self) -> Identity:
        """What the file must still be."""
        return identity(self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: its pages, or why there are none."""

    sha256: str = ""
    pages: tuple[Page, ...] = ()
    rejected: Reason | None = None
    """The whole file has no answer."""
    returned: str = ""
    """Not empty: the file has to be given back, for this reason."""
    error: int = 0
    """The errno, if it could not be opened or read."""
    is_held: bool = False
    """It is given back for a while, though no system call failed."""
    detail: str = ""

    @property
    def is_undecodable(self) -> bool:
        """True if a writer who is not done yet may be the cause."""
        return self.rejected in _UNDECODABLE or any(page.reason in _UNDECODABLE for page in self.pages)


def read_given(paths: Sequence[Path], limits: Limits, reader: PageReader) -> list[Content]:
    """Read every file of a chunk that a person named, in order; links are followed.

    Raises:
        OSError: one cannot be read.
    """
    return [
        content
        for some in together(paths, lambda path: path.stat().st_size)
        for content in _interpreted([_hashed(path.read_bytes()) for path in some], limits, reader)
    ]


def read_chunk(
    jobs: Sequence[Job], limits: Limits, reader: PageReader, fstat: Callable[[int], os.stat_result] | None = None
) -> list[Content]:
    """Read every file of a chunk, in order; only the first ones if it is called off.

    Pure: the same files give the same contents, in any process.
    """
    fetched = _fetched(jobs, limits)
    contents: list[Content] = []
    for some in together(jobs, lambda job: job.size):
        start = len(contents)
        opened = [
            _opened(job, limits, fstat) if isinstance(job.path, Path) else _stored(job, fetched, limits) for job in some
        ]
        contents += _interpreted(opened, limits, reader, start)
        if len(contents) < start + len(some):
            break
    return contents


def _interpreted(
    opened: Sequence["_Opened | Content"], limits: Limits, reader: PageReader, start: int = 0
) -> list[Content]:
    """What files show, in order; of one that could not be read, what is known already.

    Args:
        opened: the files; only the first ones are read if the chunk is called off.
        limits: what is opened at all.
        reader: reads pages.
        start: position of the first one in the chunk.
    """
    files = [(place, one.data) for place, one in enumerate(opened, start) if isinstance(one, _Opened)]
    read = iter(reader.read_all(_begun(files), limits))
    contents = []
    for one in opened:
        if isinstance(one, Content):
            contents.append(one)
        elif (pages := next(read, None)) is not None:
            contents.append(_content(pages, one.sha256))
        else:
            break
    return contents


def _begun(files: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """The bytes of each file, told to the one who waits as it is begun; none any more once the chunk is called off."""
    for place, data in files:
        if patience.is_called_off():
            return
        patience.begin_page(place)
        yield data


@dataclass(frozen=True, slots=True)
class _Opened:
    """The bytes of a file."""

    data: bytes
    sha256: str


def _hashed(data: bytes) -> _Opened:
    return _Opened(data, hashlib.sha256(data).hexdigest())


def _opened(job: Job, limits: Limits, fstat: Callable[[int], os.stat_result] | None = None) -> _Opened | Content:
    """Open a file without following links, and hash it; if nothing can be read from it, what that means.

    A file that is not what the job says, or that changes meanwhile, is returned.
    """
    try:
        descriptor = _open(job)
    except OSError as why:
        return _unreadable(why)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            before = (fstat or os.fstat)(descriptor)
            if not stat.S_ISREG(before.st_mode) or identity_of(before) != job.identity:
                return Content(returned=CHANGED)
            if before.st_size > limits.max_bytes:  # its digest is wanted all the same
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                data = b""
            else:
                data = file.readall()
                digest = hashlib.sha256(data).hexdigest()
            after = (fstat or os.fstat)(descriptor)
        except OSError as why:
            return _unreadable(why)
    if identity_of(after) != identity_of(before) or (data and len(data) != before.st_size):
        return Content(returned=CHANGED)
    if before.st_size > limits.max_bytes:
        return _too_large(before.st_size, limits, digest)
    return _Opened(data, digest)


def crashed(job: Job) -> Content:
    """What is known of a file whose reading stops the reader: its digest."""
    if isinstance(job.path, Stored):  # it would have to be fetched again, for its digest alone
        return Content(rejected=Reason.CRASHES_READER)
    try:
        descriptor = _open(job)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return Content(hashlib.file_digest(file, "sha256").hexdigest(), rejected=Reason.CRASHES_READER)
    except OSError as why:
        return _unreadable(why)


def _fetched(jobs: Sequence[Job], limits: Limits) -> Mapping[Path | Stored, bytes | OSError | None]:
    """The content of the objects among the files: fetched side by side, and none that is too large."""
    small = [job for job in jobs if job.size <= limits.max_bytes]
    wanted = [Wanted(job.path, job.identity) for job in small if isinstance(job.path, Stored)]
    return dict(zip([one.stored for one in wanted], store.fetch(wanted), strict=True))


def _stored(job: Job, fetched: Mapping[Path | Stored, bytes | OSError | None], limits: Limits) -> _Opened | Content:
    """An object that was fetched; if nothing can be read from it, what that means."""
    if job.size > limits.max_bytes:
        return _too_large(job.size, limits)
    found = fetched[job.path]
    if isinstance(found, OSError):
        return _unreadable(found)
    return Content(returned=CHANGED) if found is None else _hashed(found)


def _open(job: Job) -> int:
    """A file opened without following links; OSError if it cannot be."""
    if isinstance(job.path, Stored):
        raise TypeError(f"{job.path} is an object, and is read by `read_chunk`")
    return os.open(job.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _too_large(size: int, limits: Limits, digest: str = "") -> Content:
    detail = f"{size} bytes; the limit is {limits.max_bytes}"
    return Content(digest, rejected=Reason.TOO_LARGE, detail=detail)


def interpret(data: bytes, limits: Limits, reader: PageReader) -> Content:
    """What the bytes of a file show."""
    (content,) = _interpreted([_hashed(data)], limits, reader)
    return content


def _content(read: list[Page] | RejectedImage, sha256: str) -> Content:
    if isinstance(read, RejectedImage):
        return Content(sha256, rejected=read.reason, detail=read.detail)
    return Content(sha256, tuple(read))


def readings_of(contents: Sequence[Content], threshold: float) -> list[list[Reading]]:
    """The readings of each content, a page each; a content that is returned has none."""
    found = []
    for content in contents:
        readings = [] if content.rejected is None else [rejected(1, content.rejected, content.detail)]
        found.append([*readings, *(judge(page, threshold) for page in content.pages)])
    return found


def judge(page: Page, threshold: float) -> Reading:
    """Turn a page and its scores into the row people see.

    Args:
        page: its scores calibrated.
        threshold: lowest confidence that is accepted without a look.
    """
    reading = partial(Reading, page.number, format=page.format, width=page.width, height=page.height)
    if page.reason is not None and page.reason.rejects:
        return reading(Status.REJECTED, reason=page.reason, detail=page.detail or page.reason.words)
    if page.reason is not None and not page.boxes:
        return reading(Status.REVIEW, reason=page.reason, detail=page.detail or page.reason.words)
    digits = [Digit(box, tuple(row)) for box, row in zip(page.boxes, page.scores[:, :DIGITS].tolist(), strict=True)]
    runner_up, runner_up_confidence = _second_best(digits)
    reason = page.reason or _doubt(page, threshold)
    return reading(
        Status.ACCEPTED if reason is None else Status.REVIEW,
        text="".join(str(one.digit) for one in digits),
        confidence=_clip(page.certainty * _product(one.confidence for one in digits)),
        runner_up=runner_up,
        runner_up_confidence=_clip(page.certainty * runner_up_confidence),
        reason=reason,
        detail="" if reason is None else page.detail or reason.words,
        digits=tuple(digits),
    )


def accepted_from(page: Page) -> float | None:
    """The highest threshold at which a page would be accepted, 0..1: its confidence. None if at no threshold."""
    return None if page.reason else trusted(page.scores, page.certainty)


def trusted(scores: Scores, certainty: float = 1.0) -> float | None:
    """The probability that the digits of a page are all what they seem; None if one of them most likely is no digit.

    >>> trusted(np.array([[0.75, 0.25, *[0.0] * 9], [0.5, *[0.0] * 9, 0.5]], np.float32))
    0.375
    >>> trusted(np.array([[0.4, *[0.0] * 9, 0.6]], np.float32)) is None
    True
    """
    likely = scores[:, :DIGITS].max(axis=1)  # (n,)
    # No threshold is so low that something is accepted which most likely is no digit.
    return None if (scores[:, NONE] > likely).any() else _clip(certainty * _product(map(float, likely)))


def rejected(page: int, reason: Reason, detail: str = "") -> Reading:
    """The row of a page, or of a whole file, without an answer."""
    return Reading(page, Status.REJECTED, reason=reason, detail=detail or reason.words)


def file_status(readings: Iterable[Reading]) -> Status:
    """Rejected if all pages are, else review if any page is not accepted, else accepted."""
    found = {reading.status for reading in readings}
    if found == {Status.REJECTED}:
        return Status.REJECTED
    return Status.ACCEPTED if found == {Status.ACCEPTED} else Status.REVIEW


def _doubt(page: Page, threshold: float) -> Reason | None:
    scores, confidence = page.scores, trusted(page.scores, page.certainty)
    if confidence is None:
        return Reason.NOT_A_DIGIT
    if confidence >= threshold:
        return None
    # A digit that is hard to tell from another keeps its probability within two; what is no digit spreads it.
    of_two = np.sort(scores[:, :DIGITS], axis=1)[:, -2:].sum(axis=1)
    is_spread = of_two < _LEAST_SHARE_OF_TWO * (1.0 - scores[:, NONE])
    return Reason.NOT_A_DIGIT if is_spread.any() else Reason.LOW_CONFIDENCE


def _second_best(digits: Sequence[Digit]) -> tuple[str, float]:
    """The next most probable number: the one where the least certain digit is its second choice."""
    seconds = [_second(one) for one in digits]
    # A network may be so sure of "no digit" that nothing is left for any.
    ratios = [
        one.probabilities[second] / one.confidence if one.confidence else 1.0
        for one, second in zip(digits, seconds, strict=True)
    ]
    weakest = max(range(len(digits)), key=ratios.__getitem__)
    text = "".join(str(seconds[at] if at == weakest else one.digit) for at, one in enumerate(digits))
    return text, _product(one.confidence for one in digits) * ratios[weakest]


def _second(one: Digit) -> int:
    first = one.digit
    return max((digit for digit in range(DIGITS) if digit != first), key=one.probabilities.__getitem__)


def _product(numbers: Iterable[float]) -> float:
    result = 1.0
    for number in numbers:
        result *= number
    return result


def _clip(probability: float) -> float:
    # Ten float32 shares may add up to a hair over 1.
    return min(1.0, max(0.0, probability))


def _unreadable(why: OSError) -> Content:
    if why.errno == errno.ENOENT:
        return Content(returned=GONE, error=errno.ENOENT)
    if why.errno == errno.ELOOP:
        return Content(returned=CHANGED)
    number = why.errno or errno.EIO
    return Content(returned=f"it cannot be read: {os.strerror(number)}", error=number)
