"""Synthetic crops of paper, drawn from digits that are given: what the ink and line networks learn from.

Each crop depends only on the sources and its dice, so any of them can be drawn again by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.records import Picture
from digitrec.training import paper
from digitrec.training.augment import other_habits
from digitrec.training.glyphs import Glyphs
from digitrec.training.strokes import Dice, Floats, Hand, a_hand, box_of, distance_field, write

JUNK = 10
"""The class of a sign that is no digit, in a line's text."""

_LETTERS = "ACEFHJKLMNPRTUVWXYacdefhjkmnprtuvwx"
"""Letters that no digit looks like."""
_OTHER_SIGNS = "#$%&?@*+"
_LOOK_ALIKES = "BDGQSZbgqsyz"
"""Letters that a digit may look like, but seldom quite: learned from now and then."""
_SPOILT, _SCRIBBLE = "\N{REPLACEMENT CHARACTER}", "\N{WAVY DASH}"
"""Stand for a digit mirrored, cut or written over, and for a scribble."""
_POINTS = ".,"
_PAGE_SIDE = 64
_STRIP_HEIGHT = 40
_STRIP_WIDTHS = (32, 192)


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What is written: real digits, and glyphs of fonts."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    fonts: Glyphs
    of_digit: Mapping[int, NDArray[np.intp]]
    """Where the pictures of each digit are."""
    of_sign: Mapping[str, NDArray[np.intp]]
    """Where the glyphs of each sign are."""

    @classmethod
    def of(cls, pictures: Picture, digits: NDArray[np.int64], fonts: Glyphs) -> Self:
        """Take digits with their labels, (n,), and fonts."""
        of_digit = {digit: np.flatnonzero(digits == digit) for digit in range(10)}
        of_sign = {str(sign): np.flatnonzero(fonts.symbols == sign) for sign in np.unique(fonts.symbols)}
        return cls(pictures, fonts, of_digit, of_sign)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a page, and which of it is ink of the signs that belong there."""

    picture: Picture
    """(64, 64)."""
    ink: Picture
    """(64, 64), 0 = paper, 255 = ink."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A line of writing, and what it says."""

    picture: Picture
    """(40, 32..192)."""
    text: tuple[int, ...]
    """0..9, or `JUNK` for a sign that is none."""


def crop(sources: Sources, dice: Dice) -> Crop:
    """A crop with one digit or letter, or a few, or none, and all that may lie around it."""
    chance = dice.random()
    if chance < 0.06:
        signs = ""
    elif chance < 0.14:
        signs = _letters(dice, int(dice.integers(1, 4)))
    else:
        count = 1 if chance < 0.87 else int(dice.integers(2, 5))
        signs = "".join(str(digit) for digit in dice.integers(0, 10, count))
    return _scene(sources, signs, dice)


def page(sources: Sources, dice: Dice, digit: int | None = None) -> tuple[Crop, int]:
    """A page of 40 to 320 pixels with one sign, and its class: 0..9, or `JUNK`; None: a fifth of them is junk."""
    if digit is None:
        digit = int(dice.integers(10)) if dice.random() < 0.8 else JUNK
    drawn = _scene(sources, _junk(dice) if digit == JUNK else str(digit), dice)
    high, wide = (float(side) for side in np.exp(dice.uniform(np.log(40), np.log(260), 2)))
    wide = float(np.clip(wide, high * 0.75, high * 1.35))
    size = (round(wide), round(high))
    how = cv2.INTER_CUBIC if high > _PAGE_SIDE else cv2.INTER_AREA
    return Crop(_resized(drawn.picture, size, how), _resized(drawn.ink, size, how)), digit


def _resized(picture: Picture, size: tuple[int, int], how: int) -> Picture:
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _letters(dice: Dice, count: int) -> str:
    return "".join(dice.choice([*_LETTERS], count))


def _junk(dice: Dice) -> str:
    """A sign that is no digit: mostly a letter, sometimes one that is nearly a digit, a scribble or a spoilt digit."""
    chance = dice.random()
    if chance < 0.5:
        return str(dice.choice([*_LETTERS]))
    if chance < 0.62:
        return str(dice.choice([*_LOOK_ALIKES]))
    if chance < 0.7:
        return str(dice.choice([*_OTHER_SIGNS]))
    return _SPOILT if chance < 0.85 else _SCRIBBLE


