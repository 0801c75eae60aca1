"""Which files are taken, and that no link is followed."""

import os
import socket
from pathlib import Path

import pytest

from digitrec.intake import scan


def names(inbox: Path) -> tuple[list[str], dict[str, str]]:
    skipped: dict[str, str] = {}
    return sorted(seen.path for seen in scan.look(inbox, skipped.__setitem__)), skipped


def drop(inbox: Path, name: str, content: bytes = b"x") -> Path:
    path = inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_in_subfolders_are_seen_with_their_path(tmp_path: Path) -> None:
    drop(tmp_path, "a.png")
    drop(tmp_path, "monday/desk 1/ü.png")

    assert names(tmp_path) == (["a.png", "monday/desk 1/ü.png"], {})


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.png",
        "~$7.png",
        "._7.png",
        "7.png.part",
        "7.png.PART",
        "7.tmp",
        "7.crdownload",
        "7.filepart",
        "Thumbs.db",
        "desktop.ini",
        "@eaDir/7.png",
        ".stfolder/7.png",
        "__MACOSX/7.png",
        ".claimed/main/batch/7.png",
        ".digitrec-folder",
    ],
)
def test_what_file_managers_and_browsers_leave_is_never_taken(tmp_path: Path, name: str) -> None:
    drop(tmp_path, name)

    assert names(tmp_path) == ([], {})


def test_links_pipes_and_sockets_are_passed_over_and_told(tmp_path: Path) -> None:
    target = drop(tmp_path, "7.png")
    (tmp_path / "link.png").symlink_to(target)
    (tmp_path / "folder link").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(tmp_path)
        try:
            listener.bind("socket.png")
        finally:
            os.chdir(before)

    found, skipped = names(tmp_path)

    assert found == ["7.png"]
    assert skipped == {
        "link.png": "is a link",
        "folder link": "is a link",
        "pipe.png": "is a pipe",
        "socket.png": "is a socket",
    }


def test_a_labels_file_is_no_picture_but_another_csv_of_that_name_is_a_file(tmp_path: Path) -> None:
    drop(tmp_path, "a/labels.csv", b"file,label\r\n7.png,7\r\n")
    drop(tmp_path, "b/labels.csv", b"\xef\xbb\xbffile,label\n")
    drop(tmp_path, "c/labels.csv", b"name,digit\n")

    assert names(tmp_path)[0] == ["c/labels.csv"]


def test_names_that_are_not_utf8_are_seen(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/b\xff.png", "wb") as file:  # noqa: PTH123 - a name only bytes can hold
        file.write(b"x")

    assert names(tmp_path)[0] == ["b\udcff.png"]


def test_an_inbox_that_is_not_there_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(scan.look(tmp_path / "away", lambda *_: None))
