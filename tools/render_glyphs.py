"""Render digits, letters and signs of freely licensed fonts into `digitrec/training/synthetic/glyphs.npz`.

`tools/fonts.csv` names the fonts; docs/dev/fonts.md says where they come from and how to install them.
"""

import argparse
import csv
import io
import string
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digitrec.files import atomic_write
from digitrec.training.synthetic.glyphs import DIGIT_HEIGHT, FILE, SIDE, Glyphs

SYMBOLS = string.digits + string.ascii_uppercase + string.ascii_lowercase + ".,;:=-+#$%&?!()/*@<>~|\"'"
FINE = 4
"""Drawn this much larger first: smooth edges, and places to a quarter of a pixel."""
WIDEST = 44
"""Signs wider or higher than this are shrunk to it, pixels."""
_TRIAL_SIZE = 200.0
_STEP = 17  # 16 grey levels, 0, 17 .. 255: the file compresses to half
_TWIN = 0.12  # a letter less unlike a digit than this is that digit to the eye: the O of many fonts, the l of some
_ABSENT = "\U0010fffd"  # no font has it, so it draws as the font's sign for "missing"
_FAINTEST = 68  # a sign without a pixel this dark counts as blank

Picture: TypeAlias = NDArray[np.uint8]
"""(48, 48), 0 = paper, 255 = ink."""


@dataclass(frozen=True, slots=True)
class Font:
    """One row of the table of fonts."""

    file: str
    package: str
    licence: str
    kind: str
    """`hand` or `print`."""
    signs: str
    """`all`, or `digits` where the letters are digits again: seven segments have no other S than their 5."""


