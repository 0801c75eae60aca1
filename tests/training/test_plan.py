"""The plan of a training: parts, and the time left."""

import pytest

from digitrec.training.classifier import TrainingState
from digitrec.training.plan import PlannedProgress, PlannedStage, plan_paper
from digitrec.training.pretraining import DEFAULT_CONFIG, QUICK_CONFIG, QUICK_EPOCHS

STAGES = (
    PlannedStage("crops", "segmenter", 10.0),
    PlannedStage("ink", "segmenter", 90.0),
    PlannedStage("line", "sequence recognizer", 100.0),
)


def make_state(stage: str, step: int, words: str = "") -> TrainingState:
    return TrainingState(1, 1, step, 1 if words else 10, 0.0, 0.0, stage=stage, words=words)


def trace(*steps: tuple[float, TrainingState]) -> list[TrainingState]:
    times = iter([0.0, *(at_s for at_s, _ in steps)])
    states: list[TrainingState] = []
    progress = PlannedProgress(STAGES, states.append, clock=lambda: next(times, 0.0))
    for _, state in steps:
        progress(state)
    return states


def test_time_left_follows_the_speed_of_this_machine() -> None:
    half, ink, line = trace(
        (10.0, make_state("crops", 5)), (110.0, make_state("ink", 5)), (300.0, make_state("line", 5))
    )

    assert (half.part, half.part_number, half.parts) == ("segmenter", 1, 2)
    assert half.all_left_s == pytest.approx(2 * 195)
    assert ink.all_left_s == pytest.approx(2 * 145)
    assert (line.part_number, line.all_left_s) == (2, pytest.approx(2 * 50))


def test_a_stage_from_a_checkpoint_counts_as_no_work() -> None:
    note, line = trace((1.0, make_state("ink", 1, "taken from a checkpoint")), (50.0, make_state("line", 5)))

    assert (note.part, note.all_left_s) == ("segmenter", None)
    assert line.all_left_s == pytest.approx(50.0)


def test_a_stage_that_is_not_planned_is_passed_on_as_it_is() -> None:
    state = make_state("paper", 1, "checkpoints are in a folder")

    assert trace((1.0, state)) == [state]


def test_the_plan_of_paper_has_every_stage_in_four_parts() -> None:
    stages = list(plan_paper(DEFAULT_CONFIG, epochs=16, digits=48_126))

    assert list(dict.fromkeys(stage.part for stage in stages)) == [
        "segmenter",
        "sequence recognizer",
        "digit classifier",
        "calibration",
    ]
    assert [stage.name for stage in stages].count("line") == len(DEFAULT_CONFIG.line_rounds)
    assert 3 * 3600 < sum(stage.seconds for stage in stages) < 8 * 3600


def test_a_quick_training_runs_the_same_stages_in_about_a_quarter_of_an_hour() -> None:
    stages = list(plan_paper(QUICK_CONFIG, epochs=QUICK_EPOCHS, digits=48_126))

    assert {stage.name for stage in stages} == {stage.name for stage in plan_paper(DEFAULT_CONFIG, 16, 48_126)}
    assert sum(stage.seconds for stage in stages) < 1000
