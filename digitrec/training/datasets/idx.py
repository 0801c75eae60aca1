"""Read IDX and NPZ files, the two ways in which MNIST and its relatives are passed around.

Nothing is unpickled, and nothing is believed before it was compared with the size of the file.
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

_MOST_BYTES = 4_000_000_000
_PICTURES = ("x", "images", "pictures", "data")
_LABELS = ("y", "labels", "digits", "targets", "target", "label")
_PARTS = {"train": ("train", "training"), "test": ("test", "t10k", "testing")}
_UNUSABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, KeyError, MemoryError, OverflowError),
    *(RuntimeError, SyntaxError, tokenize.TokenError, struct.error),
)
"""What zipfile and numpy raise over a file that is damaged, encrypted or made up."""


def read_npz(path: Path) -> tuple[Split, Split | None]:
    """Read the train and test split of an `.npz`, or its only one.

    Names like x_train and y_train, train_images and test_labels, or plain x and y are understood.

    Raises:
        DataError: it is damaged, holds Python objects, or no such pair.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_BYTES:
                raise DataError(f"{path} unpacks to more than {_MOST_BYTES // 10**9} GB")
            if damaged := archive.testzip():
                raise DataError(f"{path} is damaged: {damaged} in it is not what was saved")
        with np.load(path, allow_pickle=False) as members:
            arrays = {name.lower(): np.asarray(members[name]) for name in members.files}
    except OSError as why:
        raise DataError(f"{path} cannot be read: {why.strerror or why}") from None
    except _UNUSABLE as why:
        raise DataError(f"{path} is damaged or no .npz of plain arrays: {_line(why)}") from None
    train, test = _pair(arrays, "train") or _pair(arrays, ""), _pair(arrays, "test")
    if train is None:
        train, test = test, None
    if train is None:
        raise DataError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; no pair of pictures and labels among them",
            hint="Save it with np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...).",
        )
    return train, test


def _pair(arrays: dict[str, NDArray[Any]], part: str) -> Split | None:
    def find(kinds: tuple[str, ...]) -> NDArray[Any] | None:
        pairs = product(_PARTS.get(part, ("",)), kinds)
        names = (name.strip("_") for a, b in pairs for name in (f"{b}_{a}", f"{a}_{b}", f"{b}{a}", f"{a}{b}"))
        return next((arrays[name] for name in names if name in arrays), None)

    pictures, labels = find(_PICTURES), find(_LABELS)
    return None if pictures is None or labels is None else make_split(part or "all", pictures, labels)


def has_idx_files(folder: Path) -> bool:
    """Whether a folder holds IDX files."""
    return any(_is_idx(path) for path in folder.iterdir())


def read_idx_folder(folder: Path, only: str = "") -> tuple[Split, Split | None]:
    """Read the train and test split of a folder of IDX files, gz or not.

    Args:
        folder: holds files like `train-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte`.
        only: where several sets lie in the folder, the one whose files have this in their name.

    Raises:
        DataError: files are missing, cut off, or of another shape.
    """
    paths = [path for path in sorted(folder.iterdir()) if _is_idx(path) and only in path.name.lower()]
    splits: dict[str, Split] = {}
    for part, words in _PARTS.items():
        mine = [path for path in paths if any(word in path.name.lower() for word in words)]
        images, labels = _one(folder, part, mine, "images"), _one(folder, part, mine, "labels")
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
    """Read one IDX file of bytes, gz or not.

    Raises:
        DataError: it is no such file, or cut off.
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
            if size > _MOST_BYTES:
                raise DataError(f"{path} claims the shape {shape}; that is more than is read")
            content = file.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as why:
        raise DataError(f"{path} is cut off or damaged: {why}") from None
    except OSError as why:
        raise DataError(f"{path} cannot be read: {why.strerror or why}") from None
    if len(shape) != magic[3] or len(content) != size:
        raise DataError(f"{path} is cut off or damaged: {shape} takes {size} bytes, there are {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _is_idx(path: Path) -> bool:
    name = path.name.lower()
    return ("idx3" in name or "idx1" in name) and not name.startswith(".") and path.is_file()


def _one(folder: Path, part: str, paths: list[Path], kind: str) -> Path | None:
    """The one file of this kind; the unpacked one where both are there."""
    mine = sorted(
        {path.name.removesuffix(".gz"): path for path in reversed(paths) if kind in path.name.lower()}.values()
    )
    if len(mine) > 1:
        names = ", ".join(path.name for path in mine)
        raise DataError(
            f"{folder} holds several sets: {names} could all be the {part} {kind}",
            hint="Move the set you want into a folder of its own, or use --data emnist-digits:DIR for EMNIST's digits.",
        )
    return mine[0] if mine else None


def _line(why: Exception) -> str:
    return (str(why).splitlines() or [type(why).__name__])[0]
