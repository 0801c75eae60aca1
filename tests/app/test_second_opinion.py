"""The setting `second_opinion`: which reader is asked, what the rows say of it, and that nothing changes without it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import MissingPackage, SettingsError
from digitrec.models.calibration import AnswerKind
from digitrec.models.package import ModelPackage
from digitrec.pipeline import read_files, task_batch
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.recognition.second_opinion import ReadText, SecondOpinion
from digitrec.settings import Settings
from digitrec.types import Limits, PageReading, PageStatus, Reason
from tests.conftest import RunCommand, ServiceHarness, read_csv
from tests.recognition.drawn import paper, write

pytestmark = pytest.mark.slow

OTHER = "rapidocr-3.10"
BELOW = 0.999999
"""Own operating point of the model of these tests: every answer is in doubt."""


class Knows:
    """Another reader that always reads the same."""

    def read(self, strip: Picture) -> ReadText:
        assert strip.ndim == 2
        return ReadText("4719", 0.99)


def number_page() -> bytes:
    return bytes(cv2.imencode(".png", write(paper(300, 600), "4719", 120, 180, high=90))[1])


def change_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    card = json.loads((folder / "model.json").read_text())
    change(card)
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def add_calibration(card: dict[str, Any]) -> None:
    """Give a card an operating point that no answer reaches, and a second opinion that is calibrated with it."""
    bounds = [
        {"threshold": 0.0, "accepted": 2000, "wrong": 900, "upper": 0.5},
        {"threshold": BELOW, "accepted": 1500, "wrong": 0, "upper": 0.002},
    ]
    card["calibrations"] = [
        {"name": kind, "source": "", "trials": 2000, "rule": "bound", "bounds": bounds, "applies_to": [kind]}
        for kind in ("digits", "numbers")
    ]
    model = {"intercept": 0.0, "own": 0.5, "agrees": 4.0, "score": 0.5, "other_score": 0.5}
    point = {
        **{"max_error": 0.005, "asked_below": BELOW, "threshold": 0.98, "asked": 500},
        **{"accepted": 300, "wrong": 0, "all_accepted": 1800, "all_wrong": 0, "all_upper": 0.002},
    }
    card["second_opinion"] = {
        "reader": OTHER,
        "models": [{"kind": kind, **model} for kind in ("digits", "numbers")],
        "cells": [],
        "points": [{"kind": kind, **point} for kind in ("digits", "numbers")],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a model that was calibrated with another reader."""
    return change_card(shutil.copytree(composition.SHIPPED_MODELS_DIR, tmp_path / "model"), add_calibration)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for an installation of the extra."""
    monkeypatch.setattr(composition, "find_installed_reader", lambda: OTHER)
    monkeypatch.setattr(composition, "require_packages", lambda *_: None)
    monkeypatch.setattr(composition, "make_text_reader", Knows)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "find_installed_reader", str)


@pytest.fixture(autouse=True)
def _plain_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIGITREC_SECOND_OPINION")
    monkeypatch.setitem(Settings.__init__.__kwdefaults__, "second_opinion", "auto")


def settings_of(folder: Path, **values: Any) -> Settings:
    return Settings(workspace=folder.parent, model=str(folder), engine="serial", **values)


def read_page(settings: Settings) -> PageReading:
    package = composition.open_model(settings)
    result = read_files.read_bytes(number_page(), Limits(), composition.load_page_reader(package, settings))
    ((reading,),) = read_files.decide_readings([result], package.thresholds(settings.max_error))
    return reading


@pytest.mark.usefixtures("installed")
def test_rows_reports_and_status_name_both_readers(
    folder: Path, harness: ServiceHarness, run_command: RunCommand
) -> None:
    harness.drop("number.png", number_page())
    options = ("--model", str(folder), "--engine", "serial", "--settle-s", "0")

    assert run_command("run", *options).code == 0

    (row,) = harness.rows()
    model_id = ModelPackage.open(folder).card.id
    assert (row["text"], row["status"], row["model_id"]) == ("4719", "accepted", f"{model_id}+{OTHER}")
    assert 0.98 < float(row["confidence"]) < BELOW
    (number,) = read_csv(next(harness.outbox.glob("*.numbers.csv")))
    assert (number["status"], number["confidence"]) == ("accepted", row["confidence"])
    assert run_command("verify").code == 0
    assert run_command("status", "--json", "--model", str(folder)).json["model"]["name"] == f"{model_id}+{OTHER}"
    batch = json.loads((harness.settings.reports / row["batch_id"] / "report.json").read_text())
    assert batch["model_id"] == f"{model_id}+{OTHER}"


@pytest.mark.usefixtures("installed")
def test_drift_is_measured_against_the_model_that_asked(harness: ServiceHarness, run_command: RunCommand) -> None:
    shipped = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.id
    harness.drop("number.png", number_page())
    harness.output_format = lambda output_format: replace(output_format, model_id=f"{shipped}+{OTHER}")
    harness.run()

    assert run_command("report").code == 0

    trend = json.loads((harness.settings.reports / "trend" / "report.json").read_text())
    (model,) = trend["models"]
    assert model["model_id"] == f"{shipped}+{OTHER}"
    assert model["reference"]["model_id"] == shipped
    assert trend["periods"][0]["drift"]["digits"] is not None


@pytest.mark.usefixtures("installed")
def test_it_is_asked_by_default_and_can_be_turned_off(folder: Path) -> None:
    asked, off = read_page(settings_of(folder)), read_page(settings_of(folder, second_opinion="off"))

    assert (asked.status, off.status, off.reason) == (PageStatus.ACCEPTED, PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    assert read_page(settings_of(folder, second_opinion="rapidocr")) == asked


@pytest.mark.usefixtures("absent")
def test_without_the_package_nothing_changes(folder: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(folder, tmp_path / "plain")
    change_card(plain, lambda card: card.pop("second_opinion"))
    variants = [settings_of(folder), settings_of(folder, second_opinion="off"), settings_of(plain)]

    formats = [
        composition.make_output_format(settings, package, package.thresholds(0.005), "2026-01-03T08:00:00.000Z")
        for settings in variants
        for package in [composition.open_model(settings)]
    ]

    assert formats[0] == formats[1] == formats[2]
    assert "+" not in formats[0].model_id
    assert read_page(variants[0]) == read_page(variants[1]) == read_page(variants[2])
    readers = [composition.load_page_reader(composition.open_model(settings), settings) for settings in variants]
    assert [reader.second_opinion for reader in readers] == [None] * 3


def test_a_card_without_it_is_written_as_before() -> None:
    card = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card

    assert "second_opinion" not in replace(card, second_opinion=None).to_json()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["second_opinion"].update(reader="rapidocr-4.0"),
        lambda card: card["second_opinion"].update(points=[]),
        lambda card: card["second_opinion"]["points"].__setitem__(slice(None), []),
        lambda card: [table.update(bounds=table["bounds"][:1]) for table in card["calibrations"]],
        lambda card: [point.update(asked_below=0.9) for point in card["second_opinion"]["points"]],
        lambda card: card.pop("second_opinion"),
    ],
    ids=["another version", "no points", "empty points", "nothing guaranteed", "calibrated again", "not calibrated"],
)
def test_it_is_not_asked_where_it_is_not_calibrated(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = settings_of(change_card(folder, change), second_opinion="rapidocr")
    package = composition.open_model(settings)

    assert composition.load_page_reader(package, settings).second_opinion is None
    assert composition.get_answering_id(settings, package) == package.card.id
    assert read_page(settings).status is PageStatus.REVIEW


@pytest.mark.usefixtures("installed")
def test_a_stricter_error_rate_than_calibrated_asks_nobody(folder: Path) -> None:
    settings = settings_of(folder, max_error=0.004)

    assert composition.find_other_reader(settings, composition.open_model(settings)) == ""


@pytest.mark.usefixtures("installed")
def test_a_kind_of_answers_that_is_not_calibrated_is_not_asked_about(folder: Path) -> None:
    settings = settings_of(change_card(folder, lambda card: card["second_opinion"]["points"].pop(1)))
    second = composition.load_page_reader(composition.open_model(settings), settings).second_opinion

    assert isinstance(second, SecondOpinion)
    assert [*second.rules] == [AnswerKind.DIGITS]
    assert read_page(settings).status is PageStatus.REVIEW


def test_a_reader_that_is_named_must_be_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "_OTHER_READER_PACKAGES", ("no_such_package",))
    settings = settings_of(folder, second_opinion="rapidocr")

    with pytest.raises(MissingPackage, match="second_opinion = rapidocr needs no_such_package"):
        composition.load_page_reader(composition.open_model(settings), settings)


def test_an_unknown_reader_is_refused() -> None:
    with pytest.raises(SettingsError, match="second_opinion is 'tesseract'; it must be one of auto, off, rapidocr"):
        Settings(second_opinion="tesseract")


def test_workers_of_a_cluster_need_the_same_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"rapidocr": "3.10.0", "onnxruntime": "1.32.0"}
    monkeypatch.setattr(task_batch, "_get_version", lambda name: versions.get(name, "1.0"))
    ours, theirs = task_batch.fingerprint(), {**task_batch.fingerprint(asks_others=False)}

    assert ours["rapidocr"] == "3.10.0"
    assert "rapidocr" not in theirs
    with pytest.raises(task_batch.WorkerMismatch, match=r"rapidocr is not installed there and 3.10.0 here"):
        task_batch.check_same("tcp://10.0.0.7:40001", theirs, ours)
    task_batch.check_same("tcp://10.0.0.7:40001", ours, theirs)


@pytest.mark.usefixtures("installed")
def test_a_restarted_run_rebuilds_the_same_table(
    folder: Path, harness: ServiceHarness, run_command: RunCommand
) -> None:
    harness.drop("number.png", number_page())
    options = ("--model", str(folder), "--engine", "serial", "--settle-s", "0")
    assert run_command("run", *options).code == 0
    (table,) = harness.tables()
    content = table.read_bytes()
    table.unlink()

    assert run_command("verify", "--rebuild", "--tables").code == 0

    assert table.read_bytes() == content
    with open_ledgers(harness.settings) as ledgers:
        (batch,) = ledgers["main"].batches()
        assert batch.output_format is not None
        assert batch.output_format.model_id.endswith(f"+{OTHER}")
