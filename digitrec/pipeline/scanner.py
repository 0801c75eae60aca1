"""Scan the inbox for files that may be claimed, and track which of them are complete."""

import operator
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from digitrec import files, logs, text
from digitrec.pipeline import labels
from digitrec.pipeline.inbox import CLAIMED
from digitrec.storage import folder_id
from digitrec.storage.claims import FileSnapshot
from digitrec.text import IGNORED_DIRS, is_candidate

_BINS = {"#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin"}
_BIN = "is a recycle bin, or a folder for snapshots or drafts: nothing in it is read"
PATH_TOO_LONG = "its path is too long to be claimed: put it into a folder that is less deep"
OTHER_FILESYSTEM = "another filesystem, or a folder from elsewhere, is mounted there: nothing in it can be claimed"


@dataclass(slots=True)
class SkippedCounts:
    """Numbers of files of a scan that can never be claimed where they are."""

    too_long: int = 0
    """Their paths would not fit PATH_MAX among the claims."""
    elsewhere: int = 0
    """They are on another filesystem than the inbox."""


def is_scanned_folder(name: str) -> bool:
    """Return False for a folder that belongs to another program: nothing in it is claimed.

    >>> [is_scanned_folder(name) for name in ("monday", "@eaDir", "$RECYCLE.BIN", ".git")]
    [True, False, False, False]
    """
    lower = name.lower()
    return is_candidate(name) and lower not in IGNORED_DIRS and lower not in _BINS


def find_ignored_part(path: str) -> str:
    """Return the first part of a path that keeps the file from being claimed; "" if there is none.

    >>> find_ignored_part("a/@eaDir/7.png"), find_ignored_part("a/7.tmp"), find_ignored_part("a/7.png")
    ('@eaDir', '7.tmp', '')
    """
    *folders, name = path.split("/")
    return next((part for part in folders if not is_scanned_folder(part)), "" if is_candidate(name) else name)


def max_path_bytes(inbox: Path, worker: str) -> int:
    """Return the upper limit of a path under the inbox, in bytes, so that it fits PATH_MAX among a worker's claims.

    It then fits in the outbox too: `outbox/rejected/` is shorter than `inbox/.claimed/` and the name of a worker.
    """
    return files.PATH_MAX - 1 - len(os.fsencode(inbox / CLAIMED / worker)) - text.BATCH_ID_LENGTH - 2


