"""A model folder is unaltered, or refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

import digitrec
from digitrec.errors import ModelError
from digitrec.models.calibration import ACCEPT_NOTHING, AnswerKind
from digitrec.models.card import ModelCard
from digitrec.models.package import ModelPackage, weights_digest
from digitrec.types import PREPROCESSING_VERSION, Thresholds

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(SHIPPED, tmp_path / "model")


@pytest.fixture
def old_folder(folder: Path) -> Path:
    """Model of the first version, with one table called `bounds`."""

    def change(card: dict[str, Any]) -> None:
        table = card.pop("calibrations")[0]
        card.update(schema=1, bounds=table["bounds"])
        card["training"]["calibrated"] = table["trials"]

    edit(folder, change)
    return folder


@pytest.fixture
def single_network(folder: Path) -> Path:
    """Model with a digit classifier only."""

    def change(card: dict[str, Any]) -> None:
        card["files"] = {name: digest for name, digest in card["files"].items() if name.startswith("model.")}
        card["id"] = f"{card['network']}-{weights_digest(card['files'])[:10]}"

    edit(folder, change)
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a card of the current schema."""
    card = json.loads(json.dumps(ModelCard.from_json(json.loads((folder / "model.json").read_text())).to_json()))
    change(card)
    (folder / "model.json").write_text(json.dumps(card))


def test_the_shipped_model_opens(folder: Path) -> None:
    bundle = ModelPackage.open(folder)

    assert bundle.card.id.startswith(f"{bundle.card.network}-")
    assert bundle.card.fingerprint == f"{bundle.card.id}-r{bundle.card.recipe}"
    assert bundle.path("model.keras").is_file()
    assert all(0.0 <= threshold <= 1.0 for threshold in astuple(bundle.thresholds(0.01)))


def test_the_shipped_model_weighs_less_than_six_megabytes() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 6_000_000


def test_the_shipped_card_reports_995_of_1000_read_correctly() -> None:
    card = ModelPackage.open(SHIPPED).card

    (test,) = [metric for metric in card.metrics if metric.data == "mnist, test split"]
    assert test.pictures == 10_000
    assert test.low < test.accuracy < test.high
    assert test.accuracy >= 0.995


