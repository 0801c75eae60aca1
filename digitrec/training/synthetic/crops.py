"""Synthetic crops of paper and small pages, drawn from digits that are given: what the ink network learns from.

Each depends only on the sources and its dice, so any of them can be drawn again by itself.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.recognition.segmenter import SIDE
from digitrec.training.synthetic import background
from digitrec.training.synthetic.strokes import Dice, Floats, Hand, a_hand, write
from digitrec.training.synthetic.symbols import (
    JUNK,
    LETTERS,
    NEARLY_DIGITS,
    OTHER_SIGNS,
    SCRIBBLE,
    SPOILT,
    Sources,
    digit_field,
    longest_side,
    sign_field,
    wider,
)

_WHOLE_PAGES = 0.35
"""This share of the crops shows all of a page, so its sign may be small, and the page seldom is a square."""
_SLIMMEST = 0.5
"""The shorter side of such a page, as a share of the longer one."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A piece of a page, and which of it is ink of the signs that belong there."""

    picture: Picture
    """(64, 64); of a whole page (h, w), the longer of them 64."""
    ink: Picture
    """The same shape, 0 = paper, 255 = ink."""


def crop(sources: Sources, dice: Dice) -> Crop:
    """A crop with one digit or letter, or a few, or none, and all that may lie around it."""
    if dice.random() < _WHOLE_PAGES:
        return _whole_page(sources, dice)
    return _scene(sources, _signs(dice), dice)


def _whole_page(sources: Sources, dice: Dice) -> Crop:
    """All of a page, seen from afar: drawn at twice the size, as what is fine and far away runs together."""
    long, short = 2 * SIDE, round(2 * SIDE * float(dice.uniform(_SLIMMEST, 1.0)))
    height, width = (long, short) if dice.random() < 0.5 else (short, long)
    longest = min(float(np.exp(dice.uniform(np.log(12), np.log(100)))), 0.8 * short)
    drawn = _scene(sources, _signs(dice), dice, (height, width), longest)
    size = (max(1, round(width / 2)), max(1, round(height / 2)))
    return Crop(_resized(drawn.picture, size, cv2.INTER_AREA), _resized(drawn.ink, size, cv2.INTER_AREA))


def _signs(dice: Dice) -> str:
    """One digit or letter, or a few, or none."""
    chance = dice.random()
    if chance < 0.06:
        return ""
    if chance < 0.14:
        return _letters(dice, int(dice.integers(1, 4)))
    count = 1 if chance < 0.87 else int(dice.integers(2, 5))
    return "".join(str(digit) for digit in dice.integers(0, 10, count))


def page(sources: Sources, dice: Dice, digit: int | None = None) -> tuple[Crop, int]:
    """A page of 40 to 320 pixels with one sign, and its class: 0..9, or `JUNK`; None: a fifth of them is junk."""
    if digit is None:
        digit = int(dice.integers(10)) if dice.random() < 0.8 else JUNK
    drawn = _scene(sources, _junk(dice) if digit == JUNK else str(digit), dice)
    high, wide = (float(side) for side in np.exp(dice.uniform(np.log(40), np.log(260), 2)))
    wide = float(np.clip(wide, high * 0.75, high * 1.35))
    size = (round(wide), round(high))
    how = cv2.INTER_CUBIC if high > SIDE else cv2.INTER_AREA
    return Crop(_resized(drawn.picture, size, how), _resized(drawn.ink, size, how)), digit


def _resized(picture: Picture, size: tuple[int, int], how: int) -> Picture:
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _letters(dice: Dice, count: int) -> str:
    return "".join(dice.choice([*LETTERS], count))


def _junk(dice: Dice) -> str:
    """A sign that is no digit: mostly a letter, sometimes one that is nearly a digit, a scribble or a spoilt digit."""
    chance = dice.random()
    if chance < 0.5:
        return str(dice.choice([*LETTERS]))
    if chance < 0.62:
        return str(dice.choice([*NEARLY_DIGITS]))
    if chance < 0.7:
        return str(dice.choice([*OTHER_SIGNS]))
    return SPOILT if chance < 0.85 else SCRIBBLE


