"""The set-up of .venv by the Makefile, with stand-ins for Python's venv, pip and uv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import environment

ROOT = Path(__file__).parents[2]
UV = """#!/bin/sh
echo "$@" >> calls
[ "$1" = venv ] && mkdir -p .venv/bin && ln -sf /bin/true .venv/bin/python
[ ! -e fail ] || exit 1
"""
"""Writes down its arguments; fails if there is a file `fail`."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fake uv on the PATH."""
    program = tmp_path / "programs" / "uv"
    program.parent.mkdir()
    program.write_text(UV)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_up(monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    monkeypatch.setattr(sys, "argv", ["environment.py", name])
    return environment.main()


def calls(clone: Path) -> list[str]:
    return (clone / "calls").read_text().splitlines()


def test_uv_installs_with_hashes_and_prints_a_line_a_step(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up(monkeypatch, "base") == 0

    venv, packages, project = calls(clone)
    assert venv.startswith("venv --quiet --clear --python ")
    assert "--compile-bytecode" in packages
    assert packages.endswith("--require-hashes -r requirements/base.lock -r requirements/build.lock")
    assert project.endswith("--no-deps --no-build-isolation -e .")
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["[1/3]", "[2/3]", "[3/3]"]
    assert (clone / ".venv" / ".base").exists()
    assert not (clone / ".venv" / ".ready").exists()
    assert not (clone / ".venv" / ".incomplete").exists()


def test_uv_shows_its_progress_on_a_terminal_only(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert set_up(monkeypatch, "base") == 0

    assert [line for line in calls(clone) if line.startswith("pip") and "--quiet" in line] == []


def test_a_long_installation_without_progress_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "REPORT_S", 0.05)
    code = "import sys, time; time.sleep(0.3); sys.exit(3)"

    with pytest.raises(subprocess.CalledProcessError):
        environment.run(sys.executable, "-c", code, "--quiet")

    assert "still installing after 0 s" in capsys.readouterr().out


def test_the_rest_is_added_to_the_same_environment(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "read_version", lambda: (3, 12))
    assert set_up(monkeypatch, "base") == 0
    (clone / "calls").unlink()

    assert set_up(monkeypatch, "complete") == 0

    packages, _ = calls(clone)
    assert packages.endswith("--require-hashes -r requirements/complete.lock")
    assert (clone / ".venv" / ".ready").exists()


def test_a_set_up_that_failed_is_made_anew(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set_up(monkeypatch, "base") == 0
    (clone / "fail").touch()
    monkeypatch.setattr(environment, "read_version", lambda: (3, 12))
    assert set_up(monkeypatch, "base") == 1
    assert "run the same command again" in capsys.readouterr().err
    (clone / "fail").unlink()
    (clone / "calls").unlink()

    assert set_up(monkeypatch, "base") == 0

    assert calls(clone)[0].startswith("venv --quiet --clear ")


def test_ctrl_c_leaves_one_line_and_an_environment_to_make_anew(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "install", interrupt)

    assert set_up(monkeypatch, "base") == 130

    assert capsys.readouterr().err == "Stopped; run the same command again.\n"
    assert (clone / ".venv" / ".incomplete").exists()
    assert not (clone / ".venv" / ".base").exists()


@pytest.fixture
def ran(clone: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands of a set-up without a uv on the PATH; one fails if it has the words that a file `fail` holds."""
    ran: list[str] = []

    def record(*words: str | Path) -> None:
        ran.append(" ".join(map(str, words)))
        (clone / ".venv").mkdir(exist_ok=True)
        if (clone / "fail").exists() and (clone / "fail").read_text() in ran[-1]:
            raise subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(environment, "run", record)
    monkeypatch.setattr(environment, "has_pip", lambda: True)
    return ran


FETCH = "install --quiet --disable-pip-version-check --only-binary :all: --target .venv/.uv --require-hashes"


def test_without_uv_pip_fetches_one_for_the_set_up(
    clone: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / ".venv" / ".uv").mkdir(parents=True)

    assert set_up(monkeypatch, "base") == 0

    venv, fetch, packages, project = ran
    assert venv == f"{sys.executable} -m venv --clear --without-pip .venv"
    assert fetch == f"{sys.executable} -m pip --python .venv/bin/python {FETCH} -r requirements/uv.lock"
    assert packages.startswith(".venv/.uv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python ")
    assert packages.endswith("--require-hashes -r requirements/base.lock -r requirements/build.lock")
    assert project.startswith(".venv/.uv/bin/uv pip install ")
    assert not (clone / ".venv" / ".uv").exists()


@pytest.mark.parametrize("failing", [".venv/.uv --require-hashes", ".venv/.uv/bin/uv"])
def test_pip_installs_where_uv_cannot(
    clone: Path, ran: list[str], failing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "fail").write_text(failing)

    assert set_up(monkeypatch, "base") == 0

    pip = f"{sys.executable} -m pip --python .venv/bin/python install --quiet --disable-pip-version-check"
    assert ran[-2] == f"{pip} --require-hashes -r requirements/base.lock -r requirements/build.lock"
    assert ran[-1] == f"{pip} --no-deps --no-build-isolation -e ."
    assert "uv cannot be used here; pip installs" in capsys.readouterr().out


def test_a_python_without_pip_uses_one_in_the_environment(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(environment, "run", lambda *words: ran.append(" ".join(map(str, words))))
    monkeypatch.setattr(environment, "has_pip", lambda: False)

    environment.install(None, "-r", "some.lock")

    assert ran == [
        ".venv/bin/python -m ensurepip --default-pip",
        ".venv/bin/python -m pip install --quiet --disable-pip-version-check -r some.lock",
    ]


def test_an_old_python_is_refused_before_anything(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.version_info = (3, 9, 18); runpy.run_path(sys.argv[1], run_name='__main__')"
    command = [sys.executable, "-c", code, str(ROOT / "tools" / "environment.py"), "base"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("digitrec needs Python 3.11 to 3.14; ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "version", "reason"),
    [("complete", (3, 14), "TensorFlow has no release for it"), ("base", (3, 15), "its packages have no releases")],
)
def test_a_python_that_is_too_new_is_refused(
    name: str, version: tuple[int, int], reason: str, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set_up(monkeypatch, "base") == 0
    monkeypatch.setattr(environment, "read_version", lambda: version)

    with pytest.raises(SystemExit, match=f"Python 3.{version[1]} cannot be used: {reason}") as refused:
        set_up(monkeypatch, name)

    assert "`make clean`" in str(refused.value)
    assert len(calls(clone)) == 3


def test_the_version_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))

    assert environment.read_version() == sys.version_info[:2]
