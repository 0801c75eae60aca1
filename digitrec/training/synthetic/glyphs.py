"""Glyphs of freely licensed fonts, rendered once into `glyphs.npz`.

Their digits are training examples of print and handwriting scripts, their other symbols of non-digits.
`tools/render_glyphs.py` renders the file; docs/dev/fonts.md lists the fonts and their licences.
"""

import functools
import string
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 48
"""Width and height of a picture, pixels."""
DIGIT_HEIGHT = 36
"""From the top of a font's tallest digit to the bottom of its lowest, pixels."""
FILE = Path(__file__).with_name("glyphs.npz")
LOOKALIKES = "BDGIOQSZbgiloqsyz|!/()"
"""Symbols that may be mistaken for a digit, at least in handwriting: unsuitable examples of non-digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Glyphs:
    """Pictures of n single symbols from m fonts.

    A font keeps its proportions: its ten digits together are 36 px high and vertically centred, and its other symbols
    have the same scale and baseline, so that a point stays small. Symbols larger than 44 px are shrunk to that; each is
    horizontally centred.
    """

    pictures: NDArray[np.uint8]
    """(n, 48, 48), 0 = paper, 255 = ink, in steps of 17."""
    symbols: NDArray[np.str_]
    """(n,), one character each."""
    font: NDArray[np.int16]
    """(n,), index of the font in the next four arrays."""
    names: NDArray[np.str_]
    """(m,), name of the font file without its suffix."""
    kinds: NDArray[np.str_]
    """(m,), `hand` (handwriting, cursive script, brush) or `print`."""
    licences: NDArray[np.str_]
    """(m,)"""
    packages: NDArray[np.str_]
    """(m,), Debian package, or npm package if it starts with `@`."""

    def __len__(self) -> int:
        return len(self.pictures)

    def of(self, symbols: str) -> NDArray[np.uint8]:
        """Return the glyphs of these characters, (k, 48, 48).

        >>> load_glyphs().of("7").shape[1:]
        (48, 48)
        """
        return self.pictures[np.isin(self.symbols, list(symbols))]

    def digits(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the glyphs of digits, (k, 48, 48), and their digits, (k,)."""
        is_digit = np.isin(self.symbols, list(string.digits))
        return self.pictures[is_digit], self.symbols[is_digit].astype(np.int64)


@functools.cache
def load_glyphs(path: Path = FILE) -> Glyphs:
    """Return the glyphs of the package, cached; the arrays are read-only."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {field.name: archive[field.name] for field in fields(Glyphs)}
    for array in arrays.values():
        array.flags.writeable = False
    return Glyphs(**arrays)
