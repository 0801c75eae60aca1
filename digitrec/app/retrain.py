"""Retraining on corrections: train, compare on held-out pages, report, and promote if nothing got worse."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import digitrec
from digitrec import text
from digitrec.app import composition, model_comparison, models
from digitrec.app.corrections_dataset import CorrectionsDataset, load_corrections
from digitrec.app.model_comparison import EvaluatedPage, ModelComparison, compare_on_corrections
from digitrec.errors import TRAINING_PACKAGES, DataError, require_packages
from digitrec.models.package import KERAS, ModelPackage
from digitrec.pipeline import workspace
from digitrec.reports import retrain_report
from digitrec.reports.batch_report import write_index
from digitrec.reports.retrain_report import RetrainFacts, SuspectedLabel
from digitrec.reports.statistics import McNemarResult
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training import correction_examples
from digitrec.training.classifier import TrainingState
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.finetune import DEFAULT_CONFIG, FinetuneConfig, finetune
from digitrec.training.networks import CLASSIFIERS


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """A new model, and whether it is in use now."""

    model_id: str
    is_promoted: bool
    comparisons: tuple[McNemarResult, ...]
    pages: CorrectionsDataset
    comparison: ModelComparison | None
    """None if there were no corrections to train on."""
    report: Path | None


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """A new model trained on corrections, not promoted, and its comparison with the base model."""

    package: ModelPackage
    pages: CorrectionsDataset
    comparison: ModelComparison
    report: Path


@dataclass(frozen=True, slots=True)
class _FinetuneData:
    dataset: Dataset
    excluded: Sequence[str]
    is_new: bool
    """Whether the base model was trained without this data set."""


class DatasetMismatch(DataError):
    """A model was trained on other data, so its held-out pictures in these data are not known."""


def retrain(
    settings: Settings, data: str, progress: Callable[[TrainingState], None], config: FinetuneConfig = DEFAULT_CONFIG
) -> RetrainResult:
    """Train a model like the current one, with all corrections, and promote it if it is worse in no test.

    One-sided exact McNemar tests: the data set's test split, synthetic scans of that split, and the held-out corrected
    pages, both by correct answers and by accepted correct answers. `digitrec models rollback` undoes the promotion.

    Raises:
        BusyError: another process retrains.
        DigitrecError: data or model cannot be used; nothing was promoted.
    """
    with workspace.exclusive_job(settings, "retrain"):
        current, pages = composition.open_model(settings), load_corrections(settings)
        candidate = _train_successor(settings, data, pages, current, progress, config)
        comparison = compare_on_corrections(settings, pages, current, candidate) if pages.train else None
        tests = model_comparison.promotion_tests(settings, data, current, candidate, comparison) if comparison else ()
        comparisons = models.promote(settings, candidate.card.id, force=False, data=data, also=tests)
        is_promoted = not any(test.is_worse for test in comparisons)
        report = None
        if comparison is not None:
            report = report_comparison(settings, current, candidate, pages, comparison, comparisons, is_promoted)
        return RetrainResult(candidate.card.id, is_promoted, comparisons, pages, comparison, report)


def _train_successor(
    settings: Settings,
    data: str,
    pages: CorrectionsDataset,
    current: ModelPackage,
    progress: Callable[[TrainingState], None],
    config: FinetuneConfig,
) -> ModelPackage:
    """Fine-tune the current model; train one like it from scratch without corrections, or on other data."""
    # Data sets that the current model was not trained on stay excluded, so that both models are compared on them.
    excluded = [name for name in models.excluded_datasets(current.card) if name != data]
    if not pages.train:
        network = current.card.network
        return models.train(settings, data, network, epochs=None, seed=0, exclude=excluded, progress=progress)
    return train_on_corrections(
        settings,
        data,
        pages,
        base_model=current,
        progress=progress,
        is_finetune=can_finetune(current, data),
        exclude=excluded,
        config=config,
    )


def train_and_compare(
    settings: Settings,
    data: str,
    *,
    base_model: str | None,
    network: str | None,
    epochs: int | None,
    seed: int,
    exclude: Sequence[str],
    progress: Callable[[TrainingState], None],
    config: FinetuneConfig = DEFAULT_CONFIG,
) -> RetrainReport:
    """Train a model on all corrections, and report the effect on the held-out pages.

    Args:
        settings: name the workspace.
        data: as `--data` takes it.
        base_model: model to fine-tune, as `models promote` takes it; None: the current model.
        network: kind of network; another kind than that of the base model is trained from scratch.
        epochs: number of epochs; None: the default.
        seed: of a training from scratch.
        exclude: data sets that a training from scratch leaves out.
        progress: called after each step.
        config: amounts of data for fine-tuning.

    Raises:
        DataError: there are no corrections, or the data cannot be used.
        ModelError: the model cannot be used, or cannot be fine-tuned.
    """
    base = composition.open_model(settings if base_model is None else replace(settings, model=base_model))
    pages = load_corrections(settings)
    trained = train_on_corrections(
        settings,
        data,
        pages,
        base_model=base,
        progress=progress,
        is_finetune=network in {None, base.card.network},
        network=network,
        epochs=epochs,
        seed=seed,
        exclude=exclude,
        config=config,
    )
    comparison = compare_on_corrections(settings, pages, base, trained)
    return RetrainReport(trained, pages, comparison, report_comparison(settings, base, trained, pages, comparison))


def train_on_corrections(
    settings: Settings,
    data: str,
    pages: CorrectionsDataset,
    *,
    base_model: ModelPackage,
    progress: Callable[[TrainingState], None],
    is_finetune: bool = True,
    network: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    exclude: Sequence[str] = (),
    config: FinetuneConfig = DEFAULT_CONFIG,
) -> ModelPackage:
    """Train a model on a data set and on corrections, write it into the registry, and return it.

    Args:
        settings: name the folder of the models, and the limits on pictures.
        data: as `--data` takes it. For fine-tuning, the training data of the base model, or a set it did not use.
        pages: corrected pages.
        base_model: model to fine-tune; also extracts the digits from the pages.
        progress: called after each step.
        is_finetune: fine-tune the base model; else train from scratch.
        network: kind of network for a training from scratch; None: that of the base model.
        epochs: number of epochs; None: the default.
        seed: of a training from scratch; fine-tuning uses that of the base model, to hold out the same digits.
        exclude: data sets that a training from scratch leaves out; fine-tuning uses those of the base model.
        config: amounts of data for fine-tuning.

    Raises:
        DataError: there are no corrections, or the data cannot be used.
        ModelError: the base model cannot be fine-tuned.
        MissingPackage: this installation cannot train.
    """
    require_packages("train", *TRAINING_PACKAGES)
    pages.require_training_pages()
    finetune_data = _load_finetune_data(base_model, data) if is_finetune else None

    def report_extraction(done: int, total: int) -> None:
        progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage="corrected pages"))

    reader = composition.load_page_reader(base_model)
    crops = correction_examples.extract_labelled_crops(
        reader, pages.train, settings.limits, on_progress=report_extraction
    )
    facts: dict[str, Any] = {**pages.to_json(), "unfit": sum(not crop.fits for crop in crops)}
    if finetune_data is None:
        examples = correction_examples.digit_examples(crops)
        return models.train(
            settings,
            data,
            network or base_model.card.network,
            epochs=epochs,
            seed=seed,
            exclude=exclude,
            progress=progress,
            corrections=examples,
            card_facts={"corrections": {**facts, "examples": len(examples)}},
        )
    folder = finetune(
        base_model,
        finetune_data.dataset,
        crops,
        out_root=settings.models,
        now=lambda: format_utc(time.time()),
        corrections=facts,
        is_new=finetune_data.is_new,
        test_splits={name: registry.load_dataset(name).evaluation for name in finetune_data.excluded},
        config=config if epochs is None else replace(config, epochs=epochs),
        progress=progress,
        command=models.command_line(),
        checkpoint_dir=models.checkpoints_dir(settings),
    )
    return ModelPackage.open(folder)


def can_finetune(base_model: ModelPackage, data: str) -> bool:
    """Return whether a model can be fine-tuned with these data; if not, `train_on_corrections` trains from scratch.

    Raises:
        DataError: the data cannot be loaded.
    """
    try:
        _load_finetune_data(base_model, data)
    except DatasetMismatch:
        return False
    return base_model.card.network in CLASSIFIERS and KERAS in base_model.card.files


def _load_finetune_data(base_model: ModelPackage, data: str) -> _FinetuneData:
    """Load data for fine-tuning without the data sets that the base model excluded.

    Raises:
        DatasetMismatch: the digits that the base model held out are not known; they are needed to evaluate the result.
    """
    card = base_model.card
    dataset = registry.load_dataset(data)
    excluded = models.excluded_datasets(card)
    is_new = dataset.name in excluded
    excluded = [name for name in excluded if name != dataset.name]
    for name in excluded:
        dataset = registry.exclude_dataset(dataset, name)
    if not is_new and dataset.digest != card.training.get("digest"):
        raise DatasetMismatch(
            f"{card.id} was trained on other digits than {data}: its held-out digits are not known",
            hint=f"Name its own data with --data ({card.training.get('data', 'not known')}), or train from scratch "
            "with --network.",
        )
    return _FinetuneData(dataset, excluded, is_new)


def report_comparison(
    settings: Settings,
    current: ModelPackage,
    candidate: ModelPackage,
    pages: CorrectionsDataset,
    comparison: ModelComparison,
    comparisons: tuple[McNemarResult, ...] = (),
    is_promoted: bool | None = None,
) -> Path:
    """Write `reports/learning/<model>/` and return the path of its page.

    Args:
        settings: name the folder of the reports.
        current: the model in use before.
        candidate: the new model.
        pages: corrections it was trained on.
        comparison: results on these pages.
        comparisons: all tests for promotion; default: those of the held-out corrections.
        is_promoted: None if promotion was not decided.
    """
    facts = RetrainFacts(
        candidate.card.id,
        current.card.id,
        digitrec.__version__,
        format_utc(time.time()),
        settings.max_error,
        pages.to_json(),
        is_promoted,
    )
    held_out = set(pages.held_out)
    suspects = comparison.suspected_errors
    page = retrain_report.write_retrain_report(
        settings.reports / "learning" / candidate.card.id,
        facts,
        comparison.before,
        comparison.after,
        comparisons or comparison.tests,
        [_to_suspect(settings, suspect, is_held_out=suspect.page in held_out) for suspect in suspects],
        comparison.fixed,
    )
    write_index(settings.reports)
    return page


def _to_suspect(settings: Settings, suspect: EvaluatedPage, *, is_held_out: bool) -> SuspectedLabel:
    return SuspectedLabel(
        text.escape(suspect.page.path.relative_to(settings.workspace).as_posix()),
        suspect.page.page,
        suspect.page.text,
        suspect.before.text,
        suspect.before.confidence,
        suspect.after.text,
        suspect.after.confidence,
        is_held_out,
        suspect.preview_png,
    )
