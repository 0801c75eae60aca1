"""Draw the photo of `digitrec demo`: a small ruled table in which single digits are written over."""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic.glyphs import load_glyphs
from digitrec.training.synthetic.pages import paper
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet
from digitrec.training.synthetic.pages.layouts import draw_writer, write_near
from digitrec.training.synthetic.symbols import GlyphSources

NAME = "table.jpg"


@dataclass(frozen=True, slots=True)
class DemoTableParams:
    """Content and layout of the table; set by hand."""

    texts: tuple[tuple[str, ...], ...] = (
        ("12", "340", "7"),
        ("25", "186", "9"),
        ("8", "278", "14"),
        ("31", "405", "62"),
    )
    seed: int = 10
    row_px: float = 64
    column_px: float = 150
    margin_px: float = 40
    digit_px: float = 38
    rule_px: float = 2
    doubtful: tuple[tuple[int, int, str], ...] = ((2, 1, "273"),)
    """Row, column and former text of each number whose last digit is written over."""
    jpeg_quality: int = 88


PARAMS = DemoTableParams()


def draw_demo_table(digits: Split, params: DemoTableParams = PARAMS) -> tuple[bytes, str]:
    """Return the photo as JPEG, and its text as the main table has it; the same digits give the same bytes."""
    draws = Parameters(np.random.default_rng(params.seed))
    before = {(row, column): text for row, column, text in params.doubtful}
    sources = GlyphSources.from_digits(digits.pictures, digits.digits, load_glyphs())
    writer = draw_writer(draws, params.digit_px, pen=(0.08, 0.1), gap=(0.2, 0.3))
    sheet = print_grid(len(params.texts), len(params.texts[0]), params)
    for row, texts in enumerate(params.texts):
        for column, text in enumerate(texts):
            x, y = params.margin_px + (column + 0.5) * params.column_px, params.margin_px + (row + 0.5) * params.row_px
            line = writer.lay_out(before.get((row, column), text), sources, draws)
            left = x - line.width * writer.height / 2
            write_near(sheet, line, left, y, writer.height, draws.rng)
            if (row, column) in before:
                above = writer.lay_out(text[-1], sources, draws)
                left += (line.glyphs[-1].x - above.width / 2) * writer.height
                write_near(sheet, above, left, y, writer.height, draws.rng)
    page = paper.colour(sheet, draws, {"black": paper.PRINTS["black"]})
    picture, _ = paper.on_desk(sheet, page, draws, edges=(4, 4), desk_share=(0.05, 0.1), turn=3)
    photo = np.clip(np.rint(cv2.GaussianBlur(picture, (0, 0), 0.6)), 0, 255).astype(np.uint8)
    file = paper.as_file(np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), np.uint8), params.jpeg_quality)
    return file.content, " ".join(text for texts in params.texts for text in texts)


def print_grid(rows: int, columns: int, params: DemoTableParams = PARAMS) -> Sheet:
    """Return a sheet with the rules of a table on it."""
    margin, right, foot = params.margin_px, columns * params.column_px, rows * params.row_px
    sheet = Sheet.blank(foot + 2 * margin, right + 2 * margin)
    for row in range(rows + 1):
        y = margin + row * params.row_px
        sheet.rule((margin, y), (margin + right, y), params.rule_px)
    for column in range(columns + 1):
        x = margin + column * params.column_px
        sheet.rule((x, margin), (x, margin + foot), params.rule_px)
    return sheet
