"""Training loop of the page models: epochs over generated examples; the best weights are kept, even after Ctrl-C."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from digitrec.training.classifier import TrainingState
from digitrec.training.networks import Model

B = TypeVar("B")

_LOSS_SMOOTHING = 0.99
"""Weight of the previous value in the exponential moving average of the loss that progress shows."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A page model with its best weights, and the course of its training."""

    model: Model
    epochs: int
    """Number of finished epochs."""
    score: float
    """Best score on held-out examples, 0..1, by the stage's metric; 0.0 if no epoch was finished."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Name, metric and size of the training of one page model."""

    name: str
    metric: str
    """Name of the score in progress lines."""
    epochs: int
    steps: int
    """Batches per epoch."""

    @property
    def total_steps(self) -> int:
        """Return the number of batches of all epochs."""
        return self.epochs * self.steps


def run_epochs(
    stage: StageSpec,
    model: Model,
    batches: Callable[[int], Iterable[B]],
    train_batch: Callable[[B], float],
    validate: Callable[[], float],
    progress: Callable[[TrainingState], None],
) -> TrainedModel:
    """Fit a model in place and leave its best weights in it.

    Args:
        stage: name and size.
        model: the model to fit.
        batches: returns the batches of an epoch; epochs count from 1.
        train_batch: trains on one batch and returns its loss.
        validate: returns the score of the current weights.
        progress: called after each batch and each epoch.
    """
    best, best_score, finished, interrupted = model.get_weights(), 0.0, 0, False
    mean_loss: float | None = None

    def report(epoch: int, step: int, score: float, words: str = "") -> None:
        progress(
            TrainingState(
                epoch, stage.epochs, step, stage.steps, mean_loss or 0.0, score, stage=stage.name, words=words
            )
        )

    try:
        for epoch in range(1, stage.epochs + 1):
            started_s = time.monotonic()
            for step, batch in enumerate(batches(epoch), start=1):
                loss = train_batch(batch)
                mean_loss = loss if mean_loss is None else _LOSS_SMOOTHING * mean_loss + (1 - _LOSS_SMOOTHING) * loss
                report(epoch, step, best_score)
            score = validate()
            if score >= best_score:
                best, best_score = model.get_weights(), score
            finished = epoch
            words = (
                f"{stage.name} network, epoch {epoch}/{stage.epochs}  loss {mean_loss or 0.0:.4f}  "
                f"held out: {score:.4f} {stage.metric}  {time.monotonic() - started_s:.0f} s"
            )
            report(epoch, stage.steps, score, words)
    except KeyboardInterrupt:
        interrupted = True
        if not finished:
            best = model.get_weights()
    model.set_weights(best)
    return TrainedModel(model, finished, best_score, interrupted)


def warmup_cosine(total_steps: int, peak_rate: float, warmup_steps: int) -> Any:
    """Return a schedule of the learning rate: linear warm-up, at most a twentieth of all steps, then cosine decay."""
    import keras

    warmup_steps = max(1, min(warmup_steps, total_steps // 20))
    return keras.optimizers.schedules.CosineDecay(
        1e-4, max(1, total_steps - warmup_steps), warmup_target=peak_rate, warmup_steps=warmup_steps
    )
