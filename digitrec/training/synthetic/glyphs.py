"""Glyphs of freely licensed fonts, rendered once into `glyphs.npz`.

Their digits are training examples of print and handwriting scripts, their other symbols of non-digits.
`tools/render_glyphs.py` renders the file; docs/dev/fonts.md lists the fonts and their licences.
"""

import functools
import io
import string
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digitrec.files import atomic_write

SIDE = 48
"""Width and height of a picture, pixels."""
DIGIT_HEIGHT = 36
"""From the top of a font's tallest digit to the bottom of its lowest, pixels."""
FILE = Path(__file__).with_name("glyphs.npz")
LOOKALIKES = "BDGIOQSZbgiloqsyz|!/()"
"""Symbols that may be mistaken for a digit, at least in handwriting: unsuitable examples of non-digits."""

Kind = Literal["hand", "print"]


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

    def where(self, symbols: str, kind: Kind | None = None) -> NDArray[np.intp]:
        """Return the indices of the glyphs of these characters, (k,), from fonts of this kind (None: of any)."""
        is_chosen = np.isin(self.symbols, list(symbols))
        if kind is not None:
            is_chosen &= self.kinds[self.font] == kind
        return np.flatnonzero(is_chosen)

    def of(self, symbols: str, kind: Kind | None = None) -> NDArray[np.uint8]:
        """Return the glyphs of these characters, (k, 48, 48), from fonts of this kind (None: of any).

        >>> load_glyphs().of("7").shape[1:]
        (48, 48)
        """
        return self.pictures[self.where(symbols, kind)]

    def digits(self, kind: Kind | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the glyphs of digits, (k, 48, 48), and their digits, (k,)."""
        indices = self.where(string.digits, kind)
        return self.pictures[indices], self.symbols[indices].astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed npz; the same arrays give the same bytes."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(buffer, **arrays)
        atomic_write(path, buffer.getvalue())


@functools.cache
def load_glyphs(path: Path = FILE) -> Glyphs:
    """Return the glyphs of the package, cached; the arrays are read-only."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {field.name: archive[field.name] for field in fields(Glyphs)}
    for array in arrays.values():
        array.flags.writeable = False
    return Glyphs(**arrays)
