"""Measure the pages of `serve` and `review` with 50,000 answers, an idle server, and a scripted person.

`python -m benchmarks.review` prints figures. The person in a browser looks at nothing: what they get through in a
minute is what the pages allow, not what people do. On a mixed batch, they work a second time with the pauses of a
person (`--look`, `--key`), and what they saved is compared with the truth. Needs Chromium; without it only the pages'
times are measured.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import httpx

from benchmarks import mixed_batch
from digitrec.app import reports, review
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review.auth import Sessions
from digitrec.review.home import HomeMonitor
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from tests.review import browser
from tests.review.conftest import Answer, fill

_PORT = 8123
_BATCH = "20260101T000000Z-0a1b2c3d"
_ROUNDS = 15
_WINDOW_S = 10.0
"""Idle CPU is the median of windows: time in which a virtual machine is paused counts as CPU time of one window."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=50_000)
    parser.add_argument("--pictures", type=int, default=300, help="that the scripted person looks at, each way")
    parser.add_argument("--idle-s", type=float, default=60.0, help="how long an idle server is observed")
    parser.add_argument("--look", type=float, default=0.5, help="seconds before the first key of a number")
    parser.add_argument("--key", type=float, default=0.2, help="seconds a key; 60 words a minute")
    parser.add_argument("--only-mixed", action="store_true", help="only the mixed batch")
    asked = parser.parse_args()
    if asked.only_mixed:
        review_mixed(asked.look, asked.key)
        return
    with tempfile.TemporaryDirectory() as folder:
        latency(Path(folder), asked.answers)
        idle(Path(folder), asked.idle_s)
    if browser.program() is None:
        print("no Chromium: nobody to review")
        return
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        people(Path(folder), chromium, asked.pictures)
    review_mixed(asked.look, asked.key)


def review_mixed(look_s: float, key_s: float) -> None:
    """Review the mixed batch of `review_batch` without and with the pauses of a person."""
    for pauses in (mixed_batch.Pauses(), mixed_batch.Pauses(look_s, key_s)):
        with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
            mixed_batch.fill_batch(Settings(workspace=Path(folder)))
            with browser.served(Path(folder), "--reviewer", "Bench") as address:
                result = mixed_batch.review(chromium, address, pauses)
            print(result.describe(mixed_batch.count_slips(Settings(workspace=Path(folder)))))


def latency(folder: Path, answers: int) -> None:
    """Measure each page with many answers, one in fifteen of them in review, some corrected."""
    settings = Settings(workspace=folder)
    rng = random.Random(0)
    blank = b"\x89PNG\r\n\x1a\n"
    for number in range(0, answers, 500):
        made = [_answer(rng, blank) for _ in range(min(500, answers - number))]
        fill(settings, f"20260101T{number // 500:06d}Z-0a1b2c3d", made)
    _judge(settings, rng)
    settings.inbox.mkdir(exist_ok=True)
    with open_ledgers(settings) as ledgers:
        reports.report_batch(settings, ledgers["main"], _BATCH)
    site = review.build_site(settings, Sessions(), _PORT, audit=50)
    times = asyncio.run(_ask_all(site.app(), site.sessions.invite("Bench")))
    times["/api/home, after a change"] = [_collect_ms(settings) for _ in range(_ROUNDS)]
    print(f"{answers} answers; milliseconds a request: fastest, median, slowest of {_ROUNDS}; median of CPU time:")
    for address, taken in times.items():
        walls, cpu = [wall for wall, _ in taken], statistics.median(cpu for _, cpu in taken)
        print(f"  {address:48} {min(walls):7.1f} {statistics.median(walls):7.1f} {max(walls):7.1f} {cpu:7.1f}")


def _collect_ms(settings: Settings) -> tuple[float, float]:
    monitor, start, cpu_start = HomeMonitor(settings), time.perf_counter(), time.process_time()
    monitor.read()
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu_start)


def idle(folder: Path, seconds: float) -> None:
    """Measure the CPU that a server takes while one home page is open and nothing happens."""
    with browser.served(folder, "--port", "0") as address:
        opener = build_opener(HTTPCookieProcessor())
        opener.open(address, timeout=20).close()
        root, version = address.partition("/enter")[0], ""
        pid = _find_server(int(root.rpartition(":")[2]))
        for _ in range(3):  # the first requests load modules
            version = json.loads(opener.open(f"{root}/api/home?seen={version}", timeout=20).read())["version"]
            time.sleep(2)
        shares = []
        for _ in range(max(1, round(seconds / _WINDOW_S))):
            before_s, started_s = _cpu_s(pid), time.perf_counter()
            while time.perf_counter() - started_s < _WINDOW_S:
                opener.open(f"{root}/api/home?seen={version}", timeout=20).close()
                time.sleep(2)
            shares.append((_cpu_s(pid) - before_s) / (time.perf_counter() - started_s))
        figures = f"median {statistics.median(shares):.2%}, most {max(shares):.2%}"
        print(f"an open home page, nothing happens, {len(shares)} windows of {_WINDOW_S:.0f} s: {figures} of a core")


