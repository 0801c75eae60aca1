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

_SCALE, _ZERO = 32, 128
"""A quantized level is 128 + 32 times the normalized one, which fits -4.0..4.0."""
_STRIDE_PX = 32
"""Line crops are padded to a multiple of this width."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationExamples:
    """Crops and their ink, for the segmentation network."""

    levels: Picture
    """(n, 64, 64), quantized."""
    ink: Picture
    """(n, 64, 64), 0 = paper, 255 = ink."""

    def __len__(self) -> int:
        return len(self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class LineExamples:
    """Line crops and their texts, for the sequence recognizer."""

    levels: Sequence[Picture]
    """Each (40, w), quantized, w a multiple of 32."""
    texts: Sequence[tuple[int, ...]]
    """Symbols of each line: 0..9 or `symbols.NON_DIGIT`."""

    def __len__(self) -> int:
        return len(self.texts)


def quantize(flat: Plane) -> Picture:
    """Return normalized levels as 8-bit integers.

    >>> quantize(np.array([[-4.0, 0.0, 0.5]], np.float32)).tolist()
    [[0, 128, 144]]
    """
    return np.clip(flat * _SCALE + _ZERO, 0, 255).astype(np.uint8)


def dequantize(levels: Picture) -> NDArray[np.float32]:
    """Return quantized levels, of any shape, as normalized ones."""
    return (levels.astype(np.float32) - np.float32(_ZERO)) / np.float32(_SCALE)


def pad_to_stride(levels: Picture) -> Picture:
    """Pad a quantized line crop, (40, w), with paper to a width that is a multiple of 32."""
    height, width = levels.shape
    padded = np.full((height, -(-width // _STRIDE_PX) * _STRIDE_PX), _ZERO, np.uint8)
    padded[:, :width] = levels
    return padded


def generate_crops(
    sources: GlyphSources,
    count: int,
    seed: Sequence[int],
    *,
    on_progress: ProgressCallback | None = None,
) -> SegmentationExamples:
    """Generate crops with their ink."""
    levels = np.empty((count, CROP_PX, CROP_PX), np.uint8)
    ink = np.empty_like(levels)
    examples = parallel.generate(_quantized_crop, sources, count, seed, on_progress=on_progress)
    for index, example in enumerate(examples):
        levels[index], ink[index] = example
    return SegmentationExamples(levels, ink)


def generate_lines(
    sources: GlyphSources,
    count: int,
    seed: Sequence[int],
    *,
    on_progress: ProgressCallback | None = None,
) -> LineExamples:
    """Generate line crops with their texts."""
    examples = list(parallel.generate(_quantized_line, sources, count, seed, on_progress=on_progress))
    return LineExamples([levels for levels, _ in examples], [text for _, text in examples])


def _quantized_crop(sources: GlyphSources, rng: Generator) -> tuple[Picture, Picture]:
    example = generate_crop(sources, rng)
    height, width = example.ink.shape
    left, top = (CROP_PX - width) // 2, (CROP_PX - height) // 2
    levels = quantize(pad_to_square(local_normalize(example.picture.astype(np.float32)), CROP_PX, left, top))
    ink = np.zeros((CROP_PX, CROP_PX), np.uint8)
    ink[top : top + height, left : left + width] = example.ink
    return levels, ink


def _quantized_line(sources: GlyphSources, rng: Generator) -> tuple[Picture, tuple[int, ...]]:
    example = text_lines.generate_line(sources, rng)
    return pad_to_stride(quantize(local_normalize(example.picture.astype(np.float32)))), example.text