def _scene(
    sources: Sources,
    signs: str,
    dice: Dice,
    shape: tuple[int, int] = (SIDE, SIDE),
    longest: float | None = None,
) -> Crop:
    """Signs on a piece of paper of this shape, each about `longest` pixels long; None: as long as chance has it."""
    height, width = shape
    ink = np.zeros(shape, np.float32)
    wanted = np.zeros_like(ink)
    hand = a_hand(dice)
    soft = float(dice.uniform(0.8, 1.6))
    count = len(signs)
    if signs:
        if longest is None:
            longest = _usual_size(dice)
        longest = min(longest, 110 / SIDE * width / count)
        x, y = (side / 2 + dice.uniform(-0.5, 0.5) * max(side - 0.9 * longest, 6.0) for side in (width, height))
        x -= (count - 1) * 0.4 * longest
        for sign in signs:
            field = sign_field(sources, sign, None, dice)
            size = longest * float(dice.uniform(0.85, 1.1))
            alone = write(ink, field, wider(hand, size), (x, y), size / longest_side(field), dice, soft)
            np.maximum(wanted, alone, out=wanted)
            x += size * dice.uniform(0.55, 1.0)
        _beside(sources, ink, wanted, hand, longest, (x, y), dice)
    ground = background.printed(height, width, dice)
    if dice.random() < 0.35:
        ground = np.maximum(ground, background.dirt(height, width, dice))
    picture = background.photographed(ink, ground, dice)
    return Crop(picture, np.asarray(np.rint(wanted * 255), np.uint8))


def _usual_size(dice: Dice) -> float:
    """How long a sign is in its crop, pixels."""
    if dice.random() < 0.4:
        return float(np.exp(dice.uniform(np.log(13), np.log(76))))
    return float(dice.uniform(26, 58))


def _beside(
    sources: Sources, ink: Floats, wanted: Floats, hand: Hand, longest: float, at: tuple[float, float], dice: Dice
) -> None:
    """Strokes of the next digits at the edges: on the page, but not wanted."""
    if dice.random() > 0.3:
        return
    height, width = wanted.shape
    rows = np.flatnonzero(wanted.max(axis=1) > 0.5)
    columns = np.flatnonzero(wanted.max(axis=0) > 0.5)
    if rows.size == 0 or columns.size == 0:
        return
    for _ in range(int(dice.integers(1, 3))):
        field = digit_field(sources, int(dice.integers(10)), dice)
        size = longest * float(dice.uniform(0.8, 1.2))
        side = int(dice.integers(3))
        y = at[1] + float(dice.normal(0, 0.1)) * size
        if side == 0:
            middle = (min(columns[0] - 0.1 * size, 3.0) - size * float(dice.uniform(0.0, 0.3)), y)
        elif side == 1:
            middle = (max(columns[-1] + 0.1 * size, width - 4.0) + size * float(dice.uniform(0.0, 0.3)), y)
        else:
            up = dice.random() < 0.5
            place = (
                min(rows[0] - 0.2 * size, 2.0) - 0.3 * size
                if up
                else max(rows[-1] + 0.2 * size, height - 3.0) + 0.3 * size
            )
            middle = (float(dice.uniform(0, width)), place)
        alone = write(np.zeros_like(ink), field, wider(hand, size), middle, size / longest_side(field), dice)
        # What would touch the digit could be told from it by nobody.
        near = cv2.dilate(wanted, np.ones((3, 3), np.uint8)) > 0.3
        inside = alone[2:-2, 2:-2].sum() > 0.8 * alone.sum()
        if not (alone[near] > 0.3).any() and not (inside and side != 2):
            np.maximum(ink, alone, out=ink)
