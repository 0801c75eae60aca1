"""Single numbers of a page are corrected; the page follows from them."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.errors import UsageError
from digitrec.storage import csv_tables
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrected_tables import restore_corrections, write_corrected_table, write_outdated_tables
from digitrec.storage.corrections import (
    ILLEGIBLE,
    NONE,
    ReviewMethod,
    Verdict,
    count_open_rows,
    get_latest_id,
    read_history,
    read_latest,
    read_number_corrections,
)
from digitrec.storage.judgements import Conflict, Judgement, record_judgements, undo_correction
from digitrec.storage.ledger import Ledger
from digitrec.types import Number, PageStatus, Reason, TableRow
from tests.conftest import read_csv
from tests.correction_helpers import AT, BATCH_ID, open_test_ledger, row, say, say_numbers
from tests.storage.test_csv_tables import NUMBER

DOUBT = {"status": PageStatus.REVIEW, "reason": Reason.LOW_CONFIDENCE}


def page(number: int, *numbers: Number, reason: Reason | None = None) -> TableRow:
    """Return a row with these numbers; in review if one of them is, or for a reason of the page."""
    reason = reason or next((item.reason for item in numbers if item.reason), None)
    status = PageStatus.ACCEPTED if reason is None else PageStatus.REVIEW
    return row(number, status, " ".join(item.text for item in numbers), numbers=numbers, reason=reason)


def read(text: str, line: int = 1, column: int = 1, *, is_sure: bool = True) -> Number:
    """Return a number at a place of the page."""
    number = replace(NUMBER, line=line, column=column, text=text, digits=NUMBER.digits * len(text))
    return number if is_sure else replace(number, **DOUBT)  # type: ignore[arg-type]


TABLE = page(1, read("21"), read("37", column=2, is_sure=False), read("65", 2), read("4", 2, 2, is_sure=False))
MARKED = page(2, read("8"), read("9", column=2), reason=Reason.OTHER_MARKS)
SURE = page(3, read("5"), read("6", column=2))
SINGLE = row(4)
ROWS = [TABLE, MARKED, SURE, SINGLE]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "outbox").mkdir()
    ledger = open_test_ledger(tmp_path, ROWS)
    yield ledger
    ledger.close()


def held(ledger: Ledger, number: int = 1) -> tuple[str, str, list[str]]:
    """Return status and text of a page, and the status and text of each of its numbers."""
    reading = apply_corrections(ledger, BATCH_ID)[number - 1].reading
    return reading.status, reading.text, [f"{item.status} {item.text}" for item in reading.numbers]


def test_a_page_is_settled_once_each_number_in_review_is(ledger: Ledger) -> None:
    first = say_numbers(ledger, 1, n2="31")

    assert (first.number, first.verdict, first.new) == (0, Verdict.WITHDRAWN, "")
    assert held(ledger) == ("review", "21 37 65 4", ["accepted 21", "corrected 31", "accepted 65", "review 4"])
    assert count_open_rows(ledger, BATCH_ID) == 3

    second = say_numbers(ledger, 1, n4="4")

    assert (second.verdict, second.old, second.new) == (Verdict.CORRECTED, "21 37 65 4", "21 31 65 4")
    assert held(ledger) == ("corrected", "21 31 65 4", ["accepted 21", "corrected 31", "accepted 65", "confirmed 4"])
    assert count_open_rows(ledger, BATCH_ID) == 2
    assert apply_corrections(ledger, BATCH_ID)[0].label == "21 31 65 4"


@pytest.mark.parametrize(
    ("number", "texts", "verdict", "new"),
    [
        (1, {"n2": "37", "n4": "4"}, Verdict.CONFIRMED, "21 37 65 4"),
        (1, {"n2": None, "n4": "4"}, Verdict.UNSURE, ""),
        (1, {"n2": ILLEGIBLE, "n4": "4"}, Verdict.ILLEGIBLE, ""),
        (1, {"n2": NONE, "n4": "-3,5"}, Verdict.CORRECTED, "21 65 -3,5"),
        (1, {"n1": NONE, "n2": NONE, "n3": NONE, "n4": NONE}, Verdict.CORRECTED, NONE),
        (2, {"n1": "8"}, Verdict.WITHDRAWN, ""),  # something else on the page was not read
        (2, {"n1": "8", "n2": "9"}, Verdict.CONFIRMED, "8 9"),
        (3, {"n2": "8"}, Verdict.CORRECTED, "5 8"),
        (3, {"n2": "6"}, Verdict.CONFIRMED, "5 6"),
        (4, {"n1": "1"}, Verdict.CORRECTED, "1"),
    ],
)
def test_the_verdict_on_a_page_follows_from_its_numbers(
    ledger: Ledger, number: int, texts: dict[str, str | None], verdict: Verdict, new: str
) -> None:
    entry = say_numbers(ledger, number, **texts)

    assert (entry.number, entry.verdict, entry.new) == (0, verdict, new)


def test_a_text_with_as_many_numbers_holds_for_each_of_them(ledger: Ledger) -> None:
    entry = say(ledger, 1, "21 38 65 4")

    of_numbers = read_number_corrections(ledger, BATCH_ID)
    assert read_latest(ledger)[BATCH_ID, 1] == read_history(ledger, BATCH_ID, 1)[-1]
    assert {key[1]: correction.verdict for key, correction in of_numbers.items()} == {
        1: Verdict.CONFIRMED,
        2: Verdict.CORRECTED,
        3: Verdict.CONFIRMED,
        4: Verdict.CONFIRMED,
    }
    assert entry.number == 1
    assert held(ledger)[:2] == ("corrected", "21 38 65 4")
    assert held(ledger)[2][1] == "corrected 38"


def test_any_other_text_holds_for_the_page(ledger: Ledger) -> None:
    say_numbers(ledger, 1, n2="31")
    say(ledger, 1, "21 3765 4")

    assert held(ledger) == ("corrected", "21 3765 4", ["corrected 21", "corrected 3765", "corrected 4"])
    numbers = apply_corrections(ledger, BATCH_ID)[0].reading.numbers
    assert [(number.line, number.column, number.box) for number in numbers] == [
        (1, column, NUMBER.box) for column in (1, 2, 3)
    ]


@pytest.mark.parametrize(("new", "status"), [(NONE, "corrected"), (ILLEGIBLE, "review")])
def test_a_page_without_a_readable_number_has_no_text(ledger: Ledger, new: str, status: str) -> None:
    say(ledger, 1, new)

    assert held(ledger) == (status, "", [f"{status} "] * 4)
    reading = apply_corrections(ledger, BATCH_ID)[0].reading
    assert {reading.reason, *(number.reason for number in reading.numbers)} == {Reason.NOT_A_DIGIT}
    assert count_open_rows(ledger, BATCH_ID) == 2


def test_undo_restores_the_numbers_of_one_judgement(ledger: Ledger) -> None:
    say_numbers(ledger, 1, n2="31")
    last = say_numbers(ledger, 1, n2="32", n4="9")

    undone = undo_correction(ledger, BATCH_ID, 1, seen_id=last.id, reviewer="ann", reviewed_at=AT)
    assert (undone.verdict, held(ledger)[2][1::2]) == (Verdict.WITHDRAWN, ["corrected 31", "review 4"])
    again = undo_correction(ledger, BATCH_ID, 1, seen_id=undone.id, reviewer="ann", reviewed_at=AT)
    assert (again.verdict, again.new) == (Verdict.CORRECTED, "21 32 65 9")
    assert held(ledger)[2][1::2] == ["corrected 32", "corrected 9"]


def test_a_judgement_on_a_number_of_a_stale_row_is_a_conflict(ledger: Ledger) -> None:
    theirs = say_numbers(ledger, 1, who="bob", n4="9")

    with pytest.raises(Conflict, match="by bob") as conflict:
        record_judgements(
            ledger, [Judgement(BATCH_ID, 1, "31", 0, 2)], reviewer="ann", method=ReviewMethod.ONE, reviewed_at=AT
        )

    assert conflict.value.correction == theirs


@pytest.mark.parametrize(("number", "new", "why"), [(5, "7", "no number 5"), (2, "3 1", "is no number")])
def test_an_impossible_judgement_on_a_number_is_refused(ledger: Ledger, number: int, new: str, why: str) -> None:
    judgements = [Judgement(BATCH_ID, 1, "31", 0, 1), Judgement(BATCH_ID, 1, new, 0, number)]

    with pytest.raises(UsageError, match=why):
        record_judgements(ledger, judgements, reviewer="ann", method=ReviewMethod.ONE, reviewed_at=AT)

    assert read_history(ledger, BATCH_ID, 1) == []


def test_the_corrected_tables_hold_pages_and_numbers(tmp_path: Path, ledger: Ledger) -> None:
    say_numbers(ledger, 1, n2="31", n4=NONE)
    say(ledger, 2, ILLEGIBLE)
    assert write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID) is None
    say(ledger, 4, "7")

    path = write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID)

    assert path is not None
    columns = ("status", "text", "number_count", "label", "reason_code")
    assert [tuple(line[column] for column in columns) for line in read_csv(path)] == [
        ("corrected", "21 31 65", "3", "21 31 65", ""),
        ("review", "", "", "", "not_a_digit"),
        ("accepted", "5 6", "2", "", ""),
        ("confirmed", "7", "1", "7", ""),
    ]
    lines = read_csv(path.with_name(f"{BATCH_ID}.numbers.csv"))
    assert tuple(lines[0]) == csv_tables.NUMBER_COLUMNS
    columns = ("row", "number", "line", "column", "text", "status", "reason_code")
    assert [tuple(line[column] for column in columns) for line in lines[:5]] == [
        ("1", "1", "1", "1", "21", "accepted", ""),
        ("1", "2", "1", "2", "31", "corrected", ""),
        ("1", "3", "2", "1", "65", "accepted", ""),
        ("1", "4", "2", "2", "", "corrected", "not_a_digit"),
        ("2", "1", "1", "1", "", "review", "not_a_digit"),
    ]
    assert [line["confidence"] for line in lines[:2]] == ["0.900000", ""]


def test_the_corrected_tables_restore_the_corrections(tmp_path: Path, ledger: Ledger) -> None:
    say_numbers(ledger, 1, n2="31", n4=ILLEGIBLE)
    say(ledger, 2, "89")
    say(ledger, 4, ILLEGIBLE)
    outbox = tmp_path / "outbox"
    path = write_corrected_table(outbox, ledger, BATCH_ID)
    assert path is not None
    paths = (path, path.with_name(f"{BATCH_ID}.numbers.csv"))
    before = [path.read_bytes() for path in paths]

    with closing(open_test_ledger(tmp_path / "new", ROWS)) as new:
        assert restore_corrections(new, outbox, BATCH_ID) == 3
        assert write_outdated_tables(outbox, new) == [path]

        assert [path.read_bytes() for path in paths] == before
        assert [(entry.verdict, entry.new) for entry in read_latest(new).values()] == [
            (entry.verdict, entry.new) for entry in read_latest(ledger).values()
        ]


def test_the_log_of_an_older_ledger_takes_number_corrections_after_the_upgrade(tmp_path: Path) -> None:
    from tests.older_ledgers import make_older

    ledger = open_test_ledger(tmp_path, [SINGLE])
    ledger.close()
    path = tmp_path / ".digitrec" / "main" / "ledger.sqlite3"
    make_older(path, 4)
    with closing(Ledger.open_readonly(path)) as older:
        assert (read_history(older, BATCH_ID, 4), read_number_corrections(older, BATCH_ID)) == ([], {})
    with closing(Ledger.open(path)) as upgraded:
        assert say_numbers(upgraded, 4, n1="8").new == "8"


_TEXTS = st.sampled_from(["7", "31", NONE, ILLEGIBLE, None])
_STEPS = st.one_of(
    st.just("undo"),
    st.sampled_from(["1 2 3 4", "12", NONE, ILLEGIBLE, None]),
    st.dictionaries(st.sampled_from(["n1", "n2", "n3", "n4"]), _TEXTS, min_size=1),
)


@pytest.mark.slow
@given(steps=st.lists(_STEPS, max_size=8))
def test_after_any_steps_undoing_them_all_restores_every_state(steps: list[object]) -> None:
    import sqlite3

    from digitrec.storage import migrations
    from tests.correction_helpers import add_batch

    db = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(db, Path("memory"))
    ledger = Ledger(db)
    add_batch(ledger, ROWS)
    for step in steps:
        before, seen = held(ledger), get_latest_id(ledger, BATCH_ID, 1)
        if step == "undo" and not seen:
            continue
        if step == "undo":
            entry = undo_correction(ledger, BATCH_ID, 1, seen_id=seen, reviewer="ann", reviewed_at=AT)
        elif isinstance(step, dict):
            entry = say_numbers(ledger, 1, **step)
        else:
            say(ledger, 1, step)  # type: ignore[arg-type]
        after, seen = held(ledger), get_latest_id(ledger, BATCH_ID, 1)
        entry = undo_correction(ledger, BATCH_ID, 1, seen_id=seen, reviewer="bob", reviewed_at=AT)
        assert held(ledger) == before
        undo_correction(ledger, BATCH_ID, 1, seen_id=entry.id, reviewer="bob", reviewed_at=AT)
        assert held(ledger) == after
    ledger.close()
