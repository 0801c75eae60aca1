"""Data sets as arrays, with the checks of their shapes, ranges and labels."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.errors import DataError
from digitrec.recognition.normalize import from_arrays

Digits = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Labelled pictures of one digit each."""

    name: str
    """'train', 'test', or 'all' for an undivided set."""
    pictures: Picture
    """(n, 28, 28) uint8, 0 = paper, 255 = ink."""
    digits: Digits
    """(n,) 0..9."""

    def __len__(self) -> int:
        return len(self.digits)

    def __repr__(self) -> str:
        return f"Split(name={self.name!r}, pictures={self.pictures.shape}, digits={self.digits.shape})"

    @property
    def ink(self) -> Ink:
        """Return the pictures as ink, (n, 28, 28)."""
        return from_arrays(self.pictures)

    def take(self, index: NDArray[Any]) -> "Split":
        """Return the pictures at these indices, or where a mask is true."""
        return replace(self, pictures=self.pictures[index], digits=self.digits[index])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Training split and optional test split of a data set."""

    name: str
    source: str
    """Description of the origin."""
    train: Split
    """Its `pictures` are (n, 28, 28) uint8, 0 = paper, 255 = ink; its `digits` are (n,) 0..9."""
    test: Split | None = None
    """As `train`; None if the set has no test split."""
    evaluation_only: bool = False
    """True if the set is too small or too different for training."""

    @property
    def evaluation(self) -> Split:
        """Return the test split if there is one, else all pictures."""
        return self.train if self.test is None else self.test

    @property
    def digest(self) -> str:
        """Return the sha256 of all pictures and labels."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            if split is not None:
                digest.update(f"{split.name}:{len(split)}:".encode())
                digest.update(np.ascontiguousarray(split.pictures).data)
                digest.update(split.digits.astype("<i8").tobytes())
        return digest.hexdigest()


def make_split(name: str, pictures: object, digits: object) -> Split:
    """Check arrays and return them as a split.

    Args:
        name: name of the split.
        pictures: (n, 28, 28), (n, 28, 28, 1) or (n, 784); whole numbers 0..255, or fractions 0..1; 0 = paper.
        digits: (n,) or (n, 1), 0..9.

    Raises:
        DataError: the arrays have another shape or range.
    """
    gray, labels = np.asarray(pictures), np.asarray(digits)
    if gray.ndim < 2 or len(gray) == 0:
        raise DataError(f"the {name} split has no pictures (shape {gray.shape})")
    if gray.shape[1:] not in {(28, 28), (28, 28, 1), (784,)}:
        raise DataError(f"the {name} pictures have the shape {gray.shape}; they should be (n, 28, 28)")
    if labels.shape not in {(len(gray),), (len(gray), 1)}:
        raise DataError(f"there are {len(gray)} {name} pictures, but the labels have the shape {labels.shape}")
    levels = _to_levels(name, gray.reshape(-1, 28, 28))
    edge = np.concatenate([levels[:, 0], levels[:, -1], levels[:, :, 0], levels[:, :, -1]], axis=1)
    if np.median(edge) > 127:
        raise DataError(
            f"the {name} pictures are dark on light: their edge has the level {np.median(edge):.0f}",
            hint="Data sets hold 0 for paper and 255 for ink, as MNIST does. Turn them over: 255 - pictures.",
        )
    return Split(name, levels, _to_digits(name, labels.reshape(-1)))


def exclude_pictures(split: Split, other: Split) -> Split:
    """Return the split without the pictures that `other` holds byte by byte."""
    excluded = {picture.tobytes() for picture in other.pictures}
    return split.take(np.array([picture.tobytes() not in excluded for picture in split.pictures], bool))


def _to_levels(name: str, gray: NDArray[Any]) -> Picture:
    if gray.dtype.kind not in "buif":
        raise DataError(f"the {name} pictures hold {gray.dtype}, not numbers")
    if gray.dtype == np.uint8:
        return np.ascontiguousarray(gray)
    low, high = float(gray.min()), float(gray.max())
    if not (low >= 0.0 and high <= 255.0):
        raise DataError(f"the {name} pictures hold values from {low:g} to {high:g}; they should be in 0..255 or 0..1")
    if gray.dtype.kind in "bf" and high <= 1.0:
        gray = gray.astype(np.float64) * 255
    return np.round(gray).astype(np.uint8)


def _to_digits(name: str, labels: NDArray[Any]) -> Digits:
    if labels.dtype.kind not in "uif":
        raise DataError(f"the {name} labels hold {labels.dtype}, not digits")
    outside = labels[~np.isin(labels, np.arange(10))]
    if len(outside):
        raise DataError(f"{len(outside)} of the {name} labels are outside 0..9, the first is {outside[0]}")
    return labels.astype(np.int64)
