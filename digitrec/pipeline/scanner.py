"""What lies in the inbox: a walk that follows no link and enters no folder of another program."""

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digitrec import files, logs, text
from digitrec.pipeline import labels
from digitrec.pipeline.inbox import CLAIMED
from digitrec.storage import folder_id
from digitrec.text import _NEVER_ENTERED, is_candidate
from digitrec.types import FileSnapshot

_BINS = {"#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin"}
_BIN = "is a recycle bin, or a folder for snapshots or drafts: nothing in it is read"
PATH_TOO_LONG = "its path is too long to be claimed: put it into a folder that lies less deep"
OTHER_FILESYSTEM = "another filesystem, or a folder from elsewhere, is mounted there: nothing in it can be claimed"


@dataclass(slots=True)
class SkippedCounts:
    """How many files of a look can never be claimed where they lie."""

    too_long: int = 0
    """Their paths would not fit PATH_MAX among the claims."""
    elsewhere: int = 0
    """They lie on another filesystem than the inbox."""


def is_scanned_folder(name: str) -> bool:
    """False for a folder that belongs to another program: nothing in it is claimed.

    >>> is_entered("monday"), is_entered("@eaDir"), is_entered("$RECYCLE.BIN"), is_entered(".git")
    (True, False, False, False)
    """
    low = name.lower()
    return is_candidate(name) and low not in _NEVER_ENTERED and low not in _BINS


def find_ignored_part(path: str) -> str:
    """Return the first part of a path that keeps the file from being claimed; "" if its names do not.

    >>> foreign_part("a/@eaDir/7.png"), foreign_part("a/7.tmp"), foreign_part("a/7.png")
    ('@eaDir', '7.tmp', '')
    """
    *above, name = path.split("/")
    return next((part for part in above if not is_scanned_folder(part)), "" if is_candidate(name) else name)


def max_path_bytes(inbox: Path, worker: str) -> int:
    """Return how long a path under the inbox may be, in bytes, so that it fits PATH_MAX among a worker's claims.

    It then fits in the outbox too: `outbox/rejected/` is shorter than `inbox/.claimed/` and the name of a worker.
    """
    return files.PATH_MAX - 1 - len(os.fsencode(inbox / CLAIMED / worker)) - text.BATCH_ID_LENGTH - 2


def _stat(entry: "os.DirEntry[str]") -> os.stat_result:
    return entry.stat(follow_symlinks=False)


