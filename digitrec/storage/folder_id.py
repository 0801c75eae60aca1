"""The folders people see, told from look-alikes: an unmounted share looks like an empty folder. And what is in them."""

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure

MOUNT_TABLE = Path("/proc/self/mountinfo")
_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|vmhgfs|prl_fs|afs|ceph|glusterfs|lustre|beegfs|gpfs|ncpfs|fuse(\..*)?"
)


def is_remote_filesystem(kind: str) -> bool:
    """True for a kind where changes made elsewhere come without events.

    >>> is_remote("nfs4"), is_remote("fuse.sshfs"), is_remote("ext4"), is_remote("fuseblk")
    (True, True, False, False)
    """
    return _REMOTE.fullmatch(kind) is not None


def get_filesystem(folder: Path, table: Path = MOUNT_TABLE) -> str:
    """The kind of filesystem a folder lies on, "ext4" or "nfs4"; "" if that cannot be told."""
    real = os.path.realpath(folder)
    kind, longest = "", -1
    for point, each in _mounts(table):
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= longest:  # of two on one point the later hides the earlier
            kind, longest = each, len(point)
    return kind


def find_mounts_below(folder: Path, table: Path = MOUNT_TABLE) -> set[str]:
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
        yield _unescape(fields[4]), fields[fields.index("-", 6) + 1]


def _unescape(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)


MARKER = ".digitrec-folder"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PIECE = 900
"""Letters. A letter has at most four bytes, and a name at most 255: such a path, and one name more, fits PATH_MAX."""


def verify_folder(
    folder: Path, known_id: str | None, known_device: str | None = None, *, is_first_use: bool = True
) -> str:
    """Make sure that a folder is the one we know; make it at first use.

    Args:
        folder: inbox or outbox.
        known_id: the random id in its marker, from a ledger; None if no ledger knows it.
        known_device: on which it lay when its marker was seen last, from the same ledger; None if that is not known.
        is_first_use: False if no ledger knows it because that ledger is lost: then it is not made either.

    Returns:
        Its id, to be remembered.

    Raises:
        EnvironmentFailure: it is missing, is another one, or has no marker and is empty or lies on another device.
        OSError: it cannot be looked at or written.
    """
    if known_id is None and is_first_use:
        files.make_dir(folder)
        return read_id(folder) or _write_id(folder, secrets.token_hex(16))
    if not folder.is_dir():
        raise EnvironmentFailure(f"{folder} is missing", hint=_mount_hint(folder))
    found = read_id(folder)
    if found is not None and known_id in (found, None):
        return found
    if found is not None:
        raise EnvironmentFailure(f"{folder} is another folder than before", hint=_mount_hint(folder))
    if not any(folder.iterdir()):
        raise EnvironmentFailure(f"{folder} is empty and has lost its marker", hint=_mount_hint(folder))
    # A device may have another number after a restart (NFS, btrfs): only without the marker it says something.
    if known_id is not None and known_device not in (None, get_device(folder)):
        raise EnvironmentFailure(
            f"{folder} has no marker and lies on another device than before", hint=_mount_hint(folder)
        )
    logs.warning("folder had lost its marker, got it again", folder=folder)
    return _write_id(folder, known_id or secrets.token_hex(16))


def accept_folder(folder: Path, known_id: str | None) -> str:
    """Take a new or emptied folder as it is (`digitrec init`); gives its id: that in its marker, else the known one."""
    files.make_dir(folder)
    return read_id(folder) or _write_id(folder, known_id or secrets.token_hex(16))


def read_id(folder: Path) -> str | None:
    """The random id in its marker; None if it has none."""
    try:
        return (folder / MARKER).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def get_device(folder: Path) -> str:
    """Return the number of the device that a folder lies on."""
    return str(folder.stat().st_dev)


def _write_id(folder: Path, wanted: str) -> str:
    """Give a folder its marker, unless another worker was faster; gives the id in it now."""
    marker = folder / MARKER
    with suppress(FileExistsError):
        files.atomic_create(marker, wanted + "\n")
    found = read_id(folder)
    if found is None:  # a power cut has left it empty
        files.atomic_write(marker, wanted + "\n")
    return found or wanted


def _mount_hint(folder: Path) -> str:
    return f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."


def walk(
    root: Path,
    *,
    enters: Callable[[str, os.DirEntry[str]], bool] = lambda _path, _entry: True,
    failed: Callable[[str, OSError], None] | None = None,
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield path and entry of everything below a folder, to any depth; no link is entered.

    Without recursion, and from descriptors: also what lies deeper than a path of PATH_MAX reaches. An entry can be
    asked for its stat fields until the next one comes.

    Args:
        root: the folder.
        enters: False for a subfolder that is left out; asked after it was yielded.
        failed: told path and error of a subfolder that cannot be listed; without it the error is raised.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    ways: list[tuple[str, ...]] = [()]
    while ways:
        # A way is the path of a folder in pieces, each short enough for one call, whatever the letters.
        way = ways.pop()
        base = _open_folder(root, way, failed)
        if base is None:
            continue
        try:
            folders = [""]
            while folders:
                folder = folders.pop()
                if len(folder) > _PIECE:
                    ways.append((*way, folder))
                    continue
                for path, entry in _list_folder(base, way, folder, failed):
                    yield path, entry
                    if is_folder(entry) and enters(path, entry):
                        folders.append(f"{folder}/{entry.name}" if folder else entry.name)
        finally:
            os.close(base)


def _open_folder(root: Path, way: tuple[str, ...], failed: Callable[[str, OSError], None] | None) -> int | None:
    """Open a folder piece by piece; None if that failed and was told."""
    descriptor = os.open(root, _FOLDER)
    try:
        for piece in way:
            above = descriptor
            descriptor = os.open(piece, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            os.close(above)
    except OSError as why:
        os.close(descriptor)
        _report_error("/".join(way), why, failed)
        return None
    return descriptor


def _list_folder(
    base: int, way: tuple[str, ...], folder: str, failed: Callable[[str, OSError], None] | None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the entries of one folder with their paths."""
    above = "/".join((*way, folder) if folder else way)
    prefix = f"{above}/" if above else ""
    descriptor = -1
    try:
        descriptor = os.open(folder or ".", _FOLDER | os.O_NOFOLLOW, dir_fd=base)
        with os.scandir(descriptor) as entries:
            for entry in entries:
                yield prefix + entry.name, entry
    except OSError as why:
        if not above:
            raise
        _report_error(above, why, failed)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _report_error(path: str, why: OSError, failed: Callable[[str, OSError], None] | None) -> None:
    if why.errno == errno.ENOENT:  # gone since it was seen: someone else's business
        return
    if failed is None:
        raise why
    failed(path, why)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, and no link to one; False where that cannot be told."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # whoever looks at the entry itself learns why
        return False
