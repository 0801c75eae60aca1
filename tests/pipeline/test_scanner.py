"""Scan the inbox: which files may be claimed; no link is followed."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from digitrec.pipeline import scanner
from tests.deep import deepen, remove


def names(inbox: Path) -> tuple[list[str], dict[str, str]]:
    skipped: dict[str, str] = {}
    return sorted(file.path for file in scanner.scan(inbox, skipped.__setitem__)), skipped


def drop(inbox: Path, name: str, content: bytes = b"x") -> Path:
    path = inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    remove(tmp_path)


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
        "7.partial",
        "7.tmp",
        "7.crdownload",
        "7.OpDownload",
        "7.filepart",
        "7.png.!uT",
        "7.aria2",
        ".7.png.swp",
        "7.swp",
        "7.png~",
        "Thumbs.db",
        "THUMBS.DB",
        "Desktop.ini",
        "@eaDir/7.png",
        "@EADIR/7.png",
        ".stfolder/7.png",
        "__MACOSX/7.png",
        "Lost+Found/7.png",
        "System Volume Information/7.png",
        ".claimed/main/batch/7.png",
        ".digitrec-folder",
    ],
)
def test_what_file_managers_and_browsers_leave_is_never_taken(tmp_path: Path, name: str) -> None:
    drop(tmp_path, name)

    assert names(tmp_path) == ([], {})


@pytest.mark.parametrize(
    "name", ["#recycle", "#Snapshot", "@Recycle", "@Recently-Snapshot", "@tmp", "$RECYCLE.BIN", "$Recycle.Bin"]
)
def test_recycle_bins_and_snapshots_are_skipped_and_logged(tmp_path: Path, name: str) -> None:
    drop(tmp_path, f"desk/{name}/deeper/7.png")
    drop(tmp_path, f"{name}.png")

    paths, skipped = names(tmp_path)

    assert paths == [f"{name}.png"]
    assert list(skipped) == [f"desk/{name}"]
    assert "recycle bin" in skipped[f"desk/{name}"]


def test_a_file_named_like_a_foreign_folder_is_a_file(tmp_path: Path) -> None:
    drop(tmp_path, "@tmp")

    assert names(tmp_path) == (["@tmp"], {})


@pytest.mark.slow
def test_files_with_a_too_long_path_are_logged_once_and_counted(deep_path: Path) -> None:
    deepen(deep_path, 3000, every=100)
    counts = scanner.SkippedCounts()
    skipped: dict[str, str] = {}
    began_s = time.process_time()

    paths = [file.path for file in scanner.scan(deep_path, skipped.__setitem__, "main", counts)]

    assert time.process_time() - began_s < 2, "a look costs no more than the folders are many"
    claimed = len(os.fsencode(deep_path / ".claimed/main/20260102T030405Z-00000000")) + 1
    fitting = [levels for levels in range(100, 3001, 100) if claimed + len("d/" * levels + "7.png") < 4096]
    assert sorted(path.count("/") for path in paths) == fitting
    assert counts == scanner.SkippedCounts(too_long=30 - len(fitting))
    assert list(skipped.values()) == [scanner.PATH_TOO_LONG]


@pytest.mark.slow
def test_a_path_of_exactly_the_longest_length_is_taken(deep_path: Path) -> None:
    longest = scanner.max_path_bytes(deep_path, "main")
    levels = (longest - 200) // 2
    deepen(deep_path, levels, every=levels)
    folder = "d/" * levels
    for letters in (longest - len(folder), longest - len(folder) + 1):
        with open(f"{deep_path}/{folder}{'x' * letters}", "wb") as file:  # noqa: PTH123 - a path near the limit
            file.write(b"x")
    counts = scanner.SkippedCounts()

    paths = [file.path for file in scanner.scan(deep_path, lambda *_: None, "main", counts)]

    assert max(map(len, paths)) == longest
    assert (len(paths), counts.too_long) == (2, 1)
    claimed = deep_path / ".claimed/main/20260102T030405Z-00000000" / max(paths, key=len)
    assert len(os.fsencode(claimed)) == 4095


def test_files_on_another_filesystem_are_logged_once_and_counted(tmp_path: Path) -> None:
    drop(tmp_path, "1.png")
    for name in ("share/2.png", "share/deeper/3.png", "share/deeper/4.png"):
        drop(tmp_path, name)
    counts = scanner.SkippedCounts()
    skipped: list[tuple[str, str]] = []

    def elsewhere(entry: "os.DirEntry[str]") -> os.stat_result:
        state = entry.stat(follow_symlinks=False)
        is_share = entry.name in {"share", "deeper", "2.png", "3.png", "4.png"}
        return os.stat_result([*state[:2], state.st_dev + is_share, *state[3:10]])

    paths = [
        file.path
        for file in scanner.scan(tmp_path, lambda *what: skipped.append(what), "main", counts, elsewhere)  # type: ignore[arg-type,func-returns-value]
    ]

    assert paths == ["1.png"]
    assert counts == scanner.SkippedCounts(elsewhere=3)
    assert skipped == [("share", scanner.OTHER_FILESYSTEM)]


def test_a_file_with_another_device_number_than_its_folder_is_accepted(tmp_path: Path) -> None:
    drop(tmp_path, "1.png")

    def layered(entry: "os.DirEntry[str]") -> os.stat_result:  # overlayfs
        state = entry.stat(follow_symlinks=False)
        return os.stat_result([*state[:2], state.st_dev + 1, *state[3:10]])

    assert [file.path for file in scanner.scan(tmp_path, lambda *_: None, stat_of=layered)] == ["1.png"]


def test_links_pipes_and_sockets_are_skipped_and_logged(tmp_path: Path) -> None:
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

    paths, skipped = names(tmp_path)

    assert paths == ["7.png"]
    assert skipped == {
        "link.png": "is a link",
        "folder link": "is a link",
        "pipe.png": "is a pipe",
        "socket.png": "is a socket",
    }


def test_a_labels_file_is_not_a_picture_but_another_csv_of_that_name_is(tmp_path: Path) -> None:
    drop(tmp_path, "a/labels.csv", b"file,label\r\n7.png,7\r\n")
    drop(tmp_path, "b/labels.csv", b"\xef\xbb\xbffile,label\n")
    drop(tmp_path, "c/labels.csv", b"name,digit\n")

    assert names(tmp_path)[0] == ["c/labels.csv"]


def test_names_that_are_not_utf8_are_seen(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/b\xff.png", "wb") as file:  # noqa: PTH123 - a name only bytes can hold
        file.write(b"x")

    assert names(tmp_path)[0] == ["b\udcff.png"]


def test_a_missing_inbox_is_an_error_and_not_an_empty_inbox(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(scanner.scan(tmp_path / "away", lambda *_: None))
