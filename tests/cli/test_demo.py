"""The command demo: a workspace with sample pictures, read and explained."""

import csv
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.app import demo as app_demo
from digitrec.cli import demo as cli_demo
from digitrec.training.datasets import mnist
from digitrec.training.synthetic.pages import demo_table
from tests.conftest import read_csv
from tests.test_imports import HEAVY, imported_modules

pytestmark = pytest.mark.slow


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    from digitrec.cli import main

    monkeypatch.chdir(folder)
    monkeypatch.setenv("DIGITREC_SETTLE_S", "0")
    monkeypatch.setattr(sys, "argv", ["digitrec", "demo", *words])
    with pytest.raises(SystemExit) as end:
        main.main()
    return int(end.value.code or 0)


def test_demo_reads_samples_and_a_table_and_names_the_next_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, "tried") == 0

    printed = capsys.readouterr().out
    work = tmp_path / "tried"
    (table,) = (work / "outbox").glob("*Z-????????.csv")
    rows = {row["file"]: row for row in read_csv(table)}
    assert len(rows) == 21
    assert sum(row["status"] == "accepted" for row in rows.values()) >= 18
    assert rows["table.jpg"]["status"] == "review"
    assert f"  CSV     {table}" in printed
    assert f"  report  {work / 'reports'}" in printed
    assert f"digitrec review --workspace {work}" in printed
    assert "table.jpg, page 1; ? needs review" in printed
    assert "  31  405   62\n" in printed


def test_one_number_of_the_table_is_doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, tmp_path, "tried") == 0

    (table,) = (tmp_path / "tried" / "outbox").glob("*.numbers.csv")
    with table.open(newline="", encoding="utf-8") as file:
        numbers = [row for row in csv.DictReader(file) if row["file"] == "table.jpg"]
    assert len(numbers) == 12
    assert [(row["line"], row["column"]) for row in numbers if row["status"] == "review"] == [("3", "2")]


@pytest.mark.parametrize(("words", "folder"), [((), "digitrec-demo"), (("--workspace", "mine"), "mine"), ((".",), ".")])
def test_demo_works_in_the_folder_that_is_named(
    words: tuple[str, ...],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(app_demo, "_COUNT", 1)

    assert run(monkeypatch, tmp_path, *words) == 0

    assert len(list((tmp_path / folder / "outbox").glob("*.numbers.csv"))) == 1
    (command,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" run") or " run --" in line]
    assert ("--workspace" in command) == (folder != ".")


def test_demo_takes_the_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_demo, "_COUNT", 1)
    monkeypatch.setenv("DIGITREC_WORKSPACE", str(tmp_path / "volume"))

    assert run(monkeypatch, tmp_path) == 0

    assert list((tmp_path / "volume" / "outbox").glob("*.numbers.csv"))


def test_demo_imports_no_package_of_an_extra(tmp_path: Path) -> None:
    assert imported_modules(tmp_path, "demo", "tried", asked=(*HEAVY, "mlxtend")) == {"rich"}


@pytest.mark.parametrize(
    ("command", "active", "started", "expected"),
    [
        ("env/bin/digitrec", "env", "env/bin/digitrec", ["digitrec"]),
        ("env/bin/digitrec", "", "env/bin/digitrec", ["env/bin/digitrec"]),  # uvx
        (None, "", "env/bin/digitrec", ["env/bin/digitrec"]),
        ("elsewhere/digitrec", "", "env/bin/digitrec", ["digitrec"]),
        (None, "", "digitrec/__main__.py", ["python", "-m", "digitrec"]),
    ],
)
def test_the_next_steps_are_commands_of_this_terminal(
    command: str | None, active: str, started: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: command)
    monkeypatch.setattr(sys, "prefix", "env")
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setenv("VIRTUAL_ENV", active)

    assert cli_demo._program() == expected


def test_two_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, tmp_path, "one", "--workspace", "other") == 2
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_the_same_photo_every_time() -> None:
    digits = mnist.load_mnist_200().train
    first, text = demo_table.draw_demo_table(digits)

    assert (first, text) == demo_table.draw_demo_table(digits)
    assert text.split()[:3] == ["12", "340", "7"]
    photo = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)
    assert photo is not None
    assert photo.shape[0] > 300
