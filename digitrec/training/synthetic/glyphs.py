"""Digits, letters and signs of freely licensed fonts, drawn once and kept in `glyphs.npz` beside this module.

The networks learn printed digits and the shapes of school scripts from the digits, and what is no digit from
the rest. `tools/render_glyphs.py` draws the file; docs/fonts.md lists the fonts and their licences.
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
"""Signs that by themselves may be taken for a digit, in handwriting at least: poor examples of what is none."""

Kind = Literal["hand", "print"]


@dataclass(frozen=True, slots=True, eq=False)
class Glyphs:
    """Pictures of single signs: n of them, from m fonts.

    A font keeps its proportions: its ten digits together are 36 px high and stand in the middle of the frame, and every
    other sign of it has the same scale and baseline, so that a point stays small. Signs that would be larger than
    44 px are shrunk to that; each is centred from left to right.
    """

    pictures: NDArray[np.uint8]
    """(n, 48, 48), 0 = paper, 255 = ink, in steps of 17."""
    symbols: NDArray[np.str_]
    """(n,), the sign shown, one character each."""
    font: NDArray[np.int16]
    """(n,), which font it is from: the index into the next four."""
    names: NDArray[np.str_]
    """(m,), the font file without its suffix."""
    kinds: NDArray[np.str_]
    """(m,), `hand` (handwriting, school script, brush) or `print`."""
    licences: NDArray[np.str_]
    """(m,)"""
    packages: NDArray[np.str_]
    """(m,), the Debian package, or the npm package where it starts with `@`."""

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, symbols: str, kind: Kind | None = None) -> NDArray[np.intp]:
        """Indices of the pictures that show one of these characters, (k,), from fonts of this kind (None: of any)."""
        chosen = np.isin(self.symbols, list(symbols))
        if kind is not None:
            chosen &= self.kinds[self.font] == kind
        return np.flatnonzero(chosen)

    def of(self, symbols: str, kind: Kind | None = None) -> NDArray[np.uint8]:
        """Pictures that show one of these characters, (k, 48, 48), from fonts of this kind (None: of any).

        >>> load().of("7").shape[1:]
        (48, 48)
        """
        return self.pictures[self.where(symbols, kind)]

    def digits(self, kind: Kind | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pictures of digits, (k, 48, 48), and which digit each shows, (k,)."""
        chosen = self.where(string.digits, kind)
        return self.pictures[chosen], self.symbols[chosen].astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the arrays as a compressed npz; the same arrays give the same bytes."""
        packed = io.BytesIO()
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(packed, **arrays)
        atomic_write(path, packed.getvalue())


@functools.cache
def load_glyphs(path: Path = FILE) -> Glyphs:
    """Read the glyphs that come with the package; read once, the arrays are read-only."""
    with np.load(path, allow_pickle=False) as packed:
        arrays = {field.name: packed[field.name] for field in fields(Glyphs)}
    for array in arrays.values():
        array.flags.writeable = False
    return Glyphs(**arrays)
