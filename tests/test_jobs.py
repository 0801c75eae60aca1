"""What is given to cron, systemd and Prometheus is what these accept. Each is asked where it is installed."""

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

ROOT = Path(__file__).parents[1]
JOBS = ROOT / "jobs"
HOME = "/srv/digitrec"
UNITS = sorted((JOBS / "systemd").iterdir())
LIMIT = 2.0
"""Exposure as `systemd-analyze security` counts it: 0 is best, a service without any of it has 9.6."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def tried(*words: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of the crontab and the units, by where it stands."""
    for line in (JOBS / "crontab").read_text().splitlines():
        if "&&" in line:
            yield "crontab", shlex.split(line.partition("&&")[2].partition(">")[0])
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=(.*)", unit.read_text(), re.MULTILINE):
            yield unit.name, shlex.split(line)


def test_every_command_line_parses_and_every_script_is_there() -> None:
    program = typer.main.get_command(cli)
    found = list(commands())

    assert len(found) >= 8
    for where, words in found:
        first, *others = words[1:] if words[0] == "nice" else words
        if first.endswith("/digitrec"):
            name, *rest = others
            command = program.commands[name]  # type: ignore[attr-defined]
            command.make_context(name, rest, resilient_parsing=False)
        else:
            assert first.endswith(".venv/bin/python"), where
            assert (ROOT / others[0]).is_file(), where


def test_the_crontab_can_be_used_by_anybody_after_two_folders_are_put_in() -> None:
    lines = (JOBS / "crontab").read_text().splitlines()
    jobs = [line for line in lines if "&&" in line]

    assert "REPLACES" in lines[0]
    assert [line.partition("=")[0] for line in lines if re.match("[A-Z_]+=", line)] == ["PROGRAM", "DIGITREC_WORKSPACE"]
    assert all('cd "$PROGRAM" && ' in line and '> "$DIGITREC_WORKSPACE/' in line for line in jobs)
    assert not any("/srv" in line or "/var" in line for line in jobs)
    assert [line for line in jobs if "retrain" in line or "prune" in line] == [*jobs[-2:]]
    assert all(line.startswith("# ") for line in jobs[-2:])


def test_every_timer_has_its_service_and_every_unit_is_documented() -> None:
    told = (JOBS / "README.md").read_text()
    for unit in UNITS:
        assert unit.with_suffix(".service").exists(), unit.name
        assert unit.stem in told, unit.name


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    # Where they are installed the program lies; here it is where the tests run.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("digitrec", "python"):
        (tmp_path / ".venv" / "bin" / name).symlink_to(sys.executable)
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(HOME, str(tmp_path)))

    said = tried("systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS))

    assert not [line for line in said.splitlines() if "digitrec-" in line]


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", [one for one in UNITS if one.suffix == ".service"], ids=lambda unit: unit.stem)
def test_every_service_is_shut_in(unit: Path) -> None:
    said = tried("systemd-analyze", "security", "--no-pager", "--offline=true", unit)

    (figure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", said)
    assert float(figure) <= LIMIT


@needs("promtool")
def test_the_alert_rules_are_accepted_and_fire_when_they_should() -> None:
    tried("promtool", "check", "rules", "alerts.yml", folder=JOBS)
    tried("promtool", "test", "rules", "alerts_test.yml", folder=JOBS)


def test_the_alert_rules_ask_for_metrics_that_exist() -> None:
    asked = set(re.findall(r"\bdigitrec_\w+", (JOBS / "alerts.yml").read_text()))

    assert len(asked) > 5
    assert asked <= set(METRICS)


@needs("logrotate")
def test_logrotate_understands_its_file(tmp_path: Path) -> None:
    copy = tmp_path / "digitrec"
    mine = (JOBS / "logrotate").read_text().replace("digitrec digitrec", "root root")  # a user that there is
    copy.write_text(mine)
    copy.chmod(0o644)  # it refuses what others may write

    said = tried(shutil.which("logrotate") or "", "--debug", "--state", tmp_path / "state", copy)

    assert "error" not in said


@contextmanager
def at_work(*words: str | Path, folder: Path) -> Iterator[None]:
    with (folder / "log").open("ab") as log, subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def asked(port: int, question: str) -> list[dict[str, object]]:
    """What a Prometheus answers; nothing while it starts."""
    address = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': question})}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            found: list[dict[str, object]] = json.load(answer)["data"]["result"]
            return found
    except OSError:
        return []


@needs("prometheus")
@pytest.mark.slow
def test_prometheus_reads_the_metrics_file_and_the_alert_rules(tmp_path: Path) -> None:
    own, other = free_port(), free_port()
    (tmp_path / "shown").mkdir()
    shutil.copy(JOBS / "alerts.yml", tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "noise.png").write_bytes(b"no picture")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "rule_files: [alerts.yml]\n"
        f"scrape_configs: [{{job_name: digitrec, metrics_path: /digitrec.txt, "
        f"static_configs: [{{targets: ['127.0.0.1:{own}']}}]}}]\n"
    )
    watch = [sys.executable, "-m", "digitrec", "watch", "--settle-s", "0", "--grace-s", "0"]
    watch += ["--metrics-file", "shown/digitrec.txt"]
    exporter = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", "shown", str(own)]
    prometheus = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{other}",
    ]
    question = 'digitrec_files_total{status="rejected", worker="main"} == 1'

    with (
        at_work(*watch, folder=tmp_path),
        at_work(*exporter, folder=tmp_path),
        at_work(*prometheus, folder=tmp_path),
    ):
        until_s = time.monotonic() + 60
        while not (found := asked(other, question)) and time.monotonic() < until_s:
            time.sleep(0.1)
        failing = asked(other, "digitrec_worker_failing")

    assert len(found) == 1, (tmp_path / "log").read_text()
    assert [one["value"][1] for one in failing] == ["0"]  # type: ignore[index]


def test_every_metric_is_explained_as_in_the_code() -> None:
    told = (JOBS / "README.md").read_text()

    for name, (kind, words) in METRICS.items():
        assert f"| `{name}` ({kind}) | {words} |" in told, name


@pytest.mark.slow
def test_a_job_that_cannot_write_ends_with_74_and_a_plain_line(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("no folder")

    words = (sys.executable, str(JOBS / "nightly_report.py"))
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 74
    assert f"nightly report failed: {tmp_path}/reports is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


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
