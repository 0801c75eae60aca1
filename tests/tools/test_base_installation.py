"""What works, and what says why it does not, where only requirements/slim.lock is installed."""

import importlib.metadata
import json
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import draw, read_csv
from tests.test_journey import until

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
SITE = """
from importlib.machinery import PathFinder

ABSENT, found = frozenset({absent!r}), PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in ABSENT else found(name, *rest)
"""
"""Python runs this at its start; it finds nothing of what a slim installation lacks."""
REFUSED = {
    ("train", "--epochs", "1"): "tensorflow, keras, scipy",
    ("train", "--with-corrections"): "tensorflow, keras, scipy",
    ("evaluate", "--data", "digits-8x8"): "matplotlib, seaborn, scikit-learn",
    ("explore", "--data", "digits-8x8"): "matplotlib, seaborn",
    ("samples", "drawn"): "mlxtend",
    ("samples", "drawn", "--data", "digits-8x8"): "scikit-learn",
    ("samples", "drawn", "--data", "mnist"): "tensorflow, keras",
    ("models", "promote", "shipped"): "tensorflow, keras",
    ("review", "--no-browser"): "starlette, uvicorn",
}
WORK = (
    ("init",),
    ("run", "--settle-s", "0", "--table"),
    ("predict", "7.png"),
    ("predict", "7.png", "--explain", "why.png"),
    ("status",),
    ("verify",),
    ("status", "--check"),
    ("status", "--metrics"),
    ("doctor",),
    ("why", "7.png"),
    ("config",),
    ("models", "list"),
    ("models", "show"),
    ("export",),
    ("export", "--format", "jsonl"),
    ("export", "--out", "answers.xlsx"),
    ("export", "--out", "answers.csv"),
    ("apply", "answers.csv", "--reviewer", "ann"),
    ("requeue", "7.png", "--dry-run"),
    ("prune", "--older-than", "90d"),
    ("models", "promote", "shipped", "--force"),
)


def pinned(lock: str) -> dict[str, set[str]]:
    """The versions of each package; several if they differ by the Python."""
    modules: dict[str, set[str]] = {}
    text = (LOCKS / f"{lock}.lock").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, re.MULTILINE):
        modules.setdefault(name, set()).add(version)
    return modules


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def absent() -> list[str]:
    """What is imported from the packages that only the complete lock has, those it takes along included."""
    slim, complete = pinned("slim"), pinned("complete")
    packages = {
        name: {plain(requirement) for requirement in given}
        for name, given in importlib.metadata.packages_distributions().items()
    }
    return sorted(name for name, given in packages.items() if given <= complete.keys() and not given & slim.keys())


class Slim:
    """A workspace, and a Python that lacks what is not in requirements/slim.lock."""

    def __init__(self, site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (site / "sitecustomize.py").write_text(SITE.format(absent=absent()))
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.setenv("KERAS_HOME", str(folder / "keras"))
        self.folder = folder

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "digitrec", *words]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words), cwd=self.folder, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture
def slim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slim:
    site, folder = tmp_path / "site", tmp_path / "work"
    site.mkdir()
    (folder / "inbox").mkdir(parents=True)
    (folder / "inbox" / "7.png").write_bytes(draw(7))
    (folder / "7.png").write_bytes(draw(7))
    return Slim(site, folder, monkeypatch)


def test_the_slim_lock_omits_large_packages_and_pins_as_the_full_lock() -> None:
    slim, complete = pinned("slim"), pinned("complete")
    large = {"tensorflow", "keras", "matplotlib", "seaborn", "scikit-learn", "scipy", "pandas", "mlxtend"}

    assert not (large | {"starlette", "uvicorn"}) & slim.keys()
    assert large <= complete.keys()
    assert {name: complete.get(name) for name in slim} == slim


def test_slim_asks_for_nothing_that_the_package_does_not_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (LOCKS / "slim.in").read_text(encoding="utf-8").splitlines()
    asked = [line for line in lines if not line.startswith("#")]

    assert asked
    assert set(asked) <= {re.split("[<>=]", requirement)[0] for requirement in project["dependencies"]}


@pytest.mark.parametrize("lock", ["complete", "slim"])
def test_a_lock_holds_no_version_below_the_floors(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    asked = [Requirement(line) for line in [*project["dependencies"], *extras]]
    versions = pinned(lock)
    modules = {
        (requirement.name, version) for requirement in asked for version in versions.get(plain(requirement.name), ())
    }

    assert {name for name, _ in modules} >= {"pillow", "pillow-heif", "pypdfium2", "opencv-python-headless"}
    assert not {
        (requirement.name, version)
        for requirement in asked
        for name, version in modules
        if name == requirement.name and version not in requirement.specifier
    }


@pytest.mark.slow
def test_everyday_commands_work_in_a_slim_installation(slim: Slim) -> None:
    for words in WORK:
        done = slim.run(*words)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{words}: {done.stderr}"

    done = slim.run("report")
    (entry,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, entry["event"]) == (0, "the trend report is not written")
    assert "matplotlib" in entry["why"]
    assert "1 report made" in done.stdout
    assert len(list((slim.folder / "reports").glob("*Z-*/index.html"))) == 1


@pytest.mark.slow
def test_watch_reads_in_a_slim_installation(slim: Slim) -> None:
    process = subprocess.Popen(slim.command("watch", "--settle-s", "0.1"), cwd=slim.folder, stderr=subprocess.DEVNULL)
    try:
        until(lambda: list((slim.folder / "outbox").glob("*Z-????????.csv")), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    (table,) = (slim.folder / "outbox").glob("*Z-????????.csv")
    assert [row["text"] for row in read_csv(table)] == ["7"]


@pytest.mark.slow
def test_what_a_slim_installation_cannot_do_says_what_to_install(slim: Slim) -> None:
    assert slim.run("run", "--settle-s", "0").returncode == 0
    for words, missing in REFUSED.items():
        done = slim.run(*words)
        entry = done.stderr.splitlines()

        assert (done.returncode, len(entry)) == (2, 2), f"{words}: {done.stderr}"
        assert f" needs {missing}, which " in entry[0], entry
        assert f"`python -m pip install {missing.replace(',', '')}`" in entry[1], entry