def _find_server(port: int) -> int:
    """Return the process that listens on a port, a child of this one."""
    inode = next(line.split()[9] for line in _lines("/proc/net/tcp") if line.split()[1].endswith(f":{port:04X}"))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) == f"socket:[{inode}]" for file in (process / "fd").iterdir()):
                return int(process.name)
    raise LookupError(port)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="ascii").splitlines()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _ask_all(app: Any, token: str) -> dict[str, list[tuple[float, float]]]:
    base = f"http://127.0.0.1:{_PORT}"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base) as client:
        await client.get("/enter", params={"token": token})
        first = (await client.get("/api/list", params={"status": "review", "most": 1})).json()["entries"][0]
        judgement = {"batch": first["batch"], "row": first["row"], "new": first["text"], "seen": first["seen"]}
        addresses = (
            *("/", "/api/home", "/review", "/one?status=review", "/grid?text=7", "/try"),
            *("/find?q=scan-00007", "/find?q=4711", "/find?q=0123456789", f"/find?batch={_BATCH}", "/metrics"),
            *(f"/answer/{_BATCH}/7", "/reports/", f"/reports/{_BATCH}/index.html", "/api/list?status=review&most=24"),
            "/api/numbers?digit=7",
            *("/api/list?text=7", "/api/list?state=any", "/api/list?state=any&file=no+such+file", "/api/audit"),
            *("/api/list?state=settled", f"/api/entry/{judgement['batch']}/{judgement['row']}"),
        )
        times = {address: [await _ms(client, "GET", address) for _ in range(_ROUNDS)] for address in addresses}
        times["POST /api/judge"] = []
        for _ in range(_ROUNDS):
            body = {"how": "one", "judgements": [judgement]}
            times["POST /api/judge"].append(
                await _ms(client, "POST", "/api/judge", json=body, headers={"Origin": base})
            )
            judgement["seen"] = (await client.get(f"/api/entry/{judgement['batch']}/{judgement['row']}")).json()["seen"]
        return times


async def _ms(client: httpx.AsyncClient, method: str, address: str, **more: Any) -> tuple[float, float]:
    start, cpu_start = time.perf_counter(), time.process_time()
    answer = await client.request(method, address, **more)
    taken = 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu_start)
    answer.raise_for_status()
    return taken


def people(folder: Path, chromium: Any, pictures: int) -> None:
    """What a scripted person gets through in a real browser."""
    settings = Settings(workspace=folder)
    fill(settings, "20260101T000000Z-0a1b2c3d", [Answer(str(i % 10), 0.1 + i / 1000) for i in range(pictures)])
    alike = [Answer("7", 0.95 + i / 100_000) for i in range(pictures)]
    fill(settings, "20260102T000000Z-0a1b2c3d", alike)
    with browser.served(folder, "--reviewer", "Bench") as address:
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(address)
        root = address.partition("/enter")[0]
        print(f"a scripted person, {pictures} pictures each way; pictures a minute:")
        print(f"  one by one  {pictures / _review_single(tab, root, pictures):8.0f}")
        print(f"  by digit    {pictures / _review_grid(tab, root, pictures):8.0f}")


def _review_single(tab: Any, root: str, pictures: int) -> float:
    """Minutes for: wait until the picture is there, type a digit, Enter; every third is agreed to."""
    tab.goto(f"{root}/one?status=review")
    tab.wait_for_selector("#frame image")
    start = time.perf_counter()
    for number in range(pictures):
        tab.wait_for_selector(f"#frame svg[aria-label*='scan-{number + 1:05d}.png']")
        if number % 3:
            tab.keyboard.press(str(number % 10))
        tab.keyboard.press("Enter")
    _wait(tab, "#done", f"{pictures} decisions by you")
    return (time.perf_counter() - start) / 60


def _review_grid(tab: Any, root: str, pictures: int) -> float:
    """Minutes for: wait until all pictures of a screen are there, correct two of them, Enter."""
    start = time.perf_counter()
    tab.goto(f"{root}/grid?text=7&batch=20260102T000000Z-0a1b2c3d")
    for screen in range(-(-pictures // 100)):
        left = min(100, pictures - 100 * screen)
        _wait(tab, "#enter", f"Confirm {left}")
        for key in ("ArrowRight", "1", "ArrowDown", "x"):
            tab.keyboard.press(key)
        tab.keyboard.press("Enter")
        _wait(tab, "#done", f"{100 * screen + left} of {pictures} answers resolved")
    return (time.perf_counter() - start) / 60


def _wait(tab: Any, selector: str, words: str) -> None:
    tab.wait_for_selector(f"{selector} >> text={words}", timeout=120_000)


def _answer(rng: random.Random, content: bytes) -> Answer:
    confidence = rng.uniform(0.1, 0.9) if rng.random() < 1 / 15 else rng.uniform(0.9, 1.0)
    text = str(rng.randrange(10)) if rng.random() < 0.9 else str(rng.randrange(10, 100_000))
    return Answer(text, confidence, content=content)


def _judge(settings: Settings, rng: random.Random) -> None:
    """People have said something of one in ten."""
    with closing(Ledger.open(settings.ledger)) as ledger, ledger.transaction():
        rows = ledger.query("SELECT batch_id, row, text FROM readings").fetchall()
        for batch_id, row, text in rng.sample(rows, len(rows) // 10):
            ledger.query(
                "INSERT INTO corrections (batch_id, row, at, who, verdict, old, new, how) "
                "VALUES (?, ?, '2026-01-03T00:00:00.000Z', 'Bench', 'confirmed', ?, ?, 'grid')",
                (batch_id, row, text, text),
            )


if __name__ == "__main__":
    main()
