"""Train, compare, report, and promote if the new model got worse in nothing: what `jobs/retrain.py` does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import digitrec
from digitrec import text
from digitrec.app import composition, model_comparison, models
from digitrec.app.corrections_dataset import Gathered, gather
from digitrec.app.model_comparison import Figures, Judged, Learned, judge
from digitrec.errors import TRAINING, DataError, require_packages
from digitrec.models.package import KERAS, Bundle
from digitrec.pipeline import workspace
from digitrec.reports import retrain_report
from digitrec.reports.batch_report import write_index
from digitrec.reports.retrain_report import ComparedFacts, HowItDoes, LearningFacts, Suspect
from digitrec.settings import Settings
from digitrec.text import utc
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


def teach(
    settings: Settings,
    data: str,
    pages: Gathered,
    *,
    start: Bundle,
    progress: Callable[[TrainingState], None],
    goes_on: bool = True,
    network: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    leave_out: Sequence[str] = (),
    more: FinetuneConfig = DEFAULT_CONFIG,
) -> Bundle:
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
    require_packages("train", *TRAINING)
    pages.require()
    found = _fitting(start, data) if goes_on else None
    shown = _shown(settings, pages, start, progress)
    facts: dict[str, Any] = {**pages.as_json(), "unfit": sum(not one.fits for one in shown)}
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
        now=lambda: utc(time.time()),
        corrections=facts,
        is_new=found.is_new,
        test_splits={name: registry.load_dataset(name).evaluation for name in found.left_out},
        config=more if epochs is None else replace(more, epochs=epochs),
        progress=progress,
        command=models.command(),
        checkpoint_dir=models.kept(settings),
    )
    return Bundle.open(folder)


def can_go_on(start: Bundle, data: str) -> bool:
    """Whether a model can go on with these data, and is not too old to: else `teach` begins from nothing.

    Raises:
        DataError: there are no such data.
    """
    try:
        _fitting(start, data)
    except ForeignData:
        return False
    return start.card.network in CLASSIFIERS and KERAS in start.card.files


class ForeignData(DataError):
    """A model learned from other data: which of these it never saw is not known."""


def _fitting(start: Bundle, data: str) -> _Data:
    """What `start` goes on with: the digits it never saw must be known, for they judge what becomes of it.

    Raises:
        ForeignData: they are not known.
    """
    dataset = registry.load_dataset(data)
    left_out = models.left_out(start.card)
    is_new = dataset.name in left_out
    left_out = [name for name in left_out if name != dataset.name]
    for name in left_out:
        dataset = registry.exclude_dataset(dataset, name)
    if not is_new and dataset.digest != start.card.training.get("digest"):
        raise ForeignData(
            f"{start.card.id} learned from other digits than {data}: which of these it never saw is not known",
            hint=f"Name its own with --data ({start.card.training.get('data', 'not known')}), or train from nothing "
            "with --network.",
        )
    return _Data(dataset, left_out, is_new)


def _shown(
    settings: Settings, pages: Gathered, start: Bundle, progress: Callable[[TrainingState], None]
) -> Sequence[LabelledCrops]:
    def told(done: int, total: int) -> None:
        progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage="corrected pages"))

    return correction_examples.extract_labelled_crops(
        composition.page_reader(start), pages.learn, settings.limits, on_progress=told
    )


@dataclass(frozen=True, slots=True)
class Retrained:
    """A new model, and whether it is in use now."""

    model_id: str
    before: str
    """The id of the model that was in use."""
    is_promoted: bool
    comparisons: tuple[McNemarResult, ...]
    pages: Gathered
    learned: Learned | None
    """None if there were no corrections to learn from."""
    report: Path | None


def retrain(
    settings: Settings, data: str, progress: Callable[[TrainingState], None], more: FinetuneConfig = DEFAULT_CONFIG
) -> Retrained:
    """Train a network like the one in use, with all corrections, and use it if it is worse in nothing.

    Nothing: neither on the data set's test split, nor on scans drawn with it, nor on the corrected pages held out for
    ever, in what it reads and in what it accepts; each by McNemar's exact test, one-sided. `digitrec models rollback`
    undoes it.

    Raises:
        BusyError: another one is at it.
        DigitrecError: data or model cannot be used; nothing was promoted.
    """
    with workspace.exclusive_job(settings, "retrain"):
        in_use, pages = composition.bundle_of(settings), gather(settings)
        taught = _taught(settings, data, pages, in_use, progress, more)
        learned = judge(settings, pages, in_use, taught) if pages.learn else None
        also = model_comparison.comparisons(settings, data, in_use, taught, learned) if learned is not None else ()
        comparisons = models.promote(settings, taught.card.id, force=False, data=data, also=also)
        is_promoted = not any(one.is_worse for one in comparisons)
        page = None if learned is None else report(settings, in_use, taught, pages, learned, comparisons, is_promoted)
        return Retrained(taught.card.id, in_use.card.id, is_promoted, comparisons, pages, learned, page)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A new model that learned from corrections; which one is in use has not changed."""

    bundle: Bundle
    pages: Gathered
    learned: Learned
    report: Path


def learn(
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
) -> Lesson:
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
    before = composition.bundle_of(settings if start is None else replace(settings, model=start))
    pages = gather(settings)
    taught = teach(
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
    learned = judge(settings, pages, before, taught)
    return Lesson(taught, pages, learned, report(settings, before, taught, pages, learned))


def report(
    settings: Settings,
    start: Bundle,
    taught: Bundle,
    pages: Gathered,
    learned: Learned,
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
    about = LearningFacts(
        taught.card.id,
        start.card.id,
        digitrec.__version__,
        utc(time.time()),
        settings.max_error,
        pages.as_json(),
        is_promoted,
    )
    decided = comparisons or [one for one in (learned.comparison, learned.accepted) if one is not None]
    held_out = set(pages.held_out)
    page = retrain_report.write_learning(
        settings.reports / "learning" / taught.card.id,
        about,
        _figures(learned.before),
        _figures(learned.after),
        [_facts(one) for one in decided],
        [_suspect(settings, one, is_held_out=one.page in held_out) for one in learned.suspects],
        learned.won_over,
    )
    write_index(settings.reports)
    return page


def _taught(
    settings: Settings,
    data: str,
    pages: Gathered,
    in_use: Bundle,
    progress: Callable[[TrainingState], None],
    more: FinetuneConfig,
) -> Bundle:
    """The model in use goes on; one like it begins from nothing if there is nothing to go on with, or other data."""
    # What the model in use was not shown, its successor is not shown either: on that the two can be compared.
    leave_out = [one for one in models.left_out(in_use.card) if one != data]
    kind = in_use.card.network
    if not pages.learn:
        return models.train(settings, data, kind, epochs=None, seed=0, leave_out=leave_out, progress=progress)
    goes_on = can_go_on(in_use, data)
    return teach(
        settings,
        data,
        pages,
        start=in_use,
        goes_on=goes_on,
        leave_out=leave_out,
        progress=progress,
        more=more,
    )


def _facts(one: McNemarResult) -> ComparedFacts:
    return ComparedFacts(**asdict(one), is_worse=one.is_worse)


def _figures(one: Figures) -> HowItDoes:
    return HowItDoes(one.right, one.accepted, one.accepted_wrong)


def _suspect(settings: Settings, one: Judged, *, is_held_out: bool) -> Suspect:
    return Suspect(
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
