"""A page with several numbers is reviewed number by number."""

from contextlib import closing
from dataclasses import replace

import pytest

from digitrec.storage.corrections import read_number_corrections
from digitrec.storage.ledger import Ledger
from digitrec.types import Box
from tests.conftest import read_csv
from tests.review.conftest import BATCH, Answer, Opens, Person
from tests.storage.test_number_corrections import read

TABLE = Answer(
    "21 37 4",
    0.4,
    numbers=(
        read("21"),
        replace(read("37", column=2, is_sure=False), box=Box(30, 15, 20, 30)),
        read("4", 2, is_sure=False),
    ),
)


def judge(person: Person, *judgements: tuple[int, str | None], seen: int = 0) -> dict[str, object]:
    given = [{"batch": BATCH, "row": 1, "number": number, "new": new, "seen": seen} for number, new in judgements]
    answer = person.post("/api/judge", {"how": "one", "judgements": given})
    assert answer.status_code in {200, 409}, answer.text
    return dict(answer.json())


def test_an_entry_lists_its_numbers(opened: Opens) -> None:
    entry = opened([TABLE]).person().get(f"/api/entry/{BATCH}/1").json()

    assert entry["numbers"][1] == {
        "number": 2,
        "line": 1,
        "column": 2,
        "box": [30, 15, 20, 30],
        "text": "37",
        "confidence": 0.9,
        "status": "review",
        "reason": "low_confidence",
        "why": "the confidence is too low to accept it without review",
        "said": None,
        "doubt": {"at": 0, "box": [1, 2, 3, 4]},
    }
    assert [number["text"] for number in entry["numbers"]] == ["21", "37", "4"]


def test_a_page_is_reviewed_once_none_of_its_numbers_needs_review(opened: Opens) -> None:
    pages = opened([TABLE])
    person = pages.person()

    (first,) = judge(person, (2, "31"))["done"]
    assert first["said"] is None
    assert person.listed()["count"] == {"open": 1, "unsure": 0, "resolved": 0}
    entry = person.get(f"/api/entry/{BATCH}/1").json()
    assert (entry["numbers"][1]["said"]["new"], entry["numbers"][2]["said"]) == ("31", None)

    answer = judge(person, (3, "4"), seen=first["seen"])

    assert answer["done"][0]["said"]["new"] == "21 31 4"
    assert person.listed()["count"] == {"open": 0, "unsure": 0, "resolved": 1}
    assert answer["finished"] == {BATCH: f"outbox/corrected/{BATCH}.csv"}
    lines = read_csv(pages.settings.outbox / "corrected" / f"{BATCH}.numbers.csv")
    assert [(line["text"], line["status"]) for line in lines] == [
        ("21", "accepted"),
        ("31", "corrected"),
        ("4", "confirmed"),
    ]


def test_several_numbers_are_saved_or_refused_together(opened: Opens) -> None:
    pages = opened([TABLE])
    anna, ben = pages.person("Anna"), pages.person("Ben")
    judge(anna, (2, None), (3, "illegible"))

    answer = judge(ben, (1, "9"), (2, "8"))

    assert (answer["done"], [item["row"] for item in answer["conflicts"]]) == ([], [1])
    with closing(Ledger.open_readonly(pages.settings.ledger)) as ledger:
        corrections = read_number_corrections(ledger, BATCH)
    assert {key: correction.verdict for key, correction in corrections.items()} == {
        (1, 2): "unsure",
        (1, 3): "illegible",
    }


def test_undo_takes_back_the_numbers_of_the_last_save(opened: Opens) -> None:
    person = opened([TABLE]).person()
    (saved,) = judge(person, (2, "31"), (3, "4"))["done"]

    answer = person.post("/api/undo", {"entries": [{"batch": BATCH, "row": 1, "seen": saved["seen"]}]})

    assert answer.json()["done"][0]["said"] is None
    entry = person.get(f"/api/entry/{BATCH}/1").json()
    assert [number["said"] for number in entry["numbers"]] == [None] * 3


def test_an_illegible_page_is_resolved(opened: Opens) -> None:
    person = opened([Answer(), TABLE]).person()

    person.judge((1, "illegible"), (2, "illegible"))

    assert person.get(f"/api/entry/{BATCH}/1").json()["said"]["verdict"] == "illegible"
    assert person.listed()["count"] == {"open": 0, "unsure": 0, "resolved": 2}
    assert person.listed("state=settled")["count"]["resolved"] == 2


@pytest.mark.parametrize("number", [0, -1, "2", None, True, 2**40, 4])
def test_an_odd_number_is_refused(opened: Opens, number: object) -> None:
    given = [{"batch": BATCH, "row": 1, "number": number, "new": "7", "seen": 0}]

    answer = opened([TABLE]).person().post("/api/judge", {"how": "one", "judgements": given})

    assert answer.status_code == 400