def _scene(sources: Sources, signs: str, dice: Dice) -> Crop:
    ink = np.zeros((_PAGE_SIDE, _PAGE_SIDE), np.float32)
    wanted = np.zeros_like(ink)
    hand = a_hand(dice)
    soft = float(dice.uniform(0.8, 1.6))
    count = len(signs)
    if signs:
        longest = (
            float(np.exp(dice.uniform(np.log(13), np.log(76)))) if dice.random() < 0.4 else float(dice.uniform(26, 58))
        )
        longest = min(longest, 110 / count)
        room = max(_PAGE_SIDE - 0.9 * longest, 6.0)
        x, y = _PAGE_SIDE / 2 + dice.uniform(-0.5, 0.5) * room, _PAGE_SIDE / 2 + dice.uniform(-0.5, 0.5) * room
        x -= (count - 1) * 0.4 * longest
        for sign in signs:
            field = _sign(sources, sign, None, dice)
            size = longest * float(dice.uniform(0.85, 1.1))
            alone = write(ink, field, _wider(hand, size), (x, y), size / _longest(field), dice, soft)
            np.maximum(wanted, alone, out=wanted)
            x += size * dice.uniform(0.55, 1.0)
        _beside(sources, ink, wanted, hand, longest, (x, y), dice)
    ground = paper.printed(_PAGE_SIDE, _PAGE_SIDE, dice)
    if dice.random() < 0.35:
        ground = np.maximum(ground, paper.dirt(_PAGE_SIDE, _PAGE_SIDE, dice))
    picture = paper.photographed(ink, ground, dice)
    return Crop(picture, np.asarray(np.rint(wanted * 255), np.uint8))


def strip(sources: Sources, dice: Dice) -> Strip:
    """A line with a number of one to eight digits; sometimes with words, or nothing."""
    while True:
        signs, text = _line(dice)
        ink = _written(sources, signs, dice)
        if ink.shape[1] <= _STRIP_WIDTHS[1]:
            break
    ground = paper.printed(_STRIP_HEIGHT, ink.shape[1], dice)
    if dice.random() < 0.3:
        ground = np.maximum(ground, paper.dirt(_STRIP_HEIGHT, ink.shape[1], dice))
    if dice.random() < 0.3:
        ink = _strangers(sources, ink, dice)
    return Strip(paper.photographed(ink, ground, dice), text)


def _written(sources: Sources, signs: str, dice: Dice) -> Floats:
    """The ink of a line, (40, 32 or more): one hand, its pen, its spacing, its way with round sums."""
    height = float(dice.uniform(19, 37))
    hand = _wider(a_hand(dice), height)
    font = int(dice.integers(len(sources.fonts.names))) if dice.random() < 0.2 else None
    spread = float(dice.normal(0.1, 0.15) if dice.random() < 0.8 else dice.uniform(0.2, 0.7))
    base = _STRIP_HEIGHT / 2 + float(dice.uniform(-0.5, 0.5)) * (_STRIP_HEIGHT - height) * 1.1
    drift, soft = float(dice.normal(0, 0.02)), float(dice.uniform(0.8, 1.5))
    # Whoever writes many round sums makes their zeros small and does not lift the pen between them.
    small, joins = float(dice.uniform(0.5, 1.0)), dice.random() < 0.4
    ink = np.zeros((_STRIP_HEIGHT, 480), np.float32)
    x = start = 8.0 + float(dice.uniform(0, 12))
    end: tuple[float, float] | None = None
    for index, sign in enumerate(signs):
        field = _sign(sources, sign, font, dice)
        left, top, right, bottom = box_of(field)
        is_zero = index > 0 and sign == "0" and signs[index - 1] in "0123456789.,"
        if sign in _POINTS or sign in "-=:":
            scale, wants = height / 36, 0.36 if sign in _POINTS else float(dice.uniform(-0.1, 0.2))
        else:
            size = height * float(np.clip(dice.normal(1, 0.08), 0.75, 1.2)) * (small if is_zero else 1.0)
            scale = min(size / max(bottom - top, 1.0), 1.5 * size / max(right - left, 1.0))
            wants = float(dice.normal(0, 0.04)) + (0.4 * (1 - small) * float(dice.uniform(-0.5, 1)) if is_zero else 0.0)
        wide = (right - left) * scale * hand.narrow + 2 * max(hand.grow, 0) * scale
        if x + wide > ink.shape[1] - 20:
            return ink
        middle = (x + wide / 2, base + wants * height + drift * (x - start))
        write(ink, field, hand, middle, scale, dice, soft)
        high = (bottom - top) * scale
        if end is not None and ((joins and is_zero and signs[index - 1] == "0") or dice.random() < 0.04):
            to = (middle[0] - wide * float(dice.uniform(-0.1, 0.3)), middle[1] - high * float(dice.uniform(0.2, 0.5)))
            _ligature(ink, end, to, max(1.0, 1.6 + hand.grow * scale), dice)
        end = (middle[0] + wide * float(dice.uniform(0.0, 0.4)), middle[1] - high * float(dice.uniform(0.1, 0.5)))
        gap = (spread - (0.08 if is_zero and joins else 0.0)) * height + float(dice.normal(0, 0.05)) * height
        x += max(wide + gap, 0.55 * wide + 2.0, 5.0)
    first = int(max(0.0, start - float(dice.exponential(6))))
    last = int(min(x + dice.exponential(8), ink.shape[1]))
    return np.ascontiguousarray(ink[:, first : max(last, first + _STRIP_WIDTHS[0])])


