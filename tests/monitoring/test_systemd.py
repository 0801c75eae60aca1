"""Notifications to systemd."""

import socket
import threading
import time
from pathlib import Path

import pytest

from digitrec.app import service
from digitrec.app.run import run_once, watch
from digitrec.monitoring.heartbeat import SystemdNotifier
from digitrec.pipeline.watcher import NoChangeSource
from digitrec.settings import Settings


def listen(address: str) -> socket.socket:
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.bind(address)
    ear.settimeout(20)
    return ear


def test_readiness_is_sent_once_and_the_watchdog_once_a_second(tmp_path: Path) -> None:
    with listen(str(tmp_path / "notify")) as ear:
        supervisor = SystemdNotifier(str(tmp_path / "notify"))
        for _ in range(3):
            supervisor.notify_ready()
            supervisor.notify_alive()
        supervisor.notify_stopping()

        assert [ear.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
        ear.settimeout(0)
        with pytest.raises(BlockingIOError):
            ear.recv(100)


def test_an_abstract_address_is_understood() -> None:
    name = f"digitrec-{time.monotonic_ns()}"
    with listen(f"\0{name}") as ear:
        SystemdNotifier(f"@{name}").notify_ready()

        assert ear.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_a_missing_listener_does_not_stop_the_work(address: str) -> None:
    supervisor = SystemdNotifier(address)
    supervisor.notify_ready()
    supervisor.notify_alive()
    supervisor.notify_stopping()


@pytest.mark.slow
@pytest.mark.parametrize("is_failing", [False, True], ids=["looking", "without its inbox"])
def test_watch_notifies_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_failing: bool
) -> None:
    settings = Settings(workspace=tmp_path, scan_interval_s=0.5)
    (tmp_path / "inbox").mkdir()
    run_once(settings)
    if is_failing:
        (tmp_path / "inbox" / ".digitrec-folder").unlink()  # like an unmounted share
        (tmp_path / "inbox" / ".claimed").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with listen(str(tmp_path / "notify")) as ear:
        stop = service.ShutdownSignal()
        thread = threading.Thread(target=watch, args=(settings, stop, NoChangeSource()))
        thread.start()
        heard = {ear.recv(100)}
        while not {b"READY=1", b"WATCHDOG=1"} <= heard:
            heard.add(ear.recv(100))
        stop.set()
        while b"STOPPING=1" not in heard:
            heard.add(ear.recv(100))
        thread.join(30)

    assert heard == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}
