"""Kills, full disks, folders that disappear, two workers, signals. `make faults` runs the long form."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from digitrec.app import service
from digitrec.app.run import watch
from digitrec.pipeline.watcher import WatchdogSource
from digitrec.settings import Settings
from tests.faults.scene import ACCOUNTS, IS_LONG, Account, Scene, kill_at_random, until

pytestmark = pytest.mark.slow

KILLS = 200 if IS_LONG else 16
KILLED_WATCHES = 20 if IS_LONG else 3
TOGETHER = 10_000 if IS_LONG else 600
KILLED_MACHINES = 20 if IS_LONG else 4


def test_sigkill_at_random_moments(scene: Scene) -> None:
    rng = random.Random(1)
    kills = 0
    while kills < KILLS:
        if not any(scene.inbox.glob("*.png")):
            scene.drop(300)
        kills += kill_at_random(scene.start("run", "--settle-s", "0", "--batch-files", "15"), rng, life_s=1.6)
        scene.check_tables()
    scene.settle(f"({kills} kills)")


def test_sigkill_of_a_watch(scene: Scene) -> None:
    rng = random.Random(2)
    for _ in range(KILLED_WATCHES):
        scene.drop(40)
        process = scene.start("watch", "--settle-s", "0.1", "--scan-interval-s", "0.5", "--batch-files", "10")
        kill_at_random(process, rng, life_s=2.5)
        scene.check_tables()
    scene.settle(f"({KILLED_WATCHES} kills)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signals_in_the_middle(scene: Scene, number: int) -> None:
    rng = random.Random(3)
    for _ in range(10 if IS_LONG else 3):
        scene.drop(200)
        process = scene.start("run", "--settle-s", "0", "--batch-files", "50")
        time.sleep(rng.uniform(0.2, 2.0))
        process.send_signal(number)
        assert process.wait(timeout=10) in (0, 128 + number, -number)
        scene.check_tables()
    scene.settle()


def test_a_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()

    result = in_namespace("tests.faults.full_disk", small)

    assert result.returncode == 0, result.stdout + result.stderr
    ACCOUNTS.append(Account(**json.loads(result.stdout.splitlines()[-1])))


def test_shares_mounted_in_the_inbox_and_over_it_are_not_touched(tmp_path: Path) -> None:
    result = in_namespace("tests.faults.mounted", tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr


def in_namespace(module: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a module in a mount namespace; skip the test if this machine does not allow it."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace to mount a filesystem in")
    words = [*alone, sys.executable, "-m", module, str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)


def test_the_outbox_goes_and_comes_back(scene: Scene) -> None:
    scene.drop(20)
    assert scene.run() == 0
    for _ in range(3):
        scene.outbox.rename(scene.workspace / "away")
        scene.drop(20)
        assert scene.run("--run-retry-s", "0.2") == 74
        (scene.workspace / "away").rename(scene.outbox)
        assert scene.run() == 0
    scene.settle()


def test_the_ledger_is_deleted(scene: Scene) -> None:
    rng = random.Random(4)
    for _ in range(10 if IS_LONG else 4):
        scene.drop(60)
        kill_at_random(scene.start("run", "--settle-s", "0", "--batch-files", "10"), rng, life_s=2.0)
        for path in (scene.workspace / ".digitrec").glob("main/ledger.sqlite3*"):
            path.unlink()
    scene.settle()


def test_the_inbox_is_replaced_by_an_empty_folder(scene: Scene) -> None:
    scene.drop(20)
    process = scene.start("watch", "--settle-s", "0.1", "--scan-interval-s", "0.5")
    try:
        until(lambda: len(scene.rows()) == 20)
        scene.inbox.rename(scene.workspace / "mounted elsewhere")
        scene.inbox.mkdir()
        time.sleep(1.5)  # three scans
        assert process.poll() is None
        assert list(scene.inbox.iterdir()) == [], "an empty folder without a marker is left alone"
        scene.inbox.rmdir()
        (scene.workspace / "mounted elsewhere").rename(scene.inbox)
        scene.drop(20)
        until(lambda: len(scene.rows()) == 40)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    scene.settle()


def test_the_observer_is_killed(scene: Scene) -> None:
    stop = service.ShutdownSignal()
    source = WatchdogSource(scene.inbox, stop.wake_event)
    settings = Settings(workspace=scene.workspace, settle_s=0.1, scan_interval_s=1.0)
    scene.drop(1)
    thread = threading.Thread(target=watch, args=(settings, stop, source))
    thread.start()
    try:
        until(lambda: len(scene.rows()) == 1)
        for count in (2, 3):
            source.stop()
            scene.drop(1)
            until(lambda count=count: len(scene.rows()) == count, 15)  # type: ignore[misc]
        until(lambda: source.state == "alive", 5)
    finally:
        stop.set()
        thread.join(timeout=20)
    scene.settle()


def test_two_workers_on_the_same_inbox(scene: Scene) -> None:
    scene.drop(TOGETHER)
    words = ("run", "--settle-s", "0", "--batch-files", "64", "--worker")
    together = [scene.start(*words, worker) for worker in ("left", "right")]
    assert [process.wait(timeout=600) for process in together] == [0, 0]
    shares = [len(list((scene.inbox / ".claimed" / worker).iterdir())) for worker in ("left", "right")]
    assert min(shares) >= 1
    scene.settle()


def test_two_machines_on_the_same_share(scene: Scene) -> None:
    rng = random.Random(6)
    machines = {name: ("--worker", name, "--state-dir", str(scene.workspace / name)) for name in ("east", "west")}
    words = ("watch", "--settle-s", "0.1", "--scan-interval-s", "0.5", "--batch-files", "10")
    running = {name: scene.start(*words, *options) for name, options in machines.items()}
    try:
        for _ in range(KILLED_MACHINES):
            scene.drop(25)
            name = rng.choice([*machines])
            kill_at_random(running[name], rng, life_s=4.0)
            running[name] = scene.start(*words, *machines[name])
            scene.check_tables()
        until(lambda: len(scene.rows()) == len(scene.dropped), 300)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        # One that was just started again has no handler yet.
        assert {process.wait(timeout=60) for process in running.values()} <= {0, -signal.SIGTERM}
    for name, options in machines.items():
        other = next(worker for worker in machines if worker != name)
        assert scene.verify(*options)[0] == 0
        assert f"in no ledger here: verify on the machine of worker {other}, too" in scene.verify(*options)[1]
    # A third one takes nothing over. Without any ledger, every batch is a difference.
    third = ("--worker", "third", "--state-dir", str(scene.workspace / "third"))
    assert scene.run(*third) == 0
    assert "0 batches closed" in scene.verify(*third)[1]
    assert scene.verify()[0] == 1
    scene.settle(f"({KILLED_MACHINES} kills)")
