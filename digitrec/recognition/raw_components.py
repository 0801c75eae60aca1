"""Connected components of a page's raw ink, as arrays of their boxes and sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import label_components
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Mask, Plane, quantiles
from digitrec.recognition.raw_ink import RawInk

FloatArray = NDArray[np.float64]
DARKEST_PAPER = 0.55
"""Share of the paper's level at the characters below which there is no paper, but background, 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class ComponentTable:
    """Connected components with strong ink; arrays of length n, boxes half open in pixels around the strong ink."""

    labels: NDArray[np.int32]
    """(h, w), the number of each pixel, from 0; -1 where there is none."""
    left: FloatArray
    top: FloatArray
    right: FloatArray
    bottom: FloatArray
    areas: FloatArray
    faint: NDArray[np.int32]
    """(n,), equal for components that faint ink ties together."""
    ruled: NDArray[np.int32]
    """(n,), equal for components that a rule ties together."""

    @classmethod
    def of(cls, raw: RawInk) -> "ComponentTable":
        """Find the components of strong ink off the rules."""
        pieces = label_components(raw.strong & ~raw.rules)
        count = len(pieces.boxes)
        left, top, right, bottom = pieces.boxes[1:].T.astype(np.float64)
        tied = []
        for mask in (raw.faint & ~raw.rules, raw.strong):
            _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
            of = np.zeros(count, np.int32)
            of[pieces.pixel_labels] = labels.ravel()[pieces.pixel_indices]
            tied.append(of[1:])
        return cls(pieces.labels - 1, left, top, right, bottom, pieces.areas[1:].astype(np.float64), *tied)

    def joined(self, chosen: Mask) -> "ComponentTable":
        """Select components by a mask, (n,); those that faint ink ties together become one."""
        numbers = np.flatnonzero(chosen)
        names, group = np.unique(self.faint[numbers], return_inverse=True)
        count = len(names)
        number = np.full(len(self.areas) + 1, -1, np.int32)  # the last one is the paper's, whose label is -1
        number[numbers] = group
        left, top = np.full(count, np.inf), np.full(count, np.inf)
        right, bottom = np.zeros(count), np.zeros(count)
        np.minimum.at(left, group, self.left[numbers])
        np.minimum.at(top, group, self.top[numbers])
        np.maximum.at(right, group, self.right[numbers])
        np.maximum.at(bottom, group, self.bottom[numbers])
        areas = np.bincount(group, weights=self.areas[numbers], minlength=count).astype(np.float64)
        return ComponentTable(number[self.labels], left, top, right, bottom, areas, names, names)

    @property
    def widths(self) -> FloatArray:
        """Pixels across, (n,)."""
        return self.right - self.left

    @property
    def heights(self) -> FloatArray:
        """Pixels down, (n,)."""
        return self.bottom - self.top

    @property
    def longest(self) -> FloatArray:
        """The longer side of each box, (n,)."""
        return np.maximum(self.widths, self.heights)

    def peaks(self, values: Plane) -> FloatArray:
        """Return the largest value in the pixels of each component, (n,).

        Args:
            values: (h, w), at least 0.0 in the components.
        """
        is_inked = self.labels >= 0
        largest = np.zeros(len(self.areas))
        np.maximum.at(largest, self.labels[is_inked], values[is_inked])
        return largest

    def share_in(self, box: tuple[float, float, float, float]) -> FloatArray:
        """Measure the share of each component's box inside this box, (n,)."""
        left, top, right, bottom = box
        across = np.minimum(self.right, right) - np.maximum(self.left, left)
        down = np.minimum(self.bottom, bottom) - np.maximum(self.top, top)
        shares: FloatArray = np.maximum(across, 0) * np.maximum(down, 0) / (self.widths * self.heights)
        return shares

    def window(self, number: int) -> tuple[slice, slice]:
        """Return the rows and columns of a component's box."""
        return (
            slice(int(self.top[number]), int(self.bottom[number])),
            slice(int(self.left[number]), int(self.right[number])),
        )


def is_background(parts: ComponentTable, number: int, paper: Plane, level: float) -> bool:
    """Tell whether a component is outside the paper, whose level is `level`."""
    window = parts.window(number)
    own = parts.labels[window] == number
    return quantiles(paper[window][own], 0.5)[0] < DARKEST_PAPER * level


def component_rects(parts: ComponentTable, numbers: Sequence[int], scale: float) -> list[Rect]:
    """Return the boxes of some components, in pixels of the page before it was scaled."""
    sides = (parts.left, parts.top, parts.right, parts.bottom)
    return [Rect(*(float(side[number]) / scale for side in sides)) for number in numbers]
