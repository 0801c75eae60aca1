"""People at `digitrec serve` during a soak: one keeps the home page open, one uploads files, one reviews answers.

The answers of the server are compared with the ledger and the corrected tables, without digitrec's own code.
"""

import csv
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.process import ROOT, clean_environment, python
from benchmarks.soak.life import Life, ProcessSample, sample_process

_LOOK_S = 2.0
_OTHER_PAGES = ("/", "/review", "/metrics", "/find?q=7", "/reports/")
_REVIEWER = "Soak"
_START_TIMEOUT_S, _REQUEST_TIMEOUT_S, _STOP_TIMEOUT_S = 60.0, 60.0, 20.0
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Judged:
    """An entry of the log of corrections, as the server returned it."""

    batch: str
    row: int
    verdict: str
    new: str


@dataclass(slots=True)
class Noted:
    """Actions of the people and answers of the server."""

    home_s: list[float] = field(default_factory=list)
    """Time of each answer to the home page, seconds."""
    pages: int = 0
    uploads: int = 0
    refused: int = 0
    """Uploads that are no picture."""
    pictures: int = 0
    undone: int = 0
    judged: dict[int, Judged] = field(default_factory=dict)
    """By the id of the entry."""
    finished: set[str] = field(default_factory=set)
    """Batches whose corrected table was announced."""
    wrong: list[str] = field(default_factory=list)


