"""Which answers are shown, in which order, and what is counted."""

import re
from pathlib import Path

import pytest

from digitrec.settings import Settings
from digitrec.types import BatchStage, Reason
from tests.review.conftest import BATCH, OTHER, Answer, Opens, Person, fill

MIXED = [
    Answer("7", 0.8, "monday/a.png"),
    Answer("3", 0.2, "monday/b.png"),
    Answer("7", 0.99, "tuesday/C.png"),
    Answer("", None, "tuesday/d.png", Reason.TRUNCATED),
    Answer("42", 0.5, "e.png", Reason.AMBIGUOUS_LAYOUT),
]
NOTHING_READ = [
    *MIXED,
    Answer("7", 0.4, "f.png", Reason.NOT_A_DIGIT),
    Answer("", None, "g.png", Reason.NOT_A_DIGIT),
    Answer("", None, "h.png", Reason.OTHER_MARKS),
    Answer("31", 0.6, "i.png", Reason.NOT_A_DIGIT),
]


def rows(person: Person, query: str) -> list[int]:
    return [item["row"] for item in person.listed(query)["entries"]]


def test_the_least_sure_come_first_and_those_without_an_answer_last(opened: Opens) -> None:
    assert rows(opened(MIXED).person(), "") == [2, 5, 1, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=review", [2, 5, 1]),
        ("status=accepted", [3]),
        ("status=rejected", [4]),
        ("text=7", [1, 3]),
        ("text=7&status=review", [1]),
        ("text=numbers", [5]),
        ("text=nothing", [4]),
        ("file=MONDAY/", [2, 1]),
        ("file=c.PNG", [3]),
        ("file=nowhere", []),
        (f"batch={BATCH}", [2, 5, 1, 3, 4]),
        (f"batch={OTHER}", []),
    ],
)
def test_answers_are_filtered_by_status_digit_batch_and_file_name(
    opened: Opens, query: str, expected: list[int]
) -> None:
    assert rows(opened(MIXED).person(), query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [("text=7", [1, 3]), ("text=numbers", [5]), ("text=none", [6, 9, 7]), ("text=nothing", [4, 8])],
)
def test_what_looks_like_no_digit_is_found_as_such_and_not_by_its_text(
    opened: Opens, query: str, expected: list[int]
) -> None:
    assert rows(opened(NOTHING_READ).person(), query) == expected


def test_the_overview_counts_what_a_tab_of_the_grid_shows(opened: Opens) -> None:
    person = opened([*NOTHING_READ, Answer("7", 0.5, "j.png", Reason.NOT_A_DIGIT)]).person()
    person.judge((1, "7"), (6, "none"))

    words = person.get("/review").text

    assert "Read as 7: 1 not reviewed" in words
    assert re.search(r"Read as no digit\s*<span>3</span>", words)


@pytest.mark.parametrize("name", ["100%.png", "a'b\"c.png", "ä/Ö.png", "x\n.png", "_%_.png"])
def test_a_file_is_found_by_its_name_as_it_is_or_as_the_table_writes_it(opened: Opens, name: str) -> None:
    from digitrec import text

    person = opened([Answer(name=name), Answer(name="other.png")]).person()

    for spelt in (name, text.escape_cell(name)):
        page = person.get("/api/list", params={"file": spelt}).json()["entries"]
        assert [item["file"] for item in page] == [text.escape(name)]


def test_pages_of_a_list_follow_one_another_without_a_gap(opened: Opens) -> None:
    person = opened([Answer("7", 0.5 if i % 3 else 0.1 + 0.2) for i in range(50)]).person()
    seen: list[int] = []
    after = ""
    while after is not None:
        page = person.get("/api/list", params={"most": 7, "after": after}).json()
        seen += [item["row"] for item in page["entries"]]
        after = page["next"]

    assert len(seen) == 50
    assert sorted(seen) == list(range(1, 51))


def test_settled_and_unsure_items_leave_the_list_and_are_filtered_by_state(opened: Opens) -> None:
    person = opened(MIXED).person()
    person.judge((1, "7"), (2, None), (5, "12"))

    assert rows(person, "state=open") == [3, 4]
    assert rows(person, "state=unsure") == [2]
    assert rows(person, "state=settled") == [5, 1]
    assert rows(person, "state=any") == [2, 5, 1, 3, 4]
    assert person.listed()["count"] == {"open": 2, "unsure": 1, "resolved": 2}


def test_what_was_undone_is_back_in_the_list(opened: Opens) -> None:
    person = opened(MIXED).person()
    (held,) = person.judge((1, "7")).json()["done"]

    person.post("/api/undo", {"entries": [{"batch": BATCH, "row": 1, "seen": held["seen"]}]})

    assert rows(person, "") == [2, 5, 1, 3, 4]
    assert person.listed()["entries"][2]["seen"] > held["seen"]


def test_all_workers_answers_are_in_one_list(opened: Opens, tmp_path: Path) -> None:
    pages = opened([Answer("7", 0.3), Answer("7", 0.7)])
    fill(Settings(workspace=tmp_path, worker="second"), OTHER, [Answer("7", 0.5)])
    person = pages.person()

    assert [(item["batch"], item["row"]) for item in person.listed()["entries"]] == [(BATCH, 1), (OTHER, 1), (BATCH, 2)]
    assert person.judge((1, "1"), batch=OTHER).status_code == 200
    assert person.listed()["count"] == {"open": 2, "unsure": 0, "resolved": 1}


def test_an_open_batch_is_not_shown(opened: Opens, tmp_path: Path) -> None:
    pages = opened([Answer()])
    fill(Settings(workspace=tmp_path), OTHER, [Answer()], stage=BatchStage.PUBLISHED)

    assert [item["batch"] for item in pages.person().listed()["entries"]] == [BATCH]


def test_an_audit_is_the_same_for_the_same_seed_and_goes_on_where_it_was(opened: Opens) -> None:
    answers = [Answer("7", 0.95) for _ in range(200)] + [Answer("7", 0.5)]
    drawn = opened(answers, audit=20, seed=3).site.service.audit_sample
    again = opened((), audit=20, seed=3)
    other = opened((), audit=20, seed=4)
    person = again.person()

    first = person.get("/api/audit").json()
    assert [(BATCH, item["row"]) for item in first["entries"]] == list(drawn) == list(again.site.service.audit_sample)
    assert set(drawn) != set(other.site.service.audit_sample)
    assert person.judge((drawn[0][1], "7"), (drawn[1][1], "1"), how="audit").status_code == 200

    later = opened((), audit=20, seed=3)
    assert later.site.service.audit_sample == drawn
    left = later.person().get("/api/audit").json()
    assert [item["row"] for item in left["entries"]] == [row for _, row in drawn[2:]]
    assert left["count"] == {"open": 18, "unsure": 0, "resolved": 2}


def test_an_audit_draws_only_accepted_answers_that_nobody_looked_at(opened: Opens) -> None:
    pages = opened([Answer("7", 0.95), Answer("7", 0.5), Answer("7", 0.95), Answer("", None, reason=Reason.BLANK)])
    pages.person().judge((1, "7"), how="grid")

    assert list(opened((), audit=50).site.service.audit_sample) == [(BATCH, 3)]


def test_the_audit_takes_only_what_it_has_drawn(opened: Opens) -> None:
    person = opened([Answer("7", 0.95), Answer("7", 0.5)], audit=50).person()

    assert person.judge((2, "7"), how="audit").status_code == 400
    assert person.judge((1, "7"), how="audit").status_code == 200
    assert person.get("/api/audit?after=x").status_code == 400
