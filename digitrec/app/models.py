"""Use cases on models and data sets: train, evaluate, explore, promote, write samples."""

import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import digitrec
from digitrec import text
from digitrec.app import composition
from digitrec.app.labelled import folder_name, read_labelled
from digitrec.errors import TRAINING_PACKAGES, ModelError, UsageError, require_packages
from digitrec.models.card import ModelCard
from digitrec.models.package import KERAS, ModelPackage
from digitrec.pipeline import read_files
from digitrec.pipeline.outcomes import encode_preview
from digitrec.recognition.classifier import DigitClassifier
from digitrec.recognition.reader import PageReader
from digitrec.reports import batch_report
from digitrec.reports.batch import RowFacts
from digitrec.reports.dataset_report import DatasetFacts, DatasetSplit, write_dataset_report
from digitrec.reports.evaluation import evaluate_scores
from digitrec.reports.evaluation_report import EvaluationFacts, write_evaluation, write_page_evaluation
from digitrec.reports.page_evaluation import evaluate_pages
from digitrec.reports.reliability import measure_coverage
from digitrec.reports.statistics import McNemarResult, Proportion
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training.calibrate import judge_digits, judge_pages
from digitrec.training.classifier import TrainingState
from digitrec.training.compare import compare_classifiers, compare_page_readers
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.datasets.image_folder import LabelledPicture, write_pictures
from digitrec.training.networks import find_classifier
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import samples

SAMPLE_DATASET = "mnist-200"
"""Part of digitrec: samples need no other package."""
SMALL_DATASET = "mnist-5k"
"""Excluded from training of models whose card names no excluded data sets."""
_TEST_SPLIT = "the test split of "
"""Prefix of test splits in the card's list of excluded data sets; they cannot be excluded by name."""


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Result of one evaluation."""

    model_id: str
    data: str
    """Name of the data set."""
    source: str
    """Description of its origin."""
    right: Proportion
    """Share of pictures or pages whose answer is right, 0..1, with Wilson's 95 % interval."""
    accepted: Proportion
    """Share of pictures or pages that need no review, with Wilson's 95 % interval."""
    accepted_wrong: Proportion
    """Share of wrong answers among the accepted ones, with Clopper and Pearson's exact 95 % interval."""
    exact: Proportion
    """Share of right answers with labels of digits only compared as they are written."""
    left_out: int
    """Pages left out because no answer can equal their label, such as a word."""
    report: Path
    """The page of the report, index.html."""
    coverage: Mapping[float, Proportion]
    """Share of pages that a threshold chosen on this set accepts, by the error rate of the accepted ones, 0..1."""
    problem: str = ""
    """Why pages need review whatever their confidence; "" if none does."""

    @property
    def accuracy(self) -> float:
        """Return the share of right answers, 0..1; nan if there are none to count."""
        return math.nan if self.right.share is None else self.right.share

    def to_json(self) -> dict[str, object]:
        """Return the result as plain types."""
        return {
            "model_id": self.model_id,
            "data": self.data,
            "source": self.source,
            "accuracy": self.right.to_json(),
            **{name: getattr(self, name).to_json() for name in ("exact", "accepted", "accepted_wrong")},
            "labels_left_out": self.left_out,
            "coverage": {f"{rate:g}": share.to_json() for rate, share in self.coverage.items()},
            "report": str(self.report),
        }


def train(
    settings: Settings,
    data: str,
    network: str,
    *,
    epochs: int | None,
    seed: int,
    exclude: Sequence[str],
    progress: Callable[[TrainingState], None],
    quick: bool = False,
    corrections: Examples | None = None,
    card_facts: Mapping[str, Any] | None = None,
) -> ModelPackage:
    """Train a network, write it into the registry, and return it.

    Args:
        settings: name the folder of the models.
        data: as `--data` takes it.
        network: a name in `networks.CLASSIFIERS`.
        epochs: number of epochs; None: the default of the network.
        seed: of all randomness.
        exclude: data sets whose pictures are evaluated and not trained on.
        progress: called after each batch and epoch.
        quick: train a network with page models on little synthetic data, to try it.
        corrections: examples from corrected pages, to train on as well.
        card_facts: additional facts for the model's card.

    Raises:
        UsageError: the network is unknown, or this installation cannot train.
    """
    require_packages("train", *TRAINING_PACKAGES)
    find_classifier(network)  # before a data set is downloaded
    from digitrec.training import train
    from digitrec.training.pretraining import DEFAULT_CONFIG, QUICK_CONFIG, QUICK_EPOCHS

    dataset = registry.load_dataset(data)
    test_splits = {}
    for name in exclude:
        dataset = registry.exclude_dataset(dataset, name)
        test_splits[name] = registry.load_dataset(name).evaluation
    folder = train.train(
        dataset,
        network,
        epochs=QUICK_EPOCHS if quick and epochs is None else epochs,
        seed=seed,
        out_root=settings.models,
        now=lambda: format_utc(time.time()),
        progress=progress,
        test_splits=test_splits,
        command=command_line(),
        config=QUICK_CONFIG if quick else DEFAULT_CONFIG,
        checkpoint_dir=checkpoints_dir(settings),
        corrections=corrections,
        card_facts=card_facts,
    )
    return ModelPackage.open(folder)


