"""Synthetic crops of paper and small pages, drawn from digits that are given: what the ink network learns from.

Each depends only on the sources and its dice, so any of them can be drawn again by itself.
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

_WHOLE_PAGES = 0.35
"""This share of the crops shows all of a page, so its sign may be small, and the page seldom is a square."""
_SLIMMEST = 0.5
"""The shorter side of such a page, as a share of the longer one."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationExample:
    """A piece of a page, and which of it is ink of the signs that belong there."""

    picture: Picture
    """(64, 64); of a whole page (h, w), the longer of them 64."""
    ink: Picture
    """The same shape, 0 = paper, 255 = ink."""


def generate_crop(sources: GlyphSources, rng: Generator) -> SegmentationExample:
    """A crop with one digit or letter, or a few, or none, and all that may lie around it."""
    if rng.random() < _WHOLE_PAGES:
        return _whole_page(sources, rng)
    return _scene(sources, _signs(rng), rng)


def _whole_page(sources: GlyphSources, rng: Generator) -> SegmentationExample:
    """All of a page, seen from afar: drawn at twice the size, as what is fine and far away runs together."""
    long, short = 2 * CROP_PX, round(2 * CROP_PX * float(rng.uniform(_SLIMMEST, 1.0)))
    height, width = (long, short) if rng.random() < 0.5 else (short, long)
    longest = min(float(np.exp(rng.uniform(np.log(12), np.log(100)))), 0.8 * short)
    drawn = _scene(sources, _signs(rng), rng, (height, width), longest)
    size = (max(1, round(width / 2)), max(1, round(height / 2)))
    return SegmentationExample(_resized(drawn.picture, size, cv2.INTER_AREA), _resized(drawn.ink, size, cv2.INTER_AREA))


def _signs(rng: Generator) -> str:
    """One digit or letter, or a few, or none."""
    chance = rng.random()
    if chance < 0.06:
        return ""
    if chance < 0.14:
        return _letters(rng, int(rng.integers(1, 4)))
    count = 1 if chance < 0.87 else int(rng.integers(2, 5))
    return "".join(str(digit) for digit in rng.integers(0, 10, count))


def generate_page(sources: GlyphSources, rng: Generator, digit: int | None = None) -> tuple[SegmentationExample, int]:
    """A page of 40 to 320 pixels with one sign, and its class: 0..9, or `NON_DIGIT`; None: a fifth of them is junk."""
    if digit is None:
        digit = int(rng.integers(10)) if rng.random() < 0.8 else NON_DIGIT
    drawn = _scene(sources, _junk(rng) if digit == NON_DIGIT else str(digit), rng)
    high, wide = (float(side) for side in np.exp(rng.uniform(np.log(40), np.log(260), 2)))
    wide = float(np.clip(wide, high * 0.75, high * 1.35))
    size = (round(wide), round(high))
    how = cv2.INTER_CUBIC if high > CROP_PX else cv2.INTER_AREA
    return SegmentationExample(_resized(drawn.picture, size, how), _resized(drawn.ink, size, how)), digit


def _resized(picture: Picture, size: tuple[int, int], how: int) -> Picture:
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _letters(rng: Generator, count: int) -> str:
    return "".join(rng.choice([*LETTERS], count))


def _junk(rng: Generator) -> str:
    """A sign that is no digit: mostly a letter, sometimes one that is nearly a digit, a scribble or a spoilt digit."""
    chance = rng.random()
    if chance < 0.5:
        return str(rng.choice([*LETTERS]))
    if chance < 0.62:
        return str(rng.choice([*DIGIT_LIKE_LETTERS]))
    if chance < 0.7:
        return str(rng.choice([*OTHER_SYMBOLS]))
    return CORRUPTED if chance < 0.85 else SCRIBBLE


def _scene(
    sources: GlyphSources,
    signs: str,
    rng: Generator,
    shape: tuple[int, int] = (CROP_PX, CROP_PX),
    longest: float | None = None,
) -> SegmentationExample:
    """Signs on a piece of paper of this shape, each about `longest` pixels long; None: as long as chance has it."""
    height, width = shape
    ink = np.zeros(shape, np.float32)
    wanted = np.zeros_like(ink)
    hand = random_style(rng)
    soft = float(rng.uniform(0.8, 1.6))
    count = len(signs)
    if signs:
        if longest is None:
            longest = _usual_size(rng)
        longest = min(longest, 110 / CROP_PX * width / count)
        x, y = (side / 2 + rng.uniform(-0.5, 0.5) * max(side - 0.9 * longest, 6.0) for side in (width, height))
        x -= (count - 1) * 0.4 * longest
        for sign in signs:
            field = symbol_field(sources, sign, None, rng)
            size = longest * float(rng.uniform(0.85, 1.1))
            alone = write_glyph(ink, field, limit_thinness(hand, size), (x, y), size / glyph_size(field), rng, soft)
            np.maximum(wanted, alone, out=wanted)
            x += size * rng.uniform(0.55, 1.0)
        _beside(sources, ink, wanted, hand, longest, (x, y), rng)
    ground = background.draw_print(height, width, rng)
    if rng.random() < 0.35:
        ground = np.maximum(ground, background.draw_dirt(height, width, rng))
    picture = background.simulate_photo(ink, ground, rng)
    return SegmentationExample(picture, np.asarray(np.rint(wanted * 255), np.uint8))


def _usual_size(rng: Generator) -> float:
    """How long a sign is in its crop, pixels."""
    if rng.random() < 0.4:
        return float(np.exp(rng.uniform(np.log(13), np.log(76))))
    return float(rng.uniform(26, 58))


def _beside(
    sources: GlyphSources,
    ink: Floats,
    wanted: Floats,
    hand: HandwritingStyle,
    longest: float,
    at: tuple[float, float],
    rng: Generator,
) -> None:
    """Strokes of the next digits at the edges: on the page, but not wanted."""
    if rng.random() > 0.3:
        return
    height, width = wanted.shape
    rows = np.flatnonzero(wanted.max(axis=1) > 0.5)
    columns = np.flatnonzero(wanted.max(axis=0) > 0.5)
    if rows.size == 0 or columns.size == 0:
        return
    for _ in range(int(rng.integers(1, 3))):
        field = digit_field(sources, int(rng.integers(10)), rng)
        size = longest * float(rng.uniform(0.8, 1.2))
        side = int(rng.integers(3))
        y = at[1] + float(rng.normal(0, 0.1)) * size
        if side == 0:
            middle = (min(columns[0] - 0.1 * size, 3.0) - size * float(rng.uniform(0.0, 0.3)), y)
        elif side == 1:
            middle = (max(columns[-1] + 0.1 * size, width - 4.0) + size * float(rng.uniform(0.0, 0.3)), y)
        else:
            up = rng.random() < 0.5
            place = (
                min(rows[0] - 0.2 * size, 2.0) - 0.3 * size
                if up
                else max(rows[-1] + 0.2 * size, height - 3.0) + 0.3 * size
            )
            middle = (float(rng.uniform(0, width)), place)
        alone = write_glyph(
            np.zeros_like(ink), field, limit_thinness(hand, size), middle, size / glyph_size(field), rng
        )
        # What would touch the digit could be told from it by nobody.
        near = cv2.dilate(wanted, np.ones((3, 3), np.uint8)) > 0.3
        inside = alone[2:-2, 2:-2].sum() > 0.8 * alone.sum()
        if not (alone[near] > 0.3).any() and not (inside and side != 2):
            np.maximum(ink, alone, out=ink)
