"""What people said of a batch's answers, in its numbers and on its page."""

import json

import pytest

from digitrec.reports.batch import (
    audit_error_rate,
    review_error_rate,
    select_corrected,
    summarize_review,
)
from digitrec.reports.batch_report import write_batch_report
from digitrec.reports.html import value_at
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

A, V, X = PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED
AT = "2026-01-23T08:00:00.000Z"


def judged(verdict, text="3", reviewer="ann"):
    return Correction(1, "b", 1, AT, reviewer, verdict, "7", text, ReviewMethod.ONE)


RIGHT, WRONG, UNSURE = judged(Verdict.CONFIRMED, "7"), judged(Verdict.CORRECTED), judged(Verdict.UNSURE, "")


def page(number, status, review=None, **more):
    reason = {V: Reason.LOW_CONFIDENCE, X: Reason.BLANK}.get(status)
    text = "" if status is X else "7"
    return make_row(number, f"{number}.png", 1, status, text, 0.9, reason=reason, review=review, **more)


REVIEWED = [
    page(1, V, RIGHT),
    page(2, V, WRONG),
    page(3, V, UNSURE),
    page(4, V),
    page(5, A, RIGHT, is_audited=True),
    page(6, A, WRONG, is_audited=True),
    page(7, A, WRONG),
    page(8, A),
    page(9, X, judged(Verdict.CORRECTED, "9")),
]


def numbers(rows, csv=""):
    return summarize_review(rows, csv)


@pytest.mark.slow
def test_the_numbers_of_a_review_are_those_counted_by_hand():
    result = numbers(REVIEWED)

    assert {
        key: result[key] for key in ("pages", "confirmed", "corrected", "unsure", "open", "accepted_corrected")
    } == {
        "pages": 7,
        "confirmed": 2,
        "corrected": 4,
        "unsure": 1,
        "open": 2,
        "accepted_corrected": 2,
    }
    assert (result["held_back"]["hits"], result["held_back"]["of"]) == (1, 2)
    assert (result["audit"]["hits"], result["audit"]["of"]) == (1, 2)


def test_a_batch_nobody_looked_at_says_nothing_about_people():
    assert numbers([page(1, V), page(2, A)]) is None


@pytest.mark.slow
def test_only_randomly_sampled_answers_estimate_the_accepted_error():
    right, *others = (page(1, A, review, is_audited=True) for review in (RIGHT, WRONG, UNSURE))
    result = [right] * 49 + [*others, *[page(2, A, WRONG)] * 10]

    drawn = audit_error_rate(result)

    assert (drawn.hits, drawn.total) == (1, 50)
    assert drawn.high == pytest.approx(0.1065, abs=1e-4)  # the exact interval of 1 in 50
    assert review_error_rate(result).total == 0


@pytest.mark.slow
def test_the_page_shows_what_people_found_and_the_same_numbers(tmp_path, make_facts, read_page, thumbnail):
    rows = [*REVIEWED, page(10, V, judged(Verdict.CORRECTED, "none"), preview_png=thumbnail("x"))]
    facts = make_facts(rows, corrected_csv="../../outbox/corrected/b.csv")

    html = write_batch_report(tmp_path, facts).read_text(encoding="utf-8")

    html_page, report = read_page(html), json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {key: json.loads(value) for key, value in html_page.numbers.items()} == {
        key: value_at(report, key) for key in html_page.numbers
    }
    assert {"reviewed.audit.high", "reviewed.held_back.share", "reviewed.open", "reviewed.accepted_corrected"} <= set(
        html_page.numbers
    )
    assert {"href": "../../outbox/corrected/b.csv"} in html_page.tags("a")
    assert "estimated for the accepted answers of this batch without another review" in html_page.words
    assert "2 pages still need review" in html_page.words


def test_what_is_settled_is_not_to_be_looked_at_any_more(tmp_path, make_facts, read_page):
    rows = [page(1, V, RIGHT), page(2, V, judged(Verdict.CORRECTED, "2")), page(3, A)]

    html = write_batch_report(tmp_path, make_facts(rows)).read_text(encoding="utf-8")

    html_page = read_page(html)
    assert "Needs review" not in [heading.strip() for heading in html_page.text.split("\n")]
    assert "All pages that needed review are resolved" in html_page.words
    assert {"href": "#reviewed"} in html_page.tags("a")


def test_the_worst_correction_is_first_and_confirmations_are_counted():
    assert [row.row for row in select_corrected(REVIEWED)] == [6, 7, 2, 3, 9]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_author_and_correction_are_embedded_as_data(tmp_path, make_facts, read_page, name):
    pages = []
    for who in ("a" * len(name), name):  # of one length, as long answers are broken into lines
        facts = make_facts([page(1, V, judged(Verdict.CORRECTED, who, reviewer=who))], corrected_csv=f"../../{who}.csv")
        html = write_batch_report(tmp_path / str(len(pages)), facts).read_text(encoding="utf-8")
        pages.append(read_page(html))

    # A mark is around each run of characters that differ.
    tags, other_tags = ([tag for tag, _ in html_page.elements if tag != "mark"] for html_page in pages)
    assert tags == other_tags
    assert pages[1].text.count(name) >= 2


def test_every_row_of_every_list_has_its_picture(tmp_path, make_facts, read_page, thumbnail):
    small = thumbnail("1")
    rows = [page(i, V, label="1", preview_png=small) for i in range(1, 101)]
    rows += [page(i, V, WRONG, label="1", preview_png=small) for i in range(101, 201)]

    html = write_batch_report(tmp_path, make_facts(rows)).read_text(encoding="utf-8")

    html_page = read_page(html)
    assert len(html_page.tags("img")) == 300, "a hundred in review, mismatches and corrections"
    assert "nopicture" not in html_page.text.replace("\n", "")
