"""The kinds of pages that hold more than a digit, and what is written on each: one function a kind.

Every parameter is drawn over the whole range that its kind's docstring lists; lengths are over the height h of a digit
unless the docstring says otherwise. All kinds share what `page_paper` draws: pencil or pen, paper level 185 to 252,
grain, the light of a scanner or phone with shadows, blur 0 to 1.1 px, noise 0 to 6 levels, PNG or JPEG (quality 55 to
95); and, where nothing else is said, a pen 0.05 to 0.16 wide, gaps between digits of 0.08 to 0.6 and beside signs of
0.1 to 0.6 digit widths, and pages 48 to 900 px high and 0.6 to 14 times as wide.
"""

from collections.abc import Callable, Mapping

import numpy as np

from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet, lay_out
from digitrec.training.synthetic.pages.layouts import (
    DrawnPage,
    Style,
    bare_line,
    lines_of,
    number,
    one_line,
    scan_page,
    scan_sheet,
    stacked,
    table,
)
from digitrec.training.synthetic.symbols import GlyphSources

WORDS = (
    *("kg", "cm", "mm", "km", "min", "Nr", "EUR", "Haus", "Name", "Datum", "Klasse", "Platz", "Raum", "Note", "Tag"),
    *("page", "Room", "apples", "pens", "weeks", "paid", "done", "check", "Anna", "Max", "Peter", "Summe", "Total"),
)
"""None can be taken for digits as a whole."""
_SAME_TURNED = {90: "018", 180: "0125689", 270: "018"}
"""Digits that read as a digit after this turn: a text of these alone has no upright."""


def one_number(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a number of 2 to 8 digits; h 15 to 90 % of the page, gaps 0.3 to 2.5 digit widths, pen 0.05 to 0.16."""
    text = number(draws, 2, 8)
    sheet, _ = one_line(text, sources, draws, Style(gap=(0.3, 2.5)))
    return scan_sheet(sheet, draws, [[text]])


def single(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one bare digit as a control; h 20 to 90 % of the page, pen 0.05 to 0.16."""
    text = number(draws, 1, 1)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.2, 0.9)))
    return scan_sheet(sheet, draws, [[text]])


def thin_pen(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits (half the pages: one) with strokes of 1 to 3 % of the page's height; h 20 to 85 % of it."""
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.5) else number(draws, 2, 6)
    stroke = draws.uniform("stroke_of_page", 0.01, 0.03)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.2, 0.85), stroke_of_page=stroke, least_page=120))
    return scan_sheet(sheet, draws, [[text]])


def minus(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a minus 0.32 to 0.72 long before 1 to 4 digits; gap between them 0.1 to 1.2 digit widths, h 15 to 80 %."""
    text = "-" + number(draws, 1, 4)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.15, 0.8), sign_gap=(0.1, 1.2)))
    return scan_sheet(sheet, draws, [[text]])


def decimal(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 3 digits, a comma or point, 1 to 3 digits; gap beside it 0.05 to 0.6 digit widths, h 15 to 80 %."""
    text = number(draws, 1, 3) + draws.one_of("sign", (",", ".")) + number(draws, 1, 3)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.15, 0.8), sign_gap=(0.05, 0.6), least_digit=20))
    return scan_sheet(sheet, draws, [[text]])


