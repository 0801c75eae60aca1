"""What is handed on: wheel, sdist, and the licences of what is installed beside them."""

import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest

import digitrec
from digitrec.models.package import ModelPackage
from tools import licences

ROOT = Path(__file__).parents[2]
DATA = (
    "py.typed",
    "training/datasets/mnist_200.npz",
    "training/synthetic/glyphs.npz",
    "training/model_card.md.j2",
    "models/shipped/model.json",
    "models/shipped/MODEL_CARD.md",
)


def built(source: Path, folder: Path, *kinds: str) -> None:
    words = [word for kind in kinds for word in ("-t", kind)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *words],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built(ROOT, folder, "wheel", "sdist")
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (result,) = dist.glob("*.whl")
    return result


def read_metadata(wheel: Path) -> Message:
    """The metadata in a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(packed.read(name).decode())


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "digitrec"], cwd=ROOT, capture_output=True, text=True, check=False)
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())

    assert {name.partition("/")[0] for name in names} == {"digitrec", f"digitrec-{digitrec.__version__}.dist-info"}
    assert not [name for name in names if name.endswith(".pyc")]
    assert {f"digitrec/{name}" for name in DATA} <= names
    for folder in ("reports/templates", "review/templates", "review/static"):
        here = {f"digitrec/{folder}/{path.name}" for path in (ROOT / "digitrec" / folder).iterdir()}
        assert here, folder
        assert here <= names
    assert {name for name in listed.stdout.split() if (ROOT / name).is_file()} <= names  # nothing if this is no clone


@pytest.mark.slow
def test_the_wheel_contains_the_complete_shipped_model(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)

    bundle = ModelPackage.open(tmp_path / "digitrec" / "models" / "shipped")
    for file in bundle.card.files:
        assert bundle.read_file(file)


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel_without_a_clone(dist: Path, wheel: Path, tmp_path: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    (source,) = tmp_path.iterdir()

    built(source, tmp_path / "again", "wheel")

    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "requirements/complete.lock"):
        assert (source / name).is_file(), name


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    metadata = read_metadata(wheel)
    classifiers = metadata.get_all("Classifier", [])

    assert (metadata["Name"], metadata["Version"]) == ("digitrec", digitrec.__version__)
    assert metadata["License-Expression"] == "MIT AND CC-BY-SA-3.0"
    assert "digitrec/training/datasets/mnist_200.LICENSE.txt" in metadata.get_all("License-File", [])
    assert metadata["Requires-Python"] == "<3.15,>=3.11"
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers
    assert "handwriting" in metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_version_is_defined_once() -> None:
    assert "version =" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.")[0]
    assert digitrec.__version__ == distribution("digitrec").version


def test_every_locked_package_stands_on_the_page_of_licences() -> None:
    rows = [line.split(" | ") for line in licences.PAGE.read_text(encoding="utf-8").splitlines() if " | " in line]
    listed = {row[0].removeprefix("| "): row[1] for row in rows[1:]}

    assert listed == {name: ", ".join(result) for name, result in licences.locked("complete").items()}, (
        "`make licences`"
    )


@pytest.mark.slow
def test_no_locked_package_has_a_licence_that_binds_what_depends_on_it() -> None:
    result = {package.name: package for package in licences.licensed()}

    assert result["hypothesis"].where == "development"
    assert result["tensorflow"].where == result["tensorflow-cpu"].where == result["seaborn"].where == "extra"
    assert result["numpy"].where == result["starlette"].where == "base"
    assert set(licences.CARRIED) <= result.keys()


@pytest.mark.parametrize("licence", ["", "GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "Proprietary", "BUSL-1.1"])
def test_a_licence_that_is_unknown_or_binds_its_users_is_refused(licence: str) -> None:
    with pytest.raises(licences.UnknownLicence, match="some"):
        licences.require_free("some", licence)


def test_licences_in_unexpected_metadata_are_checked() -> None:
    metadata = HeaderParser().parsestr("Name: some\nLicense: GPL-3.0-only\nClassifier: License :: OSI Approved\n")

    assert licences.read_licence(metadata) == "GPL-3.0-only"  # type: ignore[arg-type]
