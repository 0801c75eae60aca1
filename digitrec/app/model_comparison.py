"""What a model that learned from corrections does better, on pages it never learned from; and doubtful corrections."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from digitrec.app import composition, models
from digitrec.app.corrections_dataset import CorrectionsDataset
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import Proportion, wilson
from digitrec.settings import Settings
from digitrec.training.compare import McNemarResult, compare_accepted_pages, mcnemar
from digitrec.training.correction_examples import LabelledPage
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.synthetic import parallel
from digitrec.types import Limits, PageReading, PageStatus, Reason

_SURE = 0.99
"""What counts as confident where a model and people agree on no page."""
_SEVERAL = "several"
_HELD_OUT = "held-out corrected pages"
_SIGHTED = {Reason.NOT_A_DIGIT, Reason.BLANK}


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a model says of a page."""

    text: str
    """Digits, `none`, or '' for a page it cannot read."""
    confidence: float
    """Probability that `text` is right, 0..1."""
    is_accepted: bool
    is_correct: bool
    """As everywhere: the text is the truth; of a page without a digit, it was not accepted."""


@dataclass(frozen=True, slots=True)
class EvaluatedPage:
    """A page, and what either model says of it."""

    page: LabelledPage
    before: PageAnswer
    after: PageAnswer
    preview_png: bytes


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """How one model does on some pages."""

    accuracy: Proportion
    accepted: Proportion
    accepted_wrong: Proportion

    @classmethod
    def of(cls, answers: Sequence[PageAnswer]) -> "ModelMetrics":
        """Count."""
        accepted = [one for one in answers if one.is_accepted]
        return cls(
            wilson(sum(one.is_correct for one in answers), len(answers)),
            wilson(len(accepted), len(answers)),
            wilson(sum(not one.is_correct for one in accepted), len(accepted)),
        )


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """What became of a model by learning from corrections."""

    before: ModelMetrics
    """On the pages held out for ever, with the model in use."""
    after: ModelMetrics
    comparison: McNemarResult | None
    """On the same; None if no page is held out."""
    accepted: McNemarResult | None
    """The same for being accepted with the right answer: what nobody has to look at."""
    suspected_errors: tuple[EvaluatedPage, ...]
    """Corrections that may be mistakes, the most suspicious first."""
    fixed: int
    """Corrections that the model in use contradicted confidently, and the new one agrees with."""


@dataclass(frozen=True, slots=True)
class ModelPair:
    """What both models read with."""

    before: PageReader
    after: PageReader
    threshold_before: float
    threshold_after: float
    limits: Limits


def load_model_pair(settings: Settings, before: ModelPackage, after: ModelPackage) -> ModelPair:
    """Both models as the service would use them; one that cannot promise `max_error` accepts nothing."""
    thresholds = [models.find_threshold(one, settings.max_error)[0] for one in (before, after)]
    return ModelPair(
        composition.load_page_reader(before),
        composition.load_page_reader(after),
        thresholds[0],
        thresholds[1],
        settings.limits,
    )


def promotion_tests(
    settings: Settings, data: str, start: ModelPackage, taught: ModelPackage, found: ModelComparison
) -> list[McNemarResult]:
    """What decides besides a data set's test split: the held-out corrections, and what nobody has to look at.

    Args:
        settings: say `max_error`.
        data: scans are drawn with its test split.
        start: the model in use.
        taught: the new one.
        found: what became of the held-out corrections.
    """
    decides = [one for one in (found.comparison, found.accepted) if one is not None]
    if start.has_page_models or taught.has_page_models:
        two = load_model_pair(settings, start, taught)
        thresholds = two.threshold_before, two.threshold_after
        decides.append(
            compare_accepted_pages(two.before, two.after, registry.load_dataset(data).evaluation, thresholds)
        )
    return decides


def compare_on_corrections(
    settings: Settings,
    pages: CorrectionsDataset,
    start: ModelPackage,
    taught: ModelPackage,
    told: Callable[[int, int], None] | None = None,
) -> ModelComparison:
    """Let both models read every page, as the service would."""
    two = load_model_pair(settings, start, taught)
    return summarize_comparison(read_with_both(two, pages.held_out, told), read_with_both(two, pages.train, told))


