"""The training loop: batches, epochs, the best weights, and what Ctrl-C leaves."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from digitrec.arrays import Ink, Picture
from digitrec.errors import DataError
from digitrec.models.card import Epoch
from digitrec.training.datasets.dataset import Dataset, Digits, Split
from digitrec.training.networks import ClassifierSpec, Model
from digitrec.training.synthetic.augment import augment

_FEWEST = 200
"""Pictures below which holding some out leaves too little on either side."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where training is; `done` is set once an epoch of the digits' network is over."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    """Of the digits' network on what it learns from; of the other stages, their own score so far."""
    done: Epoch | None = None
    stage: str = "digits"
    """What is being drawn or trained."""
    words: str = ""
    """A line for people, once a part of another stage is over."""


def no_progress(_: TrainingState) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The training split of a data set, cut up: no digit is in two of them."""

    learn: Split
    validate: Split
    """Chooses the best epoch."""
    calibrate: Split
    """Temperature and calibration table."""


@dataclass(slots=True)
class FittedClassifier:
    """The best weights so far, and how training went."""

    weights: list[Any]
    best_epoch: int = 0
    lowest: float = float("inf")
    history: list[Epoch] = field(default_factory=list)
    interrupted: bool = False

    def add(self, epoch: Epoch, model: Model) -> None:
        """Note an epoch, and keep its weights if no other validated better."""
        if epoch.validation_loss < self.lowest:
            self.weights, self.lowest, self.best_epoch = model.get_weights(), epoch.validation_loss, epoch.epoch
        self.history.append(epoch)


def split_dataset(dataset: Dataset, seed: int, held_out: float = 1 / 8) -> Splits:
    """Hold out an eighth of the training pictures, of every digit alike: 1 in 32 validates, 3 in 32 calibrate.

    Args:
        dataset: its training split is cut.
        seed: the same one cuts it the same way.
        held_out: the share of both together; a quarter of it validates.

    Raises:
        DataError: the data set is for evaluation only, too small, or lacks a digit.
    """
    if dataset.evaluation_only:
        raise DataError(
            f"{dataset.name} is for evaluation only", hint="Train with mnist, mnist-5k or pictures of your own."
        )
    everything = dataset.train
    if len(everything) < _FEWEST or min(np.bincount(everything.digits, minlength=10)) < 10:
        raise DataError(
            f"{dataset.name} has {len(everything)} pictures to train with; {_FEWEST} are needed, and 10 of each digit"
        )
    rng = np.random.default_rng(seed)
    group = np.zeros(len(everything), np.int64)
    for digit in range(10):
        places = rng.permutation(np.flatnonzero(everything.digits == digit))
        validate, calibrate = max(1, round(len(places) * held_out / 4)), max(2, round(len(places) * held_out * 3 / 4))
        group[places[:validate]] = 1
        group[places[validate : validate + calibrate]] = 2
    learn, validation, calibration = (everything.take(group == number) for number in range(3))
    return Splits(
        replace(learn, name="learn"), replace(validation, name="validate"), replace(calibration, name="calibrate")
    )


def augment_half(split: Split, seed: int) -> Ink:
    """Each picture once, every second one as another hand might have written it: what confidence is judged by."""
    ink = split.ink
    ink[1::2] = augment(split.pictures[1::2], split.digits[1::2], np.random.default_rng([seed, 2]))
    return ink


@dataclass(frozen=True, slots=True, eq=False)
class ExtraExamples:
    """Further examples: some of them are in every batch, besides the data set's own."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    classes: Digits
    """(n,)"""
    per_batch: int
    """How many of them are in a batch."""
    augment: Callable[[Picture, Digits, np.random.Generator], Ink]


