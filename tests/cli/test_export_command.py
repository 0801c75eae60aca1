"""Commands export and apply."""

import csv
import getpass
import io
import json
from contextlib import closing
from pathlib import Path

import pytest

from digitrec.storage.corrections import read_latest
from digitrec.storage.ledger import Ledger
from tests.conftest import RunCommand, ServiceHarness, draw


@pytest.fixture
def read(harness: ServiceHarness, tmp_path: Path) -> ServiceHarness:
    for digit in (1, 2):
        harness.drop(f"{digit}.png", draw(digit))
    harness.run()
    return harness


def table(tmp_path: Path, text: str) -> str:
    path = tmp_path / "corrections.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_export_prints_a_csv_or_writes_a_file_by_its_name(
    read: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    printed = run_command("export")
    assert printed.code == 0
    lines = list(csv.DictReader(io.StringIO(printed.out, newline="")))
    assert [line["text"] for line in lines] == ["1", "2"]

    saved = run_command("export", "--out", str(tmp_path / "all.jsonl"), "--since", "2020-01-01")
    assert saved.out == f"2 rows of 1 batch, 0 reviewed: {tmp_path / 'all.jsonl'}\n"
    assert [json.loads(line)["text"] for line in (tmp_path / "all.jsonl").read_text().splitlines()] == ["1", "2"]


@pytest.mark.slow
def test_an_impossible_export_is_reported_with_the_next_step(
    read: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    for words, hint in (
        (("--format", "xlsx"), "--out answers.xlsx"),
        (("--since", "yesterday"), "Write a day"),
        (("--out", "/dev/stdout", "--format", "csv"), "no file that can be replaced"),
        (("--out", "", "--format", "csv"), "no file that can be replaced"),
        (("--out", str(tmp_path / "all.ods")), "Use .csv, .jsonl, .xlsx, or"),
        (("--out", str(read.outbox / "all.csv")), "Name one elsewhere"),
        (("--out", str(tmp_path / "gone" / "all.csv")), "Create the folder"),
    ):
        result = run_command("export", *words)
        assert result.code == 2
        assert hint in result.err


def test_apply_takes_corrections_and_says_what_became_of_them(
    read: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    result = run_command("apply", table(tmp_path, "file,label\n1.png,7\n2.png,2\n"), "--reviewer", "ann")

    (batch,) = read.tables()
    assert result.code == 0
    corrected = read.outbox / "corrected" / batch.name
    assert result.out == f"1 confirmed, 1 corrected, 0 already known, 0 unchanged\n  {corrected}\n"
    exported = csv.DictReader(io.StringIO(run_command("export").out, newline=""))
    assert [(row["text"], row["corrected_by"]) for row in exported] == [("7", "ann"), ("2", "ann")]
    assert run_command("verify").code == 0


def test_nothing_is_applied_if_a_line_is_bad_unless_that_is_asked_for(
    read: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    lines = table(tmp_path, "file,label\n1.png,7\n" + "gone.png,2\n" * 30)

    refused = run_command("apply", lines)
    assert refused.code == 2
    assert "line 3: there is no such answer" in refused.err
    assert "and 10 more" in refused.err
    assert "30 lines" in refused.err
    with closing(Ledger.open_readonly(read.settings.ledger)) as ledger:
        assert read_latest(ledger) == {}

    skipped = run_command("apply", lines, "--skip-bad", "--reviewer", "ann")
    assert skipped.code == 0
    assert skipped.out.startswith("0 confirmed, 1 corrected, 0 already known, 0 unchanged, 30 skipped")


def test_apply_uses_the_login_name_or_asks_for_one(
    read: ServiceHarness,
    run_command: RunCommand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = table(tmp_path, "file,label\n1.png,1\n")

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    with monkeypatch.context() as patch:
        patch.setattr(getpass, "getuser", nameless)
        refused = run_command("apply", lines)
    assert refused.code == 2
    assert "--reviewer NAME" in refused.err

    monkeypatch.setenv("LOGNAME", "bob")
    assert run_command("apply", lines).code == 0
    assert run_command("export").out.count(",bob,") == 1


def test_a_table_that_is_not_there_is_wrong_usage(
    read: ServiceHarness, run_command: RunCommand, tmp_path: Path
) -> None:
    assert run_command("apply", str(tmp_path / "gone.csv")).code == 2
