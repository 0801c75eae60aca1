"""`digitrec train --with-corrections`: what it takes, and what it says."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digitrec.app import composition, models
from digitrec.app.corrections_dataset import CorrectionsDataset
from digitrec.app.model_comparison import summarize_comparison
from digitrec.app.retrain import RetrainReport
from digitrec.cli import main
from digitrec.models.package import ModelPackage
from tests.app.test_retrain_units import make_answer, make_page


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["digitrec", *words])
    with pytest.raises(SystemExit) as end:
        main.main()
    return int(end.value.code or 0)


@pytest.fixture
def train_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the library was train_calls for."""
    calls: list[dict[str, Any]] = []

    def train(_: object, data: str, **options: Any) -> RetrainReport:
        calls.append({"data": data, **options})
        held_out = [make_page("a", make_answer("1"), make_answer("7"))]
        suspect = make_page("b", make_answer("1", 1.0), make_answer("1", 1.0))
        pages = CorrectionsDataset((suspect.page,), (held_out[0].page,), 1, 1, 0, missing=2)
        return RetrainReport(
            ModelPackage.open(composition.SHIPPED_MODELS_DIR),
            pages,
            summarize_comparison(held_out, [suspect]),
            tmp_path / "index.html",
        )

    monkeypatch.setattr("digitrec.app.retrain.train_and_compare", train)
    return calls


@pytest.mark.slow
def test_the_model_in_use_goes_on_unless_another_or_another_kind_is_named(
    train_calls: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--with-corrections") == 0
    assert (
        call(monkeypatch, tmp_path, "train", "--with-corrections", "--base-model", "shipped", "--network", "mlp") == 0
    )

    assert [(options["base_model"], options["network"], options["epochs"]) for options in train_calls] == [
        (None, None, None),
        ("shipped", "mlp", None),
    ]


def test_the_gain_and_suspect_corrections_are_printed(
    train_calls: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--with-corrections") == 0

    printed = capsys.readouterr().out
    assert "trained on 1 corrected or confirmed page; 1 held out, 2 left out" in printed
    assert "held out, before: accuracy 0 % (0 of 1" in printed
    assert "held out, now:    accuracy 100 % (1 of 1" in printed
    assert "exact McNemar test" in printed
    assert "corrections that may be errors: 1" in printed
    assert str(tmp_path / "index.html") in printed


def test_scripts_get_the_same_as_json(
    train_calls: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--with-corrections", "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result["model_id"] == ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.id
    assert result["corrections"]["missing"] == 2
    assert result["held_out"]["after"]["right"]["share"] == 1.0
    assert result["suspects"] == 1


def test_without_corrections_nothing_goes_on_from_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--base-model", "shipped") == 2
    assert "--with-corrections" in capsys.readouterr().err


def test_train_uses_a_cnn_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    def train(_: object, __: str, network: str, **___: object) -> Any:
        kinds.append(network)
        return SimpleNamespace(
            card=SimpleNamespace(id="cnn-0", interrupted=False, metrics=()),
            folder=tmp_path / "models/cnn-0",
            describe_limit=lambda _: "",
        )

    monkeypatch.setattr(models, "train", train)

    assert call(monkeypatch, tmp_path, "train") == 0
    assert kinds == ["cnn"]


def test_without_corrections_the_first_step_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--with-corrections", "--data", "mnist-5k") == 2

    error = capsys.readouterr().err
    assert "there is no corrected page to train on" in error
    assert "digitrec review" in error


@pytest.mark.parametrize("others", [[], ["--network", "cnn"], ["--network", "paper", "--with-corrections"]])
def test_only_a_training_of_page_models_from_scratch_can_be_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], others: list[str]
) -> None:
    assert call(monkeypatch, tmp_path, "train", "--quick", *others) == 2
    assert "--quick is for --network paper" in capsys.readouterr().err
