"""Symbols of synthetic pages: real digits, glyphs of fonts, and non-digits."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.classifier import CLASSES, NO_DIGIT
from digitrec.recognition.sequence_recognizer import SIGNS
from digitrec.training.synthetic.augment import add_regional_strokes
from digitrec.training.synthetic.glyphs import LOOKALIKES, Glyphs
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle, bounding_box, distance_field

NON_DIGIT = NO_DIGIT
"""Class of a symbol that is no digit, in the text of a line."""

LETTERS = "".join(sorted(set(string.ascii_letters) - set(LOOKALIKES)))
"""Letters that no digit looks like."""
OTHER_SYMBOLS = "#$%&?@*"
DIGIT_LIKE_LETTERS = "BDGQSZbgqsyz"
"""Letters that resemble a digit, but seldom completely."""
CORRUPTED, SCRIBBLE = "\N{REPLACEMENT CHARACTER}", "\N{WAVY DASH}"
"""Stand for a corrupted digit (mirrored, cut, written over), and for a scribble."""


def symbol_class(symbol: str) -> int:
    """Return the class of a character in the text of a line: 0..9, `NON_DIGIT`, or that of a sign.

    >>> [symbol_class(symbol) for symbol in "7x-:"]
    [7, 10, 11, 16]
    """
    if symbol.isdigit():
        return int(symbol)
    return CLASSES + SIGNS.index(symbol) if symbol in SIGNS else NON_DIGIT


@dataclass(frozen=True, slots=True)
class SymbolParams:
    """Frequencies of the shapes of a symbol, and limits of the pen; set by hand (results: docs/dev/accuracy.md)."""

    drawn_sign: float = 0.7  # probability that a sign is drawn with strokes, and no glyph of a font
    font_digit: float = 0.12  # probability that a digit is a glyph of a font
    smooth_scribble: float = 0.7  # probability that a scribble is smoothed
    min_pen: float = 0.9  # thinnest pen, pixels of the canvas, for a glyph with a body of 20 pixels


PARAMS = SymbolParams()


@dataclass(frozen=True, slots=True, eq=False)
class GlyphSources:
    """Real digits, and glyphs of fonts."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    fonts: Glyphs
    by_digit: Mapping[int, NDArray[np.intp]]
    """Indices of the pictures of each digit."""
    by_symbol: Mapping[str, NDArray[np.intp]]
    """Indices of the glyphs of each symbol."""

    @classmethod
    def from_digits(cls, pictures: Picture, digits: NDArray[np.int64], fonts: Glyphs) -> Self:
        """Index pictures with their digits, (n,), and the glyphs of fonts."""
        by_digit = {digit: np.flatnonzero(digits == digit) for digit in range(10)}
        by_symbol = {str(symbol): np.flatnonzero(fonts.symbols == symbol) for symbol in np.unique(fonts.symbols)}
        return cls(pictures, fonts, by_digit, by_symbol)


def symbol_field(sources: GlyphSources, symbol: str, font: int | None, rng: Generator) -> Floats:
    """Return the distance field of a symbol: a digit, a glyph (of one font, if given), `CORRUPTED` or `SCRIBBLE`."""
    if symbol == CORRUPTED:
        return distance_field(_corrupt_digit(sources, rng))
    if symbol == SCRIBBLE:
        return distance_field(_draw_scribble(rng))
    if symbol.isdigit() and font is None:
        return digit_field(sources, int(symbol), rng)
    if symbol in SIGNS and rng.random() < PARAMS.drawn_sign:
        return distance_field(_draw_sign(symbol, rng))
    indices = sources.by_symbol[symbol]
    if font is not None and (sources.fonts.font[indices] == font).any():
        indices = indices[sources.fonts.font[indices] == font]
    return distance_field(sources.fonts.pictures[rng.choice(indices)])


def digit_field(sources: GlyphSources, digit: int, rng: Generator) -> Floats:
    """Return the distance field of a digit: mostly a real one, with regional strokes, sometimes a font's."""
    if rng.random() < PARAMS.font_digit and str(digit) in sources.by_symbol:
        return distance_field(sources.fonts.pictures[rng.choice(sources.by_symbol[str(digit)])])
    picture = sources.pictures[rng.choice(sources.by_digit[digit])]
    return distance_field(add_regional_strokes(picture, digit, rng))


def glyph_size(field: Floats) -> float:
    """Return the longer side of the strokes of a distance field, in pixels of the glyph, at least 1."""
    left, top, right, bottom = bounding_box(field)
    return max(right - left, bottom - top, 1.0)


def limit_thinness(style: HandwritingStyle, size: float) -> HandwritingStyle:
    """Widen the pen for small symbols: a stroke of less than a pixel is invisible."""
    return replace(style, grow=max(style.grow, PARAMS.min_pen * 20 / max(size, 1.0) / 2 - PARAMS.min_pen))


