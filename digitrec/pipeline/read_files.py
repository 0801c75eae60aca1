"""Open, hash and read files; the same files give the same results, in any process."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from digitrec.arrays import PageResult
from digitrec.errors import RejectedImage
from digitrec.pipeline import worker_main
from digitrec.recognition import decision
from digitrec.recognition.reader import PageReader
from digitrec.storage import object_client
from digitrec.storage.claims import FileIdentity, file_identity, identity_from_stat
from digitrec.storage.object_client import FetchRequest, ObjectRef
from digitrec.types import Limits, PageReading, Reason, Thresholds

_UNDECODABLE = {Reason.NOT_AN_IMAGE, Reason.TRUNCATED}
CHANGED = "it changed while it was read"
GONE = "it is not there any more"
_MAX_GROUP_BYTES = 1 << 20
"""Upper limit of the bytes of files that are held in memory and read together."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadJob:
    """One file to read, and the identity that it must still have."""

    path: Path | ObjectRef
    inode: int
    size: int
    mtime_ns: int

    @property
    def identity(self) -> FileIdentity:
        """Identity that the file must have."""
        return file_identity(self.inode, self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class FileResult:
    """The pages of a file, or why there are none."""

    sha256: str = ""
    pages: tuple[PageResult, ...] = ()
    rejected: Reason | None = None
    """Reason for which the whole file has no answer."""
    defer_reason: str = ""
    """Reason for which the file has to be deferred; "" if it is not."""
    error: int = 0
    """The errno, if it could not be opened or read."""
    has_backoff: bool = False
    """The file is deferred with backoff, though no system call failed."""
    detail: str = ""
    size: int = 0
    """Bytes of the content that was read."""

    @property
    def is_undecodable(self) -> bool:
        """True if an unfinished writer may be the cause of the rejection."""
        return self.rejected in _UNDECODABLE or any(page.reason in _UNDECODABLE for page in self.pages)


def read_paths(paths: Sequence[Path], limits: Limits, reader: PageReader) -> list[FileResult]:
    """Read files that a user named, in order; links are followed.

    Raises:
        OSError: a file cannot be read.
    """
    results = []
    for result in iter_results(paths, limits, reader):
        if isinstance(result, OSError):
            raise result
        results.append(result)
    return results


def iter_results(paths: Sequence[Path], limits: Limits, reader: PageReader) -> Iterator[FileResult | OSError]:
    """Yield the result of each file that a user named, in order, or the error if it cannot be read.

    Links are followed. Small files are read together, as in the pipeline.
    """
    for group in group_by_bytes(paths, _get_size):
        contents = [_read_content(path) for path in group]
        readable = [content for content in contents if isinstance(content, _FileBytes)]
        results = iter(_read_pages(readable, limits, reader))
        yield from (content if isinstance(content, OSError) else next(results) for content in contents)


def _get_size(path: Path) -> int:
    """Return the size of a file, bytes; 0 if it is missing."""
    try:
        return path.stat().st_size
    except OSError:  # `_read_content` reports it
        return 0


def _read_content(path: Path) -> "_FileBytes | OSError":
    try:
        return _hash(path.read_bytes())
    except OSError as error:
        return error


def read_chunk(
    jobs: Sequence[ReadJob], limits: Limits, reader: PageReader, fstat: Callable[[int], os.stat_result] | None = None
) -> list[FileResult]:
    """Read every file of a chunk, in order; only the first ones if it is cancelled."""
    # The objects of a store are fetched concurrently; those over `max_bytes` are rejected without it.
    objects: dict[Path | ObjectRef, bytes | OSError | None] = {}
    small = [job for job in jobs if job.size <= limits.max_bytes]
    if requests := [FetchRequest(job.path, job.identity) for job in small if isinstance(job.path, ObjectRef)]:
        objects |= zip([request.ref for request in requests], object_client.fetch_objects(requests), strict=True)
    results: list[FileResult] = []
    for group in group_by_bytes(jobs, lambda job: job.size):
        start = len(results)
        files = [
            _read_file(job, limits, fstat) if isinstance(job.path, Path) else _check_object(job, objects, limits)
            for job in group
        ]
        results += _read_pages(files, limits, reader, start)
        if len(results) < start + len(group):
            break
    return results


def group_by_bytes(files: Sequence[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Yield groups of consecutive files of up to 1 MB, which are faster to read together; a larger file is alone.

    >>> [*group_by_bytes([400_000, 500_000, 300_000, 2_000_000, 7], int)]
    [[400000, 500000], [300000], [2000000], [7]]
    """
    start = group_size = 0
    for position, file in enumerate(files):
        size = size_of(file)
        if position > start and group_size + size > _MAX_GROUP_BYTES:
            yield files[start:position]
            start, group_size = position, 0
        group_size += size
    if start < len(files):
        yield files[start:]


def _read_pages(
    files: Sequence["_FileBytes | FileResult"], limits: Limits, reader: PageReader, start: int = 0
) -> list[FileResult]:
    """Read the pages of files, in order; a file that already has a result keeps it.

    Args:
        files: the files; only the first ones are read if the chunk is cancelled.
        limits: limits on size and number of pages.
        reader: reads pages.
        start: position of the first file in the chunk.
    """
    readable = [(position, file.data) for position, file in enumerate(files, start) if isinstance(file, _FileBytes)]
    data = (data for _, data in takewhile(lambda _: not worker_main.is_cancelled(), readable))
    pages_by_file = iter(reader.read_files(data, limits, lambda index: worker_main.begin_page(readable[index][0])))
    results = []
    for file in files:
        if isinstance(file, FileResult):
            results.append(file)
        elif (pages := next(pages_by_file, None)) is None:
            break
        elif isinstance(pages, RejectedImage):
            results.append(FileResult(file.sha256, rejected=pages.reason, detail=pages.detail, size=len(file.data)))
        else:
            # The ink of the digits served recognition only: 1 MB on a page of 300.
            light = tuple(replace(page, ink=page.ink[:0].copy()) for page in pages)
            results.append(FileResult(file.sha256, light, size=len(file.data)))
    return results


@dataclass(frozen=True, slots=True)
class _FileBytes:
    """The bytes of a file and their digest."""

    data: bytes
    sha256: str


def _hash(data: bytes) -> _FileBytes:
    return _FileBytes(data, hashlib.sha256(data).hexdigest())


def _read_file(
    job: ReadJob, limits: Limits, fstat: Callable[[int], os.stat_result] | None = None
) -> _FileBytes | FileResult:
    """Open a file without following links, read and hash it; return a result if that fails.

    A file that is not the one of the job, or that changes meanwhile, is deferred.
    """
    try:
        descriptor = _open(job)
    except OSError as error:
        return _defer_unreadable(error)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            before = (fstat or os.fstat)(descriptor)
            if not stat.S_ISREG(before.st_mode) or identity_from_stat(before) != job.identity:
                return FileResult(defer_reason=CHANGED)
            if before.st_size > limits.max_bytes:  # the table shows the digest of a rejected file, too
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                data = b""
            else:
                data = file.readall()
                digest = hashlib.sha256(data).hexdigest()
            after = (fstat or os.fstat)(descriptor)
        except OSError as error:
            return _defer_unreadable(error)
    if identity_from_stat(after) != identity_from_stat(before) or (data and len(data) != before.st_size):
        return FileResult(defer_reason=CHANGED)
    if before.st_size > limits.max_bytes:
        return _reject_too_large(before.st_size, limits, digest)
    return _FileBytes(data, digest)


def reject_crashing(job: ReadJob) -> FileResult:
    """Return the result of a file that crashes its reader, with its digest."""
    if isinstance(job.path, ObjectRef):  # it would have to be fetched again for its digest
        return FileResult(rejected=Reason.CRASHES_READER)
    try:
        descriptor = _open(job)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return FileResult(hashlib.file_digest(file, "sha256").hexdigest(), rejected=Reason.CRASHES_READER)
    except OSError as error:
        return _defer_unreadable(error)


def _check_object(
    job: ReadJob, objects: Mapping[Path | ObjectRef, bytes | OSError | None], limits: Limits
) -> _FileBytes | FileResult:
    """Return the bytes of an object that was fetched, or a result if it has none or too many."""
    if job.size > limits.max_bytes:
        return _reject_too_large(job.size, limits)
    data = objects[job.path]
    if isinstance(data, OSError):
        return _defer_unreadable(data)
    return FileResult(defer_reason=CHANGED) if data is None else _hash(data)


def _open(job: ReadJob) -> int:
    """Open a file without following links; return its descriptor."""
    if isinstance(job.path, ObjectRef):
        raise TypeError(f"{job.path} is an object, and is read by `read_chunk`")
    return os.open(job.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _reject_too_large(size: int, limits: Limits, digest: str = "") -> FileResult:
    detail = f"{size} bytes; the limit is {limits.max_bytes}"
    return FileResult(digest, rejected=Reason.TOO_LARGE, detail=detail)


def read_bytes(data: bytes, limits: Limits, reader: PageReader) -> FileResult:
    """Read the bytes of one file."""
    (result,) = _read_pages([_hash(data)], limits, reader)
    return result


def decide_readings(files: Sequence[FileResult], thresholds: Thresholds) -> list[list[PageReading]]:
    """Return the readings of each file, one per page; a deferred file has none."""
    readings_by_file = []
    for file in files:
        readings = [] if file.rejected is None else [decision.reject(1, file.rejected, file.detail)]
        readings_by_file.append([*readings, *(decision.decide(page, thresholds) for page in file.pages)])
    return readings_by_file


def _defer_unreadable(error: OSError) -> FileResult:
    if error.errno == errno.ENOENT:
        return FileResult(defer_reason=GONE, error=errno.ENOENT)
    if error.errno == errno.ELOOP:
        return FileResult(defer_reason=CHANGED)
    number = error.errno or errno.EIO
    return FileResult(defer_reason=f"it cannot be read: {error.strerror or os.strerror(number)}", error=number)
