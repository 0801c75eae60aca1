"""The inbox as a queue: claim by rename, defer, file away. Nothing is ever replaced."""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from digitrec import files
from digitrec.errors import BusyError, EnvironmentFailure
from digitrec.settings import real
from digitrec.storage import folder_id

CLAIMED = ".claimed"
OWNER = "ledger"
_PROBE = ".digitrec-probe-"
_REFUSED = {errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ}


class Inbox:
    """One worker's view of the inbox. Paths are under the inbox, `/` between folders."""

    def __init__(self, root: Path, worker: str) -> None:
        self.root = root
        self.worker = worker
        self._mine = root / CLAIMED / worker

    @contextmanager
    def lock(self, ledger: Path) -> Iterator[int]:
        """Hold this inbox and worker against every other process.

        Args:
            ledger: the ledger that will own the claims; its path is written beside the lock.

        Yields:
            The descriptor of the lock file.

        Raises:
            BusyError: another process holds it.
            EnvironmentFailure: claims of another ledger lie here.
        """
        files.make_folder(self._mine)
        descriptor = os.open(self._mine / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(f"another process works on {self.root} as worker {self.worker!r}") from None
            self._own(ledger)
            yield descriptor
        finally:
            os.close(descriptor)

    def has_lock(self) -> bool:
        """True if a lock file lies here, held or not."""
        return (self._mine / "lock").is_file()

    def _own(self, ledger: Path) -> None:
        note, mine = self._mine / OWNER, str(real(ledger))
        owner = os.fsdecode(note.read_bytes()) if note.exists() else mine
        if owner != mine and self.batches():
            raise EnvironmentFailure(
                f"claims of the ledger {owner} lie in {self._mine}",
                hint="Finish them with that state_dir, or use another --worker NAME.",
            )
        if owner != mine or not note.exists():
            files.write_whole(note, os.fsencode(mine))

    def batches(self) -> list[str]:
        """The batches that have a folder of claims, oldest first."""
        return _list_folders(self._mine)

    def other_workers(self) -> list[str]:
        """Names of other workers with claims here."""
        claimed = self.root / CLAIMED
        return [name for name in _list_folders(claimed) if name != self.worker and _list_folders(claimed / name)]

    def location(self, batch_id: str, path: str) -> Path:
        """Where a claimed file lies."""
        return self._mine.joinpath(batch_id, path)

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """What a claimed file is."""
        return self.location(batch_id, path).lstat()

    def claim(self, batch_id: str, path: str) -> None:
        """Make a file ours by one rename, if it is still there. `make_durable` comes after all of them."""
        source, target = f"{self.root}/{path}", f"{self._mine}/{batch_id}/{path}"  # a Path takes as long as the rename
        try:
            files.move_new(source, target)
        except FileNotFoundError:  # its folder is missing, or the file
            # The lock lies in `_mine`: if that is gone, the folder is another one, and nothing may be made in it.
            files.make_folder(Path(target).parent, under=self._mine, durable=False)
            with suppress(FileNotFoundError):
                files.move_new(source, target)

    def is_writable(self) -> bool:
        """Try to claim an empty file of our own; False if that fails: then nothing in the inbox can be claimed."""
        name = f"{_PROBE}{self.worker}"
        try:
            (self._mine / name).unlink(missing_ok=True)
            (self.root / name).touch()
            self.claim(".", name)
            (self._mine / name).unlink()
        except OSError:  # whoever asks has the error of a real file
            with suppress(OSError):
                (self.root / name).unlink()
            return False
        return True

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Fsync both folders of the renames, and those that were made for them, once per folder."""
        batch, paths = self._mine / batch_id, list(paths)
        for folder in parent_folders(paths):
            files.fsync_folder(batch / folder)
        for folder in {path.rpartition("/")[0] for path in paths}:
            if (self.root / folder).is_dir():
                files.fsync_folder(self.root / folder)
        files.fsync_folder(self._mine)

    def claimed_files(self, batch_id: str) -> list[str]:
        """The files that lie claimed in a batch, sorted."""
        batch = self._mine / batch_id
        if not batch.is_dir():
            return []
        return sorted(path for path, entry in folder_id.walk(batch) if not folder_id.is_folder(entry))

    def defer(self, batch_id: str, path: str) -> str:
        """Put a claimed file back where it was dropped; if the name is taken, beside it. Gives its path now."""
        return move_to_free_name(self.location(batch_id, path), self.root, path)

    def close(self, batch_id: str) -> None:
        """Remove the empty folders of a batch."""
        batch = self._mine / batch_id
        if batch.is_dir():
            found = [path for path, entry in folder_id.walk(batch) if folder_id.is_folder(entry)]
            for path in ("", *found)[::-1]:  # what lies deeper was found later
                os.rmdir(f"{batch}/{path}")  # noqa: PTH106 - a Path takes longer than the call
        files.fsync_folder(self._mine)


def parent_folders(paths: Iterable[str]) -> set[str]:
    """Every folder that one of these files lies in, at any depth; "." is the one that all paths begin at.

    >>> sorted(folders_of(["a/b/1.png", "a/2.png"]))
    ['.', 'a', 'a/b']
    """
    found = {"."}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _list_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def move_to_free_name(source: Path, root: Path, path: str) -> str:
    """Move a file to `root/path`, or to the first free `STEM~2.EXT` beside it. Gives the path under root it has now.

    A name that the target's filesystem refuses (too long, an illegal character) is made plain first.
    """
    target = root / path
    name, number = target.name, 1
    while True:
        try:
            files.move_across(source, target)
        except FileNotFoundError:  # its folder is missing, or the file
            if target.parent.is_dir():
                raise
            files.make_folder(target.parent, under=root)
            continue
        except FileExistsError:
            number += 1
        except OSError as why:
            if why.errno not in _REFUSED or name == files.plain(name):
                raise
            name, number = files.plain(name), 2
        else:
            folder = path.rpartition("/")[0]
            return f"{folder}/{target.name}" if folder else target.name
        target = target.with_name(files.numbered(name, number))
