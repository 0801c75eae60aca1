"""`digitrec calibrate`: the same weights, a promise by the user's own scans."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from digitrec.app import composition, predict
from digitrec.app.calibrate import OWN_SCANS
from digitrec.app.models import write_samples
from digitrec.cli.main import cli
from digitrec.errors import DataError, ModelError
from digitrec.models.calibration import required_sample_size
from digitrec.models.package import ModelPackage
from digitrec.settings import Settings
from digitrec.training.datasets.image_folder import find_labelled_pictures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty drawn scans with their labels.csv."""
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

    done = calibrate(tmp_path, scans)

    assert done.exit_code == 0, done.output
    found = in_use(tmp_path)
    assert found.card.weights_id == shipped.card.id
    assert found.card.files == shipped.card.files
    assert found.card.id == found.folder.name
    (table,) = found.card.calibrations
    assert (table.pages, table.rule) == (60, "bound")
    at = table.point_at(found.threshold(0.2))
    assert at.upper <= 0.2
    for words in (
        "60 labelled pages of scans",
        f"accepts from a confidence of {at.threshold:.6f} (max_error 0.2)",
        f"({at.accepted} of 60), of these wrong {at.wrong}",
        f"{found.card.id} is now in use",
    ):
        assert words in done.output


def test_a_flag_that_run_does_not_have_is_reported_with_its_setting(tmp_path: Path, scans: Path) -> None:
    done = calibrate(tmp_path, scans)

    assert done.exit_code == 0
    assert (
        "`digitrec run` asks for max_error 0.005, which this model cannot guarantee: it would stop (exit code 78)."
        in (done.output)
    )
    assert f"Set this in {tmp_path / 'digitrec.toml'}:\n\n    max_error = 0.2\n" in done.output
    with pytest.raises(ModelError, match="cannot promise"):
        predict.predict(Settings.load(tmp_path), sorted(scans.glob("*.png"))[:1])

    (tmp_path / "digitrec.toml").write_text("max_error = 0.2\n")
    assert predict.predict(Settings.load(tmp_path), sorted(scans.glob("*.png"))[:1]).output_format.max_error == 0.2
    assert "cannot guarantee" not in calibrate(tmp_path, scans).output


