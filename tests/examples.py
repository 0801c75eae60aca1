"""The examples in the documentation: found, checked, and run as a person would type them."""

import io
import logging
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from digitrec.cli import main as program

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<remark>[^>]*) -->\n+(?P=indent))?```(?P<kind>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_SETUP = re.compile(r"^<!-- setup: (.*?) -->$", re.MULTILINE)
_SHELL = re.compile(r"[|<>&;$`*]")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    kind: str
    body: str
    not_run: str
    """Why its commands cannot be run here; empty if they are."""

    @property
    def lines(self) -> list[str]:
        """What is typed: of a transcript the lines after `$`, of a script all but comments."""
        if self.kind == "console":
            return [line[2:] for line in self.body.splitlines() if line.startswith("$ ")]
        whole = self.body.replace("\\\n", " ")
        return [line for line in whole.splitlines() if line.strip() and not line.startswith("#")]

    @property
    def transcript(self) -> list[tuple[str, str]]:
        """Each line that is typed, with what is shown as its answer."""
        parts = re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]
        return [(line, answer) for line, _, answer in (part.partition("\n") for part in parts)]


def pages() -> list[str]:
    """Every page with prose, by its path in the repository."""
    found = [ROOT / "README.md", ROOT / "jobs" / "README.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found = _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))
    return [
        Block(page, each["kind"], textwrap.dedent(each["body"]), (each["remark"] or "").removeprefix("not run: "))
        for each in found
    ]


def setup_of(page: str) -> list[str]:
    """What has to be typed before the examples of a page, and is not shown."""
    return _SETUP.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(line: str) -> Iterator[list[str]]:
    """The calls of digitrec in a line, each as the words after `digitrec`."""
    for part in re.split(r"&&|\|", line):
        words = shlex.split(part, comments=True)
        places = [at for at, word in enumerate(words) if word == "digitrec" or word.endswith("/bin/digitrec")]
        if not places or words[1:2] == ["build"]:
            continue
        if words[0] in {"podman", "docker", "sudo"}:  # after the names of image, container and user
            place = places[-1]
        elif places[0] == 0:
            place = 0
        else:
            continue  # a folder or a user of that name
        if len(words) > place + 1:
            yield [word for word in words[place + 1 :] if not re.match(r"\d?>", word)]


def require_parses(words: list[str]) -> None:
    """Fail if the program does not take these words; a file that is not there is no fault."""
    command: Any = typer.main.get_command(program.cli)
    name = "digitrec"
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            break
        assert words[0] in command.commands, f"{name} {words[0]}"
        name, command, words = f"{name} {words[0]}", command.commands[words[0]], words[1:]
    try:
        command.make_context(name, list(words))
    except typer.Exit:
        return  # --help and --version
    except typer.BadParameter as why:
        assert "does not exist" in str(why), f"{name} {' '.join(words)}: {why}"  # noqa: PT017 - it may pass as well


def typed(line: str, folder: Path) -> tuple[int, str]:
    """Do what a person does who types this line there; gives the exit code, and what is printed.

    A plain call of digitrec is made in this process, for speed; anything else by a shell.
    """
    words = [] if _SHELL.search(line.partition("#")[0]) else shlex.split(line, comments=True)
    if words[:1] == ["digitrec"]:
        return _called(words)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def _called(words: list[str]) -> tuple[int, str]:
    code, before, handlers = 0, sys.argv, logging.getLogger("digitrec").handlers[:]
    sys.argv = words
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            program.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
        logging.getLogger("digitrec").handlers[:] = handlers
    shown = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return code, shown if code == 0 else shown + errors.getvalue()


def alike(shown: str, printed: str) -> bool:
    """Whether what a page shows is what was printed; `...` stands for anything, and what differs each time may differ.

    >>> alike("12 files: 10 accepted\\n...\\na.png ... 0.98\\n", "12 files: 9 accepted\\nb\\na.png 7 0.97\\n")
    True
    >>> alike("1 file\\n", "2 files\\n")
    False
    """
    lines = (re.escape(_plain(line)).replace(r"\.\.\.", ".*") for line in shown.splitlines())
    pattern = "".join("(?:.*\n)*?" if line == ".*" else f"{line}\n" for line in lines)
    return re.fullmatch(pattern, "".join(f"{_plain(line)}\n" for line in printed.splitlines())) is not None


def _plain(line: str) -> str:
    for pattern, word in (
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "BATCH"),
        (r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?", "TIME"),
        (r"\b(mlp|cnn|paper)-[0-9a-f]{10}", "MODEL"),
        (r"\b[0-9a-f]{16,64}\b", "DIGEST"),
        (r"\b\d+\.\d+", "FRACTION"),
        (r"\b\d+ (accepted|confirmed|corrected|(?:to )?review)", r"SOME \1"),
        (r"\d+ s ago", "BEFORE"),
        (r" +", " "),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()
