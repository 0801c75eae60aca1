"""Generate synthetic text lines from given digits, to train the sequence recognizer.

Each line depends only on the sources and its random generator, so that any of them can be generated again by itself.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX, SIGNS
from digitrec.training.synthetic import background
from digitrec.training.synthetic.alternate_forms import alternate_form
from digitrec.training.synthetic.strokes import Floats, bounding_box, distance_field, random_style, write_glyph
from digitrec.training.synthetic.symbols import (
    LETTERS,
    OTHER_SYMBOLS,
    GlyphSources,
    digit_field,
    glyph_size,
    limit_thinness,
    symbol_class,
    symbol_field,
)


@dataclass(frozen=True, slots=True)
class LineParams:
    """Contents and handwriting of text lines; set by hand (results: docs/dev/accuracy.md)."""

    width_px: tuple[int, int] = (32, 192)
    empty: float = 0.05  # probability of an empty line
    no_number: float = 0.12  # probability of an empty line or a word
    single: float = 0.2  # probability of a single digit; other numbers have two to seven
    repeated: float = 0.3  # probability that the last digits repeat, as in round sums and years
    decimal: float = 0.12  # probability of a point or comma before the last one to three digits
    date: float = 0.05
    time: float = 0.03  # probability of two digits, a colon and two digits
    joined: float = 0.06  # probability of two numbers with a dash, plus or slash between
    leading: float = 0.06  # probability of a plus or minus before the number
    thousands: float = 0.15  # probability of a separator before the last three digits
    end_mark: float = 0.15  # probability of a mark after the number
    letter: float = 0.04  # probability of a letter or symbol before or after the number
    dirt: float = 0.3
    neighbours: float = 0.3  # probability of parts of other lines and words
    font: float = 0.2  # probability of one printed font
    size_px: tuple[float, float] = (19, 37)  # height of digits
    foreign: float = 0.5  # probability of a writer with alternate forms
    alternate: float = 0.6  # probability of an alternate form of a digit by such a writer
    alternate_alone: float = 0.4  # factor for it without neighbours, which make strange forms legible
    joined_zeros: float = 0.4  # probability of a writer who joins zeros
    slanted_ones: float = 0.15  # probability of a hasty writer, whose ones slant more than other digits
    ligature: float = 0.04  # probability of a ligature between other digits
    curled_two: float = 0.2  # probability that a 2 of a number begins with a curl
    mirrored_nine: float = 0.1  # probability of a 9 like a P, as in much of South America


PARAMS = LineParams()
_SIGN_RISES = {".": 0.4, ",": 0.42, ":": 0.1, "-": 0.03}
"""Distance of the middle of a sign below that of the digits, over their height."""


@dataclass(frozen=True, slots=True, eq=False)
class LineExample:
    """A text line and its text."""

    picture: Picture
    """(40, 32..192)."""
    text: tuple[int, ...]
    """Classes of its symbols, see `symbol_class`."""


def generate_line(sources: GlyphSources, rng: Generator) -> LineExample:
    """Generate a line with a number of one to seven digits; sometimes with words, or empty."""
    while True:
        symbols, text = _random_text(rng)
        ink = _write_line(sources, symbols, rng)
        if ink.shape[1] <= PARAMS.width_px[1]:
            break
    ground = background.draw_print(LINE_HEIGHT_PX, ink.shape[1], rng)
    if rng.random() < PARAMS.dirt:
        ground = np.maximum(ground, background.draw_dirt(LINE_HEIGHT_PX, ink.shape[1], rng))
    if rng.random() < PARAMS.neighbours:
        ink = _add_neighbour(sources, ink, rng)
    return LineExample(background.simulate_photo(ink, ground, rng), text)


def _random_text(rng: Generator) -> tuple[str, tuple[int, ...]]:
    """Return the symbols of a line, and their classes."""
    value = rng.random()
    if value < PARAMS.empty:
        symbols = ""
    elif value < PARAMS.no_number:
        symbols = "".join(_random_non_digit(rng) for _ in range(int(rng.integers(1, 6))))
    else:
        symbols = _random_number(rng)
        if rng.random() < PARAMS.end_mark:
            symbols += str(rng.choice([".", ",", "-", "=", "=", ":"]))
        if rng.random() < PARAMS.letter:
            letter = _random_non_digit(rng)
            symbols = letter + symbols if rng.random() < 0.5 else symbols + letter
    return symbols, tuple(symbol_class(symbol) for symbol in symbols)


def _random_number(rng: Generator) -> str:
    """Return a number with its signs."""
    p = PARAMS
    form = rng.random()
    if form < p.date:
        day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1930, 2031))
        width = 2 if rng.random() < 0.5 else 1
        years = f"{year}"[2:] if rng.random() < 0.6 else f"{year}"
        return str(rng.choice([*"./-"])).join([f"{day:0{width}}", f"{month:0{width}}", years])
    form -= p.date
    if form < p.time:
        return f"{int(rng.integers(0, 24)):02}:{int(rng.integers(0, 60)):02}"
    form -= p.time
    if form < p.joined:
        return (
            _random_digits(int(rng.integers(1, 4)), rng)
            + str(rng.choice([*"-+/"]))
            + _random_digits(int(rng.integers(1, 4)), rng)
        )
    count = 1 if rng.random() < p.single else int(rng.integers(2, 8))
    number = _random_digits(count, rng)
    if form - p.joined < p.decimal and count > 1:
        place = int(rng.integers(max(1, count - 3), count))
        number = number[:place] + str(rng.choice([*".,"])) + number[place:]
    elif rng.random() < p.thousands and count > 3:
        number = number[:-3] + str(rng.choice([*".,"])) + number[-3:]
    return str(rng.choice([*"--+"])) + number if rng.random() < p.leading else number


def _random_digits(count: int, rng: Generator) -> str:
    """Return random digits; the last ones sometimes repeat."""
    digits = [int(digit) for digit in rng.integers(0, 10, count)]
    if rng.random() < PARAMS.repeated and count > 1:
        start = int(rng.integers(1, count))
        digits[start:] = [int(rng.choice([0, 0, 0, 1, digits[start - 1]]))] * (count - start)
    return "".join(map(str, digits))


def _random_non_digit(rng: Generator) -> str:
    # No scribbles: in a number a stroke like that is a 1.
    return str(rng.choice([*LETTERS, *OTHER_SYMBOLS]))


def _write_line(sources: GlyphSources, symbols: str, rng: Generator) -> Floats:
    """Return the ink of a line, (40, 32 or more), in one handwriting style."""
    height = float(rng.uniform(*PARAMS.size_px))
    style = limit_thinness(random_style(rng), height)
    font = int(rng.integers(len(sources.fonts.names))) if rng.random() < PARAMS.font else None
    spacing = float(rng.normal(0.1, 0.15) if rng.random() < 0.8 else rng.uniform(0.2, 0.7))
    baseline = LINE_HEIGHT_PX / 2 + float(rng.uniform(-0.5, 0.5)) * (LINE_HEIGHT_PX - height) * 1.1
    drift, edge_px = float(rng.normal(0, 0.02)), float(rng.uniform(0.8, 1.5))
    # Writers of many round sums make their zeros small and join them.
    zero_scale, joins_zeros = float(rng.uniform(0.5, 1.0)), rng.random() < PARAMS.joined_zeros
    slants_ones = rng.random() < PARAMS.slanted_ones
    p_alternate = PARAMS.alternate if rng.random() < PARAMS.foreign else 0.0
    ink = np.zeros((LINE_HEIGHT_PX, 480), np.float32)
    x = start = 8.0 + float(rng.uniform(0, 12))
    pen_end: tuple[float, float] | None = None
    for index, symbol in enumerate(symbols):
        if symbol.isdigit() and font is None:
            p_form = p_alternate if len(symbols) > 2 else p_alternate * PARAMS.alternate_alone
            field = _number_digit_field(sources, symbol, p_form, rng)
        else:
            field = symbol_field(sources, symbol, font, rng)
        left, top, right, bottom = bounding_box(field)
        pen = style
        if symbol == "1" and slants_ones:
            pen = replace(style, slant=style.slant + float(rng.uniform(0.2, 0.6)))
        is_zero = index > 0 and symbol == "0" and symbols[index - 1] in "0123456789.,"
        if symbol in SIGNS or symbol == "=":
            scale = height / 36
            rise = _SIGN_RISES.get(symbol, 0.0) + float(rng.normal(0, 0.06))
        else:
            size = height * float(np.clip(rng.normal(1, 0.08), 0.75, 1.2)) * (zero_scale if is_zero else 1.0)
            scale = min(size / max(bottom - top, 1.0), 1.5 * size / max(right - left, 1.0))
            rise = float(rng.normal(0, 0.04))
            rise += 0.4 * (1 - zero_scale) * float(rng.uniform(-0.5, 1)) if is_zero else 0.0
        glyph_width = (right - left) * scale * style.narrow + 2 * max(style.grow, 0) * scale
        if x + glyph_width > ink.shape[1] - 20:
            return ink
        centre = (x + glyph_width / 2, baseline + rise * height + drift * (x - start))
        write_glyph(ink, field, pen, centre, scale, rng, edge_px)
        glyph_height = (bottom - top) * scale
        is_joined = joins_zeros and is_zero and symbols[index - 1] == "0"
        if pen_end is not None and (is_joined or rng.random() < PARAMS.ligature):
            target = (
                centre[0] - glyph_width * float(rng.uniform(-0.1, 0.3)),
                centre[1] - glyph_height * float(rng.uniform(0.2, 0.5)),
            )
            _draw_ligature(ink, pen_end, target, max(1.0, 1.6 + style.grow * scale), rng)
        pen_end = (
            centre[0] + glyph_width * float(rng.uniform(0.0, 0.4)),
            centre[1] - glyph_height * float(rng.uniform(0.1, 0.5)),
        )
        gap = (spacing - (0.08 if is_zero and joins_zeros else 0.0)) * height + float(rng.normal(0, 0.05)) * height
        x += max(glyph_width + gap, 0.55 * glyph_width + 2.0, 5.0)
    first = int(max(0.0, start - float(rng.exponential(6))))
    last = int(min(x + rng.exponential(8), ink.shape[1]))
    return np.ascontiguousarray(ink[:, first : max(last, first + PARAMS.width_px[0])])


def _number_digit_field(sources: GlyphSources, symbol: str, p_alternate: float, rng: Generator) -> Floats:
    """Return the distance field of a digit of a number, in a form that only its context makes legible.

    It may have an alternate form; a 2 may begin with a curl; a 9 may be mirrored.
    """
    if rng.random() < p_alternate:
        return distance_field(alternate_form(int(symbol), rng))
    p_special = {"2": PARAMS.curled_two, "9": PARAMS.mirrored_nine}
    if symbol not in p_special or rng.random() > p_special[symbol]:
        return symbol_field(sources, symbol, None, rng)
    picture = sources.pictures[rng.choice(sources.by_digit[int(symbol)])]
    if symbol == "9":
        return distance_field(np.ascontiguousarray(picture[:, ::-1]))
    return distance_field(_add_curl(picture, rng))


def _add_curl(picture: Picture, rng: Generator) -> Picture:
    """Draw a curl at the upper left end of a 2."""
    canvas = picture.copy()
    rows, columns = np.nonzero(picture > 120)
    is_upper = rows < rows.min() + 0.45 * (rows.max() - rows.min())
    start = int(np.flatnonzero(is_upper)[columns[is_upper].argmin()])
    radius = float(rng.uniform(1.3, 3.2))
    centre = (int(columns[start] + radius), int(rows[start] + float(rng.uniform(-0.5, 1.0)) * radius))
    axes = (max(1, round(radius)), max(1, round(radius * float(rng.uniform(0.7, 1.3)))))
    start_angle, end_angle = float(rng.uniform(0, 60)), float(rng.uniform(270, 360))
    cv2.ellipse(canvas, centre, axes, 0, start_angle, end_angle, 255, 2, cv2.LINE_AA)
    return canvas


def _draw_ligature(
    ink: Floats, start: tuple[float, float], end: tuple[float, float], pen: float, rng: Generator
) -> None:
    """Draw the stroke of a pen that was not lifted between two digits, in place."""
    sag = float(rng.normal(0, 0.15)) * (end[0] - start[0])
    along = np.linspace(0, 1, 8)
    xs = start[0] + (end[0] - start[0]) * along
    ys = start[1] + (end[1] - start[1]) * along + 4 * sag * along * (1 - along)
    path = np.rint(np.column_stack([xs, ys]) * 8).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(ink, [path], False, float(rng.uniform(0.6, 1)), max(1, round(pen)), cv2.LINE_AA, 3)


def _add_neighbour(sources: GlyphSources, ink: Floats, rng: Generator) -> Floats:
    """Add a part of the line above or below, or of a word before or after."""
    height, width = ink.shape
    field = digit_field(sources, int(rng.integers(10)), rng)
    size = float(rng.uniform(20, 40))
    if rng.random() < 0.5:
        y = -0.42 * size if rng.random() < 0.5 else height + 0.42 * size
        centre = (float(rng.uniform(0, width)), y)
    else:
        x = -0.30 * size if rng.random() < 0.5 else width + 0.30 * size
        centre = (x, height / 2 + float(rng.normal(0, 3)))
    style = random_style(rng)
    written = write_glyph(np.zeros_like(ink), field, style, centre, size / glyph_size(field), rng)
    touches = (written > 0.3) & (cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 0.3)
    return ink if touches.any() else np.maximum(ink, written)
