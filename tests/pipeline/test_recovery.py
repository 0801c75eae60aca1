"""A dead worker's claims go back to the living; what it answered stays answered."""

from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.errors import BusyError, EnvironmentFailure, UsageError
from digitrec.pipeline import recovery
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage.ledger import Ledger
from tests.conftest import RunCommand, ServiceHarness, draw
from tests.pipeline.test_crash import PowerCut, cut

pytestmark = pytest.mark.slow

NOW = "2026-01-03T00:00:00.000Z"


@pytest.fixture
def two(harness: ServiceHarness) -> ServiceHarness:
    """A desk whose worker `main` has read a file, and whose worker `dead` is the one at work now."""
    harness.drop("first.png", draw(1))
    harness.run()
    harness.set(worker="dead", batch_files=2)
    return harness


def die(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, home: Any, name: str, *, after: bool) -> None:
    with monkeypatch.context() as patch:
        cut(patch, home, name, call=1, after=after)
        with pytest.raises(PowerCut):
            harness.run()


def give_up(harness: ServiceHarness, *, lost: bool = False) -> recovery.ReleasedClaims:
    return recovery.release_dead_worker(harness.settings, is_ledger_lost=lost, now=NOW)


def claimed(harness: ServiceHarness) -> list[str]:
    return [str(path) for path in (harness.inbox / ".claimed" / "dead").rglob("*.png")]


@pytest.mark.parametrize(
    ("home", "step", "after"),
    [
        (Ledger, "open_batch", True),
        (Inbox, "claim", True),
        (Inbox, "make_durable", True),
        (Ledger, "update_claims", True),
        (Ledger, "record", False),
    ],
)
def test_unanswered_claims_return_and_another_worker_reads_them(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, home: Any, step: str, after: bool
) -> None:
    two.drop("a/2.png", draw(2))
    two.drop("3.png", draw(3))
    die(two, monkeypatch, home, step, after=after)

    adopted = give_up(two)

    assert adopted.answered == ()
    assert sorted(file.path for file in two.look()) == ["3.png", "a/2.png"]
    assert claimed(two) == []
    two.set(worker="main")
    two.run()
    assert sorted(row["file"] for row in two.rows()) == ["3.png", "a/2.png", "first.png"]
    account = two.account()
    assert (account.discrepancies, account.open_batches) == ((), ())
    two.set(worker="dead")
    two.run()
    assert len(two.rows()) == 3, "the dead worker finds nothing to do when it comes back"


@pytest.mark.parametrize(("home", "step", "after"), [(Ledger, "record", True), (FolderOutbox, "publish", True)])
def test_answered_claims_stay_for_their_worker(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, home: Any, step: str, after: bool
) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, home, step, after=after)

    adopted = give_up(two)

    assert (adopted.deferred, len(adopted.answered)) == ((), 1)
    assert two.look() == []
    two.run()
    assert sorted(row["file"] for row in two.rows()) == ["2.png", "first.png"]
    assert two.account().discrepancies == ()


def test_a_running_worker_is_not_released(two: ServiceHarness) -> None:
    with two.at_work(), pytest.raises(BusyError):
        give_up(two)


def test_another_machine_finishes_answered_claims_of_a_lost_ledger(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, FolderOutbox, "publish", after=True)
    for leftover in two.settings.ledger.parent.glob("*"):
        leftover.unlink()
    two.set(state_dir=tmp_path / "other")

    adopted = give_up(two, lost=True)

    assert (adopted.deferred, len(adopted.answered)) == ((), 1)
    two.run()
    assert claimed(two) == []
    assert sorted(row["file"] for row in two.rows()) == ["2.png", "first.png"]
    assert two.account().discrepancies == ()


def test_a_missing_ledger_must_be_confirmed_as_lost(two: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, Ledger, "update_claims", after=True)
    for leftover in two.settings.ledger.parent.glob("*"):
        leftover.unlink()

    with pytest.raises(UsageError, match="ledger of worker dead is not here") as why:
        give_up(two)
    assert "--without-ledger" in why.value.hint
    assert len(claimed(two)) == 1

    assert give_up(two, lost=True).deferred == ("2.png",)
    assert claimed(two) == []
    two.set(worker="main")
    two.run()
    assert sorted(row["file"] for row in two.rows()) == ["2.png", "first.png"]
    assert two.account().discrepancies == ()


