"""Comparison of the current model and a retrained one on reviewed pages, and search for suspected label errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np

from digitrec.app import composition
from digitrec.app.corrections_dataset import CorrectionsDataset
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.reports.retrain_report import ModelMetrics
from digitrec.reports.statistics import McNemarResult, mcnemar, wilson
from digitrec.settings import Settings
from digitrec.text import matches_label
from digitrec.training.compare import compare_accepted_pages
from digitrec.training.correction_examples import LabelledPage
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.synthetic import parallel
from digitrec.types import Limits, PageReading, PageStatus, Reason, Thresholds

_DEFAULT_CONFIDENCE = 0.99
"""Threshold of a confident answer where model and reviewers agree on no page."""
_MULTI_DIGIT = "several"
_HELD_OUT = "held-out corrected pages"
_NO_DIGIT_REASONS = {Reason.NOT_A_DIGIT, Reason.BLANK}


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Answer of one model for a page."""

    text: str
    """Digits, `none`, or '' for a page that cannot be read."""
    confidence: float
    """Probability that `text` is right, 0..1."""
    is_accepted: bool
    is_correct: bool
    """The text equals the label; a page without a digit is correct if it was not accepted."""


@dataclass(frozen=True, slots=True)
class EvaluatedPage:
    """A page with the answers of both models."""

    page: LabelledPage
    before: PageAnswer
    after: PageAnswer
    preview_png: bytes

    @property
    def is_contradicted(self) -> bool:
        """Whether the new model reads another text than the reviewer."""
        return self.after.text != self.page.text


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Effect of training on corrections."""

    before: ModelMetrics
    """Metrics of the current model on the held-out pages."""
    after: ModelMetrics
    comparison: McNemarResult | None
    """Test of correct answers on the held-out pages; None if no page is held out."""
    accepted: McNemarResult | None
    """Test of answers that are both accepted and correct: pages that need no review."""
    suspected_errors: tuple[EvaluatedPage, ...]
    """Suspected label errors, most confident contradiction first."""
    fixed: int
    """Corrections that the current model contradicted confidently and the new model agrees with."""

    @property
    def tests(self) -> list[McNemarResult]:
        """Both tests on held-out pages, if any page is held out."""
        return [test for test in (self.comparison, self.accepted) if test is not None]


@dataclass(frozen=True, slots=True)
class ModelPair:
    """Page readers and acceptance thresholds of both models."""

    before: PageReader
    after: PageReader
    thresholds_before: Thresholds
    thresholds_after: Thresholds
    limits: Limits


def load_model_pair(settings: Settings, before: ModelPackage, after: ModelPackage) -> ModelPair:
    """Load both models as the service uses them; a model that cannot guarantee `max_error` accepts nothing."""
    readers = [composition.load_page_reader(package) for package in (before, after)]
    thresholds = [package.thresholds(settings.max_error) for package in (before, after)]
    return ModelPair(readers[0], readers[1], thresholds[0], thresholds[1], settings.limits)


def promotion_tests(
    settings: Settings, data: str, current: ModelPackage, candidate: ModelPackage, comparison: ModelComparison
) -> list[McNemarResult]:
    """Return the tests on held-out corrections, and on accepted synthetic scans if a model reads pages.

    Args:
        settings: name `max_error`.
        data: data set whose test split the synthetic scans are made of.
        current: the model in use.
        candidate: the new model.
        comparison: results on the held-out corrections.
    """
    tests = comparison.tests
    if current.has_page_models or candidate.has_page_models:
        pair = load_model_pair(settings, current, candidate)
        split = registry.load_dataset(data).evaluation
        thresholds = pair.thresholds_before, pair.thresholds_after
        tests.append(compare_accepted_pages(pair.before, pair.after, split, thresholds))
    return tests


def compare_on_corrections(
    settings: Settings, dataset: CorrectionsDataset, current: ModelPackage, candidate: ModelPackage
) -> ModelComparison:
    """Read every page with both models, as the service does, and compare the answers."""
    pair = load_model_pair(settings, current, candidate)
    return summarize_comparison(read_with_both(pair, dataset.held_out), read_with_both(pair, dataset.train))


def summarize_comparison(held_out: Sequence[EvaluatedPage], training_pages: Sequence[EvaluatedPage]) -> ModelComparison:
    """Return metrics and tests of the held-out pages, and suspected label errors of all pages."""
    pages = [*held_out, *training_pages]
    contradicts_before = _make_contradiction_check([(page.page, page.before) for page in pages])
    contradicts_after = _make_contradiction_check([(page.page, page.after) for page in pages])
    suspects = [
        page
        for page in pages
        if page.is_contradicted
        and (contradicts_before(page.page, page.before) or contradicts_after(page.page, page.after))
    ]
    suspects.sort(key=lambda page: (-page.after.confidence, page.page.path, page.page.page))
    fixed = [page for page in pages if not page.is_contradicted and contradicts_before(page.page, page.before)]
    before, after = [page.before for page in held_out], [page.after for page in held_out]
    return ModelComparison(
        _measure(before),
        _measure(after),
        _test(before, after, lambda answer: answer.is_correct, _HELD_OUT),
        _test(before, after, lambda answer: answer.is_accepted and answer.is_correct, f"{_HELD_OUT}, accepted and"),
        tuple(suspects),
        len(fixed),
    )


def read_with_both(pair: ModelPair, pages: Sequence[LabelledPage]) -> list[EvaluatedPage]:
    """Read pages with both models, file by file in parallel processes."""
    ordered = sorted(pages, key=lambda page: (str(page.path), page.page))
    files = [tuple(group) for _, group in groupby(ordered, key=lambda page: page.path)]
    return [page for file_pages in parallel.map_items(_read_file, pair, files) for page in file_pages]


def _read_file(pair: ModelPair, pages: Sequence[LabelledPage]) -> list[EvaluatedPage]:
    data = pages[0].path.read_bytes()
    results = [read_files.read_bytes(data, pair.limits, reader) for reader in (pair.before, pair.after)]
    (before,) = read_files.decide_readings(results[:1], pair.thresholds_before)
    (after,) = read_files.decide_readings(results[1:], pair.thresholds_after)
    previews = {page.number: page.preview for page in results[0].pages}
    readings_before, readings_after = ({reading.page: reading for reading in readings} for readings in (before, after))
    return [
        EvaluatedPage(
            page,
            _to_answer(readings_before.get(page.page), page.text),
            _to_answer(readings_after.get(page.page), page.text),
            bytes(cv2.imencode(".png", previews[page.page])[1]) if page.page in previews else b"",
        )
        for page in pages
    ]


def _to_answer(reading: PageReading | None, label: str) -> PageAnswer:
    if reading is None:
        return PageAnswer("", 0.0, is_accepted=False, is_correct=label == NONE)
    is_accepted = reading.status is PageStatus.ACCEPTED
    is_correct = not is_accepted if label == NONE else matches_label(reading.text, label)
    if reading.reason in _NO_DIGIT_REASONS:
        no_digit = [1.0 - sum(digit.probabilities) for digit in reading.digits]
        return PageAnswer(NONE, float(np.clip(max(no_digit, default=1.0), 0.0, 1.0)), is_accepted, is_correct)
    return PageAnswer(reading.text, reading.confidence or 0.0, is_accepted, is_correct)


def _make_contradiction_check(
    answers: Sequence[tuple[LabelledPage, PageAnswer]],
) -> Callable[[LabelledPage, PageAnswer], bool]:
    """Return a check whether a model contradicts a label at least as confidently as it agrees on average.

    Confident learning (Northcutt et al. 2021): the threshold is the mean confidence of the agreed pages of each class.
    """
    agreed: dict[str, list[float]] = {}
    for page, answer in answers:
        if answer.text == page.text:
            agreed.setdefault(_class_of(answer.text), []).append(answer.confidence)
    overall = np.mean([value for values in agreed.values() for value in values]) if agreed else _DEFAULT_CONFIDENCE
    means = {name: float(np.mean(values)) for name, values in agreed.items()}

    def is_contradicted(page: LabelledPage, answer: PageAnswer) -> bool:
        threshold = means.get(_class_of(answer.text), float(overall))
        return answer.text not in {page.text, ""} and answer.confidence >= threshold

    return is_contradicted


def _class_of(text: str) -> str:
    return text if text == NONE or len(text) == 1 else _MULTI_DIGIT


def _measure(answers: Sequence[PageAnswer]) -> ModelMetrics:
    accepted = [answer for answer in answers if answer.is_accepted]
    return ModelMetrics(
        wilson(sum(answer.is_correct for answer in answers), len(answers)),
        wilson(len(accepted), len(answers)),
        wilson(sum(not answer.is_correct for answer in accepted), len(accepted)),
    )


def _test(
    before: Sequence[PageAnswer], after: Sequence[PageAnswer], is_success: Callable[[PageAnswer], bool], items: str
) -> McNemarResult | None:
    if not before:
        return None
    return mcnemar(np.array([*map(is_success, before)], np.bool_), np.array([*map(is_success, after)], np.bool_), items)