def scan(
    inbox: Path,
    skipped: Callable[[str, str], None],
    worker: str = "main",
    passed: SkippedCounts | None = None,
    stat_of: "Callable[[os.DirEntry[str]], os.stat_result]" = _stat,
) -> Iterator[FileSnapshot]:
    """Every regular file that may be claimed, in no particular order.

    Args:
        inbox: the folder; its subfolders are entered too, to any depth.
        skipped: told path and reason of what is passed over (links, pipes, folders that cannot be read); of files whose
            path is too long the first, and of a mount its folder.
        worker: among whose claims the files have to find room.
        passed: counts the files whose path is too long, and those on another filesystem.
        stat_of: gives the stat fields of an entry; another one in tests, of what no disk here would tell.

    Raises:
        OSError: the inbox itself cannot be listed.
    """
    device, longest = inbox.stat().st_dev, max_path_bytes(inbox, worker)
    points = folder_id.below(inbox)
    passed = passed if passed is not None else SkippedCounts()
    mounted: set[str] = set()
    """Folders that are mounted there, and those below them."""

    def enters(path: str, entry: "os.DirEntry[str]") -> bool:
        if not is_scanned_folder(entry.name):
            if entry.name.lower() in _BINS:
                skipped(path, _BIN)
            return False
        try:
            is_mounted = stat_of(entry).st_dev != device or path in points
        except OSError:  # gone, or it cannot be listed either
            return True
        except Exception as why:  # noqa: BLE001 - whatever is odd about it, the others are looked at
            skipped(path, logs.unexpected_error("a file cannot be looked at, passed over for now", why, file=path))
            return False
        if path.rpartition("/")[0] in mounted:
            mounted.add(path)
        elif is_mounted:
            skipped(path, OTHER_FILESYSTEM)
            mounted.add(path)
        return True

    def unlisted(path: str, why: OSError) -> None:
        skipped(path, f"cannot be listed: {why.strerror}")

    def seen(path: str, entry: "os.DirEntry[str]") -> FileSnapshot | None:
        try:
            state = stat_of(entry)
        except FileNotFoundError:  # gone since the folder was listed: someone else's business
            return None
        except OSError as why:
            skipped(path, f"cannot be looked at: {why.strerror}")
            return None
        if not stat.S_ISREG(state.st_mode):
            skipped(path, _KINDS.get(stat.S_IFMT(state.st_mode), "is no regular file"))
        elif len(path) > longest // 4 and len(os.fsencode(path)) > longest:  # a letter has at most four bytes
            passed.too_long += 1
            if passed.too_long == 1:
                skipped(path, PATH_TOO_LONG)
        # Not by its device: where filesystems lie over each other (overlayfs), a file may tell another than its folder.
        elif (mounted and path.rpartition("/")[0] in mounted) or path in points:
            passed.elsewhere += 1
            if path in points:
                skipped(path, OTHER_FILESYSTEM)
        elif entry.name != labels.LABELS_FILE or not labels.is_labels_file(inbox / path):
            return FileSnapshot(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        return None

    for path, entry in folder_id.walk(inbox, enters=enters, failed=unlisted):
        if folder_id.is_folder(entry) or not is_candidate(entry.name):
            continue
        try:
            found = seen(path, entry)
        except Exception as why:  # noqa: BLE001 - whatever is odd about it, the others are read
            skipped(path, logs.unexpected_error("a file cannot be looked at, passed over for now", why, file=path))
            continue
        if found is not None:
            yield found


_KINDS = {
    stat.S_IFLNK: "is a link",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}


def read_boot_clock_ns() -> int:
    """Return a time that no setting of a clock changes, nanoseconds; it goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def touch_and_read_ns(descriptor: int) -> int:
    """Touch an open file; gives the time by the clock of its filesystem, on a share that of the server.

    Raises:
        OSError: its times cannot be set or read.
    """
    os.utime(descriptor)
    return os.fstat(descriptor).st_ctime_ns


class FileClock:
    """The clock that the times of files are of, nanoseconds since 1970.

    Where it is set forward while this object lives, it is taken to have gone on as before: what was written just before
    would seem years old, and complete.
    """

    def __init__(self, read_ns: Callable[[], int], steady_ns: Callable[[], int] = read_boot_clock_ns) -> None:
        self._read_ns = read_ns
        self._steady_ns = steady_ns
        self._ahead_ns: int | None = None
        """Of the steady time, at the first look."""
        self.last_ns: int | None = None
        """What it showed last."""

    def __call__(self) -> int:
        """Return the time now, and remember it."""
        shown_ns, steady_ns = self._read_ns(), self._steady_ns()
        if self._ahead_ns is None:
            self._ahead_ns = shown_ns - steady_ns
        self.last_ns = min(shown_ns, self._ahead_ns + steady_ns)
        return self.last_ns


_OLD_NS = 60 * 10**9


class _PendingFile(NamedTuple):
    seen: FileSnapshot
    due_s: float
    """Complete if it is seen unchanged from then on, monotonic seconds."""


class StabilityTracker:
    """Remembers since when each waiting file has been as it is now."""

    def __init__(self, settle_s: float, empty_wait_s: float, *, trusts_age: bool = True) -> None:
        """`trusts_age` is False on a share: its times may be seen late, and its clock be another one for each file."""
        self._settle_s = settle_s
        self._empty_wait_s = empty_wait_s
        self._trusts_age = trusts_age
        self._waiting: dict[str, _PendingFile] = {}

    def update(
        self,
        found: Iterable[FileSnapshot],
        now_s: float,
        wall_ns: int,
        *,
        trust_old: bool = False,
        newcomers: bool = True,
    ) -> list[FileSnapshot]:
        """Take one look at everything in the inbox; give the files that are complete.

        Args:
            found: every file there now; what is missing is forgotten.
            now_s: monotonic time, seconds.
            wall_ns: nanoseconds since 1970, by the clock that the files' times are of; only to tell how old a file is.
            trust_old: a file whose inode last changed over 60 s ago is complete at its first look.
            newcomers: False passes over files that the last look did not see.

        Returns:
            The files seen exactly alike by two looks at least `settle_s` apart. An empty one, besides, has to be
            `empty_wait_s` old.
        """
        before, self._waiting = self._waiting, {}
        due_s = now_s + self._settle_s
        settled = []
        for seen in found:
            one = before.get(seen.path)
            if one is None and not newcomers:
                continue
            if one is None or one.seen != seen:
                one = _PendingFile(seen, due_s if seen.size else max(due_s, now_s + self._left_s(seen, wall_ns)))
            self._waiting[one.seen.path] = one
            if now_s >= one.due_s or (trust_old and self._trusts_age and self._is_old(seen, wall_ns)):
                settled.append(one.seen)  # not `seen`: with 100,000 files waiting, one record each has to do
        return settled

    def next_at_s(self) -> float | None:
        """When the next file may be complete, monotonic seconds; None if nothing waits."""
        return min((one.due_s for one in self._waiting.values()), default=None)

    def forget(self, paths: Iterable[str]) -> None:
        """These were claimed, or are deferred: they wait no longer."""
        for path in paths:
            self._waiting.pop(path, None)

    def _left_s(self, seen: FileSnapshot, wall_ns: int) -> float:
        """For how long an empty file may still be filled; a time in the future says nothing."""
        age_s = max(0.0, (wall_ns - seen.changed_ns) / 1e9)
        return self._empty_wait_s - age_s

    def _is_old(self, seen: FileSnapshot, wall_ns: int) -> bool:
        return wall_ns - seen.ctime_ns > _OLD_NS and (seen.size > 0 or self._left_s(seen, wall_ns) <= 0)


class AgeStability(StabilityTracker):
    """For a store: an object appears whole, so one look is enough, once its last change is `settle_s` old.

    By the store's clock: where that is ahead, two looks alike with `settle_s` between them will do.
    """

    def update(
        self,
        found: Iterable[FileSnapshot],
        now_s: float,
        wall_ns: int,
        *,
        trust_old: bool = False,
        newcomers: bool = True,
    ) -> list[FileSnapshot]:
        """See `StabilityTracker.update`."""
        del trust_old  # age is all that counts
        before, self._waiting = self._waiting, {}
        settled = []
        for seen in found:
            if seen.path not in before and not newcomers:
                continue
            left_s = min(self._settle_s, self._settle_s - (wall_ns - seen.changed_ns) / 1e9)
            one = before.get(seen.path)
            due_s = one.due_s if one is not None and one.seen == seen else now_s + left_s
            if left_s <= 0 or now_s >= due_s:
                settled.append(seen)
            else:
                self._waiting[seen.path] = _PendingFile(seen, due_s)
        return settled
