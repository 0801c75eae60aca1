"""Find ink that could be writing and is not part of the answer.

No network reports what it leaves out. Therefore the raw ink of the page is compared with the answer: each connected
component must belong to a character that was read, or be something that cannot be writing: a rule, a frame, a margin,
the background, a speck.
"""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.recognition.geometry import PixelBox, Rect, to_pixels
from digitrec.recognition.preprocess import Mask, Plane, quantiles
from digitrec.recognition.raw_components import ComponentTable, component_rects, is_background
from digitrec.recognition.raw_ink import PARAMS as RAW_INK
from digitrec.recognition.raw_ink import Contrast, RawInk, find_raw_ink, measure_contrast
from digitrec.recognition.strokes import (
    find_fragments,
    find_read,
    find_slashes,
    find_strokes,
    fit_boxes,
    reaches_along_edge,
)


class UnreadParams(NamedTuple):
    """Thresholds of what counts as writing that was not read.

    Lengths are shares of h, the median height of the characters that were read. What could be writing is defined by
    `least_height`, `least_length`, `least_dot` and `dot_reach`; the others were set by hand as `RawInkParams` are.
    """

    height_px: float = 28.0
    """h on the scaled page, pixels, where one character was read; a page is never enlarged."""
    height_of_many_px: float = 48.0
    """h on the scaled page, pixels, where several characters were read: points between them are smaller."""
    least_height: float = 0.5
    """Height from which a component could be writing, in h."""
    least_length: float = 0.3
    """Length of the longer side from which a component could be writing, in h."""
    least_dot: float = 0.06
    """Length of the shorter side from which a component could be a point, comma or colon, in h."""
    dot_contrast: float = 0.5
    """Least contrast of a point's darkest pixel among several characters, as a share of the characters' own."""
    dot_reach: float = 1.0
    """Largest distance of a point from a character of its text line, in h."""
    loose: float = 0.8
    """If characters are lower than this share of their strip's height, all is measured again with fitting boxes."""
    outside: float = 0.25
    """How far a lone component may reach out of its character's box, in h."""
    rule_length: float = 2.5
    """Length from which a thin component is a rule, whichever way it slants, in h."""
    rule_width: float = 0.25
    """Largest mean thickness of such a rule, in h."""
    rule_slant: float = 0.09
    """Slope from which a rule is not found before, and what stands on it is part of its component."""
    rule_writing: float = 0.4
    """Extent across such a rule from which writing stands on it, in h."""
    underline_height: float = 0.45
    """Largest height of a rule drawn under a number, in h."""
    underline_length: float = 0.8
    """Least length of such a rule, in h."""
    underline_reach: float = 1.0
    """Largest distance of such a rule from the characters above it, in h."""
    underline_share: float = 0.5
    """Least share of such a rule that is under characters."""
    margin: float = 0.7
    """Share of a side of the picture from which a component along it is a margin or a frame, 0..1."""
    least_px: float = 5.0
    """Least h, pixels, at which a character was seen well enough to say that it was read whole."""


PARAMS = UnreadParams()


def find_unread(gray: Plane, ink: Plane, characters: Sequence[Rect], text: str = "") -> list[Rect]:
    """Find the components of a page that could be writing and belong to none of the characters that were read.

    Args:
        gray: the page, (h, w), 0..255.
        ink: what the reader took for ink, of the same page in any size, 0.0 = paper, 1.0 = ink.
        characters: where the characters are, in pixels of `gray`; at least one.
        text: the digit that each was read as; a 1 could be a slash. Empty if that is not known.

    Returns:
        Their boxes, in pixels of `gray`; a character that is a margin, a slash, or too small to tell, among them.
    """
    height = median(rect.height for rect in characters)
    rects, fitting = _compare_with_ink(gray, ink, characters, height, text)
    is_strip = len(characters) > 1 and len({(rect.top, rect.bottom) for rect in characters}) == 1
    if is_strip and fitting and (lower := median(rect.height for rect in fitting)) < PARAMS.loose * height:
        rects, _ = _compare_with_ink(gray, ink, fitting, lower, text)
    return rects


