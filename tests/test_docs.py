"""What the README says is what the program does."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from digitrec import results
from digitrec.cli import cli
from digitrec.errors import BusyError, EnvironmentFailure, ModelError, UsageError
from digitrec.records import Reason
from digitrec.settings import default_of, knobs
from tests.conftest import in_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARKS = ("<!-- settings -->\n", "<!-- /settings -->")


def settings_table() -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for knob in knobs():
        default = default_of(knob)
        shown = (
            "" if default in (None, Path()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        limits = [f"`{one}`" for one in knob.metadata["choices"]]
        if knob.metadata["low"] is not None:
            limits = [f"{knob.metadata['low']:,} to {knob.metadata['high']:,}"]
        more = f" ({' or '.join(limits)})" if limits else ""
        lines.append(f"| `{knob.name}` | {shown} | {knob.metadata['help']}{more} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_settings_is_the_one_in_the_code() -> None:
    start, end = (README.index(mark) for mark in MARKS)

    assert README[start + len(MARKS[0]) : end] == settings_table(), settings_table()


def test_every_command_is_named_and_every_named_command_exists() -> None:
    program = typer.main.get_command(cli)
    named = set(re.findall(r"^\| `digitrec ([a-z]+)`", README, re.MULTILINE))

    assert named == set(program.commands)  # type: ignore[attr-defined]


def test_every_command_has_help_and_an_example() -> None:
    program = typer.main.get_command(cli)
    commands = dict(program.commands)  # type: ignore[attr-defined]
    commands |= {f"models {name}": one for name, one in commands.pop("models").commands.items()}
    for name, command in commands.items():
        assert command.help, name
        assert (command.epilog or "").startswith(f"Example: digitrec {name}"), name


def test_every_column_reason_and_exit_code_is_explained() -> None:
    for word in (*results.COLUMNS, *Reason):
        assert f"`{word}`" in README, word
    for code in (UsageError.exit_code, EnvironmentFailure.exit_code, BusyError.exit_code, ModelError.exit_code):
        assert f"\n| {code} |" in README, code


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]

    assert lines
    for line in lines:
        assert in_folder(tmp_path, *shlex.split(line)[1:]).returncode == 0, line
    assert list((tmp_path / "outbox").glob("*Z-????????.csv"))


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "jobs" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_make_target_is_listed_and_every_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)) == targets
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_every_promise_names_tests_that_exist() -> None:
    promises = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promises)

    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
