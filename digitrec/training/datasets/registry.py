"""Data sets by name, `NAME:PATH` or path: `load_dataset("mnist")`, `load_dataset("my_pictures/")`.

Add one: a function from an optional path to a `Dataset`, registered in `LOADERS`;
`tests/contract/test_datasets.py` then holds it to the rules.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from digitrec.errors import DataError, require_packages
from digitrec.recognition import normalize
from digitrec.recognition.classifier_litert import NearestMeanClassifier
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Dataset, Split, exclude_pictures, make_split
from digitrec.training.datasets.idx import has_idx_files, read_idx_folder, read_npz
from digitrec.training.datasets.image_folder import (
    LabelledPicture,
    find_labelled_pictures,
    has_labelled_pictures,
    load_image_folder,
)

_TURNS = ("upright", "transposed")
_TELLING = 500
"""Pictures looked at to find out whether a set lies on its side: the shares right are then 0.7 and 0.2."""


def load_dataset(spec: str) -> Dataset:
    """Load a data set.

    Args:
        spec: a loader's name, `NAME:PATH`, or a bare path (an `.npz`, a folder of IDX files or of pictures). A path to
            arrays may end in `#upright` or `#transposed`, for sets where looking does not tell.

    Raises:
        DataError: there is no such set, or it cannot be used.
    """
    name, path = _parsed(spec)
    return LOADERS[name](path) if name else _found_by_looking(_path(path))


def find_dataset_files(spec: str, labels: Path | None = None) -> tuple[LabelledPicture, ...] | None:
    """The files of a set that is a folder of labelled pictures; None if it is a set of arrays.

    Args:
        spec: as `load_dataset` takes it.
        labels: a file,label CSV that goes before the labels in the folder.
    """
    name, path = _parsed(spec)
    if name == "folder" or (not name and path is not None and _is_picture_folder(path)):
        return find_labelled_pictures(_folder(path), labels)
    return None


def exclude_dataset(dataset: Dataset, spec: str) -> Dataset:
    """Drop from the training split the pictures that also belong to another set, whatever its split."""
    other = load_dataset(spec)
    rest = dataset.train
    for split in (other.train, other.test):
        if split is not None:
            rest = exclude_pictures(rest, split)
    if len(rest) == 0:
        raise DataError(f"nothing is left of {dataset.name} without {other.name}")
    gone = len(dataset.train) - len(rest)
    if gone == 0:
        return dataset
    return replace(dataset, train=rest, source=f"{dataset.source}; less {gone:,} pictures that are in {other.name}")


def _parsed(spec: str) -> tuple[str, Path | None]:
    name, colon, path = spec.partition(":")
    if name in LOADERS:
        return name, Path(path).expanduser() if colon and path else None
    if not _without_turn(Path(spec).expanduser())[0].exists():
        names = ", ".join(LOADERS)
        raise DataError(
            f"there is no data set and no file {spec!r}", hint=f"--data takes {names}, NAME:PATH or a path."
        )
    return "", Path(spec).expanduser()


def _found_by_looking(path: Path) -> Dataset:
    if _is_picture_folder(path):
        return load_image_folder(path)
    return _from_arrays(path, name=_without_turn(path)[0].resolve().stem)


def _is_picture_folder(path: Path) -> bool:
    return path.is_dir() and not has_idx_files(path) and has_labelled_pictures(path)


def _from_arrays(path: Path, name: str, only: str = "") -> Dataset:
    """Read an `.npz` or a folder of IDX files, and turn its pictures upright."""
    file, told = _without_turn(path)
    if file.is_dir():
        train, test = read_idx_folder(file, only)
    elif file.is_file():
        train, test = read_npz(file)
    else:
        raise DataError(f"there is no file or folder {file}")
    turned = told == "transposed" or (not told and _lies_on_its_side(train))
    if turned:
        train, test = _transposed(train), None if test is None else _transposed(test)
    return Dataset(name, f"{file}{', transposed' if turned else ''}", train, test)


def _lies_on_its_side(split: Split) -> bool:
    """Whether rows and columns are swapped, as EMNIST's are: which way does it look more like MNIST?"""
    known = mnist.load_mnist_5k().train
    classifier = NearestMeanClassifier.learn(known.ink, known.digits)
    some = split.take(np.random.default_rng(0).permutation(len(split))[:_TELLING])
    right = [(classifier.score(one.ink).argmax(axis=1) == some.digits).mean() for one in (some, _transposed(some))]
    return bool(right[1] > right[0] + 0.15)


def _transposed(split: Split) -> Split:
    return replace(split, pictures=np.ascontiguousarray(split.pictures.transpose(0, 2, 1)))


def _without_turn(path: Path) -> tuple[Path, str]:
    for turn in _TURNS:
        if path.name.endswith(f"#{turn}"):
            return path.with_name(path.name.removesuffix(f"#{turn}")), turn
    return path, ""


def _mnist(path: Path | None) -> Dataset:
    return mnist.load_mnist() if path is None else _from_arrays(path, "mnist")


def _mnist_5k(path: Path | None) -> Dataset:
    _refuse(path, "mnist-5k")
    return mnist.load_mnist_5k()


def _emnist_digits(path: Path | None) -> Dataset:
    if path is None:
        raise DataError(
            "emnist-digits needs a path", hint="Use --data emnist-digits:FILE.npz or a folder of IDX files."
        )
    is_shared_folder = path.is_dir() and any("digits" in file.name.lower() for file in path.iterdir())
    return _from_arrays(path, "emnist-digits", only="digits" if is_shared_folder else "")


def _digits_8x8(path: Path | None) -> Dataset:
    """scikit-learn's 1,797 digits of 8 x 8, brought to 28 x 28 as imaging does with a scan."""
    _refuse(path, "digits-8x8")
    require_packages("the set digits-8x8", "sklearn")
    from sklearn.datasets import load_digits

    found = load_digits()
    large = (cv2.resize(small / 16.0, (80, 80), interpolation=cv2.INTER_CUBIC) for small in found.images)
    marks = (np.clip(np.asarray(one, np.float32), 0.0, 1.0) for one in large)
    # Cubic interpolation leaves a faint veil around the digit, and its box should not reach that far.
    ink = np.stack([normalize.normalize_mnist(np.where(one > 0.15, one, np.float32(0))) for one in marks])
    everything = make_split("all", np.round(ink * 255).astype(np.uint8), found.target)
    return Dataset("digits-8x8", "scikit-learn's digits, 8 x 8 brought to 28 x 28", everything, evaluation_only=True)


def _pictures(path: Path | None) -> Dataset:
    return load_image_folder(_folder(path))


def _refuse(path: Path | None, name: str) -> None:
    if path is not None:
        raise DataError(f"{name} comes with the program and takes no path", hint=f"Use --data {name}.")


def _path(path: Path | None) -> Path:
    return Path() if path is None else path


def _folder(path: Path | None) -> Path:
    if path is None or not path.is_dir():
        raise DataError(f"there is no folder {path or ''}", hint="Use --data folder:DIR.")
    return path


LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "mnist": _mnist,
    "mnist-5k": _mnist_5k,
    "digits-8x8": _digits_8x8,
    "emnist-digits": _emnist_digits,
    "folder": _pictures,
}
