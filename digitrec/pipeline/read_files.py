"""Open, hash and read claimed files: the pure half of the pipeline."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from digitrec.arrays import PageResult
from digitrec.errors import RejectedImage
from digitrec.pipeline import worker_main
from digitrec.recognition import decision
from digitrec.recognition.reader import PageReader
from digitrec.storage import object_client
from digitrec.storage.object_client import Stored, Wanted
from digitrec.types import Identity, Limits, Reading, Reason, identity, identity_of

_UNDECODABLE = {Reason.NOT_AN_IMAGE, Reason.TRUNCATED}
CHANGED = "it changed while it was read"
GONE = "it is not there any more"
_MAX_GROUP_BYTES = 1 << 20
"""Files are held in memory together up to this size."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadJob:
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
class FileResult:
    """What a file holds: its pages, or why there are none."""

    sha256: str = ""
    pages: tuple[PageResult, ...] = ()
    rejected: Reason | None = None
    """The whole file has no answer."""
    defer_reason: str = ""
    """Not empty: the file has to be deferred, for this reason."""
    error: int = 0
    """The errno, if it could not be opened or read."""
    has_backoff: bool = False
    """The file is deferred with backoff, though no system call failed."""
    detail: str = ""

    @property
    def is_undecodable(self) -> bool:
        """True if a writer who is not done yet may be the cause."""
        return self.rejected in _UNDECODABLE or any(page.reason in _UNDECODABLE for page in self.pages)


def read_paths(paths: Sequence[Path], limits: Limits, reader: PageReader) -> list[FileResult]:
    """Read the files that a person named, in order; links are followed.

    Raises:
        OSError: one cannot be read.
    """
    return [
        content
        for group in group_by_bytes(paths, lambda path: path.stat().st_size)
        for content in _read_pages([_hash(path.read_bytes()) for path in group], limits, reader)
    ]


def read_chunk(
    jobs: Sequence[ReadJob], limits: Limits, reader: PageReader, fstat: Callable[[int], os.stat_result] | None = None
) -> list[FileResult]:
    """Read every file of a chunk, in order; only the first ones if it is cancelled.

    Pure: the same files give the same contents, in any process.
    """
    fetched = _fetch_objects(jobs, limits)
    contents: list[FileResult] = []
    for group in group_by_bytes(jobs, lambda job: job.size):
        start = len(contents)
        opened = [
            _read_file(job, limits, fstat) if isinstance(job.path, Path) else _check_object(job, fetched, limits)
            for job in group
        ]
        contents += _read_pages(opened, limits, reader, start)
        if len(contents) < start + len(group):
            break
    return contents


