"""Progress and status lines of the commands."""

import pytest

from digitrec.cli import operations_output
from digitrec.cli.output import TrainingProgress
from digitrec.models.card import Epoch
from digitrec.pipeline.scanner import SkippedCounts
from digitrec.training.classifier import TrainingState


def test_a_training_says_a_line_for_each_epoch_of_each_network(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as progress:
        progress.update(TrainingState(1, 1, 50, 100, 0.0, 0.0, stage="crops"))
        progress.update(TrainingState(1, 2, 3, 3, 0.2, 0.9, stage="ink", words="ink network, epoch 1/2"))
        progress.update(TrainingState(1, 16, 2, 4, 0.3, 0.8))
        progress.update(TrainingState(1, 16, 4, 4, 0.3, 0.8, Epoch(1, 0.3, 0.8, 0.2, 0.9, 1e-3, 4.0)))

    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0] == "ink network, epoch 1/2"
    assert lines[1].startswith("epoch 1/16  loss 0.3000")
    assert len(lines) == 2


def test_files_that_can_never_be_claimed_are_counted_in_one_line() -> None:
    assert list(operations_output.format_passed_over(SkippedCounts())) == []
    assert list(operations_output.format_passed_over(SkippedCounts(too_long=1))) == [
        "1 file passed over: 1 with too long a path (`digitrec doctor` says what to do)"
    ]
    assert list(operations_output.format_passed_over(SkippedCounts(2, 3))) == [
        "5 files passed over: 2 with too long a path, 3 on another filesystem (`digitrec doctor` says what to do)"
    ]
