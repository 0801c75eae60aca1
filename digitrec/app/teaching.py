"""Corrected pages -> another model: one that goes on from a model there is, or one from nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from digitrec.app import composition, models
from digitrec.app.corrections_dataset import Gathered
from digitrec.clock import utc
from digitrec.errors import DataError
from digitrec.extras import TRAINING, needs
from digitrec.models.package import KERAS, Bundle
from digitrec.settings import Settings
from digitrec.training import correction_examples
from digitrec.training.classifier import Progress
from digitrec.training.correction_examples import Shown
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Dataset
from digitrec.training.finetune import USUAL, More, go_on
from digitrec.training.networks import BUILDERS


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
    progress: Callable[[Progress], None],
    goes_on: bool = True,
    network: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    leave_out: Sequence[str] = (),
    more: More = USUAL,
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
    needs("train", *TRAINING)
    pages.require()
    found = _fitting(start, data) if goes_on else None
    shown = _shown(settings, pages, start, progress)
    facts: dict[str, Any] = {**pages.as_json(), "unfit": sum(not one.fits for one in shown)}
    if found is None:
        learned = correction_examples.examples(shown)
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
    folder = go_on(
        start,
        found.dataset,
        shown,
        out_root=settings.models,
        now=lambda: utc(time.time()),
        corrections=facts,
        is_new=found.is_new,
        measure={name: registry.load(name).evaluation for name in found.left_out},
        more=more if epochs is None else replace(more, epochs=epochs),
        progress=progress,
        command=models.command(),
        kept=models.kept(settings),
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
    return start.card.network in BUILDERS and KERAS in start.card.files


class ForeignData(DataError):
    """A model learned from other data: which of these it never saw is not known."""


def _fitting(start: Bundle, data: str) -> _Data:
    """What `start` goes on with: the digits it never saw must be known, for they judge what becomes of it.

    Raises:
        ForeignData: they are not known.
    """
    dataset = registry.load(data)
    left_out = models.left_out(start.card)
    is_new = dataset.name in left_out
    left_out = [name for name in left_out if name != dataset.name]
    for name in left_out:
        dataset = registry.leave_out(dataset, name)
    if not is_new and dataset.digest != start.card.training.get("digest"):
        raise ForeignData(
            f"{start.card.id} learned from other digits than {data}: which of these it never saw is not known",
            hint=f"Name its own with --data ({start.card.training.get('data', 'not known')}), or train from nothing "
            "with --network.",
        )
    return _Data(dataset, left_out, is_new)


def _shown(settings: Settings, pages: Gathered, start: Bundle, progress: Callable[[Progress], None]) -> Sequence[Shown]:
    def told(done: int, total: int) -> None:
        progress(Progress(1, 1, done, total, 0.0, 0.0, stage="corrected pages"))

    return correction_examples.look(composition.page_reader(start), pages.learn, settings.limits, told=told)
