"""The signs that synthetic paper is written with: real digits, glyphs of fonts, and what is no digit at all."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.training.synthetic.augment import add_regional_strokes
from digitrec.training.synthetic.glyphs import LOOKALIKES, Glyphs
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle, bounding_box, distance_field

NON_DIGIT = 10
"""The class of a sign that is no digit, in a line's text."""

LETTERS = "".join(sorted(set(string.ascii_letters) - set(LOOKALIKES)))
"""Letters that no digit looks like."""
OTHER_SYMBOLS = "#$%&?@*+"
DIGIT_LIKE_LETTERS = "BDGQSZbgqsyz"
"""Letters that a digit may look like, but seldom quite: learned from now and then."""
CORRUPTED, SCRIBBLE = "\N{REPLACEMENT CHARACTER}", "\N{WAVY DASH}"
"""Stand for a digit mirrored, cut or written over, and for a scribble."""
SEPARATORS = ".,"


@dataclass(frozen=True, slots=True, eq=False)
class GlyphSources:
    """What is written: real digits, and glyphs of fonts."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    fonts: Glyphs
    by_digit: Mapping[int, NDArray[np.intp]]
    """Where the pictures of each digit are."""
    by_symbol: Mapping[str, NDArray[np.intp]]
    """Where the glyphs of each sign are."""

    @classmethod
    def of(cls, pictures: Picture, digits: NDArray[np.int64], fonts: Glyphs) -> Self:
        """Take digits with their labels, (n,), and fonts."""
        of_digit = {digit: np.flatnonzero(digits == digit) for digit in range(10)}
        of_sign = {str(sign): np.flatnonzero(fonts.symbols == sign) for sign in np.unique(fonts.symbols)}
        return cls(pictures, fonts, of_digit, of_sign)


def symbol_field(sources: GlyphSources, sign: str, font: int | None, rng: Generator) -> Floats:
    """Return the distance field of a symbol: a digit, a glyph (of one font, if given), `CORRUPTED` or `SCRIBBLE`."""
    if sign == CORRUPTED:
        return distance_field(_spoilt(sources, rng))
    if sign == SCRIBBLE:
        return distance_field(_scribble(rng))
    if sign.isdigit() and font is None:
        return digit_field(sources, int(sign), rng)
    if sign in SEPARATORS and rng.random() < 0.6:
        return _blot(rng, long=sign == ",")
    found = sources.by_symbol[sign]
    if font is not None and (sources.fonts.font[found] == font).any():
        found = found[sources.fonts.font[found] == font]
    return distance_field(sources.fonts.pictures[rng.choice(found)])


def digit_field(sources: GlyphSources, digit: int, rng: Generator) -> Floats:
    """A digit: mostly a real one, as another school may have taught it, sometimes a font's."""
    if rng.random() < 0.12 and str(digit) in sources.by_symbol:
        return distance_field(sources.fonts.pictures[rng.choice(sources.by_symbol[str(digit)])])
    picture = sources.pictures[rng.choice(sources.by_digit[digit])]
    return distance_field(add_regional_strokes(picture, digit, rng))


def glyph_size(field: Floats) -> float:
    """Of the strokes of a distance field, in pixels of the glyph, at least 1."""
    left, top, right, bottom = bounding_box(field)
    return max(right - left, bottom - top, 1.0)


def limit_thinness(hand: HandwritingStyle, size: float) -> HandwritingStyle:
    """A stroke of less than a pixel is hardly there: the pen is no thinner than that."""
    return replace(hand, grow=max(hand.grow, 0.9 * 20 / max(size, 1.0) / 2 - 0.9))


def _spoilt(sources: GlyphSources, rng: Generator) -> Picture:
    """A digit in which nobody would see one: mirrored, lying, halved, struck through, or written over another."""

    def one(digits: str) -> Picture:
        return np.asarray(sources.pictures[rng.choice(sources.by_digit[int(rng.choice([*digits]))])], np.uint8)

    way = int(rng.integers(5))
    if way == 0:
        return np.ascontiguousarray(one("23457")[:, ::-1], np.uint8)
    if way == 1:
        return np.ascontiguousarray(np.rot90(one("23457"), int(rng.choice([1, 3]))))
    if way == 2:
        return _halved(one("05"), rng)  # half a 3 may be a 2
    if way == 3:
        return _struck_through(one("8"), rng)
    under, over = (str(digit) for digit in rng.choice([0, 2, 3, 4, 5, 6, 8, 9], 2, replace=False))
    return np.maximum(one(under), np.roll(one(over), int(rng.integers(-5, 6)), axis=1))


def _halved(digit: Picture, rng: Generator) -> Picture:
    """The upper or lower half of a digit."""
    rows = np.flatnonzero(digit.max(axis=1) > 100)
    middle = round((rows[0] + rows[-1]) / 2)
    half = np.zeros_like(digit)
    kept = np.s_[:middle] if rng.random() < 0.5 else np.s_[middle:]
    half[kept] = digit[kept]
    return half


def _struck_through(eight: Picture, rng: Generator) -> Picture:
    """An 8 with a bar through its waist, longer than it is wide: so a looped f is written."""
    drawn = eight.copy()
    rows, columns = np.nonzero(eight > 100)
    y = round(rows.min() + (rows.max() - rows.min()) * float(rng.uniform(0.4, 0.6)))
    left, right = int(columns.min() - rng.integers(1, 6)), int(columns.max() + rng.integers(1, 6))
    tilt = int(rng.integers(-2, 3))
    cv2.line(drawn, (left, y + tilt), (right, y - tilt), 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return drawn


def _scribble(rng: Generator) -> Picture:
    """Where a pen may go if nothing is meant."""
    count = int(rng.integers(3, 9))
    corners = np.cumsum(rng.normal(0, 1, (count, 2)), axis=0)
    along = np.linspace(0, count - 1, 60)
    course = np.column_stack([np.interp(along, np.arange(count), corners[:, axis]) for axis in range(2)])
    if rng.random() < 0.7:
        course = np.column_stack([np.convolve(course[:, axis], np.full(9, 1 / 9), "valid") for axis in range(2)])
    course -= course.min(axis=0)
    course = 4 + course * 20 / max(float(course.max()), 1e-6)
    glyph = np.zeros((28, 28), np.uint8)
    points = np.rint(course * 8).astype(np.int32)
    cv2.polylines(glyph, [points.reshape(-1, 1, 2)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, 3)
    return glyph


def _blot(rng: Generator, *, long: bool) -> Floats:
    """A point or comma as a pen leaves it."""
    glyph = np.zeros((24, 24), np.uint8)
    end = (12 + int(rng.normal(-1, 1)), 12 + (int(rng.integers(3, 8)) if long else int(rng.integers(0, 3))))
    cv2.line(glyph, (12, 12), end, 255, int(rng.integers(2, 5)), cv2.LINE_AA)
    return distance_field(glyph)
