"""Tell which components of raw ink belong to the characters that were read, and which are signs beside them."""

import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.recognition.components import label_components
from digitrec.recognition.geometry import PixelBox
from digitrec.recognition.preprocess import Mask, Plane
from digitrec.recognition.raw_components import ComponentTable, FloatArray
from digitrec.recognition.raw_ink import RawInk


class StrokeParams(NamedTuple):
    """Thresholds of which components are strokes of a character, and which are signs beside it.

    Lengths are shares of h, the median height of the characters; set by hand as `RawInkParams` are.
    """

    drawn: float = 0.15
    """The reader's ink, 0..1, from which neighbouring pixels belong to one stroke."""
    margin: float = 0.7
    """Share of a side of the picture from which a character along it is a margin, 0..1."""
    dot_reach: float = 1.0
    """Largest distance of a point or a minus from its character, in h."""
    row_gap: float = 0.12
    """Gap above or below a character from which a component is of another row, unless it is flat."""
    row_height: float = 0.2
    """A component lower than this is flat: a bar of the character."""
    near: float = 0.12
    """Width by which a character's box is enlarged to hold all of its strokes, in h."""
    along_edge: float = 1.1
    """Length along an edge of the picture from which a component is no character, in h."""
    along_side: float = 0.4
    """Share of that edge's side which such a component covers as well, 0..1."""
    fragment: float = 1.4
    """A character without own ink is a fragment of a rule that is longer than the character by this factor."""
    slash_height: float = 1.08
    """Least height of a slash, as a multiple of the median character's."""
    date_slash_height: float = 0.95
    """The same where a slash would make a date of the number; there it may be upright."""
    slash_slope: float = 0.28
    """Least slant of a slash to the right, pixels across for one down."""
    slash_bend: float = 0.1
    """Largest root mean square distance of a slash's pixels from a straight line, as a share of its height."""
    bar_bottom: float = 0.4
    """Depth above which the bar of a 5 ends, as a share of the height of the character's main component."""
    bar_height: float = 0.3
    """Largest height of a bar above the character's other strokes, in h."""
    bar_gap: float = 0.35
    """Largest gap between that bar and the strokes below, in h."""
    point_size: float = 0.5
    """Largest length of a point or comma, in h."""
    point_depth: float = 0.6
    """Depth below which a point or comma begins, as a share of the height of the character's main component."""
    minus_height: float = 0.25
    """Largest height of a minus, and its least width, in h; its middle is in the middle half of the character."""
    minus_gap: float = 0.02
    """Least gap between a minus and the character after it, in h; the bar of a 4 or 7 meets the stem."""


PARAMS = StrokeParams()
_DATE = re.compile("(?P<day>0?[1-9]|[12][0-9]|3[01])1(?P<month>0?[1-9]|1[0-2])1(?:[0-9]{2}|[0-9]{4})")
"""A date whose slashes were read as 1."""


def find_read(
    parts: ComponentTable, strokes: Mask, strong: Mask, boxes: Sequence[PixelBox], height: float
) -> tuple[Mask, list[int]]:
    """Tell which components belong to a character, (n,), and the main one of each character; -1 if it has none."""
    count, p = len(parts.areas), PARAMS
    is_own = strong & (parts.labels >= 0)
    on_strokes = np.bincount(parts.labels[is_own & strokes], minlength=count) / parts.areas
    is_drawn = on_strokes > 0.4
    read, is_sign, is_certain = (np.zeros(count, np.bool_) for _ in range(3))
    bodies = []
    wider = p.near * height
    for left, top, right, bottom in boxes:
        score = parts.share_in((left, top, right, bottom)) * parts.areas
        body = int(score.argmax()) if score.any() else -1
        bodies.append(body)
        if body < 0:
            continue
        share = parts.share_in((left - wider, top - wider, right + wider, bottom + wider))
        is_on_strokes = is_drawn & (share > 0.3)  # faint dirt may tie the strokes of all characters together
        stroke, sign = _strokes_and_signs(parts, body, share, height)
        read |= stroke | is_on_strokes
        is_sign |= sign
        is_certain |= (
            (stroke | is_on_strokes) & (share > 0.6) & (parts.ruled == parts.ruled[body])
        )  # cut by a rule only
    read = (read & ~is_sign) | is_certain
    read[[body for body in bodies if body >= 0]] = True
    return read, bodies