def _compare_with_ink(
    gray: Plane, ink: Plane, characters: Sequence[Rect], height: float, text: str
) -> tuple[list[Rect], list[Rect]]:
    """Return what is unread, and boxes that fit the characters, both in pixels of `gray`."""
    p, full = PARAMS, gray
    scale = min(1.0, (p.height_px if len(characters) == 1 else p.height_of_many_px) / max(height, 1.0))
    if scale < 1:
        size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
        gray = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)
    rows, columns = gray.shape
    high = height * scale
    if ink.shape != gray.shape:
        ink = np.asarray(cv2.resize(ink, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32)
    boxes = [to_pixels(rect.scaled(scale), columns, rows) for rect in characters]
    contrast = measure_contrast(gray, boxes, ink, high)
    if len(boxes) == 1 and height >= p.least_px and _is_lone(contrast, boxes[0], high):
        return [], []
    raw = find_raw_ink(contrast, high)
    parts = ComponentTable.of(raw)
    strokes, is_margin = find_strokes(ink, boxes)
    if is_margin or height < p.least_px:
        return list(characters), []
    read, bodies = find_read(parts, strokes, raw.strong, boxes, high)
    fitting = fit_boxes(parts, boxes, bodies, high)
    doubted = {*find_slashes(parts, boxes, bodies, text), *find_fragments(raw, boxes, bodies)}
    unread = [characters[index] for index in sorted(doubted)]
    if reaches_along_edge(parts, read, high):
        unread = list(characters)
    spans = [Rect(*map(float, box)).scaled(1 / scale) for box in fitting]
    if read.all():
        return unread, spans
    may_be = ~read & ~_is_cut_off(parts, full, raw, high, scale)
    parts = parts.joined(may_be)
    is_dark = parts.peaks(contrast.values) >= p.dot_contrast * contrast.own if len(boxes) > 1 else parts.areas > 0
    could_be = _is_large(parts, boxes, high, is_dark)
    could_be &= ~_is_printed(parts, raw.strong.shape, high) | _holds_writing(parts, high)
    could_be &= ~_is_underline(parts, boxes, high)
    if not could_be.any():
        return unread, spans
    paper = median(quantiles(raw.paper[top:bottom, left:right], 0.5)[0] for left, top, right, bottom in boxes)
    numbers = [
        number
        for number in np.flatnonzero(could_be).tolist()
        if not (is_background(parts, number, raw.paper, paper) or _is_frame(parts, number, boxes, high))
    ]
    return unread + component_rects(parts, numbers, scale), spans


def _is_lone(contrast: Contrast, box: PixelBox, height: float) -> bool:
    """Tell whether a page with one character holds one component that is large enough for writing, in its box.

    Most pages are like this, and it takes a tenth of the time of the steps that follow. The threshold is a little below
    that for strong ink, so no component is missed.
    """
    spots = (contrast.values > max(0.9 * RAW_INK.strong * contrast.own, RAW_INK.least)).view(np.uint8)
    x, y, width, high = cv2.boundingRect(spots)  # OpenCV's statistics look at every pixel, bare paper too
    if not width:
        return False
    sizes = cv2.connectedComponentsWithStats(spots[y : y + high, x : x + width], connectivity=8)[2][1:, :4]
    shortest = np.minimum(sizes[:, 2], sizes[:, 3])
    is_large = np.maximum(sizes[:, 2], sizes[:, 3]) >= PARAMS.least_length * height
    is_large |= shortest >= max(2.0, PARAMS.least_dot * height)
    large = np.flatnonzero(is_large)
    if len(large) != 1:
        return False
    left, top, width, high = sizes[large[0]].tolist()
    left, top = left + x, top + y
    right, bottom, (rows, columns) = left + width, top + high, spots.shape
    if left == 0 or top == 0 or right == columns or bottom == rows:
        return False
    outside = max(box[0] - left, box[1] - top, right - box[2], bottom - box[3])
    return bool(outside <= PARAMS.outside * height)


def _is_large(parts: ComponentTable, boxes: Sequence[PixelBox], height: float, is_dark: Mask) -> Mask:
    """Tell which components are large enough for writing, or for a point or comma where they stand, (n,)."""
    p = PARAMS
    is_large: Mask = (parts.heights >= p.least_height * height) | (parts.longest >= p.least_length * height)
    is_dot = is_dark & (np.minimum(parts.widths, parts.heights) >= max(2.0, p.least_dot * height))
    middle = (parts.top + parts.bottom) / 2
    for left, top, right, bottom in boxes:
        is_in_line = (middle > top - 0.1 * height) & (middle < bottom + 0.3 * height)
        apart = np.maximum(parts.left - right, left - parts.right)
        is_large |= is_dot & is_in_line & (apart <= p.dot_reach * height)
    return is_large


def _is_printed(parts: ComponentTable, shape: tuple[int, ...], height: float) -> Mask:
    """Tell which components are rules, margins or frames that run from edge to edge, (n,)."""
    p, (rows, columns) = PARAMS, shape
    left, right, top, bottom = parts.left <= 1, parts.right >= columns - 1, parts.top <= 1, parts.bottom >= rows - 1
    width, high, longest = parts.widths, parts.heights, parts.longest
    crosses = (np.minimum(width, high) < p.rule_width * height) & ((left & right) | (top & bottom))
    is_rule = (longest >= p.rule_length * height) & (parts.areas / longest < p.rule_width * height)
    is_margin = ((left | right) & (high >= p.margin * rows)) | ((top | bottom) & (width >= p.margin * columns))
    printed: Mask = crosses | is_rule | is_margin
    return printed


def _holds_writing(parts: ComponentTable, height: float) -> Mask:
    """Tell which components are slanting rules with writing on them, (n,)."""
    p, holds = PARAMS, np.zeros(len(parts.areas), np.bool_)
    shortest = np.minimum(parts.widths, parts.heights)
    is_slanting = (parts.longest >= p.rule_length * height) & (shortest > p.rule_slant * parts.longest)
    is_slanting &= parts.areas / parts.longest < p.rule_width * height
    for number in np.flatnonzero(is_slanting).tolist():
        pixels = np.argwhere(parts.labels[parts.window(number)] == number).astype(np.float64)
        pixels -= pixels.mean(axis=0)
        _, axes = np.linalg.eigh(pixels.T @ pixels)  # the last one is along the component
        along, across = pixels @ axes[:, 1], pixels @ axes[:, 0]
        extent = float(np.ptp(np.quantile(across, (0.01, 0.99))))
        slope = np.abs(axes[:, 1]).min() / np.abs(axes[:, 1]).max()
        is_line = float(np.ptp(along)) > p.rule_length * extent
        holds[number] = is_line and slope > p.rule_slant and extent >= p.rule_writing * height
    return holds


def _is_underline(parts: ComponentTable, boxes: Sequence[PixelBox], height: float) -> Mask:
    """Tell which components are rules drawn under characters that were read, with nothing read under them, (n,)."""
    p = PARAMS
    underlines: Mask = (parts.heights < p.underline_height * height) & (parts.widths >= p.underline_length * height)
    flat = np.flatnonzero(underlines)  # each is compared with every character: on a noisy page all would be too many
    left, top, right, bottom = np.array(boxes, np.float64).T
    middle = (parts.top[flat] + parts.bottom[flat])[:, None] / 2
    across = np.minimum(parts.right[flat, None], right) - np.maximum(parts.left[flat, None], left)
    is_above = (middle > bottom - 0.1 * height) & (middle < bottom + p.underline_reach * height)
    is_below = (middle < top) & (middle > top - 2 * p.underline_reach * height)
    under = np.where(is_above, np.maximum(across, 0), 0).sum(axis=1)
    is_alone = ~(is_below & (across > 0)).any(axis=1)
    underlines[flat] = is_alone & (under >= p.underline_share * parts.widths[flat])
    return underlines


def _is_cut_off(parts: ComponentTable, full: Plane, raw: RawInk, height: float, scale: float) -> Mask:
    """Tell which components the edge of the picture cuts off with too little left to be writing, (n,)."""
    rows, columns = raw.strong.shape
    left, right, top, bottom = parts.left <= 1, parts.right >= columns - 1, parts.top <= 1, parts.bottom >= rows - 1
    cut: Mask = (left | right | top | bottom) & (parts.heights < PARAMS.least_height * height)
    cut &= ~_is_together(parts, left & cut, height) & ~_is_together(parts, right & cut, height)
    for number in np.flatnonzero(cut).tolist():
        cut[number] = _is_cut(parts, number, full, raw, scale)
    return cut


def _is_together(parts: ComponentTable, at_edge: Mask, height: float) -> Mask:
    """Tell which components at one side of a picture are so high together that they could be a character, (n,)."""
    p, is_together = PARAMS, np.zeros(len(at_edge), np.bool_)
    run: list[int] = []
    for number in sorted(np.flatnonzero(at_edge).tolist(), key=lambda number: float(parts.top[number])):
        if run and parts.top[number] - parts.bottom[run].max() > p.least_length * height:
            run = []
        run.append(number)
        if len(run) > 1 and parts.bottom[run].max() - parts.top[run].min() >= p.least_height * height:
            is_together[run] = True
    return is_together


def _is_cut(parts: ComponentTable, number: int, full: Plane, raw: RawInk, scale: float) -> bool:
    """Tell whether a component goes on beyond the edge of the picture: there is ink in the outermost pixels."""
    down, across = parts.window(number)
    (level,) = quantiles(raw.paper[down, across], 0.5)
    window = [slice(max(0, int(part.start / scale)), int(np.ceil(part.stop / scale))) for part in (down, across)]
    lines = (
        full[0, window[1]] if down.start <= 1 else None,
        full[-1, window[1]] if down.stop >= raw.strong.shape[0] - 1 else None,
        full[window[0], 0] if across.start <= 1 else None,
        full[window[0], -1] if across.stop >= raw.strong.shape[1] - 1 else None,
    )
    darkest = [255 - line.max() if raw.is_light else line.min() for line in lines if line is not None and line.size]
    return any(1 - dark / max(level, 1) > raw.threshold for dark in darkest)


def _is_frame(parts: ComponentTable, number: int, boxes: Sequence[PixelBox], height: float) -> bool:
    """Tell whether a component goes around a character and leaves the middle free."""
    if min(parts.widths[number], parts.heights[number]) <= height:
        return False
    down, across = parts.window(number)
    holds = any(
        across.start <= (left + right) / 2 <= across.stop and down.start <= (top + bottom) / 2 <= down.stop
        for left, top, right, bottom in boxes
    )
    own = parts.labels[down, across] == number
    inset_y, inset_x = int(0.2 * own.shape[0]), int(0.2 * own.shape[1])
    inner = own[inset_y : own.shape[0] - inset_y, inset_x : own.shape[1] - inset_x]
    return holds and int(inner.sum()) < 0.08 * int(own.sum())
