"""What arrives in the inbox, and how: by rename, written slowly, onto the names of others, deleted again, oddly named.

Whether a file that was overwritten or deleted had been claimed before is not guessed: a descriptor that was opened
before tells it, as a file that is claimed keeps its name, only elsewhere.
"""

import hashlib
import heapq
import itertools
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from benchmarks.soak.account import Dropped
from benchmarks.soak.pool import Sample
from digitrec import files

MANNERS: Mapping[str, int] = {
    "moved": 30,
    "written": 20,
    "part": 15,
    "folder": 8,
    "slow": 8,
    "onto": 8,
    "withdrawn": 6,
    "again": 5,
    "odd": 8,
    "empty": 4,
}
"""How files arrive, and how often."""
MOST = 500
_RECENT = 400
_BROKEN_SHARE = 0.08
_YEARS_OFF_S = (-1e8, -4000.0, 1e7, -3e9, 1e10)
"""Cameras with a wrong clock: also before 1970, and after 2262, where nanoseconds need more than 63 bit."""
_FOLDERS = (b"", b"", b"", b"", b"office/", b"scans/2026/11/", b"7/", "Zähler/".encode(), b"a b/%41/", b"bad\xff/")
_ODD = (
    b"=1+1 %d",
    b'a,b;"c" %d',
    b"100%% %d",
    b"%%0A %d",
    "nä %d".encode(),
    "na\u0308 %d".encode(),
    "новый 数字 🙂 %d".encode(),
    b"line\nbreak %d",
    b"tab\t%d\r",
    "\u202egnp.%d".encode(),
    b" leading %d",
    b"trailing %d .",
    b"-rf %d",
    b"'%d'",
    b"@%d",
    b"back\\slash %d",
    b"x" * 230 + b"%d",
    b"\xff\xfe %d",
    b"%d~2",
    b"$HOME `id` <b>%d<b>",
    b"con:%d?*|",
)


@dataclass(order=True, slots=True)
class _Due:
    at_s: float
    number: int
    act: Callable[[], None] = field(compare=False)


