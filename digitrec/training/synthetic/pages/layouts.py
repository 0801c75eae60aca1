"""Lays out the writing of a page: one line, lines one below the other, a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Line, Parameters, Sheet, draw_hand, lay_out
from digitrec.training.synthetic.pages.paper import Encoded
from digitrec.training.synthetic.pages.truth import Truth, number_lines
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle
from digitrec.training.synthetic.symbols import GlyphSources

_LONGEST = 14.0
"""A page is at most this many times as wide as high."""
_MOST_PX = 1_000_000
"""Larger pages are drawn smaller: what they show is the same, and a thousand are drawn in a minute."""


@dataclass(frozen=True, slots=True)
class DrawnPage:
    """A page as a file, what is written on it, and the parameters it was drawn with."""

    file: Encoded
    truth: Truth
    parameters: Mapping[str, object]
    source_digits: tuple[int, ...]
    """Indices of the pictures in `GlyphSources.pictures` that the digits were drawn from."""


@dataclass(frozen=True, slots=True)
class Style:
    """The ranges in which the parameters of a single line are drawn."""

    share: tuple[float, float] = (0.15, 0.9)
    """Height of a digit over that of the page."""
    gap: tuple[float, float] = (0.08, 0.6)
    """Free space between two digits, digit widths."""
    sign_gap: tuple[float, float] = (0.1, 0.6)
    """Free space beside a sign, digit widths."""
    stroke_of_page: float | None = None
    """Width of the stroke over the height of the page; None: 0.05 to 0.16 of the digit's height."""
    least_page: float = 48
    """Height of the smallest page, pixels."""
    least_digit: float = 12
    """Height of the smallest digit, pixels."""
    room: float = 1.05
    """Width of the narrowest page over that of the line."""
    is_ruled: bool = True
    """Whether the paper may be ruled or squared."""


@dataclass(frozen=True, slots=True)
class Writer:
    """One person's hand, pen and spacing, for all numbers of a page."""

    hand: HandwritingStyle
    pen: float
    """Width of the stroke over the height of a digit."""
    gap: float
    """Free space between digits, digit widths."""
    height: float
    """Height of a digit, pixels."""
    shift: float
    """Standard deviation of the distance of a number from the middle of its line or cell, digit heights."""

    def lay_out(self, text: str, sources: GlyphSources, draws: Parameters) -> Line:
        """Lay out a number."""
        return lay_out(text, sources, draws, gap=self.gap, pen=self.pen, hand=self.hand)


def draw_writer(
    draws: Parameters, height: float, pen: tuple[float, float] = (0.04, 0.15), gap: tuple[float, float] = (0.05, 0.5)
) -> Writer:
    """Draw how a person writes digits that are `height` pixels high; no pen is thinner than a pixel."""
    draws.values["height_px"] = round(height, 1)
    width = max(draws.log_uniform("pen_width", *pen), 1.0 / height)
    return Writer(draw_hand(draws), width, draws.uniform("gap", *gap), height, draws.uniform("shift", 0.02, 0.12))


def number(draws: Parameters, shortest: int, longest: int) -> str:
    """Draw a number of so many digits that does not begin with 0, or one digit of all ten."""
    count = int(draws.rng.integers(shortest, longest + 1))
    digits = draws.rng.integers(0, 10, count)
    if count > 1 and digits[0] == 0:
        digits[0] = draws.rng.integers(1, 10)
    return "".join(map(str, digits))


def bare_line(text: str, sources: GlyphSources, draws: Parameters, style: Style) -> tuple[Line, float, Sheet]:
    """Lay out a line and find a sheet that it fits on.

    Returns:
        The line, its height in pixels, and the sheet, still blank.
    """
    page = draws.log_uniform("page_px", style.least_page, 900)
    low, high = style.share
    share = draws.uniform("height_of_page", max(low, min(high, style.least_digit / page)), high)
    height = share * page
    pen = draws.log_uniform("pen", 0.05, 0.16) if style.stroke_of_page is None else style.stroke_of_page / share
    pen = max(pen, 1.0 / height)  # no pen leaves less than a pixel
    gap, sign_gap = draws.uniform("gap", *style.gap), draws.uniform("sign_gap", *style.sign_gap)
    line = lay_out(text, sources, draws, gap=gap, pen=pen, sign_gap=sign_gap)
    wide = max((line.width * style.room + 0.3) * height, page * draws.uniform("aspect", 0.6, 1.8))
    smaller = min(1.0, (_MOST_PX / (page * wide)) ** 0.5)
    height, page, wide = height * smaller, max(page, wide / _LONGEST) * smaller, wide * smaller
    draws.values |= {"page_px": round(page), "height_px": round(height, 1)}
    draws.values |= {"height_of_page": round(height / page, 4), "stroke_of_page": round(pen * height / page, 4)}
    return line, height, Sheet.blank(page, wide)


