"""What is done with models and data beside the service: train, evaluate, explore, promote, draw samples."""

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

import digitrec
from digitrec import text
from digitrec.app import composition, predict
from digitrec.arrays import Picture
from digitrec.errors import TRAINING_PACKAGES, DataError, ModelError, UsageError, require_packages
from digitrec.models.card import ModelCard
from digitrec.models.package import KERAS, ModelPackage
from digitrec.models.registry import ModelListing
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
from digitrec.reports.statistics import Proportion
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training.classifier import TrainingState
from digitrec.training.compare import McNemarResult, compare_classifiers, compare_page_readers
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.datasets.image_folder import LabelledPicture
from digitrec.training.pipeline_examples import Examples
from digitrec.training.synthetic import samples

SMALL_DATASET = "mnist-5k"
"""Cards without `excluded_datasets` are of models that were trained without it."""
_TEST_SPLIT = "the test split of "
"""So a card names what is no set of its own, and was never among the training pictures."""
_NEVER = 1.1


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The result of one evaluation."""

    model_id: str
    data: str
    source: str
    accuracy: Proportion
    accepted: Proportion
    accepted_wrong: Proportion
    page: Path
    problem: str = ""
    """Why the service could not work with this model at this `max_error`."""

    def to_json(self) -> dict[str, object]:
        """The same as plain types."""
        shares = {name: getattr(self, name).to_json() for name in ("accuracy", "accepted", "accepted_wrong")}
        return {"model_id": self.model_id, "data": self.data, "source": self.source, **shares, "report": str(self.page)}


def train(
    settings: Settings,
    data: str,
    network: str,
    *,
    epochs: int | None,
    seed: int,
    leave_out: Sequence[str],
    progress: Callable[[TrainingState], None],
    learned: Examples | None = None,
    about: Mapping[str, Any] | None = None,
) -> ModelPackage:
    """Train a network, write it into the store, and give it.

    Args:
        settings: say where models lie.
        data: what `--data` takes.
        network: a name in `networks.CLASSIFIERS`.
        epochs: how often every picture is seen; None: as often as the network needs.
        seed: of everything that is drawn.
        leave_out: further sets; pictures that belong to one of them are not learned from, but measured.
        progress: told after each batch and epoch.
        learned: of corrected pages, to learn from as well.
        about: more for the model's card.

    Raises:
        MissingPackage: this installation cannot train.
    """
    require_packages("train", *TRAINING_PACKAGES)
    from digitrec.training import train

    dataset = registry.load_dataset(data)
    measure = {}
    for other in leave_out:
        dataset = registry.exclude_dataset(dataset, other)
        measure[other] = registry.load_dataset(other).evaluation
    folder = train.train(
        dataset,
        network,
        epochs=epochs,
        seed=seed,
        out_root=settings.models,
        now=_now,
        progress=progress,
        test_splits=measure,
        command=command_line(),
        checkpoint_dir=checkpoints_dir(settings),
        corrections=learned,
        card_facts=about,
    )
    return ModelPackage.open(folder)


def command_line() -> str:
    """What a person typed, for a model's card."""
    return shlex.join(["digitrec", *sys.argv[1:]])


def checkpoints_dir(settings: Settings) -> Path:
    """Where trainings keep what they finished."""
    return settings.state / "training"


