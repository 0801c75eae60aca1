"""Draw pages with printed frames: cells, rows of cells, tables, years between lines, colour forms and comb fields.

One function draws one kind; its docstring lists the range of every parameter. Lengths are over the height of the cell
unless the docstring says otherwise; h is the height of a digit. What all kinds share is in `simple_pages`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet
from digitrec.training.synthetic.pages.layouts import (
    DrawnPage,
    Writer,
    draw_writer,
    number,
    scan_page,
    write_near,
)
from digitrec.training.synthetic.strokes import Floats
from digitrec.training.synthetic.symbols import GlyphSources

_FORM_PRINTS = {
    "green": (50, 160, 95),
    "dark green": (15, 110, 60),
    "red": (215, 60, 50),
    "orange": (240, 140, 50),
    "blue": (60, 110, 215),
    "violet": (140, 80, 190),
}


@dataclass(frozen=True, slots=True)
class _Rules:
    """Printed lines of a page."""

    thick: float
    """Pixels."""
    dark: float
    """0.0 = invisible, 1.0 = black."""


def cells(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one number of 1 or 2 digits in a printed cell whose frame lines are near the crop's edge.

    Crop 22 to 80 px high, 1 to 2.4 times as wide; frame lines -0.06 to 0.14 from the edge (negative: cut off), beyond
    them the neighbours' lines and up to a third of their digits; h 0.38 to 0.72.
    """
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.25) else number(draws, 2, 2)
    high = draws.log_uniform("cell_px", 22, 80)
    wide = high * draws.uniform("aspect", 1.0, 2.4)
    writer = draw_writer(draws, high * draws.uniform("fill", 0.38, 0.72))
    sheet, (xs, ys) = _crop_of_grid(draws, high, wide, 1, 1)
    _write_cells(sheet, [[text]], xs, ys, writer, sources, draws)
    _write_neighbours(sheet, xs, ys, writer, sources, draws)
    return scan_page(_colour(sheet, draws), draws, [[text]])


