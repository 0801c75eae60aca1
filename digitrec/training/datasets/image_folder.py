"""The user's own pictures: in folders 0..9, or listed in a `labels.csv`; read by the same imaging as the service."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitrec.errors import DataError, RejectedImage
from digitrec.recognition.page import segment_file
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.types import Limits

LABELS = "labels.csv"
NONE = "none"
_HEADER = ["file", "label"]
_LABEL = re.compile(r"[0-9]+|none")
_SUFFIXES = {
    *(
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".webp",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
    ),
    *(".jp2", ".j2k", ".heic", ".heif", ".pdf"),
}


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture file and what it shows."""

    path: Path
    label: str
    """All its digits, left to right, top to bottom; or `none` where there is no digit."""


def has_labelled_pictures(folder: Path) -> bool:
    """Whether a folder looks like one of labelled pictures."""
    return next(folder.rglob(LABELS), None) is not None or any((folder / str(digit)).is_dir() for digit in range(10))


def find_labelled_pictures(folder: Path, labels: Path | None = None) -> tuple[LabelledPicture, ...]:
    """All labelled pictures of a folder, by path.

    A picture listed in a `labels.csv` (header `file,label`, files relative to where it lies) has that label; another in
    a folder named by one digit has that digit.

    Args:
        folder: where to look, subfolders too.
        labels: a list that goes before all others; files are relative to where it lies if that is in the folder, else
            to the folder.

    Raises:
        DataError: there are none, a list is malformed, or it names a file that is not there.
    """
    found: dict[Path, str] = {}
    for digit in range(10):
        for sub in sorted(folder.rglob(str(digit))):
            pictures = (path for path in sub.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
            found.update((path, str(digit)) for path in pictures if not path.name.startswith("."))
    # The deepest list has the last word, and any list has it over a folder's name.
    for table in sorted(folder.rglob(LABELS), key=lambda path: (len(path.parts), path)):
        found.update(_read_labels(table))
    if labels is not None:
        home, root = labels.resolve().parent, folder.resolve()
        found.update(_read_labels(labels, folder / home.relative_to(root) if home.is_relative_to(root) else folder))
    if not found:
        raise DataError(
            f"{folder} holds no labelled pictures",
            hint=f"Put them into folders named 0 to 9, or write a {LABELS} with the header file,label beside them.",
        )
    return tuple(LabelledPicture(path, label) for path, label in sorted(found.items()))


def load_image_folder(folder: Path) -> Dataset:
    """The pictures with one digit each, as imaging sees them: what training takes.

    Pictures labelled `none` or with several digits, and those in which imaging does not find exactly one digit, are
    left out and counted in `source`.
    """
    pictures, digits, reasons = [], [], {"without one digit": 0, "not read as one digit": 0}
    everything = find_labelled_pictures(folder)
    for one in everything:
        if len(one.label) != 1:
            reasons["without one digit"] += 1
            continue
        ink = _only_digit(one.path)
        if ink is None:
            reasons["not read as one digit"] += 1
            continue
        pictures.append(ink)
        digits.append(int(one.label))
    left_out = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    if not pictures:
        raise DataError(f"none of the {len(everything)} pictures in {folder} shows one digit: {left_out}")
    source = f"{len(pictures)} pictures of {folder}" + (f" (left out: {left_out})" if left_out else "")
    return Dataset(folder.resolve().name, source, Split("all", np.stack(pictures), np.array(digits, np.int64)))


def _only_digit(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    try:
        pages = segment_file(path.read_bytes(), Limits())
    except OSError as why:
        raise DataError(f"{path} cannot be read: {why.strerror}") from None
    except RejectedImage:
        return None
    ink = [digit for page in pages for digit in page.ink]
    return np.round(ink[0] * 255).astype(np.uint8) if len(ink) == 1 else None


def _read_labels(table: Path, home: Path | None = None) -> dict[Path, str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as why:
        raise DataError(f"{table} cannot be read: {why.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as why:
        raise DataError(f"{table} is no CSV in UTF-8: {why}") from None
    if not rows or [cell.strip() for cell in rows[0]] != _HEADER:
        raise DataError(f"{table} has the header {','.join(rows[0]) if rows else 'nothing'!r}; it should be file,label")
    found: dict[Path, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != 2 or not _LABEL.fullmatch(row[1].strip()):
            raise DataError(f"{table}, row {line}: {','.join(row)!r} is not a file and its digits (or `none`)")
        path = (home or table.parent) / row[0].strip()
        if not path.is_file():
            raise DataError(f"{table}, row {line}: there is no file {path}")
        found[path] = row[1].strip()
    return found