def _ligature(ink: Floats, start: tuple[float, float], end: tuple[float, float], pen: float, dice: Dice) -> None:
    """The stroke of a pen that was not lifted between two digits, in place."""
    sag = float(dice.normal(0, 0.15)) * (end[0] - start[0])
    along = np.linspace(0, 1, 8)
    xs = start[0] + (end[0] - start[0]) * along
    ys = start[1] + (end[1] - start[1]) * along + 4 * sag * along * (1 - along)
    course = np.rint(np.column_stack([xs, ys]) * 8).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(ink, [course], False, float(dice.uniform(0.6, 1)), max(1, round(pen)), cv2.LINE_AA, 3)


def _line(dice: Dice) -> tuple[str, tuple[int, ...]]:
    """What is written, and what it should be read as."""
    chance = dice.random()
    if chance < 0.05:
        return "", ()
    if chance < 0.12:
        count = int(dice.integers(1, 6))
        return "".join(_no_digit(dice) for _ in range(count)), (JUNK,) * count
    count = 1 if dice.random() < 0.2 else int(dice.integers(2, 8))
    digits = [int(digit) for digit in dice.integers(0, 10, count)]
    if dice.random() < 0.3 and count > 1:  # round sums, years and the like repeat themselves
        kept = int(dice.integers(1, count))
        digits[kept:] = [int(dice.choice([0, 0, 0, 1, digits[kept - 1]]))] * (count - kept)
    signs = [str(digit) for digit in digits]
    text = tuple(digits)
    if dice.random() < 0.4 and count > 3:
        signs.insert(count - 3, str(dice.choice([*_POINTS])))
    elif dice.random() < 0.1 and count > 1:
        signs.insert(int(dice.integers(1, count)), str(dice.choice([*_POINTS])))
    if dice.random() < 0.25:
        signs.append(str(dice.choice([".", ",", "-", "=", "=", ":"])))
    if dice.random() < 0.04:
        at = int(dice.integers(0, 2)) * len(signs)
        signs.insert(at, _no_digit(dice))
        text = (JUNK, *text) if at == 0 else (*text, JUNK)
    return "".join(signs), text


def _no_digit(dice: Dice) -> str:
    signs = (*_LETTERS, *_OTHER_SIGNS, _SPOILT, _SPOILT, _SPOILT, _SCRIBBLE, _SCRIBBLE)
    return str(dice.choice(signs))


def _sign(sources: Sources, sign: str, font: int | None, dice: Dice) -> Floats:
    if sign == _SPOILT:
        return distance_field(_spoilt(sources, dice))
    if sign == _SCRIBBLE:
        return distance_field(_scribble(dice))
    if sign.isdigit() and font is None:
        return _field(sources, int(sign), dice)
    if sign in _POINTS and dice.random() < 0.6:
        return _blot(dice, long=sign == ",")
    found = sources.of_sign[sign]
    if font is not None and (sources.fonts.font[found] == font).any():
        found = found[sources.fonts.font[found] == font]
    return distance_field(sources.fonts.pictures[dice.choice(found)])


def _spoilt(sources: Sources, dice: Dice) -> Picture:
    """A digit in which nobody would see one: mirrored, lying, halved, or written over another."""

    def one(digits: str) -> Picture:
        return np.asarray(sources.pictures[dice.choice(sources.of_digit[int(dice.choice([*digits]))])], np.uint8)

    way = int(dice.integers(4))
    if way == 0:
        return np.ascontiguousarray(one("234579")[:, ::-1], np.uint8)
    if way == 1:
        return np.ascontiguousarray(np.rot90(one("23457"), int(dice.choice([1, 3]))))
    if way == 2:
        picture = one("0235")
        rows = np.flatnonzero(picture.max(axis=1) > 100)
        middle = round((rows[0] + rows[-1]) / 2)
        half = np.zeros_like(picture)
        kept = np.s_[:middle] if dice.random() < 0.5 else np.s_[middle:]
        half[kept] = picture[kept]
        return half
    return np.maximum(one("0123456789"), np.roll(one("0123456789"), int(dice.integers(-5, 6)), axis=1))


