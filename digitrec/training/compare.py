"""Test whether a candidate model is significantly worse than the current one (McNemar)."""

import numpy as np

from digitrec.pipeline import read_files
from digitrec.recognition.classifier import DigitClassifier
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import McNemarResult, mcnemar
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic import samples
from digitrec.types import Limits, PageStatus, Thresholds

_ACCEPT_ALL = Thresholds(0.0, 0.0)
_SCANS, _SEED = 400, 0
"""Number and seed of the synthetic scans, the same for every comparison."""


def compare_classifiers(current: DigitClassifier, candidate: DigitClassifier, split: Split) -> McNemarResult:
    """Compare two classifiers on a split that neither was trained on."""
    current_right, candidate_right = (
        classifier.score(split.ink).argmax(axis=1) == split.digits for classifier in (current, candidate)
    )
    return mcnemar(current_right, candidate_right)


def compare_page_readers(current: PageReader, candidate: PageReader, split: Split) -> McNemarResult:
    """Compare two page readers on synthetic scans, with digits of a split that neither was trained on."""
    return _compare_scans(current, candidate, split, (_ACCEPT_ALL, _ACCEPT_ALL), "synthetic scans", only_accepted=False)


def compare_accepted_pages(
    current: PageReader, candidate: PageReader, split: Split, thresholds: tuple[Thresholds, Thresholds]
) -> McNemarResult:
    """Compare the answers that both readers accept, each at its own thresholds; pages in review count as wrong."""
    items = "synthetic scans, accepted and"
    return _compare_scans(current, candidate, split, thresholds, items, only_accepted=True)


def _compare_scans(
    current: PageReader,
    candidate: PageReader,
    split: Split,
    thresholds: tuple[Thresholds, Thresholds],
    items: str,
    *,
    only_accepted: bool,
) -> McNemarResult:
    scans = list(samples.generate_samples(split.pictures, split.digits, _SCANS, _SEED))
    is_right = np.zeros((2, _SCANS), np.bool_)
    for row, (reader, own) in enumerate(zip((current, candidate), thresholds, strict=True)):
        for column, (_, content, digit) in enumerate(scans):
            text, is_accepted = _read_scan(reader, content, own)
            is_right[row, column] = text == str(digit) and (is_accepted or not only_accepted)
    return mcnemar(is_right[0], is_right[1], items)


def _read_scan(reader: PageReader, content: bytes, thresholds: Thresholds) -> tuple[str, bool]:
    """Return the text of a scan, and whether all its pages are accepted."""
    (readings,) = read_files.decide_readings([read_files.read_bytes(content, Limits(), reader)], thresholds)
    is_accepted = all(reading.status is PageStatus.ACCEPTED for reading in readings)
    return "".join(reading.text for reading in readings), is_accepted
