"""Synthetic lines of writing, drawn from digits that are given: what the line network learns from.

Each strip depends only on the sources and its dice, so any of them can be drawn again by itself.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX
from digitrec.training.synthetic import background
from digitrec.training.synthetic.alternate_forms import alternate_form
from digitrec.training.synthetic.strokes import Floats, bounding_box, distance_field, random_style, write_glyph
from digitrec.training.synthetic.symbols import (
    LETTERS,
    NON_DIGIT,
    OTHER_SYMBOLS,
    SEPARATORS,
    GlyphSources,
    digit_field,
    glyph_size,
    limit_thinness,
    symbol_field,
)

_WIDTHS = (32, 192)


@dataclass(frozen=True, slots=True, eq=False)
class LineExample:
    """A line of writing, and what it says."""

    picture: Picture
    """(40, 32..192)."""
    text: tuple[int, ...]
    """0..9, or `NON_DIGIT` for a sign that is none."""


def generate_line(sources: GlyphSources, rng: Generator) -> LineExample:
    """A line with a number of one to seven digits; sometimes with words, or nothing."""
    while True:
        signs, text = _line(rng)
        ink = _written(sources, signs, rng)
        if ink.shape[1] <= _WIDTHS[1]:
            break
    ground = background.draw_print(LINE_HEIGHT_PX, ink.shape[1], rng)
    if rng.random() < 0.3:
        ground = np.maximum(ground, background.draw_dirt(LINE_HEIGHT_PX, ink.shape[1], rng))
    if rng.random() < 0.3:
        ink = _strangers(sources, ink, rng)
    return LineExample(background.simulate_photo(ink, ground, rng), text)


def _line(rng: Generator) -> tuple[str, tuple[int, ...]]:
    """What is written, and what it should be read as."""
    chance = rng.random()
    if chance < 0.05:
        return "", ()
    if chance < 0.12:
        count = int(rng.integers(1, 6))
        return "".join(_no_digit(rng) for _ in range(count)), (NON_DIGIT,) * count
    count = 1 if rng.random() < 0.2 else int(rng.integers(2, 8))
    digits = [int(digit) for digit in rng.integers(0, 10, count)]
    if rng.random() < 0.3 and count > 1:  # round sums, years and the like repeat themselves
        kept = int(rng.integers(1, count))
        digits[kept:] = [int(rng.choice([0, 0, 0, 1, digits[kept - 1]]))] * (count - kept)
    signs = [str(digit) for digit in digits]
    text = tuple(digits)
    if rng.random() < 0.4 and count > 3:
        signs.insert(count - 3, str(rng.choice([*SEPARATORS])))
    elif rng.random() < 0.1 and count > 1:
        signs.insert(int(rng.integers(1, count)), str(rng.choice([*SEPARATORS])))
    if rng.random() < 0.25:
        signs.append(str(rng.choice([".", ",", "-", "=", "=", ":"])))
    if rng.random() < 0.04:
        at = int(rng.integers(0, 2)) * len(signs)
        signs.insert(at, _no_digit(rng))
        text = (NON_DIGIT, *text) if at == 0 else (*text, NON_DIGIT)
    return "".join(signs), text


def _no_digit(rng: Generator) -> str:
    # No scribbles: in a number a stroke like that is a 1.
    return str(rng.choice([*LETTERS, *OTHER_SYMBOLS]))


def _written(sources: GlyphSources, signs: str, rng: Generator) -> Floats:
    """The ink of a line, (40, 32 or more): one hand, its pen, its spacing, its way with round sums."""
    height = float(rng.uniform(19, 37))
    hand = limit_thinness(random_style(rng), height)
    font = int(rng.integers(len(sources.fonts.names))) if rng.random() < 0.2 else None
    spread = float(rng.normal(0.1, 0.15) if rng.random() < 0.8 else rng.uniform(0.2, 0.7))
    base = LINE_HEIGHT_PX / 2 + float(rng.uniform(-0.5, 0.5)) * (LINE_HEIGHT_PX - height) * 1.1
    drift, soft = float(rng.normal(0, 0.02)), float(rng.uniform(0.8, 1.5))
    # Whoever writes many round sums makes their zeros small and does not lift the pen between them.
    small, joins, hastes = float(rng.uniform(0.5, 1.0)), rng.random() < 0.4, rng.random() < 0.15
    foreign = 0.6 if rng.random() < 0.5 else 0.0
    ink = np.zeros((LINE_HEIGHT_PX, 480), np.float32)
    x = start = 8.0 + float(rng.uniform(0, 12))
    end: tuple[float, float] | None = None
    for index, sign in enumerate(signs):
        in_number = len(signs) > 2 and sign.isdigit() and font is None
        field = _in_number(sources, sign, foreign, rng) if in_number else symbol_field(sources, sign, font, rng)
        left, top, right, bottom = bounding_box(field)
        # Whoever writes in haste slants a 1 more than the rest.
        pen = replace(hand, slant=hand.slant + float(rng.uniform(0.2, 0.6))) if sign == "1" and hastes else hand
        is_zero = index > 0 and sign == "0" and signs[index - 1] in "0123456789.,"
        if sign in SEPARATORS or sign in "-=:":
            scale, wants = height / 36, 0.36 if sign in SEPARATORS else float(rng.uniform(-0.1, 0.2))
        else:
            size = height * float(np.clip(rng.normal(1, 0.08), 0.75, 1.2)) * (small if is_zero else 1.0)
            scale = min(size / max(bottom - top, 1.0), 1.5 * size / max(right - left, 1.0))
            wants = float(rng.normal(0, 0.04)) + (0.4 * (1 - small) * float(rng.uniform(-0.5, 1)) if is_zero else 0.0)
        wide = (right - left) * scale * hand.narrow + 2 * max(hand.grow, 0) * scale
        if x + wide > ink.shape[1] - 20:
            return ink
        middle = (x + wide / 2, base + wants * height + drift * (x - start))
        write_glyph(ink, field, pen, middle, scale, rng, soft)
        high = (bottom - top) * scale
        if end is not None and ((joins and is_zero and signs[index - 1] == "0") or rng.random() < 0.04):
            to = (middle[0] - wide * float(rng.uniform(-0.1, 0.3)), middle[1] - high * float(rng.uniform(0.2, 0.5)))
            _ligature(ink, end, to, max(1.0, 1.6 + hand.grow * scale), rng)
        end = (middle[0] + wide * float(rng.uniform(0.0, 0.4)), middle[1] - high * float(rng.uniform(0.1, 0.5)))
        gap = (spread - (0.08 if is_zero and joins else 0.0)) * height + float(rng.normal(0, 0.05)) * height
        x += max(wide + gap, 0.55 * wide + 2.0, 5.0)
    first = int(max(0.0, start - float(rng.exponential(6))))
    last = int(min(x + rng.exponential(8), ink.shape[1]))
    return np.ascontiguousarray(ink[:, first : max(last, first + _WIDTHS[0])])


def _in_number(sources: GlyphSources, sign: str, foreign: float, rng: Generator) -> Floats:
    """A digit of a number, where its neighbours tell what it is, though it would be doubtful by itself.

    It may have a form of another school; a 2 may begin with a curl; a 9 may be written the other way round, as a P,
    which much of South America does.
    """
    if rng.random() < foreign:
        return distance_field(alternate_form(int(sign), rng))
    if sign not in {"2", "9"} or rng.random() > (0.2 if sign == "2" else 0.1):
        return symbol_field(sources, sign, None, rng)
    picture = sources.pictures[rng.choice(sources.by_digit[int(sign)])]
    if sign == "9":
        return distance_field(np.ascontiguousarray(picture[:, ::-1]))
    curled = picture.copy()
    rows, columns = np.nonzero(picture > 120)
    upper = rows < rows.min() + 0.45 * (rows.max() - rows.min())
    start = int(np.flatnonzero(upper)[columns[upper].argmin()])
    radius = float(rng.uniform(1.3, 3.2))
    middle = (int(columns[start] + radius), int(rows[start] + float(rng.uniform(-0.5, 1.0)) * radius))
    axes = (max(1, round(radius)), max(1, round(radius * float(rng.uniform(0.7, 1.3)))))
    cv2.ellipse(curled, middle, axes, 0, float(rng.uniform(0, 60)), float(rng.uniform(270, 360)), 255, 2, cv2.LINE_AA)
    return distance_field(curled)


def _ligature(ink: Floats, start: tuple[float, float], end: tuple[float, float], pen: float, rng: Generator) -> None:
    """The stroke of a pen that was not lifted between two digits, in place."""
    sag = float(rng.normal(0, 0.15)) * (end[0] - start[0])
    along = np.linspace(0, 1, 8)
    xs = start[0] + (end[0] - start[0]) * along
    ys = start[1] + (end[1] - start[1]) * along + 4 * sag * along * (1 - along)
    course = np.rint(np.column_stack([xs, ys]) * 8).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(ink, [course], False, float(rng.uniform(0.6, 1)), max(1, round(pen)), cv2.LINE_AA, 3)


def _strangers(sources: GlyphSources, ink: Floats, rng: Generator) -> Floats:
    """Pieces of the lines above and below, and of what stands before and after."""
    height, width = ink.shape
    field = digit_field(sources, int(rng.integers(10)), rng)
    size = float(rng.uniform(20, 40))
    if rng.random() < 0.5:
        y = -0.42 * size if rng.random() < 0.5 else height + 0.42 * size
        middle = (float(rng.uniform(0, width)), y)
    else:
        x = -0.30 * size if rng.random() < 0.5 else width + 0.30 * size
        middle = (x, height / 2 + float(rng.normal(0, 3)))
    alone = write_glyph(np.zeros_like(ink), field, random_style(rng), middle, size / glyph_size(field), rng)
    touches = (alone > 0.3) & (cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 0.3)
    return ink if touches.any() else np.maximum(ink, alone)
