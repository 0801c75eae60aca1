"""Evaluate a model on synthetic pages of digits that it was not trained on.

The results are the calibration tables of a model with page models: pages of one digit, pages of numbers, and pages
without a digit. They are made in training and by `tools.calibrate_shipped`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, NamedTuple, Self, TypeAlias

import cv2
import numpy as np

from digitrec.arrays import NumberSpan
from digitrec.errors import DataError
from digitrec.models.calibration import AnswerKind, CalibrationTable, Rule
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.training import calibrate
from digitrec.training.calibrate import NEVER
from digitrec.training.datasets.dataset import Split
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.synthetic import crops, glyphs, parallel, samples
from digitrec.training.synthetic.pages.kinds import draw_page
from digitrec.training.synthetic.pages.truth import Truth, WrittenNumber
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT, GlyphSources
from digitrec.types import Limits

DIGITS, NUMBERS, EMPTY = "synthetic digits", "synthetic numbers", "synthetic pages without a digit"
"""Names of the sets of pages, and of their calibration tables."""
_SEED = 50_000_000
"""Far from the seeds of all pages for training, tests and benchmarks."""
_TRIES = 50
"""Pages of a kind that are drawn until one holds as many digits as its set needs."""


@dataclass(frozen=True, slots=True)
class EvaluationPages:
    """Number of pages of each set, and the kinds of pages in it; the kinds take turns."""

    digits: int = 20_000
    numbers: int = 20_000
    empty: int = 2_000
    # Of ten pages of one digit, six are plain scans, three are of a kind below, and one has clutter: people scan mostly
    # digits on paper.
    scans_of_ten: int = 6
    digit_kinds: tuple[str, ...] = (
        *("single", "thin_pen", "speck", "black_margin", "dark_margin"),
        *("edge", "tight", "tight_28", "cells"),
    )
    number_kinds: tuple[str, ...] = (
        *("one_number", "two_numbers", "rows", "table_lines", "table_bare", "comb", "frame", "cell_rows", "cells"),
        *("frame_year", "colour_form", "comb_black", "slanted", "dark_margin", "note_on_desk", "edge_visible"),
        *("black_margin", "edge", "thin_pen", "free_rows"),
    )
    # Each page holds about a hundred numbers, so that one page in a hundred is enough.
    table_kinds: tuple[str, ...] = ("table", "digit_page")
    cluttered_kinds: tuple[str, ...] = ("word", "minus", "decimal", "date")  # one page of numbers in ten
    empty_kinds: tuple[str, ...] = ("empty", "empty_cells")  # every other page; on the others one thing is written

    @classmethod
    def of(cls, pages: int) -> Self:
        """Return sets of this many pages of digits and of numbers, and a tenth as many without a digit."""
        return cls(pages, pages, max(1, pages // 10))


class Evidence(NamedTuple):
    """What another reader says of an answer."""

    agrees: bool
    """It reads the same text."""
    score: float
    """Its confidence in its own text, 0..1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on a synthetic page, or a number that was not read."""

    confidence: float
    """Highest threshold at which it is accepted, 0..1, or `NEVER`."""
    is_right: bool
    clusters: tuple[int, ...]
    """Indices of the pictures of digits that it was drawn from; below 0 for the page."""
    evidence: Evidence | None = None
    """What another reader says; None if it was not asked."""


@dataclass(frozen=True, slots=True)
class SyntheticResult:
    """Answers of each set of pages."""

    answers_by_page: dict[str, list[list[Answer]]]

    @property
    def pages(self) -> dict[str, int]:
        """Return the number of pages of each set."""
        return {name: len(pages) for name, pages in self.answers_by_page.items()}

    @property
    def answers(self) -> dict[str, list[Answer]]:
        """Return the answers of each set."""
        return {name: [*chain.from_iterable(pages)] for name, pages in self.answers_by_page.items()}

    @property
    def tables(self) -> tuple[CalibrationTable, ...]:
        """Return the calibration table of each set."""
        texts = {
            DIGITS: "one digit on paper, forms and crops, one page in ten with clutter",
            NUMBERS: "lines, tables, cells, comb fields and years, one page in ten with words or signs",
            EMPTY: "empty paper and forms, letters, signs and scribbles",
        }
        # Errors in where numbers begin and end come in pages, so that a bound would take far more pages than these.
        rules = {DIGITS: Rule.UPPER_BOUND, NUMBERS: Rule.OBSERVED, EMPTY: Rule.REPORTED}
        kinds = {DIGITS: (AnswerKind.DIGITS,), NUMBERS: (AnswerKind.NUMBERS,), EMPTY: tuple(AnswerKind)}
        return tuple(
            calibrate.build_calibration_table(
                name,
                f"{self.pages[name]:,} pages drawn with digits held out of the training: {texts[name]}",
                np.array([answer.confidence for answer in answers], np.float64),
                np.array([answer.is_right for answer in answers], np.bool_),
                rules[name],
                kinds[name],
                [answer.clusters for answer in answers],
            )
            for name, answers in self.answers.items()
            if self.pages[name]
        )


AnswerStore: TypeAlias = Callable[
    [str, Sequence[Any], Callable[[Sequence[Any]], Iterator[list[Answer]]]], Iterable[list[Answer]]
]
"""Gets a key of all that decides about the answers, the pages to read, and a function that reads some of them."""


@dataclass(frozen=True, slots=True, eq=False)
class _EvaluationContext:
    reader: PageReader
    held_out: Split
    sources: GlyphSources
    pages: EvaluationPages
    seed: int


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    """Name of the set."""
    index: int
    """Number of the page in its set."""


@dataclass(frozen=True, slots=True, eq=False)
class _LabelledPage:
    content: bytes
    truth: Truth
    sources: tuple[int, ...]
    """Indices of the pictures of its digits, in reading order; empty if that is unknown."""


def evaluate_synthetic(
    reader: PageReader,
    held_out: Split,
    *,
    pages: EvaluationPages,
    seed: int,
    again: tuple[SyntheticResult, Mapping[str, float]] | None = None,
    processes: int = 0,
    store: AnswerStore | None = None,
    on_progress: ProgressCallback | None = None,
) -> SyntheticResult:
    """Generate and read the pages of all sets in worker processes.

    Args:
        reader: reader with the model's networks.
        held_out: digits that no weight was fitted to; each is on several pages.
        pages: number and kinds of the pages.
        seed: seed of the order of the digits and of the pages.
        again: earlier answers, and for the name of a set a confidence: only pages with an answer below it are read
            again, with a reader that asks another one; the other answers are returned as they were.
        processes: see `parallel.map_items`.
        store: yields the answers of finished pages, and reads and keeps the others; None: all are read.
        on_progress: called with the number of finished pages.
    """
    counts = {DIGITS: pages.digits, NUMBERS: pages.numbers, EMPTY: pages.empty}
    earlier, limits = again or (SyntheticResult({name: [[]] * count for name, count in counts.items()}), {})
    answers = {name: [*of_pages] for name, of_pages in earlier.answers_by_page.items()}
    tasks = [
        _Task(name, index)
        for name, of_pages in answers.items()
        for index, page in enumerate(of_pages)
        if again is None or any(0.0 <= answer.confidence < limits.get(name, 0.0) for answer in page)
    ]
    context = _make_context(reader, held_out, pages, seed)

    def read(todo: Sequence[Any]) -> Iterator[list[Answer]]:
        finished = len(tasks) - len(todo)
        report = None if on_progress is None else lambda done, _: on_progress(finished + done, len(tasks))
        return parallel.map_items(_evaluate_page, context, todo, processes=processes, on_progress=report)

    # All that decides about the answers, except the code.
    key = f"{reader.classifier.fingerprint} {seed} {asdict(pages)} {context.held_out.digits[:100].tolist()}"
    if reader.second_opinion is not None:
        key += f" {reader.second_opinion.name} {len(tasks)}"
    results = read(tasks) if store is None else store(key, tasks, read)
    for task, page_answers in zip(tasks, results, strict=True):
        answers[task.name][task.index] = page_answers
    return SyntheticResult(answers)


def _make_context(reader: PageReader, held_out: Split, pages: EvaluationPages, seed: int) -> _EvaluationContext:
    held_out = held_out.take(np.random.default_rng(seed).permutation(len(held_out)))
    sources = GlyphSources.from_digits(held_out.pictures, held_out.digits, glyphs.load_glyphs())
    # The model was trained on the fonts' digits, so that only their other symbols are used.
    symbols = {symbol: indices for symbol, indices in sources.by_symbol.items() if not symbol.isdigit()}
    return _EvaluationContext(reader, held_out, replace(sources, by_symbol=symbols), pages, seed)


def _evaluate_page(context: _EvaluationContext, task: _Task) -> list[Answer]:
    page = _generate_page(context, task)
    result = read_files.read_bytes(page.content, Limits(), context.reader)
    if task.name != NUMBERS:
        label = page.truth.text or NONE
        (confidence,), (is_right,) = calibrate.judge_pages([(result, label)])
        numbers = result.pages[0].numbers if result.pages else ()
        evidence = _evidence_of(numbers[0]) if len(numbers) == 1 else None
        return [Answer(float(confidence), bool(is_right), page.sources, evidence)]
    of_page = -1 - task.index
    if not result.pages:
        return [Answer(NEVER, False, (of_page,)) for _ in page.truth.numbers]
    sources = [*_split_sources(page), ()]  # the last one for what is read where nothing is written
    judged = calibrate.judge_numbers(result.pages[0], page.truth.texts)
    positions = [-1 if number.written is None else number.written for number in judged]
    return [
        Answer(
            number.confidence,
            number.is_right,
            (of_page, *sources[position]),
            None if number.read is None else _evidence_of(result.pages[0].numbers[number.read]),
        )
        for number, position in zip(judged, positions, strict=True)
    ]


def _evidence_of(span: NumberSpan) -> Evidence | None:
    return None if span.opinion is None else Evidence(span.opinion.agrees, span.opinion.score)


def _split_sources(page: _LabelledPage) -> list[tuple[int, ...]]:
    """Return the pictures that the digits of each written number were drawn from; none where that is unknown."""
    counts = [sum(character.isdigit() for character in text) for text in page.truth.texts]
    if sum(counts) != len(page.sources):
        return [()] * len(counts)
    ends = np.cumsum(counts).tolist()
    return [page.sources[end - count : end] for count, end in zip(counts, ends, strict=True)]


def _generate_page(context: _EvaluationContext, task: _Task) -> _LabelledPage:
    """Generate a page of a set; it depends on the held-out digits, the seed and the number of the page only."""
    pages, index = context.pages, task.index
    tens, place = divmod(index, 10)
    if task.name == NUMBERS:
        if place == 9:
            kind = pages.cluttered_kinds[tens % len(pages.cluttered_kinds)]
        elif index % 100 == 0:
            kind = pages.table_kinds[index // 100 % len(pages.table_kinds)]
        else:
            kind = pages.number_kinds[(9 * tens + place) % len(pages.number_kinds)]
        return _draw_kind(context, kind, index, lambda digits: digits > 1)
    if task.name == EMPTY:
        if index % 2:
            kind = pages.empty_kinds[index // 2 % len(pages.empty_kinds)]
            return _draw_kind(context, kind, index, lambda digits: digits == 0)
        return _draw_crop(context, NON_DIGIT, None, index)
    picture = index % len(context.held_out)
    if place < pages.scans_of_ten:
        digit = context.held_out.take(np.array([picture]))
        seed = _SEED + context.seed * 100_000 + index
        ((_, content, label),) = samples.generate_samples(digit.pictures, digit.digits, 1, seed)
        return _LabelledPage(content, Truth((WrittenNumber(str(label)),)), (picture,))
    if place == 9:
        return _draw_crop(context, int(context.held_out.digits[picture]), picture, index)
    kind = pages.digit_kinds[((9 - pages.scans_of_ten) * tens + place - pages.scans_of_ten) % len(pages.digit_kinds)]
    return _draw_kind(context, kind, index, lambda digits: digits == 1)


def _draw_kind(
    context: _EvaluationContext, kind: str, index: int, has_right_count: Callable[[int], bool]
) -> _LabelledPage:
    """Draw pages of a kind until the number of digits on one is right."""
    for attempt in range(_TRIES):
        page = draw_page(context.sources, kind, index * _TRIES + attempt, _SEED + context.seed)
        if has_right_count(sum(character.isdigit() for character in page.truth.text)):
            return _LabelledPage(page.file.content, page.truth, page.source_digits)
    raise DataError(f"no page of the kind {kind} has the number of digits that its set needs")


def _draw_crop(context: _EvaluationContext, symbol: int, picture: int | None, index: int) -> _LabelledPage:
    """Draw a page with clutter around one held-out digit, or around a symbol that is no digit if `picture` is None."""
    sources = context.sources
    if picture is not None:
        sources = replace(sources, by_digit={**sources.by_digit, symbol: np.array([picture])})
    page, _ = crops.generate_page(sources, np.random.default_rng((_SEED, context.seed, index)), symbol)
    png: bytes = cv2.imencode(".png", page.picture)[1].tobytes()
    if picture is None:
        return _LabelledPage(png, Truth(()), ())
    return _LabelledPage(png, Truth((WrittenNumber(str(symbol)),)), (picture,))
