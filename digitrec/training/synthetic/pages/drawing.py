"""Draws a line of handwriting: digits of a data set, signs of strokes, letters of handwriting fonts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.training.synthetic import strokes
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle
from digitrec.training.synthetic.symbols import GlyphSources

_FINER = 4
"""Glyphs are enlarged this many times first: a digit of 28 pixels becomes several hundred high with smooth edges."""
_SIDE, _TOP, _FOOT = 48 * _FINER, 6 * _FINER, 42 * _FINER
"""Frame of a sign or letter, and where a digit begins and ends in it: as `training/glyphs.py` has them."""
_DIGIT_WIDTH = 0.62
"""Typical width of a digit over its height, to measure gaps in."""
_THINNEST = 0.45
"""A pen thinner than this share of the glyph's own stroke follows its centre line instead of shrinking it."""
_LOOPS = {"0": {1}, "2": {0, 1}, "4": {0, 1}, "6": {1}, "8": {2}, "9": {1}}
"""Loops of a digit as its centre line shows it; of the others: none."""
_TRIES = 20
_POINT = 0.08
"""A point is at least this wide, over the height of a digit."""
_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
SIGNS = "-.,/+="


class Parameters:
    """Draws the parameters of one page and keeps each value under its name."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.values: dict[str, object] = {}
        self.source_digits: list[int] = []
        """Indices of the pictures that the digits of the page are drawn from."""

    def uniform(self, name: str, low: float, high: float) -> float:
        """Draw a number, each equally likely."""
        return self._keep(name, float(self.rng.uniform(low, high)))

    def log_uniform(self, name: str, low: float, high: float) -> float:
        """Draw a number, each ratio equally likely."""
        return self._keep(name, float(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def whole(self, name: str, low: int, high: int) -> int:
        """Draw a whole number, both ends included."""
        value = int(self.rng.integers(low, high + 1))
        self.values[name] = value
        return value

    def one_of(self, name: str, choices: Sequence[str], shares: Sequence[float] | None = None) -> str:
        """Draw one of several words."""
        value = str(self.rng.choice(choices, p=shares))
        self.values[name] = value
        return value

    def happens(self, name: str, share: float) -> bool:
        """Draw whether something is so."""
        value = bool(self.rng.random() < share)
        self.values[name] = value
        return value

    def _keep(self, name: str, value: float) -> float:
        self.values[name] = round(value, 4)
        return value


@dataclass(frozen=True, slots=True, eq=False)
class _Glyph:
    """One character ready to be written; lengths over the height of a digit."""

    field: Floats
    grow: float
    """How much wider the pen is than the glyph's stroke on either side, pixels of the glyph."""
    unit: float
    """Height of a digit, pixels of the glyph."""
    width: float
    x: float
    y: float
    """Middle of the strokes: x from the line's left end, y from the middle of a digit, downwards."""
    size: float
    """Of this digit over the line's."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Characters laid out from left to right."""

    glyphs: tuple[_Glyph, ...]
    width: float
    """Over the height of a digit."""
    hand: HandwritingStyle