def test_without_a_ledger_published_batches_count_as_answered(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, FolderOutbox, "archive", after=False)
    for leftover in two.settings.ledger.parent.glob("*"):
        leftover.unlink()

    adopted = give_up(two, lost=True)

    assert (adopted.deferred, len(adopted.answered)) == ((), 1)
    two.run()
    assert sorted(row["file"] for row in two.rows()) == ["2.png", "first.png"]
    assert two.originals().keys() == {"2.png", "first.png"}
    assert two.account().discrepancies == ()


def test_a_name_taken_in_the_meantime_is_not_overwritten(two: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, Ledger, "update_claims", after=True)
    two.drop("2.png", draw(5))

    assert give_up(two).deferred == ("2~2.png",)
    assert (two.inbox / "2.png").read_bytes() == draw(5)
    assert (two.inbox / "2~2.png").read_bytes() == draw(2)


def test_unplanned_files_in_the_claims_return_to_the_inbox(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, Ledger, "update_claims", after=True)
    (place,) = (two.inbox / ".claimed" / "dead").glob("*/2.png")
    place.with_name("stranger.png").write_bytes(draw(6))
    unknown = place.parents[1] / "20260102T030405Z-00000000" / "orphan.png"
    unknown.parent.mkdir()
    unknown.write_bytes(draw(7))

    assert sorted(give_up(two).deferred) == ["2.png", "orphan.png", "stranger.png"]
    assert two.account().open_batches == ()


STEPS: dict[str, tuple[Any, str]] = {
    "recorded": (Ledger, "record"),
    "deferred": (Inbox, "defer"),
    "places noted": (Ledger, "set_locations"),
    "folder removed": (Inbox, "close"),
    "closed": (Ledger, "set_stage"),
    "moved": (files, "move_durable"),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_during_a_release_loses_and_doubles_nothing(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    two.drop("2.png", draw(2))
    two.drop("3.png", draw(3))
    die(two, monkeypatch, Ledger, "update_claims", after=True)
    home, function = STEPS[step]
    with monkeypatch.context() as patch:
        cut(patch, home, function, call=1, after=after)
        with pytest.raises(PowerCut):
            give_up(two)

    give_up(two)

    assert sorted(file.path for file in two.look()) == ["2.png", "3.png"]
    assert claimed(two) == []
    two.set(worker="main")
    two.run()
    assert sorted(row["file"] for row in two.rows()) == ["2.png", "3.png", "first.png"]
    assert (two.account().discrepancies, two.account().open_batches) == ((), ())


def test_an_unknown_worker_and_a_missing_outbox_are_refused(two: ServiceHarness) -> None:
    with pytest.raises(UsageError, match="no worker dead"):
        give_up(two)
    (two.inbox / ".claimed" / "dead").mkdir()
    two.outbox.rename(two.root / "away")

    with pytest.raises(EnvironmentFailure, match="not the outbox"):
        give_up(two, lost=True)


def test_the_owner_file_names_the_ledger_of_the_claims(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    two.set(state_dir=tmp_path / "elsewhere")
    two.drop("2.png", draw(2))
    die(two, monkeypatch, Ledger, "record", after=True)
    two.set(state_dir=None)

    assert len(give_up(two).answered) == 1


def test_requeue_of_a_worker_prints_the_returned_files(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, run_command: RunCommand
) -> None:
    two.drop("b\n.png", draw(2))
    die(two, monkeypatch, Ledger, "update_claims", after=True)

    output = run_command("requeue", "--worker", "dead")

    assert output.code == 0
    assert output.out.splitlines() == ["b%0A.png", "back in the inbox: 1 file of worker dead"]
    again = run_command("requeue", "--worker", "dead", "--json").json
    assert again == {
        "deferred": [],
        "given_back": [],
        "answered_batches": [],
    }


def test_requeue_of_a_worker_names_the_command_that_finishes_its_batch(
    two: ServiceHarness, monkeypatch: pytest.MonkeyPatch, run_command: RunCommand
) -> None:
    two.drop("2.png", draw(2))
    die(two, monkeypatch, Ledger, "record", after=True)

    assert "is answered; finish it: digitrec run --worker dead" in run_command("requeue", "--worker", "dead").out
    with open_ledgers(two.settings) as ledgers:
        assert len(ledgers["dead"].batches(unfinished=True)) == 1
