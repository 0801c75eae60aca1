"""Lost tables of finished batches are written again from the ledger, byte by byte as they were."""

from contextlib import closing
from pathlib import Path

import pytest

from digitrec.pipeline.archive import FolderOutbox
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import ReviewMethod
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from tests.conftest import RunCommand, ServiceHarness, draw

UNKNOWN = "20260102T030405Z-00000000"


def content(harness: ServiceHarness) -> dict[str, bytes]:
    """Every table in the outbox, by name."""
    paths = [*harness.outbox.glob("*.csv"), *harness.outbox.glob("corrected/*.csv")]
    return {path.relative_to(harness.outbox).as_posix(): path.read_bytes() for path in paths}


def lose(harness: ServiceHarness, *names: str) -> None:
    for name in names:
        (harness.outbox / name).unlink()


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Two batches, the first one with a table of a finished review, in the profile for Excel."""
    harness.set(csv_profile="excel")
    harness.drop("ü=7.png")
    harness.drop("bad.png", b"this is no picture")
    harness.run()
    (first,) = harness.tables()
    with closing(Ledger.open_shared(harness.settings.ledger)) as ledger:
        rows = [row for row in ledger.rows(first.stem) if row.reading.text]
        judgements = [Judgement(first.stem, row.row, "1", 0) for row in rows]
        record_judgements(
            ledger, judgements, reviewer="ann", method=ReviewMethod.ONE, reviewed_at="2026-01-03T10:00:00.000Z"
        )
        assert write_corrected_table(harness.outbox, ledger, first.stem) is not None
    harness.set(csv_profile="plain")
    harness.now_s += 10
    harness.drop("3.png", draw(3))
    harness.run()
    (harness.outbox / "latest.csv").write_bytes(b"as it was")
    assert len(content(harness)) == 9
    return harness


@pytest.mark.slow
def test_every_lost_table_is_rewritten_and_listed(read: ServiceHarness, run_command: RunCommand) -> None:
    before = content(read)
    lost = sorted(set(before) - {"latest.csv"})
    lose(read, *lost)
    assert len(read.account().discrepancies) == 8

    done = run_command("verify", "--rebuild", "--tables")

    assert done.code == 0
    assert content(read) == before
    listed = [line.removeprefix("written again: ") for line in done.out.splitlines() if "written again" in line]
    assert sorted(listed) == lost
    assert read.account().discrepancies == ()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".digits.csv", ".numbers.csv"])
def test_a_lost_table_is_rewritten_and_others_stay(read: ServiceHarness, run_command: RunCommand, suffix: str) -> None:
    before = content(read)
    newest = read.tables()[-1]
    lose(read, f"{newest.stem}{suffix}")
    inodes = {path: path.stat().st_ino for path in read.outbox.glob("*.csv")}

    done = run_command("verify", "--rebuild", "--tables", "--json")

    assert done.json["tables_written"] == [f"{newest.stem}{suffix}"]
    assert done.json["differences"] == []
    assert content(read) == before
    assert {path: path.stat().st_ino for path in inodes} == inodes


@pytest.mark.slow
def test_only_named_batches_get_their_tables(read: ServiceHarness, run_command: RunCommand) -> None:
    first, second = (path.stem for path in read.tables())
    before = content(read)
    lose(read, f"{first}.csv", f"{second}.csv")

    done = run_command("verify", "--rebuild", "--tables", second, second)

    assert done.code == 1
    assert f"{first}.csv is missing" in done.out
    assert content(read) == {name: data for name, data in before.items() if name != f"{first}.csv"}
    assert run_command("verify", "--rebuild", "--tables", first, second).code == 0
    assert content(read) == before


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--rebuild",)])
def test_no_table_is_written_without_the_option(
    read: ServiceHarness, run_command: RunCommand, words: tuple[str, ...]
) -> None:
    lose(read, read.tables()[0].name)
    before = content(read)

    assert run_command("verify", *words).code == 1
    assert content(read) == before


def test_an_edited_table_stays_and_is_reported(read: ServiceHarness, run_command: RunCommand) -> None:
    read.tables()[0].write_bytes(b"edited")
    before = content(read)

    done = run_command("verify", "--rebuild", "--tables")

    assert done.code == 1
    assert "differs from the ledger" in done.out
    assert "written again" not in done.out
    assert content(read) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tables",), "--tables goes with --rebuild"),
        ((UNKNOWN,), "a BATCH goes with --rebuild --tables"),
        (("--rebuild", UNKNOWN), "a BATCH goes with --rebuild --tables"),
        (("--rebuild", "--tables", UNKNOWN), f"batch {UNKNOWN} is in no ledger"),
        (("--rebuild", "--tables", "../x\udcff\n"), "batch ../x%FF%0A is in no ledger"),
    ],
)
def test_a_wrong_call_ends_with_2_and_writes_nothing(
    read: ServiceHarness, run_command: RunCommand, words: tuple[str, ...], message: str
) -> None:
    lose(read, read.tables()[0].name)
    before = content(read)

    done = run_command("verify", *words)

    assert (done.code, content(read)) == (2, before)
    assert message in done.err


@pytest.mark.slow
def test_a_batch_without_ledger_and_table_is_reported(read: ServiceHarness, run_command: RunCommand) -> None:
    first = read.tables()[0]
    lose(read, first.name)
    for path in read.settings.ledger.parent.glob("ledger.sqlite3*"):
        path.unlink()

    done = run_command("verify", "--rebuild", "--tables")

    assert done.code == 1
    assert f"outbox/done/{first.stem} is in no ledger" in done.out
    assert run_command("verify", "--rebuild", "--tables", first.stem).code == 2


def test_an_unfinished_batch_gets_no_table(
    harness: ServiceHarness, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipeline.test_crash import PowerCut, cut

    harness.drop("7.png")
    with monkeypatch.context() as patch:
        cut(patch, FolderOutbox, "publish", call=1, after=False)
        with pytest.raises(PowerCut):
            harness.run()
    (batch,) = (path.name for path in (harness.inbox / ".claimed" / "main").iterdir() if path.is_dir())

    assert run_command("verify", "--rebuild", "--tables").code == 0
    named = run_command("verify", "--rebuild", "--tables", batch)

    assert (named.code, content(harness)) == (2, {})
    assert f"batch {batch} is not closed yet" in named.err


def test_an_unmounted_outbox_gets_no_table(read: ServiceHarness, run_command: RunCommand, tmp_path: Path) -> None:
    read.outbox.rename(tmp_path / "away")
    read.outbox.mkdir()

    done = run_command("verify", "--rebuild", "--tables")

    assert done.code == 74
    assert list(read.outbox.iterdir()) == []


def test_a_batch_in_a_workspace_without_a_ledger_is_refused(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.inbox.rmdir()

    assert run_command("verify", "--rebuild", "--tables").code == 0
    assert run_command("verify", "--rebuild", "--tables", UNKNOWN).code == 2
    assert list(harness.root.iterdir()) == []
