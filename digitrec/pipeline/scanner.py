"""What lies in the inbox: a walk that follows no link and enters no folder of another program."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digitrec import batch_ids, files, logs
from digitrec.pipeline import labels
from digitrec.pipeline.inbox import CLAIMED
from digitrec.storage import folder_id, mounts
from digitrec.types import Identity, identity

_PREFIXES = (".", "~$", "._")
_SUFFIXES = ("~", ".part", ".partial", ".tmp", ".crdownload", ".opdownload", ".filepart", ".!ut", ".aria2", ".swp")
_NEVER = {"thumbs.db", "desktop.ini"}
_NEVER_ENTERED = {"@eadir", ".stfolder", "__macosx", "lost+found", "system volume information"}
_BINS = {"#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "$recycle.bin"}
_BIN = "is a recycle bin, or a folder for snapshots or drafts: nothing in it is read"
TOO_LONG = "its path is too long to be claimed: put it into a folder that lies less deep"
ELSEWHERE = "another filesystem, or a folder from elsewhere, is mounted there: nothing in it can be claimed"


class Seen(NamedTuple):
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
    def identity(self) -> Identity:
        """What tells this file from others, as the ledger stores it."""
        return identity(self.inode, self.size, self.mtime_ns)


@dataclass(slots=True)
class PassedOver:
    """How many files of a look can never be claimed where they lie."""

    too_long: int = 0
    """Their paths would not fit PATH_MAX among the claims."""
    elsewhere: int = 0
    """They lie on another filesystem than the inbox."""


def is_wanted(name: str) -> bool:
    """False for what file managers, browsers and sync programs leave while they work.

    >>> is_wanted("7.png"), is_wanted("7.png.PART"), is_wanted("~$7.png"), is_wanted("Thumbs.db"), is_wanted("7.png~")
    (True, False, False, False, False)
    """
    low = name.lower()
    return not (low in _NEVER or low.startswith(_PREFIXES) or low.endswith(_SUFFIXES))


def is_entered(name: str) -> bool:
    """False for a folder that belongs to another program: nothing in it is claimed.

    >>> is_entered("monday"), is_entered("@eaDir"), is_entered("$RECYCLE.BIN"), is_entered(".git")
    (True, False, False, False)
    """
    low = name.lower()
    return is_wanted(name) and low not in _NEVER_ENTERED and low not in _BINS


def foreign_part(path: str) -> str:
    """Return the first part of a path that keeps the file from being claimed; "" if its names do not.

    >>> foreign_part("a/@eaDir/7.png"), foreign_part("a/7.tmp"), foreign_part("a/7.png")
    ('@eaDir', '7.tmp', '')
    """
    *above, name = path.split("/")
    return next((part for part in above if not is_entered(part)), "" if is_wanted(name) else name)


def longest_path(inbox: Path, worker: str) -> int:
    """Return how long a path under the inbox may be, in bytes, so that it fits PATH_MAX among a worker's claims.

    It then fits in the outbox too: `outbox/rejected/` is shorter than `inbox/.claimed/` and the name of a worker.
    """
    return files.PATH_MAX - 1 - len(os.fsencode(inbox / CLAIMED / worker)) - batch_ids.LENGTH - 2


def _stat(entry: "os.DirEntry[str]") -> os.stat_result:
    return entry.stat(follow_symlinks=False)


def look(
    inbox: Path,
    skipped: Callable[[str, str], None],
    worker: str = "main",
    passed: PassedOver | None = None,
    stat_of: "Callable[[os.DirEntry[str]], os.stat_result]" = _stat,
) -> Iterator[Seen]:
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
    device, longest = inbox.stat().st_dev, longest_path(inbox, worker)
    points = mounts.below(inbox)
    passed = passed if passed is not None else PassedOver()
    mounted: set[str] = set()
    """Folders that are mounted there, and those below them."""

    def enters(path: str, entry: "os.DirEntry[str]") -> bool:
        if not is_entered(entry.name):
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
            skipped(path, ELSEWHERE)
            mounted.add(path)
        return True

    def unlisted(path: str, why: OSError) -> None:
        skipped(path, f"cannot be listed: {why.strerror}")

    def seen(path: str, entry: "os.DirEntry[str]") -> Seen | None:
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
                skipped(path, TOO_LONG)
        # Not by its device: where filesystems lie over each other (overlayfs), a file may tell another than its folder.
        elif (mounted and path.rpartition("/")[0] in mounted) or path in points:
            passed.elsewhere += 1
            if path in points:
                skipped(path, ELSEWHERE)
        elif entry.name != labels.FILE_NAME or not labels.is_truth(inbox / path):
            return Seen(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        return None

    for path, entry in folder_id.walk(inbox, enters=enters, failed=unlisted):
        if folder_id.is_folder(entry) or not is_wanted(entry.name):
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
