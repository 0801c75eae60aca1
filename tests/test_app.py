"""One run and a watch against an environment that fails and comes back."""

import errno
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from digitrec import app, batch_reports, filing, results, retrying, service, workspace
from digitrec.errors import EnvironmentFailure
from digitrec.intake.observing import NoObserver
from digitrec.ledger import Ledger
from digitrec.settings import Settings
from tests.conftest import draw, read_csv

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "7.png").write_bytes(draw(7))
    return Settings(workspace=tmp_path, settle_s=0, engine="serial", run_retry_s=20)


def rows(settings: Settings) -> list[str]:
    return [row["file"] for path in settings.outbox.glob("*Z-????????.csv") for row in read_csv(path)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "SHORTEST_PAUSE_S", 0.01)


def failing(monkeypatch: pytest.MonkeyPatch, home: Any, name: str, error: Exception, *, times: int) -> list[int]:
    real = getattr(home, name)
    calls: list[int] = []

    def fails(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return real(*given, **named)

    monkeypatch.setattr(home, name, fails)
    return calls


FULL = OSError(errno.ENOSPC, "No space left on device")
LOCKED = sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize(
    ("home", "name", "error"),
    [
        (results, "publish", FULL),
        (results, "publish", OSError(errno.EROFS, "Read-only file system")),
        (Ledger, "record", LOCKED),
        (Ledger, "open_batch", FULL),
        (Ledger, "note_places", FULL),
        (batch_reports, "write", FULL),
    ],
)
def test_a_failure_that_passes_costs_time_and_no_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, home: Any, name: str, error: Exception
) -> None:
    failing(monkeypatch, home, name, error, times=2)

    summary = app.run_once(settings)

    assert rows(settings) == ["7.png"]
    assert summary.count.claimed == 1
    assert not list(settings.outbox.glob("rejected/*"))


def test_a_failure_that_stays_ends_the_run_and_keeps_the_claims(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, results, "publish", FULL, times=10**9)
        with pytest.raises(EnvironmentFailure, match="No space"):
            app.run_once(Settings(workspace=settings.workspace, settle_s=0, run_retry_s=0.1))
    assert len(list(settings.inbox.glob(".claimed/main/*/7.png"))) == 1

    app.run_once(settings)

    assert rows(settings) == ["7.png"]


@pytest.mark.parametrize("damage", [b"", b"this is no database", None], ids=["emptied", "overwritten", "deleted"])
def test_a_lost_or_damaged_ledger_is_made_again_from_the_outbox(settings: Settings, damage: bytes | None) -> None:
    app.run_once(settings)
    (settings.inbox / "8.png").write_bytes(draw(8))
    for path in settings.ledger.parent.glob("ledger.sqlite3-*"):
        path.unlink()
    if damage is None:
        settings.ledger.unlink()
    else:
        settings.ledger.write_bytes(damage)

    app.run_once(settings)

    assert sorted(rows(settings)) == ["7.png", "8.png"]
    if damage:
        (aside,) = settings.ledger.parent.glob("ledger.sqlite3.damaged-*")
        assert aside.read_bytes() == damage
    with workspace.all_ledgers(settings) as ledgers:
        account = app_account(settings, ledgers)
    assert account.differences == ()
    assert account.count.claimed == 2
    assert any("made again" in note for note in account.notes)


def app_account(settings: Settings, ledgers: Any) -> Any:
    from digitrec.operations.verify import verify

    return verify(settings.workspace, ledgers)


def test_a_batch_whose_table_exists_is_never_read_again_though_the_ledger_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, filing, "file_away", FULL, times=10**9)
        with pytest.raises(EnvironmentFailure):
            app.run_once(Settings(workspace=settings.workspace, settle_s=0, run_retry_s=0))
    (before,) = settings.outbox.glob("*Z-????????.csv")
    content = before.read_bytes()
    for path in settings.ledger.parent.iterdir():
        path.unlink()

    app.run_once(settings)

    assert before.read_bytes() == content
    assert rows(settings) == ["7.png"]
    assert len(list(settings.outbox.glob("done/*/7.png"))) == 1


def watching(settings: Settings) -> tuple[service.Stop, threading.Thread]:
    stop = service.Stop()
    thread = threading.Thread(target=app.watch, args=(settings, stop, NoObserver()))
    thread.start()
    return stop, thread


def wait_for(settings: Settings, names: list[str]) -> None:
    until_s = time.monotonic() + 15
    while sorted(rows(settings)) != names:
        assert time.monotonic() < until_s, rows(settings)
        time.sleep(0.02)


@pytest.mark.slow
def test_watch_survives_an_outbox_that_goes_and_comes_back(settings: Settings) -> None:
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial")
    stop, thread = watching(settings)
    try:
        wait_for(settings, ["7.png"])
        settings.outbox.rename(settings.workspace / "away")
        (settings.inbox / "8.png").write_bytes(draw(8))
        time.sleep(1.5)
        assert (settings.inbox / "8.png").exists()
        (settings.workspace / "away").rename(settings.outbox)
        wait_for(settings, ["7.png", "8.png"])
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.slow
def test_watch_takes_up_a_model_that_comes_later(settings: Settings, tmp_path: Path) -> None:
    settings = Settings(
        workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial", model=str(tmp_path / "model")
    )
    stop, thread = watching(settings)
    try:
        time.sleep(0.5)
        assert (settings.inbox / "7.png").exists()
        shutil.copytree(app.SHIPPED, tmp_path / "model")
        wait_for(settings, ["7.png"])
    finally:
        stop.set()
        thread.join(timeout=10)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "folder deleted", "replaced by an old copy", "replaced by rubbish"])
def test_a_ledger_that_goes_under_watch_is_noticed_and_made_again(settings: Settings, how: str) -> None:
    settings = Settings(workspace=settings.workspace, settle_s=0.1, scan_interval_s=0.5, engine="serial")
    old = settings.workspace / "old.sqlite3"
    app.run_once(settings)
    shutil.copy(settings.ledger, old)
    (settings.inbox / "8.png").write_bytes(draw(8))
    stop, thread = watching(settings)
    try:
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
    finally:
        stop.set()
        thread.join(timeout=10)
    assert not thread.is_alive()
    with workspace.all_ledgers(settings) as ledgers:
        account = app_account(settings, ledgers)
    assert account.differences == ()
    assert account.count.claimed == 3
    assert account.count.released == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", ["record", "set_stage", "note_places"])
def test_a_ledger_deleted_in_the_middle_of_a_batch_doubles_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(Ledger, step)
    deleted: list[str] = []

    def deletes(ledger: Ledger, *given: Any) -> Any:
        if not deleted:
            deleted.append(step)
            settings.ledger.unlink()
        return real(ledger, *given)

    monkeypatch.setattr(Ledger, step, deletes)

    app.run_once(settings)

    assert deleted
    assert rows(settings) == ["7.png"]
    with workspace.all_ledgers(settings) as ledgers:
        assert app_account(settings, ledgers).differences == ()
