"""Train the digit classifier: splits, batches, epochs; the best weights are kept, even after Ctrl-C."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from digitrec.arrays import Ink, Picture
from digitrec.errors import DataError
from digitrec.models.card import Epoch
from digitrec.training.datasets.dataset import Dataset, Digits, Split
from digitrec.training.networks import ClassifierSpec, Model
from digitrec.training.synthetic.augment import augment
from digitrec.training.synthetic.parallel import ProgressCallback

_MIN_PICTURES, _MIN_PER_DIGIT = 200, 10
"""Smallest data set that can be split."""


@dataclass(frozen=True, slots=True)
class ClassifierParams:
    """Learning-rate schedule and validation of the digit classifier; set by hand."""

    start_rate_divisor: int = 20  # the warm-up starts at the learning rate divided by this
    warmup_divisor: int = 20  # the warm-up takes all steps divided by this, at most an epoch
    held_out: float = 1 / 8  # share of the data set for validation and calibration together
    validation_share: float = 1 / 4  # share of the held-out pictures for validation; the others calibrate
    validation_batch: int = 500  # pictures per prediction; limits memory and changes no result
    min_probability: float = 1e-7  # lower limit before the logarithm


PARAMS = ClassifierParams()


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Progress of a training."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    """Training accuracy of the digit classifier; of other stages, the best score so far."""
    done: Epoch | None = None
    """Result of an epoch of the digit classifier, at its end."""
    stage: str = "digits"
    words: str = ""
    """Result of an epoch of another stage, at its end, or a note."""
    part: str = ""
    """Part of the training that the stage belongs to, of `parts`; empty if it is not planned."""
    part_number: int = 0
    parts: int = 0
    all_left_s: float | None = None
    """Expected time to the end of the training, seconds; None if it is not known."""

    @property
    def line(self) -> str:
        """Return the line to print, at the end of an epoch of any stage; "" for a batch."""
        if self.done is None:
            return self.words
        return (
            f"epoch {self.epoch}/{self.epochs}  loss {self.done.loss:.4f}  accuracy {self.done.accuracy:.4f}  "
            f"held out: loss {self.done.validation_loss:.4f}  accuracy {self.done.validation_accuracy:.4f}  "
            f"{self.done.seconds:.0f} s"
        )


def no_progress(_: TrainingState) -> None:
    """Ignore the progress of a training."""


def report_items(progress: Callable[[TrainingState], None], stage: str) -> ProgressCallback:
    """Return a callback that reports the number of finished items of a stage."""
    return lambda done, total: progress(TrainingState(1, 1, done, total, 0.0, 0.0, stage=stage))


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Disjoint parts of the training split of a data set."""

    train: Split
    validation: Split
    """Chooses the best epoch."""
    calibration: Split
    """Fits temperature and calibration table."""


@dataclass(slots=True)
class FittedClassifier:
    """Best weights so far, and the course of the training."""

    weights: list[Any]
    best_epoch: int = 0
    lowest_loss: float = float("inf")
    history: list[Epoch] = field(default_factory=list)
    interrupted: bool = False

    def add(self, epoch: Epoch, model: Model) -> None:
        """Append an epoch, and keep its weights if its validation loss is the lowest."""
        if epoch.validation_loss < self.lowest_loss:
            self.weights, self.lowest_loss, self.best_epoch = model.get_weights(), epoch.validation_loss, epoch.epoch
        self.history.append(epoch)


def split_dataset(dataset: Dataset, seed: int, held_out: float = PARAMS.held_out) -> Splits:
    """Split the training pictures, stratified by digit: by default 28/32 train, 1/32 validate, 3/32 calibrate.

    Args:
        dataset: its training split is used.
        seed: the same seed gives the same splits.
        held_out: share of validation and calibration together.

    Raises:
        DataError: the data set is for evaluation only, too small, or lacks a digit.
    """
    if dataset.evaluation_only:
        raise DataError(
            f"{dataset.name} is for evaluation only", hint="Train with mnist, mnist-5k or pictures of your own."
        )
    pictures = dataset.train
    if len(pictures) < _MIN_PICTURES or min(np.bincount(pictures.digits, minlength=10)) < _MIN_PER_DIGIT:
        raise DataError(
            f"{dataset.name} has {len(pictures)} pictures to train with; {_MIN_PICTURES} are needed, "
            f"and {_MIN_PER_DIGIT} of each digit",
            hint="Label more pictures, or fine-tune the model in use with `digitrec train --with-corrections`.",
        )
    rng = np.random.default_rng(seed)
    part = np.zeros(len(pictures), np.int64)
    for digit in range(10):
        indices = rng.permutation(np.flatnonzero(pictures.digits == digit))
        validation = max(1, round(len(indices) * held_out * PARAMS.validation_share))
        calibration = max(2, round(len(indices) * held_out * (1 - PARAMS.validation_share)))
        part[indices[:validation]] = 1
        part[indices[validation : validation + calibration]] = 2
    names = ("learn", "validate", "calibrate")
    return Splits(*(replace(pictures.take(part == number), name=name) for number, name in enumerate(names)))


