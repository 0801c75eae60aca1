"""Write files atomically, and rename without replacing.

Every durable change of a disk goes through these functions.
"""

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

from digitrec import logs, text

PATH_MAX = 4096
"""Longest path on Linux, bytes, with its final NUL."""
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_FOLDER_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EIO}
"""Errors of filesystems, mostly of file servers, that cannot fsync a folder."""
_LONGEST_PORTABLE, _LONGEST_SUFFIX = 120, 32
"""Longest portable name and its suffix, bytes; what follows the last point of a longer one is no suffix."""
_warned_of: set[int] = set()
"""Error numbers that this process has logged a warning for."""
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


def atomic_write(path: Path, content: str | bytes) -> None:
    """Replace a file atomically: temporary file (UTF-8, mode 0666 & ~umask), fsync, rename, fsync of the folder."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` atomically when the block ends without an error."""
    if not is_replaceable(path):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    temp = _temp_file(path)
    try:
        with _report_target(path, temp):
            with temp.open("xb") as file:
                yield file
                fsync(file)
            temp.replace(path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def is_replaceable(path: Path) -> bool:
    """Return whether a path may be replaced: a rename would also replace a device, a pipe or `/dev/stdout`."""
    is_stream = path.is_symlink() and path.readlink().is_relative_to("/proc")
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return bool(path.name) and not is_stream and not is_special


def atomic_create(path: Path, content: str | bytes) -> None:
    """Create a file atomically, without replacing one.

    A file with the same bytes is kept (an earlier try got this far); other bytes raise FileExistsError. Where the
    filesystem refuses hard links, the caller's lock must keep others away between the check and the rename.
    """
    content = content.encode() if isinstance(content, str) else content
    temp = _temp_file(path)
    try:
        with _report_target(path, temp):
            with temp.open("xb") as file:
                file.write(content)
                fsync(file)
            _link(temp, path, content)
    finally:
        temp.unlink(missing_ok=True)
    fsync_folder(path.parent)


def _link(temp: Path, path: Path, content: bytes) -> None:
    try:
        os.link(temp, path)
    except FileExistsError:
        _require_same(path, content)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        if path.exists():
            _require_same(path, content)
        else:
            temp.replace(path)


def rename_exclusive(source: Path | str, target: Path | str) -> None:
    """Rename within one filesystem; FileExistsError if the target exists."""
    if _renameat2 is not None:
        if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number), str(source), None, str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    Path(source).rename(target)


def move_durable(source: Path, target: Path) -> None:
    """Move a file without replacing one; to another filesystem: copy, fsync, compare, rename, unlink."""
    try:
        rename_exclusive(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        temp = _temp_file(target)
        try:
            if _copy(source, temp) != hash_file(temp):
                raise OSError(errno.EIO, "the copy differs from the original", str(target))
            rename_exclusive(temp, target)
        finally:
            temp.unlink(missing_ok=True)
        fsync_folder(target.parent)
        source.unlink()


def make_dir(folder: Path, *, under: Path | None = None, durable: bool = True) -> None:
    """Create a folder and its parents, and fsync their names.

    Args:
        folder: the folder to create.
        under: a parent that is never created: the mount point of a share may be missing for now.
        durable: False leaves the fsyncs to the caller.

    Raises:
        FileNotFoundError: `under` does not exist.
        NotADirectoryError: a file has the name of a folder.
    """
    missing = []
    while not folder.is_dir():
        if folder == under:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        if os.path.lexists(folder) and not folder.is_dir():  # and was not created by another process meanwhile
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        missing.append(folder)
        folder = folder.parent
    missing.reverse()
    for path in missing:
        path.mkdir(exist_ok=True)
    # After all mkdir calls: the first fsync then writes the journal for all of them.
    for path in missing if durable else ():
        fsync_folder(path.parent)


def fsync(file: IO[bytes]) -> None:
    """Make the content of an open file durable.

    Raises:
        OSError: fsync failed; with the path, which the error of the system call lacks.
    """
    file.flush()
    _fsync(file.fileno(), file.name)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable; where the filesystem cannot, warn once."""
    error = try_fsync_folder(folder)
    if error is not None and not _warned_of:
        logs.warning("fsync of a folder is refused; work continues", folder=folder, why=error)
    if error is not None:
        _warned_of.add(error.errno or 0)


def try_fsync_folder(folder: Path) -> OSError | None:
    """Fsync a folder; return the error of a filesystem that cannot do it.

    Raises:
        OSError: any other error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _fsync(descriptor, folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise
        return error
    finally:
        os.close(descriptor)
    return None


def _fsync(descriptor: int, path: Path | str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, f"fsync: {error.strerror}", str(path)) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of the content of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path) -> tuple[int, int, int]:
    """Return time of change, inode and size of a file or folder: others once it is replaced, zeros if it is missing."""
    try:
        state = path.stat()
    except OSError:
        return 0, 0, 0
    return state.st_mtime_ns, state.st_ino, state.st_size


def numbered_name(name: str, number: int) -> str:
    """Return `STEM~NUMBER.EXT` for a name that is taken, at most 255 bytes.

    >>> numbered_name("scan.png", 2), numbered_name("Makefile", 3), numbered_name(".x", 2)
    ('scan~2.png', 'Makefile~3', '.x~2')
    """
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    mark = f"~{number}"
    room = 255 - len(os.fsencode(mark + suffix))
    if room < 1:
        stem, suffix, room = name, "", 255 - len(mark)
    return os.fsdecode(os.fsencode(stem)[:room]) + mark + suffix


def portable_name(name: str) -> str:
    """Return a name that every filesystem accepts: short, without characters that some refuse.

    >>> portable_name("a:b?.png"), portable_name("ü" * 200 + ".png")[-6:], portable_name("scan 1.5 10:30")
    ('a_b_.png', 'üü.png', 'scan 1.5 10_30')
    """
    clean = "".join("_" if char in '<>:"|?*\\' or not char.isprintable() else char for char in name).rstrip(" .")
    stem, suffix = PurePath(clean).stem, PurePath(clean).suffix
    if len(os.fsencode(suffix)) > _LONGEST_SUFFIX:
        stem, suffix = clean, ""
    short = os.fsencode(stem)[: _LONGEST_PORTABLE - len(os.fsencode(suffix))].decode("utf-8", errors="ignore")
    return (short.rstrip(" .") or "_") + suffix


@contextmanager
def _report_target(path: Path, temp: Path) -> Iterator[None]:
    """Make an OSError name the file that is written, not its temporary file."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(temp)):
            error.filename, error.filename2 = str(path), None
        raise


def _temp_file(path: Path) -> Path:
    """Return the path of a temporary file: beside the file, or in a parent where that path is too long."""
    # The leading dot and `.part` hide it from the scanner and from shell globs.
    name, folder = f".{text.random_hex(8)}.part", path.parent
    while len(os.fsencode(folder / name)) >= PATH_MAX:
        folder = folder.parent
    return folder / name


def _require_same(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise FileExistsError(errno.EEXIST, "a file with other content has this name", str(path))


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with source.open("rb") as reading, target.open("xb") as writing:
        while block := reading.read(1 << 20):
            digest.update(block)
            writing.write(block)
        fsync(writing)
    stat = source.stat()
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return digest.hexdigest()


def _find_renameat2() -> "ctypes._NamedFuncPointer | None":
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


_renameat2 = _find_renameat2()
