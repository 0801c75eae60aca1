"""Read IDX and NPZ files, the formats of MNIST and related data sets.

Nothing is unpickled, and sizes are checked against the file before memory is allocated.
"""

import gzip
import math
import struct
import tokenize
import zipfile
import zlib
from itertools import product
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from digitrec.errors import DataError
from digitrec.training.datasets.dataset import Split, make_split

_MAX_BYTES = 4_000_000_000
_PICTURES = ("x", "images", "pictures", "data")
_LABELS = ("y", "labels", "digits", "targets", "target", "label")
_PARTS = {"train": ("train", "training"), "test": ("test", "t10k", "testing")}
_UNUSABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, KeyError, MemoryError, OverflowError),
    *(RuntimeError, SyntaxError, tokenize.TokenError, struct.error),
)
"""Exceptions of zipfile and numpy for a damaged, encrypted or forged file."""


def read_npz(path: Path) -> tuple[Split, Split | None]:
    """Return the training and test split of an `.npz`, or its only one.

    Accepts names like x_train and y_train, train_images and test_labels, or plain x and y.

    Raises:
        DataError: the file is damaged, holds Python objects, or has no such pair.
    """
    try:
        with zipfile.ZipFile(path) as zipped:
            if sum(entry.file_size for entry in zipped.infolist()) > _MAX_BYTES:
                raise DataError(f"{path} unpacks to more than {_MAX_BYTES // 10**9} GB")
            if damaged := zipped.testzip():
                raise DataError(f"{path} is damaged: {damaged} in it is not what was saved")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name.lower(): np.asarray(archive[name]) for name in archive.files}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except _UNUSABLE as error:
        raise DataError(f"{path} is damaged or no .npz of plain arrays: {_first_line(error)}") from None
    train, test = _find_pair(arrays, "train") or _find_pair(arrays, ""), _find_pair(arrays, "test")
    if train is None:
        train, test = test, None
    if train is None:
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; no pair of pictures and labels among them",
            hint="Save it with np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...).",
        )
    return train, test


def _find_pair(arrays: dict[str, NDArray[Any]], part: str) -> Split | None:
    def find(kinds: tuple[str, ...]) -> NDArray[Any] | None:
        pairs = product(_PARTS.get(part, ("",)), kinds)
        names = (name.strip("_") for a, b in pairs for name in (f"{b}_{a}", f"{a}_{b}", f"{b}{a}", f"{a}{b}"))
        return next((arrays[name] for name in names if name in arrays), None)

    pictures, labels = find(_PICTURES), find(_LABELS)
    return None if pictures is None or labels is None else make_split(part or "all", pictures, labels)


def has_idx_files(folder: Path) -> bool:
    """Return True if a folder holds IDX files."""
    return any(_is_idx(path) for path in folder.iterdir())


def read_idx_folder(folder: Path, only: str = "") -> tuple[Split, Split | None]:
    """Return the training and test split of a folder of IDX files, gzipped or not.

    Args:
        folder: folder with files like `train-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte`.
        only: part of the file names of the set, if the folder holds several.

    Raises:
        DataError: files are missing, truncated, or have another shape.
    """
    paths = [path for path in sorted(folder.iterdir()) if _is_idx(path) and only in path.name.lower()]
    splits: dict[str, Split] = {}
    for part, names in _PARTS.items():
        part_paths = [path for path in paths if any(name in path.name.lower() for name in names)]
        images, labels = (_find_file(folder, part, part_paths, kind) for kind in ("images", "labels"))
        if (images is None) != (labels is None):
            raise DataError(
                f"{folder} holds the {part} {'labels' if images is None else 'images'} without the other file"
            )
        if images is not None and labels is not None:
            splits[part] = make_split(part, read_idx(images), read_idx(labels))
    train, test = splits.get("train", splits.get("test")), splits.get("test") if "train" in splits else None
    if train is None:
        raise DataError(
            f"{folder} holds no pair of IDX files such as train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    return train, test


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array of one IDX file of bytes, gzipped or not.

    Raises:
        DataError: the file has another format, or is truncated.
    """
    try:
        with path.open("rb") as raw:
            open_file = gzip.open if raw.read(2) == b"\x1f\x8b" else open
        with cast("IO[bytes]", open_file(path, "rb")) as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 3:
                raise DataError(f"{path} is no IDX file of bytes: it begins with {magic.hex() or 'nothing'}")
            sides = file.read(4 * magic[3])
            shape = tuple(int(side) for side in np.frombuffer(sides[: len(sides) // 4 * 4], ">u4"))
            size = math.prod(shape)
            if size > _MAX_BYTES:
                raise DataError(f"{path} claims the shape {shape}; that is more than is read")
            content = file.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut off or damaged: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(shape) != magic[3] or len(content) != size:
        raise DataError(f"{path} is cut off or damaged: {shape} takes {size} bytes, there are {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _is_idx(path: Path) -> bool:
    name = path.name.lower()
    return ("idx3" in name or "idx1" in name) and not name.startswith(".") and path.is_file()


def _find_file(folder: Path, part: str, paths: list[Path], kind: str) -> Path | None:
    """Return the file of a kind; the unpacked one of two with the same name."""
    matches = sorted(
        {path.name.removesuffix(".gz"): path for path in reversed(paths) if kind in path.name.lower()}.values()
    )
    if len(matches) > 1:
        names = ", ".join(path.name for path in matches)
        raise DataError(
            f"{folder} holds several sets: {names} could all be the {part} {kind}",
            hint="Move the set you want into a separate folder, or use --data emnist-digits:DIR for EMNIST's digits.",
        )
    return matches[0] if matches else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
