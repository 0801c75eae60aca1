"""Tell whether a page on which nothing was read is blank: whether something on it could be writing."""

from typing import NamedTuple

import numpy as np

from digitrec.recognition.components import is_hollow
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Mask, Plane, downscale, quantiles
from digitrec.recognition.raw_components import ComponentTable, component_rects, is_background
from digitrec.recognition.raw_ink import RawInk, find_any_ink


class BlankParams(NamedTuple):
    """Thresholds of what could be writing where no character was read to compare it with.

    `height_share`, `least_px`, `least_height` and `least_length` define it; the others were set by hand as
    `RawInkParams` are.
    """

    height_share: float = 1 / 40
    """h where nothing was read, as a share of the picture's shorter side."""
    least_px: float = 6.0
    """Least h where nothing was read, pixels."""
    stroke_heights: tuple[float, ...] = (1 / 40, 1 / 10, 1 / 3)
    """Heights of characters for which ink is searched where nothing was read, as shares of the shorter side."""
    speck_px: float = 3.0
    """Least length of a component where nothing was read, pixels; anything shorter is noise of the sensor."""
    rule_width: float = 0.03
    """Largest thickness of a rule or frame where nothing was read, as a share of the page's longer side."""
    least_height: float = 0.5
    """Height from which a component could be writing, in h."""
    least_length: float = 0.3
    """Length of the longer side from which a component could be writing, in h."""
    height_px: float = 28.0
    """h on the scaled page, pixels; a page is never enlarged."""
    margin: float = 0.7
    """Share of a side of the picture from which a component along it is a margin or a frame, 0..1."""


PARAMS = BlankParams()


def find_writing(gray: Plane) -> list[Rect]:
    """Find the components that could be writing, dark or light, on a page of which nothing was read: (h, w), 0..255."""
    p, side = PARAMS, min(gray.shape)
    least = max(p.least_px, p.height_share * side)
    rects = []
    for share in p.stroke_heights:  # thick strokes vanish where thin ones are looked for
        height = max(p.least_px, share * side)
        scale = min(1.0, p.height_px / height)
        scaled = downscale(gray, max(1, round(scale * max(gray.shape))))
        scale = max(scaled.shape) / max(gray.shape)
        for is_light in (False, True):
            raw = find_any_ink(scaled, height * scale, is_light=is_light)
            rects += _writing_rects(raw, least * scale, scale)
    return rects


def _writing_rects(raw: RawInk, height: float, scale: float) -> list[Rect]:
    """Return the components that could be writing where none was read, in pixels of the page before scaling."""
    p = PARAMS
    parts = ComponentTable.of(raw)
    parts = parts.joined(np.ones(len(parts.areas), np.bool_))
    is_large = (parts.heights >= p.least_height * height) | (parts.longest >= p.least_length * height)
    is_large &= parts.longest >= p.speck_px
    could_be = is_large & ~_is_printed(parts, raw.strong.shape, height)
    (paper,) = quantiles(raw.paper, 0.5)
    numbers = np.flatnonzero(could_be).tolist()
    return component_rects(
        parts, [number for number in numbers if not is_background(parts, number, raw.paper, paper)], scale
    )


def _is_printed(parts: ComponentTable, shape: tuple[int, ...], height: float) -> Mask:
    """Tell which components of a page on which nothing was read are rules, frames or margins.

    There is no character to compare their width with. A line that stands alone and upright could be a 1.
    """
    p, (rows, columns) = PARAMS, shape
    left, right, top, bottom = parts.left <= 1, parts.right >= columns - 1, parts.top <= 1, parts.bottom >= rows - 1
    width, high = parts.widths, parts.heights
    is_thin = parts.areas / parts.longest < p.rule_width * max(rows, columns)
    is_level = (width >= 0.25 * columns) & (width >= 5 * high)
    is_rule = is_thin & ((left & right) | (top & bottom) | is_level)
    is_margin = ((left | right) & (high >= p.margin * rows)) | ((top | bottom) & (width >= p.margin * columns))
    is_cut = (left | right | top | bottom) & (high < p.least_height * height)
    printed: Mask = is_rule | is_margin | is_cut
    for number in np.flatnonzero(~printed & (np.minimum(width, high) > 0.1 * min(rows, columns))).tolist():
        printed[number] = is_hollow(parts.labels[parts.window(number)] == number, 2 * p.rule_width)
    return printed
