"""cron, systemd, logrotate and Prometheus accept the files in jobs/; each is tested where it is installed."""

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from digitrec.app import reports, service
from digitrec.cli.main import cli
from digitrec.monitoring.metrics import METRICS
from digitrec.settings import Settings
from jobs import drain_inbox, nightly_report
from tests.conftest import draw

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
HOME = "/srv/digitrec"
UNITS = sorted((JOBS / "systemd").iterdir())
LIMIT = 2.0
"""Highest exposure by `systemd-analyze security`: 0 is best; 9.6 without any restriction."""


def requires(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def run_tool(*words: str | Path, folder: Path = ROOT) -> str:
    process = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


def commands() -> Iterator[tuple[str, list[str]]]:
    """Return every command line of the crontab and the units, with its source."""
    for line in (JOBS / "crontab").read_text().splitlines():
        if "&&" in line:
            yield "crontab", shlex.split(line.partition("&&")[2].partition(">")[0])
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=(.*)", unit.read_text(), re.MULTILINE):
            yield unit.name, shlex.split(line)


def test_every_command_line_parses_and_every_script_exists() -> None:
    program = typer.main.get_command(cli)
    lines = list(commands())

    assert len(lines) >= 8
    for source, words in lines:
        first, *others = words[1:] if words[0] == "nice" else words
        if first.endswith("/digitrec"):
            name, *rest = others
            command = program.commands[name]  # type: ignore[attr-defined]
            command.make_context(name, rest, resilient_parsing=False)
        else:
            assert first.endswith(".venv/bin/python"), source
            assert (ROOT / others[0]).is_file(), source


def test_the_crontab_needs_only_its_two_folders_to_be_set() -> None:
    lines = (JOBS / "crontab").read_text().splitlines()
    jobs = [line for line in lines if "&&" in line]

    assert "REPLACES" in lines[0]
    assert [line.partition("=")[0] for line in lines if re.match("[A-Z_]+=", line)] == ["PROGRAM", "DIGITREC_WORKSPACE"]
    assert all('cd "$PROGRAM" && ' in line and '> "$DIGITREC_WORKSPACE/' in line for line in jobs)
    assert not any("/srv" in line or "/var" in line for line in jobs)
    assert [line for line in jobs if "retrain" in line or "prune" in line] == [*jobs[-2:]]
    assert all(line.startswith("# ") for line in jobs[-2:])


def test_every_timer_has_its_service_and_every_unit_is_documented() -> None:
    readme = (JOBS / "README.md").read_text()
    for unit in UNITS:
        assert unit.with_suffix(".service").exists(), unit.name
        assert unit.stem in readme, unit.name


@requires("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    # The program of the tests stands in for the installed one.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("digitrec", "python"):
        (tmp_path / ".venv" / "bin" / name).symlink_to(sys.executable)
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(HOME, str(tmp_path)))

    output = run_tool("systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS))

    assert not [line for line in output.splitlines() if "digitrec-" in line]


@requires("systemd-analyze")
@pytest.mark.parametrize("unit", [path for path in UNITS if path.suffix == ".service"], ids=lambda unit: unit.stem)
def test_every_service_is_sandboxed(unit: Path) -> None:
    output = run_tool("systemd-analyze", "security", "--no-pager", "--offline=true", unit)

    (exposure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", output)
    assert float(exposure) <= LIMIT


@requires("promtool")
def test_the_alert_rules_are_valid_and_fire() -> None:
    run_tool("promtool", "check", "rules", "alerts.yml", folder=JOBS)
    run_tool("promtool", "test", "rules", "alerts_test.yml", folder=JOBS)


def test_the_alert_rules_ask_for_metrics_that_exist() -> None:
    queried = set(re.findall(r"\bdigitrec_\w+", (JOBS / "alerts.yml").read_text()))

    assert len(queried) > 5
    assert queried <= set(METRICS)


@requires("logrotate")
def test_logrotate_understands_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "digitrec"
    mine = (JOBS / "logrotate").read_text().replace("digitrec digitrec", "root root")  # an existing user
    copy.write_text(mine)
    copy.chmod(0o644)  # it refuses a file that others may write

    output = run_tool(shutil.which("logrotate") or "", "--debug", "--state", tmp_path / "state", copy)

    assert "error" not in output


@contextmanager
def running(*words: str | Path, folder: Path) -> Iterator[None]:
    with (folder / "log").open("ab") as log, subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def query_prometheus(port: int, question: str) -> list[dict[str, object]]:
    """Return the result of a Prometheus query; empty while it starts."""
    address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': question})}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            result: list[dict[str, object]] = json.load(answer)["data"]["result"]
            return result
    except OSError:
        return []


@requires("prometheus")
@pytest.mark.slow
def test_prometheus_reads_the_metrics_file_and_the_alert_rules(tmp_path: Path) -> None:
    exporter_port, prometheus_port = free_port(), free_port()
    (tmp_path / "shown").mkdir()
    shutil.copy(JOBS / "alerts.yml", tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "noise.png").write_bytes(b"no picture")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "rule_files: [alerts.yml]\n"
        f"scrape_configs: [{{job_name: digitrec, metrics_path: /digitrec.txt, "
        f"static_configs: [{{targets: ['127.0.0.1:{exporter_port}']}}]}}]\n"
    )
    watch = [sys.executable, "-m", "digitrec", "watch", "--settle-s", "0", "--grace-s", "0"]
    watch += ["--metrics-file", "shown/digitrec.txt"]
    exporter = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", "shown", str(exporter_port)]
    prometheus = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
    ]
    question = 'digitrec_files_total{status="rejected", worker="main"} == 1'

    with (
        running(*watch, folder=tmp_path),
        running(*exporter, folder=tmp_path),
        running(*prometheus, folder=tmp_path),
    ):
        until_s = time.monotonic() + 60
        while not (samples := query_prometheus(prometheus_port, question)) and time.monotonic() < until_s:
            time.sleep(0.1)
        failing = query_prometheus(prometheus_port, "digitrec_worker_failing")

    assert len(samples) == 1, (tmp_path / "log").read_text()
    assert [sample["value"][1] for sample in failing] == ["0"]  # type: ignore[index]


@pytest.mark.slow
def test_a_job_that_cannot_write_ends_with_74_and_a_plain_line(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("no folder")

    words = (sys.executable, str(JOBS / "nightly_report.py"))
    process = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert process.returncode == 74
    assert f"nightly report failed: {tmp_path}/reports is not a folder" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(0, 0), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_the_drain_job_ends_with_the_code_of_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def run_once(_: Settings, stop: service.ShutdownSignal) -> service.RunSummary:
        stop.set(number)
        return service.RunSummary()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drain_inbox, "run_once", run_once)

    assert drain_inbox.main() == code


@pytest.mark.slow
def test_the_nightly_report_ends_with_74_if_the_outbox_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(workspace=tmp_path)
    settings.inbox.mkdir()
    (settings.inbox / "blank.png").write_bytes(draw(7))
    drain_inbox.run_once(settings)
    settings.outbox.rename(tmp_path / "away")
    monkeypatch.chdir(tmp_path)

    assert nightly_report.main() == 74
    assert "outbox" in capsys.readouterr().err


def test_an_unexpected_exception_in_a_job_is_logged_and_ends_with_74(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports, "write_all_reports", fails)

    assert nightly_report.main() == 74
    first, last = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["why"], first["traceback"][-1]) == ("KeyError: 'colour'", "KeyError: 'colour'")
    assert last["event"] == "unexpected error: KeyError: 'colour'"
