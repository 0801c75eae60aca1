"""Generate training arrays: crops and text lines, locally normalized and quantized to 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Plane, local_normalize, pad_to_square
from digitrec.recognition.segmenter import CROP_PX
from digitrec.training.synthetic import page_strips, parallel, text_lines
from digitrec.training.synthetic.crops import generate_crop
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.training.synthetic.text_lines import LineExample

_SCALE, _ZERO = 32, 128
"""A quantized level is 128 + 32 times the normalized one, which fits -4.0..4.0."""


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
    """Each (40, w), quantized."""
    texts: Sequence[tuple[int, ...]]
    """Classes of the symbols of each line; see `symbols.symbol_class`."""

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: "LineExamples") -> "LineExamples":
        return LineExamples([*self.levels, *other.levels], [*self.texts, *other.texts])


def quantize(flat: Plane) -> Picture:
    """Return normalized levels as 8-bit integers.

    >>> quantize(np.array([[-4.0, 0.0, 0.5]], np.float32)).tolist()
    [[0, 128, 144]]
    """
    return np.clip(flat * _SCALE + _ZERO, 0, 255).astype(np.uint8)


def dequantize(levels: Picture) -> NDArray[np.float32]:
    """Return quantized levels, of any shape, as normalized ones."""
    return (levels.astype(np.float32) - np.float32(_ZERO)) / np.float32(_SCALE)


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


def generate_strips(
    sources: GlyphSources,
    pages: int,
    seed: Sequence[int],
    *,
    on_progress: ProgressCallback | None = None,
) -> LineExamples:
    """Draw pages of numbers, and return the strips of their numbers with their texts; about two a page."""
    sources = page_strips.add_alternate_forms(sources, np.random.default_rng(seed))
    examples = [
        example
        for page in parallel.generate(_quantized_strips, sources, pages, seed, on_progress=on_progress)
        for example in page
    ]
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
    return _quantize_line(text_lines.generate_line(sources, rng))


def _quantized_strips(sources: GlyphSources, rng: Generator) -> list[tuple[Picture, tuple[int, ...]]]:
    return [_quantize_line(example) for example in page_strips.extract_strips(sources, rng)]


def _quantize_line(example: LineExample) -> tuple[Picture, tuple[int, ...]]:
    return quantize(local_normalize(example.picture.astype(np.float32))), example.text