def save(glyphs: Glyphs, path: Path) -> None:
    """Write the arrays as a compressed npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {field.name: getattr(glyphs, field.name) for field in fields(glyphs)}
    np.savez_compressed(buffer, **arrays)
    atomic_write(path, buffer.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Render every font of the table; stop at one that is missing or lacks a digit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fonts", type=Path, action="append", help="folder to look in (default: /usr/share/fonts)")
    parser.add_argument("--table", type=Path, default=Path(__file__).with_name("fonts.csv"))
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--sheet", type=Path, help="also draw all glyphs, one font a line, as this PNG")
    given = parser.parse_args(arguments)
    with given.table.open(encoding="utf-8", newline="") as lines:
        fonts = [Font(**row) for row in csv.DictReader(lines)]
    font_paths = find(given.fonts or [Path("/usr/share/fonts")])
    missing = sorted({f"{font.package} ({font.file})" for font in fonts if font.file not in font_paths})
    if missing:
        raise SystemExit(f"Install these first, or name their folder with --fonts: {', '.join(missing)}")
    drawn = [render(font, font_paths[font.file]) for font in fonts]
    glyphs = Glyphs(
        pictures=np.stack([picture for rendered in drawn for picture in rendered.values()]),
        symbols=np.array([symbol for rendered in drawn for symbol in rendered]),
        font=np.array([index for index, rendered in enumerate(drawn) for _ in rendered], np.int16),
        names=np.array([Path(font.file).stem for font in fonts]),
        kinds=np.array([font.kind for font in fonts]),
        licences=np.array([font.licence for font in fonts]),
        packages=np.array([font.package for font in fonts]),
    )
    save(glyphs, given.out)
    print(f"{len(glyphs.pictures)} glyphs of {len(fonts)} fonts, {given.out.stat().st_size / 1e6:.2f} MB")
    if given.sheet:
        sheet(glyphs).save(given.sheet)


def find(folders: list[Path]) -> dict[str, Path]:
    """File name -> path of every file below the folders; where a name occurs twice, the first in order."""
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            paths.setdefault(path.name, path)
    return paths


def render(font: Font, path: Path) -> dict[str, Picture]:
    """The picture of each symbol that this font has, leaving out those that are one of its digits in another size.

    Raises:
        SystemExit: the font lacks a digit.
    """
    trial = _opened(path, _TRIAL_SIZE)
    inks = [_ink(trial, digit) for digit in string.digits]
    top = min(rise for _, rise in inks)
    bottom = max(rise + ink.height for ink, rise in inks)
    scale = DIGIT_HEIGHT * FINE / (bottom - top)
    face = _opened(path, _TRIAL_SIZE * scale)
    # The ten digits together stand in the middle of the frame; their baseline is that of every other symbol.
    baseline = (SIDE - DIGIT_HEIGHT) / 2 * FINE - top * scale
    absent = bytes(face.getmask(_ABSENT))
    drawn: dict[str, Picture] = {}
    for symbol in SYMBOLS if font.signs == "all" else string.digits:
        if bytes(face.getmask(symbol)) != absent:
            picture = _framed(face, symbol, baseline)
            if picture.max() >= _FAINTEST:
                drawn[symbol] = picture
    lacking = sorted(set(string.digits) - set(drawn))
    if lacking:
        raise SystemExit(f"{font.file} has no {', '.join(lacking)}; take it out of the table.")
    digits = [_enlarged(drawn[digit]) for digit in string.digits]
    return {
        symbol: picture
        for symbol, picture in drawn.items()
        if symbol in string.digits or min(_unlike(_enlarged(picture), digit) for digit in digits) > _TWIN
    }


def sheet(glyphs: Glyphs) -> Image.Image:
    """Every glyph, a font a line, its number in front: to be looked at."""
    rows = np.bincount(glyphs.font)
    page = Image.new("L", (SIDE * (rows.max() + 1), SIDE * len(rows)), 255)
    pen = ImageDraw.Draw(page)
    for index in range(len(rows)):
        pen.text((2, index * SIDE + 2), f"{index}\n{glyphs.names[index][:8]}", fill=0)
        for column, picture in enumerate(glyphs.pictures[glyphs.font == index], start=1):
            page.paste(Image.fromarray(255 - picture), (column * SIDE, index * SIDE))
    return page


def _opened(path: Path, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _ink(face: ImageFont.FreeTypeFont, symbol: str) -> tuple[Image.Image, int]:
    """Crop the symbol to its ink, and return the distance of its top below the baseline (mostly negative)."""
    left, top, right, bottom = (round(edge) for edge in face.getbbox(symbol, anchor="ls"))
    room = 4 * FINE  # getbbox goes by the outline; antialiasing may leave it by a pixel
    canvas = Image.new("L", (max(1, right - left) + 2 * room, max(1, bottom - top) + 2 * room))
    ImageDraw.Draw(canvas).text((room - left, room - top), symbol, fill=255, font=face, anchor="ls")
    box = canvas.getbbox()
    if box is None:
        return Image.new("L", (1, 1)), 0
    return canvas.crop(box), box[1] + top - room


def _framed(face: ImageFont.FreeTypeFont, symbol: str, baseline: float) -> Picture:
    """(48, 48) uint8, in steps of 17; `baseline` in fine pixels from the top of the frame."""
    ink, rise = _ink(face, symbol)
    top = baseline + rise
    larger = max(ink.size) / (WIDEST * FINE)
    if larger > 1:
        middle = top + ink.height / 2
        ink = ink.resize((max(1, round(ink.width / larger)), max(1, round(ink.height / larger))), Image.Resampling.BOX)
        top = middle - ink.height / 2
    margin = (SIDE - WIDEST) // 2 * FINE
    top = min(max(round(top), margin), SIDE * FINE - margin - ink.height)
    frame = Image.new("L", (SIDE * FINE, SIDE * FINE))
    frame.paste(ink, ((frame.width - ink.width) // 2, top))
    grey = np.asarray(frame.reduce(FINE), np.float64)
    return (np.rint(grey / _STEP) * _STEP).astype(np.uint8)


def _enlarged(picture: Picture) -> Picture:
    """The ink alone, its longer side at 36 px, in the middle of (48, 48): as a reader of single digits sees it."""
    page = Image.fromarray(picture)
    ink = page.crop(page.getbbox())
    larger = DIGIT_HEIGHT / max(ink.size)
    ink = ink.resize((max(1, round(ink.width * larger)), max(1, round(ink.height * larger))), Image.Resampling.BILINEAR)
    frame = Image.new("L", page.size)
    frame.paste(ink, ((SIDE - ink.width) // 2, (SIDE - ink.height) // 2))
    return np.asarray(frame)


def _unlike(first: Picture, other: Picture) -> float:
    """0.0 = the same ink, 1.0 = none in common."""
    apart = np.abs(first.astype(np.int64) - other).sum()
    return float(apart / (first.sum(dtype=np.int64) + other.sum(dtype=np.int64)))


if __name__ == "__main__":
    main()
