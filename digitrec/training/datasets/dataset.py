"""Data sets as arrays: the records, and the one place where shapes, ranges and labels are checked."""

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
    """'train', 'test', or 'all' where the set has no parts."""
    pictures: Picture
    """(n, 28, 28) uint8, 0 = paper, 255 = ink."""
    digits: Digits
    """(n,) 0..9."""

    def __len__(self) -> int:
        return len(self.digits)

    @property
    def ink(self) -> Ink:
        """(n, 28, 28), made anew each time."""
        return from_arrays(self.pictures)

    def take(self, which: NDArray[Any]) -> "Split":
        """The pictures at these places, or where a mask is true."""
        return replace(self, pictures=self.pictures[which], digits=self.digits[which])


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Pictures to learn from, and pictures to be measured by."""

    name: str
    source: str
    """In words, where it came from."""
    train: Split
    test: Split | None = None
    evaluation_only: bool = False

    @property
    def evaluation(self) -> Split:
        """What a model is measured by: the test split where there is one, else everything."""
        return self.train if self.test is None else self.test

    @property
    def digest(self) -> str:
        """The sha256 of all pictures and labels."""
        digest = hashlib.sha256()
        for split in (self.train, self.test):
            if split is not None:
                digest.update(f"{split.name}:{len(split)}:".encode())
                digest.update(np.ascontiguousarray(split.pictures).data)
                digest.update(split.digits.astype("<i8").tobytes())
        return digest.hexdigest()


def make_split(name: str, pictures: object, digits: object) -> Split:
    """Check arrays from outside and make them a Split.

    Args:
        name: of the split.
        pictures: (n, 28, 28), (n, 28, 28, 1) or (n, 784); whole numbers 0..255, or fractions 0..1; 0 = paper.
        digits: (n,) or (n, 1), 0..9.

    Raises:
        DataError: they are anything else.
    """
    grey, labels = np.asarray(pictures), np.asarray(digits)
    if grey.ndim < 2 or len(grey) == 0:
        raise DataError(f"the {name} split has no pictures (shape {grey.shape})")
    if grey.shape[1:] not in {(28, 28), (28, 28, 1), (784,)}:
        raise DataError(f"the {name} pictures have the shape {grey.shape}; they should be (n, 28, 28)")
    if labels.shape not in {(len(grey),), (len(grey), 1)}:
        raise DataError(f"there are {len(grey)} {name} pictures, but the labels have the shape {labels.shape}")
    level = _levels(name, grey.reshape(-1, 28, 28))
    edge = np.concatenate([level[:, 0], level[:, -1], level[:, :, 0], level[:, :, -1]], axis=1)
    if np.median(edge) > 127:
        raise DataError(
            f"the {name} pictures are dark on light: their edge has the level {np.median(edge):.0f}",
            hint="Data sets hold 0 for paper and 255 for ink, as MNIST does. Turn them over: 255 - pictures.",
        )
    return Split(name, level, _whole_digits(name, labels.reshape(-1)))


def exclude_pictures(split: Split, other: Split) -> Split:
    """Leave out the pictures that are also in `other`, byte by byte."""
    known = {picture.tobytes() for picture in other.pictures}
    return split.take(np.array([picture.tobytes() not in known for picture in split.pictures], bool))


def _levels(name: str, grey: NDArray[Any]) -> Picture:
    if grey.dtype.kind not in "buif":
        raise DataError(f"the {name} pictures hold {grey.dtype}, not numbers")
    if grey.dtype == np.uint8:
        return np.ascontiguousarray(grey)
    low, high = float(grey.min()), float(grey.max())
    if not (low >= 0.0 and high <= 255.0):
        raise DataError(f"the {name} pictures hold values from {low:g} to {high:g}; they should lie in 0..255 or 0..1")
    if grey.dtype.kind in "bf" and high <= 1.0:
        grey = grey.astype(np.float64) * 255
    return np.round(grey).astype(np.uint8)


def _whole_digits(name: str, labels: NDArray[Any]) -> Digits:
    if labels.dtype.kind not in "uif":
        raise DataError(f"the {name} labels hold {labels.dtype}, not digits")
    outside = labels[~np.isin(labels, np.arange(10))]
    if len(outside):
        raise DataError(f"{len(outside)} of the {name} labels lie outside 0..9, the first is {outside[0]}")
    return labels.astype(np.int64)
