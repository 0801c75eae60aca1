"""Files are written atomically, and renames replace nothing."""

import errno
import os
from pathlib import Path

import pytest

from digitrec import files


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def test_a_new_file_has_the_usual_rights_and_no_temp_file_is_left(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        files.atomic_write(tmp_path / "a.csv", "1\r\n")
    finally:
        os.umask(umask)

    assert (tmp_path / "a.csv").read_bytes() == b"1\r\n"
    assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o640
    assert leftovers(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_and_no_temp_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.atomic_write(tmp_path / "a.csv", "new")

    assert (tmp_path / "a.csv").read_text() == "old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("links", [True, False], ids=["with links", "links refused"])
def test_publishing_replaces_nothing_but_accepts_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refused(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "batch.csv"

    files.atomic_create(path, "a")
    files.atomic_create(path, "a")
    with pytest.raises(FileExistsError):
        files.atomic_create(path, "b")

    assert path.read_text() == "a"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("renameat2", [True, False], ids=["renameat2", "without"])
def test_a_move_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renameat2: bool) -> None:
    if not renameat2:
        monkeypatch.setattr(files, "_renameat2", None)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")

    with pytest.raises(FileExistsError):
        files.rename_exclusive(tmp_path / "a", tmp_path / "b")
    files.rename_exclusive(tmp_path / "a", tmp_path / "c")

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "b", "c": "a"}
    with pytest.raises(FileNotFoundError):
        files.rename_exclusive(tmp_path / "gone", tmp_path / "d")


def test_between_filesystems_a_file_is_copied_compared_and_then_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.rename_exclusive

    def other_filesystem(source: Path, target: Path) -> None:
        if source.name == "a.png":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(files, "rename_exclusive", other_filesystem)
    (tmp_path / "a.png").write_bytes(b"x" * 3_000_000)
    os.utime(tmp_path / "a.png", ns=(1, 1_600_000_000_123_456_789))
    (tmp_path / "done").mkdir()

    files.move_durable(tmp_path / "a.png", tmp_path / "done" / "a.png")

    assert not (tmp_path / "a.png").exists()
    assert (tmp_path / "done" / "a.png").read_bytes() == b"x" * 3_000_000
    assert (tmp_path / "done" / "a.png").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert leftovers(tmp_path / "done") == []


def test_a_numbered_name_fits_into_255_bytes() -> None:
    name = "ü" * 125 + ".png"

    assert len(os.fsencode(name)) == 254
    assert len(os.fsencode(files.numbered_name(name, 12))) <= 255
    assert files.numbered_name(name, 12).endswith("~12.png")


def test_a_device_or_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")

    for name in ("pipe", "link", ""):
        with pytest.raises(OSError, match="not a regular file"):
            files.atomic_write(tmp_path / name if name else Path(), "1")

    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("spare_bytes", [1, 2, 10])
def test_a_file_at_the_longest_path_leaves_no_temp_file(tmp_path: Path, spare_bytes: int) -> None:
    room = files.PATH_MAX - spare_bytes - len(os.fsencode(tmp_path)) - len("/a.csv")
    folder = tmp_path / "/".join([*["d" * 199] * (room // 200), "e" * (room % 200 - 1)])
    files.make_dir(folder)
    path = folder / "a.csv"
    assert files.PATH_MAX - spare_bytes - 1 <= len(os.fsencode(path)) <= files.PATH_MAX - spare_bytes, (
        "no temporary file fits beside it"
    )

    files.atomic_create(path, "1")
    files.atomic_write(path, "2")

    assert path.read_text() == "2"
    assert [name for _, _, file_names in os.walk(tmp_path) for name in file_names] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("", "_"),
        (". .", "_"),
        ("   .png", "_.png"),
        ("a:b.png ", "a_b.png"),
        ("a\udcff.p\ng", "a_.p_g"),
        ("x." + "y" * 200, "x." + "y" * 118),
    ],
)
def test_a_portable_name_is_never_empty_or_long(name: str, portable: str) -> None:
    assert files.portable_name(name) == portable
