"""The least certain digit of a number is marked, and numbers are listed by it."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from digitrec.review.characters import find_doubtful_digit
from digitrec.types import Box, Digit, Number, PageStatus, Reason
from tests.review.conftest import BATCH, Answer, Opens, Person


def digit_of(character: str, share: float, x: int = 10) -> Digit:
    return Digit(
        Box(x, 15, 30, 50), tuple(share if value == int(character) else (1 - share) / 10 for value in range(10))
    )


def number_of(text: str, *shares: float, column: int = 1, status: PageStatus = PageStatus.ACCEPTED) -> Number:
    characters = [character for character in text if character.isdigit()]
    digits = tuple(
        digit_of(character, share, 100 * column + 40 * at)
        for at, (character, share) in enumerate(zip(characters, shares, strict=True))
    )
    box = Box.enclose([digit.box for digit in digits])
    reason = None if status is PageStatus.ACCEPTED else Reason.LOW_CONFIDENCE
    return Number(1, column, box, text, digits, min(shares), status, reason)


def page_of(*numbers: Number, name: str = "") -> Answer:
    text = " ".join(number.text for number in numbers)
    return Answer(text, min(number.confidence or 0 for number in numbers), name, numbers=numbers, size=(400, 100))


def listed(person: Person, query: str) -> list[tuple[int, int, str]]:
    answer = person.get(f"/api/numbers?{query}")
    assert answer.status_code == 200, answer.text
    return [(item["row"], item["number"], item["text"]) for item in answer.json()["entries"]]


def judge(person: Person, row: int, number: int, new: str | None, seen: int = 0) -> dict[str, object]:
    item = {"batch": BATCH, "row": row, "number": number, "new": new, "seen": seen}
    answer = person.post("/api/judge", {"how": "grid", "judgements": [item]})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["done"][0])


def test_the_least_certain_digit_is_none_of_the_signs() -> None:
    doubt = find_doubtful_digit(number_of("-3,14", 0.99, 0.6, 0.8))

    assert doubt is not None
    assert (doubt.index, doubt.digit.digit) == (3, 1)


def test_a_certain_number_has_no_doubtful_digit_unless_it_needs_review() -> None:
    sure = number_of("31", 0.99, 0.95)

    assert find_doubtful_digit(sure) is None
    in_review = replace(sure, status=PageStatus.REVIEW, reason=Reason.LOW_CONFIDENCE)
    assert find_doubtful_digit(in_review).index == 1  # type: ignore[union-attr]
    assert find_doubtful_digit(replace(sure, digits=sure.digits[:1])) is None, "no box for each digit"


@pytest.fixture
def person(opened: Opens) -> Person:
    return opened(
        [
            page_of(number_of("31", 0.99, 0.7), number_of("17", 0.8, 0.95, column=2), name="a.png"),
            page_of(number_of("719", 0.9, 0.6, 0.95), name="b.png"),
            Answer("1", 0.5, name="c.png"),
        ]
    ).person()


def test_numbers_are_listed_by_their_least_certain_digit(person: Person) -> None:
    assert listed(person, "digit=1") == [(2, 1, "719"), (1, 1, "31"), (1, 2, "17")]
    assert listed(person, "digit=7") == []
    assert listed(person, "digit=1&file=a.png") == [(1, 1, "31"), (1, 2, "17")]
    assert listed(person, f"digit=1&batch={BATCH}&most=1") == [(2, 1, "719")]


def test_numbers_of_a_table_count_by_digit_and_pages_of_one_digit_do_not(opened: Opens) -> None:
    numbers = [number_of("7", 0.9), number_of("47", 0.9, 0.8, column=2), number_of("30", 0.7, 0.8, column=3)]
    person = opened([page_of(*numbers), Answer("7", 0.5)]).person()

    def count(digit: int) -> str:
        label = f"Numbers whose least certain digit is {digit}: "
        return str(person.get("/review").text.partition(label)[2].partition(" ")[0])

    assert listed(person, "digit=7") == [(1, 2, "47"), (1, 1, "7")]
    assert [count(digit) for digit in (7, 3, 0)] == ["2", "1", "0"]
    judge(person, 1, 1, "1")
    assert count(7) == "1"
    assert "Read as 7: 1 not reviewed" in person.get("/review").text


def test_a_list_of_numbers_goes_on_after_a_number(person: Person) -> None:
    page = person.get("/api/numbers?digit=1&most=2").json()

    assert page["count"]["open"] == 3
    assert listed(person, f"digit=1&after={page['next']}") == [(1, 2, "17")]
    assert person.get(f"/api/numbers?digit=1&after={page['next']}").json()["next"] is None


def test_a_judged_number_leaves_the_list(person: Person) -> None:
    judge(person, 1, 2, "77")
    judge(person, 2, 1, "719")

    assert listed(person, "digit=1") == [(1, 1, "31")]
    assert listed(person, "digit=1&state=any") == [(2, 1, "719"), (1, 1, "31"), (1, 2, "17")]


@pytest.mark.parametrize("query", ["", "digit=x", "digit=10", "digit=1&after=7", "digit=1&after=0.5,x,1,2"])
def test_an_odd_list_of_numbers_is_refused(person: Person, query: str) -> None:
    assert person.get(f"/api/numbers?{query}").status_code == 400


def test_changes_of_a_row_are_undone_in_turn(person: Person) -> None:
    first = judge(person, 1, 1, "37")
    second = judge(person, 1, 2, "77", seen=int(str(first["seen"])))
    seen = second["seen"]

    for change, texts in ((second["seen"], ["37", None]), (first["seen"], [None, None])):
        answer = person.post("/api/undo", {"entries": [{"batch": BATCH, "row": 1, "seen": seen, "change": change}]})
        seen = answer.json()["done"][0]["seen"]
        numbers = person.get(f"/api/entry/{BATCH}/1").json()["numbers"]
        assert [number["said"] and number["said"]["new"] for number in numbers] == texts


def test_a_change_before_that_of_another_person_is_not_undone(opened: Opens) -> None:
    pages = opened([page_of(number_of("31", 0.9, 0.7), number_of("17", 0.8, 0.9, column=2))])
    anna, ben = pages.person("Anna"), pages.person("Ben")
    first = judge(anna, 1, 1, "37")
    second = judge(ben, 1, 2, "77", seen=int(str(first["seen"])))

    entry = {"batch": BATCH, "row": 1, "seen": second["seen"], "change": first["seen"]}
    answer = anna.post("/api/undo", {"entries": [entry]})

    assert (answer.status_code, answer.json()["done"]) == (409, [])
    assert answer.json()["conflicts"][0]["seen"] == second["seen"]


@pytest.mark.parametrize(("box", "size"), [(Box(5, 30, 48, 8), (54, 14)), (Box(200, 100, 240, 40), (60, 80))])
def test_a_number_is_cut_out_with_a_margin(opened: Opens, box: Box, size: tuple[int, int]) -> None:
    number = Number(1, 1, box, "3377", (), 0.5, PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
    person = opened([Answer("3377", 0.5, numbers=(number,))]).person()

    answer = person.get(f"/picture/small/{BATCH}/1/1")

    assert Image.open(io.BytesIO(answer.content)).size == size
    assert person.get(f"/picture/small/{BATCH}/1/2").status_code == 404
    assert person.get(f"/picture/small/{BATCH}/1/x").status_code == 404


def test_a_wide_thumbnail_is_larger(opened: Opens) -> None:
    photo = bytes(cv2.imencode(".jpg", np.zeros((100, 600), np.uint8))[1])
    person = opened([Answer(content=photo)]).person()

    answer = person.get(f"/picture/small/{BATCH}/1")

    assert Image.open(io.BytesIO(answer.content)).size == (352, 59)
