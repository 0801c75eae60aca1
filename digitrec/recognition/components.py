"""Ink -> marks: what hangs together and may be writing.

A mark knows its own box; the sheet it lies on knows what comes from outside or was printed.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.preprocess import Plane


@dataclass(frozen=True, slots=True, eq=False)
class ConnectedComponents:
    """The pieces of a mask, numbered from 1; 0 is everything else."""

    labels: NDArray[np.int32]
    """(h, w), the number of each spot."""
    pixel_indices: NDArray[np.intp]
    """Where the mask is True: flat indices of the plane, ascending."""
    pixel_labels: NDArray[np.int32]
    """The number of each of these places."""
    boxes: NDArray[np.intp]
    """(count + 1, 4): left, top, right and bottom of each piece, half open; of number 0 nothing is told."""
    areas: NDArray[np.intp]
    """(count + 1,): spots of each piece; 0 for number 0."""


def label_components(mask: NDArray[np.bool_]) -> ConnectedComponents:
    """Tell the pieces of a mask, (h, w), apart; spots that touch at a corner hang together.

    >>> pieces_of(np.array([[True, False, False], [False, True, False]])).boxes[1:].tolist()
    [[0, 0, 2, 2]]
    """
    width, spots = mask.shape[1], mask.view(np.uint8)
    count, found = cv2.connectedComponents(spots, connectivity=8)
    labels = np.asarray(found, np.int32)
    places = np.flatnonzero(mask)
    label_of = labels.ravel()[places]
    if count == 2:  # a clean digit
        x, y, across, down = cv2.boundingRect(spots)
        boxes = np.array([[0, 0, 0, 0], [x, y, x + across, y + down]])
        return ConnectedComponents(labels, places, label_of, boxes, np.array([0, places.size]))
    # OpenCV's own statistics look at every spot of the paper, too, and take ten times as long.
    columns = places % width
    left, first = np.full(count, width), np.full(count, mask.size)
    right, last = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(left, label_of, columns)
    np.maximum.at(right, label_of, columns)
    np.minimum.at(first, label_of, places)
    np.maximum.at(last, label_of, places)
    boxes = np.stack([left, first // width, right + 1, last // width + 1], axis=1)
    return ConnectedComponents(labels, places, label_of, boxes, np.bincount(label_of, minlength=count))


_INKED, _CLEAR = 0.22, 0.6
"""A mark holds together from `_INKED` on and has a `_CLEAR` spot."""
_MOST_MARKS = 200
"""The heaviest are kept: a page of text, or of noise, has thousands."""

_EDGE_REACH = 0.18
"""A mark that touches a border and reaches in no further than this share of the page is not a digit."""
_BAR_THIN = 0.05
"""A mark from border to border that fills less than this share of its length squared is a line."""

_FRAME = 0.75
"""A frame is at least this share of the page wide and high."""


@dataclass(frozen=True, slots=True)
class Component:
    """Ink that hangs together, or several such that belong to one digit; box half open, in pixels."""

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    mass: float

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top

    @property
    def longest(self) -> int:
        """The longer side of the box."""
        return max(self.width, self.height)

    def joined(self, other: "Component") -> "Component":
        """Both as one, in the box around them."""
        return Component(
            self.labels + other.labels,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.mass + other.mass,
        )

    def distance(self, other: "Component") -> int:
        """Pixels between the boxes, the larger of across and down; 0 if they overlap."""
        across = max(self.left, other.left) - min(self.right, other.right)
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        return max(across, down, 0)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """The plane that marks lie on."""

    width: int
    height: int

    def touches(self, mark: Component) -> bool:
        """True if the mark runs up to a border."""
        return mark.left <= 1 or mark.top <= 1 or mark.right >= self.width - 1 or mark.bottom >= self.height - 1

    def hugs_border(self, mark: Component) -> bool:
        """True for what only reaches in from outside: a frame, a neighbour's stroke."""
        reaches = (
            mark.right / self.width if mark.left <= 1 else 1.0,
            mark.bottom / self.height if mark.top <= 1 else 1.0,
            1 - mark.left / self.width if mark.right >= self.width - 1 else 1.0,
            1 - mark.top / self.height if mark.bottom >= self.height - 1 else 1.0,
        )
        return min(reaches) < _EDGE_REACH

    def crosses(self, mark: Component, area: int) -> bool:
        """True for a thin mark from border to border: a ruled line."""
        spans = (mark.left <= 2 and mark.right >= self.width - 2) or (mark.top <= 2 and mark.bottom >= self.height - 2)
        is_thin = min(mark.width, mark.height) < 0.2 * mark.longest and area < _BAR_THIN * mark.longest**2
        return spans and is_thin

    def is_framed_by(self, mark: Component, labels: NDArray[np.int32]) -> bool:
        """True for a box drawn around the page: as large as the page nearly, and nothing of it in the middle."""
        if mark.width < _FRAME * self.width or mark.height < _FRAME * self.height:
            return False
        inset_x, inset_y = round(0.2 * self.width), round(0.2 * self.height)
        middle = labels[inset_y : self.height - inset_y, inset_x : self.width - inset_x]
        return mark.labels[0] not in middle

    def weight(self, mark: Component) -> float:
        """How likely this is the digit: large, dark, in the middle, whole."""
        aside = abs((mark.left + mark.right) / self.width - 1)
        above = abs((mark.top + mark.bottom) / self.height - 1)
        whole = 0.6 if self.touches(mark) else 1.0
        return mark.longest * math.sqrt(mark.mass) * (1 - 0.6 * max(aside, above)) * whole


def candidate_components(ink: Plane, sheet: PageFrame) -> tuple[ConnectedComponents, list[Component]]:
    """What hangs together, and which of it may be writing, heaviest first."""
    pieces = label_components(ink > _INKED)
    ink_of, count = ink.ravel()[pieces.pixel_indices], len(pieces.boxes)
    if count == 2:  # a clean digit
        mass = [0.0, float(ink_of.sum(dtype=np.float64))]
        heaviest = [1] if ink_of.max() > _CLEAR else []
    else:
        mass = np.bincount(pieces.pixel_labels, weights=ink_of, minlength=count).tolist()
        is_clear = np.bincount(pieces.pixel_labels[ink_of > _CLEAR], minlength=count) > 0
        heaviest = sorted(np.flatnonzero(is_clear).tolist(), key=lambda label: -mass[label])[:_MOST_MARKS]
    marks: list[Component] = []
    printed: list[Component] = []
    for label in heaviest:
        left, top, right, bottom = pieces.boxes[label].tolist()
        mark = Component((label,), left, top, right, bottom, mass[label])
        if not sheet.hugs_border(mark):
            is_printed = sheet.crosses(mark, int(pieces.areas[label])) or sheet.is_framed_by(mark, pieces.labels)
            (printed if is_printed else marks).append(mark)
    is_written = any(mark.longest >= 0.1 * max(ink.shape) for mark in marks)
    return pieces, marks if is_written else printed + marks
