"""Markers: who is first wins, and everyone then knows the same folder."""

from pathlib import Path

import pytest

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.storage import folder_id

OTHER = "0" * 32


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_two_workers_that_mark_a_folder_at_once_agree_on_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def slower(_: int) -> str:
        (tmp_path / folder_id.MARKER).write_text(OTHER + "\n")
        return "1" * 32

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(folder_id.text, "random_hex", slower)
        if not links:
            patch.setattr(files.os, "link", refused)
        first = folder_id.verify_folder(tmp_path, None)

    assert first == OTHER
    assert folder_id.verify_folder(tmp_path, None) == OTHER
    assert folder_id.verify_folder(tmp_path, OTHER) == OTHER


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_marker_is_written_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / folder_id.MARKER).write_bytes(content)

    assert folder_id.verify_folder(tmp_path, OTHER) == OTHER
    assert folder_id.read_id(tmp_path) == OTHER


def test_an_accepted_empty_folder_keeps_its_known_id(tmp_path: Path) -> None:
    assert folder_id.accept_folder(tmp_path / "inbox", OTHER) == OTHER
    assert folder_id.read_id(tmp_path / "inbox") == OTHER


def test_a_folder_without_its_marker_is_refused_only_on_another_device(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(b"x")
    here, elsewhere = folder_id.get_device(tmp_path), "4711"

    with pytest.raises(EnvironmentFailure, match="another device"):
        folder_id.verify_folder(tmp_path, OTHER, elsewhere)
    assert [path.name for path in tmp_path.iterdir()] == ["7.png"]
    assert folder_id.verify_folder(tmp_path, OTHER, here) == OTHER, "it only lost its marker"
    assert folder_id.verify_folder(tmp_path, OTHER, elsewhere) == OTHER, "a device may change its number"
    (tmp_path / folder_id.MARKER).unlink()
    assert folder_id.verify_folder(tmp_path, OTHER, None) == OTHER, "an older ledger knows no device"
