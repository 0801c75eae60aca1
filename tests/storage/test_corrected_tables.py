"""outbox/corrected/<batch>.csv tells what holds once a review is finished, whatever breaks off in between."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec import files
from digitrec.errors import EnvironmentFailure
from digitrec.storage import corrected_rows, corrected_tables, csv_tables, judgements
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.corrected_tables import write_corrected_table, write_outdated_tables
from digitrec.storage.corrections import (
    NONE,
    Correction,
    ReviewMethod,
    Verdict,
    is_review_finished,
    read_history,
    read_latest,
    read_reviewed_rows,
)
from digitrec.storage.judgements import Judgement, record_judgements, undo_correction
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason
from tests.conftest import ServiceHarness, draw, read_csv
from tests.correction_helpers import AT, BATCH_ID, open_test_ledger, row, say
from tests.pipeline.test_crash import PowerCut, cut
from tests.storage.test_csv_tables import OUTPUT_FORMAT

ROWS = [row(1), row(2, text="0650"), row(3, PageStatus.ACCEPTED, text="3"), row(4, PageStatus.REJECTED)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "outbox").mkdir()
    ledger = open_test_ledger(tmp_path, ROWS)
    yield ledger
    ledger.close()


def read_cells(path: Path | None) -> dict[str, tuple[str, str, str, str]]:
    """Status, text, label and confidence by row."""
    assert path is not None
    return {line["row"]: (line["status"], line["text"], line["label"], line["confidence"]) for line in read_csv(path)}


def test_the_table_appears_when_the_review_is_finished(tmp_path: Path, ledger: Ledger) -> None:
    say(ledger, 1, "1")
    assert write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID) is None
    say(ledger, 2, "0650")

    path = write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID)

    assert path == tmp_path / "outbox" / "corrected" / f"{BATCH_ID}.csv"
    assert read_cells(path) == {
        "1": ("corrected", "1", "1", ""),
        "2": ("confirmed", "0650", "0650", "0.900000"),
        "3": ("accepted", "3", "", "0.900000"),
        "4": ("rejected", "", "", ""),
    }
    assert tuple(read_csv(path)[0]) == csv_tables.COLUMNS


def test_a_page_without_a_digit_is_marked() -> None:
    correction = Correction(1, BATCH_ID, 1, AT, "ann", Verdict.CORRECTED, "7", NONE, ReviewMethod.ONE)

    corrected = corrected_rows.apply_correction(row(1), correction)

    assert (corrected.label, corrected.reading.text, corrected.reading.reason) == (NONE, "", Reason.NOT_A_DIGIT)
    assert ",corrected,,,,,,,not_a_digit,this does not look like a digit," in csv_tables.render_main(
        [corrected], OUTPUT_FORMAT
    )


@pytest.mark.parametrize(
    ("reason", "new", "expected"),
    [
        (Reason.NOT_A_DIGIT, NONE, ("confirmed", "", "none", "")),
        (Reason.OTHER_MARKS, NONE, ("corrected", "", "none", "")),
        (Reason.OTHER_MARKS, "42", ("corrected", "42", "42", "")),
        (Reason.OTHER_MARKS, None, ("review", "", "", "")),
    ],
)
def test_a_page_without_an_answer_can_be_settled(
    tmp_path: Path, reason: Reason, new: str | None, expected: tuple[str, ...]
) -> None:
    (tmp_path / "outbox").mkdir()
    nothing = row(1, text="", reason=reason, confidence=None, runner_up="", runner_up_confidence=None)
    with closing(open_test_ledger(tmp_path, [nothing, row(2)])) as ledger:
        say(ledger, 2, "7")
        assert write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID) is None
        say(ledger, 1, new)
        path = write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID)

        holds = apply_corrections(ledger, BATCH_ID)[0].reading
        assert (holds.status, holds.text) == expected[:2]
    assert path is None if new is None else read_cells(path)["1"] == expected


def test_the_digits_that_a_person_saw_are_counted() -> None:
    correction = Correction(1, BATCH_ID, 1, AT, "ann", Verdict.CORRECTED, "7", "0650", ReviewMethod.ONE)

    assert ",corrected,0650,,,,,4,,," in csv_tables.render_main(
        [corrected_rows.apply_correction(row(1), correction)], OUTPUT_FORMAT
    )


def test_a_corrected_table_follows_later_and_withdrawn_corrections(tmp_path: Path, ledger: Ledger) -> None:
    outbox = tmp_path / "outbox"
    for number in (1, 2):
        say(ledger, number, "5")
    path = write_corrected_table(outbox, ledger, BATCH_ID)
    last = say(ledger, 3, "8")
    assert read_cells(write_corrected_table(outbox, ledger, BATCH_ID))["3"][:2] == ("corrected", "8")

    undo_correction(ledger, BATCH_ID, 3, seen_id=last.id, reviewer="ann", reviewed_at=AT)
    say(ledger, 1, None)

    assert write_corrected_table(outbox, ledger, BATCH_ID) == path
    assert read_cells(path)["3"] == ("accepted", "3", "", "0.900000")
    assert read_cells(path)["1"] == ("review", "7", "", "0.900000")


def test_a_complete_corrected_table_is_left_unchanged(tmp_path: Path, ledger: Ledger) -> None:
    for number in (1, 2):
        say(ledger, number, "5")
    path = write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID)
    assert path is not None
    before = path.stat()

    assert write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID) == path
    assert write_outdated_tables(tmp_path / "outbox", ledger) == []
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    path.unlink()
    assert write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID) == path
    assert path.exists()


def test_a_slow_writer_does_not_replace_a_newer_table(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = tmp_path / "outbox"
    for number in (1, 2):
        say(ledger, number, "5")
    real = csv_tables.render_main
    with monkeypatch.context() as patch:

        def slow(*given: object) -> str:
            text = real(*given)  # type: ignore[arg-type]
            patch.undo()  # somebody else is faster
            say(ledger, 3, "8", who="bob")
            write_corrected_table(outbox, ledger, BATCH_ID)
            return text

        patch.setattr(csv_tables, "render_main", slow)
        path = write_corrected_table(outbox, ledger, BATCH_ID)

    assert read_cells(path)["3"][:2] == ("corrected", "8")


def test_nothing_is_written_to_another_outbox(tmp_path: Path, ledger: Ledger) -> None:
    ledger.set_meta("outbox_id", "f" * 32)
    for number in (1, 2):
        say(ledger, number, "5")

    with pytest.raises(EnvironmentFailure, match="has lost its marker"):
        write_corrected_table(tmp_path / "outbox", ledger, BATCH_ID)

    assert not (tmp_path / "outbox" / "corrected").exists()


# In a whole workspace.


@pytest.fixture
def read(harness: ServiceHarness) -> ServiceHarness:
    """Two pictures in review, one accepted, in two batches."""
    harness.set(batch_files=2)
    for digit in (1, 2, 3):
        harness.drop(f"{digit}.png", draw(digit))
    harness.run()
    return harness


@contextmanager
def noting(harness: ServiceHarness) -> Iterator[Ledger]:
    with closing(Ledger.open_shared(harness.settings.ledger)) as ledger:
        yield ledger


def judge_all(harness: ServiceHarness, ledger: Ledger, new: str = "0650") -> None:
    for path in harness.tables():
        for line in read_csv(path):
            past = read_history(ledger, path.stem, int(line["row"]))
            judgement = Judgement(path.stem, int(line["row"]), new, past[-1].id if past else 0)
            judgements.record_judgements(ledger, [judgement], reviewer="ann", method=ReviewMethod.ONE, reviewed_at=AT)
        corrected_tables.write_corrected_table(harness.outbox, ledger, path.stem)


def corrected(harness: ServiceHarness) -> dict[str, list[str]]:
    """The texts in the main tables in outbox/corrected/, by batch."""
    return {path.stem: [line["text"] for line in read_csv(path)] for path in list_corrected(harness)}


def list_corrected(harness: ServiceHarness) -> list[Path]:
    """The main tables in outbox/corrected/."""
    paths = sorted((harness.outbox / "corrected").iterdir())
    return [path for path in paths if not path.name.endswith(".numbers.csv")]


@pytest.mark.slow
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("home", "function"),
    [
        (judgements, "_append"),
        (judgements, "record_judgements"),
        (corrected_tables, "write_corrected_table"),
        (files, "atomic_write"),
    ],
    ids=["said", "noted", "table asked for", "table written"],
)
def test_a_power_cut_during_a_review_loses_no_saved_verdict(
    read: ServiceHarness, monkeypatch: pytest.MonkeyPatch, home: object, function: str, call: int, after: bool
) -> None:
    published = {path: path.read_bytes() for path in read.tables()}
    with monkeypatch.context() as patch:
        cut(patch, home, function, call=call, after=after)
        with pytest.raises(PowerCut), noting(read) as ledger:
            judge_all(read, ledger)
    assert read.account().discrepancies == ()

    read.run()

    assert read.account().discrepancies == ()
    assert not any("not written yet" in note for note in read.account().notes)
    with noting(read) as ledger:
        finished = [path.stem for path in read.tables() if is_review_finished(ledger, path.stem)]
        expected = {
            batch_id: [corrected.reading.text for corrected in apply_corrections(ledger, batch_id)]
            for batch_id in finished
        }
        assert (corrected(read) if finished else {}) == expected
        judge_all(read, ledger)
    assert corrected(read) == {path.stem: ["0650"] * len(read_csv(path)) for path in read.tables()}
    assert read.account().discrepancies == ()
    assert {path: path.read_bytes() for path in read.tables()} == published


def test_verify_reports_late_missing_changed_and_unknown_corrected_tables(read: ServiceHarness) -> None:
    with noting(read) as ledger:
        judge_all(read, ledger)
        first, second = list_corrected(read)
        assert read.account().discrepancies == ()
        past = read_history(ledger, first.stem, 1)
        record_judgements(
            ledger,
            [Judgement(first.stem, 1, "9", past[-1].id)],
            reviewer="bob",
            method=ReviewMethod.AUDIT,
            reviewed_at=AT,
        )
        assert read.account().discrepancies == ()
        assert "main: 1 corrected table not written yet; its next `run`, or `review`, does" in read.account().notes
        write_outdated_tables(read.outbox, ledger)
    second.write_bytes(second.read_bytes().replace(b"0650", b"650"))
    numbers = second.with_name(f"{second.stem}.numbers.csv")
    numbers.write_bytes(numbers.read_bytes().replace(b"0650", b"650"))
    assert read.account().discrepancies == (
        f"corrected/{numbers.name} differs from the ledger",
        f"corrected/{second.name} differs from the ledger",
    )
    numbers.unlink()
    second.rename(second.with_name("20260102T030405Z-00000000.csv"))
    assert read.account().discrepancies == (
        f"corrected/{numbers.name} is missing",
        f"corrected/{second.name} is missing",
        "outbox/corrected/20260102T030405Z-00000000.csv is in no ledger",
    )


def test_a_failed_corrected_table_does_not_stop_reading(read: ServiceHarness, caplog: pytest.LogCaptureFixture) -> None:
    (read.outbox / "corrected").write_text("in the way")
    with noting(read) as ledger, pytest.raises(OSError, match="corrected"):
        judge_all(read, ledger)
    read.drop("4.png", draw(4))

    read.run()

    assert len(read.rows()) == 4
    assert "a corrected table cannot be written yet" in caplog.text


def test_a_rebuilt_ledger_has_the_corrections_of_finished_reviews(read: ServiceHarness) -> None:
    with noting(read) as ledger:
        judge_all(read, ledger)
        before = read_latest(ledger)
    tables = {path.name: path.read_bytes() for path in (read.outbox / "corrected").iterdir()}
    read.settings.ledger.unlink()

    read.run()

    with noting(read) as ledger:
        after = read_latest(ledger)
    assert {key: (entry.verdict, entry.new) for key, entry in after.items()} == {
        key: (entry.verdict, entry.new) for key, entry in before.items()
    }
    assert {(entry.reviewer, entry.method) for entry in after.values()} == {("rebuilt", ReviewMethod.FILE)}
    assert {path.name: path.read_bytes() for path in (read.outbox / "corrected").iterdir()} == tables
    account = read.account()
    assert account.discrepancies == ()
    assert "main: corrections from before are known of finished reviews only, without the reviewer" in account.notes


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [b"text\r\n7\r\n", b"\xff", b"row,status,text\r\n1,corrected,5\r\n9,corrected,5\r\n"]
)
def test_an_unreadable_corrected_table_does_not_stop_a_rebuild(read: ServiceHarness, damage: bytes) -> None:
    with noting(read) as ledger:
        judge_all(read, ledger)
    path = list_corrected(read)[0]
    path.write_bytes(damage)
    read.settings.ledger.unlink()

    read.run()

    assert len(read.rows()) == 3
    assert read.account().discrepancies == (
        f"corrected/{path.stem}.numbers.csv has corrections that are in no ledger",
        f"corrected/{path.name} has corrections that are in no ledger",
    )


def test_pruning_and_requeuing_keep_the_corrections(read: ServiceHarness) -> None:
    with noting(read) as ledger:
        judge_all(read, ledger)
        before = read_latest(ledger)
    from digitrec.monitoring import maintenance

    with noting(read) as ledger:
        chosen = maintenance.select(read.settings, {"main": ledger}, 0.0, read.now_s + 1)
    assert len(list(maintenance.prune(read.settings, chosen, AT))) == 2

    assert read.account().discrepancies == ()
    with noting(read) as ledger:
        assert read_latest(ledger) == before
        assert [replace(reviewed, location="") for reviewed in read_reviewed_rows(ledger)]
