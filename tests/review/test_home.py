"""The home page tells what waits, what is read, what was answered and what to do next, at little cost."""

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from digitrec.app import reports
from digitrec.app.run import run_once
from digitrec.monitoring.status import ModelStatus, WorkerStatus, WorkspaceStatus
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review.home import HomeMonitor, describe_health
from digitrec.settings import Settings
from digitrec.types import Reason
from tests.conftest import draw
from tests.review.conftest import BATCH, OTHER, Answer, Opens, Pages, fill

WORKER = WorkerStatus("main", "looking", "alive", 1.0, False, "m", "", None, 0, (), "ok")
QUIET = WorkspaceStatus(0, 0, "", None, (), (WORKER,), {"inbox": 10**11}, ModelStatus(""), "")
WAITING = {"waiting": 1, "oldest": "7.png", "oldest_s": 7200.0}
STOPPED = replace(QUIET, workers=(replace(WORKER, state="not running"),))


def by(**worker: Any) -> WorkspaceStatus:
    return replace(QUIET, workers=(replace(WORKER, **worker),))


@pytest.mark.parametrize(
    ("status", "kind", "words", "fix"),
    [
        (QUIET, "ok", "as files arrive (worker main)", ""),
        (STOPPED, "ok", "Nothing waits", ""),
        (replace(STOPPED, waiting=3, oldest="7.png", oldest_s=5.0), "wait", "3 files in the inbox", "digitrec run"),
        (replace(QUIET, problem="it is gone"), "bad", "cannot be scanned: it is gone", "digitrec doctor"),
        (by(state="failing", failure="disk full"), "bad", "disk full", "doctor"),
        (by(state="silent"), "bad", "not reported", "doctor --worker main"),
        (by(ledger="cannot be opened"), "bad", "cannot be opened", "doctor"),
        (replace(QUIET, free_bytes={"inbox": 5_000_000, "state": None}), "bad", "Only 5 MB are free", "prune"),
        (replace(QUIET, **WAITING), "bad", "7.png has waited for 2 hours", "doctor"),
        (replace(STOPPED, **WAITING), "bad", "2 hours", "digitrec run"),
        (by(unexpected="KeyError: x", unexpected_s=5.0), "wait", "KeyError", "status"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_health_is_a_line_with_the_next_step(status: WorkspaceStatus, kind: str, words: str, fix: str) -> None:
    health = describe_health(status, 3600.0)

    assert health.kind == kind
    assert words in health.text
    assert fix in health.fix


def home(pages: Pages) -> dict[str, Any]:
    answer = pages.person().get("/api/home")
    assert answer.status_code == 200
    return dict(answer.json())


def test_batches_are_listed_by_day_with_what_was_reviewed(opened: Opens) -> None:
    pages = opened([Answer("7", 0.6), Answer("7", 0.95), Answer("3", 0.5), Answer("", None, reason=Reason.BLANK)])
    fill(pages.settings, OTHER, [Answer("1", 0.99)])
    pages.person().judge((1, "1"))
    with open_ledgers(pages.settings) as ledgers:
        reports.report_batch(pages.settings, ledgers["main"], BATCH)
    (pages.settings.outbox / f"{BATCH}.csv").write_text("x")

    state = home(pages)

    assert [day["day"] for day in state["days"]] == sorted({day["day"] for day in state["days"]}, reverse=True)
    batches = {batch["id"]: batch for day in state["days"] for batch in day["batches"]}
    counts = {name: batches[BATCH][name] for name in ("accepted", "review", "rejected", "reviewed", "to_review")}
    assert counts == {"accepted": 1, "review": 2, "rejected": 1, "reviewed": 1, "to_review": 2}
    assert (batches[BATCH]["has_report"], batches[BATCH]["has_table"], batches[OTHER]["has_report"]) == (
        True,
        True,
        False,
    )
    assert state["review"] == {"open": 1, "unsure": 0, "resolved": 1}


def test_the_last_answers_come_first_and_show_what_people_said(opened: Opens) -> None:
    pages = opened([Answer(str(i % 10), 0.6, f"scan {i:02d}.png") for i in range(14)])
    pages.person().judge((14, "8"))

    answers = home(pages)["answers"]

    assert len(answers) == 12
    assert [answer["row"] for answer in answers] == list(range(14, 2, -1))
    assert answers[0]["said"]["new"] == "8"
    assert answers[1]["file"] == "scan 12.png"


def test_waiting_files_are_named_and_what_is_claimed_is_being_read(opened: Opens) -> None:
    pages = opened([Answer()])
    inbox = pages.settings.inbox
    (inbox / ".claimed" / "main" / OTHER).mkdir(parents=True)
    (inbox / ".claimed" / "main" / OTHER / "now.png").write_bytes(draw(1))
    (inbox / "late\n.png").write_bytes(draw(2))
    (inbox / ".upload-0123456789abcdef.part").write_bytes(b"x")

    state = home(pages)

    assert state["waiting"]["count"] == 1
    assert state["waiting"]["files"][0]["file"] == "late%0A.png"
    assert [(batch["batch"], batch["files"], batch["names"]) for batch in state["reading"]] == [(OTHER, 1, ["now.png"])]
    assert state["health"]["fix"] in {"digitrec run", "digitrec doctor"}, "an interrupted batch from long ago"


def test_a_missing_inbox_is_a_problem_of_the_workspace(opened: Opens) -> None:
    state = home(opened([Answer()]))

    assert state["health"]["kind"] == "bad"
    assert "is missing" in state["health"]["text"]


def test_only_the_version_is_sent_again_while_nothing_changes(opened: Opens) -> None:
    pages = opened([Answer()])
    pages.settings.inbox.mkdir()
    person = pages.person()
    version = person.get("/api/home").json()["version"]

    assert person.get(f"/api/home?seen={version}").json() == {"version": version}
    person.judge((1, "7"))
    monitor = HomeMonitor(pages.settings)
    assert monitor.read(version)["version"] != version
    assert monitor.read(version)["review"] == {"open": 0, "unsure": 0, "resolved": 1}


class Clock:
    """A clock that stands still unless it is set; collecting takes as long as `takes_s`."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.takes_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.takes_s
        return self.now_s


def test_a_slow_scan_is_repeated_less_often_and_sooner_while_files_wait(opened: Opens) -> None:
    pages = opened([Answer()])
    inbox = pages.settings.inbox
    inbox.mkdir()
    clock = Clock()
    monitor = HomeMonitor(pages.settings, monotonic_s=clock)

    def waits_after(seconds: float) -> int:
        clock.now_s += seconds
        return int(monitor.read()["waiting"]["count"])

    clock.takes_s = 0.1
    assert waits_after(0) == 0
    clock.takes_s = 0.0
    (inbox / "1.png").write_bytes(draw(1))
    assert waits_after(15) == 0, "20 s after a scan of 0.1 s"
    clock.takes_s = 0.1
    assert waits_after(6) == 1
    clock.takes_s = 0.0
    (inbox / "2.png").write_bytes(draw(2))
    assert waits_after(1) == 1
    assert waits_after(1.5) == 2, "2 s after it while a file waits"


def test_the_answers_are_queried_again_only_when_a_ledger_changes(opened: Opens) -> None:
    pages = opened([Answer()])
    pages.settings.inbox.mkdir()
    clock = Clock()
    monitor = HomeMonitor(pages.settings, monotonic_s=clock)
    first = monitor.read()
    clock.now_s += 10
    assert monitor.read()["answers"] is first["answers"]

    pages.person().judge((1, "7"))
    clock.now_s += 10

    assert monitor.read()["answers"][0]["said"]["verdict"] == "confirmed"


def test_answers_that_stay_the_same_are_queried_less_often(opened: Opens) -> None:
    pages = opened([Answer()])
    pages.settings.inbox.mkdir()
    clock = Clock()
    monitor = HomeMonitor(pages.settings, monotonic_s=clock)
    monitor.read()

    def answers_after(seconds: float) -> object:
        clock.now_s += seconds
        return monitor.read()["answers"]

    clock.now_s += 10
    (pages.settings.outbox / "unrelated").touch()
    clock.takes_s = 0.1
    monitor.read()
    clock.takes_s = 0.0
    pages.person().judge((1, "7"))
    before = answers_after(15)

    assert before == answers_after(0), "20 s after a query of 0.1 s that found nothing new"
    assert before != answers_after(6)


def test_an_older_ledger_is_left_out(opened: Opens) -> None:
    pages = opened([Answer()])
    with closing(sqlite3.connect(pages.settings.ledger)) as database:
        database.execute("PRAGMA user_version = 3")

    state = HomeMonitor(pages.settings).read()

    assert state["answers"] == []
    assert state["health"]["kind"] == "bad"


@pytest.mark.slow
def test_a_dropped_file_is_answered_by_the_next_run(tmp_path: Path, opened: Opens) -> None:
    settings = Settings(workspace=tmp_path, engine="serial", settle_s=0.0, run_wait_s=0.0)
    settings.inbox.mkdir()
    pages = opened(settings=settings)
    person = pages.person()
    assert home(pages)["days"] == [], "nothing was read yet"
    headers = {"Origin": "http://127.0.0.1:8123"}
    assert person.client.post("/api/upload?name=seven.png", content=draw(7), headers=headers).status_code == 201
    os.utime(settings.inbox / "seven.png", (time.time() - 100,) * 2)

    run_once(settings)

    state = HomeMonitor(settings).read()
    assert [(answer["file"], answer["text"]) for answer in state["answers"]] == [("seven.png", "7")]
    assert state["has_latest"]