def summarize_comparison(held_out: Sequence[EvaluatedPage], others: Sequence[EvaluatedPage]) -> ModelComparison:
    """Figures of the pages held out; suspects among all."""
    everything = [*held_out, *others]
    sure_before = _confident([(one.page, one.before) for one in everything])
    sure_after = _confident([(one.page, one.after) for one in everything])
    doubted = [one for one in everything if one.after.text != one.page.text]
    suspects = [one for one in doubted if sure_before(one.page, one.before) or sure_after(one.page, one.after)]
    suspects.sort(key=lambda one: (-one.after.confidence, one.page.path, one.page.page))
    won = [one for one in everything if one.after.text == one.page.text and sure_before(one.page, one.before)]
    before, after = [one.before for one in held_out], [one.after for one in held_out]
    return ModelComparison(
        ModelMetrics.of(before),
        ModelMetrics.of(after),
        _compared(before, after, lambda one: one.is_correct, "held-out corrected pages"),
        _compared(
            before, after, lambda one: one.is_accepted and one.is_correct, "held-out corrected pages, accepted and"
        ),
        tuple(suspects),
        len(won),
    )


def read_with_both(
    desk: ModelPair, pages: Sequence[LabelledPage], told: Callable[[int, int], None] | None = None
) -> list[EvaluatedPage]:
    """What both say of each page, file by file."""
    files = [tuple(of_file) for _, of_file in groupby(sorted(pages, key=_place), key=lambda page: page.path)]
    return [one for found in parallel.map_items(_read, desk, files, on_progress=told) for one in found]


def _place(page: LabelledPage) -> tuple[str, int]:
    return str(page.path), page.page


def _read(desk: ModelPair, pages: Sequence[LabelledPage]) -> list[EvaluatedPage]:
    data = pages[0].path.read_bytes()
    contents = [read_files.read_bytes(data, desk.limits, reader) for reader in (desk.before, desk.after)]
    (before,) = read_files.decide_readings(contents[:1], desk.threshold_before)
    (after,) = read_files.decide_readings(contents[1:], desk.threshold_after)
    previews = {one.number: one.preview for one in contents[0].pages}
    answers = [{one.page: one for one in readings} for readings in (before, after)]
    return [
        EvaluatedPage(
            page,
            _answer(answers[0].get(page.page), page.text),
            _answer(answers[1].get(page.page), page.text),
            _png(previews[page.page]) if page.page in previews else b"",
        )
        for page in pages
    ]


def _answer(found: PageReading | None, truth: str) -> PageAnswer:
    if found is None:
        return PageAnswer("", 0.0, is_accepted=False, is_correct=truth == NONE)
    is_accepted = found.status is PageStatus.ACCEPTED
    is_right = not is_accepted if truth == NONE else found.text == truth
    if found.reason in _SIGHTED:
        missing = [1.0 - sum(one.probabilities) for one in found.digits]
        return PageAnswer(NONE, float(np.clip(max(missing, default=1.0), 0.0, 1.0)), is_accepted, is_right)
    return PageAnswer(found.text, found.confidence or 0.0, is_accepted, is_right)


def _confident(said: Sequence[tuple[LabelledPage, PageAnswer]]) -> Callable[[LabelledPage, PageAnswer], bool]:
    """Whether a model contradicts a person as surely as it mostly is when both agree (Northcutt et al. 2021).

    How sure that is differs by what is read: each digit has a mean of its own.
    """
    agreed: dict[str, list[float]] = {}
    for page, answer in said:
        if answer.text == page.text:
            agreed.setdefault(_kind(answer.text), []).append(answer.confidence)
    usual = np.mean([one for some in agreed.values() for one in some]) if agreed else _SURE
    means: Mapping[str, float] = {kind: float(np.mean(some)) for kind, some in agreed.items()}

    def is_contradicted(page: LabelledPage, answer: PageAnswer) -> bool:
        enough = means.get(_kind(answer.text), float(usual))
        return answer.text not in {page.text, ""} and answer.confidence >= enough

    return is_contradicted


def _kind(text: str) -> str:
    return text if text == NONE or len(text) == 1 else _SEVERAL


def _compared(
    before: Sequence[PageAnswer], after: Sequence[PageAnswer], counts: Callable[[PageAnswer], bool], things: str
) -> McNemarResult | None:
    if not before:
        return None
    return mcnemar(np.array([*map(counts, before)], np.bool_), np.array([*map(counts, after)], np.bool_), things)


def _png(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])
