"""Watches while the environment fails and recovers."""

import ctypes
import gc
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digitrec.app import composition, run, service
from digitrec.app.run import run_once, watch
from digitrec.pipeline import read_files, scanner
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.watcher import NoChangeSource
from digitrec.reports.batch import RowFacts
from digitrec.settings import Settings
from digitrec.storage.claims import OutcomeCounts
from digitrec.storage.ledger import Ledger
from tests.app.run_helpers import failing, rows, verify_workspace
from tests.conftest import InlineChild, draw, reader

pytestmark = pytest.mark.slow


@contextmanager
def watching(settings: Settings) -> Iterator[threading.Thread]:
    """Watch in a thread; stop it at the end."""
    stop = service.ShutdownSignal()
    thread = threading.Thread(target=watch, args=(settings, stop, NoChangeSource()))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()


def wait_for(settings: Settings, names: list[str]) -> None:
    until_s = time.monotonic() + 15
    while sorted(rows(settings)) != names:
        assert time.monotonic() < until_s, rows(settings)
        time.sleep(0.02)


def test_watch_survives_an_outbox_that_is_moved_away_and_back(settings: Settings) -> None:
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial")
    with watching(settings):
        wait_for(settings, ["7.png"])
        settings.outbox.rename(settings.workspace / "away")
        (settings.inbox / "8.png").write_bytes(draw(8))
        time.sleep(1.5)
        assert (settings.inbox / "8.png").exists()
        (settings.workspace / "away").rename(settings.outbox)
        wait_for(settings, ["7.png", "8.png"])


def test_watch_survives_a_labels_file_that_becomes_unusable(settings: Settings, tmp_path: Path) -> None:
    labels = tmp_path / "labels-file.csv"
    labels.write_text("file,label\n8.png,8\n")
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial", labels=labels)
    with watching(settings) as thread:
        wait_for(settings, ["7.png"])
        labels.write_bytes("file,label\n8.png,8\n".encode("utf-16"))
        (settings.inbox / "8.png").write_bytes(draw(8))
        time.sleep(2.5)  # the service fails and is opened again
        assert thread.is_alive()
        labels.write_text("file,label\n8.png,8\n")
        wait_for(settings, ["7.png", "8.png"])


def test_watch_uses_a_model_that_is_added_later(settings: Settings, tmp_path: Path) -> None:
    settings = Settings(
        workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial", model=str(tmp_path / "model")
    )
    with watching(settings):
        time.sleep(0.5)
        assert (settings.inbox / "7.png").exists()
        shutil.copytree(composition.SHIPPED_MODELS_DIR, tmp_path / "model")
        wait_for(settings, ["7.png"])


@pytest.mark.parametrize("how", ["deleted", "folder deleted", "replaced by an old copy", "replaced by rubbish"])
def test_a_ledger_that_disappears_during_a_watch_is_rebuilt(settings: Settings, how: str) -> None:
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial")
    old = settings.workspace / "old.sqlite3"
    run_once(settings)
    shutil.copy(settings.ledger, old)
    (settings.inbox / "8.png").write_bytes(draw(8))
    with watching(settings):
        wait_for(settings, ["7.png", "8.png"])
        settings.ledger.unlink()
        if how == "folder deleted":
            shutil.rmtree(settings.ledger.parent)
        elif how == "replaced by an old copy":
            shutil.move(old, settings.ledger)
        elif how == "replaced by rubbish":
            settings.ledger.write_bytes(b"no ledger")
        (settings.inbox / "9.png").write_bytes(draw(9))
        wait_for(settings, ["7.png", "8.png", "9.png"])
    account = verify_workspace(settings)
    assert account.discrepancies == ()
    assert account.count.claimed == 3
    assert account.count.deferred == 0


@pytest.mark.parametrize(
    ("owner", "name"),
    [(FolderOutbox, "publish"), (Ledger, "record"), (Ledger, "open_batch"), (Inbox, "make_durable"), (scanner, "scan")],
)
def test_no_unexpected_exception_ends_watch(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    calls = failing(monkeypatch, owner, name, ZeroDivisionError("nobody knows"), times=2)
    with watching(replace(settings, settle_s=0.1, scan_interval_s=0.5)):
        wait_for(settings, ["7.png"])
    assert len(calls) > 2


def test_watch_reads_new_files_while_a_file_always_raises(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = read_files.read_chunk

    def raises(jobs: Sequence[ReadJob], **kwargs: Any) -> list[FileResult]:
        if any(str(job.path).endswith("7.png") for job in jobs):
            raise ZeroDivisionError("7.png")
        return real(jobs, **kwargs)

    monkeypatch.setattr(read_files, "read_chunk", raises)
    monkeypatch.setattr(composition, "load_page_reader", lambda *_: reader())
    monkeypatch.setattr("digitrec.pipeline.worker_process.WorkerProcess", lambda *_: InlineChild())
    with watching(replace(settings, settle_s=0.3, scan_interval_s=0.5)):
        until_s = time.monotonic() + 20
        while not list(settings.inbox.glob(".claimed/main/*/7.png")):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        (settings.inbox / "8.png").write_bytes(draw(8))
        wait_for(settings, ["8.png"])
        while not (settings.inbox / "7.png").exists():
            assert time.monotonic() < until_s, "others can be read: it is deferred, and claimed alone from then on"
            time.sleep(0.02)
        (settings.inbox / "9.png").write_bytes(draw(9))
        wait_for(settings, ["8.png", "9.png"])


def test_watch_frees_the_garbage_of_a_batch(settings: Settings) -> None:
    def count_rows() -> int:
        return sum(isinstance(value, RowFacts) for value in gc.get_objects())

    gc.collect()
    before, until_s = count_rows(), time.monotonic() + 60
    gc.disable()
    try:
        with watching(replace(settings, settle_s=0.1, scan_interval_s=0.5)):
            while not list(settings.reports.glob("*Z-*/index.html")) or count_rows() > before:
                assert time.monotonic() < until_s, "the rows of the report are still in memory"
                time.sleep(0.1)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("files", "trims"),
    [
        pytest.param([5, 0, 0], [False, True, False], id="at the first quiet scan"),
        pytest.param([500, 5, 0, 0], [True, False, True, False], id="after 500 files"),
        pytest.param([300, 300, 5], [False, True, False], id="after 500 files of several batches"),
    ],
)
def test_watch_returns_unused_memory(files: list[int], trims: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=calls.append))
    summary = service.RunSummary()

    def scans() -> Iterator[bool]:
        for count in files:
            summary.count += OutcomeCounts(accepted=count)
            summary.batches += ["batch"] * bool(count)
            yield True

    seen = []
    for _ in run._release_memory(scans(), summary):
        seen.append(bool(calls))
        calls.clear()
    assert seen == trims
