"""Draw numbers on paper whose surroundings are in the picture: dark margins, desks, edges of the paper.

One function draws one kind; its docstring lists the range of every parameter. h is the height of a digit. What all
kinds share is in `simple_pages`.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet
from digitrec.training.synthetic.pages.layouts import (
    DrawnPage,
    Style,
    draw_writer,
    number,
    one_line,
    scan_page,
    write_near,
)
from digitrec.training.synthetic.symbols import GlyphSources


def dark_margin(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 6 digits on paper beside a dark margin on 1 to 4 sides, each 1 to 45 % of the page wide.

    Half the margins are a scanner's black, the others a desk or a shadow. h 5 to 60 % of the page; on half the pages
    rules near the paper's edges, on a quarter a stroke under the number.
    """
    text = number(draws, 1, 3) if draws.happens("is_short", 0.6) else number(draws, 4, 6)
    style = Style(share=(0.05, 0.6), least_page=70, least_digit=16, room=1.5, is_ruled=False)
    sheet, height = one_line(text, sources, draws, style)
    _add_rules(sheet, draws, height)
    page = paper.colour(sheet, draws)
    is_black = draws.happens("is_black", 0.5)
    page = paper.black_margin(page, draws, 0.45) if is_black else paper.dark_border(page, draws, 0.45)
    return scan_page(page, draws, [[text]])


def note_on_desk(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a note of 1 to 6 lines of 1 or 2 numbers of 1 to 4 digits on a desk.

    2 to 4 edges of the paper are seen, the desk beside them 10 to 50 % of the paper wide, turned up to 20 degrees;
    paper 300 to 1100 px high, 0.6 to 1.5 times as wide, half of it ruled; h 3.5 to 12 % of it.
    """
    texts = [
        [number(draws, 1, 4) for _ in range(int(draws.rng.integers(1, 3)))] for _ in range(draws.whole("lines", 1, 6))
    ]
    high = draws.log_uniform("page_px", 300, 1100)
    wide = high * draws.uniform("aspect", 0.6, 1.5)
    height = max(16.0, high * draws.uniform("height_of_page", 0.035, 0.12))
    writer = draw_writer(draws, height)
    lines = [[writer.lay_out(text, sources, draws) for text in numbers] for numbers in texts]
    # At most four digits and a gap: two such numbers are about 9 digit heights wide.
    most = max(sum(line.width for line in row) + 2.0 * len(row) for row in lines) * height
    wide = max(wide, most + 2 * height)
    pitch = max(1.5 * height, min(0.9 * high / len(texts), height * draws.uniform("pitch", 1.5, 4)))
    high = max(high, pitch * len(texts) + 2 * height)
    sheet = Sheet.blank(high, wide)
    if draws.happens("is_ruled", 0.5):
        thick, dark = 1 + high / 700, draws.uniform("rule_darkness", 0.3, 0.8)
        step = max(1.2 * height, high * draws.uniform("rule_step", 0.05, 0.12))
        for y in np.arange(draws.uniform("first_rule", 0.5, 2) * step, high, step):
            sheet.rule((-1, y), (wide, y), thick, dark)
    top = float(draws.rng.uniform(0, max(0.0, high - pitch * len(texts))))
    for row, row_lines in enumerate(lines):
        spare = wide - sum(line.width for line in row_lines) * height - 2 * height
        left = height + float(draws.rng.uniform(0, max(1.0, spare - 2.0 * height * (len(row_lines) - 1))))
        for line in row_lines:
            write_near(sheet, line, left, top + (row + 0.5) * pitch, height, draws.rng)
            left += (line.width + 2.0) * height
    page = paper.colour(sheet, draws)
    while True:
        picture, ink = paper.on_desk(sheet, page, draws, edges=(2, 4), desk_share=(0.1, 0.5), turn=20)
        if paper.is_inside(ink):
            return scan_page(picture, draws, texts)


def edge_visible(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw two digits (a quarter: one or three) on paper of which 1 to 3 edges are seen; h 15 to 60 % of the paper.

    The table beside the paper is 2 to 30 % of it wide; turned up to 5 degrees.
    """
    text = number(draws, 2, 2) if draws.happens("two_digits", 0.75) else number(draws, 1, 3)
    sheet, _ = one_line(text, sources, draws, Style(share=(0.15, 0.6), least_page=120, room=1.6))
    page = paper.colour(sheet, draws)
    for _ in range(20):
        picture, ink = paper.on_desk(sheet, page, draws, edges=(1, 3), desk_share=(0.02, 0.3), turn=5)
        if paper.is_inside(ink):
            return scan_page(picture, draws, [[text]])
    return edge_visible(sources, draws)  # a number at the edge of the paper stays outside in any position


def _add_rules(sheet: Sheet, draws: Parameters, height: float) -> None:
    """Print rules between the number and the edges of the paper, and underline the number."""
    high, wide = sheet.shape
    ys, xs = (np.flatnonzero(sheet.ink.max(axis=axis) > 0.3) for axis in (1, 0))
    thick, dark = draws.uniform("line_px", 1, 1 + 0.06 * height), draws.uniform("darkness", 0.3, 1)
    for side in ("left", "right", "top", "foot"):
        free = {"left": xs[0], "right": wide - 1 - xs[-1], "top": ys[0], "foot": high - 1 - ys[-1]}[side]
        if not draws.happens(f"rule_{side}", 0.3) or free < 0.5 * height:
            continue
        away = float(draws.rng.uniform(0.02, 1)) * (free - 0.4 * height)
        at = away if side in {"left", "top"} else (wide if side == "right" else high) - 1 - away
        if side in {"left", "right"}:
            sheet.rule((at, -2), (at, high + 2), thick, dark)
        else:
            sheet.rule((-2, at), (wide + 2, at), thick, dark)
    if draws.happens("underlined", 0.25) and high - ys[-1] > 0.5 * height:
        y = ys[-1] + height * float(draws.rng.uniform(0.12, 0.35))
        ends = (xs[0] - 0.2 * height, xs[-1] + height * float(draws.rng.uniform(0, 0.4)))
        start, end = ((round(16 * x), round(16 * (y + draws.rng.normal(0, 0.03) * height))) for x in ends)
        cv2.line(sheet.ink, start, end, 1.0, max(1, round(0.06 * height)), cv2.LINE_AA, 4)


SURROUNDINGS: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    "dark_margin": dark_margin,
    "note_on_desk": note_on_desk,
    "edge_visible": edge_visible,
}
