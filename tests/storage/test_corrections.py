"""What people say about answers is kept, by whom and when, and nothing published is ever touched."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.storage import migrations
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrections import (
    ILLEGIBLE,
    NONE,
    ReviewMethod,
    Verdict,
    count_open_rows,
    is_review_finished,
    read_history,
    read_latest,
    read_reviewed_rows,
)
from digitrec.storage.judgements import Conflict, Judgement, record_judgements, undo_correction
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason
from tests.correction_helpers import AT, BATCH_ID, add_batch, open_test_ledger, row, say, texts
from tests.older_ledgers import make_older

ROWS = [row(1), row(2, text="0650"), row(3, PageStatus.ACCEPTED, text="3"), row(4, PageStatus.REJECTED), row(5)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_test_ledger(tmp_path, ROWS)
    yield ledger
    ledger.close()


def test_entries_keep_author_and_time_and_the_latest_is_valid(ledger: Ledger) -> None:
    first = say(ledger, 1, "7")
    second = say(ledger, 1, "1", who="bob")

    assert (first.verdict, first.old, first.new, first.reviewer, first.reviewed_at) == (
        Verdict.CONFIRMED,
        "7",
        "7",
        "ann",
        AT,
    )
    assert (second.verdict, second.old, second.new, second.reviewer) == (Verdict.CORRECTED, "7", "1", "bob")
    assert read_history(ledger, BATCH_ID, 1) == [first, second]
    assert read_latest(ledger) == {(BATCH_ID, 1): second}
    assert ledger.rows(BATCH_ID) == ROWS


@pytest.mark.parametrize(
    ("answer", "new", "verdict"),
    [
        (row(1), "7", Verdict.CONFIRMED),
        (row(1), "07", Verdict.CORRECTED),
        (row(1), NONE, Verdict.CORRECTED),
        (row(1), None, Verdict.UNSURE),
        (row(1), ILLEGIBLE, Verdict.ILLEGIBLE),
        (row(1, text="21 37"), "21 37", Verdict.CONFIRMED),
        (row(1, text="21 37"), "2137", Verdict.CORRECTED),
        (row(1, reason=Reason.NOT_A_DIGIT), NONE, Verdict.CONFIRMED),
        (row(1, reason=Reason.NOT_A_DIGIT), "7", Verdict.CONFIRMED),
        (row(1, PageStatus.REJECTED, reason=Reason.BLANK), NONE, Verdict.CONFIRMED),
        (row(1, PageStatus.REJECTED), NONE, Verdict.CORRECTED),
        (row(1, PageStatus.REJECTED), "4", Verdict.CORRECTED),
    ],
)
def test_a_judgement_equal_to_the_answer_confirms_it(
    tmp_path: Path, answer: object, new: str | None, verdict: Verdict
) -> None:
    ledger = open_test_ledger(tmp_path, [answer])  # type: ignore[list-item]

    assert say(ledger, 1, new).verdict is verdict
    ledger.close()


@pytest.mark.parametrize("text", ["-7", "3,14", "12/03/2024 -5", "1" * 20_000, "7 " * 4_999 + "7"])
def test_a_text_may_hold_signs_and_several_numbers(ledger: Ledger, text: str) -> None:
    assert say(ledger, 1, text).new == text


def test_a_judgement_of_a_stale_row_is_a_conflict(ledger: Ledger) -> None:
    theirs = say(ledger, 2, "650", who="bob")

    with pytest.raises(Conflict, match="by bob") as conflict:
        record_judgements(
            ledger,
            [Judgement(BATCH_ID, 1, "7", 0), Judgement(BATCH_ID, 2, "0", 0)],
            reviewer="ann",
            method=ReviewMethod.GRID,
            reviewed_at=AT,
        )

    assert conflict.value.correction == theirs
    assert read_latest(ledger) == {(BATCH_ID, 2): theirs}


@pytest.mark.parametrize("text", ["", "7a", "-", "7 - 8", "٧", "7 ", "7  8", "None", "1" * 20_001])
def test_an_invalid_text_rejects_all_judgements(ledger: Ledger, text: str) -> None:
    with pytest.raises(UsageError, match="no number"):
        record_judgements(
            ledger,
            [Judgement(BATCH_ID, 1, "7", 0), Judgement(BATCH_ID, 2, text, 0)],
            reviewer="ann",
            method=ReviewMethod.ONE,
            reviewed_at=AT,
        )

    assert read_latest(ledger) == {}


@pytest.mark.parametrize(("batch_id", "number"), [(BATCH_ID, 6), (BATCH_ID, 0), ("nope", 1)])
def test_an_unknown_row_is_refused(ledger: Ledger, batch_id: str, number: int) -> None:
    with pytest.raises(UsageError, match="has no row"):
        record_judgements(
            ledger, [Judgement(batch_id, number, "7", 0)], reviewer="ann", method=ReviewMethod.ONE, reviewed_at=AT
        )


@pytest.mark.parametrize("who", ["", "  ", "x" * 101])
def test_an_empty_reviewer_is_refused(ledger: Ledger, who: str) -> None:
    with pytest.raises(UsageError, match="name"):
        say(ledger, 1, "7", who=who)


def test_a_reviewer_name_is_escaped(ledger: Ledger) -> None:
    assert say(ledger, 1, "7", who=" an\n\udcffn ").reviewer == "an%0A%FFn"


def test_a_withdrawn_correction_has_no_effect_and_stays_in_the_log(ledger: Ledger) -> None:
    first = say(ledger, 1, "1")
    undone = undo_correction(ledger, BATCH_ID, 1, seen_id=first.id, reviewer="bob", reviewed_at=AT)

    assert (undone.verdict, undone.old, undone.new, undone.method) == (Verdict.WITHDRAWN, "1", "", ReviewMethod.UNDO)
    assert read_latest(ledger) == {}
    assert read_history(ledger, BATCH_ID, 1) == [first, undone]
    assert say(ledger, 1, "2").old == "7"


def test_undo_restores_the_previous_entry_and_can_be_undone(ledger: Ledger) -> None:
    say(ledger, 1, None)
    second = say(ledger, 1, "1")

    once = undo_correction(ledger, BATCH_ID, 1, seen_id=second.id, reviewer="ann", reviewed_at=AT)
    assert (once.verdict, once.new) == (Verdict.UNSURE, "")
    twice = undo_correction(ledger, BATCH_ID, 1, seen_id=once.id, reviewer="ann", reviewed_at=AT)
    assert (twice.verdict, twice.old, twice.new) == (Verdict.CORRECTED, "7", "1")


def test_only_the_latest_entry_can_be_undone(ledger: Ledger) -> None:
    first = say(ledger, 1, "1")
    say(ledger, 1, "2", who="bob")

    with pytest.raises(Conflict, match="by bob"):
        undo_correction(ledger, BATCH_ID, 1, seen_id=first.id, reviewer="ann", reviewed_at=AT)
    with pytest.raises(Conflict):
        undo_correction(ledger, BATCH_ID, 2, seen_id=0, reviewer="ann", reviewed_at=AT)
    assert texts(ledger) == {1: "2"}


def test_nothing_in_the_log_can_be_changed_or_deleted(ledger: Ledger) -> None:
    say(ledger, 1, "1")

    for statement in ("UPDATE corrections SET new = '2'", "DELETE FROM corrections", "DELETE FROM readings"):
        with pytest.raises(sqlite3.IntegrityError):
            ledger.query(statement)


def test_a_review_is_finished_when_every_row_to_review_is_settled(ledger: Ledger) -> None:
    assert (count_open_rows(ledger, BATCH_ID), is_review_finished(ledger, BATCH_ID)) == (3, False)
    say(ledger, 3, "3")  # was accepted: nobody has to look
    say(ledger, 1, "7")
    say(ledger, 2, None)
    say(ledger, 5, NONE)
    assert (count_open_rows(ledger, BATCH_ID), is_review_finished(ledger, BATCH_ID)) == (1, False)
    say(ledger, 2, "0650")
    assert (count_open_rows(ledger, BATCH_ID), is_review_finished(ledger, BATCH_ID)) == (0, True)


def test_a_batch_without_open_rows_is_finished_after_a_judgement(tmp_path: Path) -> None:
    ledger = open_test_ledger(tmp_path, [row(1, PageStatus.ACCEPTED)])

    assert not is_review_finished(ledger, BATCH_ID)
    say(ledger, 1, "1")
    assert is_review_finished(ledger, BATCH_ID)
    ledger.close()


def test_reviewed_rows_are_the_settled_rows(ledger: Ledger) -> None:
    say(ledger, 1, "1")
    say(ledger, 2, None)
    say(ledger, 4, NONE)
    other = "20260102T030405Z-00000001"
    add_batch(ledger, [row(1, path="b\udcff.png")], other)
    say(ledger, 1, "7", batch_id=other)

    reviewed = list(read_reviewed_rows(ledger))

    assert [(page.batch_id, page.row, page.text, page.verdict) for page in reviewed] == [
        (BATCH_ID, 1, "1", Verdict.CORRECTED),
        (BATCH_ID, 4, NONE, Verdict.CORRECTED),
        (other, 1, "7", Verdict.CONFIRMED),
    ]
    assert reviewed[0].location == f"outbox/done/{BATCH_ID}/desk/1.png"
    assert reviewed[2].location == f"outbox/done/{other}/b\udcff.png"
    assert reviewed[0].sha256 == ROWS[0].sha256


def test_a_ledger_of_an_older_version_has_no_corrections_and_takes_none(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / ".digitrec" / "main" / "ledger.sqlite3"
    ledger.close()
    make_older(path, 2)
    older = Ledger.open_readonly(path)

    assert read_latest(older) == {}
    assert read_latest(older, BATCH_ID) == {}
    assert read_history(older, BATCH_ID, 1) == []
    assert list(read_reviewed_rows(older)) == []
    assert count_open_rows(older, BATCH_ID) == 3
    assert not is_review_finished(older, BATCH_ID)
    assert apply_corrections(older, BATCH_ID) == ROWS
    older.close()
    with pytest.raises(EnvironmentFailure, match="another version"):
        Ledger.open_shared(path)
    upgraded = Ledger.open(path)
    assert say(upgraded, 1, "1").new == "1"
    upgraded.close()


@st.composite
def _actions(draw: st.DrawFn) -> list[tuple[str, int, str | None, bool]]:
    action = st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from([1, 2]),
        st.sampled_from(["7", "0650", "3", NONE, None, "undo"]),
        st.booleans(),  # looked again before, or works from what was on the screen
    )
    return draw(st.lists(action, max_size=12))


@pytest.mark.slow
@given(actions=_actions())
def test_any_sequence_by_two_people_matches_a_simple_model(
    actions: list[tuple[str, int, str | None, bool]],
) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(db, Path("memory"))
    ledger = Ledger(db)
    add_batch(ledger, ROWS)
    entries: dict[int, list[tuple[int, str | None]]] = {1: [], 2: []}  # (id, what holds; "" = nothing)
    screens: dict[str, dict[int, int]] = {"ann": {}, "bob": {}}
    for who, number, what, looks_again in actions:
        log = entries[number]
        newest_id = log[-1][0] if log else 0
        if looks_again:
            screens[who][number] = newest_id
        seen = screens[who].get(number, 0)
        is_refused = seen != newest_id or (what == "undo" and not log)
        try:
            if what == "undo":
                done = undo_correction(ledger, BATCH_ID, number, seen_id=seen, reviewer=who, reviewed_at=AT)
                log.append((done.id, log[-2][1] if len(log) > 1 else ""))
            else:
                judgement = Judgement(BATCH_ID, number, what, seen)
                (done,) = record_judgements(ledger, [judgement], reviewer=who, method=ReviewMethod.ONE, reviewed_at=AT)
                log.append((done.id, what))
            assert not is_refused
            screens[who][number] = done.id
        except Conflict:
            assert is_refused

    expected = {
        number: "" if log[-1][1] is None else log[-1][1] for number, log in entries.items() if log and log[-1][1] != ""
    }
    assert texts(ledger) == expected
    assert [len(read_history(ledger, BATCH_ID, number)) for number in entries] == [len(log) for log in entries.values()]
    ledger.close()
