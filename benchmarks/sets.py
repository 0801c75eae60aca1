"""Sets of pictures on disk, drawn once, and workspaces that hold them."""

import csv
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from benchmarks.process import CommandFailed

_TABLE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}\.csv")


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Files of one kind, or the first of them."""

    kind: str
    folder: Path
    count: int

    @property
    def files(self) -> list[Path]:
        """The pictures, in order."""
        return sorted((self.folder / "pictures").iterdir())[: self.count]

    @property
    def source(self) -> str:
        """Where its digits came from, in words."""
        return (self.folder / "source.txt").read_text(encoding="utf-8").strip()

    @property
    def size_mb(self) -> float:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files) / 1e6

    def first(self, count: int) -> "PictureSet":
        """A smaller set that begins alike."""
        return PictureSet(self.kind, self.folder, min(count, self.count))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run made of a set: its speed is worth nothing if this changed."""

    rows: int
    accepted: int
    right: int
    """Of all rows, whatever their status."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where sets are kept, and where measured workspaces lie meanwhile: on one filesystem."""

    work: Path
    data: str
    """The digits they are drawn with."""

    def get(self, kind: str, count: int) -> PictureSet:
        """The set, drawn now unless it is there."""
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self.data).strip("-")
        folder = self.work / "sets" / f"{kind}-{count}-{slug}-{_drawn_by():08x}"
        if not folder.exists():
            draft = folder.with_name(folder.name + ".part")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            process.run(process.python("-m", "benchmarks.drawing", kind, str(count), str(draft), "--data", self.data))
            draft.rename(folder)
        pictures = PictureSet(kind, folder, count)
        for path in pictures.files:  # fill the page cache
            path.read_bytes()
        return pictures

    @contextmanager
    def workspace(self, pictures: Sequence[Path] = ()) -> Iterator[Path]:
        """A workspace with these pictures in its inbox; it is gone afterwards."""
        self.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="workspace-", dir=self.work) as folder:
            (Path(folder) / "inbox").mkdir()
            drop(pictures, Path(folder))
            yield Path(folder)


def _drawn_by() -> int:
    """Changes with the code that draws: a set that it no longer draws is not taken for one that it does."""
    digest = 0
    for name in (
        "benchmarks/drawing.py",
        "digitrec/training/synthetic/samples.py",
        "digitrec/training/synthetic/strokes.py",
        "digitrec/training/synthetic/background.py",
    ):
        digest = zlib.crc32((process.ROOT / name).read_bytes(), digest)
    return digest


def drop(pictures: Sequence[Path], workspace: Path) -> None:
    """Put pictures into an inbox, as links: the bytes are in the cache already."""
    for path in pictures:
        (workspace / "inbox" / path.name).hardlink_to(path)


def answers(workspace: Path, pictures: PictureSet) -> Answers:
    """Look at what a run published.

    Raises:
        CommandFailed: it is not one row for each of the pictures.
    """
    with (pictures.folder / "labels.csv").open(encoding="utf-8", newline="") as table:
        truth = dict(csv.reader(table))
    rows = accepted = right = 0
    for path in (workspace / "outbox").iterdir():
        if _TABLE.fullmatch(path.name):
            with path.open(encoding="utf-8", newline="") as table:
                for row in csv.DictReader(table):
                    rows += 1
                    accepted += row["status"] == "accepted"
                    right += row["text"] == truth[row["file"]]
    if rows != pictures.count:
        raise CommandFailed(f"{pictures.count} pictures were in the inbox, and {rows} rows were published")
    return Answers(rows, accepted, right)