def group_by_bytes(files: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield the files to read together, which takes less time: consecutive ones of up to 1 MB, a larger one alone.

    >>> [*group_by_bytes([400_000, 500_000, 300_000, 2_000_000, 7], int)]
    [[400000, 500000], [300000], [2000000], [7]]
    """
    start = size = 0
    for place, file in enumerate(files):
        own = size_of(file)
        if place > start and size + own > _MAX_GROUP_BYTES:
            yield files[start:place]
            start, size = place, 0
        size += own
    if start < len(files):
        yield files[start:]


def _read_pages(
    opened: Sequence["_FileBytes | FileResult"], limits: Limits, reader: PageReader, start: int = 0
) -> list[FileResult]:
    """Read the pages of files, in order; a file that could not be opened keeps its content.

    Args:
        opened: the files; only the first ones are read if the chunk is cancelled.
        limits: what is opened at all.
        reader: reads pages.
        start: position of the first file in the chunk.
    """
    readable = [(place, file.data) for place, file in enumerate(opened, start) if isinstance(file, _FileBytes)]
    data = (data for _, data in takewhile(lambda _: not worker_main.is_cancelled(), readable))
    results = iter(reader.read_files(data, limits, lambda file: worker_main.begin_page(readable[file][0])))
    contents = []
    for file in opened:
        if isinstance(file, FileResult):
            contents.append(file)
        elif (pages := next(results, None)) is None:
            break
        elif isinstance(pages, RejectedImage):
            contents.append(FileResult(file.sha256, rejected=pages.reason, detail=pages.detail))
        else:
            contents.append(FileResult(file.sha256, tuple(pages)))
    return contents


@dataclass(frozen=True, slots=True)
class _FileBytes:
    """The bytes of a file."""

    data: bytes
    sha256: str


def _hash(data: bytes) -> _FileBytes:
    return _FileBytes(data, hashlib.sha256(data).hexdigest())


def _read_file(
    job: ReadJob, limits: Limits, fstat: Callable[[int], os.stat_result] | None = None
) -> _FileBytes | FileResult:
    """Open a file without following links, and hash it; if nothing can be read from it, what that means.

    A file that is not what the job says, or that changes meanwhile, is deferred.
    """
    try:
        descriptor = _open(job)
    except OSError as why:
        return _defer_unreadable(why)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            before = (fstat or os.fstat)(descriptor)
            if not stat.S_ISREG(before.st_mode) or identity_of(before) != job.identity:
                return FileResult(defer_reason=CHANGED)
            if before.st_size > limits.max_bytes:  # its digest is wanted all the same
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                data = b""
            else:
                data = file.readall()
                digest = hashlib.sha256(data).hexdigest()
            after = (fstat or os.fstat)(descriptor)
        except OSError as why:
            return _defer_unreadable(why)
    if identity_of(after) != identity_of(before) or (data and len(data) != before.st_size):
        return FileResult(defer_reason=CHANGED)
    if before.st_size > limits.max_bytes:
        return _reject_too_large(before.st_size, limits, digest)
    return _FileBytes(data, digest)


def reject_crashing(job: ReadJob) -> FileResult:
    """What is known of a file whose reading stops the reader: its digest."""
    if isinstance(job.path, Stored):  # it would have to be fetched again, for its digest alone
        return FileResult(rejected=Reason.CRASHES_READER)
    try:
        descriptor = _open(job)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return FileResult(hashlib.file_digest(file, "sha256").hexdigest(), rejected=Reason.CRASHES_READER)
    except OSError as why:
        return _defer_unreadable(why)


def _fetch_objects(jobs: Sequence[ReadJob], limits: Limits) -> Mapping[Path | Stored, bytes | OSError | None]:
    """The content of the objects among the files: fetched side by side, and none that is too large."""
    small = [job for job in jobs if job.size <= limits.max_bytes]
    wanted = [Wanted(job.path, job.identity) for job in small if isinstance(job.path, Stored)]
    return dict(zip([one.stored for one in wanted], object_client.fetch(wanted), strict=True))


def _check_object(
    job: ReadJob, fetched: Mapping[Path | Stored, bytes | OSError | None], limits: Limits
) -> _FileBytes | FileResult:
    """An object that was fetched; if nothing can be read from it, what that means."""
    if job.size > limits.max_bytes:
        return _reject_too_large(job.size, limits)
    found = fetched[job.path]
    if isinstance(found, OSError):
        return _defer_unreadable(found)
    return FileResult(defer_reason=CHANGED) if found is None else _hash(found)


def _open(job: ReadJob) -> int:
    """A file opened without following links; OSError if it cannot be."""
    if isinstance(job.path, Stored):
        raise TypeError(f"{job.path} is an object, and is read by `read_chunk`")
    return os.open(job.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _reject_too_large(size: int, limits: Limits, digest: str = "") -> FileResult:
    detail = f"{size} bytes; the limit is {limits.max_bytes}"
    return FileResult(digest, rejected=Reason.TOO_LARGE, detail=detail)


def read_bytes(data: bytes, limits: Limits, reader: PageReader) -> FileResult:
    """What the bytes of a file show."""
    (content,) = _read_pages([_hash(data)], limits, reader)
    return content


def decide_readings(contents: Sequence[FileResult], threshold: float) -> list[list[Reading]]:
    """The readings of each content, a page each; a content that is deferred has none."""
    found = []
    for content in contents:
        readings = [] if content.rejected is None else [decision.reject(1, content.rejected, content.detail)]
        found.append([*readings, *(decision.decide(page, threshold) for page in content.pages)])
    return found


def _defer_unreadable(why: OSError) -> FileResult:
    if why.errno == errno.ENOENT:
        return FileResult(defer_reason=GONE, error=errno.ENOENT)
    if why.errno == errno.ELOOP:
        return FileResult(defer_reason=CHANGED)
    number = why.errno or errno.EIO
    return FileResult(defer_reason=f"it cannot be read: {os.strerror(number)}", error=number)
