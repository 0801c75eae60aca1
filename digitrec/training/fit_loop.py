"""How the ink and the line network are fitted: epochs over what was drawn; the best weights stay, even after Ctrl-C."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from digitrec.training.classifier import TrainingState
from digitrec.training.networks import Model

B = TypeVar("B")

_SMOOTHED = 0.99


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A network of paper with its best weights, and how it came by them."""

    model: Model
    epochs: int
    """Finished."""
    score: float
    """On held-out drawings, 0..1; what it counts is the network's own. 0.0 if no epoch was finished."""
    interrupted: bool


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One of the networks, as the loop and its progress name it."""

    name: str
    scored_by: str
    """What its score counts, in words."""
    epochs: int
    steps: int
    """Batches of an epoch."""

    @property
    def total(self) -> int:
        """Batches of all epochs."""
        return self.epochs * self.steps


def run_epochs(
    stage: StageSpec,
    model: Model,
    batches: Callable[[int], Iterable[B]],
    learn: Callable[[B], float],
    judge: Callable[[], float],
    progress: Callable[[TrainingState], None],
) -> TrainedModel:
    """Fit a model in place and leave its best weights in it.

    Args:
        stage: its name and size.
        model: what is fitted.
        batches: gives the batches of an epoch, counted from 1.
        learn: learns from one batch and gives its loss.
        judge: gives the score of the weights as they are.
        progress: told after each batch and each epoch.
    """
    best, highest, finished, interrupted = model.get_weights(), 0.0, 0, False
    smooth: float | None = None
    try:
        for epoch in range(1, stage.epochs + 1):
            began = time.monotonic()
            for step, batch in enumerate(batches(epoch), start=1):
                loss = learn(batch)
                smooth = loss if smooth is None else _SMOOTHED * smooth + (1 - _SMOOTHED) * loss
                progress(TrainingState(epoch, stage.epochs, step, stage.steps, smooth, highest, stage=stage.name))
            smooth = smooth or 0.0
            score = judge()
            if score >= highest:
                best, highest = model.get_weights(), score
            finished = epoch
            words = (
                f"{stage.name} network, epoch {epoch}/{stage.epochs}  loss {smooth:.4f}  "
                f"held out: {score:.4f} {stage.scored_by}  {time.monotonic() - began:.0f} s"
            )
            progress(
                TrainingState(
                    epoch, stage.epochs, stage.steps, stage.steps, smooth, score, stage=stage.name, words=words
                )
            )
    except KeyboardInterrupt:
        interrupted = True
        if not finished:
            best = model.get_weights()
    model.set_weights(best)
    return TrainedModel(model, finished, highest, interrupted)


def warmup_cosine(total: int, peak: float, warm: int) -> Any:
    """A learning rate that rises for `warm` batches at most, a twentieth of all, then falls along a cosine."""
    import keras

    warm = max(1, min(warm, total // 20))
    return keras.optimizers.schedules.CosineDecay(1e-4, max(1, total - warm), warmup_target=peak, warmup_steps=warm)
