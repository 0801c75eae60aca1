"""Find, check and run the examples of the documentation."""

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
    """Why its commands cannot run here; empty if they can."""
    needs: tuple[str, ...] = ()
    """Packages that are not part of digitrec; the block runs where they are installed."""

    @property
    def lines(self) -> list[str]:
        """Return the typed lines: of a transcript those after `$`, of a script all but comments."""
        if self.kind == "console":
            return [line[2:] for line in self.body.splitlines() if line.startswith("$ ")]
        script = self.body.replace("\\\n", " ")
        return [line for line in script.splitlines() if line.strip() and not line.startswith("#")]

    @property
    def transcript(self) -> list[tuple[str, str]]:
        """Return each typed line with its output."""
        parts = re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]
        return [(line, answer) for line, _, answer in (part.partition("\n") for part in parts)]


def pages() -> list[str]:
    """Return every page with prose, by its path in the repository."""
    paths = [ROOT / "README.md", ROOT / "jobs" / "README.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    matches = _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))
    return [_make_block(page, match) for match in matches]


def _make_block(page: str, match: re.Match[str]) -> Block:
    remark, body = match["remark"] or "", textwrap.dedent(match["body"])
    if remark.startswith("needs: "):
        return Block(page, match["kind"], body, "", tuple(remark.removeprefix("needs: ").split(", ")))
    return Block(page, match["kind"], body, remark.removeprefix("not run: "))


def setup_of(page: str) -> list[str]:
    """Return the commands that run before the examples of a page and are not shown."""
    return _SETUP.findall((ROOT / page).read_text(encoding="utf-8"))


def commands(line: str) -> Iterator[list[str]]:
    """Return the calls of digitrec in a line, each as the words after `digitrec`."""
    for part in re.split(r"&&|\|", line):
        words = shlex.split(part, comments=True)
        positions = [at for at, word in enumerate(words) if word == "digitrec" or word.endswith("/bin/digitrec")]
        if not positions or words[1:2] == ["build"]:
            continue
        if words[0] in {"podman", "docker", "sudo"}:  # after the names of image, container and user
            position = positions[-1]
        elif positions[0] == 0:
            position = 0
        else:
            continue  # a folder or a user of that name
        if len(words) > position + 1:
            yield [word for word in words[position + 1 :] if not re.match(r"\d?>", word)]


def require_parses(words: list[str]) -> None:
    """Fail if the program does not accept these words; a missing file is accepted."""
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


def run_line(line: str, folder: Path) -> tuple[int, str]:
    """Run a line in a folder; return the exit code and the output.

    A plain call of digitrec runs in this process, for speed; other lines run in a shell.
    """
    words = [] if _SHELL.search(line.partition("#")[0]) else shlex.split(line, comments=True)
    if words[:1] == ["digitrec"]:
        return _call(words)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    return process.returncode, process.stdout if process.returncode == 0 else process.stdout + process.stderr


def _call(words: list[str]) -> tuple[int, str]:
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
    output = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return code, output if code == 0 else output + errors.getvalue()


def matches_output(example: str, printed: str) -> bool:
    """Return whether the output of a page matches the real one.

    `...` matches anything, ids and times match any others, and a fraction matches one that differs by at most 0.01.

    >>> matches_output("3 files: 1 accepted\\n...\\na.png ... 0.98\\n", "3 files: 1 accepted\\nb\\na.png 7 0.975\\n")
    True
    >>> matches_output("12 files: 10 accepted\\n", "12 files: 9 accepted\\n")
    False
    >>> matches_output("a.png 0.98\\n", "a.png 0.93\\n")
    False
    """
    lines = (re.escape(_mask(line)).replace(r"\.\.\.", ".*") for line in example.splitlines())
    pattern = "".join("(?:.*\n)*?" if line == ".*" else f"{line}\n" for line in lines)
    pattern = re.sub(r"\d+\\\.\d+", r"(\\d+\\.\\d+)", pattern)
    match = re.fullmatch(pattern, "".join(f"{_mask(line)}\n" for line in printed.splitlines()))
    expected = re.findall(r"\d+\.\d+", "".join(f"{_mask(line)}\n" for line in example.splitlines()))
    return match is not None and all(
        abs(float(value) - float(target)) <= 0.01 for value, target in zip(match.groups(), expected, strict=True)
    )


def _mask(line: str) -> str:
    for pattern, word in (
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "BATCH"),
        (r"\d{4}-\d\d-\d\d(T[\d:.]+Z)?", "TIME"),
        (r"\b(mlp|cnn|paper)-[0-9a-f]{10}", "MODEL"),
        (r"\b[0-9a-f]{16,64}\b", "DIGEST"),
        (r"\d+ s ago", "BEFORE"),
        (r" +", " "),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()