def cell_rows(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one row of 4 to 10 adjoining cells with numbers of 1 or 2 digits, 5 % of them empty, cropped as `cells`.

    Row 24 to 90 px high, cells 1.2 to 2.4 times as wide, h 0.38 to 0.72.
    """
    columns, longest = draws.whole("columns", 4, 10), draws.whole("longest", 1, 2)
    texts = [[_cell_text(draws, longest, place > 1) for place in range(columns)]]
    high = draws.log_uniform("cell_px", 24, 90)
    wide = high * draws.uniform("aspect", 1.2, 2.4)
    writer = draw_writer(draws, high * draws.uniform("fill", 0.38, 0.72))
    sheet, (xs, ys) = _crop_of_grid(draws, high, wide, 1, columns)
    _write_cells(sheet, texts, xs, ys, writer, sources, draws)
    _write_neighbours(sheet, xs, ys, writer, sources, draws)
    return scan_page(_colour(sheet, draws), draws, texts)


def empty_cells(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a crop of 1 to 8 empty cells, as `cell_rows`; half of them 14 to 48 px high, a third without any line."""
    columns = 1 if draws.happens("one_cell", 0.6) else draws.whole("columns", 2, 8)
    high = (
        draws.log_uniform("cell_px", 14, 48) if draws.happens("is_tiny", 0.5) else draws.log_uniform("cell_px", 24, 90)
    )
    writer = draw_writer(draws, high * draws.uniform("fill", 0.38, 0.72))
    sheet, (xs, ys) = _crop_of_grid(draws, high, high * draws.uniform("aspect", 0.8, 2.4), 1, columns)
    if draws.happens("has_no_line", 1 / 3):
        sheet.printed[:] = 0
    else:
        _write_neighbours(sheet, xs, ys, writer, sources, draws)
    return scan_page(_colour(sheet, draws), draws, [])


def ruled_table(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a ruled table of 5 to 16 rows and 5 to 9 columns of marks, 1 or 2 digits each, 3 % of the cells empty.

    Rows 20 to 52 px high, cells 1.2 to 2.4 times as wide, h 0.4 to 0.75; half the tables with a margin of 0.1 to 1.5,
    the others cropped at their frame; 70 % photographed: turned up to 3 degrees, corners moved up to 2.5 %.
    """
    rows, columns = draws.whole("rows", 5, 16), draws.whole("columns", 5, 9)
    texts = [[_cell_text(draws, 2, row + column > 0) for column in range(columns)] for row in range(rows)]
    high = draws.log_uniform("cell_px", 20, 52)
    wide = high * draws.uniform("aspect", 1.2, 2.4)
    writer = draw_writer(draws, high * draws.uniform("fill", 0.4, 0.75))
    has_margin = draws.happens("has_margin", 0.5)
    sheet, (xs, ys) = _crop_of_grid(draws, high, wide, rows, columns, (0.1, 1.5) if has_margin else (-0.06, 0.14))
    _write_cells(sheet, texts, xs, ys, writer, sources, draws)
    page = _colour(sheet, draws)
    if draws.happens("photographed", 0.7):
        page = paper.tilted(page, draws, 3, 0.025)
    return scan_page(page, draws, texts)


def frame_year(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a year (1700 to 2030) between the two upright lines of its column, on 60 % with lines above and below.

    Crop 24 to 90 px high; h 0.35 to 0.75; lines at -0.02 to 0.35 h from the digits, the crop's edge at most 0.25 h
    behind them; lines 1 px to 0.1 h thick, one of three doubled.
    """
    text = str(draws.whole("year", 1700, 2030))
    high = draws.log_uniform("cell_px", 24, 90)
    height = high * draws.uniform("fill", 0.35, 0.75)
    writer = draw_writer(draws, height)
    line = writer.lay_out(text, sources, draws)
    away = [draws.uniform(f"away_{side}", -0.02, 0.35) * height for side in ("left", "right")]
    behind = [draws.uniform(f"behind_{side}", 0, 0.25) * height for side in ("left", "right")]
    slack = 0.35 * abs(writer.hand.slant) * height  # a slanting digit is wider than it was laid out
    start = behind[0] + away[0] + slack
    end = start + line.width * height + slack + away[1]
    sheet = Sheet.blank(high, end + behind[1])
    rules = _draw_rules(draws, high)
    for x in (behind[0], end):
        lean = float(draws.rng.normal(0, 0.01)) * high
        sheet.rule((x - lean, -2), (x + lean, high + 2), rules.thick, rules.dark)
        if draws.happens("doubled", 1 / 3):
            step = rules.thick + 1 + 0.05 * height
            x2 = x - step if x == behind[0] else x + step
            sheet.rule((x2 - lean, -2), (x2 + lean, high + 2), rules.thick, rules.dark)
    if draws.happens("has_rows", 0.6):
        for y in (draws.uniform("row_top", -0.02, 0.12) * high, high * draws.uniform("row_foot", 0.88, 1.02)):
            sheet.rule((-2, y), (end + behind[1] + 2, y), rules.thick, rules.dark)
    free = (high - height) / 2
    middle = high / 2 + float(np.clip(draws.rng.normal(0, 0.3), -0.9, 0.9)) * free
    sheet.write(line, start, middle, height, draws.rng)
    return scan_page(_colour(sheet, draws), draws, [[text]])


def colour_form(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 numbers of 1 to 5 digits in the fields of a green, red or blue form.

    Fields 28 to 90 px high, one below the other, each as wide as 5 digits; h 0.4 to 0.95; lines 1 px to 0.08, half the
    forms filled with a pale tint inside or outside the fields.
    """
    count = draws.whole("fields", 1, 6)
    texts = [number(draws, 1, 5) for _ in range(count)]
    high = draws.log_uniform("cell_px", 28, 90)
    height = high * draws.uniform("fill", 0.4, 0.95)
    writer = draw_writer(draws, height)
    wide = 5.5 * height
    edge, apart = high * draws.uniform("margin", 0.2, 1.2), high * draws.uniform("apart", 0.15, 0.9)
    sheet = Sheet.blank(count * (high + apart) + 2 * edge, wide + 2 * edge)
    rules = _Rules(draws.log_uniform("line_px", 1, max(2.0, 0.08 * high)), draws.uniform("darkness", 0.6, 1))
    filled = draws.one_of("filled", ("none", "inside", "outside"), (0.5, 0.25, 0.25))
    tint = np.float32(draws.uniform("tint", 0.08, 0.35))
    if filled == "outside":
        sheet.printed[:] = tint
    for place, text in enumerate(texts):
        top = edge + place * (high + apart)
        inside = sheet.part(edge, top, edge + wide, top + high)
        inside.printed[:] = tint if filled == "inside" else 0
        for y in (top, top + high):
            sheet.rule((edge, y), (edge + wide, y), rules.thick, rules.dark)
        for x in (edge, edge + wide):
            sheet.rule((x, top), (x, top + high), rules.thick, rules.dark)
        box = (edge, top, edge + wide, top + high)
        _write_in_cell(sheet, text, box, writer, sources, draws)
    page = paper.colour(sheet, draws, _FORM_PRINTS)
    if draws.happens("photographed", 0.4):
        page = paper.tilted(page, draws, 3, 0.02)
    return scan_page(page, draws, [[text] for text in texts])


def comb_black(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one number of 4 to 10 digits, one in each box of a comb field with thick black lines.

    Boxes 28 to 110 px high, 0.6 to 1 times as wide, adjoining or 0.05 to 0.4 apart; lines 2 px to 0.1, darkness 0.8 to
    1; h 0.45 to 0.95, so that some digits touch the box.
    """
    text = number(draws, 4, 10)
    high = draws.log_uniform("cell_px", 28, 110)
    wide = high * draws.uniform("aspect", 0.6, 1.0)
    apart = wide * draws.uniform("apart", 0.05, 0.4) if draws.happens("are_apart", 0.5) else 0.0
    writer = draw_writer(draws, high * draws.uniform("fill", 0.45, 0.95))
    edge = high * draws.uniform("margin", 0.1, 1.0)
    thick, dark = max(2.0, high * draws.uniform("line", 0.02, 0.1)), draws.uniform("darkness", 0.8, 1.0)
    sheet = Sheet.blank(high + 2 * edge, len(text) * (wide + apart) - apart + 2 * edge)
    for place, digit in enumerate(text):
        left = edge + place * (wide + apart)
        for x in (left, left + wide):
            sheet.rule((x, edge), (x, edge + high), thick, dark)
        for y in (edge, edge + high):
            sheet.rule((left, y), (left + wide, y), thick, dark)
        _write_in_cell(sheet, digit, (left, edge, left + wide, edge + high), writer, sources, draws, fill=0.92)
    page = paper.colour(sheet.with_margin(2), draws, {"black": paper.PRINTS["black"]})
    if draws.happens("photographed", 0.4):
        page = paper.tilted(page, draws, 3, 0.02)
    return scan_page(page, draws, [[text]])


def _colour(sheet: Sheet, draws: Parameters) -> Floats:
    """Return the sheet in colour, (h, w, 3), 0..255; at least half the forms are printed in black."""
    is_black = draws.happens("black_print", 0.5)
    return paper.colour(sheet, draws, {"black": paper.PRINTS["black"]} if is_black else paper.PRINTS)


def _draw_rules(draws: Parameters, cell_px: float) -> _Rules:
    thick = draws.log_uniform("line_px", 1, max(2.0, 0.08 * cell_px))
    is_dark = draws.happens("dark_lines", 0.6)
    return _Rules(thick, draws.uniform("darkness", 0.75, 1) if is_dark else draws.uniform("darkness", 0.3, 0.75))


def _cell_text(draws: Parameters, longest: int, may_be_empty: bool) -> str:
    if may_be_empty and draws.rng.random() < 0.04:
        return ""
    return number(draws, longest, longest) if draws.rng.random() < 0.85 else number(draws, 1, longest)


def _crop_of_grid(
    draws: Parameters,
    high: float,
    wide: float,
    rows: int,
    columns: int,
    inset: tuple[float, float] = (-0.06, 0.14),
) -> tuple[Sheet, tuple[Floats, Floats]]:
    """Print a grid on a sheet that ends near its outer lines.

    Args:
        draws: what chance decides.
        high: height of a row, pixels.
        wide: width of a column, pixels.
        rows: their number.
        columns: their number.
        inset: range of the distance from an outer line to the sheet's edge, over `high`; negative: cut off.

    Returns:
        The sheet, and where the lines are: x of the upright ones and y of the level ones, pixels.
    """
    left, right, top, foot = (
        draws.uniform(f"inset_{side}", *inset) * high for side in ("left", "right", "top", "foot")
    )
    sheet = Sheet.blank(top + rows * high + foot, left + columns * wide + right)
    xs = left + np.arange(columns + 1, dtype=np.float32) * np.float32(wide)
    ys = top + np.arange(rows + 1, dtype=np.float32) * np.float32(high)
    rules = _draw_rules(draws, high)
    height, width = sheet.shape
    goes_on = inset[0] < 0  # a crop shows the lines of its neighbours
    x0, x1, y0, y1 = (-2, width + 2, -2, height + 2) if goes_on else (xs[0], xs[-1], ys[0], ys[-1])
    lean = float(draws.rng.normal(0, 0.006)) if goes_on else 0.0
    for y in ys:
        sheet.rule((x0, y - lean * width / 2), (x1, y + lean * width / 2), rules.thick, rules.dark)
    for x in xs:
        sheet.rule((x + lean * height / 2, y0), (x - lean * height / 2, y1), rules.thick, rules.dark)
    return sheet, (xs, ys)


def _write_cells(
    sheet: Sheet,
    texts: Sequence[Sequence[str]],
    xs: Floats,
    ys: Floats,
    writer: Writer,
    sources: GlyphSources,
    draws: Parameters,
) -> None:
    for row, numbers in enumerate(texts):
        for column, text in enumerate(numbers):
            if text:
                box = (float(xs[column]), float(ys[row]), float(xs[column + 1]), float(ys[row + 1]))
                _write_in_cell(sheet, text, box, writer, sources, draws)


def _write_in_cell(
    sheet: Sheet,
    text: str,
    box: tuple[float, float, float, float],
    writer: Writer,
    sources: GlyphSources,
    draws: Parameters,
    fill: float = 0.85,
) -> None:
    """Write a number near the middle of a box (left, top, right, foot), smaller if it is wider than `fill` of it."""
    left, top, right, foot = box
    line = writer.lay_out(text, sources, draws)
    height = min(writer.height, fill * (right - left) / max(line.width, 0.1))
    free = (right - left - line.width * height) / 2
    shift = float(np.clip(draws.rng.normal(0, writer.shift), -0.3, 0.3)) * height
    x = left + free * (1 + float(np.clip(draws.rng.normal(0, 0.25), -0.8, 0.8)))
    write_near(sheet, line, x, (top + foot) / 2 + shift, height, draws.rng)


def _write_neighbours(
    sheet: Sheet, xs: Floats, ys: Floats, writer: Writer, sources: GlyphSources, draws: Parameters
) -> None:
    """Write digits of the rows above and below of which the sheet shows at most a third."""
    for side in ("top", "foot"):
        if not draws.happens(f"neighbour_{side}", 0.3):
            continue
        line = writer.lay_out(number(draws, 1, 2), sources, draws)
        seen = float(draws.rng.uniform(0.02, 0.3)) * writer.height
        middle = seen - 0.5 * writer.height if side == "top" else sheet.shape[0] - seen + 0.5 * writer.height
        outside = float(ys[0]) < 0.4 * seen if side == "top" else sheet.shape[0] - float(ys[-1]) < 0.4 * seen
        if outside:  # the neighbour's digits are beyond the frame line
            continue
        x = float(draws.rng.uniform(xs[0], max(xs[0] + 1, xs[-1] - line.width * writer.height)))
        write_near(sheet, line, x, middle, writer.height, draws.rng)


FORMS: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    "cells": cells,
    "cell_rows": cell_rows,
    "empty_cells": empty_cells,
    "table": ruled_table,
    "frame_year": frame_year,
    "colour_form": colour_form,
    "comb_black": comb_black,
}
