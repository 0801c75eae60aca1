"""`python -m tools.release`: build wheel and sdist into dist/, install them as users do, and read with them.

Installs need a network, or an index in the settings of pip. Prints seconds and sizes.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import digitrec
from tools import container
from tools.container import ROOT

DIST = ROOT / "dist"
PICTURES = 20


def main() -> int:
    """Build, install, try; anything that fails ends it with the failing command's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=main.__doc__)
    parser.add_argument("--only", choices=("base", "complete", "container"), help="of the three, try this one only")
    asked = parser.parse_args()
    try:
        wheel = build(DIST)
        with TemporaryDirectory(prefix="digitrec-release-") as home:
            if asked.only in {None, "base"}:
                base(Path(home), wheel)
            if asked.only in {None, "complete"}:
                complete(Path(home), wheel)
            if asked.only in {None, "container"}:
                contained(Path(home))
    except subprocess.CalledProcessError as why:
        print(f"release: `{' '.join(map(str, why.cmd))}` ended with {why.returncode}", file=sys.stderr)
        return 1
    return 0


def build(folder: Path) -> Path:
    """Build the sdist, and the wheel twice: from here and from the unpacked sdist; gives the wheel.

    Raises:
        SystemExit: the two wheels differ.
    """
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder, cwd=ROOT)
    wheel = folder / f"digitrec-{digitrec.__version__}-py3-none-any.whl"
    sdist = folder / f"digitrec-{digitrec.__version__}.tar.gz"
    with TemporaryDirectory(prefix="digitrec-sdist-") as home:
        shutil.unpack_archive(sdist, home, filter="data")
        unpacked = Path(home) / sdist.name.removesuffix(".tar.gz")
        _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", home, cwd=unpacked)
        if (Path(home) / wheel.name).read_bytes() != wheel.read_bytes():
            raise SystemExit("release: the wheel built from the sdist is another one")
    print(
        f"built     {wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB"
    )
    return wheel


def base(home: Path, wheel: Path) -> None:
    """Install with the lock as docs/running.md says; read the pictures of the demo and the golden pictures."""
    lock = ["--require-hashes", "-r", str(ROOT / "requirements" / "base.lock")]
    python = _installed("base", home / "base", [lock, ["--no-deps", str(wheel)]])
    work = home / "base-work"
    _run(python.with_name("digitrec"), "demo", str(work), cwd=home)
    _drop_golden(work)
    _read(python, work)


def complete(home: Path, wheel: Path) -> None:
    """Install the wheel with all extras, without a lock, and evaluate the model with it."""
    python = _installed("complete", home / "complete", [[f"{wheel}[all]"]])
    work = home / "work"
    work.mkdir()
    program = python.with_name("digitrec")
    _run(program, "samples", "inbox", "--count", str(PICTURES), "--data", "mnist-5k", cwd=work)
    _read(python, work)
    _run(program, "evaluate", "--data", "mnist-200", cwd=work)


def contained(home: Path) -> None:
    """What the Containerfile says, without an engine: its steps, and the golden pictures read with what they make."""
    _run(sys.executable, "-m", "venv", home / "image", cwd=ROOT)
    began_s = time.monotonic()
    python = container.install(home / "container", home / "image" / "bin" / "python")
    installed = home / "container" / "opt"
    print(f"installed container: {time.monotonic() - began_s:.0f} s, {_size(installed) / 1e6:,.0f} MB")
    work = home / "container-work"
    _drop_golden(work)
    _read(python, work)
    _run(python.with_name("digitrec"), "status", "--check", cwd=work)


def _drop_golden(work: Path) -> None:
    (work / "inbox").mkdir(parents=True, exist_ok=True)
    for picture in (ROOT / "tests" / "golden").glob("*/picture.*"):
        shutil.copyfile(picture, work / "inbox" / f"{picture.parent.name}{picture.suffix}")


def _installed(name: str, folder: Path, installs: Sequence[Sequence[str]]) -> Path:
    """Create an environment, download and install packages into it, and return its Python."""
    _run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    python, before = folder / "bin" / "python", _size(folder)
    began_s = time.monotonic()
    for install in installs:
        _run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-cache-dir",
            "--disable-pip-version-check",
            *install,
            cwd=folder,
        )
    took_s = time.monotonic() - began_s
    _run(python, "-m", "pip", "check", cwd=folder)
    packages = len([*folder.glob("lib/python*/site-packages/*.dist-info")]) - 1  # pip itself
    print(f"installed {name}: {took_s:.0f} s, {(_size(folder) - before) / 1e6:,.0f} MB, {packages} packages")
    return python


def _read(python: Path, work: Path) -> None:
    """Read the inbox in a new folder."""
    began_s = time.monotonic()
    _run(python, "-m", "digitrec", "run", "--table", cwd=work)
    print(f"read      in {time.monotonic() - began_s:.1f} s")
    for words in (("verify",), ("status",), ("report",)):
        _run(python, "-m", "digitrec", *words, cwd=work)


def _run(*words: str | Path, cwd: Path) -> None:
    subprocess.run(list(map(str, words)), cwd=cwd, env=container.clean_environment(), check=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    sys.exit(main())
