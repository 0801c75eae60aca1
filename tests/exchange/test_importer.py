"""Import of corrections: all lines or none; damage by a spreadsheet is reported by line."""

import csv
import io
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.exchange import export, importer, spreadsheet
from digitrec.exchange.formats import TableFormat
from digitrec.exchange.importer import ImportPlan, ImportResult
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage.corrections import NONE, ReviewMethod, Verdict, read_latest
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason
from tests.conftest import read_csv
from tests.correction_helpers import AT, BATCH_ID, add_batch, open_test_ledger, row, say
from tests.older_ledgers import make_older

OTHER = "20260202T030405Z-00000000"
ROWS = [
    row(1),
    row(2, text="0650"),
    row(3, PageStatus.ACCEPTED, text="3"),
    row(4, PageStatus.REJECTED),
    row(5, path="=odd 50%;.png"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two workers; the second has a document of two pages, a repeated name, and repeated bytes."""
    settings = Settings(workspace=tmp_path)
    settings.outbox.mkdir()
    open_test_ledger(tmp_path, ROWS).close()
    with closing(Ledger.open(tmp_path / ".digitrec" / "b" / "ledger.sqlite3")) as other:
        pages = [replace(row(number, path="two.tif", page=number), sha256="c" * 64) for number in (1, 2)]
        again = replace(row(3, path="desk/1.png"), sha256="d" * 64)
        duplicate = replace(row(4, path="copy.png"), sha256=ROWS[2].sha256)
        add_batch(other, [*pages, again, duplicate], OTHER)
    return settings


def planned(settings: Settings, text: str | bytes, *, confirm_unchanged: bool = False) -> ImportPlan:
    content = text if isinstance(text, bytes) else text.encode()
    with open_ledgers(settings) as ledgers:
        return importer.plan_import(content, ledgers, confirm_unchanged=confirm_unchanged)


def applied(settings: Settings, text: str | bytes, *, confirm_unchanged: bool = False) -> ImportResult:
    plan = planned(settings, text, confirm_unchanged=confirm_unchanged)
    assert plan.errors == []
    return importer.apply_import(settings, plan, who="ann", at=AT)


def held(settings: Settings) -> dict[tuple[str, int], tuple[str, Verdict]]:
    with open_ledgers(settings) as ledgers:
        return {
            key: (correction.new, correction.verdict)
            for ledger in ledgers.values()
            for key, correction in read_latest(ledger).items()
        }


def table(settings: Settings, batch_id: str = BATCH_ID) -> list[dict[str, str]]:
    """Return the lines of an export."""
    target = io.BytesIO()
    with open_ledgers(settings) as ledgers:
        export.export(settings, ledgers, TableFormat.CSV, target)
    lines = csv.DictReader(io.StringIO(target.getvalue().decode(), newline=""))
    return [line for line in lines if line["batch_id"] == batch_id]


def written(lines: list[dict[str, str]], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode(encoding)


@pytest.mark.parametrize(
    "text",
    [
        f"batch_id,row,text\n{BATCH_ID},1,12\n",
        f"\ufeffText;Row;Batch_ID;more\r\n12;1.0;{BATCH_ID};x\r\n;;;\r\n\r\n",
        f"sep=;\nbatch_id;row;text\n{BATCH_ID};1;'12\n",
        f"batch_id\trow\tlabel\n{BATCH_ID}\t1\t 12 \n",
        f"sha256,label\n{ROWS[0].sha256.upper()},12\n",
        f"file,batch_id,label\ndesk/1.png,{BATCH_ID},12\n",
    ],
    ids=["batch and row", "spreadsheet", "sep=", "tabs", "bytes", "name in a batch"],
)
def test_an_answer_is_identified_by_row_digest_or_name(settings: Settings, text: str) -> None:
    done = applied(settings, text)

    assert held(settings) == {(BATCH_ID, 1): ("12", Verdict.CORRECTED)}
    assert (done.confirmed, done.corrected, done.tables) == (0, 1, [])


def test_escaped_and_plain_names_are_accepted(settings: Settings) -> None:
    applied(settings, "file,label\n'=odd 50%25;.png,1\n")
    applied(settings, 'file,label\n"=odd 50%;.png",2\n')

    assert held(settings) == {(BATCH_ID, 5): ("2", Verdict.CORRECTED)}


def test_all_answers_with_the_same_bytes_are_corrected_in_all_ledgers(settings: Settings) -> None:
    done = applied(settings, f"sha256,text\n{ROWS[2].sha256},none\n")

    assert held(settings) == {
        (BATCH_ID, 3): (NONE, Verdict.CORRECTED),
        (OTHER, 4): (NONE, Verdict.CORRECTED),
    }
    assert done.corrected == 2


def test_corrections_have_an_author_and_finish_the_review(settings: Settings) -> None:
    text = "".join(f"{BATCH_ID},{number},7\n" for number in (1, 2, 5))

    done = applied(settings, "batch_id,row,text\n" + text)

    assert (done.confirmed, done.corrected) == (2, 1)
    assert done.tables == [settings.outbox / "corrected" / f"{BATCH_ID}.csv"]
    assert [correction["text"] for correction in read_csv(done.tables[0])] == ["7", "7", "3", "", "7"]
    with open_ledgers(settings) as ledgers:
        assert {
            (correction.reviewer, correction.method, correction.reviewed_at)
            for correction in read_latest(ledgers["main"]).values()
        } == {("ann", ReviewMethod.FILE, AT)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{BATCH_ID},9,,,,7", "there is no row 9"),
        ("nope,1,,,,7", "there is no row 1 in batch nope"),
        (f"{BATCH_ID},one,,,,7", "row is 'one', which is no whole number"),
        (f"{BATCH_ID},1,,,,", "it has no text"),
        (f"{BATCH_ID},1,,,,seven", "'seven' is no number, none or illegible"),
        (f"{BATCH_ID},1,,,,1.5E+12", "is no number"),
        (f"{BATCH_ID},1,,,,٧", "is no number"),
        (f"{BATCH_ID},2,,,,650", "650 is what spreadsheets make of 0650; write '650 if it is meant, or '0650"),
        (f"{BATCH_ID},1,,desk/2.png,,7", f"row 1 of {BATCH_ID} has another file: was the table sorted in part?"),
        (f"{BATCH_ID},1,ff,,,7", "has another sha256"),
        (f"{BATCH_ID},1,,,2,7", "has another page"),
        (",,,desk/1.png,,7", "several files had this name"),
        (",,,two.tif,,7", "the file has several pages"),
        (",,,two.tif,3,7", "there is no such answer"),
        (",,,gone.png,,7", "there is no such answer"),
        (",,ff,,,7", "there is no such answer"),
        (",,,,,7", "it names no answer"),
        (f"{BATCH_ID},,,,,7", "it names no answer"),
        (f"{BATCH_ID},1,,,,7,8", "it has 7 cells, the header 6"),
        (f"{BATCH_ID},5,,,,8", "it says 8, and line 2 says 7 of the same answer"),
    ],
)
def test_an_inapplicable_line_is_reported_and_the_others_are_planned(settings: Settings, line: str, why: str) -> None:
    text = f"batch_id,row,sha256,file,page,text\n{BATCH_ID},5,,,,7\n{line}\n{BATCH_ID},3,,,,3\n"

    plan = planned(settings, text)

    (bad,) = plan.errors
    assert bad.startswith("line 3: ")
    assert why in bad
    assert plan.corrections == {"main": {(BATCH_ID, 5, 0): "7", (BATCH_ID, 3, 0): "3"}}
    assert held(settings) == {}


def workbook(*rows: tuple[object, ...]) -> bytes:
    book = Workbook()
    for cells in rows:
        book.active.append(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def test_numbers_that_lost_zeros_in_a_workbook_are_refused(settings: Settings) -> None:
    header = ("batch_id", "row", None, "text")

    plan = planned(settings, workbook(header, (BATCH_ID, 1, None, 7), (), (BATCH_ID, 2.0, None, 650)))

    assert plan.corrections == {"main": {(BATCH_ID, 1, 0): "7"}}
    assert plan.errors == ["line 4: 650 is what spreadsheets make of 0650; write '650 if it is meant, or '0650"]


def test_an_unedited_exported_workbook_has_no_corrections(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "answers.xlsx"
    with open_ledgers(settings) as ledgers:
        result = export.export(settings, ledgers, TableFormat.XLSX, path)
    untouched = planned(settings, path.read_bytes())
    book = load_workbook(path)
    line = next(cells for cells in book.active if cells[0].value == "'=odd 50%25;.png")
    line[1].value = "650"
    book.save(path)

    assert (untouched.corrections, untouched.errors, untouched.unchanged) == ({}, [], result.rows)
    assert planned(settings, path.read_bytes()).corrections == {"main": {(BATCH_ID, 5, 0): "650"}}


def test_digits_in_a_text_cell_count_as_written(settings: Settings) -> None:
    plan = planned(settings, workbook(("batch_id", "row", "text"), (BATCH_ID, 2, "650"), (BATCH_ID, 1, "None")))

    assert plan.errors == []
    assert plan.corrections == {"main": {(BATCH_ID, 2, 0): "650", (BATCH_ID, 1, 0): "none"}}


def test_line_numbers_match_an_editor_even_after_a_multiline_cell(settings: Settings) -> None:
    plan = planned(settings, f'sep=,\r\nbatch_id,row,text,note\r\n{BATCH_ID},1,7,"a\r\nb"\r\n{BATCH_ID},9,7,\r\n')

    assert plan.errors == [f"line 5: there is no row 9 in batch {BATCH_ID}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"file,number\n", "lacks columns"),
        (b"batch_id,text\n", "lacks columns"),
        (b"row,text\n", "lacks columns"),
        (b"file,text,text\n", "more than one column 'text'"),
        ("file,label\nü,7\n".encode("cp1252"), "not UTF-8"),
        ("file,label\n".encode("utf-16"), "not UTF-8"),
        (b'file,label\n"a"b,7\n', "line 2"),
        (b"PK\x03\x04 a workbook", "no Excel workbook"),
        (b"\xd0\xcf\x11\xe0 an old one", "no Excel workbook"),
    ],
)
def test_an_invalid_table_is_refused(settings: Settings, content: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        planned(settings, content)


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_only_edited_rows_of_an_exported_table_count(settings: Settings, delimiter: str, encoding: str) -> None:
    lines = table(settings)
    lines[1]["text"] = "0651"
    lines[3]["text"] = NONE
    lines[4]["status"] = "confirmed"

    plan = planned(settings, written(lines, delimiter, encoding))
    assert plan.errors == []
    assert plan.unchanged == 2
    importer.apply_import(settings, plan, who="ann", at=AT)

    assert held(settings) == {
        (BATCH_ID, 2): ("0651", Verdict.CORRECTED),
        (BATCH_ID, 4): (NONE, Verdict.CORRECTED),
        (BATCH_ID, 5): ("7", Verdict.CONFIRMED),
    }


def test_unedited_rows_in_review_can_be_confirmed(settings: Settings) -> None:
    done = applied(settings, written(table(settings)), confirm_unchanged=True)

    assert (done.confirmed, done.corrected) == (3, 0)
    assert held(settings) == {
        (BATCH_ID, number): (ROWS[number - 1].reading.text, Verdict.CONFIRMED) for number in (1, 2, 5)
    }


def test_unedited_non_digits_are_not_confirmed(tmp_path: Path) -> None:
    open_test_ledger(
        tmp_path, [row(1), row(2, reason=Reason.NOT_A_DIGIT), row(3, text="", reason=Reason.OTHER_MARKS)]
    ).close()
    settings = Settings(workspace=tmp_path)

    applied(settings, written(table(settings)), confirm_unchanged=True)

    assert held(settings) == {(BATCH_ID, 1): ("7", Verdict.CONFIRMED)}


def test_unedited_rows_with_a_newer_correction_are_not_confirmed(settings: Settings) -> None:
    lines = table(settings)
    applied(settings, f"batch_id,row,text\n{BATCH_ID},1,12\n")

    applied(settings, written(lines), confirm_unchanged=True)

    assert held(settings)[BATCH_ID, 1] == ("12", Verdict.CORRECTED)


def test_a_table_with_zeros_removed_by_a_spreadsheet_is_refused(settings: Settings) -> None:
    lines = table(settings)
    lines[1]["text"] = "650"

    assert "line 3: 650 is what spreadsheets make of 0650" in planned(settings, written(lines)).errors[0]
    lines[1]["text"] = "'650"
    applied(settings, written(lines))
    assert held(settings) == {(BATCH_ID, 2): ("650", Verdict.CORRECTED)}


def test_an_emptied_cell_is_no_answer(settings: Settings) -> None:
    lines = table(settings)
    lines[0]["text"] = ""

    assert planned(settings, written(lines)).errors == ["line 2: it has no text; 'none' says that there is no digit"]


def test_applying_a_table_twice_adds_nothing(settings: Settings) -> None:
    text = f"batch_id,row,text\n{BATCH_ID},1,12\n{BATCH_ID},3,none\n"
    applied(settings, text)

    plan = planned(settings, text)

    assert (plan.corrections, plan.repeated) == ({}, 2)


def test_an_export_restores_all_corrections_in_an_empty_ledger(tmp_path: Path, settings: Settings) -> None:
    with closing(Ledger.open_shared(tmp_path / ".digitrec" / "main" / "ledger.sqlite3")) as ledger:
        for number, new in ((1, "1"), (2, "0650"), (3, NONE), (5, None)):
            say(ledger, number, new)
    exported = written(table(settings))
    before = held(settings)
    (tmp_path / "new").mkdir()
    fresh = Settings(workspace=tmp_path / "new")
    fresh.outbox.mkdir()
    open_test_ledger(fresh.workspace, ROWS).close()

    applied(fresh, exported)

    assert held(fresh) == {key: label for key, label in before.items() if label[1].is_settled}


def test_an_unedited_table_does_not_overwrite_a_newer_correction(settings: Settings) -> None:
    lines = table(settings)
    applied(settings, f"batch_id,row,text\n{BATCH_ID},1,12\n")

    applied(settings, written(lines), confirm_unchanged=False)

    assert held(settings) == {(BATCH_ID, 1): ("12", Verdict.CORRECTED)}


def test_a_ledger_of_an_older_version_is_left_to_its_worker(settings: Settings) -> None:
    path = settings.state / "b" / "ledger.sqlite3"
    make_older(path, 2)

    plan = planned(settings, f"batch_id,row,text\n{OTHER},1,12\n")

    with pytest.raises(EnvironmentFailure) as why:
        importer.apply_import(settings, plan, who="ann", at=AT)
    assert "digitrec run --worker b" in why.value.hint


@pytest.mark.slow
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_parsed_or_refused(content: bytes) -> None:
    for header in (b"", b"file,label\n"):
        with suppress(UsageError):
            rows = list(spreadsheet.read_rows(header + content))
            assert all(isinstance(line, (spreadsheet.SheetRow, tuple)) for line in rows)
