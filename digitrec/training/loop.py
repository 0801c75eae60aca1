"""The training loop: batches, epochs, the best weights, and what Ctrl-C leaves."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from digitrec.classifiers.card import Epoch
from digitrec.errors import DataError
from digitrec.records import Ink
from digitrec.training.arrays import Dataset, Digits, Split
from digitrec.training.augment import augment
from digitrec.training.networks import Model, Network

_FEWEST = 200
"""Pictures below which holding some out leaves too little on either side."""


@dataclass(frozen=True, slots=True)
class Progress:
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


def quietly(_: Progress) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The training split of a data set, cut up: no digit is in two of them."""

    learn: Split
    validate: Split
    """Chooses the best epoch."""
    calibrate: Split
    """Temperature and calibration table."""


@dataclass(slots=True)
class Fitted:
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


def cut(dataset: Dataset, seed: int) -> Parts:
    """Hold out an eighth of the training pictures, of every digit alike: 1 in 32 validates, 3 in 32 calibrate.

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
    dice = np.random.default_rng(seed)
    group = np.zeros(len(everything), np.int64)
    for digit in range(10):
        places = dice.permutation(np.flatnonzero(everything.digits == digit))
        validate, calibrate = max(1, round(len(places) / 32)), max(2, round(len(places) * 3 / 32))
        group[places[:validate]] = 1
        group[places[validate : validate + calibrate]] = 2
    learn, validation, calibration = (everything.take(group == number) for number in range(3))
    return Parts(
        replace(learn, name="learn"), replace(validation, name="validate"), replace(calibration, name="calibrate")
    )


def half_varied(split: Split, seed: int) -> Ink:
    """Each picture once, every second one as another hand might have written it: what confidence is judged by."""
    ink = split.ink
    ink[1::2] = augment(split.pictures[1::2], split.digits[1::2], np.random.default_rng([seed, 2]))
    return ink


def fit(
    model: Model, network: Network, parts: Parts, *, epochs: int, seed: int, progress: Callable[[Progress], None]
) -> Fitted:
    """Fit the model's weights in place; the best ones by validation loss are in what comes back."""
    import keras

    steps = max(1, len(parts.learn) // network.batch)
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
    validation = half_varied(parts.validate, seed) if network.augment else parts.validate.ink
    fitted = Fitted(model.get_weights())
    try:
        for epoch in range(1, epochs + 1):
            began = time.monotonic()
            loss = accuracy = 0.0
            for step, (ink, digits) in enumerate(_batches(parts.learn, network, [seed, epoch], steps), start=1):
                now_loss, now_accuracy = (float(value) for value in model.train_on_batch(ink, digits))
                loss += (now_loss - loss) / step
                accuracy += (now_accuracy - accuracy) / step
                progress(Progress(epoch, epochs, step, steps, loss, accuracy))
            judged = _judged(model, validation, parts.validate.digits)
            seconds = round(time.monotonic() - began, 1)
            line = Epoch(epoch, loss, accuracy, *judged, float(rate(epoch * steps)), seconds)
            fitted.add(line, model)
            progress(Progress(epoch, epochs, steps, steps, loss, accuracy, line))
    except KeyboardInterrupt:
        fitted.interrupted = True
        if not fitted.history:
            fitted.weights = model.get_weights()
    return fitted


def _batches(split: Split, network: Network, seed: list[int], steps: int) -> Iterator[tuple[Ink, Digits]]:
    """The epoch's pictures in a new order; the next batch is drawn while the network learns from this one."""
    order = np.random.default_rng(seed).permutation(len(split))

    def draw(step: int) -> tuple[Ink, Digits]:
        some = split.take(order[step * network.batch : (step + 1) * network.batch])
        dice = np.random.default_rng([*seed, step])
        return augment(some.pictures, some.digits, dice) if network.augment else some.ink, some.digits

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
