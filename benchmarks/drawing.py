"""Draws a set of pictures to measure with: `python -m benchmarks.drawing KIND COUNT FOLDER [--data SET]`.

The pictures go into FOLDER/pictures, what they say into FOLDER/labels.csv, the source of the digits into
FOLDER/source.txt. Each picture depends on its number only, so that a larger set begins with a smaller one.
"""

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from benchmarks.kinds import DIGITS, PHOTOS, SCANS, SHEETS, STRIPS, TABLES
from digitrec.arrays import Picture
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic import background, samples, strokes
from digitrec.training.synthetic.glyphs import load_glyphs
from digitrec.training.synthetic.pages import demo_table, layouts, paper
from digitrec.training.synthetic.pages.drawing import Parameters
from digitrec.training.synthetic.strokes import Floats, HandwritingStyle
from digitrec.training.synthetic.symbols import GlyphSources

_SEED = 2_800
_A4_PX = (3508, 2480)
_MM_PX = 300 / 25.4
_PHOTO_PX = (4032, 3024)
_FINER = 4
"""Digits of 28 pixels become several hundred wide: enlarged this many times first, their edges stay round."""
_SMALL = 8
"""Light falls softly: it is worked out at an eighth of a photo's size."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A file, and what it says."""

    suffix: str
    content: bytes
    text: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw one set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("kind", choices=[*DRAWERS])
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="mnist", help="the digits to draw with (what digitrec --data takes)")
    given = parser.parse_args(arguments)
    write(given.kind, given.count, given.folder, given.data)


def write(kind: str, count: int, folder: Path, data: str) -> None:
    """Draw `count` pictures of a kind into a folder that is not there yet."""
    dataset = registry.load_dataset(data)
    parts = [dataset.evaluation] + ([dataset.train] if dataset.test is not None else [])
    pictures = np.concatenate([part.pictures for part in parts])  # those that no training saw come first
    digits = Split("all", pictures, np.concatenate([part.digits for part in parts]))
    (folder / "pictures").mkdir(parents=True)
    draw = DRAWERS[kind]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as table:
        labels = csv.writer(table)
        for number in range(count):
            drawn = draw(digits, number, np.random.default_rng((_SEED, [*DRAWERS].index(kind), number)))
            name = f"{number:06}{drawn.suffix}"
            (folder / "pictures" / name).write_bytes(drawn.content)
            labels.writerow([name, drawn.text])
    (folder / "source.txt").write_text(dataset.source + "\n", encoding="utf-8")


def _digit(digits: Split, number: int, _: Generator) -> Drawn:
    """Dark on light, as the data set has it. Once all are used up they come again, with one grain of dust more each."""
    round_, place = divmod(number, len(digits))
    page = 255 - digits.pictures[place]
    if round_:
        depth, spot = divmod(round_ - 1, 28)
        page[0, spot] = 254 - depth
    return Drawn(".png", _encoded(".png", page), str(digits.digits[place]))


def _scan(digits: Split, _: int, rng: Generator) -> Drawn:
    """As `digitrec samples` draws them, but JPEG all of them."""
    place = int(rng.integers(len(digits)))
    page = samples.generate_page_and_ink(digits.pictures[place], rng)[0]
    return _jpeg(page, str(digits.digits[place]), rng)


def _sheet(digits: Split, _: int, rng: Generator) -> Drawn:
    """A sheet from a flatbed scanner, bare, ruled or squared, with one to five digits of 12 to 45 mm in a row."""
    ink = np.zeros(_A4_PX, np.float32)
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 6))
    high = float(rng.uniform(12, min(45.0, 150.0 / count))) * _MM_PX
    text = _written(ink, digits, count, high, rng)
    page = np.full(_A4_PX, rng.uniform(232, 250), np.float32)
    pitch, pale = rng.uniform(5, 10) * _MM_PX, float(rng.uniform(20, 70))
    kind = rng.random()
    for start in np.arange(pitch, _A4_PX[0], pitch) if kind < 0.6 else ():
        page[round(start) : round(start) + 3] -= pale
    for start in np.arange(pitch, _A4_PX[1], pitch) if kind < 0.3 else ():
        page[:, round(start) : round(start) + 3] -= pale
    page += (np.float32(rng.uniform(20, 90)) - page) * ink
    return _jpeg(_exposed(page, 1 / 3, rng), text, rng)


