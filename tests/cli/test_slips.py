"""Slips of a first-time user: each ends with a line that names the next step, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest

from digitrec import __main__
from digitrec.app.reader import Reader
from digitrec.pipeline import workspace
from digitrec.settings import Settings
from tests.cli.test_main import call
from tests.conftest import DEFAULT_SIGNALS, RunCommand, ServiceHarness, draw, in_folder


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("run inbox/", "Did you mean `digitrec run --workspace .`, or `digitrec predict inbox/*`?"),
        ("watch scans", "Did you mean `digitrec watch --workspace scans`, or `digitrec predict scans/*`?"),
        ("run 7.png", "Did you mean `digitrec predict 7.png`?"),
        ("status scans", "Did you mean `digitrec status --workspace scans`?"),
        ("init new", "Did you mean `digitrec init --workspace new`?"),
        ("run nothing", "`digitrec run --help` shows what it takes."),
        ("models list x", "`digitrec models list --help` shows what it takes."),
        ("7.png", "Did you mean `digitrec predict 7.png`?"),
        ("inbox", "Did you mean `digitrec run --workspace .`, or `digitrec predict inbox/*`?"),
        ("help", "`digitrec --help` lists the commands"),
        ("rnu", "Did you mean 'run'?"),
        ("samples 3", "Did you mean `digitrec samples --count 3`?"),
        ("predict 7.png --explain why.txt", "`--explain why.png`"),
        ("predict 7.png --explain why", "`--explain why.png`"),
    ],
)
def test_a_misplaced_argument_is_refused_with_the_command_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str, hint: str
) -> None:
    for name in ("inbox", "scans"):
        (tmp_path / name).mkdir()
    (tmp_path / "7.png").write_bytes(draw(7))
    before = sorted(tmp_path.rglob("*"))

    assert call(monkeypatch, tmp_path, *words.split()) == 2

    printed = capsys.readouterr()
    assert hint in printed.err
    assert printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run"), ("watch",)], ids=" ".join)
def test_a_folder_of_pictures_and_a_mistyped_workspace_are_left_as_they_are(
    run_command: RunCommand, tmp_path: Path, command: tuple[str, ...]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "7.png").write_bytes(draw(7))

    result = run_command(*command, workspace=pictures)
    assert (result.code, result.out) == (2, "")
    assert "holds 1 picture and no inbox/" in result.err
    assert [path.name for path in pictures.iterdir()] == ["7.png"]

    result = run_command(*command, workspace=tmp_path / "pcitures")
    assert result.code == 74
    assert "Did you mean " in result.err
    assert not (tmp_path / "pcitures").exists()


def test_a_workspace_that_cannot_be_made_ends_run_at_once(run_command: RunCommand) -> None:
    for folder in (Path("/proc/foo"), Path("/proc")):
        began_s = time.monotonic()

        result = run_command("run", workspace=folder)

        assert result.code == 74
        assert str(folder) in result.err
        assert "trying again" not in result.err
        assert time.monotonic() - began_s < 5


def test_init_makes_a_workspace_of_a_folder_of_pictures(run_command: RunCommand, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "7.png").write_bytes(draw(7))

    for command in ("init", "run"):
        result = run_command(command, workspace=pictures)

        assert result.code == 0
        assert f"1 picture in {pictures}: move into inbox/ what is to be read" in result.out


def test_a_home_folder_behind_an_equals_sign_is_expanded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert call(monkeypatch, tmp_path, "config", "--json", "--workspace=~/scans", "--state-dir=~/state") == 0

    config = json.loads(capsys.readouterr().out)
    assert config["workspace"]["value"] == str(tmp_path / "scans")
    assert config["state_dir"]["value"] == str(tmp_path / "state")


def test_samples_are_dropped_beside_a_running_service(run_command: RunCommand, harness: ServiceHarness) -> None:
    with workspace.open_workspace(harness.settings):
        result = run_command("samples", "--count", "2")

    assert result.code == 0, result.err
    assert len([*harness.inbox.glob("sample*")]) == 2


@pytest.mark.parametrize("words", [("prune", "--older-than", "9d"), ("requeue", "7.png"), ("why", "7.png")])
def test_housekeeping_makes_nothing_in_a_mistyped_workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert call(monkeypatch, tmp_path, *words) in {0, 2}

    assert not list(tmp_path.iterdir())


def test_predict_ends_with_1_if_it_can_read_none_of_the_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    (tmp_path / "7.png").write_bytes(draw(7))

    for style in ((), ("--json",), ("--csv",)):
        assert call(monkeypatch, tmp_path, "predict", "note.txt", *style) == 1
        printed = capsys.readouterr()
        assert "note.txt" in printed.out
        assert printed.err == "digitrec: none of these files can be read\n"
    assert call(monkeypatch, tmp_path, "predict", "note.txt", "7.png") == 0


def test_explain_replaces_its_own_drawing_and_no_other_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for digit in (3, 7):
        (tmp_path / f"{digit}.png").write_bytes(draw(digit))

    for _ in range(2):
        assert call(monkeypatch, tmp_path, "predict", "3.png", "--explain", "why.png") == 0
    assert call(monkeypatch, tmp_path, "predict", "--explain", "3.png", "7.png") == 2

    assert "3.png is a picture that --explain did not draw" in capsys.readouterr().err
    assert (tmp_path / "3.png").read_bytes() == draw(3)


def test_an_archive_in_the_inbox_is_rejected_with_the_advice_to_unpack_it(harness: ServiceHarness) -> None:
    with zipfile.ZipFile(harness.inbox / "scans.zip", "w") as archive:
        archive.writestr("7.png", draw(7))

    harness.run()

    (reason_file,) = harness.outbox.glob("rejected/*/scans.zip.reason.json")
    assert json.loads(reason_file.read_text())["reason"] == "ZIP archive is not read; unpack it"


def test_a_stopped_batch_logs_one_line_for_its_deferred_files(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(120):
        harness.drop(f"{number}.png", draw(7))
    harness.stopped = True

    with caplog.at_level("INFO", logger="digitrec"):
        harness.run()

    (line,) = [record for record in caplog.records if record.message == "deferred"]
    assert line.fields["files"] == 120  # type: ignore[attr-defined]
    assert len([*harness.inbox.glob("*.png")]) == 120


def test_ctrl_c_while_modules_are_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(types.ModuleType):
        def __getattr__(self, _: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "digitrec.cli.main", Interrupted("main"))

    with pytest.raises(SystemExit) as end:
        __main__.main()

    assert end.value.code == 130
    assert capsys.readouterr().err == "digitrec: stopped by Ctrl-C\n"


def test_ctrl_c_while_a_command_runs_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reader, "from_settings", interrupt)

    assert call(monkeypatch, tmp_path, "predict", "7.png") == 130
    assert capsys.readouterr().err == "digitrec: stopped by Ctrl-C\n"


@pytest.mark.slow
def test_ctrl_c_in_a_run_with_worker_processes_prints_few_lines(tmp_path: Path) -> None:
    workspace.init_folders(Settings(workspace=tmp_path))
    for number in range(400):
        (tmp_path / "inbox" / f"{number}.png").write_bytes(draw(7))
    run = (sys.executable, "-m", "digitrec", "run", "--engine", "processes", "--threads", "2", "--settle-s", "0")
    process = subprocess.Popen(
        [*DEFAULT_SIGNALS, *run],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = []
    while "files claimed" not in "".join(lines):
        lines.append(process.stderr.readline())
    os.killpg(process.pid, signal.SIGINT)
    lines += process.communicate(timeout=60)[1].splitlines()

    assert process.returncode == 130
    events = [json.loads(line)["event"] for line in lines]
    assert events.count("stopping: results so far are kept; press Ctrl-C again to end at once") == 1
    assert events.count("deferred") <= 1
    assert len(events) < 8


@pytest.mark.slow
def test_run_in_the_inbox_names_its_workspace(tmp_path: Path) -> None:
    assert in_folder(tmp_path, "init").returncode == 0

    result = in_folder(tmp_path / "inbox", "run")

    assert result.returncode == 2
    assert f"--workspace {tmp_path}`" in result.stderr
    assert not (tmp_path / "inbox" / "inbox").exists()
