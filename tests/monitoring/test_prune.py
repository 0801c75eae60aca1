"""Prune removes old originals and reports; tables, foreign files and unpublished batches stay."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.monitoring import maintenance
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import removals
from digitrec.storage.ledger import Ledger
from tests.conftest import RunCommand, ServiceHarness, draw
from tests.pipeline.test_crash import PowerCut, cut

pytestmark = pytest.mark.slow

NOW = "2026-06-01T00:00:00.000Z"
DAY_S = 86_400.0


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Workspace with a batch of 100 days ago, and one of 10 days ago."""
    harness.now_s -= 100 * DAY_S
    harness.drop("old/7.png", draw(7))
    harness.drop("old.bad", b"no picture")
    harness.run()
    harness.now_s += 90 * DAY_S
    harness.drop("new.png", draw(8))
    harness.run()
    harness.now_s += 10 * DAY_S
    return harness


def choose(harness: ServiceHarness, keep: str = "90d") -> list[maintenance.PruneCandidate]:
    with open_ledgers(harness.settings) as ledgers:
        return maintenance.select(harness.settings, ledgers, maintenance.parse_age_s(keep), harness.now_s)


def remove(harness: ServiceHarness, keep: str = "90d") -> list[maintenance.PruneCandidate]:
    return list(maintenance.prune(harness.settings, choose(harness, keep), NOW))


def outbox(harness: ServiceHarness) -> set[str]:
    return {path.relative_to(harness.outbox).as_posix() for path in harness.outbox.rglob("*") if path.is_file()}


def batch_of(harness: ServiceHarness, file: str) -> str:
    return next(row["batch_id"] for row in harness.rows() if row["file"] == file)


def test_prune_removes_old_originals_reasons_and_reports_but_no_tables(read: ServiceHarness) -> None:
    old, new = batch_of(read, "old.bad"), batch_of(read, "new.png")
    tables = {path.name: path.read_bytes() for path in read.outbox.glob("*.csv")}

    (done,) = remove(read)

    assert (done.batch_id, len(done.claims)) == (old, 2)
    assert done.original_bytes == len(draw(7)) + len(b"no picture")
    assert {path.name: path.read_bytes() for path in read.outbox.glob("*.csv")} == tables
    assert read.originals() == {"new.png": draw(8)}
    assert not (read.outbox / "done" / old).exists()
    assert not (read.outbox / "rejected" / old).exists()
    assert [(read.root / "reports" / batch_id).exists() for batch_id in (old, new)] == [False, True]
    assert done.report_bytes > 0


def test_pruned_originals_are_accounted_for(read: ServiceHarness) -> None:
    remove(read)

    account = read.account()
    assert account.discrepancies == ()
    assert "main: 2 originals pruned; accounted for" in account.notes
    assert account.count.claimed == 3


def test_a_rebuilt_ledger_accounts_for_pruned_originals(read: ServiceHarness) -> None:
    remove(read)
    shutil.rmtree(read.settings.ledger.parent)

    read.run()

    assert read.account().discrepancies == ()
    assert "main: 2 originals pruned; accounted for" in read.account().notes


def test_prune_removes_no_other_files(read: ServiceHarness) -> None:
    old = batch_of(read, "old.bad")
    stranger = read.outbox / "done" / old / "old" / "notes.txt"
    stranger.write_text("mine")
    altered = read.outbox / "rejected" / old / "old.bad"
    altered.write_bytes(b"put right by hand")

    (done,) = remove(read)

    assert [claim.path for claim in done.claims] == ["old/7.png"]
    assert done.modified == (f"outbox/rejected/{old}/old.bad",)
    assert (stranger.read_text(), altered.read_bytes()) == ("mine", b"put right by hand")


def test_originals_without_their_published_table_stay(read: ServiceHarness) -> None:
    before = read.originals() | read.originals("rejected")
    (read.outbox / f"{batch_of(read, 'old.bad')}.csv").unlink()

    assert remove(read) == []
    assert read.originals() | read.originals("rejected") == before