def scan(
    inbox: Path,
    skipped: Callable[[str, str], None],
    worker: str = "main",
    counts: SkippedCounts | None = None,
    stat_of: "Callable[[os.DirEntry[str]], os.stat_result]" = operator.methodcaller("stat", follow_symlinks=False),
) -> Iterator[FileSnapshot]:
    """Yield every regular file that may be claimed, in no particular order.

    Args:
        inbox: the folder; its subfolders are scanned too, to any depth. No link is followed.
        skipped: called with path and reason of a skipped entry (link, pipe, unreadable folder); of files whose path is
            too long with the first one, and of a mounted filesystem with its folder.
        worker: the worker whose claims have to hold the files.
        counts: counts files whose path is too long, and those on another filesystem.
        stat_of: returns the stat fields of an entry; tests replace it to get values that no disk here returns.

    Raises:
        OSError: the inbox itself cannot be listed.
    """
    device, max_bytes = inbox.stat().st_dev, max_path_bytes(inbox, worker)
    mount_points = folder_id.find_mounts_below(inbox)
    counts = counts if counts is not None else SkippedCounts()
    mounted: set[str] = set()
    """Folders on another filesystem, and those below them."""

    def enters(path: str, entry: "os.DirEntry[str]") -> bool:
        if not is_scanned_folder(entry.name):
            if entry.name.lower() in _BINS:
                skipped(path, _BIN)
            return False
        try:
            is_mounted = stat_of(entry).st_dev != device or path in mount_points
        except OSError:  # the folder disappeared, or listing it fails too
            return True
        except Exception as error:  # noqa: BLE001 - whatever is odd about this folder, the others are scanned
            skipped(path, logs.log_exception("a file cannot be examined, skipped for now", error, file=path))
            return False
        if path.rpartition("/")[0] in mounted:
            mounted.add(path)
        elif is_mounted:
            skipped(path, OTHER_FILESYSTEM)
            mounted.add(path)
        return True

    def fail(path: str, error: OSError) -> None:
        skipped(path, f"cannot be listed: {error.strerror}")

    def take_snapshot(path: str, entry: "os.DirEntry[str]") -> FileSnapshot | None:
        try:
            state = stat_of(entry)
        except FileNotFoundError:  # removed since the folder was listed
            return None
        except OSError as error:
            skipped(path, f"cannot be examined: {error.strerror}")
            return None
        if not stat.S_ISREG(state.st_mode):
            skipped(path, _KINDS.get(stat.S_IFMT(state.st_mode), "is no regular file"))
        # The length in characters is cheap: a character has at most four bytes.
        elif len(path) > max_bytes // 4 and len(os.fsencode(path)) > max_bytes:
            counts.too_long += 1
            if counts.too_long == 1:
                skipped(path, PATH_TOO_LONG)
        # Not by st_dev: on stacked filesystems (overlayfs) a file may have another one than its folder.
        elif (mounted and path.rpartition("/")[0] in mounted) or path in mount_points:
            counts.elsewhere += 1
            if path in mount_points:
                skipped(path, OTHER_FILESYSTEM)
        elif entry.name != labels.LABELS_FILE or not labels.is_labels_file(inbox / path):
            return FileSnapshot(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        return None

    for path, entry in folder_id.walk(inbox, enters=enters, failed=fail):
        if folder_id.is_folder(entry) or not is_candidate(entry.name):
            continue
        try:
            snapshot = take_snapshot(path, entry)
        except Exception as error:  # noqa: BLE001 - whatever is odd about this file, the others are read
            skipped(path, logs.log_exception("a file cannot be examined, skipped for now", error, file=path))
            continue
        if snapshot is not None:
            yield snapshot


_KINDS = {
    stat.S_IFLNK: "is a link",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


def touch_and_read_ns(descriptor: int) -> int:
    """Touch an open file; return its time by the clock of its filesystem, which on a share is that of the server.

    Raises:
        OSError: its times cannot be set or read.
    """
    os.utime(descriptor)
    return os.fstat(descriptor).st_ctime_ns


_read_boot_clock_ns = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)


class FileClock:
    """The clock of the inbox's filesystem, nanoseconds since 1970.

    A clock that is set forward while this object exists is assumed to have continued as before: a file that was written
    just before would seem years old, and complete.
    """

    def __init__(
        self,
        read_ns: Callable[[], int],
        steady_ns: Callable[[], int] = _read_boot_clock_ns,
    ) -> None:
        """Create the clock.

        Args:
            read_ns: reads the time of the filesystem.
            steady_ns: reads a clock that nobody can set, and that continues while the machine sleeps.
        """
        self._read_ns = read_ns
        self._steady_ns = steady_ns
        self._offset_ns: int | None = None
        """Time minus steady time at the first call."""
        self.last_ns: int | None = None
        """Result of the last call."""

    def __call__(self) -> int:
        """Return the time now, and store it as `last_ns`."""
        time_ns, steady_ns = self._read_ns(), self._steady_ns()
        if self._offset_ns is None:
            self._offset_ns = time_ns - steady_ns
        self.last_ns = min(time_ns, self._offset_ns + steady_ns)
        return self.last_ns


_OLD_NS = 60 * 10**9
"""Age of the last inode change from which `run` takes a file at the first scan."""


class _PendingFile(NamedTuple):
    snapshot: FileSnapshot
    due_s: float
    """Time from which an unchanged file is complete, monotonic seconds."""


class StabilityTracker:
    """Tracks since when each waiting file is unchanged."""

    def __init__(self, settle_s: float, empty_wait_s: float, *, trusts_age: bool = True) -> None:
        """Create a tracker.

        Args:
            settle_s: time that a file has to be unchanged, seconds.
            empty_wait_s: age at which an empty file is complete, seconds.
            trusts_age: False on a share, where times arrive late and each file may have another clock.
        """
        self._settle_s = settle_s
        self._empty_wait_s = empty_wait_s
        self._trusts_age = trusts_age
        self._pending: dict[str, _PendingFile] = {}

    def update(
        self,
        snapshots: Iterable[FileSnapshot],
        now_s: float,
        wall_ns: int,
        *,
        trust_old: bool = False,
        newcomers: bool = True,
    ) -> list[FileSnapshot]:
        """Take the result of a scan; return the files that are complete.

        Args:
            snapshots: every file in the inbox; a missing one is forgotten.
            now_s: monotonic time, seconds.
            wall_ns: nanoseconds since 1970 by the clock of the filesystem; only used for the age of a file.
            trust_old: a file whose inode last changed over 60 s ago is complete at its first scan.
            newcomers: False ignores files that the last scan did not find.

        Returns:
            The files that two scans at least `settle_s` apart found unchanged. An empty file has to be `empty_wait_s`
            old, too.
        """
        before, self._pending = self._pending, {}
        complete = []
        for file in snapshots:
            pending = before.get(file.path)
            if pending is None and not newcomers:
                continue
            if pending is None or pending.snapshot != file:
                pending = _PendingFile(file, self._find_due_s(file, now_s, wall_ns))
            self._pending[pending.snapshot.path] = pending
            if now_s >= pending.due_s or (trust_old and self._trusts_age and self._is_old(file, wall_ns)):
                complete.append(pending.snapshot)  # not `file`: of 100,000 waiting files one snapshot each is kept
        return complete

    def next_at_s(self) -> float | None:
        """Return when the next file may be complete, monotonic seconds; None if no file waits."""
        return min((pending.due_s for pending in self._pending.values()), default=None)

    def forget(self, paths: Iterable[str]) -> None:
        """Stop tracking files that were claimed or deferred."""
        for path in paths:
            self._pending.pop(path, None)

    def _find_due_s(self, file: FileSnapshot, now_s: float, wall_ns: int) -> float:
        """Return when a file that is found now is complete if it stays unchanged, monotonic seconds."""
        due_s = now_s + self._settle_s
        return due_s if file.size else max(due_s, now_s + self._remaining_wait_s(file, wall_ns))

    def _remaining_wait_s(self, file: FileSnapshot, wall_ns: int) -> float:
        """Return how long an empty file may still be filled; a time in the future counts as now."""
        age_s = max(0.0, (wall_ns - file.changed_ns) / 1e9)
        return self._empty_wait_s - age_s

    def _is_old(self, file: FileSnapshot, wall_ns: int) -> bool:
        return wall_ns - file.ctime_ns > _OLD_NS and (file.size > 0 or self._remaining_wait_s(file, wall_ns) <= 0)


class AgeStability(StabilityTracker):
    """Tracker for an object store, where an object appears complete: one scan suffices once it is `settle_s` old.

    The age is by the store's clock; where that is ahead, two equal scans `settle_s` apart suffice.
    """

    def __init__(self, settle_s: float) -> None:
        """Create a tracker; `settle_s` is the age at which an object is complete, seconds."""
        super().__init__(settle_s, 0.0, trusts_age=False)

    def _find_due_s(self, file: FileSnapshot, now_s: float, wall_ns: int) -> float:
        return now_s + min(self._settle_s, self._settle_s - (wall_ns - file.changed_ns) / 1e9)