def evaluate(
    settings: Settings,
    data: str,
    *,
    as_files: bool = False,
    keras: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Measure the model in use and write its report.

    Array sets go straight to the classifier; with `as_files`, and for folders of pictures, through the whole pipeline.

    Raises:
        DataError: the set cannot be used.
        UsageError: the model has no Keras network to evaluate, or this installation cannot evaluate.
    """
    require_packages("evaluate", "matplotlib", "seaborn", "sklearn")
    bundle = composition.open_model(settings)
    reader = composition.load_page_reader(bundle)
    if keras:
        reader = replace(reader, classifier=_load_classifier(bundle, keras=True))
        settings = replace(settings, engine="serial")  # TensorFlow spreads its own work over the cores
    pictures = registry.find_dataset_files(data)
    if pictures is not None:
        source = f"{len(pictures):,} labelled pictures"
        return _evaluate_files(
            settings, bundle, reader, _FileSet(predict.folder_name(data), source, "", pictures), progress
        )
    dataset = registry.load_dataset(data)
    if not as_files:
        return _evaluate_arrays(settings, bundle, reader.classifier, dataset)
    with TemporaryDirectory(prefix="digitrec-") as folder:
        written = _write_pictures(dataset, Path(folder))
        files = _FileSet(f"{dataset.name}-as-files", dataset.source, dataset.digest, written)
        return _evaluate_files(settings, bundle, reader, files, progress)


def explore(settings: Settings, data: str) -> Path:
    """Write a page about a data set into `reports/explore/<data>/`; gives its path."""
    require_packages("explore", "matplotlib", "seaborn")
    dataset = registry.load_dataset(data)
    splits = [
        DatasetSplit(split.name, split.pictures, split.ink, split.digits)
        for split in (dataset.train, dataset.test)
        if split is not None
    ]
    facts = DatasetFacts(dataset.name, dataset.source, dataset.digest, digitrec.__version__, _now())
    return write_dataset_report(settings.reports / "explore" / _folder_name(dataset.name), facts, splits)


def write_samples(folder: Path, *, count: int, seed: int, data: str = SMALL_DATASET) -> list[Path]:
    """Draw scans of real digits into a folder, with their labels.csv; gives the pictures."""
    split = registry.load_dataset(data).evaluation
    return samples.save_samples(folder, samples.generate_samples(split.pictures, split.digits, count, seed))


def excluded_datasets(card: ModelCard) -> list[str]:
    """The sets that a model was not shown, as `train` takes them in `leave_out`."""
    named = card.training.get("left_out", [SMALL_DATASET])
    return [one for one in named if not one.startswith(_TEST_SPLIT)]


def promote(
    settings: Settings, name: str, *, force: bool, data: str, also: Sequence[McNemarResult] = ()
) -> tuple[McNemarResult, ...]:
    """Make a model the current one if it is not worse on a set's test split; nothing is compared with `force`.

    Where one of the two reads paper, they are compared on scans drawn with that split as well. The comparisons say
    whether it was promoted: not if the candidate is worse in any of them.

    Raises:
        ModelError: it cannot be used, or cannot promise `max_error`.
    """
    store = composition.open_model_registry(settings)
    candidate = ModelPackage.open(store.find(name))
    candidate.threshold(settings.max_error)  # else the service would stop at its next start
    if force:
        store.promote(name)
        return ()
    current = ModelPackage.open(store.current())
    split = registry.load_dataset(data).evaluation
    comparisons = [
        compare_classifiers(_load_classifier(current, keras=False), _load_classifier(candidate, keras=False), split)
    ]
    if current.has_page_models or candidate.has_page_models:
        comparisons.append(
            compare_page_readers(composition.load_page_reader(current), composition.load_page_reader(candidate), split)
        )
    comparisons += also
    if not any(one.is_worse for one in comparisons):
        store.promote(name)
    return tuple(comparisons)


def rollback_model(settings: Settings) -> str:
    """Go back to the model before this one; gives its name."""
    return composition.open_model_registry(settings).rollback()


def list_models(settings: Settings) -> Sequence[ModelListing]:
    """Every model, usable or not."""
    return composition.open_model_registry(settings).list()


@dataclass(frozen=True, slots=True)
class _FileSet:
    name: str
    source: str
    digest: str
    pictures: Sequence[LabelledPicture]


def _evaluate_arrays(
    settings: Settings, bundle: ModelPackage, classifier: DigitClassifier, dataset: Dataset
) -> EvaluationResult:
    split = dataset.evaluation
    threshold, problem = find_threshold(bundle, settings.max_error)
    found = evaluate_scores(split.digits, classifier.score(split.ink), threshold)
    history = {
        "loss": [epoch.loss for epoch in bundle.card.history],
        "accuracy": [epoch.accuracy for epoch in bundle.card.history],
        "val_loss": [epoch.validation_loss for epoch in bundle.card.history],
        "val_accuracy": [epoch.validation_accuracy for epoch in bundle.card.history],
    }
    facts = _facts(settings, bundle, dataset.name, dataset.source, dataset.digest)
    page = write_evaluation(
        _home(settings, facts), facts, found, split.pictures, history if bundle.card.history else None
    )
    batch_report.write_index(settings.reports)
    shares = (found.accuracy, found.accepted, found.accepted_wrong)
    return EvaluationResult(bundle.card.id, dataset.name, dataset.source, *shares, page, problem)


def _evaluate_files(
    settings: Settings,
    bundle: ModelPackage,
    reader: PageReader,
    files: _FileSet,
    progress: Callable[[int, int], None] | None,
) -> EvaluationResult:
    threshold, problem = find_threshold(bundle, settings.max_error)
    rows: list[RowFacts] = []
    for one, content in predict.read_labelled(settings, reader, files.pictures, progress):
        for each in read_files.decide_readings([content], threshold)[0]:
            row = RowFacts(
                row=len(rows) + 1,
                file=text.escape(one.path.name),
                page=each.page,
                status=each.status,
                text=each.text,
                confidence=each.confidence,
                runner_up=each.runner_up,
                runner_up_confidence=each.runner_up_confidence,
                reason=each.reason,
                detail=each.detail,
                label=one.label,
                preview_png=encode_preview(content, each),
            )
            rows.append(row)
    found = evaluate_pages(rows, threshold if not problem else None)
    facts = _facts(settings, bundle, files.name, files.source, files.digest)
    page = write_page_evaluation(_home(settings, facts), facts, found)
    batch_report.write_index(settings.reports)
    shares = (found.accuracy, found.accepted, found.accepted_wrong)
    return EvaluationResult(bundle.card.id, files.name, files.source, *shares, page, problem)


def find_threshold(bundle: ModelPackage, max_error: float) -> tuple[float, str]:
    """The threshold, or one that accepts nothing and why: a model can be measured all the same."""
    try:
        return bundle.threshold(max_error), ""
    except ModelError as why:
        return _NEVER, str(why)


def _load_classifier(bundle: ModelPackage, *, keras: bool) -> DigitClassifier:
    if not keras:
        return composition.CLASSIFIERS["litert"](bundle)
    if KERAS not in bundle.card.files:
        raise UsageError(f"the model {bundle.card.id} has no {KERAS}")
    from digitrec.recognition.classifier_keras import KerasDigitClassifier

    return KerasDigitClassifier.load(bundle)


def _write_pictures(dataset: Dataset, folder: Path) -> list[LabelledPicture]:
    """The evaluation split as PNG files, dark on light as on paper."""
    split = dataset.evaluation
    written = []
    for number, (picture, digit) in enumerate(zip(split.pictures, split.digits, strict=True)):
        path = folder / f"{number:05}.png"
        path.write_bytes(_png(np.asarray(255 - picture, np.uint8)))
        written.append(LabelledPicture(path, str(digit)))
    return written


def _png(picture: Picture) -> bytes:
    done, png = cv2.imencode(".png", picture)
    if not done:
        raise DataError(f"a picture of shape {picture.shape} cannot be written as PNG")
    return png.tobytes()


def _facts(settings: Settings, bundle: ModelPackage, name: str, source: str, digest: str) -> EvaluationFacts:
    return EvaluationFacts(bundle.card.id, name, source, digest, digitrec.__version__, _now(), settings.max_error)


def _home(settings: Settings, facts: EvaluationFacts) -> Path:
    return settings.reports / "evaluation" / facts.model_id / _folder_name(facts.data)


def _folder_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).lstrip(".") or "data"


def _now() -> str:
    return format_utc(time.time())
