"""Data sets by name, `NAME:PATH` or path: `load_dataset("mnist")`, `load_dataset("my_pictures/")`.

To add one, register a function from an optional path to a `Dataset` in `LOADERS`;
`tests/training/datasets/test_dataset_contract.py` tests it.
"""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from digitrec.errors import DataError, require_packages
from digitrec.images.formats import detect_format
from digitrec.recognition import normalize
from digitrec.recognition.classifier import DIGITS
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset, Split, exclude_pictures, make_split
from digitrec.training.datasets.idx import has_idx_files, read_idx_folder, read_npz
from digitrec.training.datasets.image_folder import (
    LabelledPicture,
    find_labelled_pictures,
    load_image_folder,
)

_WITH_PATH = ("emnist-digits", "folder")
"""Loaders that need a path."""
_HEADER_BYTES = 4096
"""Beginning of a file that tells its format."""
_ORIENTATIONS = ("upright", "transposed")
_ORIENTATION_SAMPLE = 500
"""Pictures that decide whether a set is transposed; accuracy is about 0.7 in the right orientation, 0.2 otherwise."""
_MIN_ACCURACY_GAIN = 0.15
"""Smallest difference between these two that counts."""


def load_dataset(spec: str) -> Dataset:
    """Load a data set.

    Args:
        spec: a loader's name ("mnist", "mnist-5k", "mnist-200", "digits-8x8"), `NAME:PATH` ("emnist-digits:PATH",
            "folder:PATH"), or a bare path (an `.npz`, a folder of IDX files or of pictures). A path to arrays may end
            in `#upright` or `#transposed` to override the detected orientation.

    Returns:
        The set; `train.pictures` is (n, 28, 28) uint8, 0 = paper, 255 = ink, and `train.digits` (n,) int64, 0..9, as in
        `test`, which is None for an undivided set.

    Raises:
        DataError: the set does not exist, or cannot be used.
        MissingPackage: this installation lacks the package that the set is part of.
    """
    name, path = _parse_spec(spec)
    return LOADERS[name](path) if name else _load_path(path or Path())


def find_dataset_files(spec: str, labels: Path | None = None) -> tuple[LabelledPicture, ...] | None:
    """Return the labelled pictures of a set that is a folder; None for a set of arrays.

    Args:
        spec: see `load_dataset`.
        labels: a file,label CSV that overrides the labels in the folder.
    """
    name, path = _parse_spec(spec)
    if name == "folder" or (not name and path is not None and _is_picture_folder(path)):
        return find_labelled_pictures(_folder(path), labels)
    return None


def exclude_dataset(dataset: Dataset, spec: str) -> Dataset:
    """Return the data set without training pictures that belong to any split of another set."""
    other = load_dataset(spec)
    rest = dataset.train
    for split in (other.train, other.test):
        if split is not None:
            rest = exclude_pictures(rest, split)
    if len(rest) == 0:
        raise DataError(f"nothing is left of {dataset.name} without {other.name}")
    removed = len(dataset.train) - len(rest)
    if removed == 0:
        return dataset
    return replace(dataset, train=rest, source=f"{dataset.source}; less {removed:,} pictures that are in {other.name}")


def _parse_spec(spec: str) -> tuple[str, Path | None]:
    name, colon, path = spec.partition(":")
    if name in LOADERS:
        return name, Path(path).expanduser() if colon and path else None
    if not _split_orientation(Path(spec).expanduser())[0].exists():
        raise DataError(f"there is no data set and no file {spec!r}", hint=_list_choices())
    return "", Path(spec).expanduser()


def _load_path(path: Path) -> Dataset:
    if _is_picture_folder(path):
        return load_image_folder(path)
    return _load_arrays(path, name=_split_orientation(path)[0].resolve().stem)


def _is_picture_folder(path: Path) -> bool:
    return path.is_dir() and not has_idx_files(path)


def _load_arrays(path: Path, name: str, only: str = "") -> Dataset:
    """Read an `.npz` or a folder of IDX files, and transpose the pictures if necessary."""
    file, orientation = _split_orientation(path)
    if file.is_dir():
        train, test = read_idx_folder(file, only)
    elif file.is_file():
        _check_format(file)
        train, test = read_npz(file)
    else:
        raise DataError(f"there is no file or folder {file}")
    is_transposed = orientation == "transposed" or (not orientation and _is_transposed(train))
    if is_transposed:
        train, test = _transpose(train), None if test is None else _transpose(test)
    return Dataset(name, f"{file}{', transposed' if is_transposed else ''}", train, test)


