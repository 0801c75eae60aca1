"""What people say is kept, never over what somebody else said, and ends in a table."""

import csv
from contextlib import closing

import pytest

from digitrec.storage.corrections import read_latest
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.review.conftest import BATCH, Answer, Opens


def test_a_verdict_is_saved_with_its_author_and_method(opened: Opens) -> None:
    pages = opened([Answer("7", 0.5), Answer("7", 0.6)])

    answer = pages.person("Anna").judge((1, "1"), (2, "7"), how="grid")

    assert [item["said"]["verdict"] for item in answer.json()["done"]] == ["corrected", "confirmed"]
    assert answer.json()["by_you"] == 2
    with closing(Ledger.open_readonly(pages.settings.ledger)) as ledger:
        corrections = read_latest(ledger)
    assert [(item.reviewer, item.method, item.old, item.new) for item in corrections.values()] == [
        ("Anna", "grid", "7", "1"),
        ("Anna", "grid", "7", "7"),
    ]


def test_the_second_reviewer_is_shown_the_first_verdict(opened: Opens) -> None:
    pages = opened([Answer(), Answer()])
    anna, ben = pages.person("Anna"), pages.person("Ben")
    anna.judge((1, "1"))

    answer = ben.judge((1, "2"), (2, "7"))

    assert answer.status_code == 409
    (clash,) = answer.json()["conflicts"]
    assert (clash["row"], clash["said"]["who"], clash["said"]["new"]) == (1, "Anna", "1")
    assert answer.json()["done"] == []
    assert ben.listed()["count"]["open"] == 1, "all or nothing"


def test_a_reviewer_may_overrule_a_verdict_they_have_seen(opened: Opens) -> None:
    pages = opened([Answer()])
    anna, ben = pages.person("Anna"), pages.person("Ben")
    anna.judge((1, "1"))
    (clash,) = ben.judge((1, "2")).json()["conflicts"]

    answer = ben.judge((1, "2"), seen=clash["seen"])

    assert answer.status_code == 200
    entry = anna.get(f"/api/entry/{BATCH}/1").json()
    assert (entry["said"]["who"], entry["said"]["new"]) == ("Ben", "2")


def test_undo_brings_back_what_held_before(opened: Opens) -> None:
    person = opened([Answer()]).person()
    (first,) = person.judge((1, "1")).json()["done"]
    (second,) = person.judge((1, "2"), seen=first["seen"]).json()["done"]

    answer = person.post("/api/undo", {"entries": [{"batch": BATCH, "row": 1, "seen": second["seen"]}]})

    assert answer.json()["done"][0]["said"]["new"] == "1"
    assert answer.json()["by_you"] == 1


def test_undo_never_removes_the_verdict_of_another_reviewer(opened: Opens) -> None:
    pages = opened([Answer()])
    anna, ben = pages.person("Anna"), pages.person("Ben")
    (first,) = anna.judge((1, "1")).json()["done"]
    ben.judge((1, "2"), seen=first["seen"])

    answer = anna.post("/api/undo", {"entries": [{"batch": BATCH, "row": 1, "seen": first["seen"]}]})

    assert answer.status_code == 409
    assert answer.json()["conflicts"][0]["said"]["new"] == "2"


def test_the_last_answer_of_a_batch_brings_its_table_and_says_where(opened: Opens) -> None:
    pages = opened([Answer("7", 0.5), Answer("7", 0.6), Answer("7", 0.95)])
    person = pages.person()

    assert person.judge((1, "1")).json()["finished"] == {}
    path = person.judge((2, "none")).json()["finished"][BATCH]

    assert path == f"outbox/corrected/{BATCH}.csv"
    with (pages.settings.workspace / path).open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["status"], row["text"]) for row in table] == [("corrected", "1"), ("corrected", ""), ("accepted", "7")]
    page = person.get("/review").text
    for address in (f"/{path}", f"/export/tables.xlsx?batch={BATCH}"):
        assert f'href="{address}"' in page
        assert person.get(address).status_code == 200


def test_an_outbox_that_cannot_be_written_costs_no_judgement(opened: Opens) -> None:
    pages = opened([Answer()])
    (pages.settings.outbox / ".digitrec-folder").write_text("1" * 32 + "\n")

    answer = pages.person().judge((1, "1"))

    assert answer.status_code == 200
    assert "another folder" in answer.json()["late"]
    (pages.settings.outbox / ".digitrec-folder").write_text("0" * 32 + "\n")
    opened()
    assert (pages.settings.outbox / "corrected" / f"{BATCH}.csv").exists(), "the next start makes it"


def test_a_batch_in_no_ledger_is_refused_before_saving(opened: Opens) -> None:
    person = opened([Answer()]).person()
    right_row = {"batch": BATCH, "row": 1, "new": "7", "seen": 0}
    nowhere = right_row | {"batch": "20990101T000000Z-00000000"}

    answer = person.post("/api/judge", {"how": "one", "judgements": [right_row, nowhere]})

    assert answer.status_code == 400
    assert person.listed()["count"]["open"] == 1
    assert person.judge((77, "7")).status_code == 400


@pytest.mark.parametrize("reason", [Reason.BLANK, Reason.NOT_A_DIGIT])
def test_no_digit_agrees_where_the_service_saw_none(opened: Opens, reason: Reason) -> None:
    blank = reason is Reason.BLANK
    person = opened([Answer("" if blank else "7", None if blank else 0.4, reason=reason)]).person()

    (held,) = person.judge((1, "none")).json()["done"]

    assert held["said"]["verdict"] == "confirmed"
