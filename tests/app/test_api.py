"""`digitrec.run`, `train`, `evaluate` and `load_dataset`, as Python calls them."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import digitrec
from digitrec import PageStatus, Reader
from digitrec.app import models
from digitrec.errors import DataError, SettingsError, UsageError
from digitrec.models.card import Epoch
from digitrec.reports.statistics import wilson
from digitrec.training.classifier import TrainingState
from tests.conftest import RunCommand, draw, read_csv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
EPOCHS: list[int] = []


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def mlp(workspace: Path) -> digitrec.ModelPackage:
    """Return a small network, trained for one epoch."""
    return digitrec.train(
        "mnist-5k",
        network="mlp",
        epochs=1,
        workspace=workspace,
        progress=lambda state: EPOCHS.append(state.epoch) if state.done else None,
    )


def test_run_reads_the_inbox_of_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))

    summary = digitrec.run(tmp_path, settle_s=0)

    assert (summary.count.accepted, summary.count.claimed) == (1, 1)
    assert [row["text"] for row in read_csv(tmp_path / "outbox" / "latest.csv")] == ["7"]
    assert digitrec.run(str(tmp_path), settle_s=0).count.claimed == 0
    with pytest.raises(SettingsError, match="settle_s is -1"):
        digitrec.run(tmp_path, settle_s=-1)
    with pytest.raises(TypeError, match="settle"):
        digitrec.run(tmp_path, settle=0)


def test_a_trained_model_reads_and_is_evaluated(mlp: digitrec.ModelPackage, workspace: Path) -> None:
    result = digitrec.evaluate(mlp, "mnist-5k", workspace=workspace)

    assert EPOCHS == [1]
    assert mlp.card.training["command"] == "digitrec.train('mnist-5k', 'mlp', epochs=1, seed=0)"
    assert mlp.folder == workspace / ".digitrec" / "models" / mlp.card.id
    assert 0.8 < result.accuracy < 1.0
    assert result.right.total == 1000
    assert result.report.is_relative_to(workspace / "reports")
    assert math.isnan(replace(result, right=wilson(0, 0)).accuracy)


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["Training mlp on mnist", "ink network, epoch 1/2", "epoch 1/5  loss 0.3000  accuracy 0.8000"]),
        ({"verbose": False}, []),
        ({"progress": lambda _: None}, []),
    ],
)
def test_train_prints_a_line_per_epoch_unless_it_is_told_not_to(
    options: dict[str, Any], lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def report_epochs(*_: object, progress: Callable[[TrainingState], None], **__: object) -> None:
        progress(TrainingState(1, 2, 3, 3, 0.2, 0.9, stage="ink", words="ink network, epoch 1/2"))
        progress(TrainingState(1, 5, 3, 4, 0.3, 0.8))
        progress(TrainingState(1, 5, 4, 4, 0.3, 0.8, Epoch(1, 0.3, 0.8, 0.2, 0.9, 1e-3, 4.0)))

    monkeypatch.setattr(models, "train", report_epochs)

    digitrec.train("mnist", network="mlp", **options)

    printed = capsys.readouterr().out.splitlines()
    assert [line.partition("  held out")[0] for line in printed] == lines


def test_a_model_that_guarantees_nothing_answers_with_every_page_in_review(
    mlp: digitrec.ModelPackage, workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (page,) = Reader(mlp).read(draw(7))

    assert len(page.digits) == 1
    assert page.status is PageStatus.REVIEW
    (warning,) = caplog.messages
    assert warning.startswith(
        f"answers are not accepted: the model {mlp.card.id} cannot guarantee a max_error of 0.005"
    )
    assert warning.endswith("all pages need review")


def test_the_lines_that_train_prints_work(
    mlp: digitrec.ModelPackage, workspace: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "7.png").write_bytes(draw(7))
    monkeypatch.setattr(models, "train", lambda *_, **__: mlp)

    printed = run_command("train", "--network", "mlp", workspace=workspace).out.splitlines()

    assert printed[-3] == f"  {mlp.describe_limit(0.005)}"
    assert printed[-2] == f"  Try it: digitrec predict --model {mlp.card.id} FILE --workspace {workspace}"
    assert printed[-1] == f"  Use it: digitrec models promote {mlp.card.id} --force --workspace {workspace}"
    predicted = run_command("predict", "--model", mlp.card.id, str(workspace / "7.png"), "--json", workspace=workspace)
    assert predicted.json[0]["status"] == "review"
    assert predicted.err.count("all pages need review") == 1
    refused = run_command("models", "promote", mlp.card.id, workspace=workspace)
    assert (refused.code, "--force" in refused.err) == (78, True)
    assert run_command("models", "promote", mlp.card.id, "--force", workspace=workspace).code == 0
    (workspace / "inbox").mkdir()
    (workspace / "inbox" / "7.png").write_bytes(draw(7))
    summary = run_command("run", "--settle-s", "0", "--json", workspace=workspace)
    assert (summary.code, summary.json["review"]) == (0, 1)
    assert summary.err.count("all pages need review") == 1


def test_what_cannot_be_trained_or_evaluated_is_said_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("digitrec.training.datasets.registry.load_dataset", lambda _: pytest.fail("was loaded"))
    with pytest.raises(UsageError, match="there is no network 'foo'"):
        digitrec.train("mnist", network="foo", workspace=tmp_path)
    monkeypatch.undo()
    (tmp_path / "7.png").write_bytes(draw(7))
    with pytest.raises(DataError, match="holds no labelled pictures") as caught:
        digitrec.evaluate(None, str(tmp_path), workspace=tmp_path)
    assert "labels.csv" in caught.value.hint


def test_load_dataset_returns_arrays() -> None:
    data = digitrec.load_dataset("mnist-5k")

    assert data.train.pictures.shape == (4000, 28, 28)
    assert data.test is not None
    assert data.test.digits.shape == (1000,)
