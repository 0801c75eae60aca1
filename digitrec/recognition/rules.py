"""Find rules, frames and table lines in the ink of a page, and paint them out of it."""

from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.recognition.components import ConnectedComponents, label_components
from digitrec.recognition.preprocess import Mask, Plane


class RuleParams(NamedTuple):
    """Thresholds of the search for rules; lengths are shares of h, the median height of the characters.

    Set by hand on synthetic pages (`benchmarks.pages`) and on labelled pictures of forms, cheques and squared paper.
    """

    run: float = 1.15
    """Least length of a straight, thin run that could be a rule; longer than any character."""
    length: float = 2.5
    """Length from which such a run is a rule wherever it stands."""
    hangs: float = 1.8
    """Length from which a run is a rule if one end is at the edge of the picture or at a longer rule.

    With both ends there, any length will do if it is unbroken.
    """
    family: float = 1.3
    """Length from which a run with one such end is a rule if another begins and ends at the same height."""
    alike: float = 0.3
    """Largest difference of the ends of two such runs."""
    end: float = 0.12
    """Largest gap between the end of a run and the rule it ends at."""
    width: float = 0.4
    """Largest thickness of a rule."""
    short_width: float = 0.12
    """Largest thickness of a rule that is shorter than `run`."""
    unbroken: float = 0.97
    """Least share of ink along an unbroken run, 0..1; with less it is dashed, or a minus and the digits after it."""
    dashed_length: float = 5.0
    """Length from which a dashed run is a rule."""
    broken: float = 0.75
    """Least share of ink along a dashed run that is a rule because it comes from an edge of the picture, 0..1."""
    fewest_dashes: int = 6
    """Rules are searched for on pages with at least this many components, however short these are."""
    gap: float = 0.12
    """Largest gap between the dashes of one rule."""
    straight: float = 0.02
    """Largest mean deviation of a short run from a straight line, beside `straight_px`."""
    straight_long: float = 0.05
    """The same for a longer run: paper is bent."""
    straight_px: float = 0.6
    """Pixels, see `straight`."""
    short: float = 5.0
    """Length below which a run must be straight."""
    even: float = 0.85
    """Least share of a run along which its thickness is about its median."""
    even_across: float = 0.6
    """The same for a run from edge to edge of the picture: writing may stand on it."""
    uneven: float = 0.3
    """Largest deviation of the thickness there, as a share of the median."""
    table: int = 3
    """Number of long rules, upright and level, from which they are a table's."""
    table_length: float = 4.0
    """Least length of such a rule."""
    mended: float = 0.4
    """Largest thickness of rules with their edges at which the strokes across them are joined."""
    darker: float = 1.5
    """Ink, as a multiple of the rule's, from which ink on a rule is writing."""


PARAMS = RuleParams()


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Pixels that lie on rules of a page, both (h, w)."""

    upright: Mask
    level: Mask

    @property
    def mask(self) -> Mask:
        """Return the pixels of all rules."""
        return self.upright | self.level

    def are_table(self, height: float) -> bool:
        """Tell whether several long rules are upright and several are level; `height` is h, pixels."""
        least = PARAMS.table_length * height
        boxes = (label_components(mask).boxes[1:] for mask in (self.upright, self.level))
        lengths = ((box[:, 3] - box[:, 1], box[:, 2] - box[:, 0]) for box in boxes)
        counts = [int(np.count_nonzero(sides[way] >= least)) for way, sides in enumerate(lengths)]
        return min(counts) >= PARAMS.table


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Straight, thin runs of ink along one direction."""

    pieces: ConnectedComponents
    lengths: NDArray[np.intp]
    """(n + 1,), pixels; of number 0 nothing."""
    is_thin: Mask
    """(n + 1,)."""
    is_unbroken: Mask
    """(n + 1,)."""

    @property
    def reach_edge(self) -> Mask:
        """Tell which thin runs begin or end at an edge of the picture, (n + 1,)."""
        starts, ends = self.pieces.boxes[:, 1], self.pieces.boxes[:, 3]
        reaches: Mask = self.is_thin & ((starts <= 1) | (ends >= self.pieces.labels.shape[0] - 1))
        return reaches

    def check(self, chosen: Mask, height: float) -> None:
        """Leave out those of the chosen runs, (n + 1,), that are no lines."""
        for number in np.flatnonzero(self.is_thin & chosen).tolist():
            self.is_thin[number] = self.is_line(number, height)

    def is_line(self, number: int, height: float) -> bool:
        """Tell whether a run has an even thickness and, if it is short, is straight."""
        p = PARAMS
        left, top, right, bottom = self.pieces.boxes[number]
        own = self.pieces.labels[top:bottom, left:right] == number
        rows = len(own)
        if rows < 2:  # a page one pixel high
            return False
        thick = np.count_nonzero(own, axis=1)  # (rows,), never 0: a component has pixels in every row of its box
        usual = float(median(thick.tolist()))  # of a few numbers faster than np.median
        is_short = self.lengths[number] < p.short * height
        spans = top <= 1 and bottom >= len(self.pieces.labels) - 1 and self.lengths[number] >= p.length * height
        is_usual = np.abs(thick - usual) <= max(1.0, (p.uneven if is_short else 1.0) * usual)
        if np.count_nonzero(is_usual) / rows < (p.even_across if spans else p.even):
            return False
        middle = (own @ np.arange(right - left)) / thick
        along, across = np.arange(rows) - (rows - 1) / 2, middle - middle.mean()
        slope = (along @ across) / (along @ along)  # least squares
        most = p.straight_px + (p.straight if is_short else p.straight_long) * height
        return bool(np.abs(across - slope * along).mean() <= most or self.lengths[number] > 15 * height)

    def mask_of(self, chosen: Mask) -> Mask:
        """Mark the pixels of some runs, chosen by a mask, (n + 1,)."""
        mask = np.zeros(self.pieces.labels.shape, np.bool_)
        if chosen.any():
            mask.ravel()[self.pieces.pixel_indices] = chosen[self.pieces.pixel_labels]
        return mask


