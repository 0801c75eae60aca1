"""Crops and strips in numbers, flattened as the networks will see them and stored in a quarter of the room."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Plane, flattened, in_square
from digitrec.recognition.segmenter import SIDE
from digitrec.training.synthetic import parallel, text_lines
from digitrec.training.synthetic.crops import crop
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.strokes import Dice
from digitrec.training.synthetic.symbols import Sources

_STEP, _PAPER = 32, 128
"""A stored level is 128 + 32 times the flattened one: all of -4.0..4.0 fits."""
_ROUND_TO = 32
"""Strips are filled up with paper to a multiple of this width."""


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """What the ink network learns from."""

    levels: Picture
    """(n, 64, 64), stored."""
    ink: Picture
    """(n, 64, 64), 0 = paper, 255 = ink."""

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """What the line network learns from."""

    levels: Sequence[Picture]
    """Each (40, w), stored, w a multiple of 32."""
    texts: Sequence[tuple[int, ...]]
    """What each says: 0..9, or `signs.JUNK`."""

    def __len__(self) -> int:
        return len(self.texts)


def stored(flat: Plane) -> Picture:
    """Flattened levels as whole numbers.

    >>> stored(np.array([[-4.0, 0.0, 0.5]], np.float32)).tolist()
    [[0, 128, 144]]
    """
    return np.clip(flat * _STEP + _PAPER, 0, 255).astype(np.uint8)


def restored(levels: Picture) -> NDArray[np.float32]:
    """The flattened levels that were stored, whatever the shape."""
    return (levels.astype(np.float32) - np.float32(_PAPER)) / np.float32(_STEP)


def filled(levels: Picture) -> Picture:
    """A stored strip, (40, w), filled up with paper to a width that is a multiple of 32."""
    height, width = levels.shape
    wide = np.full((height, -(-width // _ROUND_TO) * _ROUND_TO), _PAPER, np.uint8)
    wide[:, :width] = levels
    return wide


def crops(
    sources: Sources, count: int, seed: Sequence[int], *, processes: int = 0, told: ProgressCallback | None = None
) -> Crops:
    """Draw crops with their ink."""
    levels = np.empty((count, SIDE, SIDE), np.uint8)
    ink = np.empty_like(levels)
    for place, item in enumerate(parallel.generate(_crop, sources, count, seed, processes=processes, on_progress=told)):
        levels[place], ink[place] = item
    return Crops(levels, ink)


def strips(
    sources: Sources, count: int, seed: Sequence[int], *, processes: int = 0, told: ProgressCallback | None = None
) -> Strips:
    """Draw strips with their texts."""
    items = list(parallel.generate(_strip, sources, count, seed, processes=processes, on_progress=told))
    return Strips([levels for levels, _ in items], [text for _, text in items])


def _crop(sources: Sources, dice: Dice) -> tuple[Picture, Picture]:
    found = crop(sources, dice)
    height, width = found.ink.shape
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    levels = stored(in_square(flattened(found.picture.astype(np.float32)), SIDE, left, top))
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[top : top + height, left : left + width] = found.ink
    return levels, ink


def _strip(sources: Sources, dice: Dice) -> tuple[Picture, tuple[int, ...]]:
    found = text_lines.strip(sources, dice)
    return filled(stored(flattened(found.picture.astype(np.float32)))), found.text