def _corrupt_digit(sources: GlyphSources, rng: Generator) -> Picture:
    """Return an illegible digit: mirrored, rotated, halved, struck through, or written over another."""

    def choose(digits: str) -> Picture:
        return np.asarray(sources.pictures[rng.choice(sources.by_digit[int(rng.choice([*digits]))])], np.uint8)

    kind = int(rng.integers(5))
    if kind == 0:
        return np.ascontiguousarray(choose("23457")[:, ::-1], np.uint8)
    if kind == 1:
        return np.ascontiguousarray(np.rot90(choose("23457"), int(rng.choice([1, 3]))))
    if kind == 2:
        return _halve(choose("05"), rng)  # half a 3 may be a 2
    if kind == 3:
        return _strike_through(choose("8"), rng)
    lower, upper = (str(digit) for digit in rng.choice([0, 2, 3, 4, 5, 6, 8, 9], 2, replace=False))
    return np.maximum(choose(lower), np.roll(choose(upper), int(rng.integers(-5, 6)), axis=1))


def _halve(digit: Picture, rng: Generator) -> Picture:
    """Return the upper or lower half of a digit."""
    rows = np.flatnonzero(digit.max(axis=1) > 100)
    middle = round((rows[0] + rows[-1]) / 2)
    half = digit.copy()
    half[np.s_[middle:] if rng.random() < 0.5 else np.s_[:middle]] = 0
    return half


def _strike_through(eight: Picture, rng: Generator) -> Picture:
    """Draw a bar through the waist of an 8, longer than the 8 is wide, as in a looped f."""
    canvas = eight.copy()
    rows, columns = np.nonzero(eight > 100)
    y = round(rows.min() + (rows.max() - rows.min()) * float(rng.uniform(0.4, 0.6)))
    left, right = int(columns.min() - rng.integers(1, 6)), int(columns.max() + rng.integers(1, 6))
    tilt = int(rng.integers(-2, 3))
    cv2.line(canvas, (left, y + tilt), (right, y - tilt), 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return canvas


def _draw_scribble(rng: Generator) -> Picture:
    """Return a random walk of a pen."""
    count = int(rng.integers(3, 9))
    corners = np.cumsum(rng.normal(0, 1, (count, 2)), axis=0)
    positions = np.linspace(0, count - 1, 60)
    path = np.column_stack([np.interp(positions, np.arange(count), corners[:, axis]) for axis in range(2)])
    if rng.random() < PARAMS.smooth_scribble:
        path = np.column_stack([np.convolve(path[:, axis], np.full(9, 1 / 9), "valid") for axis in range(2)])
    path -= path.min(axis=0)
    path = 4 + path * 20 / max(float(path.max()), 1e-6)
    glyph = np.zeros((28, 28), np.uint8)
    points = np.rint(path * 8).astype(np.int32)
    cv2.polylines(glyph, [points.reshape(-1, 1, 2)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, 3)
    return glyph


def _draw_sign(sign: str, rng: Generator) -> Picture:
    """Draw a sign beside digits 36 pixels high, (64, 64)."""
    glyph = np.zeros((64, 64), np.uint8)
    pen = int(rng.integers(2, 5))

    def line(start: tuple[float, float], end: tuple[float, float]) -> None:
        (x0, y0), (x1, y1) = ((round(8 * x), round(8 * y)) for x, y in (start, end))
        cv2.line(glyph, (x0, y0), (x1, y1), 255, pen, cv2.LINE_AA, 3)

    def tilt(length: float) -> float:
        return float(rng.normal(0, 0.08 * length))

    half = float(rng.uniform(4, 12))
    if sign in "-+":
        line((32 - half, 32 + tilt(half)), (32 + half, 32 + tilt(half)))
    if sign == "+":
        upright = half * float(rng.uniform(0.8, 1.3))
        line((32 + tilt(half), 32 - upright), (32 + tilt(half), 32 + upright))
    if sign == "/":
        lean, high = float(rng.uniform(3, 14)), float(rng.uniform(15, 24))
        line((32 + lean, 32 - high), (32 - lean, 32 + high))
    if sign == ",":
        line((32, 32), (32 - float(rng.uniform(-1, 6)), 32 + float(rng.uniform(4, 13))))
    if sign in ".:":
        line((32, 32), (32 + float(rng.normal(0, 0.7)), 32 + float(rng.uniform(0, 2))))
    if sign == ":":
        above = float(rng.uniform(8, 18))
        line((32 + tilt(above), 32 - above), (32 + tilt(above), 32 - above + float(rng.uniform(0, 2))))
    return glyph
