"""Labelled pictures of the user: in folders 0..9, or listed in a `labels.csv`; preprocessed as in the service."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.errors import DataError, RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.recognition.enlarge import enlarge
from digitrec.recognition.preprocess import Plane
from digitrec.training.characters import crop_characters
from digitrec.training.datasets.dataset import Dataset, Split
from digitrec.types import Limits

LABELS = "labels.csv"
NONE = "none"
_HEADER = ["file", "label"]
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".j2k")
_SUFFIXES = {*_IMAGE_SUFFIXES, ".pbm", ".pgm", ".ppm", ".pnm", ".heic", ".heif", ".pdf"}


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture file and its label."""

    path: Path
    label: str
    """Its text, as in the column `text`; `none` if there is no digit. Any other text is left out where it counts."""


def find_labelled_pictures(folder: Path, labels: Path | None = None) -> tuple[LabelledPicture, ...]:
    """Return all labelled pictures of a folder, sorted by path.

    A picture listed in a `labels.csv` (header `file,label`, paths relative to its folder) has that label; another in a
    folder named by a digit has that digit.

    Args:
        folder: folder with pictures and subfolders.
        labels: a list that overrides all others; paths are relative to its folder if that is inside `folder`, else to
            `folder`.

    Raises:
        DataError: there are no labelled pictures, or a list is malformed or names a missing file.
    """
    label_of: dict[Path, str] = {}
    for digit in range(10):
        for subfolder in sorted(folder.rglob(str(digit))):
            pictures = (path for path in subfolder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
            label_of.update((path, str(digit)) for path in pictures if not path.name.startswith("."))
    # The deepest list overrides others, and any list overrides a folder's name.
    for table in sorted(folder.rglob(LABELS), key=lambda path: (len(path.parts), path)):
        label_of.update(_read_labels(table))
    if labels is not None:
        home, root = labels.resolve().parent, folder.resolve()
        label_of.update(_read_labels(labels, folder / home.relative_to(root) if home.is_relative_to(root) else folder))
    if not label_of:
        raise DataError(
            f"{folder} holds no labelled pictures",
            hint=f"Put them into folders named 0 to 9, or write a {LABELS} with the header file,label beside them.",
        )
    return tuple(LabelledPicture(path, label) for path, label in sorted(label_of.items()))


def load_image_folder(folder: Path) -> Dataset:
    """Return the pictures with one digit each, preprocessed, for training.

    Excludes pictures labelled `none` or with several digits, and those in which preprocessing does not find exactly one
    digit; `source` has their numbers.
    """
    labelled = find_labelled_pictures(folder)
    inks, digits, excluded = [], [], {"without one digit": 0, "not read as one digit": 0}
    for picture in labelled:
        if not re.fullmatch("[0-9]", picture.label):
            excluded["without one digit"] += 1
        elif (ink := _read_single_digit(picture.path)) is None:
            excluded["not read as one digit"] += 1
        else:
            inks.append(ink)
            digits.append(int(picture.label))
    reasons = ", ".join(f"{count} {reason}" for reason, count in excluded.items() if count)
    if not inks:
        raise DataError(f"none of the {len(labelled)} pictures in {folder} shows one digit: {reasons}")
    source = f"{len(inks)} pictures of {folder}" + (f" (left out: {reasons})" if reasons else "")
    return Dataset(folder.resolve().name, source, Split("all", np.stack(inks), np.array(digits, np.int64)))


def _read_single_digit(path: Path) -> Picture | None:
    """Return the normalized digit of a picture, (28, 28); None if there is not exactly one."""
    try:
        _, sheets = decode.decode_pages(path.read_bytes(), Limits())
        inks = [ink for sheet in sheets for ink in _crop_sheet(sheet)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except RejectedImage:
        return None
    return np.round(inks[0] * 255).astype(np.uint8) if len(inks) == 1 else None


def _crop_sheet(sheet: DecodedPage) -> list[Plane]:
    """Return the crops of a page's characters, each (28, 28); none of a page that cannot be decoded."""
    enlarged = enlarge(sheet)
    page = sheet if enlarged is None else enlarged.sheet
    picture = page.full_detail()
    if isinstance(picture, RejectedImage):
        return []
    return [character.ink for character in crop_characters(picture, page.decode_larger)]


def _read_labels(table: Path, home: Path | None = None) -> dict[Path, str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no CSV in UTF-8: {error}") from None
    if not rows or [cell.strip() for cell in rows[0][:2]] != _HEADER:
        raise DataError(f"{table} has the header {','.join(rows[0]) if rows else 'nothing'!r}; it should be file,label")
    labels: dict[Path, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) < 2 or not row[1].strip():
            raise DataError(f"{table}, row {line}: {','.join(row)!r} is not a file and its label")
        path = (home or table.parent) / row[0].strip()
        if not path.is_file():
            raise DataError(f"{table}, row {line}: there is no file {path}")
        labels[path] = row[1].strip()
    return labels


def write_pictures(split: Split, folder: Path) -> list[LabelledPicture]:
    """Write the pictures of a split as PNG files, dark on light."""
    pictures = []
    for number, (picture, digit) in enumerate(zip(split.pictures, split.digits, strict=True)):
        path = folder / f"{number:05}.png"
        is_encoded, png = cv2.imencode(".png", np.asarray(255 - picture, np.uint8))
        if not is_encoded:
            raise DataError(f"a picture of shape {picture.shape} cannot be written as PNG")
        path.write_bytes(png.tobytes())
        pictures.append(LabelledPicture(path, str(digit)))
    return pictures
