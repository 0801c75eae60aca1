"""Real processes on a real folder, with the shipped model: run, watch, signals. Kills are in faults/."""

import csv
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import DEFAULT_SIGNALS, read_csv

pytestmark = pytest.mark.slow

PICTURES = 300


def scan_of(digit: int, seed: int) -> bytes:
    """Return a digit on grainy paper as PNG; each seed gives other bytes."""
    rng = np.random.default_rng(seed)
    paper = rng.normal(225, 4, (90, 70)).clip(0, 255).astype(np.uint8)
    cv2.putText(paper, str(digit), (14, 70), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 40, 5, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", paper)[1])


def command(workspace: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "digitrec", *words, "--workspace", str(workspace)]


def run(workspace: Path, *words: str, code: int = 0) -> str:
    process = subprocess.run(command(workspace, *words), capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == code, process.stderr
    return process.stdout


def rows_of(workspace: Path) -> list[dict[str, str]]:
    return [row for path in (workspace / "outbox").glob("*Z-????????.csv") for row in read_csv(path)]


def until(condition: Callable[[], Any], timeout_s: float) -> float:
    """Wait for a condition; return the waiting time in seconds."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it took too long"
        time.sleep(0.02)
    return time.monotonic() - began_s


@pytest.fixture
def watching(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a workspace with a running watch."""
    mode = getattr(request, "param", "events")
    (tmp_path / "inbox").mkdir()
    words = command(tmp_path, "watch", "--watch-mode", mode, "--scan-interval-s", "3")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, stderr=log)
        until((tmp_path / "inbox" / ".claimed" / "main" / "lock").exists, 20)
        time.sleep(0.5)
        yield tmp_path
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, (tmp_path / "log").read_text()


def test_an_empty_inbox_is_no_error_and_says_so(tmp_path: Path) -> None:
    assert "Nothing to read" in run(tmp_path, "run")


def test_run_writes_a_table_that_every_csv_reader_reads_alike(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    for digit in range(10):
        (tmp_path / "inbox" / f"{digit}.png").write_bytes(scan_of(digit, digit))

    summary = json.loads(run(tmp_path, "run", "--json"))

    table = Path(summary["batches"][0]["csv"])
    by_csv = read_csv(table)
    import pandas

    by_pandas = pandas.read_csv(table, dtype=str, keep_default_na=False).to_dict("records")
    with sqlite3.connect(":memory:") as db:
        names = list(by_csv[0])
        db.execute("CREATE TABLE t ({})".format(", ".join(f'"{name}"' for name in names)))
        with table.open(newline="") as file:
            db.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", list(csv.reader(file))[1:])
        by_sqlite = [dict(zip(names, values, strict=True)) for values in db.execute("SELECT * FROM t")]
    db.close()
    assert by_csv == by_pandas == by_sqlite
    assert [row["digit"] for row in by_csv] == list("0123456789")
    assert "no difference" in run(tmp_path, "verify")


@pytest.mark.parametrize("watching", ["events", "scan"], indirect=True)
def test_watch_reads_a_complete_file_within_the_settle_time(watching: Path, request: pytest.FixtureRequest) -> None:
    settle_s, slack_s = 2.0, 1.0
    interval_s = 3.0 if request.node.callspec.params["watching"] == "scan" else 0.0
    (watching / "inbox" / "first.png").write_bytes(scan_of(4, 1))
    # 4 s more than the guarantee, for busy machines.
    assert until(lambda: rows_of(watching), settle_s + interval_s + slack_s + 4.0) >= settle_s

    for number in range(100):
        (watching / "inbox" / f"{number:03}.png").write_bytes(scan_of(number % 10, number))
    until(lambda: len(rows_of(watching)) == 101, settle_s + interval_s + slack_s + 15.0)

    assert len({row["file"] for row in rows_of(watching)}) == 101


def test_a_slowly_written_file_is_read_once_when_complete(watching: Path) -> None:
    content = scan_of(7, 7)
    piece = len(content) // 8
    with (watching / "inbox" / "slow.png").open("wb") as file:
        for start in range(0, len(content), piece):
            file.write(content[start : start + piece])
            file.flush()
            time.sleep(0.7)
    until(lambda: rows_of(watching), 15)
    time.sleep(1.0)

    (row,) = rows_of(watching)
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert row["digit"] == "7"


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_ends_run_and_the_next_run_continues(tmp_path: Path, signal_number: int, code: int) -> None:
    (tmp_path / "inbox").mkdir()
    for number in range(PICTURES):
        (tmp_path / "inbox" / f"{number:03}.png").write_bytes(scan_of(number % 10, number))
    process = subprocess.Popen(
        [*DEFAULT_SIGNALS, *command(tmp_path, "run", "--settle-s", "0", "--batch-files", "10")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    until(lambda: rows_of(tmp_path), 20)
    process.send_signal(signal_number)
    _, log = process.communicate(timeout=10)
    assert process.returncode == code
    assert log.count(b"stopping: results so far are kept") == (signal_number == signal.SIGINT)
    assert b"Traceback" not in log

    run(tmp_path, "run", "--settle-s", "0")

    assert sorted(row["file"] for row in rows_of(tmp_path)) == [f"{number:03}.png" for number in range(PICTURES)]
    assert "no difference" in run(tmp_path, "verify")


def test_watch_ends_in_order_when_its_terminal_is_closed(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    process = subprocess.Popen([*DEFAULT_SIGNALS, *command(tmp_path, "watch")], stderr=subprocess.DEVNULL)
    until((tmp_path / "inbox" / ".claimed" / "main" / "lock").exists, 20)
    time.sleep(0.5)

    process.send_signal(signal.SIGHUP)

    assert process.wait(timeout=10) == 0


def test_run_under_nohup_goes_on_when_its_terminal_is_closed(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    for number in range(PICTURES):
        (tmp_path / "inbox" / f"{number:03}.png").write_bytes(scan_of(number % 10, number))
    process = subprocess.Popen(
        ["nohup", *command(tmp_path, "run", "--settle-s", "0", "--batch-files", "10")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: rows_of(tmp_path), 20)
    process.send_signal(signal.SIGHUP)

    assert process.wait(timeout=60) == 0
    assert len(rows_of(tmp_path)) == PICTURES


def test_a_signal_does_not_wait_for_a_file_of_hundreds_of_pages(tmp_path: Path) -> None:
    from PIL import Image

    sheet = np.full((3000, 2200), 255, np.uint8)
    cv2.putText(sheet, "71", (200, 1900), cv2.FONT_HERSHEY_SIMPLEX, 40, 0, 60)  # the fast path does not read it
    page = Image.fromarray(sheet).convert("1")
    (tmp_path / "inbox").mkdir()
    page.save(
        tmp_path / "inbox" / "long.tif", save_all=True, append_images=[page] * 199, compression="group4", format="TIFF"
    )
    process = subprocess.Popen(
        command(tmp_path, "run", "--settle-s", "0"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(lambda: list((tmp_path / "inbox" / ".claimed" / "main").glob("*/long.tif")), 30)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 143
    assert (tmp_path / "inbox" / "long.tif").exists()
    assert "no difference" in run(tmp_path, "verify")