class People:
    """The web application over a whole soak, and those who use it."""

    def __init__(self, workspace: Path, now_s: Callable[[], float], seed: int) -> None:
        """`now_s` gives the seconds since the soak began."""
        self._workspace, self._now_s = workspace, now_s
        self._rng = random.Random(seed)
        self._log = workspace / "serve.log"
        self._over = threading.Event()
        self.noted = Noted()
        self.life = Life(now_s())

    def start(self, review_s: float) -> None:
        """Start the server and those who use it; one of them judges some answers every `review_s` seconds."""
        words = python("-m", "digitrec", "serve", "--workspace", str(self._workspace), "--port", "0", "--no-browser")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--reviewer", _REVIEWER],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=clean_environment(),
                start_new_session=True,
            )
        address = self._wait_for_address()
        root = address.partition("/enter")[0]
        self._client = httpx.Client(base_url=root, headers={"Origin": root}, timeout=_REQUEST_TIMEOUT_S)
        self._client.get(address)
        self._threads = [
            threading.Thread(target=self._repeat, args=(_LOOK_S, self._look)),
            threading.Thread(target=self._repeat, args=(review_s, self._review)),
        ]
        for thread in self._threads:
            thread.start()

    def upload(self, name: str, content: bytes) -> str | None:
        """Upload a file as the home page does; return its name in the inbox, None if it is no picture."""
        try:
            response = self._client.post("/api/upload", params={"name": name}, content=content)
            if response.status_code != httpx.codes.UNSUPPORTED_MEDIA_TYPE:
                stored = str(response.raise_for_status().json()["file"])
                self.noted.uploads += 1
                return stored
        except httpx.HTTPError as why:
            self._complain(why)
        else:
            self.noted.refused += 1
        return None

    def stop(self) -> None:
        """Send everybody home and end the server."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.life.ended_s = self._now_s()
        if code not in {_TERMINATED, -signal.SIGTERM}:
            self.noted.wrong.append(f"serve ended with {code}")
        if count := self._log.read_text(encoding="utf-8", errors="replace").count("Traceback"):
            self.noted.wrong.append(f"serve.log has {count} tracebacks")

    def compare(self) -> dict[str, Any]:
        """Compare the answers of the server with the ledger and the corrected tables; the service has ended."""
        with closing(sqlite3.connect(self._workspace / ".digitrec" / "main" / "ledger.sqlite3")) as ledger:
            ask = "SELECT id, batch_id, row, verdict, new FROM corrections WHERE number = 0 ORDER BY id"
            have = {number: Judged(*values) for number, *values in ledger.execute(ask)}
        judged = self.noted.judged
        lost = [f"{number}: {entry}" for number, entry in judged.items() if have.get(number) != entry]
        doubled = [f"{number}: {entry}" for number, entry in have.items() if number not in judged]
        newest = {(entry.batch, entry.row): entry for _, entry in sorted(judged.items())}
        for batch in sorted(self.noted.finished):
            lost += self._compare_table(batch, newest)
        return {
            "home_s": sorted(self.noted.home_s),
            "pages": self.noted.pages,
            "uploads": self.noted.uploads,
            "uploads_refused": self.noted.refused,
            "pictures": self.noted.pictures,
            "judged": len(judged),
            "undone": self.noted.undone,
            "finished": len(self.noted.finished),
            "lost": lost,
            "doubled": doubled,
            "wrong": self.noted.wrong,
        }

    def _compare_table(self, batch: str, newest: Mapping[tuple[str, int], Judged]) -> list[str]:
        """Return the judgements of a finished batch that its corrected table does not have."""
        path = self._workspace / "outbox" / "corrected" / f"{batch}.csv"
        if not path.exists():
            return [f"{path.name} was announced and is missing"]
        with path.open(encoding="utf-8", newline="") as file:
            lines = {int(line["row"]): line for line in csv.DictReader(file, strict=True)}
        missing = []
        for entry in newest.values():
            if entry.batch == batch and entry.verdict in {"confirmed", "corrected"}:
                line, text = lines[entry.row], "" if entry.new == "none" else entry.new
                if (line["status"], line["text"]) != (entry.verdict, text):
                    missing.append(f"{path.name}, row {entry.row}: {line['status']} {line['text']!r}, not {entry}")
        return missing

    def _wait_for_address(self) -> str:
        until_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < until_s and self._process.poll() is None:
            if match := re.search(r"http://\S+", self._log.read_text(encoding="utf-8", errors="replace")):
                return match[0]
            time.sleep(0.1)
        self._process.kill()
        raise RuntimeError(f"digitrec serve printed no address; see {self._log}")

    def _repeat(self, pause_s: float, act: Callable[[], None]) -> None:
        while not self._over.wait(pause_s):
            try:
                act()
            except httpx.HTTPError as why:
                self._complain(why)

    def _complain(self, why: httpx.HTTPError) -> None:
        answer = why.response.text[:200] if isinstance(why, httpx.HTTPStatusError) else ""
        self.noted.wrong.append(f"minute {self._now_s() / 60:.1f}: {type(why).__name__} {why} {answer}")

    def _look(self) -> None:
        """Ask what the home page asks every two seconds, sometimes for another page, and note how the server is."""
        began_s = time.monotonic()
        self._get("/api/home")
        self.noted.home_s.append(time.monotonic() - began_s)
        if len(self.noted.home_s) % 10 == 0:
            self._client.get(_OTHER_PAGES[self.noted.pages % len(_OTHER_PAGES)]).raise_for_status()
            self.noted.pages += 1
        if (seen := sample_process(self._process.pid)) is not None:
            age_s = self._now_s() - self.life.began_s
            self.life.samples.append(ProcessSample(self._now_s(), age_s, *seen[1], doing="serving"))

    def _review(self) -> None:
        """Judge answers of the oldest batch with open ones, and take one judgement in five back."""
        days = self._get("/api/home")["days"]
        batches = [batch for day in days for batch in day["batches"] if batch["reviewed"] < batch["to_review"]]
        for entry in self._open_answers(min((batch["id"] for batch in batches), default="")):
            for view in ("small", "near", "whole"):
                self._client.get(f"/picture/{view}/{entry['batch']}/{entry['row']}").raise_for_status()
                self.noted.pictures += 1
            new = self._rng.choice((entry["text"] or "none", f"{self._rng.randrange(10**6)}", "illegible"))
            (saved,) = self._save("/api/judge", {"how": "one", "judgements": [_pick(entry) | {"new": new}]})
            if new not in {(saved["said"] or {}).get("new"), "illegible"}:
                self.noted.wrong.append(f"{new!r} was judged, and saved is {saved}")
            if self._rng.random() < 0.2:
                self._save("/api/undo", {"entries": [_pick(saved)]})
                self.noted.undone += 1

    def _open_answers(self, batch: str) -> list[dict[str, Any]]:
        if not batch:
            return []
        answers: list[dict[str, Any]] = self._get(f"/api/list?status=review&most=8&batch={batch}")["entries"]
        return answers

    def _get(self, address: str) -> Any:
        return self._client.get(address).raise_for_status().json()

    def _save(self, address: str, body: Mapping[str, object]) -> list[dict[str, Any]]:
        content = self._client.post(address, json=body).raise_for_status().json()
        for item in content["done"]:
            verdict = item["said"] or {"verdict": "withdrawn", "new": ""}
            self.noted.judged[item["seen"]] = Judged(item["batch"], item["row"], verdict["verdict"], verdict["new"])
        self.noted.finished |= set(content["finished"])
        done: list[dict[str, Any]] = content["done"]
        return done


def _pick(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("batch", "row", "seen")}
