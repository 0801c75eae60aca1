"""Identify inbox and outbox by a marker file, as an unmounted share looks like an empty folder; mounts; file lists."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from digitrec import files, logs, text
from digitrec.errors import EnvironmentFailure

MOUNT_TABLE = Path("/proc/self/mountinfo")
_REMOTE = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|vboxsf|vmhgfs|prl_fs|afs|ceph|glusterfs|lustre|beegfs|gpfs|ncpfs|fuse(\..*)?"
)


def is_remote_filesystem(kind: str) -> bool:
    """Return whether changes made on other machines cause no events on this kind of filesystem.

    >>> [is_remote_filesystem(kind) for kind in ("nfs4", "fuse.sshfs", "ext4", "fuseblk")]
    [True, True, False, False]
    """
    return _REMOTE.fullmatch(kind) is not None


def get_filesystem(folder: Path, table: Path = MOUNT_TABLE) -> str:
    """Return the kind of filesystem of a folder, such as "ext4" or "nfs4"; "" if it is not known."""
    real = os.path.realpath(folder)
    kind, longest = "", -1
    for point, mounted_kind in _mounts(table):
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= longest:  # a later mount hides an earlier one on the same point
            kind, longest = mounted_kind, len(point)
    return kind


def find_mounts_below(folder: Path, table: Path = MOUNT_TABLE) -> set[str]:
    """Return the mount points under a folder, as relative paths; none if they are not known.

    Bind mounts of the same filesystem count, too: no file can be renamed out of them either.
    """
    top = os.path.realpath(folder).rstrip("/") + "/"
    return {point.removeprefix(top) for point, _ in _mounts(table) if point.startswith(top)}


def _mounts(table: Path) -> Iterator[tuple[str, str]]:
    """Yield mount points and kinds, in the order of mounting."""
    try:
        lines = os.fsdecode(table.read_bytes()).split("\n")
    except OSError:  # no /proc
        return
    for line in filter(None, lines):
        fields = line.split(" ")
        # "-" ends the optional fields; kind, source and options follow.
        yield _unescape(fields[4]), fields[fields.index("-", 6) + 1]


def _unescape(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)


MARKER = ".digitrec-folder"
_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MAX_PIECE_LENGTH = 900
"""Characters of up to four bytes: such a path and one more name of 255 bytes fit PATH_MAX."""


def verify_folder(
    folder: Path, expected_id: str | None, expected_device: str | None = None, *, is_first_use: bool = True
) -> str:
    """Check that a folder is the one in the ledger; create it at first use.

    Args:
        folder: inbox or outbox.
        expected_id: the random id in its marker, from a ledger; None if no ledger has one.
        expected_device: its device number when its marker was last read, from the same ledger; None if not known.
        is_first_use: False if `expected_id` is None because the ledger is lost; the folder is not created then.

    Returns:
        Its id, to be stored.

    Raises:
        EnvironmentFailure: it is missing, is another one, or has no marker and is empty or on another device.
        OSError: it cannot be read or written.
    """
    if expected_id is None and is_first_use:
        files.make_dir(folder)
        return read_id(folder) or _write_id(folder, text.random_hex(16))
    require_folder(folder)
    actual_id = read_id(folder)
    if actual_id is not None and expected_id in (actual_id, None):
        return actual_id
    if actual_id is not None:
        raise EnvironmentFailure(f"{folder} is another folder than before", hint=_mount_hint(folder))
    # A device may have another number after a restart (NFS, btrfs): it only counts without the marker.
    if expected_id is not None and expected_device not in (None, get_device(folder)):
        raise EnvironmentFailure(
            f"{folder} has no marker and is on another device than before", hint=_mount_hint(folder)
        )
    logs.warning("folder had lost its marker; a new one was written", folder=folder)
    return _write_id(folder, expected_id or text.random_hex(16))


def require_folder(folder: Path) -> None:
    """Check that a folder that was used before exists: an unmounted share leaves none, or an empty one.

    Raises:
        EnvironmentFailure: it is missing, or is empty and has no marker.
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        raise EnvironmentFailure(f"{folder} is missing", hint=_mount_hint(folder))
    if read_id(folder) is None and not any(folder.iterdir()):
        raise EnvironmentFailure(f"{folder} is empty and has lost its marker", hint=_mount_hint(folder))


def accept_folder(folder: Path, expected_id: str | None) -> str:
    """Accept a new or emptied folder (`digitrec init`); return the id in its marker, else the known one."""
    files.make_dir(folder)
    return read_id(folder) or _write_id(folder, expected_id or text.random_hex(16))


def read_id(folder: Path) -> str | None:
    """Return the random id in the marker of a folder; None without a marker."""
    try:
        return (folder / MARKER).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def get_device(folder: Path) -> str:
    """Return the device number of a folder."""
    return str(folder.stat().st_dev)


def _write_id(folder: Path, new_id: str) -> str:
    """Write the marker of a folder, unless another worker has done so; return its id."""
    marker = folder / MARKER
    with suppress(FileExistsError):
        files.atomic_create(marker, new_id + "\n")
    actual_id = read_id(folder)
    if actual_id is None:  # empty after a power cut
        files.atomic_write(marker, new_id + "\n")
    return actual_id or new_id


def _mount_hint(folder: Path) -> str:
    return f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."


def walk(
    root: Path,
    *,
    enters: Callable[[str, os.DirEntry[str]], bool] = lambda _path, _entry: True,
    failed: Callable[[str, OSError], None] | None = None,
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield path and entry of everything below a folder, to any depth; symbolic links are not followed.

    Works with descriptors and without recursion, so paths may be longer than PATH_MAX. The stat fields of an entry
    are available until the next one is yielded.

    Args:
        root: the folder.
        enters: returns False for a subfolder to skip; called after it was yielded.
        failed: called with path and error of a subfolder that cannot be listed; by default the error is raised.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    pending: list[tuple[str, ...]] = [()]  # paths of folders in pieces, each short enough for one system call
    while pending:
        pieces = pending.pop()
        base = _open_folder(root, pieces, failed)
        if base is None:
            continue
        try:
            folders = [""]
            while folders:
                folder = folders.pop()
                if len(folder) > _MAX_PIECE_LENGTH:
                    pending.append((*pieces, folder))
                    continue
                for path, entry in _list_folder(base, pieces, folder, failed):
                    yield path, entry
                    if is_folder(entry) and enters(path, entry):
                        folders.append(f"{folder}/{entry.name}" if folder else entry.name)
        finally:
            os.close(base)


def _open_folder(root: Path, pieces: tuple[str, ...], failed: Callable[[str, OSError], None] | None) -> int | None:
    """Open a folder piece by piece; None if that failed and `failed` was called."""
    descriptor = os.open(root, _OPEN_FLAGS)
    try:
        for piece in pieces:
            above = descriptor
            descriptor = os.open(piece, _OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=above)
            os.close(above)
    except OSError as why:
        os.close(descriptor)
        _report_error("/".join(pieces), why, failed)
        return None
    return descriptor


def _list_folder(
    base: int, pieces: tuple[str, ...], folder: str, failed: Callable[[str, OSError], None] | None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the entries of one folder with their paths."""
    above = "/".join((*pieces, folder) if folder else pieces)
    prefix = f"{above}/" if above else ""
    descriptor = -1
    try:
        descriptor = os.open(folder or ".", _OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=base)
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
    if why.errno == errno.ENOENT:  # removed since it was listed
        return
    if failed is None:
        raise why
    failed(path, why)


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, and no link to one; False if it cannot be read."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:  # the caller gets the error when it opens the entry
        return False
