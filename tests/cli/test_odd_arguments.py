"""Any argument of a command gives an exit code of the contract and a plain line, never a traceback."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from digitrec.cli import main
from tests.conftest import RunCommand, ServiceHarness, draw

pytestmark = pytest.mark.slow

CODES = {0, 1, 2, 3, 74, 75, 78}
ODD = (
    "",
    "b\udcff\udc80.png",
    "a\n\x1b[31mred\x07.png",
    "\u202ecba.png",
    "x" * 300,
    "../outside.png",
    "%FF%00",
    "~nobody-here",
    "20260102T030405Z-00000000",
    "20260102T030405Z-00000000/9999999999",
    "deadbeef",
    "nan",
)
TABLE = (
    "run --run-retry-s=0 --run-wait-s=0 --model={}",
    "run --run-retry-s=0 --run-wait-s=0 --labels={}",
    "run --run-retry-s=0 --on-batch={} --dry-run",
    "run --run-retry-s=0 --source={} --outbox=memory://out",
    "watch --worker={}/",
    "predict {}",
    "predict inbox/9.png --model={}",
    "predict none.png --explain={}",
    "demo table.csv/{}",
    "report --batch={}",
    "verify {}",
    "verify --rebuild --tables {}",
    "init --worker={}",
    "config --state-dir={}",
    "config --scheduler={}",
    "train --data=nothing:{}",
    "evaluate --data=nothing:{}",
    "explore --data=nothing:{}",
    "calibrate --data=nothing:{}",
    "samples --data=nothing:{}",
    "export --out={}",
    "export --since={}",
    "apply {}",
    "apply table.csv --reviewer={}",
    "status --model={}",
    "health --max-wait-s={}",
    "metrics --worker={}",
    "doctor --model={}",
    "why {}",
    "requeue {}",
    "requeue --batch={}",
    "requeue --reason={}",
    "requeue --worker={}",
    "prune --older-than={}",
    "review --port={}",
    "serve --port={}",
    "models list --state-dir={}",
    "models show {}",
    "models promote {}",
    "models rollback --state-dir={}",
)


def commands(group: object = None, prefix: str = "") -> Iterator[str]:
    """Every command of the program."""
    group = typer.main.get_command(main.cli) if group is None else group
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def test_the_table_has_every_command() -> None:
    assert {name for name in commands() if not any(line.startswith(f"{name} ") for line in TABLE)} == set()


@pytest.fixture
def read(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> ServiceHarness:
    """A workspace with an answered batch and a file that waits, as the current folder."""
    harness.drop("7.png")
    harness.run()
    harness.drop("9.png", draw(9))
    (harness.root / "table.csv").write_text("file,text\n7.png,7\n")
    monkeypatch.chdir(harness.root)
    return harness


@pytest.mark.parametrize("line", TABLE)
def test_odd_arguments_end_with_a_code_of_the_contract_and_no_traceback(
    read: ServiceHarness, run_command: RunCommand, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = read.account()
    for odd in ODD:
        words = [word.replace("{}", odd) for word in line.split()]

        result = run_command(*words)

        assert result.code in CODES, (words, result)
        for text in (result.out, result.err):
            assert "Traceback" not in text, words
            assert "[Errno" not in text, words
            assert text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable(), (words, text)
    assert read.account().discrepancies == account.discrepancies


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\n\x1b[31mred"], ids=["undecodable", "control"])
@pytest.mark.parametrize(
    "command", ["init", "run", "status", "doctor", "verify", "report", "export", "config", "samples", "demo"]
)
def test_a_workspace_of_any_name_is_worked_in(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: bytes, command: str
) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    quick = {"run": ["--run-wait-s", "0"], "samples": ["--count", "1"]}

    result = run_command(command, *quick.get(command, []), workspace=folder)

    assert result.code == 0
    assert (result.out + result.err).replace("\n", "").replace("\r", "").isprintable()
