"""Which filesystem a folder lies on: events and locks do not travel over a network."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|vmhgfs|prl_fs|afs|ceph|glusterfs|lustre|beegfs|gpfs|ncpfs|fuse(\..*)?"
)


def is_remote(kind: str) -> bool:
    """True for a kind where changes made elsewhere come without events.

    >>> is_remote("nfs4"), is_remote("fuse.sshfs"), is_remote("ext4"), is_remote("fuseblk")
    (True, True, False, False)
    """
    return _REMOTE.fullmatch(kind) is not None


def kind_of(folder: Path, table: Path = TABLE) -> str:
    """The kind of filesystem a folder lies on, "ext4" or "nfs4"; "" if that cannot be told."""
    real = os.path.realpath(folder)
    kind, longest = "", -1
    for point, each in _mounts(table):
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= longest:  # of two on one point the later hides the earlier
            kind, longest = each, len(point)
    return kind


def below(folder: Path, table: Path = TABLE) -> set[str]:
    """Return the paths under a folder on which something is mounted; none if that cannot be told.

    Also a folder of the same filesystem, bound there: no file can be renamed out of it either.
    """
    top = os.path.realpath(folder).rstrip("/") + "/"
    return {point.removeprefix(top) for point, _ in _mounts(table) if point.startswith(top)}


def _mounts(table: Path) -> Iterator[tuple[str, str]]:
    """Mount points and kinds, in the order they were mounted."""
    try:
        lines = os.fsdecode(table.read_bytes()).split("\n")
    except OSError:  # no /proc here: then nothing is known
        return
    for line in filter(None, lines):
        fields = line.split(" ")
        # Any number of optional fields ends with "-"; then come kind, source and options.
        yield _unquoted(fields[4]), fields[fields.index("-", 6) + 1]


def _unquoted(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