def find_strokes(ink: Plane, boxes: Sequence[PixelBox]) -> tuple[Mask, bool]:
    """Mark the main stroke of each character in the reader's own ink, and tell whether one of them is a margin."""
    count, labels = cv2.connectedComponents((ink > PARAMS.drawn).view(np.uint8), connectivity=8)
    is_main = np.zeros(count, np.bool_)
    for left, top, right, bottom in boxes:
        sizes = np.bincount(labels[top:bottom, left:right].ravel(), minlength=count)
        sizes[0] = 0
        is_main[int(sizes.argmax())] = sizes.any()
    strokes = is_main[labels]
    clear = strokes & (ink > 0.5)
    sides = (clear[0], clear[-1], clear[:, 0], clear[:, -1])
    is_margin = any(np.count_nonzero(side) > PARAMS.margin * side.size for side in sides)
    return cv2.dilate(strokes.view(np.uint8), np.ones((3, 3), np.uint8)) > 0, is_margin


def _strokes_and_signs(parts: ComponentTable, body: int, share: FloatArray, height: float) -> tuple[Mask, Mask]:
    """Tell which components are further strokes of a character, (n,), and which are signs beside it: a point, a minus.

    Args:
        parts: all components.
        body: the main one of the character.
        share: share of each inside the character's box, (n,).
        height: h, pixels.
    """
    p = PARAMS
    left, top, right, bottom = (float(side[body]) for side in (parts.left, parts.top, parts.right, parts.bottom))
    wide, high = parts.widths, parts.heights
    aside = np.maximum(parts.left - right, left - parts.right)  # negative: above, below or among the strokes
    apart = np.maximum(aside, np.maximum(parts.top - bottom, top - parts.bottom))
    overlap = -aside / wide
    middle_x, middle_y = (parts.left + parts.right) / 2, (parts.top + parts.bottom) / 2
    is_high = parts.bottom <= top + p.bar_bottom * (bottom - top)
    is_bar = is_high & (overlap >= 0.2)
    is_bar_above = (overlap >= 0.5) & (high < p.bar_height * height) & (wide > 0.3 * (right - left))
    is_bar_above &= is_high & (top - parts.bottom <= p.bar_gap * height)
    is_low = parts.top > top + p.point_depth * (bottom - top)
    is_point = (parts.longest < p.point_size * height) & is_low & (middle_x > (left + right) / 2) & (overlap < 0.5)
    is_level = (middle_y > top + 0.25 * (bottom - top)) & (middle_y < top + 0.75 * (bottom - top))
    is_near = np.maximum(aside, apart) <= p.dot_reach * height
    is_minus = is_near & is_level & (middle_x < (left + right) / 2)
    is_minus &= (high < p.minus_height * height) & (wide > p.minus_height * height)
    for number in np.flatnonzero(is_minus).tolist():
        is_minus[number] = _gap_to(parts, number, body) > p.minus_gap * height
    gap = np.maximum(parts.top - bottom, top - parts.bottom)  # negative: beside or among the strokes
    is_other_row = (gap > p.row_gap * height) & (high >= p.row_height * height) & (parts.faint != parts.faint[body])
    is_stroke = (share > 0.6) & ((overlap >= 0.5) | (apart <= 0.1 * height) | is_bar)
    is_tied = (parts.faint == parts.faint[body]) & (apart <= 0.25 * height) & (share > 0.3)
    is_apart = parts.ruled != parts.ruled[body]  # else a rule was taken out between them
    return is_stroke | is_tied | is_bar_above, (is_point | is_minus | is_other_row) & is_near & is_apart


def _gap_to(parts: ComponentTable, number: int, body: int) -> float:
    """Return the pixels between a component and the strokes of a character to its right, in the component's rows."""
    rows, _ = parts.window(number)
    _, across = parts.window(body)
    columns = across.start + np.flatnonzero((parts.labels[rows, across] == body).any(axis=0))
    beyond = columns[columns >= parts.left[number]]
    return float(beyond.min() - parts.right[number]) if beyond.size else float(parts.labels.shape[1])