def test_a_card_round_trips() -> None:
    card = ModelPackage.open(SHIPPED).card

    assert ModelCard.from_json(json.loads(json.dumps(card.to_json()))) == card


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_altered_weights_are_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(ModelError, match=f"{name} was altered") as caught:
        ModelPackage.open(folder)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["model.keras", "model.tflite", "model.json"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()

    with pytest.raises(ModelError, match=name):
        ModelPackage.open(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model in"):
        ModelPackage.open(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", '{"schema": 99}', "[" * 100_000, '{"schema": 1}'])
def test_an_invalid_card_is_refused_in_a_single_line(folder: Path, text: str) -> None:
    (folder / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(ModelError, match=r"model\.json") as caught:
        ModelPackage.open(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card.pop("temperature"), "temperature"),
        (lambda card: card.update(temperature="hot"), "temperature"),
        (lambda card: card.update(temperature=float("nan")), "temperature"),
        (lambda card: card.update(id="../../etc"), "id"),
        (lambda card: card.update(id="cnn-0000000000"), "another model"),
        (lambda card: card.update(surprise=1), "surprise"),
        (lambda card: card["files"].update({"../evil.keras": "0" * 64}), "files"),
        (lambda card: card["files"].update({"weights.pkl": "0" * 64}), "files"),
        (lambda card: card["files"].update({"more.keras": "short"}), "files"),
        (lambda card: card["files"].pop("model.tflite"), "no model.tflite"),
        (lambda card: card.update(files=[]), "files"),
        (lambda card: card.update(id=card["id"] + "-c123"), "id"),
        (lambda card: card.update(bounds=[]), "bounds"),
        (lambda card: card.update(schema=1), "bounds"),
        (lambda card: card.update(calibrations=7), "model.json"),
        (lambda card: card["calibrations"][0]["bounds"].reverse(), "calibration"),
        (lambda card: card["calibrations"][0]["bounds"][0].update(upper=2.0), "calibration"),
        (lambda card: card["calibrations"][0]["bounds"][0].update(wrong=10**9), "calibration"),
        (lambda card: card["calibrations"][0].update(trials=3), "calibration"),
        (lambda card: card["calibrations"][0]["bounds"][0].pop("upper"), "upper"),
        (lambda card: card["calibrations"][0].update(rule="hope"), "hope"),
        (lambda card: card["calibrations"][0].update(applies_to=["letters"]), "letters"),
        (lambda card: card["calibrations"][0].update(applies_to=[]), "applies to nothing"),
    ],
)
def test_an_inconsistent_card_is_refused(folder: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    edit(folder, change)

    with pytest.raises(ModelError, match=words):
        ModelPackage.open(folder)


def test_a_pickle_in_the_folder_is_refused(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"\x80\x04.")

    with pytest.raises(ModelError, match="pickle"):
        ModelPackage.open(folder)


def test_weights_altered_after_opening_are_not_loaded(folder: Path) -> None:
    bundle = ModelPackage.open(folder)
    (folder / "model.tflite").write_bytes(b"something else")

    with pytest.raises(ModelError, match="altered"):
        bundle.read_file("model.tflite")


def add_networks(folder: Path, *names: str) -> None:
    """Add networks to a model folder, and rename it by their digests."""

    def added(card: dict[str, Any]) -> None:
        for name in names:
            (folder / name).write_bytes(name.encode())
            card["files"][name] = hashlib.sha256(name.encode()).hexdigest()
        card["id"] = f"paper-{weights_digest(card['files'])[:10]}"

    edit(folder, added)


def test_a_page_model_has_both_networks_or_none(single_network: Path) -> None:
    assert not ModelPackage.open(single_network).has_page_models

    add_networks(single_network, "ink.tflite")
    with pytest.raises(ModelError, match=r"only one of ink\.tflite and line\.tflite"):
        ModelPackage.open(single_network)

    add_networks(single_network, "line.tflite")
    bundle = ModelPackage.open(single_network)
    assert bundle.has_page_models
    assert bundle.read_file("line.tflite") == b"line.tflite"


def test_the_id_of_a_model_covers_every_network(folder: Path) -> None:
    add_networks(folder, "ink.tflite", "line.tflite")
    before = ModelPackage.open(folder).card.id

    (folder / "ink.tflite").write_bytes(b"other weights")
    edit(folder, lambda card: card["files"].update({"ink.tflite": hashlib.sha256(b"other weights").hexdigest()}))

    with pytest.raises(ModelError, match=f"named {before}, but its weights belong to another model"):
        ModelPackage.open(folder)


def test_a_file_missing_from_the_card_is_refused(single_network: Path) -> None:
    (single_network / "ink.tflite").write_bytes(b"somebody's")

    with pytest.raises(ModelError, match=r"has no ink\.tflite"):
        ModelPackage.open(single_network).read_file("ink.tflite")


def test_the_digests_are_those_of_the_files() -> None:
    bundle = ModelPackage.open(SHIPPED)

    for name, digest in bundle.card.files.items():
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() == digest


def test_an_error_rate_out_of_reach_accepts_nothing_and_is_described(folder: Path) -> None:
    assert ModelPackage.open(folder).describe_limit(0.01) == ""
    edit(folder, lambda card: [table.update(rule="bound") for table in card["calibrations"]])
    assert ModelPackage.open(folder).thresholds(0.0001) == Thresholds(ACCEPT_NOTHING, ACCEPT_NOTHING)
    limit = ModelPackage.open(folder).describe_limit(0.0001)
    assert "cannot guarantee a max_error of 0.0001, at best " in limit
    assert limit.endswith("all pages need review")


def test_only_the_answers_without_a_guarantee_need_review(folder: Path) -> None:
    def change(card: dict[str, Any]) -> None:
        few = [{"threshold": 0.0, "accepted": 3, "wrong": 0, "upper": 0.7}]
        of_digits = [table for table in card["calibrations"] if "digits" in table["applies_to"]]
        card["calibrations"] = [{**table, "applies_to": ["digits"]} for table in of_digits] + [
            {"name": "few", "source": "", "trials": 3, "rule": "bound", "bounds": few, "applies_to": ["numbers"]}
        ]

    before = ModelPackage.open(folder).thresholds(0.01)
    edit(folder, change)
    package = ModelPackage.open(folder)

    assert package.thresholds(0.01) == Thresholds(before.digit, ACCEPT_NOTHING)
    assert package.describe_limit(0.01) == (
        f"the model {package.card.id} cannot guarantee a max_error of 0.01, at best 0.70000 for numbers: "
        "all numbers on pages of more than one digit need review"
    )


def test_an_earlier_preprocessing_version_accepts_nothing_and_a_later_one_is_refused(folder: Path) -> None:
    edit(folder, lambda card: card.update(recipe=PREPROCESSING_VERSION - 1))
    package = ModelPackage.open(folder)

    assert package.thresholds(0.5) == Thresholds(ACCEPT_NOTHING, ACCEPT_NOTHING)
    assert f"preprocessing version {PREPROCESSING_VERSION - 1}" in package.describe_limit(0.5)

    edit(folder, lambda card: card.update(recipe=PREPROCESSING_VERSION + 1))
    with pytest.raises(ModelError, match=f"preprocessing version {PREPROCESSING_VERSION + 1}") as caught:
        ModelPackage.open(folder)
    assert "digitrec train" in caught.value.hint


def test_the_tables_of_the_second_schema_apply_to_digits_and_numbers(folder: Path) -> None:
    expected = ModelPackage.open(folder).card.calibrations

    def change(card: dict[str, Any]) -> None:
        card["schema"] = 2
        for table in card["calibrations"]:
            table["pages"] = table.pop("trials")
            del table["applies_to"]

    edit(folder, change)

    tables = ModelPackage.open(folder).card.calibrations
    assert [table.trials for table in tables] == [table.trials for table in expected]
    assert {table.applies_to for table in tables} == {(AnswerKind.DIGITS, AnswerKind.NUMBERS)}


def test_a_model_of_the_first_version_opens_with_the_same_error_table(old_folder: Path) -> None:
    old, first = ModelPackage.open(old_folder), ModelPackage.open(SHIPPED).card.calibrations[0]

    (table,) = old.card.calibrations
    assert (table.name, table.rule) == ("held out", "bound")
    assert (table.trials, table.bounds) == (first.trials, first.bounds)
    assert old.thresholds(0.005) == Thresholds(first.threshold(0.005), first.threshold(0.005))
    assert old.thresholds(0.005).digit < ACCEPT_NOTHING


def test_a_recalibrated_model_keeps_the_weights(folder: Path) -> None:
    edit(folder, lambda card: card.update(id=card["id"] + "-c0123abcd"))

    card = ModelPackage.open(folder).card
    assert card.id == f"{card.weights_id}-c0123abcd"
    assert card.weights_id == ModelPackage.open(SHIPPED).card.id
