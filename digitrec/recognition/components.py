"""Connected components of ink, and which of them may be writing."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Mask, Plane


@dataclass(frozen=True, slots=True, eq=False)
class ConnectedComponents:
    """Connected components of a mask, numbered from 1; 0 is the background."""

    labels: NDArray[np.int32]
    """(h, w), the number of each pixel."""
    pixel_indices: NDArray[np.intp]
    """Flat indices of the mask's pixels, ascending."""
    pixel_labels: NDArray[np.int32]
    """The number of each of these pixels."""
    boxes: NDArray[np.intp]
    """(count + 1, 4): left, top, right and bottom of each component, half open; row 0 is unused."""
    areas: NDArray[np.intp]
    """(count + 1,): pixels of each component; 0 for number 0."""


def label_components(mask: NDArray[np.bool_]) -> ConnectedComponents:
    """Label the connected components of a mask, (h, w), with 8-connectivity.

    >>> label_components(np.array([[True, False, False], [False, True, False]])).boxes[1:].tolist()
    [[0, 0, 2, 2]]
    """
    width, spots = mask.shape[1], mask.view(np.uint8)
    count, raw_labels = cv2.connectedComponents(spots, connectivity=8)
    labels = np.asarray(raw_labels, np.int32)
    indices = np.flatnonzero(mask)
    label_of = labels.ravel()[indices]
    if count == 2:  # a clean digit
        x, y, across, down = cv2.boundingRect(spots)
        boxes = np.array([[0, 0, 0, 0], [x, y, x + across, y + down]])
        return ConnectedComponents(labels, indices, label_of, boxes, np.array([0, indices.size]))
    # OpenCV's own statistics visit the background too, and take ten times as long.
    columns = indices % width
    left, first = np.full(count, width), np.full(count, mask.size)
    right, last = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(left, label_of, columns)
    np.maximum.at(right, label_of, columns)
    np.minimum.at(first, label_of, indices)
    np.maximum.at(last, label_of, indices)
    boxes = np.stack([left, first // width, right + 1, last // width + 1], axis=1)
    return ConnectedComponents(labels, indices, label_of, boxes, np.bincount(label_of, minlength=count))


def is_hollow(own: Mask, border: float) -> bool:
    """Tell whether a component covers at least three sides of its bounding box and leaves the middle free: a frame.

    A narrow one could be a 1, and one along two sides a 7.

    Args:
        own: its pixels, (h, w).
        border: width of the border that holds a frame, as a share of each side.
    """
    high, wide = (max(2, round(border * side)) for side in own.shape)
    if own.shape[0] < 4 * high or own.shape[1] < 4 * wide:
        return False
    sides = (own[:high].any(axis=0), own[-high:].any(axis=0), own[:, :wide].any(axis=1), own[:, -wide:].any(axis=1))
    covered = sum(np.count_nonzero(side) > 0.5 * side.size for side in sides)
    inner = own[high:-high, wide:-wide]
    return bool(covered >= 3 and np.count_nonzero(inner) < 0.1 * np.count_nonzero(own))


_INKED, _CLEAR = 0.22, 0.6
"""Ink from which pixels are connected, and ink that a component has in at least one pixel."""
_MOST_MARKS = 200
"""Most components that are used, heaviest first: a page of text or noise has thousands."""

_EDGE_REACH = 0.18
"""Largest reach from a border into the page, as a share of it, of a component that is no digit."""
_BAR_THIN = 0.05
"""Largest area, as a share of the length squared, of a component from border to border that is a line."""

_FRAME = 0.75
"""Least width and height of a frame, as a share of the page's."""


@dataclass(frozen=True, slots=True)
class Component:
    """Connected component, or several that belong to one digit; box half open, in pixels."""

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    mass: float
    """Sum of its ink."""

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.bottom - self.top

    @property
    def rect(self) -> Rect:
        """The box as a rectangle."""
        return Rect(self.left, self.top, self.right, self.bottom)

    @property
    def longest(self) -> int:
        """The longer side of the box."""
        return max(self.width, self.height)

    def joined(self, other: "Component") -> "Component":
        """Merge two components, in the box around both."""
        return Component(
            self.labels + other.labels,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.mass + other.mass,
        )

    def distance(self, other: "Component") -> int:
        """Return the pixels between the boxes, the larger of across and down; 0 if they overlap."""
        across = max(self.left, other.left) - min(self.right, other.right)
        down = max(self.top, other.top) - min(self.bottom, other.bottom)
        return max(across, down, 0)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """Size of the page, to which the position of components is compared."""

    width: int
    height: int

    def touches(self, component: Component) -> bool:
        """Return True if the component reaches a border."""
        return (
            component.left <= 1
            or component.top <= 1
            or component.right >= self.width - 1
            or component.bottom >= self.height - 1
        )

    def hugs_border(self, component: Component) -> bool:
        """Return True if the component reaches in from outside the page: a frame, a neighbour's stroke."""
        reaches = (
            component.right / self.width if component.left <= 1 else 1.0,
            component.bottom / self.height if component.top <= 1 else 1.0,
            1 - component.left / self.width if component.right >= self.width - 1 else 1.0,
            1 - component.top / self.height if component.bottom >= self.height - 1 else 1.0,
        )
        return min(reaches) < _EDGE_REACH

    def crosses(self, component: Component, area: int) -> bool:
        """Return True for a thin component from border to border: a ruled line."""
        spans = (component.left <= 2 and component.right >= self.width - 2) or (
            component.top <= 2 and component.bottom >= self.height - 2
        )
        is_thin = (
            min(component.width, component.height) < 0.2 * component.longest and area < _BAR_THIN * component.longest**2
        )
        return spans and is_thin

    def is_framed_by(self, component: Component, labels: NDArray[np.int32]) -> bool:
        """Return True for a frame: nearly as large as the page, with nothing in the middle."""
        if component.width < _FRAME * self.width or component.height < _FRAME * self.height:
            return False
        inset_x, inset_y = round(0.2 * self.width), round(0.2 * self.height)
        middle = labels[inset_y : self.height - inset_y, inset_x : self.width - inset_x]
        return component.labels[0] not in middle

    def weight(self, component: Component) -> float:
        """Rate how likely the component is the digit: large, dark, central and complete."""
        off_x = abs((component.left + component.right) / self.width - 1)
        off_y = abs((component.top + component.bottom) / self.height - 1)
        border_factor = 0.6 if self.touches(component) else 1.0
        return component.longest * math.sqrt(component.mass) * (1 - 0.6 * max(off_x, off_y)) * border_factor


def candidate_components(ink: Plane, sheet: PageFrame) -> tuple[ConnectedComponents, list[Component]]:
    """Label the components of ink, and return those that may be writing, heaviest first."""
    pieces = label_components(ink > _INKED)
    ink_of, count = ink.ravel()[pieces.pixel_indices], len(pieces.boxes)
    if count == 2:  # a clean digit
        mass = [0.0, float(ink_of.sum(dtype=np.float64))]
        heaviest = [1] if ink_of.max() > _CLEAR else []
    else:
        mass = np.bincount(pieces.pixel_labels, weights=ink_of, minlength=count).tolist()
        is_clear = np.bincount(pieces.pixel_labels[ink_of > _CLEAR], minlength=count) > 0
        heaviest = sorted(np.flatnonzero(is_clear).tolist(), key=lambda label: -mass[label])[:_MOST_MARKS]
    components: list[Component] = []
    printed: list[Component] = []
    for label in heaviest:
        left, top, right, bottom = pieces.boxes[label].tolist()
        component = Component((label,), left, top, right, bottom, mass[label])
        if not sheet.hugs_border(component):
            is_printed = sheet.crosses(component, int(pieces.areas[label])) or sheet.is_framed_by(
                component, pieces.labels
            )
            (printed if is_printed else components).append(component)
    is_written = any(component.longest >= 0.1 * max(ink.shape) for component in components)
    return pieces, components if is_written else printed + components
