"""The Containerfile, taken apart: for a test of its parts, and for `tools.release`, which runs its steps."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "deploy" / "Containerfile"
SOURCE, TARGET = "/src", "/opt/digitrec"
"""Where the first stage works, and what the second one takes over."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction."""

    stage: int
    """From 1; 0 before the first FROM."""
    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The value as words: of the exec form (JSON), else split at spaces, without options."""
        if self.value.startswith("["):
            return [str(word) for word in json.loads(self.value)]
        return [word for word in self.value.split() if not word.startswith("--")]


def steps(text: str) -> list[Step]:
    r"""The instructions of a Containerfile, continued lines joined.

    >>> [(one.stage, one.name, one.words) for one in steps("FROM a AS b\n# why\nENV X=1 \\\n    Y=2\nCMD [\"run\"]")]
    [(1, 'FROM', ['a', 'AS', 'b']), (1, 'ENV', ['X=1', 'Y=2']), (1, 'CMD', ['run'])]
    """
    result: list[Step] = []
    stage = 0
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n", " ", plain).splitlines():
        name, _, value = line.strip().partition(" ")
        stage += name == "FROM"
        if name:
            result.append(Step(stage, name, value.strip()))
    return result


def install(home: Path, python: Path) -> Path:
    """Do what the first stage does, in a folder that stands for its machine; gives the Python it made.

    Args:
        home: an empty folder.
        python: stands for the base image's; has pip, and may be written to.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    source, target = home / "src", home / "opt" / "digitrec"
    source.mkdir(parents=True)
    for step in (step for step in steps(FILE.read_text(encoding="utf-8")) if step.stage == 1):
        if step.name == "COPY":
            _copy(step.words[:-1], source)
        elif step.name == "RUN":
            _run(step.value.replace(TARGET, str(target)).replace(SOURCE, str(source)), source, python)
    return target / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that would change which Python or settings are used."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DIGITREC", "VIRTUAL"))}


def _copy(names: Sequence[str], folder: Path) -> None:
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)


def _run(line: str, folder: Path, python: Path) -> None:
    """A RUN line, as the engine would run it: by /bin/sh, with the base image's programs first."""
    plain = clean_environment()
    path = f"{python.parent}{os.pathsep}{plain['PATH']}"
    subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=plain | {"PATH": path}, check=True)