def _check_format(file: Path) -> None:
    """Raise DataError for a picture, a document or another file that is no archive of arrays."""
    try:
        with file.open("rb") as stream:
            kind = detect_format(stream.read(_HEADER_BYTES))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}") from None
    if kind is not None and kind.name != "zip":
        hint = f"{_list_choices()} `digitrec predict` reads single pictures."
        raise DataError(f"{file} is no data set: its format is {kind.words}", hint=hint)
    if kind is None and file.suffix.lower() != ".npz":
        raise DataError(f"{file} is no data set", hint=_list_choices())


def _list_choices() -> str:
    """Return a sentence about what `--data` takes."""
    names = [f"{name}:PATH" if name in _WITH_PATH else name for name in LOADERS]
    return f"--data takes {', '.join(names)}, or the path of an .npz, a folder of IDX files or of labelled pictures."


def _is_transposed(split: Split) -> bool:
    """Return True if rows and columns are swapped, as in EMNIST: the nearest mean digit of MNIST decides."""
    reference = mnist.load_mnist_200().train
    means = np.stack([reference.ink[reference.digits == digit].mean(axis=0) for digit in range(DIGITS)])
    sample = split.take(np.random.default_rng(0).permutation(len(split))[:_ORIENTATION_SAMPLE])
    accuracies = []
    for turned in sample, _transpose(sample):
        distances = np.square(turned.ink[:, None] - means).sum(axis=(2, 3))  # (n, 10)
        accuracies.append((distances.argmin(axis=1) == sample.digits).mean())
    return bool(accuracies[1] > accuracies[0] + _MIN_ACCURACY_GAIN)


def _transpose(split: Split) -> Split:
    return replace(split, pictures=np.ascontiguousarray(split.pictures.transpose(0, 2, 1)))


def _split_orientation(path: Path) -> tuple[Path, str]:
    for orientation in _ORIENTATIONS:
        if path.name.endswith(f"#{orientation}"):
            return path.with_name(path.name.removesuffix(f"#{orientation}")), orientation
    return path, ""


def _mnist(path: Path | None) -> Dataset:
    return mnist.load_mnist() if path is None else _load_arrays(path, "mnist")


def _mnist_5k(path: Path | None) -> Dataset:
    _refuse_path(path, "mnist-5k")
    return mnist.load_mnist_5k()


def _mnist_200(path: Path | None) -> Dataset:
    _refuse_path(path, "mnist-200")
    return mnist.load_mnist_200()


def _emnist_digits(path: Path | None) -> Dataset:
    if path is None:
        raise DataError(
            "emnist-digits needs a path", hint="Use --data emnist-digits:FILE.npz or a folder of IDX files."
        )
    is_shared_folder = path.is_dir() and any("digits" in file.name.lower() for file in path.iterdir())
    return _load_arrays(path, "emnist-digits", only="digits" if is_shared_folder else "")


@functools.cache
def _digits_8x8(path: Path | None) -> Dataset:
    """Return scikit-learn's 1,797 digits of 8 x 8, normalized to 28 x 28 like scans."""
    _refuse_path(path, "digits-8x8")
    require_packages("the set digits-8x8", "sklearn")
    from sklearn.datasets import load_digits

    digits = load_digits()
    enlarged = (cv2.resize(small / 16.0, (80, 80), interpolation=cv2.INTER_CUBIC) for small in digits.images)
    grays = (np.clip(np.asarray(large, np.float32), 0.0, 1.0) for large in enlarged)
    # Cubic interpolation leaves faint gray around the digit, which must not enlarge its box.
    ink = np.stack([normalize.normalize_mnist(np.where(gray > 0.15, gray, np.float32(0))) for gray in grays])
    everything = make_split("all", np.round(ink * 255).astype(np.uint8), digits.target)
    return Dataset("digits-8x8", "scikit-learn's digits, 8 x 8 brought to 28 x 28", everything, evaluation_only=True)


def _pictures(path: Path | None) -> Dataset:
    return load_image_folder(_folder(path))


def _refuse_path(path: Path | None, name: str) -> None:
    if path is not None:
        raise DataError(f"{name} is part of digitrec and takes no path", hint=f"Use --data {name}.")


def _folder(path: Path | None) -> Path:
    if path is None or not path.is_dir():
        raise DataError(f"there is no folder {path or ''}", hint="Use --data folder:DIR.")
    return path


LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "mnist": _mnist,
    "mnist-5k": _mnist_5k,
    "mnist-200": _mnist_200,
    "digits-8x8": _digits_8x8,
    "emnist-digits": _emnist_digits,
    "folder": _pictures,
}