def test_open_batches_stay(read: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    read.drop("9.png", draw(9))
    with monkeypatch.context() as patch:
        cut(patch, ServiceHarness, "report_now", call=1, after=False)
        with pytest.raises(PowerCut):
            read.run()
    read.now_s += 1000 * DAY_S

    assert read.account().open_batches[0] not in {batch.batch_id for batch in choose(read)}
    assert len(choose(read)) == 2


def test_a_link_in_place_of_an_original_or_report_is_not_followed(read: ServiceHarness) -> None:
    old = batch_of(read, "old.bad")
    original = read.outbox / "done" / old / "old" / "7.png"
    original.unlink()
    original.symlink_to(read.root / "inbox")
    report = read.root / "reports" / old
    shutil.rmtree(report)
    (read.root / "precious").mkdir()
    report.symlink_to(read.root / "precious")

    (done,) = remove(read)

    assert done.modified == (f"outbox/done/{old}/old/7.png",)
    assert (original.is_symlink(), report.is_symlink(), (read.root / "precious").is_dir()) == (True, True, True)


def test_requeued_originals_are_not_reported_missing(read: ServiceHarness) -> None:
    from digitrec.monitoring import maintenance

    with open_ledgers(read.settings) as ledgers:
        chosen = maintenance.select_claims(read.settings, ledgers, queries=["old.bad"])
    list(maintenance.requeue(read.settings, chosen, NOW))

    (done,) = remove(read)

    assert [claim.path for claim in done.claims] == ["old/7.png"]
    assert (read.inbox / "old.bad").read_bytes() == b"no picture"
    assert read.account().discrepancies == ()


def test_a_second_prune_removes_no_more(read: ServiceHarness) -> None:
    remove(read)

    assert choose(read) == []


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "step",
    [(Ledger, "record_removals"), (removals, "record_removals"), (Path, "unlink"), (maintenance.shutil, "rmtree")],
    ids=str,
)
def test_a_power_cut_while_pruning_leaves_a_correct_ledger(
    read: ServiceHarness, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], after: bool, call: int
) -> None:
    with monkeypatch.context() as patch:
        cut(patch, *step, call=call, after=after)
        with pytest.raises(PowerCut):
            remove(read, "1d")
    assert read.account().discrepancies == ()

    remove(read, "1d")

    assert read.originals() | read.originals("rejected") == {}
    assert read.account().discrepancies == ()


def test_a_missing_outbox_is_not_pruned(read: ServiceHarness) -> None:
    chosen = choose(read)
    read.outbox.rename(read.root / "away")

    with pytest.raises(EnvironmentFailure):
        list(maintenance.prune(read.settings, chosen, NOW))

    assert not read.outbox.exists()


def test_prune_without_yes_only_lists_the_batches(read: ServiceHarness, run_command: RunCommand) -> None:
    age = f"{90 + int((time.time() - read.now_s) // DAY_S)}d"
    before = outbox(read)

    dry = run_command("prune", "--older-than", age)
    assert outbox(read) == before
    assert dry.code == 0
    assert f"{batch_of(read, 'old.bad')}  2025-09-24  2 originals" in dry.out
    assert "2 originals and 1 report" in dry.out
    assert "would be removed; add --yes to do it" in dry.out
    assert run_command("prune", "--older-than", age, "--json").json["dry_run"] is True
    done = run_command("prune", "--older-than", age, "--yes")

    assert done.out.splitlines()[-1].endswith("removed")
    assert read.originals("rejected") == {}
    assert batch_of(read, "old.bad") not in (read.root / "reports" / "index.html").read_text()
    assert run_command("prune", "--older-than", age, "--yes", "--json").json == {"dry_run": False, "batches": []}
    assert run_command("verify").code == 0
    assert "pruned  20" in run_command("why", "old.bad").out


@pytest.mark.parametrize("keep", ["", "90", "d", "-1d", "90 d", "1.5d", "90days"])
def test_an_invalid_age_is_refused(keep: str) -> None:
    with pytest.raises(UsageError, match="--older-than"):
        maintenance.parse_age_s(keep)


def test_prune_without_an_age_is_a_usage_error(read: ServiceHarness, run_command: RunCommand) -> None:
    assert run_command("prune", "--yes").code == 2
    assert len(read.originals()) == 2