def augment_half(split: Split, seed: int) -> Ink:
    """Return each picture once, every second one augmented: the data that validate and calibrate."""
    ink = split.ink  # (n, 28, 28)
    ink[1::2] = augment(split.pictures[1::2], split.digits[1::2], np.random.default_rng([seed, 2]))
    return ink


@dataclass(frozen=True, slots=True, eq=False)
class ExtraExamples:
    """Examples that are mixed into every batch besides those of the data set."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    classes: Digits
    """(n,)"""
    per_batch: int
    augment: Callable[[Picture, Digits, Generator], Ink]


def fit_classifier(
    model: Model,
    spec: ClassifierSpec,
    splits: Splits,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
    extra: Sequence[ExtraExamples] = (),
    extra_validation: tuple[Ink, Digits] | None = None,
) -> FittedClassifier:
    """Fit the model's weights in place; the result holds the best ones by validation loss.

    Args:
        model: the model to fit.
        spec: its training parameters.
        splits: an epoch uses each picture of `train` once.
        epochs: number of epochs.
        seed: seed of all random numbers.
        progress: called after each batch and each epoch.
        extra: examples to mix in, none of them empty.
        extra_validation: further examples for the validation.
    """
    import keras

    own = spec.batch - sum(examples.per_batch for examples in extra)
    steps = max(1, len(splits.train) // own)
    warmup = max(1, min(steps, epochs * steps // PARAMS.warmup_divisor))
    rate = keras.optimizers.schedules.CosineDecay(
        spec.learning_rate / PARAMS.start_rate_divisor,
        max(1, epochs * steps - warmup),
        warmup_target=spec.learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    ink = augment_half(splits.validation, seed) if spec.augment else splits.validation.ink
    digits = splits.validation.digits
    if extra_validation is not None:
        ink, digits = np.concatenate([ink, extra_validation[0]]), np.concatenate([digits, extra_validation[1]])
    fitted = FittedClassifier(model.get_weights())
    try:
        for epoch in range(1, epochs + 1):
            started_s = time.monotonic()
            loss = accuracy = 0.0
            for step, batch in enumerate(_batches(splits.train, spec, extra, [seed, epoch], steps), start=1):
                batch_loss, batch_accuracy = (float(value) for value in model.train_on_batch(*batch))
                loss += (batch_loss - loss) / step
                accuracy += (batch_accuracy - accuracy) / step
                progress(TrainingState(epoch, epochs, step, steps, loss, accuracy))
            validation = _evaluate(model, ink, digits)
            seconds = round(time.monotonic() - started_s, 1)
            result = Epoch(epoch, loss, accuracy, *validation, float(rate(epoch * steps)), seconds)
            fitted.add(result, model)
            progress(TrainingState(epoch, epochs, steps, steps, loss, accuracy, result))
    except KeyboardInterrupt:
        fitted.interrupted = True
        if not fitted.history:
            fitted.weights = model.get_weights()
    return fitted


def _batches(
    split: Split, spec: ClassifierSpec, extra: Sequence[ExtraExamples], seed: list[int], steps: int
) -> Iterator[tuple[Ink, Digits]]:
    """Yield the shuffled batches of an epoch; a thread augments the next batch while the network trains on this one."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(split))
    orders = [np.resize(rng.permutation(len(examples.classes)), steps * examples.per_batch) for examples in extra]
    own = spec.batch - sum(examples.per_batch for examples in extra)

    def make_batch(step: int) -> tuple[Ink, Digits]:
        batch = split.take(order[step * own : (step + 1) * own])
        rng = np.random.default_rng([*seed, step])
        inks = [augment(batch.pictures, batch.digits, rng) if spec.augment else batch.ink]
        classes = [batch.digits]
        for examples, indices in zip(extra, orders, strict=True):
            chosen = indices[step * examples.per_batch : (step + 1) * examples.per_batch]
            inks.append(examples.augment(examples.pictures[chosen], examples.classes[chosen], rng))
            classes.append(examples.classes[chosen])
        return np.concatenate(inks), np.concatenate(classes)

    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(make_batch, 0)
        for step in range(steps):
            batch = future.result()
            if step + 1 < steps:
                future = executor.submit(make_batch, step + 1)
            yield batch


def _evaluate(model: Model, ink: Ink, digits: Digits) -> tuple[float, float]:
    """Return mean loss and accuracy; `Model.evaluate` would print warnings to stderr."""
    size = PARAMS.validation_batch
    scores = np.concatenate([model.predict_on_batch(ink[start : start + size]) for start in range(0, len(ink), size)])
    p_truth = np.maximum(scores[np.arange(len(digits)), digits], PARAMS.min_probability)
    return float(-np.log(p_truth).mean()), float((scores.argmax(axis=1) == digits).mean())