def date(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a date, parted by slashes, points or minuses, years of two or four digits; h 10 to 70 % of the page."""
    day, month = draws.whole("day", 1, 31), draws.whole("month", 1, 12)
    year = str(draws.whole("year", 1930, 2030))
    sign = draws.one_of("sign", ("/", ".", "-"))
    is_short, is_padded = draws.happens("short_year", 0.5), draws.happens("padded", 0.5)
    text = sign.join(
        [f"{day:02}" if is_padded else f"{day}", f"{month:02}" if is_padded else f"{month}", year[2 * is_short :]]
    )
    sheet, _ = one_line(text, sources, draws, Style(share=(0.1, 0.7), sign_gap=(0.1, 0.6), least_digit=20))
    return scan_sheet(sheet, draws, [[text]])


def sum_(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a sum or difference with its result, as 12+5=17; terms 1 to 99, gaps beside signs 0.2 to 1, h 10 to 70 %."""
    first, second = draws.whole("one", 1, 99), draws.whole("two", 1, 99)
    total = first + second
    text = f"{first}+{second}={total}" if draws.happens("adds", 0.6) else f"{total}-{second}={first}"
    sheet, _ = one_line(text, sources, draws, Style(share=(0.1, 0.7), sign_gap=(0.2, 1.0)))
    return scan_sheet(sheet, draws, [[text]])


def word(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a number of 1 to 5 digits with a word before, behind or below it; gap 0.3 to 3, h 10 to 60 % of the page."""
    text, other = number(draws, 1, 5), draws.one_of("word", WORDS)
    place = draws.one_of("place", ("before", "behind", "below"))
    space = " " * max(1, round(draws.uniform("gap", 0.3, 3) / 0.5))
    if place == "below":
        sheet = stacked(lines_of((text, other), sources, draws), draws, pitch=(1.3, 2.2))
    else:
        line = other + space + text if place == "before" else text + space + other
        sheet, _ = one_line(line, sources, draws, Style(share=(0.1, 0.6)))
    return scan_sheet(sheet, draws, [[text]], words=other)


def two_numbers(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw two numbers of 1 to 5 digits on one line, 1.5 to 8 apart; h 10 to 80 % of the page."""
    numbers = number(draws, 1, 5), number(draws, 1, 5)
    space = " " * round(draws.uniform("apart", 1.5, 8) / 0.5)
    sheet, _ = one_line(space.join(numbers), sources, draws, Style(share=(0.1, 0.8)))
    return scan_sheet(sheet, draws, [numbers])


def rows(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 2 to 8 rows, each of 1 to 6 digits (on a third of the pages: of one); pitch 1.15 to 2.5, h 16 to 80 px."""
    longest = 1 if draws.happens("single_digits", 1 / 3) else 6
    numbers = [number(draws, 1, longest) for _ in range(draws.whole("rows", 2, 8))]
    sheet = stacked(lines_of(numbers, sources, draws), draws, pitch=(1.15, 2.5))
    return scan_sheet(sheet, draws, [[text] for text in numbers])


def table_lines(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a table of 2 to 8 rows and 1 to 5 columns with lines; numbers of 1 to 3 digits, a tenth of the cells empty.

    h 16 to 60 px, 35 to 85 % of a row's height; lines 1 to 4 px, darkness 0.25 to 1, with or without an outer frame.
    """
    return table(sources, draws, has_lines=True)


def table_bare(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw the same table without lines; columns at least 1.2 apart."""
    return table(sources, draws, has_lines=False)


def comb(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 3 to 10 boxes with one digit in each, adjoining or 0.05 to 0.5 of a box apart, or a comb open at the top.

    h 45 to 95 % of the box's height of 24 to 90 px; lines 1 to 5 px, black or pale (darkness 0.2 to 1).
    """
    text = number(draws, 3, 10)
    high = draws.log_uniform("box_px", 24, 90)
    wide = high * draws.uniform("box_aspect", 0.65, 1.1)
    height = high * draws.uniform("fill", 0.45, 0.95)
    form = draws.one_of("form", ("adjoining", "apart", "open"), (0.5, 0.3, 0.2))
    apart = wide * draws.uniform("apart", 0.05, 0.5) if form == "apart" else 0.0
    dark = draws.uniform("darkness", 0.75, 1) if draws.happens("black", 0.5) else draws.uniform("darkness", 0.2, 0.5)
    thick = draws.uniform("line_px", 1, 1 + high / 22)
    pen = draws.log_uniform("pen", 0.05, 0.16)
    edge = high * draws.uniform("margin", 0.15, 1.2)
    sheet = Sheet.blank(high + 2 * edge, len(text) * (wide + apart) + 2 * edge)
    top, foot = edge, edge + high
    for place, digit in enumerate(text):
        left = edge + place * (wide + apart)
        start = foot - high * 0.35 if form == "open" else top
        for x in (left, left + wide):
            sheet.rule((x, start), (x, foot), thick, dark)
        for y in (foot,) if form == "open" else (top, foot):
            sheet.rule((left, y), (left + wide, y), thick, dark)
        line = lay_out(digit, sources, draws, gap=0.3, pen=pen)
        most = 0.95 * wide / max(line.width, 0.1)
        shift = draws.rng.normal(0, 0.06, 2) * high
        x = left + (wide - line.width * min(height, most)) / 2 + float(shift[0])
        sheet.write(line, x, (top + foot) / 2 + float(shift[1]), min(height, most), draws.rng)
    return scan_sheet(sheet.with_margin(2), draws, [[text]])


def frame(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits with frame lines on two to four sides, from touching (-0.08) to 0.5 away; h 20 to 75 %.

    Lines 1 px to 0.12 thick, darkness 0.3 to 1, as long as the frame or (two upright lines always) across the page.
    """
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.4) else number(draws, 2, 6)
    sheet, height = one_line(text, sources, draws, Style(share=(0.2, 0.75), is_ruled=False, room=1.4))
    ys, xs = (np.flatnonzero(sheet.ink.max(axis=axis) > 0.3) for axis in (1, 0))
    sides = draws.rng.permutation(4)[: draws.whole("frame_sides", 2, 4)]
    away = [draws.uniform(f"away_{name}", -0.08, 0.5) * height for name in ("top", "foot", "left", "right")]
    top, foot, left, right = ys[0] - away[0], ys[-1] + away[1], xs[0] - away[2], xs[-1] + away[3]
    thick, dark = max(1.0, height * draws.uniform("line", 0.01, 0.12)), draws.uniform("darkness", 0.3, 1)
    high, wide = sheet.shape
    # Two upright lines as high as the digits would read as ones.
    is_long = draws.happens("across_the_page", 0.4) or {*map(int, sides)} == {2, 3}
    draws.values["across_the_page"] = is_long
    x0, x1, y0, y1 = (0, wide, 0, high) if is_long else (left, right, top, foot)
    lines = (((x0, top), (x1, top)), ((x0, foot), (x1, foot)), ((left, y0), (left, y1)), ((right, y0), (right, y1)))
    for start, end in (lines[int(side)] for side in sides):
        sheet.rule(start, end, thick, dark)
    draws.values["sides"] = [("top", "foot", "left", "right")[int(side)] for side in sorted(sides)]
    return scan_sheet(sheet, draws, [[text]])


def desk(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits on a sheet on a desk: 1 to 4 edges seen, turned up to 9 degrees, corners moved up to 7 %.

    The desk is wood, cloth, a plain board or checked, level 15 to 165; h 12 to 45 % of the sheet.
    """
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.5) else number(draws, 2, 6)
    while True:
        sheet, _ = one_line(text, sources, draws, Style(share=(0.12, 0.45), least_page=200, room=1.6))
        picture, ink = paper.on_desk(sheet, paper.colour(sheet, draws), draws)
        if paper.is_inside(ink):
            return scan_page(picture, draws, [[text]])


def black_margin(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits on a page with a black margin (level 0 to 50) on 1 to 4 sides, 1 to 15 % of the page wide."""
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.5) else number(draws, 2, 6)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.15, 0.8)))
    page = paper.black_margin(paper.colour(sheet, draws), draws, 0.15)
    return scan_page(page, draws, [[text]])


def edge(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 5 digits that touch an edge of the picture or are cut by it: 35 to 100 % of the outer digit is left.

    A digit that shows less than half its height is not part of what is written. h 15 to 70 % of the page.
    """
    text = number(draws, 1, 1) if draws.happens("one_digit", 0.4) else number(draws, 2, 5)
    side = draws.one_of("side", ("left", "right", "top", "foot"))
    left = draws.uniform("left_of_outer_digit", 0.35, 1.0)
    left = 1.0 if draws.happens("whole", 0.4) else left
    line, height, sheet = bare_line(text, sources, draws, Style(share=(0.15, 0.7)))
    high, wide = sheet.shape
    width = line.width * height
    outer = line.glyphs[0 if side == "left" else -1].width * height
    x = float(draws.rng.uniform(2, max(3, wide - width - 2)))
    y = float(draws.rng.uniform(0.55 * height, max(0.6 * height, high - 0.55 * height)))
    if side in {"left", "right"}:
        x = -(1 - left) * outer if side == "left" else wide - width + (1 - left) * outer
    else:
        y = (left - 0.5) * height if side == "top" else high - (left - 0.5) * height
    shares = sheet.write(line, x, y, height, draws.rng)
    draws.values["shares_seen"] = [round(share, 2) for share in shares]
    seen = "".join(digit for digit, share in zip(text, shares, strict=True) if share >= 0.5)
    return scan_sheet(sheet, draws, [[seen]])


def tight(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a tight crop of one digit, its longer side 16 to 40 px; margins -0.04 to 0.04 of it, pen 0.06 to 0.18."""
    text = number(draws, 1, 1)
    line = lay_out(text, sources, draws, gap=0.3, pen=draws.log_uniform("pen", 0.06, 0.18))
    large = Sheet.blank(400, 400)
    large.write(line, 200 - line.width * 100, 200, 200, draws.rng)
    ys, xs = (np.flatnonzero(large.ink.max(axis=axis) > 0.3) for axis in (1, 0))
    more = draws.rng.uniform(-0.04, 0.04, 4) * 200
    draws.values["margins"] = [round(float(margin) / 200, 3) for margin in more]
    top, foot = max(0, int(ys[0] - more[0])), int(ys[-1] + more[1]) + 1
    first, last = max(0, int(xs[0] - more[2])), int(xs[-1] + more[3]) + 1
    page = paper.colour(Sheet(large.ink[top:foot, first:last], large.printed[top:foot, first:last]), draws)
    small = paper.shrunk(page, draws.whole("longer_side_px", 16, 40))
    return scan_page(small, draws, [[text]])


def turned(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits (a third of the pages: one), turned by 90, 180 or 270 degrees; h 15 to 80 % of the page.

    Texts whose digits all read as digits after the turn are left out.
    """
    by = int(draws.one_of("turned", ("90", "180", "270")))
    is_single = draws.happens("one_digit", 1 / 3)
    text = ""
    while not set(text) - set(_SAME_TURNED[by]):
        text = number(draws, 1, 1) if is_single else number(draws, 2, 6)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.15, 0.8)))
    page = np.ascontiguousarray(np.rot90(paper.colour(sheet, draws), by // 90))
    return scan_page(page, draws, [[text]])


def speck(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw one digit with 1 to 15 specks of at most 0.05, and up to 4 of 0.06 to 0.25 that lie 1.3 away from it."""
    text = number(draws, 1, 1)
    sheet, height = one_line(text, sources, draws, Style(share=(0.2, 0.7), room=1.6))
    near = paper.widened(sheet.ink, 1.3 * height)
    paper.specks(sheet, draws, draws.whole("specks", 1, 15), 0.01 * height, 0.05 * height)
    paper.specks(sheet, draws, draws.whole("large_specks", 0, 4), 0.06 * height, 0.25 * height, near)
    return scan_sheet(sheet, draws, [[text]])


def empty(_: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a page without writing: a frame, an empty table, rules, a comb or nothing, specks, half with a black margin.

    Page 120 to 1400 px high; 0 to 12 specks, each under 0.3 of a fortieth of the page's shorter side.
    """
    high = draws.log_uniform("page_px", 120, 1400)
    sheet = Sheet.blank(high, high * draws.uniform("aspect", 0.6, 2.0))
    high, wide = sheet.shape
    form = draws.one_of("form", ("frame", "table", "rules", "comb", "nothing"))
    thick, dark = draws.uniform("line_px", 1, 1 + high / 150), draws.uniform("darkness", 0.25, 1)
    x0, x1 = wide * draws.uniform("left", 0.02, 0.25), wide * draws.uniform("right", 0.75, 0.98)
    y0, y1 = high * draws.uniform("top", 0.02, 0.25), high * draws.uniform("foot", 0.75, 0.98)
    columns, lines = draws.whole("columns", 2, 8), draws.whole("lines", 2, 10)
    if form == "comb":
        y0 = max(y0, y1 - (x1 - x0) / columns)
    across = {"frame": (y0, y1), "comb": (y0, y1), "nothing": ()}.get(form, np.linspace(y0, y1, lines + 1))
    down = {"frame": (x0, x1), "rules": (), "nothing": ()}.get(form, np.linspace(x0, x1, columns + 1))
    for y in across:
        sheet.rule((x0, y), (x1, y), thick, dark)
    for x in down:
        sheet.rule((x, y0), (x, y1), thick, dark)
    small = max(6.0, min(high, wide) / 40)
    paper.specks(sheet, draws, draws.whole("specks", 0, 12), 0.05 * small, 0.28 * small)
    page = paper.colour(sheet, draws)
    if draws.happens("black_margin", 0.5):
        page = paper.black_margin(page, draws, 0.1)
    return scan_page(page, draws, [])


SIMPLE_PAGES: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    "single": single,
    "one_number": one_number,
    "two_numbers": two_numbers,
    "rows": rows,
    "table_lines": table_lines,
    "table_bare": table_bare,
    "comb": comb,
    "frame": frame,
    "minus": minus,
    "decimal": decimal,
    "date": date,
    "sum": sum_,
    "word": word,
    "desk": desk,
    "black_margin": black_margin,
    "edge": edge,
    "tight": tight,
    "thin_pen": thin_pen,
    "turned": turned,
    "speck": speck,
    "empty": empty,
}
