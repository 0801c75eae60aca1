"""Generate synthetic crops of paper and small pages from given digits, to train the segmentation network.

Each depends only on the sources and its random generator, so that any of them can be generated again by itself.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.recognition.segmenter import CROP_PX
from digitrec.training.synthetic import background
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle, random_style, write_glyph
from digitrec.training.synthetic.symbols import (
    CORRUPTED,
    DIGIT_LIKE_LETTERS,
    LETTERS,
    NON_DIGIT,
    OTHER_SYMBOLS,
    SCRIBBLE,
    GlyphSources,
    digit_field,
    glyph_size,
    limit_thinness,
    symbol_field,
)


@dataclass(frozen=True, slots=True)
class CropParams:
    """Contents and sizes of crops and pages; set by hand (results: docs/dev/accuracy.md)."""

    full_page: float = 0.35
    """Share of the crops that show a full page: its symbol may be small, and the page is seldom square."""
    min_aspect: float = 0.5  # shorter side of a full page, as a share of the longer one
    full_page_symbol_px: tuple[float, float] = (12, 100)  # size of a symbol on a full page of 128 pixels
    usual_symbol_px: tuple[float, float] = (26, 58)  # size of a symbol in other crops
    varied_symbol_px: tuple[float, float] = (13, 76)
    varied: float = 0.4  # probability of the wider range of sizes
    page_px: tuple[float, float] = (40, 260)
    page_aspect: tuple[float, float] = (0.75, 1.35)
    page_digit: float = 0.8  # probability that a page shows a digit
    dirt: float = 0.35  # probability of dirt
    neighbours: float = 0.3  # probability of strokes of neighbouring digits


PARAMS = CropParams()


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationExample:
    """A part of a page, and the ink of its symbols."""

    picture: Picture
    """(64, 64); of a full page (h, w), the longer of them 64."""
    ink: Picture
    """The same shape, 0 = paper, 255 = ink."""


def generate_crop(sources: GlyphSources, rng: Generator) -> SegmentationExample:
    """Generate a crop with one digit or letter, or a few, or none, and possible surroundings."""
    if rng.random() < PARAMS.full_page:
        return _generate_full_page(sources, rng)
    return _render(sources, _random_symbols(rng), rng)


def _generate_full_page(sources: GlyphSources, rng: Generator) -> SegmentationExample:
    """Generate a full page at low resolution: rendered at twice the size, so that fine details blur."""
    long, short = 2 * CROP_PX, round(2 * CROP_PX * float(rng.uniform(PARAMS.min_aspect, 1.0)))
    height, width = (long, short) if rng.random() < 0.5 else (short, long)
    symbol_px = min(_log_uniform(PARAMS.full_page_symbol_px, rng), 0.8 * short)
    page = _render(sources, _random_symbols(rng), rng, (height, width), symbol_px)
    return _resize(page, (max(1, round(width / 2)), max(1, round(height / 2))), cv2.INTER_AREA)


def _random_symbols(rng: Generator) -> str:
    """Return one digit or letter, or a few, or none."""
    value = rng.random()
    if value < 0.06:
        return ""
    if value < 0.14:
        return "".join(rng.choice([*LETTERS], int(rng.integers(1, 4))))
    count = 1 if value < 0.87 else int(rng.integers(2, 5))
    return "".join(str(digit) for digit in rng.integers(0, 10, count))


def generate_page(sources: GlyphSources, rng: Generator, digit: int | None = None) -> tuple[SegmentationExample, int]:
    """Generate a page of 30 to 350 pixels with one symbol, and its class, 0..9 or `NON_DIGIT`; None: a random one."""
    if digit is None:
        digit = int(rng.integers(10)) if rng.random() < PARAMS.page_digit else NON_DIGIT
    page = _render(sources, _random_non_digit(rng) if digit == NON_DIGIT else str(digit), rng)
    height, width = (
        float(side) for side in np.exp(rng.uniform(np.log(PARAMS.page_px[0]), np.log(PARAMS.page_px[1]), 2))
    )
    width = float(np.clip(width, height * PARAMS.page_aspect[0], height * PARAMS.page_aspect[1]))
    interpolation = cv2.INTER_CUBIC if height > CROP_PX else cv2.INTER_AREA
    return _resize(page, (round(width), round(height)), interpolation), digit


def _resize(example: SegmentationExample, size: tuple[int, int], interpolation: int) -> SegmentationExample:
    picture, ink = (cv2.resize(array, size, interpolation=interpolation) for array in (example.picture, example.ink))
    return SegmentationExample(np.asarray(picture, np.uint8), np.asarray(ink, np.uint8))


def _log_uniform(limits: tuple[float, float], rng: Generator) -> float:
    return float(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]))))


def _random_non_digit(rng: Generator) -> str:
    """Return a non-digit: mostly a letter, sometimes one like a digit, a scribble or a corrupted digit."""
    value = rng.random()
    if value < 0.5:
        return str(rng.choice([*LETTERS]))
    if value < 0.62:
        return str(rng.choice([*DIGIT_LIKE_LETTERS]))
    if value < 0.7:
        return str(rng.choice([*OTHER_SYMBOLS]))
    return CORRUPTED if value < 0.85 else SCRIBBLE


def _render(
    sources: GlyphSources,
    symbols: str,
    rng: Generator,
    shape: tuple[int, int] = (CROP_PX, CROP_PX),
    symbol_px: float | None = None,
) -> SegmentationExample:
    """Render symbols on paper of a shape, each about `symbol_px` long; None: a random size."""
    height, width = shape
    ink = np.zeros(shape, np.float32)  # all ink
    target = np.zeros_like(ink)  # ink of the symbols, without neighbours
    style = random_style(rng)
    edge_px = float(rng.uniform(0.8, 1.6))
    count = len(symbols)
    if symbols:
        if symbol_px is None:
            is_varied = rng.random() < PARAMS.varied
            symbol_px = (
                _log_uniform(PARAMS.varied_symbol_px, rng) if is_varied else float(rng.uniform(*PARAMS.usual_symbol_px))
            )
        symbol_px = min(symbol_px, 110 / CROP_PX * width / count)
        x, y = (side / 2 + rng.uniform(-0.5, 0.5) * max(side - 0.9 * symbol_px, 6.0) for side in (width, height))
        x -= (count - 1) * 0.4 * symbol_px
        for symbol in symbols:
            field = symbol_field(sources, symbol, None, rng)
            size = symbol_px * float(rng.uniform(0.85, 1.1))
            pen = limit_thinness(style, size)
            written = write_glyph(ink, field, pen, (x, y), size / glyph_size(field), rng, edge_px)
            np.maximum(target, written, out=target)
            x += size * rng.uniform(0.55, 1.0)
        _add_neighbours(sources, ink, target, style, symbol_px, y, rng)
    ground = background.draw_print(height, width, rng)
    if rng.random() < PARAMS.dirt:
        ground = np.maximum(ground, background.draw_dirt(height, width, rng))
    picture = background.simulate_photo(ink, ground, rng)
    return SegmentationExample(picture, np.asarray(np.rint(target * 255), np.uint8))


def _add_neighbours(
    sources: GlyphSources,
    ink: Floats,
    target: Floats,
    style: HandwritingStyle,
    symbol_px: float,
    baseline_y: float,
    rng: Generator,
) -> None:
    """Write parts of neighbouring digits at the edges, in place: on the page, but not in the target."""
    if rng.random() > PARAMS.neighbours:
        return
    height, width = target.shape
    rows = np.flatnonzero(target.max(axis=1) > 0.5)
    columns = np.flatnonzero(target.max(axis=0) > 0.5)
    if rows.size == 0 or columns.size == 0:
        return
    for _ in range(int(rng.integers(1, 3))):
        field = digit_field(sources, int(rng.integers(10)), rng)
        size = symbol_px * float(rng.uniform(0.8, 1.2))
        side = int(rng.integers(3))
        y = baseline_y + float(rng.normal(0, 0.1)) * size
        if side == 0:
            centre = (min(columns[0] - 0.1 * size, 3.0) - size * float(rng.uniform(0.0, 0.3)), y)
        elif side == 1:
            centre = (max(columns[-1] + 0.1 * size, width - 4.0) + size * float(rng.uniform(0.0, 0.3)), y)
        else:
            if rng.random() < 0.5:
                y = min(rows[0] - 0.2 * size, 2.0) - 0.3 * size
            else:
                y = max(rows[-1] + 0.2 * size, height - 3.0) + 0.3 * size
            centre = (float(rng.uniform(0, width)), y)
        pen = limit_thinness(style, size)
        written = write_glyph(np.zeros_like(ink), field, pen, centre, size / glyph_size(field), rng)
        # Strokes that touch the symbol could not be distinguished from it.
        near = cv2.dilate(target, np.ones((3, 3), np.uint8)) > 0.3
        is_inside = written[2:-2, 2:-2].sum() > 0.8 * written.sum()
        if not (written[near] > 0.3).any() and not (is_inside and side != 2):
            np.maximum(ink, written, out=ink)