@dataclass(slots=True, eq=False)
class Sheet:
    """Paper with ink and print, both (h, w), 0.0 = bare, 1.0 = black."""

    ink: Floats
    printed: Floats

    @classmethod
    def blank(cls, height: float, width: float) -> "Sheet":
        """Return bare paper of this size in pixels."""
        shape = (max(8, round(height)), max(8, round(width)))
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, pixels."""
        height, width = self.ink.shape
        return height, width

    def write(self, line: Line, left: float, middle: float, height: float, rng: Generator) -> list[float]:
        """Write a line whose digits are `height` pixels high.

        Returns:
            Share of each character's height that is on the sheet.
        """
        shares = []
        for glyph in line.glyphs:
            high = height * glyph.size
            scale = high / glyph.unit
            at = (left + glyph.x * height, middle + glyph.y * height)
            hand = replace(line.hand, grow=glyph.grow)
            alone = strokes.write_glyph(self.ink, glyph.field, hand, at, scale, rng, edge_px=1.2)
            _, top, _, foot = strokes.bounding_box(glyph.field)
            shares.append(float((alone.max(axis=1) > 0.5).sum() / max(1.0, (foot - top) * scale)))
        return shares

    def rule(self, start: tuple[float, float], end: tuple[float, float], thick: float, dark: float = 1.0) -> None:
        """Print a straight line; points are (x, y)."""
        (x0, y0), (x1, y1) = ((round(16 * x), round(16 * y)) for x, y in (start, end))
        drawn = np.zeros_like(self.printed)
        cv2.line(drawn, (x0, y0), (x1, y1), 1.0, max(1, round(thick)), cv2.LINE_AA, 4)
        np.maximum(self.printed, drawn * np.float32(dark), out=self.printed)

    def part(self, left: float, top: float, right: float, foot: float) -> "Sheet":
        """Return the part of the sheet inside a box in pixels; what is drawn on it is drawn on the sheet."""
        height, width = self.shape
        x0, x1 = (int(np.clip(x, 0, width)) for x in (left, right))
        y0, y1 = (int(np.clip(y, 0, height)) for y in (top, foot))
        return Sheet(self.ink[y0:y1, x0:x1], self.printed[y0:y1, x0:x1])

    def with_margin(self, least: int) -> "Sheet":
        """The sheet with bare paper added where ink comes closer to an edge than this many pixels."""
        rows, columns = (np.flatnonzero(self.ink.max(axis=axis) > 0.2) for axis in (1, 0))
        if rows.size == 0:
            return self
        height, width = self.shape
        free = (rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1])
        more = [max(0, least - int(margin)) for margin in free]
        ink, printed = (
            np.asarray(np.pad(layer, (more[:2], more[2:])), np.float32) for layer in (self.ink, self.printed)
        )
        return Sheet(ink, printed)


def draw_hand(draws: Parameters) -> HandwritingStyle:
    """Draw how a person writes; wobble is in pixels of an enlarged glyph."""
    return HandwritingStyle(
        slant=float(np.clip(draws.rng.normal(0.08, 0.15), -0.4, 0.55)),
        angle=float(np.deg2rad(draws.rng.normal(0, 3))),
        grow=0.0,
        wobble=_FINER * float(draws.rng.uniform(0, 0.3)),
        narrow=float(np.exp(draws.rng.normal(0, 0.08))),
    )


def lay_out(
    text: str,
    sources: GlyphSources,
    draws: Parameters,
    *,
    gap: float,
    pen: float,
    sign_gap: float = 0.3,
    hand: HandwritingStyle | None = None,
) -> Line:
    """Lay out digits, signs and letters as one person writes them.

    Args:
        text: digits, `SIGNS`, letters and spaces (a space is half a digit's height).
        sources: of the digits and letters.
        draws: what chance decides.
        gap: free space between two digits, in widths of a digit.
        pen: width of the stroke over the height of a digit.
        sign_gap: free space beside a sign, in widths of a digit.
        hand: of the person who writes; None: somebody else's for each line.
    """
    hand, rng = hand or draw_hand(draws), draws.rng
    font = int(rng.choice(np.flatnonzero(sources.fonts.kinds == "hand")))
    at, before, glyphs = 0.0, "", []
    for character in text:
        if character == " ":
            at += 0.5
            continue
        glyph = (
            _digit(character, sources, pen, draws) if character.isdigit() else _sign(character, sources, font, pen, rng)
        )
        if before:
            free = gap if character.isdigit() and before.isdigit() else sign_gap
            at += (0.08 if character.isalpha() and before.isalpha() else free * _DIGIT_WIDTH) * hand.narrow
        glyphs.append(replace(glyph, x=at + glyph.width / 2))
        at += glyph.width
        before = character
    return Line(tuple(glyphs), at, hand)


def _digit(character: str, sources: GlyphSources, pen: float, draws: Parameters) -> _Glyph:
    """A digit of the data set, another one where this pen would open or close a loop and so make it another digit."""
    for _ in range(_TRIES):
        source = int(draws.rng.choice(sources.by_digit[int(character)]))
        body = _enlarged(sources.pictures[source])
        left, top, right, foot = strokes.bounding_box(strokes.distance_field(body))
        unit = max(foot - top, 0.75 * (right - left))
        distances, grow, is_thin = _inked(body, pen * unit)
        # The centre line of a blot has no loop, and that of a 5 with a full belly is a 6.
        expected_loops = _LOOPS.get(character, {0}) if is_thin else {loops(body > 110)}
        if loops(distances + grow > 0) in expected_loops:
            break
    draws.source_digits.append(source)
    size = float(draws.rng.uniform(0.86, 1.0))
    width, drop = (right - left) / unit * size, float(draws.rng.normal(0, 0.02))
    return _Glyph(distances, grow, unit, width, 0.0, drop, size)


def _sign(character: str, sources: GlyphSources, font: int, pen: float, rng: Generator) -> _Glyph:
    """A sign drawn with strokes, or a letter of a handwriting font where its line has it."""
    unit = float(_FOOT - _TOP)
    if character in SIGNS:
        pen = max(pen, _POINT) * float(rng.uniform(1.0, 1.5)) if character in ".," else pen
        distances, grow = _brushed(_strokes_of(character, pen * unit, rng), pen * unit), 0.0
    else:
        candidates = sources.by_symbol[character]
        own = candidates[sources.fonts.font[candidates] == font]
        body = _enlarged(sources.fonts.pictures[rng.choice(own if own.size else candidates)])
        distances, grow, _ = _inked(body, pen * unit)
    left, top, right, foot = strokes.bounding_box(distances)
    return _Glyph(distances, grow, unit, (right - left) / unit, 0.0, ((top + foot) / 2 - _SIDE / 2) / unit, 1.0)


def _strokes_of(sign: str, thick: float, rng: Generator) -> NDArray[np.bool_]:
    """The centre lines of a sign, (192, 192), for a pen this wide."""
    body = np.zeros((_SIDE, _SIDE), np.uint8)
    middle, low = _SIDE // 2, _FOOT - round(thick / 2)
    half = round((_FOOT - _TOP) * float(rng.uniform(0.16, 0.36)))
    lean = [int(bend) for bend in rng.normal(0, 0.07 * half, 6)]

    def line(start: tuple[int, int], end: tuple[int, int]) -> None:
        cv2.line(body, start, end, 1)

    if sign in "-+":
        line((middle - half, middle + lean[0]), (middle + half, middle + lean[1]))
    if sign == "+":
        line((middle + lean[2], middle - half + lean[4]), (middle + lean[3], middle + half + lean[5]))
    if sign == "=":
        apart = max(round(thick), round((_FOOT - _TOP) * float(rng.uniform(0.1, 0.16))))
        line((middle - half, middle - apart + lean[0]), (middle + half, middle - apart + lean[1]))
        line((middle - half, middle + apart + lean[2]), (middle + half, middle + apart + lean[3]))
    if sign == "/":
        reach = round(half * float(rng.uniform(0.5, 1.1)))
        line((middle + reach, _TOP + lean[0]), (middle - reach, _FOOT + lean[1]))
    if sign == ".":
        line((middle, low), (middle + lean[0] // 2, low + lean[1] // 2))
    if sign == ",":
        tail = round((_FOOT - _TOP) * float(rng.uniform(0.14, 0.32)))
        line((middle, low - tail // 3), (middle - tail // 2, low + tail * 2 // 3))
    return body > 0


def _inked(body: Picture, thick: float) -> tuple[Floats, float, bool]:
    """Find out how to write a glyph with strokes this thick, pixels of the glyph.

    Returns:
        Its distance field, what to add on either side, and whether it had to be drawn along its centre lines.
    """
    distances = strokes.distance_field(body)
    own = float(np.quantile(distances[distances > 0], 0.75))
    if thick / 2 >= _THINNEST * own:
        return distances, thick / 2 - own, False
    return _brushed(skeleton(body > 110), thick), 0.0, True


def _brushed(centre: NDArray[np.bool_], thick: float) -> Floats:
    """The distance field of strokes this thick along centre lines, pixels of the glyph."""
    away = cv2.distanceTransform(1 - centre.astype(np.uint8), cv2.DIST_L2, 5)
    return strokes.distance_field(np.clip((thick / 2 - away) * 255 + 128, 0, 255).astype(np.uint8))


def _enlarged(glyph: Picture) -> Picture:
    return np.asarray(cv2.resize(glyph, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_CUBIC), np.uint8)


def loops(body: NDArray[np.bool_]) -> int:
    """Count the holes in a shape.

    >>> loops(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool))
    1
    """
    pieces, _ = cv2.connectedComponents(np.pad(~body, 1, constant_values=True).astype(np.uint8), connectivity=4)
    return int(pieces) - 2


def skeleton(body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the centre lines of strokes, one pixel wide (Zhang and Suen, 1984)."""
    height, width = body.shape
    line = np.pad(body, 1).astype(np.uint8)
    changed = True
    while changed:
        changed = False
        for sides in ((0, 1, 2), (1, 2, 3)), ((0, 1, 3), (0, 2, 3)):
            around = np.stack([line[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _AROUND])
            count = around.sum(axis=0)
            steps = ((around == 0) & (np.roll(around, -1, axis=0) == 1)).sum(axis=0)
            first, second = (around[::2][list(three)].all(axis=0) for three in sides)
            gone = (line[1:-1, 1:-1] == 1) & (count >= 2) & (count <= 6) & (steps == 1) & ~first & ~second
            if gone.any():
                line[1:-1, 1:-1][gone] = 0
                changed = True
    return line[1:-1, 1:-1].astype(bool)
