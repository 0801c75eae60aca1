"""Crash before and after each of the first three calls of every step: no file may be lost."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pytest

from digitrec import files
from digitrec.errors import ReadFailed
from digitrec.pipeline import archive, read_files
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.batch import BatchPipeline
from digitrec.pipeline.batch_reader import SuspectFiles
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.storage.ledger import Ledger
from tests.conftest import ServiceHarness, draw
from tests.readers import Poisoned, StoppedAfter, name_of

STEPS: dict[str, tuple[Any, str]] = {
    "1 lock": (Inbox, "_own"),
    "3 claim: batch noted": (Ledger, "open_batch"),
    "3 claim: renamed": (Inbox, "claim"),
    "3 claim: folders fsynced": (Inbox, "make_durable"),
    "3 claim: claims noted": (Ledger, "update_claims"),
    "4 read": (read_files, "read_chunk"),
    "5 record": (Ledger, "record"),
    "6 publish: table written": (files, "atomic_create"),
    "6 publish: all tables": (FolderOutbox, "publish"),
    "6 publish and 8 close: noted": (Ledger, "set_stage"),
    "7 file away: moved": (files, "move_durable"),
    "7 file away: reason written": (archive, "_write_reason"),
    "7 file away: all moved": (FolderOutbox, "archive"),
    "7 file away: places noted": (Ledger, "set_locations"),
    "8 report": (ServiceHarness, "report_now"),
    "8 close: folders removed": (Inbox, "close"),
}


class PowerCut(BaseException):
    """Simulated power failure."""


def cut(monkeypatch: pytest.MonkeyPatch, home: Any, name: str, *, call: int, after: bool) -> None:
    """Raise PowerCut before or after the n-th call."""
    real: Callable[..., Any] = getattr(home, name)
    calls = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise PowerCut
        try:
            return real(*args, **options)
        finally:  # also if the call raises
            if calls == call:
                raise PowerCut

    monkeypatch.setattr(home, name, counted)


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_power_cut_at_any_step_loses_nothing_and_doubles_nothing(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, call: int
) -> None:
    harness.set(batch_files=2)
    pictures = {f"desk {digit}/{digit}.png": draw(digit) for digit in range(4)}
    broken = {f"broken {number}.png": draw(5)[: 200 + number] for number in range(3)}
    for name, content in (pictures | broken).items():
        harness.drop(name, content)
    home, function = STEPS[step]
    with monkeypatch.context() as patch:
        cut(patch, home, function, call=call, after=after)
        was_cut = False
        try:
            harness.run()
            harness.run()
            harness.run()
        except PowerCut:
            was_cut = True
    assert was_cut
    early_tables = {table: table.read_bytes() for table in harness.tables()}

    harness.run()

    assert {table: table.read_bytes() for table in early_tables} == early_tables, "a visible table is complete"
    assert sorted(row["file"] for row in harness.rows()) == sorted(pictures | broken)
    assert {row["file"] for row in harness.rows() if row["status"] == "rejected"} == set(broken)
    assert harness.originals("done") == pictures
    assert harness.originals("rejected") == broken
    assert harness.look() == []
    assert harness.account().discrepancies == ()
    assert harness.account().open_batches == ()
    assert harness.account().count.claimed == len(pictures | broken)


NEW_STEPS = {
    **STEPS,
    "4 read: one file in the child": (Poisoned, "call"),
    "4 read: a try counted": (SuspectFiles, "count_try"),
    "5 record: suspects": (SuspectFiles, "updated_facts"),
    "3 claim: next one alone": (BatchPipeline, "_deferred_snapshot"),
}


def deadly_file(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file crashes the reader: it is deferred and claimed alone until it is rejected."""
    harness.engine = harness.child = Poisoned({"deadly.png"})


