"""Order of durable writes: a table before an original moves, claims before answers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.storage.ledger import Ledger
from tests.conftest import ServiceHarness, draw

pytestmark = pytest.mark.slow


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return every fsync, link and rename with its path, in order."""
    calls: list[tuple[str, str]] = []

    def record(home: Any, name: str, path_of: Callable[..., str]) -> None:
        real = getattr(home, name)

        def recorded(*args: Any, **options: Any) -> Any:
            path = path_of(*args)
            result = real(*args, **options)
            calls.append((name, path))
            return result

        monkeypatch.setattr(home, name, recorded)

    record(os, "fsync", lambda descriptor: str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    record(os, "link", lambda _, target: str(target))
    record(files, "rename_exclusive", lambda source, target: f"{source} -> {target}")
    record(Ledger, "record", lambda *_: "")
    return calls


def test_the_table_and_its_folder_are_fsynced_before_the_original_moves(
    harness: ServiceHarness, trace: list[tuple[str, str]]
) -> None:
    harness.drop("a/7.png", draw(7))

    harness.run()

    batch = harness.rows()[0]["batch_id"]
    table = str(harness.outbox / f"{batch}.csv")
    linked = trace.index(("link", table))
    drafted = max(at for at, (call, path) in enumerate(trace[:linked]) if call == "fsync" and path.endswith(".part"))
    folder = trace.index(("fsync", str(harness.outbox)), linked)
    moved = trace.index(
        ("rename_exclusive", f"{harness.inbox}/.claimed/main/{batch}/a/7.png -> {harness.outbox}/done/{batch}/a/7.png")
    )
    assert drafted < linked < folder < moved


def test_claim_folders_are_fsynced_before_answers_are_recorded(
    harness: ServiceHarness, trace: list[tuple[str, str]]
) -> None:
    harness.drop("a/7.png", draw(7))

    harness.run()

    batch = harness.rows()[0]["batch_id"]
    claimed_path = f"{harness.inbox}/.claimed/main/{batch}/a/7.png"
    claimed = trace.index(("rename_exclusive", f"{harness.inbox}/a/7.png -> {claimed_path}"))
    recorded = trace.index(("record", ""))
    synced = {path for call, path in trace[claimed:recorded] if call == "fsync"}
    assert {
        f"{harness.inbox}/a",
        f"{harness.inbox}/.claimed/main/{batch}/a",
        f"{harness.inbox}/.claimed/main",
    } <= synced


def test_folders_of_originals_are_fsynced_before_the_batch_closes(
    harness: ServiceHarness, trace: list[tuple[str, str]]
) -> None:
    harness.drop("a/7.png", draw(7))

    harness.run()

    batch = harness.rows()[0]["batch_id"]
    moved = next(
        at
        for at, (call, path) in enumerate(trace)
        if call == "rename_exclusive" and path.endswith(f"done/{batch}/a/7.png")
    )
    synced = {path for call, path in trace[moved:] if call == "fsync"}
    assert {f"{harness.outbox}/done/{batch}/a", f"{harness.inbox}/.claimed/main/{batch}/a"} <= synced
    assert Path(harness.outbox / "done" / batch / "a" / "7.png").exists()