def test_an_environment_variable_that_overrides_the_file_is_reported(
    tmp_path: Path, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITREC_MAX_ERROR", "0.001")

    assert "and take DIGITREC_MAX_ERROR away, which goes before it" in calibrate(tmp_path, scans).output


def test_the_card_of_the_copy_names_its_calibration_pages(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)
    words = (in_use(tmp_path).folder / "MODEL_CARD.md").read_text()

    assert words.startswith(f"# {in_use(tmp_path).card.id}\n")
    assert "60 pages, the labelled pages of scans" in words
    for table in ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.calibrations:
        assert f"- {table.name}: {table.pages:,} pages" not in words
    for chapter in ("## Training data", "## Limits"):
        assert words.count(chapter) == 1


def test_the_service_accepts_by_the_new_threshold_and_names_the_copy(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)

    found = predict.predict(Settings.load(tmp_path, {"max_error": 0.2}), sorted(scans.glob("*.png"))[:3])

    assert found.output_format.model_id == in_use(tmp_path).card.id
    assert found.output_format.threshold == in_use(tmp_path).threshold(0.2)


def test_calibrating_again_replaces_what_the_first_time_added(tmp_path: Path, scans: Path) -> None:
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
    assert second.calibrations[0].pages == 50


def test_the_same_pages_give_the_same_copy(tmp_path: Path, scans: Path) -> None:
    names = []
    for _ in range(2):
        calibrate(tmp_path, scans)
        names.append(in_use(tmp_path).card.id)

    assert names[0] == names[1]
    assert len(list((tmp_path / ".digitrec" / "models").glob("*-c*"))) == 1


def test_the_other_commands_know_a_calibrated_copy(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans, "--no-promote")
    (copy,) = (tmp_path / ".digitrec" / "models").glob("*-c*")

    assert in_use(tmp_path).folder == composition.SHIPPED_MODELS_DIR
    assert copy.name in digitrec(tmp_path, "models", "list").output
    assert digitrec(tmp_path, "models", "promote", copy.name, "--force", "--max-error", "0.2").exit_code == 0
    assert in_use(tmp_path).folder == copy
    brief = digitrec(tmp_path, "models", "show", "--max-error", "0.2").output
    assert "own scans" in brief
    assert "cannot be guaranteed" in brief
    shown = digitrec(tmp_path, "models", "show", "--max-error", "0.2", "--card").output
    assert brief.splitlines()[1] in shown
    assert "own scans: 60 pages, the labelled pages of scans" in shown
    assert "takes 598 labelled pages" in shown
    assert shown.count("Accepts from a confidence of") == 1
    assert shown.count("decided by") == 1
    assert "| 20% |" in shown
    assert digitrec(tmp_path, "models", "rollback").exit_code == 0
    assert in_use(tmp_path).folder == composition.SHIPPED_MODELS_DIR


def test_too_few_pages_are_refused_with_the_best_reachable_bound(tmp_path: Path, scans: Path) -> None:
    refused = calibrate(tmp_path, scans, "--max-error", "0.005")

    why = refused.exception
    assert isinstance(why, DataError)
    assert why.exit_code == 2
    assert str(why).startswith("60 labelled pages are too few to guarantee a max_error of 0.005")
    assert f"{required_sample_size(0.005)} that are accepted without any error" in why.hint
    assert not list(tmp_path.glob(".digitrec/models/*"))

    least = str(why).partition("they can guarantee is ")[2].partition(" ")[0]
    assert calibrate(tmp_path, scans, "--max-error", least).exit_code == 0


def test_pages_that_are_all_wrong_give_no_error_bound(tmp_path: Path, scans: Path) -> None:
    wrong = tmp_path / "none.csv"
    names = [one.path.name for one in find_labelled_pictures(scans)]
    wrong.write_text("file,label\n" + "".join(f"{name},none\n" for name in names))

    why = calibrate(tmp_path, scans, "--labels", str(wrong)).exception

    assert isinstance(why, DataError)
    assert "they can guarantee none at all" in str(why)


def test_labels_from_elsewhere_go_before_those_in_the_folder(tmp_path: Path, scans: Path) -> None:
    given, name = tmp_path / "mine.csv", find_labelled_pictures(scans)[0].path.name
    given.write_text(f"file,label\n{name},123\n")
    inside = shutil.copytree(scans, tmp_path / "inside")
    (inside / "mine.csv").write_text(f"file,label\n{name},123\n")

    for folder, labels in ((scans, given), (inside, inside / "mine.csv")):
        found = find_labelled_pictures(folder, labels)

        assert len(found) == 60
        assert [one.path.name for one in found if one.label == "123"] == [name]


def test_what_is_no_folder_of_pictures_is_refused(tmp_path: Path) -> None:
    why = digitrec(tmp_path, "calibrate", "--data", "mnist-5k").exception

    assert isinstance(why, DataError)
    assert "folder:DIR" in why.hint


def test_the_figures_can_be_had_as_json(tmp_path: Path, scans: Path) -> None:
    told = json.loads(calibrate(tmp_path, scans, "--json").stdout)
    shown = json.loads(digitrec(tmp_path, "models", "show", "--json", "--max-error", "0.2").stdout)

    assert told["model_id"] == in_use(tmp_path).card.id
    assert told["pages"] == 60
    assert told["promoted"] is True
    assert (told["run_max_error"], told["run_threshold"]) == (0.005, None)
    by_rate = {one["max_error"]: one for one in shown["thresholds"]}
    assert by_rate[0.2]["threshold"] == told["threshold"]
    assert by_rate[0.2]["decided_by"] == OWN_SCANS
    assert by_rate[0.001]["threshold"] is None


def test_a_copy_whose_weights_were_altered_is_refused(tmp_path: Path, scans: Path) -> None:
    calibrate(tmp_path, scans)
    weights = in_use(tmp_path).folder / "model.tflite"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")

    with pytest.raises(ModelError, match="altered"):
        in_use(tmp_path)
