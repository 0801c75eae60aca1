"""How fast the review pages are: with 50,000 answers in the ledger, and for a scripted person in each way of working.

`python -m benchmarks.review` prints figures. The person in a browser looks at nothing: what they get through in a
minute is what the pages allow, not what people do. Needs Chromium; without it only the pages' times are measured.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from digitrec.app import review
from digitrec.review.auth import Sessions
from digitrec.settings import Settings
from digitrec.storage.ledger import Ledger
from tests.review import browser
from tests.review.conftest import Answer, fill

_PORT = 8123
_ROUNDS = 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=50_000)
    parser.add_argument("--pictures", type=int, default=300, help="that the scripted person looks at, each way")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        latency(Path(folder), asked.answers)
    if browser.program() is None:
        print("no Chromium: nobody to review")
        return
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        people(Path(folder), chromium, asked.pictures)


def latency(folder: Path, answers: int) -> None:
    """Measure each page with many answers, one in fifteen of them in review, some corrected."""
    settings = Settings(workspace=folder)
    rng = random.Random(0)
    blank = b"\x89PNG\r\n\x1a\n"
    for number in range(0, answers, 500):
        made = [_answer(rng, blank) for _ in range(min(500, answers - number))]
        fill(settings, f"20260101T{number // 500:06d}Z-0a1b2c3d", made)
    _judge(settings, rng)
    site = review.build_site(settings, Sessions(), _PORT, audit=50)
    times = asyncio.run(_ask_all(site.app(), site.sessions.invite("Bench")))
    print(f"{answers} answers; milliseconds a request, fastest, median and slowest of {_ROUNDS}:")
    for address, taken in times.items():
        print(f"  {address:44} {min(taken):7.1f} {statistics.median(taken):7.1f} {max(taken):7.1f}")


async def _ask_all(app: Any, token: str) -> dict[str, list[float]]:
    base = f"http://127.0.0.1:{_PORT}"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=base) as client:
        await client.get("/enter", params={"token": token})
        first = (await client.get("/api/list", params={"status": "review", "most": 1})).json()["entries"][0]
        judgement = {"batch": first["batch"], "row": first["row"], "new": first["text"], "seen": first["seen"]}
        addresses = (
            *("/", "/one?status=review", "/grid?text=7", "/try", "/api/list?status=review&most=24"),
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


async def _ms(client: httpx.AsyncClient, method: str, address: str, **more: Any) -> float:
    start = time.perf_counter()
    answer = await client.request(method, address, **more)
    taken = 1000 * (time.perf_counter() - start)
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
    _wait(tab, "#done", f"{pictures} by you")
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
        _wait(tab, "#done", f"{100 * screen + left} of {pictures} resolved")
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
