"""Arrivals that are odd: very deep folders, labels as Excel saves them, what other programs leave."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.soak import arrivals
from benchmarks.soak.account import LABELS, Dropped
from benchmarks.soak.arrivals import Arrivals, write
from benchmarks.soak.pool import Sample

MANNERS: Mapping[str, int] = {**arrivals.MANNERS, "labelled": 4, "deep": 2, "uploaded": 10}
"""How files arrive, and how often."""
_NEVER = (b"%d.png~", b"%d.!uT", b"%d.SWP", b"%d.partial")
_FOREIGN = (b"@eaDir", b"#recycle", b"$RECYCLE.BIN", b"#Snapshot", b"lost+found", b"System Volume Information")
"""Folders of other programs; nothing in them is read."""
_LONGEST_PATH = 4095
"""Bytes; Linux takes no longer one."""
_CLAIM = len(b"/.claimed/main/20260102T030405Z-00000000")


class OddArrivals(Arrivals):
    """Drops odd files among the others."""

    def __init__(
        self,
        inbox: Path,
        stage: Path,
        pool: Sequence[Sample],
        seed: int,
        levels: int = 1200,
        linger_s: float = 10.0,
        upload: Callable[[str, bytes], str | None] | None = None,
    ) -> None:
        """See `Arrivals`. Deep folders have so many `levels`, and are removed `linger_s` after they are empty.

        `upload` sends a file by HTTP and returns its name in the inbox, None if it was refused.
        """
        super().__init__(inbox, stage, pool, seed)
        self._levels, self._linger_s, self._upload = levels, linger_s, upload

    def _ways(self) -> dict[str, Callable[[int], None]]:
        ways = {**super()._ways(), "labelled": self._labelled, "deep": self._deep}
        return ways if self._upload is None else ways | {"uploaded": partial(self._uploaded, self._upload)}

    def _not_ours(self) -> None:
        """Also drop files into folders of other programs, and a file whose path is too long."""
        super()._not_ours()
        number = next(self._number)
        folder = self._rng.choice(_FOREIGN)
        os.makedirs(self._at(folder), exist_ok=True)  # noqa: PTH103 - names are bytes here
        for name in (*(dropped % number for dropped in _NEVER), b"%s/%d.png" % (folder, number)):
            write(self._at(name), self._sample(self._whole)[1])
            self.left_alone.append(name)
        if self._levels > 1000:
            self._too_long()

    def _labelled(self, count: int) -> None:
        """A folder with pictures and their labels, moved in as a whole."""
        name, labels = b"labelled %d" % next(self._number), []
        os.mkdir(self._stage + b"/" + name)  # noqa: PTH102
        for _ in range(min(count, 40)):
            sample, content, number = self._sample(self._whole)
            file = f"{number:06} ä{sample.suffix}"
            path = b"%s/%s" % (name, file.encode())
            inode = write(self._stage + b"/" + path, content)
            labels.append(
                (file, self._rng.choice(("7", "none", "fünf", "", "x;y")), path, content, sample.pages, inode)
            )
        table = _labels((file, label) for file, label, *_ in labels)
        write(b"%s/%s/labels.csv" % (self._stage, name), table)
        os.rename(self._stage + b"/" + name, self._at(name))  # noqa: PTH104
        for _, label, path, content, pages, inode in labels:
            self._note(path, content, pages, "labelled", inode).label = label
        self.dropped.append(Dropped(name + b"/labels.csv", hashlib.sha256(table).hexdigest(), 0, LABELS, time.time()))

    def _uploaded(self, upload: Callable[[str, bytes], str | None], count: int) -> None:
        """Files sent by HTTP, some under a name that is taken."""
        for _ in range(min(count, 60)):
            sample, content, number = self._sample()
            name = upload(f"{self._rng.choice(('scan', f'upload {number}'))}{sample.suffix}", content)
            if name is None:
                continue
            path = name.encode()
            with suppress(FileNotFoundError):  # claimed already: nobody can withdraw it
                self._note(path, content, sample.pages, "uploaded", os.stat(self._at(path)).st_ino)  # noqa: PTH116
                continue
            self._note(path, content, sample.pages, "uploaded", 0)

    def _deep(self, count: int) -> None:
        """Pictures in folders nested deeper than recursion goes; the folders are removed when they are empty."""
        name = b"deep %d" % next(self._number)
        folders = nested(self._stage + b"/" + name, self._levels)
        noted = []
        for folder in self._rng.sample(folders, min(count, 5)):
            sample, content, number = self._sample()
            file = b"%s/%06d%s" % (folder, number, sample.suffix.encode())
            noted.append((file[len(self._stage) + 1 :], content, sample.pages, "deep", write(file, content)))
        os.rename(self._stage + b"/" + name, self._at(name))  # noqa: PTH104
        for dropped in noted:
            self._note(*dropped)
        self._last = [
            dropped for dropped in self._last if not dropped[0].startswith(name)
        ]  # there will be no such folder
        self._remove_later([self._at(folder[len(self._stage) + 1 :]) for folder in folders])

    def _remove_later(self, folders: list[bytes]) -> None:
        """Remove deep folders as soon as they are empty: no events are sent while one exists."""

        def remove() -> None:
            if left := remove_empty(folders):
                self._remove_later(left)

        self._later(self._linger_s, remove)

    def _too_long(self) -> None:
        """Drop a file whose path would be too long among the claims, and remove it after a while."""
        folders, file = _too_deep(self._at(b"long %d" % next(self._number)))
        write(file, b"too deep for you")
        path = file[len(self._inbox) + 1 :]
        self.left_alone.append(path)
        self._later(2 * self._linger_s, partial(self._take_back, path, folders))

    def _take_back(self, path: bytes, folders: list[bytes]) -> None:
        with suppress(FileNotFoundError):  # it was claimed: reported at the end
            os.unlink(self._at(path))  # noqa: PTH108
            self.left_alone.remove(path)
        self._remove_later(folders)


def nested(top: bytes, levels: int) -> list[bytes]:
    """Make a folder and folders in folders below it; gives their paths, the deepest first."""
    paths = [top + b"/d" * level for level in range(levels + 1)]
    for path in paths:
        os.mkdir(path)  # noqa: PTH102 - names are bytes here
    return paths[::-1]


def remove_empty(paths: list[bytes]) -> list[bytes]:
    """Remove folders, the deepest first, up to one that holds something; gives all of them again if one is left.

    All: a deferred file creates removed folders again.
    """
    for path in paths:
        try:
            os.rmdir(path)  # noqa: PTH106
        except FileNotFoundError:  # removed before
            continue
        except OSError:  # a file was not claimed yet, or was deferred
            return paths
    return []


def _too_deep(top: bytes) -> tuple[list[bytes], bytes]:
    """Make folders below `top`, and in the deepest the path of a file that can be used, but not be claimed."""
    paths = nested(top, (_LONGEST_PATH - len(top) - _CLAIM) // 2)
    return paths, paths[0] + b"/" + b"x" * (_LONGEST_PATH - len(paths[0]) - 1)


def _labels(rows: Iterable[tuple[str, str]]) -> bytes:
    """A labels.csv as Excel saves it: Windows-1252, CRLF, and here with a column of remarks."""
    lines = ["file,label,remark", *(f"{file},{label},grün" for file, label in rows), ""]
    return "\r\n".join(lines).encode("cp1252")
