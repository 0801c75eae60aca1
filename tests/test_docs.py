"""README and docs match the program; see test_examples for examples, test_reference for the reference."""

import re
from pathlib import Path

import typer

import digitrec
from digitrec.cli.main import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_named_and_every_named_command_exists() -> None:
    program = typer.main.get_command(cli)
    named = set(re.findall(r"^\| `digitrec ([a-z]+)`", README, re.MULTILINE))

    commands = program.commands.items()  # type: ignore[attr-defined]
    assert named == {name for name, command in commands if not command.hidden}
    assert len(named) == 23


def test_every_command_has_help_and_an_example() -> None:
    program = typer.main.get_command(cli)
    commands = dict(program.commands)  # type: ignore[attr-defined]
    commands |= {f"models {name}": command for name, command in commands.pop("models").commands.items()}
    for name, command in commands.items():
        assert command.help, name
        present = name if not command.hidden else "status --"
        assert (command.epilog or "").startswith(f"Example: digitrec {present}"), name


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "jobs" / "README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_make_target_is_listed_and_every_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)) == targets
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_the_newest_heading_of_the_changelog_is_this_version() -> None:
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert heading is not None
    assert heading[1].rstrip(",") == digitrec.__version__.partition(".dev")[0]


def test_the_changelog_groups_changes_by_kind() -> None:
    versions = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]

    for version in versions:
        kinds = re.findall(r"^### (.+)", version, re.MULTILINE)
        assert kinds == [kind for kind in ("Added", "Changed", "Removed", "Fixed") if kind in kinds], version[:30]
        assert version.split("\n")[2].startswith("### "), version[:30]


def test_every_guarantee_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "dev" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)

    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