class Arrivals:
    """Drops files into the inbox and records them."""

    def __init__(self, inbox: Path, stage: Path, pool: Sequence[Sample], seed: int) -> None:
        """`stage` is an empty folder on the same filesystem."""
        self._inbox, self._stage = os.fsencode(inbox), os.fsencode(stage)
        self._whole = [sample for sample in pool if sample.is_readable]
        self._broken = [sample for sample in pool if not sample.is_readable]
        self._cuttable = [sample for sample in pool if sample.can_be_cut]
        self._rng = random.Random(seed)
        self._number = itertools.count()
        self._due: list[_Due] = []
        self._by_inode: dict[int, Dropped] = {}
        self._last: list[tuple[bytes, bytes, int | None]] = []
        """Path, content and pages of what came lately."""
        self.dropped: list[Dropped] = []
        self.left_alone: list[bytes] = []
        """Paths that nobody may claim."""
        self.bursts = 0

    def burst(self, manners: Mapping[str, int] = MANNERS, most: int = MOST) -> None:
        """Let 1 to `most` files arrive in one of these manners, by their weights; small numbers more often."""
        (manner,) = self._rng.choices([*manners], [*manners.values()])
        self.arrive(manner, round(math.exp(self._rng.uniform(0, math.log(most)))))
        self.bursts += 1
        if self.bursts % 8 == 0:
            self._not_ours()

    def arrive(self, manner: str, count: int) -> None:
        """Let so many files arrive in this manner; fewer where more would make no sense."""
        self._ways()[manner](count)

    def _ways(self) -> dict[str, Callable[[int], None]]:
        return {
            "moved": self._moved,
            "written": self._written,
            "part": self._part,
            "folder": self._folder,
            "slow": self._slow,
            "onto": self._onto,
            "withdrawn": self._withdrawn,
            "again": self._again,
            "odd": self._odd,
            "empty": self._empty,
        }

    def run_due(self) -> None:
        """Do what is due: pieces of slow files, deletions."""
        while self._due and self._due[0].at_s <= time.monotonic():
            heapq.heappop(self._due).act()

    def is_busy(self) -> bool:
        """True while something that was begun is not finished."""
        return bool(self._due)

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, _Due(time.monotonic() + delay_s, next(self._number), act))

    def _sample(self, among: Sequence[Sample] | None = None) -> tuple[Sample, bytes, int]:
        if among is None:
            among = (self._rng.random() < _BROKEN_SHARE and self._broken) or self._whole
        number = next(self._number)
        sample = self._rng.choice(among)
        return sample, sample.varied(number), number

    def _home(self) -> bytes:
        """The folder of a burst, as a prefix."""
        prefix = self._rng.choice(_FOLDERS)
        os.makedirs(os.path.join(self._inbox, prefix), exist_ok=True)  # noqa: PTH103, PTH118 - names are bytes here
        return prefix

    def _at(self, path: bytes) -> bytes:
        return os.path.join(self._inbox, path)  # noqa: PTH118

    def _draft(self, content: bytes) -> bytes:
        draft = os.path.join(self._stage, b"%d" % next(self._number))  # noqa: PTH118
        write(draft, content)
        return draft

    def _note(self, path: bytes, content: bytes, pages: int | None, manner: str, inode: int) -> Dropped:
        dropped = Dropped(path, hashlib.sha256(content).hexdigest(), pages, manner, time.time())
        self.dropped.append(dropped)
        self._by_inode[inode] = dropped
        if content:
            self._last = [*self._last[-_RECENT:], (path, content, pages)]
        return dropped

    def _move(self, path: bytes, content: bytes, pages: int | None, manner: str) -> None:
        """Rename a file to a free name."""
        draft = self._draft(content)
        if self._rng.random() < 0.2:  # from a camera whose clock is wrong
            then_ns = int((time.time() + self._rng.choice(_YEARS_OFF_S)) * 1e9)
            os.utime(draft, ns=(then_ns, then_ns))
        inode = os.stat(draft).st_ino  # noqa: PTH116
        files.rename_exclusive(Path(os.fsdecode(draft)), Path(os.fsdecode(self._at(path))))
        self._note(path, content, pages, manner, inode)

    def _moved(self, count: int) -> None:
        prefix = self._home()
        for _ in range(count):
            sample, content, number = self._sample()
            self._move(b"%s%06d%s" % (prefix, number, sample.suffix.encode()), content, sample.pages, "moved")

    def _written(self, count: int) -> None:
        prefix = self._home()
        for _ in range(count):
            sample, content, number = self._sample()
            path = b"%s%06d%s" % (prefix, number, sample.suffix.encode())
            inode = write(self._at(path), content)
            self._note(path, content, sample.pages, "written", inode)

    def _part(self, count: int) -> None:
        prefix = self._home()
        for _ in range(count):
            sample, content, number = self._sample()
            path = b"%s%06d%s" % (prefix, number, sample.suffix.encode())
            inode = write(self._at(path + b".part"), content)
            os.rename(self._at(path + b".part"), self._at(path))  # noqa: PTH104
            self._note(path, content, sample.pages, "part", inode)

    def _folder(self, count: int) -> None:
        """A folder that is moved in as a whole."""
        name = b"folder %d" % next(self._number)
        draft = os.path.join(self._stage, name)  # noqa: PTH118
        os.makedirs(os.path.join(draft, b"deeper"))  # noqa: PTH103, PTH118
        noted = []
        for _ in range(count):
            sample, content, number = self._sample()
            path = b"%s%06d%s" % (self._rng.choice((b"", b"deeper/")), number, sample.suffix.encode())
            inode = write(os.path.join(draft, path), content)  # noqa: PTH118
            noted.append((b"%s/%s" % (name, path), content, sample.pages, "folder", inode))
        os.rename(draft, self._at(name))  # noqa: PTH104
        for dropped in noted:
            self._note(*dropped)

    def _slow(self, count: int) -> None:
        """Files that are written in pieces with pauses, some of them longer than the settle time."""
        prefix = self._home()
        for _ in range(min(count, 12)):
            sample, content, number = self._sample(self._cuttable)
            path = b"%s%06d%s" % (prefix, number, sample.suffix.encode())
            cuts = sorted(self._rng.sample(range(1, len(content)), self._rng.randint(1, 5)))
            pieces = [content[start:end] for start, end in itertools.pairwise([0, *cuts, len(content)])]
            file = open(self._at(path), "xb", buffering=0)  # noqa: PTH123, SIM115 - closed with its last piece
            longest_s = self._rng.choice((1.5, 1.5, 9.0))
            self._write_on(file, path, content, pieces, sample.pages, longest_s)

    def _write_on(
        self, file: IO[bytes], path: bytes, content: bytes, pieces: list[bytes], pages: int | None, longest_s: float
    ) -> None:
        file.write(pieces[0])
        if pieces[1:]:
            pause_s = self._rng.uniform(0.1, longest_s)
            self._later(pause_s, lambda: self._write_on(file, path, content, pieces[1:], pages, longest_s))
            return
        inode = os.fstat(file.fileno()).st_ino
        file.close()
        self._note(path, content, pages, "slow", inode)

    def _onto(self, count: int) -> None:
        """Renames onto names that others have, or had until they were claimed."""
        recent = sorted({path for path, _, _ in self._last if b"~" not in path})
        for path in self._rng.sample(recent, min(count, len(recent), 60)):
            sample, content, _ = self._sample()
            held = self._opened(path)
            if held is None:
                with suppress(FileExistsError):  # deferred this moment: not this time
                    self._move(path, content, sample.pages, "onto")
                continue
            with held:
                draft = self._draft(content)
                inode = os.stat(draft).st_ino  # noqa: PTH116
                os.replace(draft, self._at(path))  # noqa: PTH105
                self._withdraw_if_gone(held)
            self._note(path, content, sample.pages, "onto", inode)

    def _withdrawn(self, count: int) -> None:
        """Files of which one half is deleted again, sooner or later."""
        first = len(self.dropped)
        self._moved(min(count, 80))
        for item in self.dropped[first::2]:
            self._later(self._rng.uniform(0, 4), partial(self._delete, item.path))

    def _delete(self, path: bytes) -> None:
        held = self._opened(path)
        if held is None:
            return
        with held:
            with suppress(FileNotFoundError):
                os.unlink(self._at(path))  # noqa: PTH108
            self._withdraw_if_gone(held)

    def _again(self, count: int) -> None:
        """The same bytes under other names, and under the same."""
        for path, content, pages in self._rng.sample(self._last, min(count, len(self._last), 40)):
            name = path if self._rng.random() < 0.5 else b"again %d.dat" % next(self._number)
            with suppress(FileExistsError):  # it still exists
                self._move(name, content, pages, "again")

    def _odd(self, count: int) -> None:
        for _ in range(min(count, 60)):
            sample, content, number = self._sample()
            path = self._rng.choice(_ODD) % number + sample.suffix.encode()
            self._move(path, content, sample.pages, "odd")

    def _empty(self, count: int) -> None:
        """Empty files; every other one is filled some seconds later."""
        for number in range(min(count, 6)):
            sample, content, _ = self._sample(self._whole)
            path = b"empty %d%s" % (next(self._number), sample.suffix.encode())
            file = open(self._at(path), "xb", buffering=0)  # noqa: PTH123, SIM115 - closed when filled
            if number % 2:
                fill = partial(self._fill, file, path, content, sample.pages)
                self._later(self._rng.uniform(3, 20), fill)
                continue
            with file:
                self._note(path, b"", 1, "empty", os.fstat(file.fileno()).st_ino)

    def _fill(self, file: IO[bytes], path: bytes, content: bytes, pages: int | None) -> None:
        with file:
            file.write(content)
            self._note(path, content, pages, "filled", os.fstat(file.fileno()).st_ino)

    def _not_ours(self) -> None:
        """What file managers, browsers and others leave: it has to lie there at the end."""
        number = next(self._number)
        for name in (b".hidden-%d.png", b"~$%d.docx", b"%d.png.part", b"%d.TMP", b"%d.crdownload"):
            write(self._at(name % number), b"not for you")
            self.left_alone.append(name % number)
        os.symlink(b"/etc/hostname", self._at(b"link-%d.png" % number))  # noqa: PTH211
        os.mkfifo(self._at(b"pipe-%d.png" % number))
        self.left_alone += [b"link-%d.png" % number, b"pipe-%d.png" % number]

    def _opened(self, path: bytes) -> IO[bytes] | None:
        try:
            return open(self._at(path), "rb", buffering=0)  # noqa: PTH123
        except FileNotFoundError:
            return None

    def _withdraw_if_gone(self, held: IO[bytes]) -> None:
        """A file without a name was deleted by us just now; one that was claimed has its name among the claims."""
        state = os.fstat(held.fileno())
        if state.st_nlink == 0:
            self._by_inode[state.st_ino].is_withdrawn = True


def write(path: bytes, content: bytes) -> int:
    """Write a new file; gives its inode."""
    with open(path, "xb") as file:  # noqa: PTH123
        file.write(content)
        return os.fstat(file.fileno()).st_ino