def find_rules(inked: Mask, height: float, *, are_held: bool = False) -> Rules | None:
    """Find rules, frame lines and table lines, upright or level, slanting by up to about 6 degrees; None without any.

    Args:
        inked: ink, faint ink too, (h, w).
        height: h, pixels.
        are_held: a rule that stands alone is none: it could be a 1.
    """
    p = PARAMS
    if not _has_long(inked, p.run * height):
        return None
    runs = [_runs(inked, height), _runs(inked.T, height)]  # of columns, then of rows (transposed)
    for direction in runs:
        direction.check(direction.lengths >= p.length * height, height)
    is_long = [direction.is_thin & (direction.lengths >= p.length * height) for direction in runs]
    # A short run is part of a rule only between long ones, or at the picture's edge.
    if not any(is_rule.any() or direction.reach_edge.any() for is_rule, direction in zip(is_long, runs, strict=True)):
        return None
    for direction in runs:
        direction.check(direction.lengths < p.length * height, height)
    long = [direction.mask_of(is_rule) for is_rule, direction in zip(is_long, runs, strict=True)]
    masks = [np.zeros_like(mask) if are_held else mask.copy() for mask in long]
    reach = 2 * max(2, round(p.end * height)) + 1
    ink_of = (inked, inked.T)
    for index, (direction, is_rule, others) in enumerate(zip(runs, is_long, (long[1].T, long[0].T), strict=True)):
        candidates = np.flatnonzero(direction.is_thin if are_held else direction.is_thin & ~is_rule)
        if not candidates.size:
            continue
        labels, boxes = direction.pieces.labels, direction.pieces.boxes
        near = cv2.dilate(np.ascontiguousarray(others).view(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        accepted, is_hung = is_rule & (not are_held), np.zeros(len(boxes), np.bool_)
        for number in candidates.tolist():
            left, top, right, bottom = boxes[number]
            part = near[top:bottom, left:right] & (labels[top:bottom, left:right] == number)
            end = max(1, (bottom - top) // 4)
            begins = bool(part[:end].any()) or top <= 1
            ends = bool(part[-end:].any()) or bottom >= labels.shape[0] - 1
            is_long_enough = direction.lengths[number] >= p.hangs * height
            is_held = (begins or ends) and is_long_enough and bool(direction.is_unbroken[number])
            is_between = begins and ends and (is_long_enough or _is_unbroken(ink_of[index][top:bottom, left:right]))
            accepted[number] = is_between or is_held
            is_family = direction.is_unbroken[number] and direction.lengths[number] >= p.family * height
            is_hung[number] = (begins or ends) and is_family
        for number in np.flatnonzero(is_hung).tolist():
            alike = np.abs(boxes[:, 1::2] - boxes[number, 1::2]).max(axis=1) <= p.alike * height
            accepted[number] |= np.count_nonzero(alike & (accepted | is_hung)) > 1
        masks[index] |= direction.mask_of(accepted)
    rules = Rules(masks[0], np.ascontiguousarray(masks[1].T))
    return rules if rules.upright.any() or rules.level.any() else None


def _is_unbroken(inked: Mask) -> bool:
    """Tell whether ink, (h, w), runs down without gaps from its first to its last row; a 1 between rules does not."""
    rows = np.flatnonzero(inked.any(axis=1))
    return len(rows) > 0 and len(rows) > PARAMS.unbroken * (rows[-1] - rows[0] + 1)


def paint_rules(ink: Plane, rules: Rules, height: float) -> Plane:
    """Erase rules from ink or contrast, (h, w), and repair the strokes that crossed them; return a copy.

    Strokes that end at a thick rule on both sides would be joined, so only what is darker than it is left on it.
    """
    bare = ink.copy()
    bare[_widened(rules.upright, across=True) | _widened(rules.level, across=False)] = 0
    painted = bare.copy()
    if rules.level.any():
        np.maximum(painted, _mend(ink, bare, rules.level, height), out=painted)
    if rules.upright.any():
        np.maximum(painted, _mend(ink.T, bare.T, rules.upright.T, height).T, out=painted)
    return painted


def _mend(ink: Plane, bare: Plane, rules: Mask, height: float) -> Plane:
    """Return the strokes that cross level rules, (h, w), elsewhere 0.0.

    Args:
        ink: with the rules, (h, w).
        bare: without any rules, (h, w).
        rules: the level ones, (h, w).
        height: h, pixels.
    """
    on = _widened(rules, across=False)
    thickness = _thickness(on)
    reach = round(thickness) + 4
    falling = np.eye(reach, dtype=np.uint8)
    bridges = [np.ones((reach, 1), np.uint8), falling, np.ascontiguousarray(falling[::-1])]
    if thickness > PARAMS.mended * height:
        bridges.clear()
    darkest = np.where(rules, ink, 0).max(axis=0)
    level = float(np.median(darkest[darkest > 0])) if darkest.any() else 0.0
    mended = np.zeros_like(ink)
    # Only near the rules: on a table, that is a third of the page.
    is_near = cv2.dilate(np.any(on, axis=1, keepdims=True).view(np.uint8), np.ones((2 * reach + 1, 1), np.uint8))
    turns = np.flatnonzero(np.diff(is_near.ravel(), prepend=0, append=0))
    for top, bottom in zip(turns[::2], turns[1::2], strict=True):
        own, part = ink[top:bottom], np.ascontiguousarray(bare[top:bottom])
        band = mended[top:bottom]
        for bridge in bridges:
            np.maximum(band, cv2.morphologyEx(part, cv2.MORPH_CLOSE, bridge), out=band)
        np.maximum(band, own, out=band, where=own > PARAMS.darker * level)
        np.minimum(band, own, out=band)
        band[~on[top:bottom]] = 0
    return mended


def _widened(mask: Mask, *, across: bool) -> Mask:
    """Add a pixel on both sides of rules: their edges are faint."""
    brush = np.ones((1, 3) if across else (3, 1), np.uint8)
    return cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), brush) > 0


def _thickness(on: Mask) -> float:
    """Return the 90th percentile of the length of vertical runs."""
    columns = np.zeros((on.shape[1], on.shape[0] + 1), np.bool_)  # no run goes on in the next column
    columns[:, 1:] = on.T
    turns = np.flatnonzero(np.diff(columns.ravel(), append=False))  # a run begins and ends in turn
    return float(np.quantile(turns[1::2] - turns[::2], 0.9)) if turns.size else 1.0


def _has_long(ink: Mask, length: float) -> bool:
    """Tell whether some component is so long, or there are enough short ones for a dashed line."""
    count, _ = cv2.connectedComponents(ink.view(np.uint8), connectivity=8)
    if count > PARAMS.fewest_dashes:
        return True
    boxes = label_components(ink).boxes[1:]
    return bool((boxes[:, 2:] - boxes[:, :2]).max(initial=0) >= length)


def _runs(ink: Mask, height: float) -> _Runs:
    """Find the runs of ink along columns, with gaps closed."""
    p, rows = PARAMS, ink.shape[0]
    run = max(4, round(p.run * height))
    gap = max(2, round(p.gap * height)) + 1
    spots = np.ascontiguousarray(ink).view(np.uint8)
    wide = cv2.dilate(spots, np.ones((1, 3), np.uint8))  # a slant moves over by a pixel now and then
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((gap, 1), np.uint8))
    line = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((run, 1), np.uint8)) > 0
    pieces = label_components(line)
    lengths = pieces.boxes[:, 3] - pieces.boxes[:, 1]
    thick = pieces.areas / np.maximum(lengths, 1)  # two pixels of it are the dilation's
    most = np.where(lengths >= p.run * height, p.width * height, p.short_width * height) + 2
    is_thin = (lengths > 0) & (thick < most)
    inked = np.bincount(pieces.pixel_labels, weights=wide.ravel()[pieces.pixel_indices], minlength=len(lengths))
    at_edge = (pieces.boxes[:, 1] <= 1) | (pieces.boxes[:, 3] >= rows - 1)
    areas = np.maximum(pieces.areas, 1)
    is_unbroken = inked > p.unbroken * areas
    is_thin &= is_unbroken | (
        (at_edge & (inked > p.broken * areas)) | ((lengths >= p.dashed_length * height) & (inked > 0.9 * areas))
    )
    is_thin[0] = False
    return _Runs(pieces, lengths, is_thin, is_unbroken)