def stopped_batch(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop arrives after two files of a batch: they are published, the others deferred."""
    harness.engine = harness.child = StoppedAfter(harness, 2)


def raising_file(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one file raises the third time: the batch is read file by file."""
    harness.engine = harness.child = Poisoned(set())
    real = read_files.read_chunk

    def read_chunk(jobs: Sequence[ReadJob], **options: Any) -> list[FileResult]:
        if any(name_of(job) == "deadly.png" for job in jobs):
            raise ZeroDivisionError("deadly.png")
        return real(jobs, **options)

    monkeypatch.setattr(read_files, "read_chunk", read_chunk)
    for _ in range(2):
        with pytest.raises(ReadFailed):
            harness.run()


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", NEW_STEPS)
@pytest.mark.parametrize("scene", [deadly_file, stopped_batch, raising_file], ids=lambda scene: scene.__name__)
def test_a_power_cut_around_suspects_and_stops_loses_and_doubles_nothing(
    harness: ServiceHarness,
    monkeypatch: pytest.MonkeyPatch,
    scene: Callable[..., None],
    step: str,
    after: bool,
    call: int,
) -> None:
    pictures = {f"desk {digit}/{digit}.png": draw(digit) for digit in range(4)} | {"deadly.png": draw(9)}
    for name, content in pictures.items():
        harness.drop(name, content)
    home, function = NEW_STEPS[step]
    with monkeypatch.context() as patch:
        scene(harness, patch)
        with monkeypatch.context() as cutting:
            cut(cutting, home, function, call=call, after=after)
            with suppress(PowerCut):  # not every case calls every step that often
                harness.run()
                harness.run()
        early_tables = {table: table.read_bytes() for table in harness.tables()}
        if scene is deadly_file:
            harness.run()
    if scene is not deadly_file:
        harness.stopped, harness.now_s = False, harness.now_s + 600
        harness.engine = harness.child = Poisoned(set())
        harness.run()

    assert {table: table.read_bytes() for table in early_tables} == early_tables, "a visible table is complete"
    assert sorted(row["file"] for row in harness.rows()) == sorted(pictures)
    rejected = {row["file"] for row in harness.rows() if row["status"] == "rejected"}
    assert rejected == ({"deadly.png"} if scene is deadly_file else set())
    assert harness.originals("done") | harness.originals("rejected") == pictures
    assert harness.look() == []
    assert harness.account().discrepancies == ()
    assert harness.account().open_batches == ()
    with harness.at_work() as pipeline:
        assert not pipeline.suspects.has_any(), "nobody is under suspicion any more"


def test_a_batch_that_was_recorded_is_never_read_again(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    with monkeypatch.context() as patch:
        cut(patch, Ledger, "record", call=1, after=True)
        with pytest.raises(PowerCut):
            harness.run()

    with monkeypatch.context() as patch:
        patch.setattr(read_files, "read_chunk", lambda *_, **__: pytest.fail("read again"))
        harness.run()

    assert [row["file"] for row in harness.rows()] == ["7.png"]


def test_the_same_bytes_are_rendered_again_after_a_crash(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a crash the rows are published from memory, after one from the ledger.
    harness.drop("7.png")
    harness.drop("=the same.png")
    harness.drop("3/ü \udcff.png", draw(3))
    harness.drop("broken.png", draw(5)[:200])
    harness.drop("empty.png", b"")
    harness.drop("blank.png", cv2.imencode(".png", np.full((60, 60), 240, np.uint8))[1].tobytes())
    harness.drop(
        "noise.png", cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (50, 200), np.uint8))[1].tobytes()
    )
    harness.drop("labels.csv", b"file,label\n7.png,1\n")
    with monkeypatch.context() as patch:
        cut(patch, FolderOutbox, "publish", call=1, after=True)
        with pytest.raises(PowerCut):
            harness.run()
    before = {path.name: path.read_bytes() for path in harness.outbox.glob("*Z-*.csv")}
    assert sum(content.count(b"\r\n") for content in before.values()) > 9
    harness.now_s += 3600

    harness.run()

    assert {path.name: path.read_bytes() for path in harness.outbox.glob("*Z-*.csv")} == before
