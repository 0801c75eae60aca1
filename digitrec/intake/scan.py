"""What lies in the inbox: a walk that follows no link and enters no hidden folder."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from digitrec.intake import truth

_NEVER = {"Thumbs.db", "desktop.ini", "@eaDir", ".stfolder", "__MACOSX"}
_PREFIXES = (".", "~$", "._")
_SUFFIXES = (".part", ".tmp", ".crdownload", ".filepart")


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


def is_wanted(name: str) -> bool:
    """False for what file managers, browsers and sync programs leave while they work.

    >>> is_wanted("7.png"), is_wanted("7.png.part"), is_wanted("~$7.png"), is_wanted("Thumbs.db")
    (True, False, False, False)
    """
    return not (name in _NEVER or name.startswith(_PREFIXES) or name.lower().endswith(_SUFFIXES))


def look(inbox: Path, skipped: Callable[[str, str], None]) -> Iterator[Seen]:
    """Every regular file that may be claimed, in no particular order.

    Args:
        inbox: the folder; its subfolders are entered too.
        skipped: told path and reason of what is passed over (links, pipes, folders that cannot be read).

    Raises:
        OSError: the inbox itself cannot be listed.
    """
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = os.scandir(inbox / prefix)
        except OSError as why:
            if not prefix:
                raise
            skipped(prefix, f"cannot be listed: {why.strerror}")
            continue
        with entries:
            for entry in entries:
                if not is_wanted(entry.name):
                    continue
                path = f"{prefix}/{entry.name}" if prefix else entry.name
                try:
                    state = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since the folder was listed: someone else's business
                    continue
                except OSError as why:
                    skipped(path, f"cannot be looked at: {why.strerror}")
                    continue
                if stat.S_ISDIR(state.st_mode):
                    folders.append(path)
                elif not stat.S_ISREG(state.st_mode):
                    skipped(path, _KINDS.get(stat.S_IFMT(state.st_mode), "is no regular file"))
                elif entry.name != truth.FILE_NAME or not truth.is_truth(inbox / path):
                    yield Seen(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


_KINDS = {
    stat.S_IFLNK: "is a link",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
}
