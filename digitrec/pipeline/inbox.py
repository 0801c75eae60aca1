"""The inbox as a queue: claim files by rename, defer them, move them to a free name. Nothing is ever replaced."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from digitrec import files
from digitrec.errors import BusyError, EnvironmentFailure
from digitrec.settings import resolve_links
from digitrec.storage import folder_id

CLAIMED = ".claimed"
OWNER = "ledger"
_PROBE = ".digitrec-probe-"
_REFUSED = {errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ}


class Inbox:
    """One worker's view of the inbox. Paths are relative to the inbox, with `/` between folders."""

    def __init__(self, root: Path, worker: str) -> None:
        self.root = root
        self.worker = worker
        self._claims_dir = root / CLAIMED / worker

    @contextmanager
    def lock(self, ledger: Path) -> Iterator[int]:
        """Hold the lock of this inbox and worker.

        Args:
            ledger: the ledger that will own the claims; its path is written beside the lock.

        Yields:
            The descriptor of the lock file.

        Raises:
            BusyError: another process holds it.
            EnvironmentFailure: the folder holds claims of another ledger.
        """
        files.make_dir(self._claims_dir)
        descriptor = os.open(self._claims_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            self._take(descriptor)
            self._own(ledger)
            yield descriptor
        finally:
            os.close(descriptor)

    def has_lock(self) -> bool:
        """Return True if the lock file exists, held or not."""
        return (self._claims_dir / "lock").is_file()

    def check_free(self) -> None:
        """Raise BusyError if another process holds the lock; creates nothing."""
        if self.has_lock():
            descriptor = os.open(self._claims_dir / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                self._take(descriptor)
            finally:
                os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        """Take the lock; it is free again when the descriptor is closed."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another process works on {self.root} as worker {self.worker!r}") from None

    def is_newcomer(self) -> bool:
        """Return True if other workers have worked on this inbox, and this one never has."""
        workers = {path.parent.name for path in (self.root / CLAIMED).glob(f"*/{OWNER}")}
        return bool(workers) and self.worker not in workers

    def _own(self, ledger: Path) -> None:
        note, own = self._claims_dir / OWNER, str(resolve_links(ledger))
        owner = os.fsdecode(note.read_bytes()) if note.exists() else own
        if owner != own and self.batches():
            raise EnvironmentFailure(
                f"claims of the ledger {owner} are in {self._claims_dir}",
                hint="Finish them with that state_dir, or use another --worker NAME.",
            )
        if owner != own or not note.exists():
            self.set_owner(ledger)

    def set_owner(self, ledger: Path) -> None:
        """Write the path of the ledger that owns the claims."""
        files.atomic_write(self._claims_dir / OWNER, os.fsencode(str(resolve_links(ledger))))

    def batches(self) -> list[str]:
        """Return the ids of the batches that have a folder of claims, oldest first."""
        return _list_folders(self._claims_dir)

    def other_workers(self) -> list[str]:
        """Return the names of other workers with claims in this inbox."""
        claimed = self.root / CLAIMED
        return [name for name in _list_folders(claimed) if name != self.worker and _list_folders(claimed / name)]

    def location(self, batch_id: str, path: str) -> Path:
        """Return the path of a claimed file."""
        return self._claims_dir.joinpath(batch_id, path)

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """Return the stat fields of a claimed file."""
        return self.location(batch_id, path).lstat()

    def claim(self, batch_id: str, path: str) -> None:
        """Claim a file by one rename, if it still exists. `make_durable` comes after all of them."""
        # Strings: to build a Path takes as long as the rename.
        source, target = f"{self.root}/{path}", f"{self._claims_dir}/{batch_id}/{path}"
        try:
            files.rename_exclusive(source, target)
        except FileNotFoundError:  # the target's folder is missing, or the file
            # `under`: if the folder of the lock is missing, the inbox was replaced, and nothing may be made in it.
            files.make_dir(Path(target).parent, under=self._claims_dir, durable=False)
            with suppress(FileNotFoundError):
                files.rename_exclusive(source, target)

    def is_writable(self) -> bool:
        """Try to claim an empty probe file; return False if that fails: then no file of the inbox can be claimed."""
        name = f"{_PROBE}{self.worker}"
        try:
            (self._claims_dir / name).unlink(missing_ok=True)
            (self.root / name).touch()
            self.claim(".", name)
            (self._claims_dir / name).unlink()
        except OSError:  # the caller has the error of a real file
            with suppress(OSError):
                (self.root / name).unlink()
            return False
        return True

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Fsync both folders of the renames and the folders that were made for them, each once."""
        batch_dir, paths = self._claims_dir / batch_id, list(paths)
        for folder in parent_folders(paths):
            files.fsync_folder(batch_dir / folder)
        for folder in {path.rpartition("/")[0] for path in paths}:
            if (self.root / folder).is_dir():
                files.fsync_folder(self.root / folder)
        files.fsync_folder(self._claims_dir)

    def claimed_files(self, batch_id: str) -> list[str]:
        """Return the paths of the claimed files of a batch, sorted."""
        batch_dir = self._claims_dir / batch_id
        if not batch_dir.is_dir():
            return []
        return sorted(path for path, entry in folder_id.walk(batch_dir) if not folder_id.is_folder(entry))

    def defer(self, batch_id: str, path: str) -> str:
        """Move a claimed file back into the inbox, beside its path if that is taken; return its new path."""
        return move_to_free_name(self.location(batch_id, path), self.root, path)

    def close(self, batch_id: str) -> None:
        """Remove the empty folders of a batch."""
        batch_dir = self._claims_dir / batch_id
        if batch_dir.is_dir():
            folders = [path for path, entry in folder_id.walk(batch_dir) if folder_id.is_folder(entry)]
            for path in ("", *folders)[::-1]:  # deeper folders come later in the walk
                os.rmdir(f"{batch_dir}/{path}")  # noqa: PTH106 - a Path takes longer than the call
        files.fsync_folder(self._claims_dir)


def parent_folders(paths: Iterable[str]) -> set[str]:
    """Return every folder above one of these files, at any depth; "." is the root of all paths.

    >>> sorted(parent_folders(["a/b/1.png", "a/2.png"]))
    ['.', 'a', 'a/b']
    """
    folders = {"."}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _list_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def move_to_free_name(source: Path, root: Path, path: str) -> str:
    """Move a file to `root/path`, or to the first free `STEM~2.EXT` beside it; return its new path under root.

    A name that the target's filesystem refuses (too long, an illegal character) is replaced by a portable one.
    """
    target = root / path
    name, number = target.name, 1
    while True:
        try:
            files.move_durable(source, target)
        except FileNotFoundError:  # the target's folder is missing, or the file
            if target.parent.is_dir():
                raise
            files.make_dir(target.parent, under=root)
            continue
        except FileExistsError:
            number += 1
        except OSError as error:
            if error.errno not in _REFUSED or name == files.portable_name(name):
                raise
            name, number = files.portable_name(name), 2
        else:
            folder = path.rpartition("/")[0]
            return f"{folder}/{target.name}" if folder else target.name
        target = target.with_name(files.numbered_name(name, number))
