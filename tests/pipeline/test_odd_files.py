"""Odd stat fields and folders too deep for recursion: every file is read, archived and traced."""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from digitrec.monitoring import backlog, history, maintenance
from digitrec.monitoring.doctor import run_checks
from digitrec.monitoring.folder_checks import Severity
from digitrec.monitoring.status import ModelStatus, collect_status
from digitrec.pipeline import scanner
from digitrec.pipeline.batch import BatchPipeline
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage.claims import Claim, DeferredFile, FileSnapshot, fold_int64
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage
from tests.conftest import ServiceHarness, draw
from tests.deep import deepen, remove

ODD = [0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
IN_2300_NS = 10_413_792_000 * 10**9
"""More than 2^63."""


def odd_stat(state: os.stat_result, inode: int) -> os.stat_result:
    """Return the stat fields with another inode."""
    fields: list[Any] = list(state[:10])
    names = {name: getattr(state, name) for name in dir(state) if name.startswith("st_")}
    return os.stat_result([fields[0], inode, *fields[2:]], names)


@dataclasses.dataclass
class OddHarness(ServiceHarness):
    """Workspace on a filesystem with large inodes."""

    inode: int = 0

    def look(self) -> list[FileSnapshot]:
        return list(
            scanner.scan(
                self.inbox,
                lambda *_: None,
                stat_of=lambda entry: odd_stat(entry.stat(follow_symlinks=False), self.inode),
            )
        )

    @contextmanager
    def at_work(self) -> Iterator[BatchPipeline]:
        with super().at_work() as pipeline:
            fstat: Callable[[int], os.stat_result] = lambda descriptor: odd_stat(os.fstat(descriptor), self.inode)  # noqa: E731
            read = dataclasses.replace(pipeline.reader.read, fstat=fstat)
            yield dataclasses.replace(pipeline, reader=dataclasses.replace(pipeline.reader, read=read))


@pytest.fixture
def deep_harness() -> Iterator[ServiceHarness]:
    """Workspace in memory, if there is room: a thousand folders cost a thousand fsyncs."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        root = Path(folder)
        harness = ServiceHarness(root, Settings(workspace=root, engine="serial"))
        harness.inbox.mkdir()
        yield harness
        for path in (harness.inbox, harness.outbox):
            remove(path)


@pytest.mark.parametrize("number", ODD)
def test_a_folded_number_fits_the_ledger_and_keeps_its_bits(number: int) -> None:
    assert -(2**63) <= fold_int64(number) < 2**63
    assert (fold_int64(number) - number) % 2**64 == 0
    assert fold_int64(fold_int64(number)) == fold_int64(number)


@pytest.mark.parametrize("number", ODD)
def test_the_ledger_takes_and_finds_any_inode_and_time(tmp_path: Path, number: int) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite3")
    batch = Batch("20260102T030405Z-00000000", "2026-01-02T03:04:05.000Z", BatchStage.PLANNED)
    claim = Claim(batch.id, "7.png", number, number, number, True, batch.opened_at)

    ledger.open_batch(batch, [claim])
    ledger.defer([DeferredFile(number, number, number, "", "EIO", 1000.0, 1, 1001.0)])

    assert [claim.identity for claim in ledger.claims(batch.id)] == [claim.identity]
    assert ledger.deferred(1000.5) == {claim.identity}
    assert ledger.deferred_file(claim.identity) is not None
    assert ledger.was_fresh("7.png", claim.identity) is None
    assert not ledger.was_answered("8.png", claim.identity)
    ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("inode", ODD)
def test_a_file_with_any_inode_is_read_and_retried(tmp_path: Path, harness: ServiceHarness, inode: int) -> None:
    odd = OddHarness(tmp_path, harness.settings, inode=inode)
    odd.drop("7.png")
    odd.drop("half.png", draw(3)[:100])

    odd.run(is_old=False)
    odd.now_s += 1
    odd.run(is_old=False)
    assert [row["file"] for row in odd.rows()] == ["7.png"], "the other one is held, and known again"
    odd.now_s += 60
    odd.run(is_old=False)

    assert {row["file"]: row["reason_code"] for row in odd.rows()} == {"7.png": "", "half.png": "truncated"}
    assert odd.account().discrepancies == ()


@pytest.mark.slow
@pytest.mark.parametrize("ns", [0, -1, -(10**9), 2**31 * 10**9, 2**63, IN_2300_NS, -2_000_000_000 * 10**9], ids=str)
def test_a_file_of_any_date_is_read_and_traced_by_every_command(harness: ServiceHarness, ns: int) -> None:
    path = harness.drop("7.png")
    os.utime(path, ns=(ns, ns))
    worker_status = status_of(harness)
    assert (worker_status.waiting, worker_status.problem) == (1, "")

    harness.run()

    assert [row["status"] for row in harness.rows()] == ["accepted"]
    assert harness.account().discrepancies == ()
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        (event,) = history.trace_file("7.png", harness.settings, ledgers, time.time()).events
        assert event.has_original
        chosen = maintenance.select_claims(harness.settings, ledgers)
        assert len(list(maintenance.requeue(harness.settings, chosen, "2026-01-02T03:04:05.000Z"))) == 1
    harness.run()
    assert len(harness.rows()) == 2
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        chosen_old = maintenance.select(harness.settings, ledgers, 0, time.time() + 10**9)
        assert len(list(maintenance.prune(harness.settings, chosen_old, "2026-01-02T03:04:05.000Z"))) == 2
    assert harness.account().discrepancies == ()


@pytest.mark.slow
def test_pictures_nested_1200_deep_are_read_and_traced(deep_harness: ServiceHarness) -> None:
    deepen(deep_harness.inbox, 1200, every=400, content=draw(7))
    worker_status = status_of(deep_harness)
    assert (worker_status.waiting, worker_status.problem) == (3, "")

    deep_harness.run()

    assert sorted(row["file"].count("/") for row in deep_harness.rows()) == [400, 800, 1200]
    assert deep_harness.account().discrepancies == ()
    assert not any((deep_harness.inbox / ".claimed" / "main").glob("*Z-*")), "the folders of the claims are removed"
    assert not [
        check for check in doctor_of(deep_harness) if check.severity is Severity.FAILED and check.subject == "inbox"
    ]
    with open_ledgers(deep_harness.settings, skip_unreadable=True) as ledgers:
        assert len(history.trace_file("7.png", deep_harness.settings, ledgers, time.time()).events) == 3
        chosen = maintenance.select_claims(deep_harness.settings, ledgers)
        assert len(list(maintenance.requeue(deep_harness.settings, chosen, "2026-01-02T03:04:05.000Z"))) == 3
        assert len(history.trace_file("7.png", deep_harness.settings, ledgers, time.time()).entries) == 3
    deep_harness.run()
    with open_ledgers(deep_harness.settings, skip_unreadable=True) as ledgers:
        old = maintenance.select(deep_harness.settings, ledgers, 0, time.time() + 10**9)
        assert (
            sum(
                len(batch.claims) for batch in maintenance.prune(deep_harness.settings, old, "2026-01-02T03:04:05.000Z")
            )
            == 3
        )
    assert deep_harness.account().discrepancies == ()


@pytest.mark.slow
def test_a_tree_of_3000_levels_is_passed_over_and_counted(deep_harness: ServiceHarness) -> None:
    deepen(deep_harness.inbox, 3000, every=1500, content=draw(7))

    worker_status = status_of(deep_harness)
    faults = [check.detail for check in doctor_of(deep_harness) if check.severity is Severity.FAILED]
    deep_harness.run()

    assert (worker_status.waiting, worker_status.problem) == (1, "")
    assert worker_status.passed_over == scanner.SkippedCounts(too_long=1)
    assert len(faults) == 1
    assert faults[0].startswith("a path is too long to be claimed")
    assert [row["file"].count("/") for row in deep_harness.rows()] == [1500]
    assert deep_harness.account().discrepancies == ()


@pytest.mark.slow
def test_rejected_files_at_the_longest_path_have_a_reason_file(deep_harness: ServiceHarness) -> None:
    longest = scanner.max_path_bytes(deep_harness.inbox, "main")
    levels = (longest - 1) // 2
    deepen(deep_harness.inbox, levels, every=levels + 1)
    paths = ["d/" * levels + "x" * (longest - 2 * levels), "d/" * (levels - 1) + "yz"]
    for path in paths:
        with open(f"{deep_harness.inbox}/{path}", "wb") as file:  # noqa: PTH123 - a path near the limit
            file.write(b"no picture" + path[-2:].encode())
        os.utime(f"{deep_harness.inbox}/{path}", (0, 0))

    deep_harness.run()

    assert {row["status"] for row in deep_harness.rows()} == {"rejected"}
    assert deep_harness.account().discrepancies == ()
    batch = next((deep_harness.outbox / "rejected").iterdir())
    assert len(list(batch.glob("*.reason.json"))) == 2, "beside the original their paths would be too long"


@pytest.mark.slow
def test_claims_nested_deep_are_adopted_after_a_crash(deep_harness: ServiceHarness) -> None:
    deepen(deep_harness.inbox, 1100, every=1100, content=draw(7))
    with deep_harness.at_work() as pipeline:
        files = deep_harness.look()
        pipeline.ledger.open_batch(
            Batch("20260102T030405Z-00000000", "2026-01-02T03:04:05.000Z", BatchStage.PLANNED),
            [Claim("20260102T030405Z-00000000", files[0].path, *files[0].identity, False, "")],
        )
        pipeline.inbox.claim("20260102T030405Z-00000000", files[0].path)

    deep_harness.run()

    assert len(deep_harness.rows()) == 1
    assert deep_harness.account().discrepancies == ()


def test_a_hold_lasts_its_backoff_whatever_the_clock_did() -> None:
    year_s = 365 * 86_400.0
    refused = DeferredFile(1, 2, 3, "", "EIO", 1000.0, 3, 1004.0)
    undecodable = DeferredFile(1, 2, 3, "ab", "truncated", 1000.0, 2, 1030.0)

    assert [refused.is_backing_off(at) for at in (999.0, 1000.0, 1003.9, 1004.0)] == [False, True, True, False]
    assert [undecodable.is_backing_off(at) for at in (999.0, 1000.0, 1029.9, 1030.0)] == [False, True, True, False]
    for years in (-50, -4, 4, 50):
        assert not refused.is_backing_off(1000.0 + years * year_s)
        assert not undecodable.is_backing_off(1000.0 + years * year_s)


def test_a_file_deferred_under_a_fast_clock_does_not_wait_for_years(harness: ServiceHarness) -> None:
    harness.now_s = time.time() + 4 * 365 * 86_400
    harness.drop("half.png", draw(7)[:200])
    harness.run(is_old=False)

    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        (deferred,) = backlog.remaining_files(harness.settings, ledgers, time.time())

    assert deferred.wait_s < 60
    assert status_of(harness).deferred[0].again_in_s == 0


def status_of(harness: ServiceHarness) -> Any:
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        return collect_status(harness.settings, ledgers, ModelStatus("test"), time.time())


def doctor_of(harness: ServiceHarness) -> list[Any]:
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        return list(run_checks(harness.settings, ledgers, ModelStatus("test"), time.time()))
