"""Pages drawn from digits that no training saw, one page a digit, and what a model makes of them.

From them follows the promise of a model that reads whole pages, in training and in `tools.calibrate_real` alike.
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
from digitrec.training.synthetic import crops, glyphs, parallel, samples
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT, GlyphSources
from digitrec.types import Limits

PAGE_COUNT = 5_200
"""They take 5,135 digits: nearly all that are held out of MNIST's training pictures."""
_CLUTTERED = 4
"""One page in so many has clutter: few scans do, and they are far harder than the others."""
NON_DIGIT_SHARE = 0.05
"""Of the pages with clutter, the share that shows no digit."""
SCAN, CLUTTERED = "drawn scans", "drawn pages with clutter"
_SCANS_SEED = 50_000_000
"""Far from any that scans for training, tests or `benchmarks.accuracy` are drawn with."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticResult:
    """What was drawn, and the verdicts on it; see `calibrate.judge_pages`."""

    non_digit_share: float
    """Of the pages with clutter, the share without a digit."""
    kinds: NDArray[np.str_]
    """(n,), SCAN or SCENE."""
    has_digit: NDArray[np.bool_]
    """(n,)"""
    confidence: NDArray[np.float64]
    """(n,)"""
    is_right: NDArray[np.bool_]
    """(n,)"""

    @property
    def table(self) -> CalibrationTable:
        """What may be promised by these pages."""
        source = (
            "each drawn with another digit that training kept out: three in four on plain or printed paper, "
            f"the others amid clutter, {self.non_digit_share:.0%} of these without a digit"
        )
        return calibrate.build_calibration_table(
            "drawn pages", source, self.confidence, self.is_right, Rule.UPPER_BOUND
        )


@dataclass(frozen=True, slots=True, eq=False)
class _EvaluationContext:
    """What pages are drawn from and read with."""

    reader: PageReader
    held_out: Split
    sources: GlyphSources
    seed: int


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    place: int
    """Of the held-out digit; of a non-digit, the number of the page."""
    is_non_digit: bool = False


def required_digits(pages: int, non_digit_share: float = NON_DIGIT_SHARE) -> int:
    """How many held-out digits so many pages take.

    >>> digits_needed(5000, 0.2)
    4750
    """
    return pages - round(pages // _CLUTTERED * non_digit_share)


def max_page_count(digits: int, non_digit_share: float = NON_DIGIT_SHARE) -> int:
    """How many pages so many held-out digits are enough for.

    >>> most_pages(4750, 0.2)
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
    """Draw this many pages, a quarter of them with clutter, and read them, in processes.

    Args:
        reader: of the model's networks.
        held_out: the digits to draw from, at least `required_digits(pages, non_digit_share)`, in any order; each
            is on one page, parts of others at the edges of any.
        pages: how many.
        non_digit_share: share of the pages with clutter that show no digit, 0..1.
        seed: of the order of the digits and of all that is drawn.
        processes: as `parallel.map_items` takes them.
        on_progress: how many pages are done.
    """
    held_out = held_out.take(np.random.default_rng(seed).permutation(len(held_out)))
    everything = GlyphSources.of(held_out.pictures, held_out.digits, glyphs.load_glyphs())
    # Digits of fonts were learned from: here all are held-out ones.
    signs = {sign: places for sign, places in everything.by_symbol.items() if not sign.isdigit()}
    desk = _EvaluationContext(reader, held_out, replace(everything, by_symbol=signs), seed)
    tasks = _plan_tasks(pages, non_digit_share)
    found = list(parallel.map_items(_evaluate_page, desk, tasks, processes=processes, on_progress=on_progress))
    return SyntheticResult(
        non_digit_share,
        np.array([task.kind for task in tasks]),
        np.array([not task.is_non_digit for task in tasks], np.bool_),
        np.array([confidence for confidence, _ in found], np.float64),
        np.array([is_right for _, is_right in found], np.bool_),
    )


def _plan_tasks(pages: int, non_digit_share: float) -> Sequence[_Task]:
    scans, digits = pages - pages // _CLUTTERED, required_digits(pages, non_digit_share)
    return (
        *(_Task(SCAN, place) for place in range(scans)),
        *(_Task(CLUTTERED, place) for place in range(scans, digits)),
        *(_Task(CLUTTERED, number, is_non_digit=True) for number in range(digits, pages)),
    )


def _evaluate_page(desk: _EvaluationContext, task: _Task) -> tuple[float, bool]:
    content, label = _generate_page(desk, task)
    (confidence,), (is_right,) = calibrate.judge_pages([(read_files.read_bytes(content, Limits(), desk.reader), label)])
    return float(confidence), bool(is_right)


def _generate_page(desk: _EvaluationContext, task: _Task) -> tuple[bytes, str]:
    """The bytes of a page's file, and its label."""
    held_out, sources, seed = desk.held_out, desk.sources, desk.seed
    if task.kind == SCAN:
        one = held_out.take(np.array([task.place]))
        ((_, content, digit),) = samples.generate_samples(
            one.pictures, one.digits, 1, _SCANS_SEED + seed * 100_000 + task.place
        )
        return content, str(digit)
    digit = NON_DIGIT if task.is_non_digit else int(held_out.digits[task.place])
    if not task.is_non_digit:
        sources = replace(sources, by_digit={**sources.by_digit, digit: np.array([task.place])})
    crop, _ = crops.generate_page(sources, np.random.default_rng((_SCANS_SEED, seed, task.place)), digit)
    png: bytes = cv2.imencode(".png", crop.picture)[1].tobytes()
    return png, "none" if task.is_non_digit else str(digit)
