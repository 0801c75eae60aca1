"""Set up .venv for the Makefile: `python3 tools/environment.py base` for reading, `complete` for everything.

uv installs. Where it is not on the PATH, pip fetches it for the time of the set-up; where that fails, or where that uv
fails, pip installs everything. Nothing here imports digitrec or another package.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - also parsed by the Python 3.6 to 3.10 of older systems
    sys.exit(
        f"digitrec needs Python 3.11 to 3.14; {sys.executable} is {sys.version_info[0]}.{sys.version_info[1]}. "
        "Name another one, as in `make demo PYTHON=python3.12`."
    )

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
INCOMPLETE = VENV / ".incomplete"
"""Exists while packages are installed; an environment that has it is rebuilt, because a package may be incomplete."""
LATEST = {"base": (3, 14), "complete": (3, 13)}
"""Latest Python of each environment; TensorFlow has no release for Python 3.14."""
LOCKS = {
    "base": ("requirements/base.lock", "requirements/build.lock"),
    "complete": ("requirements/complete.lock",),
}
UV_LOCK = "requirements/uv.lock"
FETCHED = VENV / ".uv"
"""Folder of a uv that is there for the time of the set-up only."""
CONTENTS = {"base": "what reading needs, 0.4 GB", "complete": "everything, 2.9 GB, which takes some minutes"}
STAMPS = {"base": (".base",), "complete": (".base", ".ready")}
"""Files that the Makefile compares with the lock files; created last."""
REPORT_S = 60.0
"""Time between two lines about a command that shows no progress, seconds."""
_PIP_WITH_TARGET = 23
"""Major version of pip from which it can install for another Python."""


def main() -> int:
    """Set up the environment that the first argument names, and print a line for each step."""
    name = sys.argv[1]
    check_version(name)
    program = shutil.which("uv")
    try:
        if not PYTHON.exists() or INCOMPLETE.exists():
            version = ".".join(map(str, sys.version_info[:3]))
            report(1, f"Creating {VENV} with Python {version} and {'uv' if program else 'pip'}")
            create(program)
        INCOMPLETE.touch()
        report(2, f"Installing {CONTENTS[name]}")
        locks = [word for lock in LOCKS[name] for word in ("-r", lock)]
        program = install_packages(program, "--require-hashes", *locks)
        report(3, "Installing digitrec")
        install(program, "--no-deps", "--no-build-isolation", "-e", ".")
    except subprocess.CalledProcessError as error:
        print(f"The set-up failed in `{' '.join(map(str, error.cmd))}`; run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run the same command again.", file=sys.stderr)
        return 130
    shutil.rmtree(FETCHED, ignore_errors=True)
    INCOMPLETE.unlink()
    for stamp in STAMPS[name]:
        (VENV / stamp).touch()
    return 0


def check_version(name: str) -> None:
    """Exit with one line if the Python of .venv, or else this one, is too new for an environment."""
    is_new = not PYTHON.exists() or INCOMPLETE.exists()
    version = sys.version_info[:2] if is_new else read_version()
    if version <= LATEST[name]:
        return
    python = next((f"python3.{minor}" for minor in (13, 12, 11) if shutil.which(f"python3.{minor}")), "python3.13")
    reason = "TensorFlow has no release for it" if name == "complete" else "its packages have no releases for it"
    first = "" if is_new else "`make clean`, then "
    sys.exit(
        f"Python {version[0]}.{version[1]} cannot be used: {reason}. "
        f"Name an earlier one: {first}`make PYTHON={python}` with the same target."
    )


def read_version() -> tuple[int, int]:
    """Return the version of .venv's Python."""
    code = "import sys; print(*sys.version_info[:2])"
    printed = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, printed.split())
    return major, minor


def create(uv: str | None) -> None:
    """Create .venv, in place of one that is there."""
    if uv:
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV)
    else:
        run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)


def install_packages(uv: str | None, *words: str) -> str | None:
    """Install packages with uv, if need be one that is fetched, else with pip; return the uv that did it, if any.

    A fetched uv takes a fifth of pip's time. It can fail where pip does not: it does not read the configuration of pip.
    """
    if uv:
        install(uv, *words)
        return uv
    try:
        install(None, "--only-binary", ":all:", "--target", str(FETCHED), "--require-hashes", "-r", UV_LOCK)
        fetched = str(FETCHED / "bin" / "uv")
        install(fetched, *words)
    except (subprocess.CalledProcessError, OSError):
        print("uv cannot be used here; pip installs, which takes longer", flush=True)
        install(None, *words)
        return None
    return fetched


def install(uv: str | None, *words: str) -> None:
    """Install packages and compile their bytecode; into .venv, if no other folder is named."""
    if uv:
        quiet = () if sys.stderr.isatty() else ("--quiet",)  # its progress bars are for a terminal
        run(uv, "pip", "install", *quiet, "--compile-bytecode", "--python", PYTHON, *words)
        return
    # A pip in .venv would cost a fifth of the time for reading alone.
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", PYTHON]
    if not has_pip():
        if not any(VENV.glob("lib/python*/site-packages/pip")):
            run(PYTHON, "-m", "ensurepip", "--default-pip")
        pip = [PYTHON, "-m", "pip"]
    run(*pip, "install", "--quiet", "--disable-pip-version-check", *words)


def has_pip() -> bool:
    """Return whether this Python has a pip that can install for another one."""
    from importlib.metadata import PackageNotFoundError, version  # not before the check: Python 3.7 lacks it

    try:
        return int(version("pip").partition(".")[0]) >= _PIP_WITH_TARGET
    except PackageNotFoundError:
        return False


def run(*words: "str | Path") -> None:
    """Run a command without its output but errors and progress; raise CalledProcessError if it fails.

    A command that shows no progress is reported once a minute.
    """
    started_s = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                process.wait(REPORT_S)
            except subprocess.TimeoutExpired:
                if "--quiet" in words:
                    print(f"      still installing after {time.monotonic() - started_s:.0f} s", flush=True)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)


def report(step: int, text: str) -> None:
    """Print the line of a step at once."""
    print(f"[{step}/3] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
