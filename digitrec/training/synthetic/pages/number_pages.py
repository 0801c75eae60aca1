"""Draw pages with many numbers and no frames: rows, lists, pages of digits, slanting lines, turned and large pages.

One function draws one kind; its docstring lists the range of every parameter. Lengths are over the height h of a digit
unless the docstring says otherwise. What all kinds share is in `simple_pages`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Line, Parameters, Sheet
from digitrec.training.synthetic.pages.layouts import (
    DrawnPage,
    Writer,
    draw_writer,
    number,
    scan_page,
    scan_sheet,
    write_near,
)
from digitrec.training.synthetic.symbols import GlyphSources

_MOST_PX = 2_000_000
"""Larger pages are drawn smaller, except `big_page`: a page of 40 numbers is drawn in half a second."""
_LEAST_ON_BIG_PAGE = 60
_MM_PER_INCH = 25.4
_A4_MM = (210.0, 297.0)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A number and its position; lengths over h."""

    line: Line
    left: float
    middle: float


def free_rows(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 2 to 8 lines of 1 to 6 numbers of 1 to 5 digits without rules, 1.2 to 5 apart.

    h 16 to 80 px, pitch 1.3 to 2.6, lines indented by up to 3 on half the pages.
    """
    texts = _texts(draws, (2, 8), (1, 6), (1, 5))
    return scan_sheet(_rows_sheet(texts, sources, draws), draws, texts)


def digit_page(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 12 to 40 single digits, 1.2 to 4 apart, or a list of 10 to 25 numbers of 1 to 4 digits, one a line.

    Lines slant up to 10 degrees; h 18 to 90 px, pitch 1.5 to 4.
    """
    if draws.happens("is_list", 0.35):
        texts = [[number(draws, 1, 4)] for _ in range(draws.whole("lines", 10, 25))]
        pitch = (1.3, 2.2)
    else:
        columns = draws.whole("columns", 4, 8)
        texts = [[number(draws, 1, 1) for _ in range(columns)] for _ in range(draws.whole("lines", 3, 5))]
        pitch = (1.5, 4.0)
    sheet = _rows_sheet(texts, sources, draws, pitch=pitch, apart=(1.2, 4), slant_degrees=10)
    page = paper.colour(sheet, draws)
    if draws.happens("photographed", 0.5):
        page = paper.tilted(page, draws, 2, 0.03)
    return scan_page(page, draws, texts)


def slanted(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw 1 to 5 lines of 1 to 3 numbers of 2 to 6 digits, 1.2 to 2 apart, that slant by 4 to 35 degrees either way.

    Half the pages are turned as a whole, on the others the digits stand upright. h 18 to 80 px, pitch 1.6 to 2.6.
    """
    texts = _texts(draws, (1, 5), (1, 3), (2, 6))
    sheet = _rows_sheet(texts, sources, draws, pitch=(1.6, 2.6), apart=(1.2, 2), is_ruled=False)
    angle = draws.uniform("slant_degrees", 4, 35) * (1 if draws.happens("falls", 0.5) else -1)
    turned = _slant(sheet, angle, is_turned=draws.happens("is_turned", 0.5))
    return scan_sheet(turned, draws, texts)


def turned_page(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw a page of 2 to 6 lines of 1 to 4 numbers of 2 to 5 digits, turned by 90, 180 or 270 degrees."""
    by = int(draws.one_of("turned", ("90", "180", "270")))
    texts = _texts(draws, (2, 6), (1, 4), (2, 5))
    page = paper.colour(_rows_sheet(texts, sources, draws), draws)
    return scan_page(np.ascontiguousarray(np.rot90(page, by // 90)), draws, texts)


def big_page(sources: GlyphSources, draws: Parameters) -> DrawnPage:
    """Draw an A4 page of 60 to 150 numbers of 1 to 5 digits at 150, 200 or 300 dpi.

    h 3.2 to 7.5 mm, less where 60 numbers do not fit; numbers 1.3 to 4 apart, pitch 1.5 to 3; a third in landscape.
    """
    dpi = int(draws.one_of("dpi", ("150", "200", "300"), (0.3, 0.3, 0.4)))
    wide_mm, high_mm = _A4_MM[::-1] if draws.happens("landscape", 1 / 3) else _A4_MM
    wide, high = wide_mm / _MM_PER_INCH * dpi, high_mm / _MM_PER_INCH * dpi
    longest, count = draws.whole("longest", 1, 5), draws.whole("count", _LEAST_ON_BIG_PAGE, 150)
    apart, pitch = draws.uniform("apart", 1.3, 4), draws.uniform("pitch", 1.5, 3)
    height = draws.uniform("digit_mm", 3.2, 7.5) / _MM_PER_INCH * dpi
    while True:
        writer = draw_writer(draws, height, gap=(0.05, 0.35))
        size = (wide / height, high / height)
        texts, placed = _fill(size, count, longest, apart, pitch, writer, sources, draws)
        if sum(map(len, texts)) >= _LEAST_ON_BIG_PAGE:
            break
        height *= 0.8
    sheet = Sheet.blank(high, wide)
    paper.background(sheet, draws, height)
    _write(sheet, placed, writer, draws)
    return scan_sheet(sheet, draws, texts)


def _fill(
    size: tuple[float, float],
    count: int,
    longest: int,
    apart: float,
    pitch: float,
    writer: Writer,
    sources: GlyphSources,
    draws: Parameters,
) -> tuple[list[list[str]], list[list[_Placed]]]:
    """Fill a page of this width and height with up to `count` numbers, line by line; return their texts and places."""
    wide, high = size
    margin = draws.uniform("margin", 1.2, 3.5)
    texts: list[list[str]] = [[]]
    placed: list[list[_Placed]] = [[]]
    left, middle = margin, margin + 0.5
    while sum(map(len, texts)) < count:
        text = number(draws, 1, longest)
        line = writer.lay_out(text, sources, draws)
        if left + line.width > wide - margin and texts[-1]:
            left, middle = margin, middle + pitch
            if middle > high - margin:
                break
            placed.append([])
            texts.append([])
        placed[-1].append(_Placed(line, left, middle))
        texts[-1].append(text)
        left += line.width + apart * float(draws.rng.uniform(0.8, 1.6))
    return texts, placed


def _texts(
    draws: Parameters, lines: tuple[int, int], numbers: tuple[int, int], digits: tuple[int, int]
) -> list[list[str]]:
    """Draw the numbers of each line; the ranges include both ends."""
    most, longest = draws.whole("numbers", *numbers), draws.whole("longest", *digits)
    return [
        [number(draws, digits[0], longest) for _ in range(int(draws.rng.integers(numbers[0], most + 1)))]
        for _ in range(draws.whole("lines", *lines))
    ]


def _rows_sheet(
    texts: Sequence[Sequence[str]],
    sources: GlyphSources,
    draws: Parameters,
    *,
    pitch: tuple[float, float] = (1.3, 2.6),
    apart: tuple[float, float] = (1.2, 5),
    slant_degrees: float = 0.0,
    is_ruled: bool = True,
) -> Sheet:
    """Write lines of numbers on a sheet that they fit on.

    Args:
        texts: the numbers of each line.
        sources: of the digits.
        draws: what chance decides.
        pitch: range of the distance between two lines.
        apart: range of the free space between two numbers of a line.
        slant_degrees: largest angle of the lines; less where the line of a number would be ambiguous.
        is_ruled: whether the paper may be ruled or squared.
    """
    writer = draw_writer(draws, draws.log_uniform("height", 18, 80))
    step, space = draws.uniform("pitch", *pitch), draws.uniform("apart", *apart)
    slope = float(np.tan(np.deg2rad(draws.uniform("slope_degrees", -slant_degrees, slant_degrees))))
    slope = float(np.clip(slope, -0.3 * step / space, 0.3 * step / space))
    indent = draws.uniform("indent", 0, 3) if draws.happens("is_indented", 0.5) else 0.1
    margin_x, margin_y = (draws.uniform(name, 0.3, 2.5) for name in ("margin_x", "margin_y"))
    rows: list[list[_Placed]] = []
    for row, numbers in enumerate(texts):
        left = margin_x + float(draws.rng.uniform(0, indent))
        rows.append([])
        for text in numbers:
            line = writer.lay_out(text, sources, draws)
            rows[-1].append(_Placed(line, left, margin_y + (row + 0.5) * step + slope * left))
            left += line.width + space * float(draws.rng.uniform(1, 1.3))
    placed = [item for row in rows for item in row]
    lowest = min(item.middle for item in placed)
    rise = max(0.0, margin_y + 0.5 - lowest)  # lines that rise to the right
    wide = max(item.left + item.line.width for item in placed) + margin_x
    high = max(item.middle for item in placed) + rise + 0.5 + margin_y
    height = min(writer.height, (_MOST_PX / (wide * high)) ** 0.5)
    writer = Writer(writer.hand, max(writer.pen, 1.0 / height), writer.gap, height, writer.shift)
    sheet = Sheet.blank(high * height, wide * height)
    if is_ruled:
        paper.background(sheet, draws, height)
    moved = [[_Placed(item.line, item.left, item.middle + rise) for item in row] for row in rows]
    _write(sheet, moved, writer, draws)
    return sheet.with_margin(max(2, round(0.05 * height)))


def _write(sheet: Sheet, rows: Sequence[Sequence[_Placed]], writer: Writer, draws: Parameters) -> None:
    for row in rows:
        for item in row:
            shift = float(np.clip(draws.rng.normal(0, writer.shift / 2), -0.15, 0.15))
            write_near(
                sheet,
                item.line,
                item.left * writer.height,
                (item.middle + shift) * writer.height,
                writer.height,
                draws.rng,
            )


def _slant(sheet: Sheet, degrees: float, *, is_turned: bool) -> Sheet:
    """Return the sheet turned by an angle, or with its columns shifted so that its lines fall by that angle."""
    height, width = sheet.shape
    slope = np.tan(np.deg2rad(degrees))
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array([[cos, -sin], [sin, cos]] if is_turned else [[1, 0], [slope, 1]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ matrix.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    affine = np.column_stack([matrix, -low]).astype(np.float32)  # (2, 3)
    size = (int(np.ceil(high[0] - low[0])), int(np.ceil(high[1] - low[1])))
    ink = np.asarray(cv2.warpAffine(sheet.ink, affine, size, flags=cv2.INTER_LINEAR), np.float32)
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 0.2) for axis in (1, 0))
    # Half of the sheet around a slanting line is empty: keep the margin that the lines had.
    margin = max(4, round(0.1 * min(height, width)))
    top, foot = max(0, int(rows[0]) - margin), min(size[1], int(rows[-1]) + margin)
    left, right = max(0, int(columns[0]) - margin), min(size[0], int(columns[-1]) + margin)
    inside = ink[top:foot, left:right]
    return Sheet(inside, np.zeros_like(inside))


NUMBER_PAGES: Mapping[str, Callable[[GlyphSources, Parameters], DrawnPage]] = {
    "free_rows": free_rows,
    "digit_page": digit_page,
    "slanted": slanted,
    "turned_page": turned_page,
    "big_page": big_page,
}
