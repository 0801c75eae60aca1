"""README and docs match the program; see test_examples for examples, test_reference for the reference."""

import re
from pathlib import Path

import typer

import digitrec
from digitrec.cli.main import cli
from digitrec.models.package import ModelPackage

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_named_and_every_named_command_exists() -> None:
    program = typer.main.get_command(cli)
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^## digitrec ([a-z]+)", reference, re.MULTILINE))

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
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == targets
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets


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


def test_the_user_guide_has_at_most_14_pages_and_15000_words() -> None:
    guide = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]

    assert len(guide) <= 14
    assert sum(len(text.split()) for text in guide) <= 15_000


def test_figures_of_the_readme_are_those_of_the_accuracy_page() -> None:
    accuracy = (ROOT / "docs" / "dev" / "accuracy.md").read_text(encoding="utf-8")
    row = re.search(r"^\| digitrec \| (\S+ %) \| \S+ % \((\d+)\) \| (\S+ %) \|", README, re.MULTILINE)
    photos = re.search(
        r"^\| 457 phone photos and scans \| (\S+ %) \|.*?\| (\S+ %) \| (?:0|\S+ % \((\d+)\)) \|", accuracy, re.MULTILINE
    )

    assert row is not None
    assert photos is not None
    assert (row[1], row[3], row[2]) == (photos[1], photos[2], photos[3] or "0")


def test_documented_thresholds_are_those_of_the_shipped_model() -> None:
    thresholds = ModelPackage.open(ROOT / "digitrec" / "models" / "shipped").thresholds(0.005)

    for page in ("confidence.md", "dev/accuracy.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        documented = set(re.findall(r"\b0\.\d{6}\b", text))
        assert documented == {f"{thresholds.digit:.6f}", f"{thresholds.number:.6f}"}, page
