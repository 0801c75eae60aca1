"""What the pictures really say, where someone wrote it down: labels.csv files and folder names."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from digitrec import logs
from digitrec.errors import UsageError

FILE_NAME = "labels.csv"
HEADER = ["file", "label"]
_MOST_BYTES = 64_000_000


class Truth:
    """Looks up the label of a picture; every labels.csv is read once."""

    def __init__(self, inbox: Path, labels: Path | None = None, *, from_folders: bool = False) -> None:
        self._inbox = inbox
        self._from_folders = from_folders
        self._tables: dict[str, dict[str, str]] = {}
        self._given = self._read_given(labels) if labels else {}

    def of(self, path: str) -> str:
        """The label of a picture, "" if it is not known: the file given, then labels.csv upwards, then the folder.

        Args:
            path: under the inbox.
        """
        if path in self._given:
            return self._given[path]
        nearest = folder = path.rpartition("/")[0]
        while (label := self._table(folder or ".").get(path)) is None and folder:
            folder = folder.rpartition("/")[0]
        if label is not None:
            return label
        folder_name = nearest.rpartition("/")[2]
        if self._from_folders and len(folder_name) == 1 and folder_name in "0123456789":
            return folder_name
        return ""

    def files(self, folder: str) -> set[str]:
        """The pictures, by path under the inbox, that the labels.csv of a folder names."""
        return set(self._table(folder))

    def _table(self, folder: str) -> dict[str, str]:
        if folder not in self._tables:
            table = read(self._inbox / folder / FILE_NAME)
            self._tables[folder] = {_under(folder, name): label for name, label in table.items()}
        return self._tables[folder]

    def _read_given(self, labels: Path) -> dict[str, str]:
        table = read(labels)
        if not labels.exists():
            raise UsageError(f"{labels} does not exist", hint="--labels takes a CSV with the header file,label.")
        if not table and not is_truth(labels):
            raise UsageError(f"{labels} is no labels file", hint="Its first line must be: file,label")
        inbox, home = self._inbox.resolve(), labels.resolve().parent
        folder = home.relative_to(inbox).as_posix() if home.is_relative_to(inbox) else ""
        return {_under(folder, name): label for name, label in table.items()}


def is_truth(path: Path) -> bool:
    """True if this is a regular file that starts with the header `file,label`."""
    with _opened(path) as file:
        return _header(_rows(file.read(64))) == HEADER


def read(path: Path) -> dict[str, str]:
    """The labels of a file by name; empty if it is no labels file. Cells that are not there count as empty."""
    with _opened(path) as file:
        rows = _rows(file.read(_MOST_BYTES))
    if _header(rows) != HEADER:
        return {}
    found = {}
    try:
        for row in rows:
            if len(row) >= 2 and row[0].strip():
                found[row[0]] = row[1].strip()
    except csv.Error as why:
        logs.warn("labels after this line are not understood", file=path, line=len(found) + 2, why=why)
    return found


def _header(rows: Iterator[list[str]]) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error:  # then it is no labels file
        return None


def _rows(content: bytes) -> Iterator[list[str]]:
    # Names may be any bytes; a byte order mark is what Excel puts first.
    text = os.fsdecode(content.removeprefix(b"\xef\xbb\xbf"))
    return csv.reader(io.StringIO(text, newline=""))


def _opened(path: Path) -> io.BufferedReader | io.BytesIO:
    try:
        # Not through a link, and never waiting for the other end of a pipe.
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:  # none there, or none that may be read: then nothing is known
        return io.BytesIO()


def _under(folder: str, name: str) -> str:
    return os.path.normpath(PurePosixPath(folder, name)).replace(os.sep, "/")