def one_line(text: str, sources: GlyphSources, draws: Parameters, style: Style) -> tuple[Sheet, float]:
    """Write a line anywhere on a new page.

    Returns:
        The sheet, and the height of a digit in pixels.
    """
    line, height, sheet = bare_line(text, sources, draws, style)
    if style.is_ruled:
        paper.background(sheet, draws, height)
    high, wide = sheet.shape
    spare = (max(0.0, wide - line.width * height) / 2, max(0.0, high - 1.1 * height) / 2)
    # Rather near the middle than at an edge, as people write.
    x, y = (float(np.clip(draws.rng.normal(0, 0.45), -0.92, 0.92)) * room for room in spare)
    sheet.write(line, (wide - line.width * height) / 2 + x, high / 2 + y, height, draws.rng)
    return sheet.with_margin(max(2, round(0.03 * height))), height


def write_near(sheet: Sheet, line: Line, left: float, middle: float, height: float, rng: Generator) -> list[float]:
    """Write a line like `Sheet.write`, in time that does not depend on the size of the sheet."""
    x0, y0 = max(0, int(left - 2 * height)), max(0, int(middle - 2 * height))
    part = sheet.part(x0, y0, left + (line.width + 2) * height, middle + 2 * height)
    return part.write(line, left - x0, middle - y0, height, rng)


def lines_of(texts: Sequence[str], sources: GlyphSources, draws: Parameters) -> list[Line]:
    """Lay out the lines of one page, written with one pen of 0.06 to 0.15."""
    pen, gap = draws.log_uniform("pen", 0.06, 0.15), draws.uniform("gap", 0.08, 0.6)
    return [lay_out(text, sources, draws, gap=gap, pen=pen) for text in texts]


def stacked(lines: Sequence[Line], draws: Parameters, pitch: tuple[float, float]) -> Sheet:
    """Write lines one below the other, flush left or not."""
    height = draws.log_uniform("height_px", 16, 80)
    step = height * draws.uniform("pitch", *pitch)
    ragged = draws.uniform("ragged", 0, 2) if draws.happens("is_ragged", 0.4) else 0.1
    margin = [height * draws.uniform(name, 0.15, 2.5) for name in ("margin_x", "margin_y")]
    wide = max(line.width for line in lines) * height + ragged * height
    sheet = Sheet.blank(len(lines) * step + 2 * margin[1], wide + 2 * margin[0])
    paper.background(sheet, draws, height)
    for place, line in enumerate(lines):
        x = margin[0] + float(draws.rng.uniform(0, ragged)) * height
        sheet.write(line, x, margin[1] + (place + 0.5) * step, height, draws.rng)
    return sheet.with_margin(max(2, round(0.05 * height)))


def table(sources: GlyphSources, draws: Parameters, *, has_lines: bool) -> DrawnPage:
    """Draw a table, row by row."""
    count, columns = draws.whole("rows", 2, 8), draws.whole("columns", 1 if has_lines else 2, 5)
    height = draws.log_uniform("height_px", 16, 60)
    row = height / draws.uniform("fill", 0.35, 0.85)
    longest = draws.whole("longest", 1, 3)
    texts = [
        "" if draws.rng.random() < 0.1 and place else number(draws, 1, longest) for place in range(count * columns)
    ]
    lines = lines_of(texts, sources, draws)
    apart = height * draws.uniform("apart", 0.3 if has_lines else 1.2, 2.5)
    column, margin = max(line.width for line in lines) * height + apart, height * draws.uniform("margin", 0.1, 1.5)
    right, foot = margin + columns * column, margin + count * row
    sheet = Sheet.blank(foot + margin, right + margin)
    if has_lines:
        thick, dark = draws.uniform("line_px", 1, 4), draws.uniform("darkness", 0.25, 1)
        inner = slice(0, None) if draws.happens("outer_frame", 0.7) else slice(1, -1)
        for y in np.linspace(margin, foot, count + 1)[inner]:
            sheet.rule((margin, y), (right, y), thick, dark)
        for x in np.linspace(margin, right, columns + 1)[inner]:
            sheet.rule((x, margin), (x, foot), thick, dark)
    for place, line in enumerate(lines):
        spare = column - line.width * height
        x = margin + place % columns * column + spare * float(np.clip(draws.rng.normal(0.5, 0.1), 0.15, 0.85))
        y = margin + (place // columns + 0.5 + float(draws.rng.normal(0, 0.03))) * row
        sheet.write(line, x, y, height, draws.rng)
    return scan_sheet(
        sheet.with_margin(2), draws, [texts[place : place + columns] for place in range(0, len(texts), columns)]
    )


def scan_sheet(sheet: Sheet, draws: Parameters, lines: Sequence[Sequence[str]], words: str = "") -> DrawnPage:
    """Colour a sheet and take a picture of it; `lines` are the numbers of each line."""
    return scan_page(paper.colour(sheet, draws), draws, lines, words)


def scan_page(page: Floats, draws: Parameters, lines: Sequence[Sequence[str]], words: str = "") -> DrawnPage:
    """Take a picture of a page in colour, (h, w, 3), 0..255; `lines` are the numbers of each line."""
    truth = Truth(number_lines(lines), words)
    return DrawnPage(paper.scanned(page, draws), truth, draws.values, tuple(draws.source_digits))