def command_line() -> str:
    """Return the command line of this process, for a model's card."""
    return shlex.join(["digitrec", *sys.argv[1:]])


def checkpoints_dir(settings: Settings) -> Path:
    """Return the folder of the checkpoints of trainings."""
    return settings.state / "training"


def evaluate(
    settings: Settings,
    data: str,
    *,
    as_files: bool = False,
    keras: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Evaluate the current model on a data set and write the report.

    Data sets of arrays are passed to the classifier; with `as_files` they become PNG files, and these, like folders of
    pictures, pass through the full pipeline.

    Raises:
        DataError: the data set cannot be used.
        UsageError: the model has no Keras network to evaluate.
    """
    package = composition.open_model(settings)
    if keras:  # TensorFlow distributes its own work over the cores
        settings = replace(settings, engine="serial", second_opinion="off")
    reader = composition.load_page_reader(package, settings)
    if keras:
        reader = replace(reader, classifier=_load_classifier(package, keras=True))
    pictures = registry.find_dataset_files(data)
    if pictures is not None:
        files = _FileSet(folder_name(data), f"{len(pictures):,} labelled pictures", "", pictures)
        return _evaluate_files(settings, package, reader, files, progress)
    dataset = registry.load_dataset(data)
    if not as_files:
        return _evaluate_arrays(settings, package, reader.classifier, dataset)
    with TemporaryDirectory(prefix="digitrec-") as folder:
        name, written = f"{dataset.name}-as-files", write_pictures(dataset.evaluation, Path(folder))
        files = _FileSet(name, dataset.source, dataset.digest, written)
        return _evaluate_files(settings, package, reader, files, progress)


def explore(settings: Settings, data: str) -> Path:
    """Write a report about a data set into `reports/explore/<data>/` and return its path."""
    dataset = registry.load_dataset(data)
    splits = [
        DatasetSplit(split.name, split.pictures, split.ink, split.digits)
        for split in (dataset.train, dataset.test)
        if split is not None
    ]
    facts = DatasetFacts(dataset.name, dataset.source, dataset.digest, digitrec.__version__, format_utc(time.time()))
    return write_dataset_report(settings.reports / "explore" / _folder_name(dataset.name), facts, splits)


def write_samples(folder: Path, *, count: int, seed: int, data: str = SAMPLE_DATASET) -> list[Path]:
    """Write synthetic scans of real digits and their labels.csv into a folder; return the paths of the pictures."""
    split = registry.load_dataset(data).evaluation
    return samples.save_samples(folder, samples.generate_samples(split.pictures, split.digits, count, seed))


def excluded_datasets(card: ModelCard) -> list[str]:
    """Return the data sets that a model was not trained on, as `train` takes them in `exclude`."""
    names = card.training.get("left_out", [SMALL_DATASET])
    return [name for name in names if not name.startswith(_TEST_SPLIT)]


def promote(
    settings: Settings, name: str, *, force: bool, data: str, also: Sequence[McNemarResult] = ()
) -> tuple[McNemarResult, ...]:
    """Make a model the current one if it is not worse than the current one in any test, and return the tests.

    Args:
        settings: name the models and `max_error`.
        name: the candidate.
        force: promote without a test.
        data: data set whose test split is used; if a model has page models, also synthetic scans of that split.
        also: further tests that decide.

    Raises:
        ModelError: the candidate cannot be used; or some pages always need review with it, and `force` is not set.
    """
    models = composition.open_model_registry(settings)
    candidate = ModelPackage.open(models.find(name))
    if force:
        models.promote(name)
        return ()
    if limit := candidate.describe_limit(settings.max_error):
        raise ModelError(
            limit,
            hint="Raise max_error, calibrate it with `digitrec calibrate`, or add --force to promote it nevertheless.",
        )
    current = ModelPackage.open(models.current())
    split = registry.load_dataset(data).evaluation
    comparisons = [
        compare_classifiers(_load_classifier(current, keras=False), _load_classifier(candidate, keras=False), split)
    ]
    if current.has_page_models or candidate.has_page_models:
        comparisons.append(
            compare_page_readers(composition.load_page_reader(current), composition.load_page_reader(candidate), split)
        )
    comparisons += also
    if not any(test.is_worse for test in comparisons):
        models.promote(name)
    return tuple(comparisons)


@dataclass(frozen=True, slots=True)
class _FileSet:
    name: str
    source: str
    digest: str
    pictures: Sequence[LabelledPicture]


def _evaluate_arrays(
    settings: Settings, package: ModelPackage, classifier: DigitClassifier, dataset: Dataset
) -> EvaluationResult:
    split, history = dataset.evaluation, package.card.history
    threshold, problem = package.thresholds(settings.max_error).digit, package.describe_limit(settings.max_error)
    scores = classifier.score(split.ink)
    evaluation = evaluate_scores(split.digits, scores, threshold)
    curves = {
        "loss": [epoch.loss for epoch in history],
        "accuracy": [epoch.accuracy for epoch in history],
        "val_loss": [epoch.validation_loss for epoch in history],
        "val_accuracy": [epoch.validation_accuracy for epoch in history],
    }
    facts = _facts(settings, package, dataset.name, dataset.source, dataset.digest)
    folder = _report_dir(settings, facts)
    page = write_evaluation(folder, facts, evaluation, split.pictures, curves if history else None)
    batch_report.write_index(settings.reports)
    shares = (evaluation.accuracy, evaluation.accepted, evaluation.accepted_wrong, evaluation.accuracy)
    coverage = measure_coverage(*judge_digits(scores, split.digits))
    return EvaluationResult(package.card.id, dataset.name, dataset.source, *shares, 0, page, coverage, problem)


def _evaluate_files(
    settings: Settings,
    package: ModelPackage,
    reader: PageReader,
    files: _FileSet,
    progress: Callable[[int, int], None] | None,
) -> EvaluationResult:
    thresholds, problem = package.thresholds(settings.max_error), package.describe_limit(settings.max_error)
    rows: list[RowFacts] = []
    judged: list[tuple[float, bool]] = []
    for picture, result in read_labelled(settings, reader, files.pictures, progress):
        judged += zip(*judge_pages([(result, picture.label)]), strict=True)
        for reading in read_files.decide_readings([result], thresholds)[0]:
            file, preview = text.escape(picture.path.name), encode_preview(result, reading)
            row = RowFacts.of(reading, row=len(rows) + 1, file=file, label=picture.label, preview_png=preview)
            rows.append(row)
    evaluation = evaluate_pages(rows, thresholds)
    coverage = measure_coverage(
        np.array([value for value, _ in judged]), np.array([right for _, right in judged], bool)
    )
    model_id = composition.get_answering_id(settings, package)
    facts = replace(_facts(settings, package, files.name, files.source, files.digest), model_id=model_id)
    page = write_page_evaluation(_report_dir(settings, facts), facts, evaluation)
    batch_report.write_index(settings.reports)
    shares = (evaluation.accuracy, evaluation.accepted, evaluation.accepted_wrong, evaluation.exact)
    return EvaluationResult(model_id, files.name, files.source, *shares, evaluation.left_out, page, coverage, problem)


def _load_classifier(package: ModelPackage, *, keras: bool) -> DigitClassifier:
    if not keras:
        return composition.CLASSIFIERS["litert"](package)
    if KERAS not in package.card.files:
        raise UsageError(f"the model {package.card.id} has no {KERAS}")
    from digitrec.recognition.classifier_keras import KerasDigitClassifier

    return KerasDigitClassifier.load(package)


def _facts(settings: Settings, package: ModelPackage, name: str, source: str, digest: str) -> EvaluationFacts:
    now = format_utc(time.time())
    return EvaluationFacts(package.card.id, name, source, digest, digitrec.__version__, now, settings.max_error)


def _report_dir(settings: Settings, facts: EvaluationFacts) -> Path:
    return settings.reports / "evaluation" / facts.model_id / _folder_name(facts.data)


def _folder_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).lstrip(".") or "data"
