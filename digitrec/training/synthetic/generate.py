"""Generate training arrays: crops and text lines, locally normalized and quantized to 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Plane, local_normalize, pad_to_square
from digitrec.recognition.segmenter import CROP_PX
from digitrec.training.synthetic import parallel, text_lines
from digitrec.training.synthetic.crops import generate_crop
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import GlyphSources

_STEP, _PAPER = 32, 128
"""A stored level is 128 + 32 times the flattened one: all of -4.0..4.0 fits."""
_ROUND_TO = 32
"""LineExamples are filled up with paper to a multiple of this width."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationExamples:
    """What the ink network learns from."""

    levels: Picture
    """(n, 64, 64), stored."""
    ink: Picture
    """(n, 64, 64), 0 = paper, 255 = ink."""

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class LineExamples:
    """What the line network learns from."""

    levels: Sequence[Picture]
    """Each (40, w), stored, w a multiple of 32."""
    texts: Sequence[tuple[int, ...]]
    """What each says: 0..9, or `signs.JUNK`."""

    def __len__(self) -> int:
        return len(self.texts)


def quantize(flat: Plane) -> Picture:
    """Flattened levels as whole numbers.

    >>> stored(np.array([[-4.0, 0.0, 0.5]], np.float32)).tolist()
    [[0, 128, 144]]
    """
    return np.clip(flat * _STEP + _PAPER, 0, 255).astype(np.uint8)


def dequantize(levels: Picture) -> NDArray[np.float32]:
    """The flattened levels that were stored, whatever the shape."""
    return (levels.astype(np.float32) - np.float32(_PAPER)) / np.float32(_STEP)


def pad_to_stride(levels: Picture) -> Picture:
    """A stored strip, (40, w), filled up with paper to a width that is a multiple of 32."""
    height, width = levels.shape
    wide = np.full((height, -(-width // _ROUND_TO) * _ROUND_TO), _PAPER, np.uint8)
    wide[:, :width] = levels
    return wide


def generate_crops(
    sources: GlyphSources,
    count: int,
    seed: Sequence[int],
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> SegmentationExamples:
    """Draw crops with their ink."""
    levels = np.empty((count, CROP_PX, CROP_PX), np.uint8)
    ink = np.empty_like(levels)
    for place, item in enumerate(
        parallel.generate(_crop, sources, count, seed, processes=processes, on_progress=on_progress)
    ):
        levels[place], ink[place] = item
    return SegmentationExamples(levels, ink)


def generate_lines(
    sources: GlyphSources,
    count: int,
    seed: Sequence[int],
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> LineExamples:
    """Draw strips with their texts."""
    items = list(parallel.generate(_strip, sources, count, seed, processes=processes, on_progress=on_progress))
    return LineExamples([levels for levels, _ in items], [text for _, text in items])


def _crop(sources: GlyphSources, rng: Generator) -> tuple[Picture, Picture]:
    found = generate_crop(sources, rng)
    height, width = found.ink.shape
    left, top = (CROP_PX - width) // 2, (CROP_PX - height) // 2
    levels = quantize(pad_to_square(local_normalize(found.picture.astype(np.float32)), CROP_PX, left, top))
    ink = np.zeros((CROP_PX, CROP_PX), np.uint8)
    ink[top : top + height, left : left + width] = found.ink
    return levels, ink


def _strip(sources: GlyphSources, rng: Generator) -> tuple[Picture, tuple[int, ...]]:
    found = text_lines.generate_line(sources, rng)
    return pad_to_stride(quantize(local_normalize(found.picture.astype(np.float32)))), found.text