def _scribble(dice: Dice) -> Picture:
    """Where a pen may go if nothing is meant."""
    count = int(dice.integers(3, 9))
    corners = np.cumsum(dice.normal(0, 1, (count, 2)), axis=0)
    along = np.linspace(0, count - 1, 60)
    course = np.column_stack([np.interp(along, np.arange(count), corners[:, axis]) for axis in range(2)])
    if dice.random() < 0.7:
        course = np.column_stack([np.convolve(course[:, axis], np.full(9, 1 / 9), "valid") for axis in range(2)])
    course -= course.min(axis=0)
    course = 4 + course * 20 / max(float(course.max()), 1e-6)
    glyph = np.zeros((28, 28), np.uint8)
    points = np.rint(course * 8).astype(np.int32)
    cv2.polylines(glyph, [points.reshape(-1, 1, 2)], False, 255, int(dice.integers(1, 4)), cv2.LINE_AA, 3)
    return glyph


def _blot(dice: Dice, *, long: bool) -> Floats:
    """A point or comma as a pen leaves it."""
    glyph = np.zeros((24, 24), np.uint8)
    end = (12 + int(dice.normal(-1, 1)), 12 + (int(dice.integers(3, 8)) if long else int(dice.integers(0, 3))))
    cv2.line(glyph, (12, 12), end, 255, int(dice.integers(2, 5)), cv2.LINE_AA)
    return distance_field(glyph)


def _field(sources: Sources, digit: int, dice: Dice) -> Floats:
    """A digit: mostly a real one, as another school may have taught it, sometimes a font's."""
    if dice.random() < 0.12 and str(digit) in sources.of_sign:
        return distance_field(sources.fonts.pictures[dice.choice(sources.of_sign[str(digit)])])
    picture = sources.pictures[dice.choice(sources.of_digit[digit])]
    return distance_field(other_habits(picture, digit, dice))


def _longest(field: Floats) -> float:
    left, top, right, bottom = box_of(field)
    return max(right - left, bottom - top, 1.0)


def _wider(hand: Hand, size: float) -> Hand:
    """A stroke of less than a pixel is hardly there: the pen is no thinner than that."""
    return replace(hand, grow=max(hand.grow, 0.9 * 20 / max(size, 1.0) / 2 - 0.9))


def _beside(
    sources: Sources, ink: Floats, wanted: Floats, hand: Hand, longest: float, at: tuple[float, float], dice: Dice
) -> None:
    """Strokes of the next digits at the edges: on the page, but not wanted."""
    if dice.random() > 0.3:
        return
    rows = np.flatnonzero(wanted.max(axis=1) > 0.5)
    columns = np.flatnonzero(wanted.max(axis=0) > 0.5)
    if rows.size == 0 or columns.size == 0:
        return
    for _ in range(int(dice.integers(1, 3))):
        field = _field(sources, int(dice.integers(10)), dice)
        size = longest * float(dice.uniform(0.8, 1.2))
        side = int(dice.integers(3))
        y = at[1] + float(dice.normal(0, 0.1)) * size
        if side == 0:
            middle = (min(columns[0] - 0.1 * size, 3.0) - size * float(dice.uniform(0.0, 0.3)), y)
        elif side == 1:
            middle = (max(columns[-1] + 0.1 * size, _PAGE_SIDE - 4.0) + size * float(dice.uniform(0.0, 0.3)), y)
        else:
            up = dice.random() < 0.5
            place = (
                min(rows[0] - 0.2 * size, 2.0) - 0.3 * size
                if up
                else max(rows[-1] + 0.2 * size, _PAGE_SIDE - 3.0) + 0.3 * size
            )
            middle = (float(dice.uniform(0, _PAGE_SIDE)), place)
        alone = write(np.zeros_like(ink), field, _wider(hand, size), middle, size / _longest(field), dice)
        # What would touch the digit could be told from it by nobody.
        near = cv2.dilate(wanted, np.ones((3, 3), np.uint8)) > 0.3
        inside = alone[2:-2, 2:-2].sum() > 0.8 * alone.sum()
        if not (alone[near] > 0.3).any() and not (inside and side != 2):
            np.maximum(ink, alone, out=ink)


def _strangers(sources: Sources, ink: Floats, dice: Dice) -> Floats:
    """Pieces of the lines above and below, and of what stands before and after."""
    height, width = ink.shape
    field = _field(sources, int(dice.integers(10)), dice)
    size = float(dice.uniform(20, 40))
    if dice.random() < 0.5:
        y = -0.42 * size if dice.random() < 0.5 else height + 0.42 * size
        middle = (float(dice.uniform(0, width)), y)
    else:
        x = -0.30 * size if dice.random() < 0.5 else width + 0.30 * size
        middle = (x, height / 2 + float(dice.normal(0, 3)))
    alone = write(np.zeros_like(ink), field, a_hand(dice), middle, size / _longest(field), dice)
    touches = (alone > 0.3) & (cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 0.3)
    return ink if touches.any() else np.maximum(ink, alone)