def _photo(digits: Split, _: int, rng: Generator) -> Drawn:
    """A telephone's picture of a textured sheet in uneven light, upright or across, with one digit, sometimes more."""
    shape = _PHOTO_PX if rng.random() < 0.7 else _PHOTO_PX[::-1]
    small = (shape[0] // _SMALL, shape[1] // _SMALL)
    ink = np.zeros(shape, np.float32)
    count = 1 if rng.random() < 0.8 else int(rng.integers(2, 4))
    text = _written(ink, digits, count, float(rng.uniform(0.15, 0.5)) * min(shape) / count**0.5, rng)
    texture = cv2.GaussianBlur(rng.standard_normal(small).astype(np.float32), (0, 0), rng.uniform(0.6, 2.5))
    texture = texture * np.float32(rng.uniform(1, 4) / max(float(texture.std()), 1e-6))
    ground = (np.float32(rng.uniform(150, 235)) + texture) * background.simulate_light(*small, rng)
    page = np.asarray(cv2.resize(ground, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    page *= 1 - ink * np.float32(rng.uniform(0.6, 0.9))
    return _jpeg(_exposed(page, 1.0, rng), text, rng)


def _table(digits: Split, _: int, rng: Generator, *, rows: int, columns: int) -> Drawn:
    """A printed grid with a number of one to three digits in each cell, all by one hand."""
    sources, draws = GlyphSources.from_digits(digits.pictures, digits.digits, load_glyphs()), Parameters(rng)
    params, sheet = demo_table.PARAMS, demo_table.print_grid(rows, columns)
    writer = layouts.draw_writer(draws, params.digit_px, pen=(0.08, 0.12), gap=(0.2, 0.3))
    texts = [layouts.number(draws, 1, 3) for _ in range(rows * columns)]
    for index, text in enumerate(texts):
        line = writer.lay_out(text, sources, draws)
        left = params.margin_px + (index % columns + 0.5) * params.column_px - line.width * writer.height / 2
        middle = params.margin_px + (index // columns + 0.5) * params.row_px
        layouts.write_near(sheet, line, left, middle, writer.height, rng)
    page = paper.colour(sheet, draws, {"black": paper.PRINTS["black"]})
    return _jpeg(np.clip(np.rint(page), 0, 255).astype(np.uint8), " ".join(texts), rng)


def _written(ink: Floats, digits: Split, count: int, high: float, rng: Generator) -> str:
    """Write a row of digits, about `high` pixels high, somewhere on the sheet; gives what it says."""
    hand = HandwritingStyle(
        slant=float(rng.normal(0.08, 0.15)),
        angle=float(np.deg2rad(rng.normal(0, 3))),
        grow=_FINER * float(rng.uniform(-0.5, 0.4)),
        wobble=_FINER * float(rng.uniform(0, 0.5)),
        narrow=1.0,
    )
    step = 0.85 * high
    room = np.maximum(np.array(ink.shape) - [1.6 * high, step * (count - 1) + 1.6 * high], 0.0)
    y, x = 0.8 * high + room * rng.random(2)
    text = ""
    for place in rng.integers(len(digits), size=count):
        large = cv2.resize(digits.pictures[place], None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_CUBIC)
        field = strokes.distance_field(np.asarray(large, np.uint8))
        _, top, _, bottom = strokes.bounding_box(field)
        strokes.write_glyph(ink, field, hand, (x, y), high / max(bottom - top, 1.0), rng, edge_px=2.0)
        text += str(digits.digits[place])
        x += step
    return text


def _exposed(page: Floats, noise: float, rng: Generator) -> Picture:
    """A grey page in colour, with a tint and the noise of a sensor: (h, w, 3) RGB."""
    page = page + rng.standard_normal(page.shape, np.float32) * np.float32(noise * rng.uniform(1, 5))
    tint = np.array([1.0, rng.uniform(0.97, 1.0), rng.uniform(0.9, 1.0)], np.float32)
    picture: Picture = np.clip(np.rint(page[..., None] * tint), 0, 255).astype(np.uint8)
    return picture


def _jpeg(page: Picture, text: str, rng: Generator) -> Drawn:
    """In colour, or grey as office scanners are often set."""
    is_grey = rng.random() < 0.3
    picture = np.asarray(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY if is_grey else cv2.COLOR_RGB2BGR), np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))]
    return Drawn(".jpg", _encoded(".jpg", picture, quality), text)


def _encoded(suffix: str, picture: Picture, how: Sequence[int] = ()) -> bytes:
    done, content = cv2.imencode(suffix, picture, how)
    if not done:
        raise SystemExit(f"a picture of shape {picture.shape} cannot be written as {suffix}")
    return content.tobytes()


DRAWERS: Mapping[str, Callable[[Split, int, Generator], Drawn]] = {
    DIGITS: _digit,
    SCANS: _scan,
    SHEETS: _sheet,
    PHOTOS: _photo,
    TABLES: partial(_table, rows=16, columns=7),
    STRIPS: partial(_table, rows=1, columns=9),
}


if __name__ == "__main__":
    main()
