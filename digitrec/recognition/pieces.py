"""What hangs together in a plane: pieces, their boxes and their sizes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The pieces of a mask, numbered from 1; 0 is everything else."""

    labels: NDArray[np.int32]
    """(h, w), the number of each spot."""
    places: NDArray[np.intp]
    """Where the mask is True: flat indices of the plane, ascending."""
    label_of: NDArray[np.int32]
    """The number of each of these places."""
    boxes: NDArray[np.intp]
    """(count + 1, 4): left, top, right and bottom of each piece, half open; of number 0 nothing is told."""
    areas: NDArray[np.intp]
    """(count + 1,): spots of each piece; 0 for number 0."""


def pieces_of(mask: NDArray[np.bool_]) -> Pieces:
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
        return Pieces(labels, places, label_of, boxes, np.array([0, places.size]))
    # OpenCV's own statistics look at every spot of the paper, too, and take ten times as long.
    columns = places % width
    left, first = np.full(count, width), np.full(count, mask.size)
    right, last = np.zeros(count, np.intp), np.zeros(count, np.intp)
    np.minimum.at(left, label_of, columns)
    np.maximum.at(right, label_of, columns)
    np.minimum.at(first, label_of, places)
    np.maximum.at(last, label_of, places)
    boxes = np.stack([left, first // width, right + 1, last // width + 1], axis=1)
    return Pieces(labels, places, label_of, boxes, np.bincount(label_of, minlength=count))