def fit_classifier(
    model: Model,
    network: ClassifierSpec,
    parts: Splits,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
    beside: Sequence[ExtraExamples] = (),
    judged_by: tuple[Ink, Digits] | None = None,
) -> FittedClassifier:
    """Fit the model's weights in place; the best ones by validation loss are in what comes back.

    Args:
        model: what is fitted.
        network: how.
        parts: an epoch is over when each picture of `learn` was seen.
        epochs: how many.
        seed: of all dice.
        progress: told after each batch and each epoch.
        beside: further examples to learn from; none of them may be empty.
        judged_by: further examples to validate with.
    """
    import keras

    own = network.batch - sum(each.per_batch for each in beside)
    steps = max(1, len(parts.learn) // own)
    warm = max(1, min(steps, epochs * steps // 20))
    rate = keras.optimizers.schedules.CosineDecay(
        network.learning_rate / 20,
        max(1, epochs * steps - warm),
        warmup_target=network.learning_rate,
        warmup_steps=warm,
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=network.weight_decay),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    validation, truth = (
        augment_half(parts.validate, seed) if network.augment else parts.validate.ink,
        parts.validate.digits,
    )
    if judged_by is not None:
        validation, truth = np.concatenate([validation, judged_by[0]]), np.concatenate([truth, judged_by[1]])
    fitted = FittedClassifier(model.get_weights())
    try:
        for epoch in range(1, epochs + 1):
            began = time.monotonic()
            loss = accuracy = 0.0
            for step, (ink, digits) in enumerate(_batches(parts.learn, network, beside, [seed, epoch], steps), start=1):
                now_loss, now_accuracy = (float(value) for value in model.train_on_batch(ink, digits))
                loss += (now_loss - loss) / step
                accuracy += (now_accuracy - accuracy) / step
                progress(TrainingState(epoch, epochs, step, steps, loss, accuracy))
            judged = _judged(model, validation, truth)
            seconds = round(time.monotonic() - began, 1)
            line = Epoch(epoch, loss, accuracy, *judged, float(rate(epoch * steps)), seconds)
            fitted.add(line, model)
            progress(TrainingState(epoch, epochs, steps, steps, loss, accuracy, line))
    except KeyboardInterrupt:
        fitted.interrupted = True
        if not fitted.history:
            fitted.weights = model.get_weights()
    return fitted


def _batches(
    split: Split, network: ClassifierSpec, beside: Sequence[ExtraExamples], seed: list[int], steps: int
) -> Iterator[tuple[Ink, Digits]]:
    """The epoch's pictures in a new order; the next batch is drawn while the network learns from this one."""
    shuffle = np.random.default_rng(seed)
    order = shuffle.permutation(len(split))
    orders = [np.resize(shuffle.permutation(len(each.classes)), steps * each.per_batch) for each in beside]
    own = network.batch - sum(each.per_batch for each in beside)

    def draw(step: int) -> tuple[Ink, Digits]:
        some = split.take(order[step * own : (step + 1) * own])
        rng = np.random.default_rng([*seed, step])
        inks = [augment(some.pictures, some.digits, rng) if network.augment else some.ink]
        classes = [some.digits]
        for each, places in zip(beside, orders, strict=True):
            chosen = places[step * each.per_batch : (step + 1) * each.per_batch]
            inks.append(each.augment(each.pictures[chosen], each.classes[chosen], rng))
            classes.append(each.classes[chosen])
        return np.concatenate(inks), np.concatenate(classes)

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(draw, 0)
        for step in range(steps):
            batch = coming.result()
            if step + 1 < steps:
                coming = ahead.submit(draw, step + 1)
            yield batch


def _judged(model: Model, ink: Ink, digits: Digits) -> tuple[float, float]:
    """Mean loss and accuracy; by hand, as `Model.evaluate` builds a pipeline that complains on stderr."""
    scores = np.concatenate([model.predict_on_batch(ink[start : start + 500]) for start in range(0, len(ink), 500)])
    likely = np.maximum(scores[np.arange(len(digits)), digits], 1e-7)
    return float(-np.log(likely).mean()), float((scores.argmax(axis=1) == digits).mean())
