"""Wrong or jumping clocks cost at most one backoff, never a file."""

import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitrec.app.run import run_once
from digitrec.pipeline import workspace
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.scanner import AgeStability, FileClock, StabilityTracker, touch_and_read_ns
from digitrec.settings import Settings
from digitrec.storage import folder_id
from digitrec.storage.claims import FileSnapshot
from tests.conftest import ServiceHarness, draw, read_csv

S = 10**9
YEAR_S = 365.25 * 86_400


class Steady:
    """Clock that only the test advances."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_file_clock_is_that_of_the_filesystem_and_does_not_jump_ahead(tmp_path: Path) -> None:
    steady_ns = 0
    with (tmp_path / "lock").open("w") as file:
        clock = FileClock(partial(touch_and_read_ns, file.fileno()), lambda: steady_ns)
        first_ns = clock()
        assert abs(first_ns - time.time_ns()) < 5 * S
        assert first_ns == os.fstat(file.fileno()).st_ctime_ns
        time.sleep(0.02)

        assert clock() == first_ns, "20 ms are not believed while no time has passed"
        steady_ns = 60 * S
        assert first_ns < clock() < first_ns + 10 * S, "a clock that was set back is believed"
        assert clock.last_ns is not None


@pytest.mark.slow
@pytest.mark.parametrize("behind_s", [120, 86_400])
def test_a_half_written_file_on_a_server_whose_clock_is_behind_is_deferred(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, behind_s: int
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + behind_s)  # the server is right, this machine is wrong
    (harness.inbox / "half.png").write_bytes(draw(7)[:200])

    summary = run_once(replace(harness.settings, settle_s=0.1))

    assert (summary.count.deferred, summary.count.rejected, summary.waiting) == (1, 0, 1)
    (harness.inbox / "half.png").write_bytes(draw(7))
    assert run_once(replace(harness.settings, settle_s=0.1)).count.claimed == 1
    assert [row["file"] for path in harness.tables() for row in read_csv(path)] == ["half.png"]


def test_the_age_at_a_scan_uses_the_clock_of_the_inbox(harness: ServiceHarness) -> None:
    with workspace.open_workspace(harness.settings) as space:
        assert abs(space.scanned_at_s() - time.time()) < 5
        at_ns = space.clock_ns()
        assert space.scanned_at_s() == at_ns / 1e9, "between two looks it stands still"


def test_the_local_clock_is_used_if_the_inbox_gives_no_time(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(workspace, "touch_and_read_ns", refused)

    with workspace.open_workspace(harness.settings) as space:
        assert abs(space.scanned_at_s() - time.time()) < 5
    assert "the clock of the inbox cannot be read, that of this machine is used" in caplog.messages


def test_on_a_remote_mount_no_file_is_taken_for_its_age(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = FileSnapshot("7.png", 5, 0, 0, 1)
    with workspace.open_workspace(harness.settings) as space:
        assert space.stability_tracker().update([old], 0.0, 100 * S, trust_old=True) == [old]
        monkeypatch.setattr(folder_id, "get_filesystem", lambda _: "nfs4")
        settling = space.stability_tracker()
    assert settling.update([old], 0.0, 100 * S, trust_old=True) == []
    assert settling.update([old], 60.0, 100 * S, trust_old=True) == [old], "it settles as any other"


@given(jump_s=st.floats(-50 * YEAR_S, 50 * YEAR_S), empty=st.booleans(), ctime_s=st.integers(-(2**63), 2**64))
def test_a_clock_that_jumps_delays_settling_by_no_more_than_the_wait(jump_s: float, empty: bool, ctime_s: int) -> None:
    settling = StabilityTracker(2.0, 600.0)
    file = FileSnapshot("7.png", 0 if empty else 5, 7, ctime_s, 2**64 - 1)
    wall_ns = 1_767_323_045 * S
    settling.update([file], 0.0, wall_ns)

    assert settling.update([file], 601.0, wall_ns + int(jump_s * S)) == [file]


@given(ahead_s=st.floats(-50 * YEAR_S, 50 * YEAR_S))
def test_an_object_of_a_store_whose_clock_is_wrong_settles(ahead_s: float) -> None:
    settling = AgeStability(2.0)
    wall_ns = 1_767_323_045 * S
    file = FileSnapshot("7.png", 5, wall_ns + int(ahead_s * S), 0, 1)

    complete = settling.update([file], 0.0, wall_ns)

    assert complete == [file] or settling.update([file], 2.0, wall_ns) == [file]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(jumps_s=st.lists(st.sampled_from([-50 * YEAR_S, -3600.0, 0.0, 3600.0, 50 * YEAR_S]), min_size=1, max_size=4))
def test_a_half_written_file_has_its_full_grace_if_the_clock_jumps(
    tmp_path_factory: pytest.TempPathFactory, jumps_s: list[float]
) -> None:
    root = tmp_path_factory.mktemp("desk")
    harness = ServiceHarness(root, Settings(workspace=root, engine="serial"))
    harness.inbox.mkdir()
    harness.drop("half.png", draw(7)[:200])
    steady = Steady()
    with harness.at_work() as at_work:
        pipeline = replace(
            at_work, outcome_builder=replace(at_work.outcome_builder, steady_s=steady), write_report=lambda _: None
        )
        (file,) = [snapshot._replace(ctime_ns=int(harness.now_s * 1e9)) for snapshot in harness.look()]
        began_s = steady.now_s
        tries = 0
        while steady.now_s - began_s < harness.settings.grace_s:
            assert pipeline.process_group([file]).deferred == 1, "it is within its grace"
            tries += 1
            held = pipeline.ledger.deferred(harness.now_s)
            if jumps_s:
                harness.now_s += jumps_s.pop()
                held = pipeline.ledger.deferred(harness.now_s)
            wait_s = 5.0 if held else 1.0
            harness.now_s += wait_s
            steady.now_s += wait_s
        assert pipeline.process_group([file]).rejected == 1


@pytest.mark.slow
@pytest.mark.parametrize("years", [-50, -4, 4, 50])
def test_a_clock_that_jumped_between_two_runs_costs_no_more_than_a_grace(harness: ServiceHarness, years: int) -> None:
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)
    assert harness.rows() == []

    harness.now_s += years * YEAR_S
    harness.run(is_old=False)
    harness.now_s += harness.settings.grace_s + 1
    harness.run(is_old=False)

    assert [row["reason_code"] for row in harness.rows()] == ["truncated"]
    assert harness.account().discrepancies == ()


def test_an_unclaimable_file_is_tried_again_after_a_clock_was_ahead(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    harness.now_s += 4 * YEAR_S
    with monkeypatch.context() as patch:
        patch.setattr("digitrec.pipeline.inbox.Inbox.claim", _forbidden)
        harness.run()
    harness.now_s -= 4 * YEAR_S

    harness.run()

    assert [row["file"] for row in harness.rows()] == ["7.png"]


def _forbidden(inbox: Inbox, batch_id: str, path: str) -> None:
    del batch_id
    if path == "7.png":
        raise PermissionError(13, "Permission denied")
    (inbox.root / path).rename(inbox.root / ".claimed" / "main" / path)
