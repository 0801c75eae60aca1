"""Files that appear whole or not at all, and renames that replace nothing.

Every durable change the product makes to a disk goes through one of these functions.
"""

import ctypes
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Protocol

from digitrec import logs

PATH_MAX = 4096
"""The longest path that Linux takes, bytes, with the NUL at its end."""
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_FOLDER_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EIO}
"""Answers of filesystems, mostly of file servers, that cannot fsync a folder."""
_warned_of: set[int] = set()
"""The errors that this process warned of."""
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def atomic_write(path: Path, content: str | bytes) -> None:
    """Replace `path` at once: draft beside it (0666 less umask, UTF-8), fsync, rename, fsync the folder."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """The same for what is too long to hold: a file to write, which takes the place of `path` once all is well."""
    if not is_replaceable(path):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    draft = _temp_file(path)
    try:
        with _naming(path, draft):
            with draft.open("xb") as file:
                yield file
                fsync(file)
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def is_replaceable(path: Path) -> bool:
    """Return whether a file may take this place: a rename would also replace a device, a pipe or `/dev/stdout`."""
    is_stream = path.is_symlink() and path.readlink().is_relative_to("/proc")
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return bool(path.name) and not is_stream and not is_special


def atomic_create(path: Path, content: str | bytes) -> None:
    """Make `path` appear whole, never replacing anything.

    The same bytes already there are fine (an earlier try got this far); others raise FileExistsError.
    Where the filesystem refuses links the caller's lock has to keep others away between look and rename.
    """
    content = content.encode() if isinstance(content, str) else content
    draft = _temp_file(path)
    try:
        with _naming(path, draft):
            with draft.open("xb") as file:
                file.write(content)
                fsync(file)
            _link(draft, path, content)
    finally:
        draft.unlink(missing_ok=True)
    fsync_folder(path.parent)


def _link(draft: Path, path: Path, content: bytes) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        _require_same(path, content)
    except OSError as why:
        if why.errno not in _NOT_SUPPORTED:
            raise
        if path.exists():
            _require_same(path, content)
        else:
            draft.replace(path)


def rename_exclusive(source: Path | str, target: Path | str) -> None:
    """Rename within one filesystem, never replacing: FileExistsError if the target is there."""
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
    """Move a file to wherever `target` is, never replacing; other filesystem: copy, fsync, compare, rename, unlink."""
    try:
        rename_exclusive(source, target)
    except OSError as why:
        if why.errno != errno.EXDEV:
            raise
        draft = _temp_file(target)
        try:
            if _copy(source, draft) != hash_file(draft):
                raise OSError(errno.EIO, "the copy differs from the original", str(target))
            rename_exclusive(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        fsync_folder(target.parent)
        source.unlink()


def make_dir(folder: Path, *, under: Path | None = None, durable: bool = True) -> None:
    """Make a folder and its parents, and make their names durable.

    Args:
        folder: what to make.
        under: never made itself: what a share is mounted on may be missing for now, and is not ours to make.
        durable: False leaves the fsyncs to the caller.

    Raises:
        FileNotFoundError: `under` is not there.
        NotADirectoryError: a file has the name of a folder.
    """
    missing = []
    while not folder.is_dir():
        if folder == under:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        if os.path.lexists(folder) and not folder.is_dir():  # nor made by another process since
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
    # After all of them: the first fsync then writes the journal for the others, too, however deep they lie.
    for one in reversed(missing) if durable else ():
        fsync_folder(one.parent)


def fsync(file: IO[bytes]) -> None:
    """Make the content of an open file durable.

    Raises:
        OSError: it is not; with the path, which the error of the system call lacks.
    """
    file.flush()
    _fsync(file.fileno(), file.name)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable; where the filesystem cannot, warn once and go on."""
    why = try_fsync_folder(folder)
    if why is not None and not _warned_of:
        logs.warning("fsync of a folder is refused, the work goes on", folder=folder, why=why)
    if why is not None:
        _warned_of.add(why.errno or 0)


def try_fsync_folder(folder: Path) -> OSError | None:
    """Fsync a folder; return the error of a filesystem that cannot do it.

    Raises:
        OSError: any other error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _fsync(descriptor, folder)
    except OSError as why:
        if why.errno not in _NO_FOLDER_FSYNC:
            raise
        return why
    finally:
        os.close(descriptor)
    return None


def _fsync(descriptor: int, path: Path | str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as why:
        raise OSError(why.errno, f"fsync: {why.strerror}", str(path)) from why


def hash_file(path: Path) -> str:
    """The digest of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numbered_name(name: str, number: int) -> str:
    """The name to use when `name` is taken: `STEM~2.EXT`, never longer than 255 bytes.

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
    """A name that every filesystem takes: short, no character that some refuse.

    >>> portable_name('a:b?.png'), portable_name("ü" * 200 + ".png")[-6:]
    ('a_b_.png', 'üü.png')
    """
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    clean = "".join("_" if letter in '<>:"|?*\\' or not letter.isprintable() else letter for letter in stem)
    short = os.fsencode(clean)[: 120 - len(os.fsencode(suffix))].decode("utf-8", errors="ignore")
    return short.rstrip(" .") + suffix


@contextmanager
def _naming(path: Path, draft: Path) -> Iterator[None]:
    """Let an OSError name the file that is written, not its draft."""
    try:
        yield
    except OSError as why:
        if why.filename in (None, str(draft)):
            why.filename, why.filename2 = str(path), None
        raise


def _temp_file(path: Path) -> Path:
    """Return what a file is called until it is whole: beside its place, or above it where that path is too long."""
    # A leading dot and `.part`: neither our scanner nor anyone's glob takes it for a result.
    name, folder = f".{secrets.token_hex(8)}.part", path.parent
    while len(os.fsencode(folder / name)) >= PATH_MAX:
        folder = folder.parent
    return folder / name


def _require_same(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise FileExistsError(errno.EEXIST, "a file with other content has this name", str(path))


def _copy(source: Path, target: Path) -> str:
    digest: _Hash = hashlib.sha256()
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
