"""Look up the label (true text) of a picture in labels.csv files and folder names."""

import csv
import errno
import io
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from digitrec import logs
from digitrec.errors import UsageError
from digitrec.settings import resolve_links

LABELS_FILE = "labels.csv"
HEADER = ["file", "label"]
UTF_8, WINDOWS, UTF_16 = "UTF-8", "Windows-1252", "UTF-16"
_MAX_FILE_BYTES = 64_000_000
_MAX_LABEL_BYTES = 40_000
"""Escaped, each byte takes up to three characters; Python's CSV reader takes cells of up to 131,072 characters."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Content of a labels file. Nothing in it raises: a part that cannot be parsed is reported."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """By path under the inbox, as its bytes are or decoded; the bytes take precedence if both are names of files."""
    files: tuple[frozenset[str], ...] = ()
    """The possible paths of each listed picture: one, or its bytes and their decoded form."""
    encoding: str = UTF_8
    """`UTF-8`, `Windows-1252`, or `UTF-16`, which is not parsed."""
    is_labels: bool = False
    """True if its first two columns are file and label."""
    broken: str = ""
    """Line and reason from which the rest cannot be parsed; "" if all of it can."""


class LabelLookup:
    """Finds the label of a picture; every labels.csv is read once."""

    def __init__(
        self, inbox: Path, labels: Path | None = None, *, from_folders: bool = False, warned: set[str] | None = None
    ) -> None:
        """Read the labels file of `--labels`.

        Args:
            inbox: the folder of the pictures.
            labels: the file of `--labels`.
            from_folders: take the name of a picture's folder as its label if it is one digit.
            warned: the warnings given so far, shared between lookups of the same files.

        Raises:
            UsageError: the file of `--labels` cannot be used.
        """
        self._inbox = inbox
        self._from_folders = from_folders
        self._warned = warned if warned is not None else set()
        self._tables: dict[str, LabelTable] = {}
        self._option_labels = self._read_option_file(labels) if labels else {}

    def find(self, path: str) -> str:
        """Return the label of a picture, "" if unknown: `--labels`, then the nearest labels.csv, then its folder.

        Args:
            path: under the inbox.
        """
        if path in self._option_labels:
            return self._option_labels[path]
        own_folder = folder = path.rpartition("/")[0]
        while (label := self._table(folder or ".").labels.get(path)) is None and folder:
            folder = folder.rpartition("/")[0]
        if label is not None:
            return label
        folder_name = own_folder.rpartition("/")[2]
        if self._from_folders and len(folder_name) == 1 and folder_name in "0123456789":
            return folder_name
        return ""

    def listed_files(self, folder: str) -> tuple[frozenset[str], ...]:
        """Return the pictures that the labels.csv of a folder lists, each as its possible paths under the inbox."""
        return self._table(folder).files

    def _table(self, folder: str) -> LabelTable:
        if folder not in self._tables:
            path = self._inbox / folder / LABELS_FILE
            self._tables[folder] = self._warn_once(path, read_labels(path, folder))
        return self._tables[folder]

    def _read_option_file(self, labels: Path) -> Mapping[str, str]:
        inbox, parent = resolve_links(self._inbox), resolve_links(labels).parent
        folder = parent.relative_to(inbox).as_posix() if parent.is_relative_to(inbox) else ""
        try:
            table = _parse(_read_regular_file(labels, _MAX_FILE_BYTES), folder)
        except FileNotFoundError:
            hint = "--labels takes a CSV with the header file,label."
            raise UsageError(f"{labels} does not exist", hint=hint) from None
        except OSError as error:
            raise UsageError(f"the labels file {labels} cannot be read: {error.strerror}") from error
        if table.encoding == UTF_16:
            raise UsageError(f"{labels} is UTF-16", hint="Save it as UTF-8; Excel calls that `CSV UTF-8`.")
        if not table.is_labels:
            raise UsageError(f"{labels} is no labels file", hint="Its first line must be: file,label")
        return self._warn_once(labels, table).labels

    def _warn_once(self, path: Path, table: LabelTable) -> LabelTable:
        key = f"{path} {table.encoding} {table.broken}"
        if key in self._warned:
            return table
        self._warned.add(key)
        if table.encoding == UTF_16:
            logs.warning("labels in UTF-16 are not used, save the file as UTF-8", file=path)
        elif table.is_labels and table.encoding == WINDOWS:
            logs.warning("labels are not UTF-8, read as Windows-1252", file=path)
        if table.broken:
            logs.warning("labels after this line cannot be parsed", file=path, line=table.broken)
        return table


def is_labels_file(path: Path) -> bool:
    """Return True for a regular file that starts with the columns file and label, in any encoding."""
    try:
        content = _read_regular_file(path, 64)
    except OSError:  # missing, or not readable
        return False
    return _is_utf_16(content) or bool(_find_separator(_decode_bytewise(content)))


def read_labels(path: Path, folder: str = "") -> LabelTable:
    """Read the labels of a file for pictures of a folder; empty if it is no labels file, or cannot be read."""
    try:
        return _parse(_read_regular_file(path, _MAX_FILE_BYTES), folder)
    except OSError:
        return LabelTable()


def _read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file without following a link or waiting for the writer of a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4)
def _parse(content: bytes, folder: str) -> LabelTable:
    """Parse a labels file: as UTF-8 if all of it is, else as Windows-1252 if the header fits; never raises.

    Cached, since every batch reads its labels again and 100,000 of them take a second to parse.
    """
    if _is_utf_16(content):
        return LabelTable(encoding=UTF_16, is_labels=True)
    text = _decode_bytewise(content)
    separator = _find_separator(text)
    if not separator:
        return LabelTable()
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    by_bytes: dict[str, str] = {}
    decoded: dict[str, str] = {}
    files: dict[frozenset[str], None] = {}
    encoding = UTF_8 if _is_utf_8(content) else WINDOWS
    broken = ""
    try:
        next(rows)
        for row in rows:
            name, label = (cell.encode("latin-1") for cell in (row[0], row[1])) if len(row) >= 2 else (b"", b"")
            if name.strip() and b"\0" not in name:  # no file name contains NUL
                path = _join_path(folder, os.fsdecode(name))
                decoded_path = path if name.isascii() else _join_path(folder, _decode_cell(name, encoding))
                if len(label) > _MAX_LABEL_BYTES:
                    raise csv.Error(f"a label is longer than {_MAX_LABEL_BYTES} bytes")
                by_bytes[path] = decoded[decoded_path] = _decode_cell(label, encoding).strip()
                files[frozenset((path, decoded_path))] = None
    except csv.Error as error:
        broken = f"{rows.line_num}: {error}"
    return LabelTable(decoded | by_bytes, tuple(files), encoding, is_labels=True, broken=broken)


def _decode_bytewise(content: bytes) -> str:
    """Return one character per byte, without the BOM: commas, quotes and line ends are the same in all encodings."""
    return content.removeprefix(_BOM).decode("latin-1")


def _decode_cell(cell: bytes, encoding: str) -> str:
    """Decode a cell; a byte that Windows-1252 leaves undefined stays a byte, which tables show as `%XX`."""
    return cell.decode() if encoding == UTF_8 else cell.decode("cp1252", "surrogateescape")


def _is_utf_8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_utf_16(content: bytes) -> bool:
    start = content[:2].strip(b"\xff\xfe") + content[2:64]
    texts = (start.decode(encoding, "ignore") for encoding in ("utf-16-le", "utf-16-be"))
    return any(map(_find_separator, texts))


def _find_separator(text: str) -> str:
    """Return the separator of a labels file: a comma, or the one of Excel in some countries; "" if it is none."""
    first = text[:1000].splitlines()[:1]
    return next(
        (separator for separator in ",;\t" if next(csv.reader(first, delimiter=separator), [])[:2] == HEADER), ""
    )


def _join_path(folder: str, name: str) -> str:
    return os.path.normpath(f"{folder}/{name}" if folder and not name.startswith("/") else name)
