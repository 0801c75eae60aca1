"""Estimate the height of the characters on a page from the components of its ink."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import label_components
from digitrec.recognition.preprocess import Mask
from digitrec.recognition.rules import find_rules


class TextHeightParams(NamedTuple):
    """Sizes of components that could be characters; set by hand on synthetic pages (`benchmarks.pages`)."""

    least_px: int = 6
    """Least height of a component by which the characters' height is measured, pixels."""
    legible_px: int = 12
    """Height of a component that is no speck, pixels."""
    grid: float = 0.3
    """Estimate, as a share of the page's shorter side, from which it may be the height of a table with its lines."""
    cell: float = 0.25
    """Largest height of the characters in such a table, as a share of it."""
    fewest: int = 8
    """Least number of components so small."""
    left: float = 0.5
    """Largest height of what is left of the table without its lines, as a share of it."""


PARAMS = TextHeightParams()


def estimate_height(inked: Mask, boxes: NDArray[np.intp]) -> float:
    """Return the median height of the components of a page's ink that could be characters, pixels.

    If that is the height of a table with lines, return that of the characters in it.

    Args:
        inked: ink, (h, w).
        boxes: left, top, right and bottom of its components, (n, 4).
    """
    p, height = PARAMS, text_height(boxes, inked.shape)
    heights = boxes[:, 3] - boxes[:, 1]
    small = heights[(heights >= p.least_px) & (heights <= p.cell * height)]
    if height < p.grid * min(inked.shape) or len(small) < p.fewest:
        return height
    rules = find_rules(inked, float(np.median(small)))
    if rules is None:
        return height
    lines = cv2.dilate(rules.mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rest = label_components(inked & ~lines).boxes[1:]
    if not len(rest) or (rest[:, 3] - rest[:, 1]).max() > p.left * height:
        return height
    return text_height(rest, inked.shape)


def text_height(boxes: NDArray[np.intp], shape: tuple[int, ...]) -> float:
    """Return the median height of components that could be characters, weighted by its square, pixels.

    Args:
        boxes: left, top, right and bottom of each component, (n, 4).
        shape: of the page, (h, w).
    """
    p, (rows, columns) = PARAMS, shape
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    if len(boxes) == 1:  # a bare digit
        return float(heights[0])
    at_edge = (boxes[:, 0] <= 1) | (boxes[:, 1] <= 1) | (boxes[:, 2] >= columns - 1) | (boxes[:, 3] >= rows - 1)
    could_be = (heights >= p.least_px) & (widths < 9 * heights) & (heights < 8 * widths) & (heights < 0.9 * rows)
    weights = heights.astype(np.float64) ** 2 * (could_be & ~_hold_others(boxes, could_be))
    if weights[at_edge].sum() < 4 * weights[~at_edge].sum():
        weights[at_edge] = 0
    is_large = np.maximum(widths / columns, heights / rows) > 0.5
    if np.count_nonzero(weights[~is_large & (heights >= p.legible_px)]) >= 4:
        weights[is_large] = 0
    if not weights.any():
        return 0.5 * min(rows, columns)
    order = np.argsort(heights)
    cumulated = np.cumsum(weights[order])
    return float(heights[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _hold_others(boxes: NDArray[np.intp], could_be: Mask) -> Mask:
    """Tell which components have a much smaller one inside, (n,): the frames of a form, not its characters."""
    heights = boxes[:, 3] - boxes[:, 1]
    hold = np.zeros(len(boxes), np.bool_)
    if not could_be.any():
        return hold
    usual = float(np.median(heights[could_be]))
    for number in np.flatnonzero(could_be & (heights >= usual)).tolist():
        left, top, right, bottom = boxes[number].tolist()
        is_inside = (boxes[:, 0] > left) & (boxes[:, 1] > top) & (boxes[:, 2] < right) & (boxes[:, 3] < bottom)
        hold[number] = (is_inside & could_be & (heights >= 0.15 * heights[number])).any()
    return hold
