"""Plan of a training: its parts, and how much time is left by the share of the work that is done."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from digitrec.training.classifier import TrainingState
from digitrec.training.pretraining import PaperTrainingConfig


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Duration of the stages, from the card of paper-49e781c213 (two cores); only their proportions matter."""

    crop: float = 112 / 160_000
    """To draw a crop, seconds; likewise the others."""
    crop_epoch: float = (2744 - 112) / (14 * 160_000)
    """To train the segmenter on a crop once."""
    line: float = 1054 / 720_000
    strip_page: float = 0.13
    """To draw a page and cut out its numbers; from the card of paper-5ec4cc578b."""
    line_epoch: float = (10_302 - 1054) / 2_950_000
    page: float = 305 / 60_000
    digit_epoch: float = 2950 / (16 * 48_126)
    evaluation_page: float = 0.02
    """To draw and read a page for calibration; estimated."""


SECONDS = StageSeconds()


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of a training, and the part that it belongs to."""

    name: str
    """As in `TrainingState.stage`."""
    part: str
    seconds: float
    """Expected duration, by `StageSeconds`."""


def plan_paper(config: PaperTrainingConfig, epochs: int, digits: int) -> Iterator[PlannedStage]:
    """Yield the stages of `train --network paper`, in their order.

    Args:
        config: amounts of synthetic data.
        epochs: epochs of the digit classifier.
        digits: pictures of an epoch of the digit classifier.
    """
    part = "segmenter"
    yield PlannedStage("crops", part, SECONDS.crop * config.crops)
    yield PlannedStage("ink", part, SECONDS.crop_epoch * config.crops * config.segmenter_epochs)
    part = "sequence recognizer"
    for lines in config.line_rounds:
        yield PlannedStage("lines", part, SECONDS.line * lines.lines)
        if lines.pages:
            yield PlannedStage("strips", part, SECONDS.strip_page * lines.pages)
        yield PlannedStage("line", part, SECONDS.line_epoch * lines.lines * lines.epochs)
    part = "digit classifier"
    yield PlannedStage("pages", part, SECONDS.page * config.pages)
    yield PlannedStage("digits", part, SECONDS.digit_epoch * digits * epochs)
    yield PlannedStage("calibration", "calibration", SECONDS.evaluation_page * 2.1 * config.evaluation_pages)


class PlannedProgress:
    """Adds the part, the number of parts and the time left to each state of a training."""

    def __init__(
        self,
        stages: Sequence[PlannedStage],
        progress: Callable[[TrainingState], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            stages: of the training, in their order; one that is taken from a checkpoint may be missing.
            progress: called with each state.
            clock: returns seconds.
        """
        self._stages = stages
        self._parts = list(dict.fromkeys(stage.part for stage in stages))
        self._progress = progress
        self._clock = clock
        self._started_s = clock()
        self._current = -1
        self._is_current_run = False
        self._worked_s = 0.0
        """Expected duration of what was run before the current stage."""

    def __call__(self, state: TrainingState) -> None:
        """Pass a state on with its part and the time left; as it is if its stage is not planned."""
        is_note = bool(state.words) and state.epochs == state.steps == 1  # no work: the checkpoint was taken
        self._enter(state.stage)
        if self._current < 0 or self._stages[self._current].name != state.stage:
            self._progress(state)
            return
        stage = self._stages[self._current]
        self._is_current_run = self._is_current_run or not is_note
        share = ((state.epoch - 1) * state.steps + state.step) / (state.epochs * state.steps)
        worked_s = self._worked_s + share * stage.seconds * self._is_current_run
        left_s = (1 - share) * stage.seconds + sum(later.seconds for later in self._stages[self._current + 1 :])
        elapsed_s = self._clock() - self._started_s
        factor = elapsed_s / worked_s if worked_s else None
        number = self._parts.index(stage.part) + 1
        named = replace(state, part=stage.part, part_number=number, parts=len(self._parts))
        self._progress(replace(named, all_left_s=None if factor is None else factor * left_s))

    def _enter(self, name: str) -> None:
        """Go on to the next stage of this name, if it is not the current one."""
        if self._current >= 0 and self._stages[self._current].name == name:
            return
        names = [stage.name for stage in self._stages]
        if name in names[self._current + 1 :]:
            if self._current >= 0 and self._is_current_run:
                self._worked_s += self._stages[self._current].seconds
            self._current, self._is_current_run = names.index(name, self._current + 1), False