def fit_boxes(
    parts: ComponentTable, boxes: Sequence[PixelBox], bodies: Sequence[int], height: float
) -> list[tuple[float, float, float, float]]:
    """Return boxes around the components of each character, whose own box may be as high as its whole text line."""
    fitting: list[tuple[float, float, float, float] | None] = []
    for box, body in zip(boxes, bodies, strict=True):
        own = (parts.share_in(box) > 0.5) & (parts.longest > 0.15 * height)
        if body < 0:
            fitting.append(None)
            continue
        own[body] = True
        left, right = max(box[0], parts.left[own].min()), min(box[2], parts.right[own].max())
        fitting.append((left, parts.top[own].min(), max(right, left + 1), parts.bottom[own].max()))
    seen = [box for box in fitting if box is not None]
    if not seen:
        return []
    top, bottom = min(box[1] for box in seen), max(box[3] for box in seen)  # one without ink is as high as the others
    return [fit or (box[0], top, box[2], bottom) for fit, box in zip(fitting, boxes, strict=True)]


def find_slashes(parts: ComponentTable, boxes: Sequence[PixelBox], bodies: Sequence[int], text: str) -> list[int]:
    """Tell which characters that were read as 1 could be slashes: straight, slanting, higher than their neighbours.

    Where they would make a date of the number, upright ones count, too. Only between digits: no slash begins or ends a
    number.
    """
    p = PARAMS
    ones = [index for index, digit in enumerate(text) if digit == "1"]
    date = _DATE.fullmatch(text)
    of_date = {date.end("day"), date.end("month")} if date else set()
    between = [index for index in ones if 0 < index < len(bodies) - 1 and bodies[index] >= 0]
    if not between:
        return []
    slashes = []
    height = median(float(parts.heights[body]) for body in bodies if body >= 0)
    for index in between:
        own = [*np.flatnonzero(parts.share_in(boxes[index]) > 0.5), bodies[index]]  # a rule may have cut it into pieces
        rows = slice(int(parts.top[own].min()), int(parts.bottom[own].max()))
        columns = slice(int(parts.left[own].min()), int(parts.right[own].max()))
        y, x = np.nonzero(np.isin(parts.labels[rows, columns], own))
        high = float(y.max() - y.min() + 1)
        down = float(np.sqrt(np.mean((y - y.mean()) ** 2)))
        if down == 0 or high < (p.date_slash_height if index in of_date else p.slash_height) * height:
            continue
        slope = float(np.mean((y - y.mean()) * (x - x.mean()))) / down**2  # pixels across for one down
        bend = float(np.sqrt(np.mean((x - x.mean() - slope * (y - y.mean())) ** 2)))
        if (-slope >= p.slash_slope or index in of_date) and bend < p.slash_bend * high:
            slashes.append(index)
    return slashes


def find_fragments(raw: RawInk, boxes: Sequence[PixelBox], bodies: Sequence[int]) -> list[int]:
    """Tell which characters have no ink but that of a rule which goes on beyond them."""
    missing = [index for index, body in enumerate(bodies) if body < 0]
    if not missing:
        return []
    pieces = label_components(raw.rules)
    lengths = np.maximum(pieces.boxes[:, 2] - pieces.boxes[:, 0], pieces.boxes[:, 3] - pieces.boxes[:, 1])
    fragments = []
    for index in missing:
        left, top, right, bottom = boxes[index]
        labels = np.unique(pieces.labels[top:bottom, left:right])
        if any(label and lengths[label] > PARAMS.fragment * max(bottom - top, right - left) for label in labels):
            fragments.append(index)
    return fragments


def reaches_along_edge(parts: ComponentTable, read: Mask, height: float) -> bool:
    """Tell whether a character is tied to something dark along an edge of the picture: a shadow, a margin."""
    for line in (parts.labels[0], parts.labels[-1], parts.labels[:, 0], parts.labels[:, -1]):
        numbers = line[line >= 0]
        least = PARAMS.along_edge * height
        if numbers.size > least:
            longest = int(np.bincount(numbers).argmax())
            length = np.count_nonzero(numbers == longest)
            if read[longest] and length > max(least, PARAMS.along_side * line.size):
                return True
    return False
