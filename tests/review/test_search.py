"""Answers are found by part of a file name, by a number, by sha256 and by batch."""

import hashlib
from dataclasses import replace

import pytest

from digitrec.types import BatchStage, Box, Number, PageStatus
from tests.conftest import draw
from tests.review.conftest import BATCH, OTHER, Answer, Opens, Pages, fill

NUMBERS = tuple(
    Number(1, column, Box(column, 1, 2, 2), text, ()) for column, text in enumerate(("39287", "-5"), start=1)
)
HOSTILE = "<img src=x onerror=alert(1)>'\";--.png"


@pytest.fixture
def pages(opened: Opens) -> Pages:
    answers = [
        Answer("7", 0.6, "Monday/Meter 12.png"),
        Answer("39287 -5", 0.95, "page.png", numbers=NUMBERS),
        Answer("3", 0.95, HOSTILE),
        Answer("3928", 0.95, "odd\n%.png", content=draw(4)),
    ]
    pages = opened(answers)
    fill(pages.settings, OTHER, [Answer("39287", 0.97, "later.png", content=draw(5))])
    return pages


def find(pages: Pages, query: str) -> list[str]:
    answer = pages.person().get("/find", params={"q": query} if "=" not in query else query)
    assert answer.status_code == 200
    names = ("Monday/Meter 12.png", "page.png", "later.png", "odd%0A%25.png", "alert(1)")
    listed = answer.text.partition('<ul class="found">')[2]
    return sorted((name for name in names if f"{name}" in listed), key=listed.find)


@pytest.mark.parametrize(
    ("query", "files"),
    [
        ("meter", ["Monday/Meter 12.png"]),
        ("MONDAY/", ["Monday/Meter 12.png"]),
        ("39287", ["later.png", "page.png"]),
        ("-5", ["page.png"]),
        ("3928", ["odd%0A%25.png"]),
        ("odd%0A", ["odd%0A%25.png"]),
        ("'\";--", ["alert(1)"]),
        (hashlib.sha256(draw(4)).hexdigest(), ["odd%0A%25.png"]),
        (hashlib.sha256(draw(4)).hexdigest()[:8].upper(), ["odd%0A%25.png"]),
        (OTHER, ["later.png"]),
        ("no such thing", []),
        ("%", ["odd%0A%25.png"]),
    ],
)
def test_what_is_found(pages: Pages, query: str, files: list[str]) -> None:
    assert find(pages, query) == files


def test_a_number_that_a_person_typed_is_a_search_result(pages: Pages) -> None:
    pages.person().judge((1, "4711"))

    assert find(pages, "4711") == ["Monday/Meter 12.png"]
    assert "corrected by Anna" in pages.person().get("/find?q=4711").text


def test_the_originals_of_a_batch_are_listed_in_order(pages: Pages) -> None:
    assert find(pages, f"batch={BATCH}") == ["Monday/Meter 12.png", "page.png", "alert(1)", "odd%0A%25.png"]


def test_a_search_by_sha256_within_a_batch_finds_nothing_of_another(pages: Pages) -> None:
    digest = hashlib.sha256(draw(5)).hexdigest()

    assert find(pages, f"q={digest}&batch={OTHER}") == ["later.png"]
    assert find(pages, f"q={digest}&batch={BATCH}") == []


def test_an_unfinished_batch_is_no_search_result(pages: Pages) -> None:
    unfinished = "20260104T030405Z-0a1b2c3d"
    fill(pages.settings, unfinished, [replace(Answer("8", 0.97), name="early.png")], stage=BatchStage.PUBLISHED)

    assert "early.png" not in pages.person().get("/find?q=early").text.partition("</form>\n<p")[2]


@pytest.mark.parametrize("query", ["q=" + "x" * 401, "batch=..", "q=7&batch=x"])
def test_a_search_that_makes_no_sense_is_refused(pages: Pages, query: str) -> None:
    assert pages.person().get(f"/find?{query}").status_code == 400


def test_an_answer_shows_its_boxes_and_leads_to_report_review_and_original(pages: Pages) -> None:
    text = pages.person().get(f"/answer/{BATCH}/2").text

    assert pages.person().get(f"/answer/{BATCH}/4").text.count("<rect") == 4
    for address in (
        f"/original/{BATCH}/2",
        f"/one?batch={BATCH}&amp;state=any&amp;file=page.png",
        f"/find?batch={BATCH}",
    ):
        assert f'href="{address}"' in text
    assert "39287" in text
    assert PageStatus.ACCEPTED.value.capitalize() in text


def test_a_hostile_name_is_text_on_every_page(pages: Pages) -> None:
    person = pages.person()

    for address in ("/find?q=onerror", f"/answer/{BATCH}/3"):
        text = person.get(address).text
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
