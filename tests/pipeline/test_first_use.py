"""A folder that was named by mistake becomes no workspace: the command says so, and makes nothing."""

from pathlib import Path

import pytest

from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.pipeline import first_use, workspace
from digitrec.settings import Settings
from tests.conftest import draw


def check(folder: Path, **settings: object) -> bool:
    return first_use.check_first_use(Settings(workspace=folder, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["inbox/", "outbox/", ".digitrec/", "digitrec.toml"])
def test_a_folder_with_a_part_of_a_workspace_is_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan.png").write_bytes(draw(7))
    (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()

    assert not check(tmp_path)


@pytest.mark.parametrize("names", [(), ("notes.txt",), (".scan.png",), ("figures/scan.png",)])
def test_an_empty_folder_or_one_of_other_files_may_become_a_workspace(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert check(tmp_path)


@pytest.mark.parametrize("name", ["scan.png", "SCAN.JPG", "letter.pdf", "photo.HEIC"])
def test_a_folder_of_pictures_is_no_workspace(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(UsageError, match="holds 1 picture and no inbox/") as error:
        check(tmp_path)

    assert f"digitrec init --workspace {tmp_path}" in error.value.hint


def test_a_missing_workspace_is_an_environment_failure_with_the_similar_name(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()

    with pytest.raises(EnvironmentFailure, match="does not exist") as error:
        check(tmp_path / "sacns")

    assert f"Did you mean {tmp_path / 'scans'}?" in error.value.hint


def test_a_workspace_whose_ledger_is_elsewhere_is_not_judged_again(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path / "scans", state_dir=tmp_path / "state")
    workspace.init_folders(settings)
    (tmp_path / "scans").rename(tmp_path / "away")

    assert not first_use.check_first_use(settings), "the identity of its folders is checked instead"


def test_an_existing_state_folder_elsewhere_makes_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    with pytest.raises(EnvironmentFailure, match="does not exist"):
        check(tmp_path / "scans", state_dir=tmp_path / "state")


@pytest.mark.parametrize("name", ["inbox", "outbox", "inbox/monday"])
def test_a_folder_of_a_workspace_is_no_workspace(tmp_path: Path, name: str) -> None:
    workspace.init_folders(Settings(workspace=tmp_path))
    (tmp_path / name).mkdir(exist_ok=True)

    with pytest.raises(UsageError, match="is a folder of the workspace") as error:
        check(tmp_path / name)

    assert f"--workspace {tmp_path}`" in error.value.hint


def test_a_folder_that_holds_a_workspace_is_none(tmp_path: Path) -> None:
    workspace.init_folders(Settings(workspace=tmp_path / "scans"))

    with pytest.raises(UsageError, match="is no workspace, but scans in it is one"):
        check(tmp_path)


def test_an_object_store_needs_no_inbox(tmp_path: Path) -> None:
    (tmp_path / "scan.png").touch()

    assert not check(tmp_path, source="memory://in", outbox_url="memory://out")
