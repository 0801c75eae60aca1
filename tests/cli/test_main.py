"""Commands of the program: output, error messages and exit codes."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from digitrec.app import composition
from digitrec.cli import main
from digitrec.errors import wrap_os_error
from tests.conftest import ServiceHarness, draw, in_folder


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["digitrec", *words])
    with pytest.raises(SystemExit) as end:
        main.main()
    return int(end.value.code or 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run", "--batch-files", "0"), 78, "batch_files is 0"),
        (("run", "--worker", "../x"), 78, "worker"),
        (("run", "--model", "nowhere/at/all"), 78, "model"),
        (("run", "--labels", "missing.csv"), 2, "missing.csv"),
        (("predict", "missing.png"), 2, "missing.png"),
        (("predict",), 2, "FILE"),
        (("predict", "x", "--json", "--csv"), 2, "exclude"),
        (("evaluate", "--data", "nonsense"), 2, "nonsense"),
        (("report", "--batch", "20260101T000000Z-00000000"), 2, "20260101T000000Z-00000000"),
        (("models", "promote", "nothing"), 78, "nothing"),
        (("models", "rollback"), 78, ""),
        (("fly",), 2, "fly"),
    ],
)
def test_a_user_error_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert call(monkeypatch, tmp_path, *words) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from digitrec.errors import UsageError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["digitrec", "predict", "missing.png", "--debug"])
    with pytest.raises(UsageError):
        main.main()


def test_config_says_where_each_value_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "digitrec.toml").write_text("threads = 3\n")

    call(monkeypatch, tmp_path, "config", "--json", "--grace-s", "7")

    config = json.loads(capsys.readouterr().out)
    assert config["threads"] == {"value": 3, "from": "digitrec.toml"}
    assert config["grace_s"] == {"value": 7.0, "from": "flag"}
    assert config["settle_s"] == {"value": 2.0, "from": "default"}


def test_strict_run_ends_with_3_if_a_file_was_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "bad.png").write_bytes(b"no picture")
    quick = ("--settle-s", "0", "--grace-s", "0")

    assert call(monkeypatch, tmp_path, "run", "--strict", *quick) == 3
    assert call(monkeypatch, tmp_path, "run", "--strict", *quick) == 0


def test_predict_prints_a_table_json_or_csv_and_touches_no_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sieben ü.png").write_bytes(draw(7))
    (tmp_path / "bad.png").write_bytes(b"no picture")

    assert call(monkeypatch, tmp_path, "predict", "sieben ü.png", "bad.png", "--json") == 0
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["file"], good["digit"], good["batch_id"], good["row"]) == ("sieben ü.png", "7", "", 1)
    assert (good["number_count"], good["size_bytes"]) == (1, len(draw(7)))
    (number,) = good["numbers"]
    assert (number["line"], number["column"], number["text"]) == (1, 1, "7")
    assert number["confidence"] == good["confidence"]
    assert number["status"] == good["status"]
    assert set(number) == {"line", "column", "box", "text", "confidence", "status", "reason_code"}
    assert set(number["box"]) == {"x", "y", "width", "height"}
    assert (bad["status"], bad["reason_code"], bad["confidence"]) == ("rejected", "not_an_image", None)
    assert bad["numbers"] == []
    call(monkeypatch, tmp_path, "predict", "sieben ü.png", "--csv")
    assert capsys.readouterr().out.startswith("schema_version,batch_id,row,file")
    call(monkeypatch, tmp_path, "predict", "sieben ü.png")
    assert "sieben ü.png" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "sieben ü.png"]


def test_run_prints_what_was_done_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    (tmp_path / "inbox" / "empty.png").write_bytes(b"")

    call(monkeypatch, tmp_path, "run", "--json", "--settle-s", "0")

    summary = json.loads(capsys.readouterr().out)
    assert (summary["claimed"], summary["waiting"]) == (1, 1)
    assert (summary["deferred"], summary["released"]) == (0, 0)
    assert Path(summary["batches"][0]["csv"]).exists()
    assert Path(summary["batches"][0]["report"]).exists()


def test_samples_go_to_the_inbox_and_depend_on_the_seed_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    call(monkeypatch, tmp_path, "samples", "--count", "3", "--seed", "4")
    call(monkeypatch, tmp_path, "samples", "again", "--count", "3", "--seed", "4")

    def pictures(folder: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / folder).glob("sample*")}

    assert len(pictures("inbox")) == 3
    assert pictures("inbox") == pictures("again")


@pytest.mark.slow
def test_a_folder_that_fails_ends_run_with_74_and_a_way_out(tmp_path: Path) -> None:
    assert in_folder(tmp_path, "init").returncode == 0
    (tmp_path / "outbox").rename(tmp_path / "away")

    result = in_folder(tmp_path, "run", "--run-retry-s", "0")

    assert result.returncode == 74
    assert "missing" in result.stderr
    assert "digitrec init" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_second_process_as_the_same_worker_ends_with_75(tmp_path: Path) -> None:
    from digitrec.pipeline import workspace
    from digitrec.settings import Settings

    with workspace.open_workspace(Settings(workspace=tmp_path)):
        result = in_folder(tmp_path, "run")

    assert result.returncode == 75


@pytest.mark.slow
def test_verify_rebuilds_a_lost_ledger_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    call(monkeypatch, tmp_path, "run", "--settle-s", "0")
    for path in (tmp_path / ".digitrec" / "main").glob("ledger.sqlite3*"):
        path.unlink()

    assert call(monkeypatch, tmp_path, "verify") == 1
    capsys.readouterr()
    assert call(monkeypatch, tmp_path, "verify", "--rebuild") == 0
    out = capsys.readouterr().out
    assert "1 file claimed" in out
    assert "ledger rebuilt at" in out
    assert call(monkeypatch, tmp_path, "verify", "--rebuild") == 0


@pytest.mark.slow
def test_a_busy_worker_is_reported_before_any_other_error(tmp_path: Path) -> None:
    from digitrec.pipeline import workspace
    from digitrec.settings import Settings

    with workspace.open_workspace(Settings(workspace=tmp_path)):
        assert in_folder(tmp_path, "run", "--model", "nope").returncode == 75
        assert in_folder(tmp_path, "run", "--batch-files", "0").returncode == 75
        (tmp_path / "digitrec.toml").write_text("batch_files = 0\n")
        assert in_folder(tmp_path, "watch").returncode == 75
        assert in_folder(tmp_path, "run", "--worker", "other").returncode == 78
        (tmp_path / "digitrec.toml").unlink()
        (tmp_path / "outbox").rename(tmp_path / "away")
        assert in_folder(tmp_path, "run").returncode == 75


@pytest.mark.slow
def test_a_picture_that_may_not_be_read_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "7.png").write_bytes(draw(7))
    (tmp_path / "locked.png").touch(mode=0)

    result = in_folder(tmp_path, "predict", "locked.png", "7.png", "--csv", can_read_all=False)

    assert result.returncode == 2
    assert "digitrec: locked.png cannot be read: Permission denied" in result.stderr
    assert [line.split(",")[3] for line in result.stdout.splitlines()[1:]] == ["7.png"]


@pytest.mark.slow
def test_a_model_that_was_altered_is_refused_with_78(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(composition.SHIPPED_MODELS_DIR, tmp_path / "model")
    with (tmp_path / "model" / "model.tflite").open("r+b") as file:
        file.write(b"\x00")

    result = in_folder(tmp_path, "run", "--model", "./model")

    assert result.returncode == 78
    assert "altered" in result.stderr


@pytest.mark.parametrize("words", [("verify",), ("verify", "--rebuild"), ("report",), ("export",), ("status",)])
def test_a_mistyped_workspace_is_reported_and_not_created(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    code = call(monkeypatch, tmp_path, *words)

    printed = capsys.readouterr()
    assert code == 0
    assert f"nothing was ever read in {tmp_path}" in printed.err or f"{tmp_path} is no workspace" in printed.out
    assert not list(tmp_path.iterdir())


def test_run_says_once_that_it_made_a_workspace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call(monkeypatch, tmp_path, "run")
    assert f"Made a new workspace in {tmp_path}" in capsys.readouterr().out
    call(monkeypatch, tmp_path, "run")
    assert "new workspace" not in capsys.readouterr().out


def test_run_lists_deferred_files_with_their_next_attempt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    for number in range(7):
        (tmp_path / "inbox" / f"half-{number}.png").write_bytes(draw(7)[:200])

    call(monkeypatch, tmp_path, "run", "--settle-s", "0")

    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if line.startswith("  deferred  ")]
    assert "half-0.png: " in named[0]
    assert "; tried again in " in named[0]
    assert named[5:] == ["  deferred  and 2 more (`digitrec status`)"]
    assert not [line for line in lines if "report" in line], "a batch without answers has nothing to show"


def test_run_says_why_files_are_rejected_or_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "empty.png").write_bytes(b"")
    (tmp_path / "inbox" / "half.png").write_bytes(draw(7)[:200])
    for number in range(6):
        (tmp_path / "inbox" / f"{number}.zip").write_bytes(b"PK\x03\x04 a zip")

    call(monkeypatch, tmp_path, "run", "--settle-s", "0")

    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if line.startswith("  rejected  ")]
    assert named[0] == "  rejected  0.zip: ZIP archive is not read; unpack it"
    assert named[5:] == ["  rejected  and more (the report lists all)"]
    assert "  waiting   empty.png: it is empty and may still be filled; read in 10 min" in lines
    assert lines[-1].startswith("  deferred  half.png: ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("predict", "inbox"), "digitrec predict inbox/*"),
        (("predict", "missing.png"), "missing.png"),
        (("prune",), "--older-than 90d"),
    ],
)
def test_the_next_step_is_printed_instead_of_an_empty_table(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    hint: str,
) -> None:
    (tmp_path / "inbox").mkdir()

    assert call(monkeypatch, tmp_path, *words) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert hint in printed.err


def test_a_folder_that_may_not_be_written_is_named_not_the_draft_in_it(tmp_path: Path) -> None:
    error = PermissionError(13, "Permission denied", str(tmp_path / "inbox" / ".x1b2.part"))

    failure = wrap_os_error(error)

    assert str(failure) == f"disk or folder failed: {tmp_path} may not be used by this user: Permission denied"
    assert "digitrec doctor" in failure.hint


def test_every_command_is_summed_up_in_a_line_that_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (("-h",), ("models", "-h")):
        assert call(monkeypatch, tmp_path, *words) == 0
        assert "..." not in capsys.readouterr().out.partition("--help")[2]


def test_help_orders_commands_from_everyday_to_rare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call(monkeypatch, tmp_path, "run", "--help")

    printed = capsys.readouterr().out
    options = re.findall(r"^ +(?:-h, )?(--[a-z-]+)", printed, re.MULTILINE)
    assert options[:3] == ["--table", "--dry-run", "--strict"]
    assert options[-5:] == ["--engine", "--threads", "--scheduler", "--source", "--outbox-url"]
    groups = re.findall(r"^([A-Z][a-z]+):$", printed, re.MULTILINE)
    assert groups == ["Options", "Common", "Timing", "Limits", "Labels", "Monitoring", "Execution"]


def test_an_unquoted_text_in_the_settings_is_reported_with_its_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "digitrec.toml").write_text("settle_s = five\n")

    assert call(monkeypatch, tmp_path, "config") == 78
    assert "text in quotes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_pipe_in_place_of_the_settings_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "digitrec.toml")

    result = subprocess.run(
        [sys.executable, "-m", "digitrec", "config"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert result.returncode == 78
    assert "the settings cannot be read" in result.stderr
    assert "digitrec.toml is a pipe" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [("config",), ("verify",), ("status", "--check"), ("run",)], ids=" ".join)
def test_an_output_that_nobody_reads_is_no_verdict(words: tuple[str, ...], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as output:
        result = subprocess.run(
            [sys.executable, "-m", "digitrec", *words],
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert result.returncode == 74, "1 would say that verify found a difference, or that health is bad"
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_a_removed_option_is_accepted_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, tmp_path, "config", "--json", "--metrics-port", "9393", "--hook-timeout-s", "x") == 0

    printed = capsys.readouterr()
    assert "metrics_port" not in json.loads(printed.out)
    assert [json.loads(line)["why"].partition(";")[0] for line in printed.err.splitlines()] == [
        "--hook-timeout-s has no effect",
        "--metrics-port has no effect",
    ]


@pytest.mark.parametrize(
    ("former", "present", "code"),
    [
        (("health",), ("status", "--check"), 1),
        (("health", "--json"), ("status", "--check", "--json"), 1),
        (("metrics",), ("status", "--metrics"), 0),
    ],
)
def test_a_former_command_prints_and_ends_as_its_option_of_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    former: tuple[str, ...],
    present: tuple[str, ...],
    code: int,
) -> None:
    assert call(monkeypatch, tmp_path, *present) == code
    printed = capsys.readouterr()
    assert call(monkeypatch, tmp_path, *former) == code
    assert capsys.readouterr() == printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "warning"),
    [
        (("predict", "7.png", "--csv", "--dump-seen", "seen"), 1, "--dump-seen is now --explain-dir"),
        (("prune", "--keep", "90d"), 0, "--keep is now --older-than"),
        (("train", "--leave-out", "nothing", "--data", "nowhere"), 2, "--leave-out is now --exclude"),
        (("train", "--from", "shipped"), 2, "--from is now --base-model"),
        (("apply", "7.csv", "--who", "ann"), 0, "--who is now --reviewer"),
        (("review", "--who", "a\0b", "--no-browser"), 2, "--who is now --reviewer"),
        (("evaluate", "--as-files", "--data", "nowhere"), 2, "--as-files is now --full-pipeline"),
        (("requeue", "--worker", "b", "--ledger-lost"), 2, "--ledger-lost is now --without-ledger"),
        (("status", "--check", "--max-look-s", "9"), 1, "--max-look-s is now --max-scan-age-s"),
        (("config", "--on-unhealthy", "true"), 0, "--on-unhealthy is now --on-failure"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_former_option_works_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    warning: str,
) -> None:
    (tmp_path / "7.png").write_bytes(b"no picture")
    (tmp_path / "7.csv").write_text("file,label\n")

    ended = call(monkeypatch, tmp_path, *words)

    printed = capsys.readouterr().err
    assert printed.count("a former name is used") == 1
    assert f"{warning}; the old name is accepted until 1.0" in printed
    assert ended == code, printed


@pytest.mark.parametrize(
    "words", [("--older-than", "banana", "--keep", "9d"), ("--keep", "9d", "--older-than", "banana")]
)
def test_the_present_option_wins_over_the_former_in_any_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert call(monkeypatch, tmp_path, "prune", *words) == 2

    assert "banana" in capsys.readouterr().err


def test_an_option_belongs_to_a_single_parameter_of_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call(monkeypatch, tmp_path, "prune", "--older-than", "9d")

    commands = [typer.main.get_command(main.cli)]
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        names = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
        assert len(names) == len(set(names)), command.name


def test_a_present_option_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, tmp_path, "prune", "--older-than", "9d") == 0

    assert "a former name is used" not in capsys.readouterr().err


def test_help_groups_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    call(monkeypatch, tmp_path, "-h")

    printed = capsys.readouterr().out
    assert re.findall(r"^([A-Z][a-z]+):$", printed, re.MULTILINE) == ["Options", "Read", "Review", "Models", "Operate"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("report --batch ", ["20260102T030405Z-0a1b2c3d", "20260101T030405Z-0a1b2c3d"]),
        ("verify --rebuild --tables 20260101", ["20260101T030405Z-0a1b2c3d"]),
        ("models promote ", ["shipped", "cnn-1"]),
        ("run --model cn", ["cnn-1"]),
        ("evaluate --data mnist", ["mnist", "mnist-5k", "mnist-200"]),
        ("why des", ["desk/7.png", "desk/8.png"]),
        ("why --workspace nowhere ", []),
        ("report --workspace digitrec.toml --batch ", []),
    ],
)
def test_completion_offers_values_of_the_workspace(
    harness: ServiceHarness,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    values: list[str],
) -> None:
    for name in ("desk/7.png", "desk/8.png", "other.png"):
        harness.drop(name)
    harness.run()
    for path in harness.outbox.glob("*.csv"):
        path.unlink()
    for day in ("01", "02"):
        (harness.outbox / f"202601{day}T030405Z-0a1b2c3d.csv").touch()
    (harness.settings.models / "cnn-1").mkdir(parents=True)
    (harness.root / "digitrec.toml").touch()
    monkeypatch.setenv("_DIGITREC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"digitrec {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) + words.endswith(" ")))

    monkeypatch.chdir(harness.root)
    capsys.readouterr()

    with pytest.raises(SystemExit) as end:
        main.cli(prog_name="digitrec")

    assert (capsys.readouterr().out.split(), end.value.code) == (values, 0)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("predict", "inbox/7.png", "--csv"), ("run", "--settle-s", "0")])
def test_a_model_without_a_guarantee_answers_with_every_page_in_review(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))

    assert call(monkeypatch, tmp_path, *words, "--max-error", "0.0001", "--log-format", "text") == 0

    output = capsys.readouterr()
    assert output.err.count("cannot guarantee a max_error of 0.0001") == 1
    assert "need review" in output.err
    table = output.out if words[0] == "predict" else (tmp_path / "outbox" / "latest.csv").read_text()
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["status"], row["text"], row["reason_code"]) == ("review", "7", "low_confidence")
