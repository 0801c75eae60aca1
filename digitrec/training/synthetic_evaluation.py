"""Evaluate a model on synthetic pages of digits that it was not trained on, one page per digit.

The result is the calibration table of a model with page models, in training and in `tools.calibrate_real`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec.models.calibration import CalibrationTable, Rule
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.training import calibrate
from digitrec.training.datasets.dataset import Split
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.synthetic import crops, glyphs, parallel, samples
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT, GlyphSources
from digitrec.types import Limits

PAGE_COUNT = 5_200
"""Takes 5,135 digits: nearly all that are held out of MNIST's training pictures."""
_CLUTTERED_EVERY = 4
"""One page in four has clutter: few scans do, and they are far harder than the others."""
NON_DIGIT_SHARE = 0.05
"""Share of the pages with clutter that show no digit."""
SCAN, CLUTTERED = "synthetic scans", "synthetic pages with clutter"
_SCANS_SEED = 50_000_000
"""Far from the seeds of all scans for training, tests and `benchmarks.accuracy`."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticResult:
    """Kind and result of each synthetic page; see `calibrate.judge_pages`."""

    non_digit_share: float
    """Share of the pages with clutter that show no digit."""
    kinds: NDArray[np.str_]
    """(n,), SCAN or CLUTTERED."""
    has_digit: NDArray[np.bool_]
    """(n,)"""
    confidence: NDArray[np.float64]
    """(n,)"""
    is_right: NDArray[np.bool_]
    """(n,)"""

    @property
    def table(self) -> CalibrationTable:
        """Return the calibration table of these pages."""
        source = (
            "each with another digit held out of the training: three in four on plain or printed paper, the others "
            f"with clutter, {self.non_digit_share:.0%} of these without a digit"
        )
        return calibrate.build_calibration_table(
            "synthetic pages", source, self.confidence, self.is_right, Rule.UPPER_BOUND
        )


@dataclass(frozen=True, slots=True, eq=False)
class _EvaluationContext:
    reader: PageReader
    held_out: Split
    sources: GlyphSources
    seed: int


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    index: int
    """Index of the held-out digit; of a page without a digit, the number of the page."""
    is_non_digit: bool = False


def required_digits(pages: int, non_digit_share: float = NON_DIGIT_SHARE) -> int:
    """Return the number of held-out digits that a number of pages takes.

    >>> required_digits(5000, 0.2)
    4750
    """
    return pages - round(pages // _CLUTTERED_EVERY * non_digit_share)


def max_page_count(digits: int, non_digit_share: float = NON_DIGIT_SHARE) -> int:
    """Return the largest number of pages for a number of held-out digits.

    >>> max_page_count(4750, 0.2)
    5000
    """
    pages = digits
    while required_digits(pages + 1, non_digit_share) <= digits:
        pages += 1
    return pages


def evaluate_synthetic(
    reader: PageReader,
    held_out: Split,
    *,
    pages: int = PAGE_COUNT,
    non_digit_share: float = NON_DIGIT_SHARE,
    seed: int,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> SyntheticResult:
    """Generate and read pages in worker processes, a quarter of them with clutter.

    Args:
        reader: reader with the model's networks.
        held_out: at least `required_digits(pages, non_digit_share)` digits; each is on one page, parts of others at the
            edges of any.
        pages: number of pages.
        non_digit_share: share of the pages with clutter that show no digit, 0..1.
        seed: seed of the order of the digits and of the pages.
        processes: see `parallel.map_items`.
        on_progress: called with the number of finished pages.
    """
    held_out = held_out.take(np.random.default_rng(seed).permutation(len(held_out)))
    sources = GlyphSources.from_digits(held_out.pictures, held_out.digits, glyphs.load_glyphs())
    # The model was trained on the fonts' digits, so that only their other symbols are used.
    symbols = {symbol: indices for symbol, indices in sources.by_symbol.items() if not symbol.isdigit()}
    context = _EvaluationContext(reader, held_out, replace(sources, by_symbol=symbols), seed)
    tasks = _plan_tasks(pages, non_digit_share)
    results = list(parallel.map_items(_evaluate_page, context, tasks, processes=processes, on_progress=on_progress))
    return SyntheticResult(
        non_digit_share,
        np.array([task.kind for task in tasks]),
        np.array([not task.is_non_digit for task in tasks], np.bool_),
        np.array([confidence for confidence, _ in results], np.float64),
        np.array([is_right for _, is_right in results], np.bool_),
    )


def _plan_tasks(pages: int, non_digit_share: float) -> Sequence[_Task]:
    scans, digits = pages - pages // _CLUTTERED_EVERY, required_digits(pages, non_digit_share)
    return (
        *(_Task(SCAN, index) for index in range(scans)),
        *(_Task(CLUTTERED, index) for index in range(scans, digits)),
        *(_Task(CLUTTERED, number, is_non_digit=True) for number in range(digits, pages)),
    )


def _evaluate_page(context: _EvaluationContext, task: _Task) -> tuple[float, bool]:
    content, label = _generate_page(context, task)
    result = read_files.read_bytes(content, Limits(), context.reader)
    (confidence,), (is_right,) = calibrate.judge_pages([(result, label)])
    return float(confidence), bool(is_right)


def _generate_page(context: _EvaluationContext, task: _Task) -> tuple[bytes, str]:
    """Return the file content of a page, and its label."""
    held_out, sources, seed = context.held_out, context.sources, context.seed
    if task.kind == SCAN:
        digit = held_out.take(np.array([task.index]))
        scan_seed = _SCANS_SEED + seed * 100_000 + task.index
        ((_, content, label),) = samples.generate_samples(digit.pictures, digit.digits, 1, scan_seed)
        return content, str(label)
    symbol = NON_DIGIT if task.is_non_digit else int(held_out.digits[task.index])
    if not task.is_non_digit:
        sources = replace(sources, by_digit={**sources.by_digit, symbol: np.array([task.index])})
    page, _ = crops.generate_page(sources, np.random.default_rng((_SCANS_SEED, seed, task.index)), symbol)
    png: bytes = cv2.imencode(".png", page.picture)[1].tobytes()
    return png, NONE if task.is_non_digit else str(symbol)
