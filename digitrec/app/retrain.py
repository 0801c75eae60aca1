"""Train, compare, report, and promote if the new model got worse in nothing: what `jobs/retrain.py` does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import digitrec
from digitrec import text
from digitrec.app import composition, model_comparison, models
from digitrec.app.corrections_dataset import CorrectionsDataset, load_corrections
from digitrec.app.model_comparison import EvaluatedPage, ModelComparison, ModelMetrics, compare_on_corrections
from digitrec.errors import TRAINING_PACKAGES, DataError, require_packages
from digitrec.models.package import KERAS, ModelPackage
from digitrec.pipeline import workspace
from digitrec.reports import retrain_report
from digitrec.reports.batch_report import write_index
from digitrec.reports.retrain_report import ComparisonFacts, RetrainFacts, SuspectedLabel, ValidationScores
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training import correction_examples
from digitrec.training.classifier import TrainingState
from digitrec.training.compare import McNemarResult
from digitrec.training.correction_examples import LabelledCrops
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.finetune import DEFAULT_CONFIG, FinetuneConfig, finetune
from digitrec.training.networks import CLASSIFIERS


@dataclass(frozen=True, slots=True)
class _Data:
    dataset: Dataset
    left_out: Sequence[str]
    is_new: bool


def train_on_corrections(
    settings: Settings,
    data: str,
    pages: CorrectionsDataset,
    *,
    start: ModelPackage,
    progress: Callable[[TrainingState], None],
    goes_on: bool = True,
    network: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    leave_out: Sequence[str] = (),
    more: FinetuneConfig = DEFAULT_CONFIG,
) -> ModelPackage:
    """Train a model that learns from corrections as well, write it into the store, and give it.

    Args:
        settings: say where models lie, and the limits on pictures.
        data: what `--data` takes. To go on it has to be what `start` learned from, or a set that it was not shown.
        pages: what people corrected; their originals are there.
        start: the model that goes on; it also finds the signs on the pages.
        progress: told of everything.
        goes_on: from `start`; else from nothing.
        network: the kind that is trained from nothing; None: that of `start`.
        epochs: how often every picture is seen; None: as often as is usual.
        seed: of a training from nothing; what goes on has that of `start`, so that the same digits stay held out.
        leave_out: sets that a training from nothing does not learn from; what goes on has those of `start`.
        more: how much is drawn and learned, to go on.

    Raises:
        DataError: there is nothing to learn from, or these data are no good.
        ModelError: `start` cannot go on.
        MissingPackage: this installation cannot train.
    """
    require_packages("train", *TRAINING_PACKAGES)
    pages.require_training_pages()
    found = _fitting(start, data) if goes_on else None
    shown = _shown(settings, pages, start, progress)
    facts: dict[str, Any] = {**pages.to_json(), "unfit": sum(not one.fits for one in shown)}
    if found is None:
        learned = correction_examples.digit_examples(shown)
        about = {"corrections": {**facts, "examples": len(learned)}}
        return models.train(
            settings,
            data,
            network or start.card.network,
            epochs=epochs,
            seed=seed,
            leave_out=leave_out,
            progress=progress,
            learned=learned,
            about=about,
        )
    folder = finetune(
        start,
        found.dataset,
        shown,
        out_root=settings.models,
        now=lambda: format_utc(time.time()),
        corrections=facts,
        is_new=found.is_new,
        test_splits={name: registry.load_dataset(name).evaluation for name in found.left_out},
        config=more if epochs is None else replace(more, epochs=epochs),
        progress=progress,
        command=models.command_line(),
        checkpoint_dir=models.checkpoints_dir(settings),
    )
    return ModelPackage.open(folder)


def can_finetune(start: ModelPackage, data: str) -> bool:
    """Return whether a model can be fine-tuned with these data; if not, `train_on_corrections` trains from scratch.

    Raises:
        DataError: there are no such data.
    """
    try:
        _fitting(start, data)
    except DatasetMismatch:
        return False
    return start.card.network in CLASSIFIERS and KERAS in start.card.files


class DatasetMismatch(DataError):
    """A model learned from other data: which of these it never saw is not known."""


def _fitting(start: ModelPackage, data: str) -> _Data:
    """What `start` goes on with: the digits it never saw must be known, for they judge what becomes of it.

    Raises:
        ForeignData: they are not known.
    """
    dataset = registry.load_dataset(data)
    left_out = models.excluded_datasets(start.card)
    is_new = dataset.name in left_out
    left_out = [name for name in left_out if name != dataset.name]
    for name in left_out:
        dataset = registry.exclude_dataset(dataset, name)
    if not is_new and dataset.digest != start.card.training.get("digest"):
        raise DatasetMismatch(
            f"{start.card.id} learned from other digits than {data}: which of these it never saw is not known",
            hint=f"Name its own with --data ({start.card.training.get('data', 'not known')}), or train from nothing "
            "with --network.",
        )
    return _Data(dataset, left_out, is_new)


def _shown(
    settings: Settings, pages: CorrectionsDataset, start: ModelPackage, progress: Callable[[TrainingState], None]
) -> Sequence[LabelledCrops]:
    def told(done: int, total: int) -> None:
        progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage="corrected pages"))

    return correction_examples.extract_labelled_crops(
        composition.load_page_reader(start), pages.train, settings.limits, on_progress=told
    )


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """A new model, and whether it is in use now."""

    model_id: str
    before: str
    """The id of the model that was in use."""
    is_promoted: bool
    comparisons: tuple[McNemarResult, ...]
    pages: CorrectionsDataset
    comparison: ModelComparison | None
    """None if there were no corrections to learn from."""
    report: Path | None


def retrain(
    settings: Settings, data: str, progress: Callable[[TrainingState], None], more: FinetuneConfig = DEFAULT_CONFIG
) -> RetrainResult:
    """Train a network like the one in use, with all corrections, and use it if it is worse in nothing.

    Nothing: neither on the data set's test split, nor on scans drawn with it, nor on the corrected pages held out for
    ever, in what it reads and in what it accepts; each by McNemar's exact test, one-sided. `digitrec models rollback`
    undoes it.

    Raises:
        BusyError: another one is at it.
        DigitrecError: data or model cannot be used; nothing was promoted.
    """
    with workspace.exclusive_job(settings, "retrain"):
        in_use, pages = composition.open_model(settings), load_corrections(settings)
        taught = _taught(settings, data, pages, in_use, progress, more)
        learned = compare_on_corrections(settings, pages, in_use, taught) if pages.train else None
        also = model_comparison.promotion_tests(settings, data, in_use, taught, learned) if learned is not None else ()
        comparisons = models.promote(settings, taught.card.id, force=False, data=data, also=also)
        is_promoted = not any(one.is_worse for one in comparisons)
        page = (
            None
            if learned is None
            else write_retrain_report(settings, in_use, taught, pages, learned, comparisons, is_promoted)
        )
        return RetrainResult(taught.card.id, in_use.card.id, is_promoted, comparisons, pages, learned, page)


@dataclass(frozen=True, slots=True)
class RetrainReport:
    """A new model that learned from corrections; which one is in use has not changed."""

    bundle: ModelPackage
    pages: CorrectionsDataset
    comparison: ModelComparison
    report: Path


def train_and_compare(
    settings: Settings,
    data: str,
    *,
    start: str | None,
    network: str | None,
    epochs: int | None,
    seed: int,
    leave_out: Sequence[str],
    progress: Callable[[TrainingState], None],
    more: FinetuneConfig = DEFAULT_CONFIG,
) -> RetrainReport:
    """Train a model with all corrections, and report what that changed on those held out.

    Args:
        settings: say where everything is.
        data: what `--data` takes.
        start: the model that goes on, as `models promote` takes it; None: the one in use.
        network: if that is another kind than `start`, a network begins from nothing.
        epochs: how often every picture is seen; None: as often as is usual.
        seed: of what begins from nothing.
        leave_out: sets that what begins from nothing does not learn from.
        progress: told of everything.
        more: how much is drawn and learned to go on.

    Raises:
        DataError: there is nothing to learn from, or these data are no good.
        ModelError: the model cannot be used, or cannot go on.
    """
    before = composition.open_model(settings if start is None else replace(settings, model=start))
    pages = load_corrections(settings)
    taught = train_on_corrections(
        settings,
        data,
        pages,
        start=before,
        goes_on=network in {None, before.card.network},
        network=network,
        epochs=epochs,
        seed=seed,
        leave_out=leave_out,
        progress=progress,
        more=more,
    )
    learned = compare_on_corrections(settings, pages, before, taught)
    return RetrainReport(taught, pages, learned, write_retrain_report(settings, before, taught, pages, learned))


def write_retrain_report(
    settings: Settings,
    start: ModelPackage,
    taught: ModelPackage,
    pages: CorrectionsDataset,
    learned: ModelComparison,
    comparisons: tuple[McNemarResult, ...] = (),
    is_promoted: bool | None = None,
) -> Path:
    """Write `reports/learning/<model>/`; gives the path of the page.

    Args:
        settings: say where reports lie.
        start: the model in use before.
        taught: the new one.
        pages: what it learned from.
        learned: what that changed.
        comparisons: all that decided; none: those of the held-out corrections.
        is_promoted: None if nobody has decided yet.
    """
    about = RetrainFacts(
        taught.card.id,
        start.card.id,
        digitrec.__version__,
        format_utc(time.time()),
        settings.max_error,
        pages.to_json(),
        is_promoted,
    )
    decided = comparisons or [one for one in (learned.comparison, learned.accepted) if one is not None]
    held_out = set(pages.held_out)
    page = retrain_report.write_retrain_report(
        settings.reports / "learning" / taught.card.id,
        about,
        _figures(learned.before),
        _figures(learned.after),
        [_facts(one) for one in decided],
        [_suspect(settings, one, is_held_out=one.page in held_out) for one in learned.suspected_errors],
        learned.fixed,
    )
    write_index(settings.reports)
    return page


def _taught(
    settings: Settings,
    data: str,
    pages: CorrectionsDataset,
    in_use: ModelPackage,
    progress: Callable[[TrainingState], None],
    more: FinetuneConfig,
) -> ModelPackage:
    """The model in use goes on; one like it begins from nothing if there is nothing to go on with, or other data."""
    # What the model in use was not shown, its successor is not shown either: on that the two can be compared.
    leave_out = [one for one in models.excluded_datasets(in_use.card) if one != data]
    kind = in_use.card.network
    if not pages.train:
        return models.train(settings, data, kind, epochs=None, seed=0, leave_out=leave_out, progress=progress)
    goes_on = can_finetune(in_use, data)
    return train_on_corrections(
        settings,
        data,
        pages,
        start=in_use,
        goes_on=goes_on,
        leave_out=leave_out,
        progress=progress,
        more=more,
    )


def _facts(one: McNemarResult) -> ComparisonFacts:
    return ComparisonFacts(
        items=one.things,
        pictures=one.pictures,
        current_right=one.current_right,
        candidate_right=one.candidate_right,
        only_current=one.only_current,
        only_candidate=one.only_candidate,
        p_worse=one.p_worse,
        is_worse=one.is_worse,
    )


def _figures(one: ModelMetrics) -> ValidationScores:
    return ValidationScores(one.accuracy, one.accepted, one.accepted_wrong)


def _suspect(settings: Settings, one: EvaluatedPage, *, is_held_out: bool) -> SuspectedLabel:
    return SuspectedLabel(
        text.escape(one.page.path.relative_to(settings.workspace).as_posix()),
        one.page.page,
        one.page.text,
        one.before.text,
        one.before.confidence,
        one.after.text,
        one.after.confidence,
        is_held_out,
        one.preview_png,
    )
