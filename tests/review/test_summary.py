"""What was judged since the server started is counted for the message at its end."""

from collections.abc import Callable

import pytest

from digitrec.pipeline.ledgers import open_ledgers
from digitrec.review.summary import ReviewSummary, mark_corrections, summarize_review
from tests.review.conftest import BATCH, Answer, Opens, Pages
from tests.review.test_numbers import TABLE, judge


@pytest.fixture
def pages(opened: Opens) -> Pages:
    return opened([TABLE, Answer("7", 0.5), Answer("7", 0.6)])


@pytest.fixture
def summarized(pages: Pages) -> Callable[[], ReviewSummary]:
    """Return a function that summarizes what was judged since."""
    pages.person().judge((3, "1"))
    with open_ledgers(pages.settings) as ledgers:
        marks = mark_corrections(ledgers)

    def summarize() -> ReviewSummary:
        with open_ledgers(pages.settings) as ledgers:
            return summarize_review(pages.settings.outbox, ledgers, marks)

    return summarize


def test_nothing_is_counted_before_anything_is_judged(summarized: Callable[[], ReviewSummary]) -> None:
    assert summarized() == ReviewSummary({}, (), {})


def test_numbers_are_counted_singly(pages: Pages, summarized: Callable[[], ReviewSummary]) -> None:
    person = pages.person()
    judge(person, (2, "31"), (3, "4"))

    assert summarized() == ReviewSummary({"corrected": 1, "confirmed": 1}, (), {BATCH: 1})  # type: ignore[dict-item]


def test_a_finished_batch_is_named_with_its_table(pages: Pages, summarized: Callable[[], ReviewSummary]) -> None:
    person = pages.person()
    judge(person, (2, "31"), (3, "illegible"))
    (saved,) = person.judge((2, "2")).json()["done"]
    person.post("/api/undo", {"entries": [{"batch": BATCH, "row": 2, "seen": saved["seen"]}]})
    assert summarized().open_rows == {BATCH: 1}, "undone"

    person.judge((2, "7"), seen=saved["seen"] + 1)

    summary = summarized()
    assert summary.verdicts == {"corrected": 1, "illegible": 1, "confirmed": 1}
    assert summary.tables == (pages.settings.outbox / "corrected" / f"{BATCH}.csv",)
