"""System errors are reported in one line with the step, the path and the reason."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.app.run import run_once
from digitrec.errors import EnvironmentFailure, note_step, wrap_os_error
from digitrec.pipeline import object_store
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from tests.conftest import RunCommand, ServiceHarness, draw

IO = OSError(errno.EIO, "Input/output error")


def failing(error: OSError, *, on: Callable[[int], bool]) -> Callable[[int], None]:
    """Return an fsync that fails for the descriptors that `on` selects."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if on(descriptor):
            raise OSError(error.errno, error.strerror)
        real(descriptor)

    return fsync


def is_folder(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").is_dir()


def is_file(descriptor: int) -> bool:
    return not is_folder(descriptor)


def test_an_error_names_its_innermost_step_and_path() -> None:
    with pytest.raises(OSError, match="error") as caught, note_step("outer", "/srv"), note_step("inner", "/srv/inbox"):
        raise OSError(errno.EIO, "Input/output error")

    assert str(wrap_os_error(caught.value)) == "inner in /srv/inbox failed: Input/output error"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", b"/srv/b\xff.csv"), "/srv/b\udcff.csv: No space left"),
        (OSError("the tunnel is down"), "the tunnel is down"),
        (OSError(), "OSError"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b"), "/a -> /b: Invalid"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/x/y"), "/dev/null is not a folder"),
        (PermissionError(errno.EACCES, "Permission denied", "/proc/gone/x"), "/proc may not be used by this user"),
    ],
)
def test_system_errors_are_reported_without_their_number(error: OSError, message: str) -> None:
    assert str(wrap_os_error(error)).startswith(f"disk or folder failed: {message}")
    assert "Errno" not in str(wrap_os_error(error))


def test_a_refused_rename_names_the_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inbox", "done"):
        (tmp_path / name).mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(b"7")
    real = os.access
    closed = tmp_path / "done"
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and (Path(path), mode) != (closed, os.W_OK))

    refused = PermissionError(
        errno.EACCES, "Permission denied", str(tmp_path / "inbox" / "7.png"), None, str(closed / "7.png")
    )

    assert str(wrap_os_error(refused)).startswith(f"disk or folder failed: {closed} may not be used by this user")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("verify",), 74),
        (("verify", "--rebuild", "--tables"), 74),
        (("why", "7.png"), 74),
        (("export",), 74),
        (("requeue", "7.png"), 74),
        (("prune", "--older-than", "1d"), 74),
        (("run", "--run-retry-s", "0"), 74),
        (("status", "--check"), 1),
        (("doctor",), 1),
        (("status",), 0),
    ],
)
def test_a_state_folder_that_may_not_be_read_is_never_taken_for_empty(
    harness: ServiceHarness, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    harness.drop("7.png")
    harness.run()
    real = os.listdir

    def refused(path: Any = ".") -> Any:
        if str(path) == str(harness.settings.state):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", refused)

    result = run_command(*words)

    assert result.code == code
    assert str(harness.settings.state) in result.out + result.err
    assert "Permission denied" in result.out + result.err


def test_a_failed_fsync_names_the_file_and_not_its_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", failing(IO, on=is_file))

    for write in (files.atomic_write, files.atomic_create):
        with pytest.raises(OSError, match="Input/output") as caught:
            write(tmp_path / "a.csv", "1")
        assert str(wrap_os_error(caught.value)).endswith(f"failed: {tmp_path}/a.csv: fsync: Input/output error")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_publish_names_the_step_and_the_table(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(workspace=harness.root, settle_s=0, engine="serial", run_retry_s=0)
    harness.drop("7.png")
    full = OSError(errno.ENOSPC, "No space left on device")
    real = files.atomic_create

    def refused(path: Path, content: str) -> None:
        if path.suffix == ".csv":
            raise OSError(full.errno, full.strerror, str(path))
        real(path, content)

    monkeypatch.setattr(csv_tables.files, "atomic_create", refused)

    with pytest.raises(EnvironmentFailure) as caught:
        run_once(settings)

    message = str(caught.value)
    assert message.startswith(f"publishing the tables failed: {harness.outbox}/2")
    assert message.endswith(".digits.csv: No space left on device")


def test_an_error_without_a_path_names_the_folder_of_its_step(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(workspace=harness.root, settle_s=0, engine="serial", run_retry_s=0)
    with monkeypatch.context() as patch:

        def refused(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        patch.setattr(object_store.workspace.fcntl, "flock", refused)
        with pytest.raises(EnvironmentFailure) as caught:
            run_once(settings)

    assert str(caught.value) == f"scanning the inbox in {harness.inbox} failed: No locks available"


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EIO])
def test_a_folder_that_takes_no_fsync_costs_one_warning_and_nothing_else(
    harness: ServiceHarness, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    harness.inbox.joinpath("7.png").write_bytes(draw(7))
    monkeypatch.setattr(files, "_warned_of", set())
    monkeypatch.setattr(files.os, "fsync", failing(OSError(refusal, os.strerror(refusal)), on=is_folder))

    result = run_command("run", "--settle-s", "0", "--log-format", "text")

    assert result.code == 0
    assert len(harness.tables()) == 1
    (warning,) = [line for line in result.err.splitlines() if " ! " in line]
    assert "fsync of a folder is refused; work continues" in warning
    assert os.strerror(refusal) in warning
    assert harness.account().discrepancies == ()


def test_any_other_error_of_a_folder_fsync_is_a_failure_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", failing(OSError(errno.ENOSPC, "No space left"), on=is_folder))

    with pytest.raises(OSError, match="No space left") as caught:
        files.fsync_folder(tmp_path)

    assert caught.value.filename == str(tmp_path)


def test_a_real_filesystem_without_folder_fsync_is_handled() -> None:
    refused = files.try_fsync_folder(Path("/proc"))

    assert refused is not None
    assert refused.errno == errno.EINVAL


@pytest.mark.parametrize("name", ["inbox", "outbox"])
@pytest.mark.parametrize("command", ["run", "init"])
def test_a_file_where_a_folder_should_be_is_named_with_74(
    harness: ServiceHarness, run_command: RunCommand, name: str, command: str
) -> None:
    harness.inbox.rmdir()
    (harness.root / name).write_text("no folder")

    result = run_command(command, *(("--run-retry-s", "0") if command == "run" else ()))

    assert result.code == 74
    assert f"{harness.root}/{name} is not a folder" in result.err
    assert (harness.root / name).read_text() == "no folder"


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&- 0<&-"])
def test_a_program_that_was_started_without_streams_works(harness: ServiceHarness, closed: str) -> None:
    harness.drop("7.png")
    command = f'exec "{sys.executable}" -m digitrec run --settle-s 0 {closed}'

    result = subprocess.run(["sh", "-c", command], cwd=harness.root, check=False, timeout=60)

    assert result.returncode == 0
    assert len(harness.tables()) == 1
    assert harness.account().discrepancies == ()


def test_a_file_where_the_reports_should_be_is_named_with_74(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.drop("7.png")
    harness.settings.reports.write_text("no folder")

    assert run_command("init").code == 74
    result = run_command("report")

    assert result.code == 74
    assert f"{harness.settings.reports} is not a folder" in result.err
