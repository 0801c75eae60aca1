"""`digitrec calibrate`: the same weights, an error guarantee measured on the user's own scans."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from typer.testing import CliRunner

from digitrec.app import composition
from digitrec.app.calibrate import OWN_NUMBERS, OWN_SCANS
from digitrec.app.models import write_samples
from digitrec.app.reader import Reader
from digitrec.arrays import Picture
from digitrec.cli.main import cli
from digitrec.errors import DataError, ModelError
from digitrec.models.calibration import AnswerKind, required_sample_size
from digitrec.models.package import ModelPackage
from digitrec.settings import Settings
from digitrec.training.datasets import mnist
from digitrec.training.datasets.image_folder import find_labelled_pictures
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.pages.kinds import draw_page
from digitrec.training.synthetic.symbols import GlyphSources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty synthetic scans with their labels.csv."""
    folder = tmp_path_factory.mktemp("drawn") / "scans"
    write_samples(folder, count=60, seed=4)
    return folder


def digitrec(workspace: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--workspace", str(workspace)])


def calibrate(workspace: Path, scans: Path, *words: str) -> Result:
    return digitrec(workspace, "calibrate", "--data", f"folder:{scans}", "--max-error", "0.2", *words)


def in_use(workspace: Path) -> ModelPackage:
    return composition.open_model(Settings.load(workspace))


def test_the_calibrated_copy_keeps_weights_has_its_table_and_is_promoted(tmp_path: Path, scans: Path) -> None:
    shipped = ModelPackage.open(composition.SHIPPED_MODELS_DIR)

    result = calibrate(tmp_path, scans)

    assert result.exit_code == 0, result.output
    copy = in_use(tmp_path)
    assert copy.card.weights_id == shipped.card.id
    assert copy.card.files == shipped.card.files
    assert copy.card.id == copy.folder.name
    table, *others = copy.card.calibrations
    assert table.applies_to == (AnswerKind.DIGITS,)
    assert {old.applies_to for old in others} == {(AnswerKind.NUMBERS,)}
    assert (table.trials, table.rule) == (60, "bound")
    point = table.point_at(copy.thresholds(0.2).digit)
    assert point.upper <= 0.2
    for words in (
        "60 labelled pages of scans",
        f"accepts from a confidence of {point.threshold:.6f} (max_error 0.2)",
        f"({point.accepted} of 60), of these wrong {point.wrong}",
        f"{copy.card.id} is now in use",
    ):
        assert words in result.output


def test_a_flag_that_run_does_not_have_is_reported_with_its_setting(tmp_path: Path, scans: Path) -> None:
    result = calibrate(tmp_path, scans)

    assert result.exit_code == 0
    assert "`digitrec run` asks for a max_error of 0.005: the model " in (result.output)
    assert f"Set this in {tmp_path / 'digitrec.toml'}:\n\n    max_error = 0.2\n" in result.output
    predicted = digitrec(tmp_path, "predict", str(min(scans.glob("*.png"))))
    assert predicted.exit_code == 0
    assert "cannot guarantee a max_error of 0.005" in predicted.stderr
    assert "review" in predicted.stdout

    (tmp_path / "digitrec.toml").write_text("max_error = 0.2\n")
    assert Reader.from_settings(Settings.load(tmp_path)).to_table([])[1].max_error == 0.2
    assert "cannot guarantee" not in calibrate(tmp_path, scans).output


def test_an_environment_variable_that_overrides_the_file_is_reported(
    tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITREC_MAX_ERROR", "0.001")

    assert "and unset DIGITREC_MAX_ERROR, which takes precedence" in calibrate(tmp_path, scans).output


def test_the_card_of_the_copy_names_its_calibration_pages(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)
    words = (in_use(tmp_path).folder / "MODEL_CARD.md").read_text()

    assert words.startswith(f"# {in_use(tmp_path).card.id}\n")
    assert "(digits): 60 pages, the labelled pages of scans" in words
    for table in ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.calibrations:
        assert f"- {table.name} (digits" not in words
    for chapter in ("## Training data", "## Limits"):
        assert words.count(chapter) == 1


def test_the_service_accepts_by_the_new_threshold_and_names_the_copy(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)

    _, output_format = Reader.from_settings(Settings.load(tmp_path, {"max_error": 0.2})).to_table([])

    assert output_format.model_id == in_use(tmp_path).card.id
    assert output_format.thresholds == in_use(tmp_path).thresholds(0.2)


def test_calibrating_again_replaces_the_first_calibration(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)
    first = in_use(tmp_path).card
    fewer = tmp_path / "fewer"
    shutil.copytree(scans, fewer)
    lines = (fewer / "labels.csv").read_text().splitlines()
    (fewer / "labels.csv").write_text("\n".join(lines[:51]))

    assert calibrate(tmp_path, fewer).exit_code == 0

    second = in_use(tmp_path).card
    assert second.id != first.id
    assert second.weights_id == first.weights_id
    assert second.calibrations[0].trials == 50


def test_the_same_pages_give_the_same_copy(tmp_path: Path, scans: Path) -> None:
    names = []
    for _ in range(2):
        calibrate(tmp_path, scans)
        names.append(in_use(tmp_path).card.id)

    assert names[0] == names[1]
    assert len(list((tmp_path / ".digitrec" / "models").glob("*-c*"))) == 1


def test_the_other_commands_accept_a_calibrated_copy(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans, "--no-promote")
    (copy,) = (tmp_path / ".digitrec" / "models").glob("*-c*")

    assert in_use(tmp_path).folder == composition.SHIPPED_MODELS_DIR
    assert copy.name in digitrec(tmp_path, "models", "list").output
    assert digitrec(tmp_path, "models", "promote", copy.name, "--force", "--max-error", "0.2").exit_code == 0
    assert in_use(tmp_path).folder == copy
    brief = digitrec(tmp_path, "models", "show", "--max-error", "0.2").output
    assert "own scans" in brief
    assert "cannot be guaranteed" in brief
    output = digitrec(tmp_path, "models", "show", "--max-error", "0.2", "--card").output
    assert brief.splitlines()[1] in output
    assert "own scans (digits): 60 pages, the labelled pages of scans" in output
    assert "needs 598 labelled pages" in output
    assert output.count("Accepts from a confidence of") == 1
    assert output.count("decided by") == 2
    assert "| 20 % |" in output
    assert digitrec(tmp_path, "models", "rollback").exit_code == 0
    assert in_use(tmp_path).folder == composition.SHIPPED_MODELS_DIR


def test_too_few_pages_are_refused_with_the_best_reachable_bound(tmp_path: Path, scans: Path) -> None:
    result = calibrate(tmp_path, scans, "--max-error", "0.005")

    why = result.exception
    assert isinstance(why, DataError)
    assert why.exit_code == 2
    assert str(why).startswith("60 labelled pages are too few to guarantee a max_error of 0.005")
    assert f"{required_sample_size(0.005)} that are accepted without any error" in why.hint
    assert not list(tmp_path.glob(".digitrec/models/*"))

    least = str(why).partition("they can guarantee is ")[2].partition(" ")[0]
    assert calibrate(tmp_path, scans, "--max-error", least).exit_code == 0


def test_pages_that_are_all_wrong_give_no_error_bound(tmp_path: Path, scans: Path) -> None:
    wrong = tmp_path / "none.csv"
    names = [picture.path.name for picture in find_labelled_pictures(scans)]
    wrong.write_text("file,label\n" + "".join(f"{name},none\n" for name in names))

    why = calibrate(tmp_path, scans, "--labels", str(wrong)).exception

    assert isinstance(why, DataError)
    assert "they can guarantee none at all" in str(why)


def test_a_given_labels_file_overrides_the_labels_in_the_folder(tmp_path: Path, scans: Path) -> None:
    outside, name = tmp_path / "mine.csv", find_labelled_pictures(scans)[0].path.name
    outside.write_text(f"file,label\n{name},123\n")
    inside = shutil.copytree(scans, tmp_path / "inside")
    (inside / "mine.csv").write_text(f"file,label\n{name},123\n")

    for folder, labels in ((scans, outside), (inside, inside / "mine.csv")):
        pictures = find_labelled_pictures(folder, labels)

        assert len(pictures) == 60
        assert [picture.path.name for picture in pictures if picture.label == "123"] == [name]


def test_data_that_are_no_folder_of_pictures_are_refused(tmp_path: Path) -> None:
    why = digitrec(tmp_path, "calibrate", "--data", "mnist-5k").exception

    assert isinstance(why, DataError)
    assert "folder:DIR" in why.hint


def test_the_figures_are_available_as_json(tmp_path: Path, scans: Path) -> None:
    calibrated = json.loads(calibrate(tmp_path, scans, "--json").stdout)
    model = json.loads(digitrec(tmp_path, "models", "show", "--json", "--max-error", "0.2").stdout)

    assert calibrated["model_id"] == in_use(tmp_path).card.id
    (own,) = calibrated["tables"]
    assert (own["pages"], own["applies_to"]) == (60, ["digits"])
    assert calibrated["promoted"] is True
    assert calibrated["run_max_error"] == 0.005
    assert calibrated["run_limit"].endswith("all pages of one digit need review")
    by_rate = {row["max_error"]: row for row in model["thresholds"] if row["applies_to"] == "digits"}
    assert by_rate[0.2]["threshold"] == own["threshold"]
    assert by_rate[0.2]["decided_by"] == OWN_SCANS
    assert by_rate[0.001]["threshold"] is None


def test_a_copy_whose_weights_were_altered_is_refused(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)
    (copy,) = (tmp_path / ".digitrec" / "models").glob("*-c*")
    weights = copy / "model.tflite"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")

    with pytest.raises(ModelError, match="altered"):
        in_use(tmp_path)


def test_labelled_numbers_set_the_threshold_of_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    sources = GlyphSources.from_digits(*_evaluation_digits(), glyphs.load_glyphs())
    lines = []
    for number in range(40):
        page = draw_page(sources, "one_number", number, 1)
        (folder / f"{number}{page.file.suffix}").write_bytes(page.file.content)
        lines.append(f"{number}{page.file.suffix},{page.truth.text}")
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")

    result = digitrec(tmp_path, "calibrate", "--data", f"folder:{folder}", "--max-error", "0.4")

    assert result.exit_code == 0, result.output
    assert "40 labelled pages of numbers (numbers on pages of more than one digit)" in result.output
    own, *others = in_use(tmp_path).card.calibrations
    assert (own.name, own.trials, own.applies_to) == (OWN_NUMBERS, 40, (AnswerKind.NUMBERS,))
    assert {table.applies_to for table in others} == {(AnswerKind.DIGITS,)}


def _evaluation_digits() -> tuple[Picture, NDArray[np.int64]]:
    split = mnist.load_mnist_5k().evaluation
    return split.pictures, split.digits
