"""The CSV to the letter."""

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.storage import csv_tables
from digitrec.text import unescape_cell
from digitrec.types import Box, Digit, Number, OutputFormat, PageReading, PageStatus, Reason, TableRow, Thresholds
from tests.older_ledgers import format_of_0_1

OUTPUT_FORMAT = OutputFormat(
    columns=csv_tables.COLUMNS,
    digit_columns=csv_tables.DIGIT_COLUMNS,
    number_columns=csv_tables.NUMBER_COLUMNS,
    schema_version=2,
    csv_profile="plain",
    model_id="m",
    app_version="0",
    processed_at="2026-01-02T03:04:05.000Z",
    thresholds=Thresholds(0.9, 0.8),
    max_error=0.005,
)
SEVEN = Digit(Box(1, 2, 3, 4), (0.0,) * 7 + (0.9, 0.1, 0.0))
NUMBER = Number(1, 1, Box(1, 2, 3, 4), "7", (SEVEN,), 0.9)
ROW = TableRow(
    batch_id="20260102T030405Z-00000000",
    row=1,
    path="desk/7.png",
    sha256="ab",
    size=123,
    received_at="2026-01-02T03:04:00.000Z",
    label="",
    duplicate_of="",
    reading=PageReading(
        1, PageStatus.ACCEPTED, "7", 0.9, "8", 0.1, None, "", format="png", width=60, height=80, numbers=(NUMBER,)
    ),
)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_the_columns_are_those_of_the_contract() -> None:
    assert ",".join(csv_tables.COLUMNS) == (
        "schema_version,batch_id,row,file,group,page,status,text,digit,confidence,runner_up,runner_up_confidence,"
        "digit_count,reason_code,reason,duplicate_of,label,format,width,height,size_bytes,sha256,received_at,"
        "processed_at,model_id,app_version,number_count"
    )
    assert ",".join(csv_tables.NUMBER_COLUMNS) == (
        "schema_version,batch_id,row,file,page,number,line,column,x,y,width,height,text,confidence,status,reason_code"
    )
    assert ",".join(csv_tables.DIGIT_COLUMNS) == (
        "schema_version,batch_id,row,file,page,index,x,y,width,height,digit,confidence,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9,"
        "number"
    )


def test_a_row_has_the_expected_bytes() -> None:
    assert csv_tables.render_main([ROW], OUTPUT_FORMAT).split("\r\n")[1:] == [
        "2,20260102T030405Z-00000000,1,desk/7.png,desk,1,accepted,7,7,0.900000,8,0.100000,1,,,,,png,60,80,123,ab,"
        "2026-01-02T03:04:00.000Z,2026-01-02T03:04:05.000Z,m,0,1",
        "",
    ]
    assert csv_tables.render_digits([ROW], OUTPUT_FORMAT).split("\r\n")[1:] == [
        "2,20260102T030405Z-00000000,1,desk/7.png,1,1,1,2,3,4,7,0.900000,"
        "0.000000,0.000000,0.000000,0.000000,0.000000,0.000000,0.000000,0.900000,0.100000,0.000000,1",
        "",
    ]
    assert csv_tables.render_numbers([ROW], OUTPUT_FORMAT).split("\r\n")[1:] == [
        "2,20260102T030405Z-00000000,1,desk/7.png,1,1,1,1,1,2,3,4,7,0.900000,accepted,",
        "",
    ]


def test_a_number_keeps_its_leading_zeros_and_has_no_single_digit() -> None:
    reading = replace(ROW.reading, text="0650", numbers=(replace(NUMBER, text="0650", digits=(SEVEN,) * 4),))

    (row,) = read(csv_tables.render_main([replace(ROW, reading=reading)], OUTPUT_FORMAT))

    assert (row["text"], row["digit"], row["digit_count"]) == ("0650", "", "4")


def test_page_of_several_numbers_counts_numbers_and_digits() -> None:
    numbers = (replace(NUMBER, text="-5"), replace(NUMBER, text="3,14", column=2), replace(NUMBER, text="7", line=2))
    row = replace(ROW, reading=replace(ROW.reading, text="-5 3,14 7", numbers=numbers))

    (main,) = read(csv_tables.render_main([row], OUTPUT_FORMAT))
    lines = read(csv_tables.render_numbers([row], OUTPUT_FORMAT))

    assert (main["text"], main["digit"]) == ("'-5 3,14 7", "")
    assert (main["digit_count"], main["number_count"]) == ("5", "3")
    assert [(line["number"], line["line"], line["column"], line["text"]) for line in lines] == [
        ("1", "1", "1", "-5"),
        ("2", "1", "2", "3,14"),
        ("3", "2", "1", "7"),
    ]


@pytest.mark.parametrize("text", ["-5", "+3,14", "-1.000,50", "12/03/2024", "21 37 65", "1 +2", "7.-"])
def test_numbers_with_signs_and_spaces_get_no_apostrophe(text: str) -> None:
    reading = replace(ROW.reading, text=text, runner_up=text, numbers=(replace(NUMBER, text=text),))
    row = replace(ROW, label=text, reading=reading)

    (main,) = read(csv_tables.render_main([row], OUTPUT_FORMAT))
    (number,) = read(csv_tables.render_numbers([row], OUTPUT_FORMAT))

    assert (main["text"], main["runner_up"], main["label"], number["text"]) == (text, text, text, text)


@pytest.mark.parametrize("label", ["-5e3", "-A1", "=7", "+", "-5 6", "@7", "'7", "+-5", "-٣"])
def test_other_labels_that_look_like_formulas_get_an_apostrophe(label: str) -> None:
    (main,) = read(csv_tables.render_main([replace(ROW, label=label)], OUTPUT_FORMAT))

    assert main["label"] == f"'{label}"
    assert unescape_cell(main["label"]) == label


def test_batch_of_0_1_is_rendered_as_0_1_did() -> None:
    former = format_of_0_1(OUTPUT_FORMAT)

    tables = csv_tables.render_tables(ROW.batch_id, [replace(ROW, label="-5")], former)

    assert list(tables) == [f"{ROW.batch_id}.digits.csv", f"{ROW.batch_id}.csv"]
    assert tables[f"{ROW.batch_id}.csv"] == (
        "schema_version,batch_id,row,file,group,page,status,text,digit,confidence,runner_up,runner_up_confidence,"
        "digit_count,reason_code,reason,duplicate_of,label,format,width,height,size_bytes,sha256,received_at,"
        "processed_at,model_id,app_version\r\n"
        "1,20260102T030405Z-00000000,1,desk/7.png,desk,1,accepted,7,7,0.900000,8,0.100000,1,,,,'-5,png,60,80,123,ab,"
        "2026-01-02T03:04:00.000Z,2026-01-02T03:04:05.000Z,m,0\r\n"
    )
    assert tables[f"{ROW.batch_id}.digits.csv"] == (
        "schema_version,batch_id,row,file,page,index,x,y,width,height,digit,confidence,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
        "\r\n1,20260102T030405Z-00000000,1,desk/7.png,1,1,1,2,3,4,7,0.900000,"
        "0.000000,0.000000,0.000000,0.000000,0.000000,0.000000,0.000000,0.900000,0.100000,0.000000\r\n"
    )


def test_tables_are_published_in_order_with_the_main_table_last() -> None:
    names = list(csv_tables.render_tables("B", [ROW], OUTPUT_FORMAT))

    assert names == ["B.digits.csv", "B.numbers.csv", "B.csv"]


def test_a_rejected_row_has_empty_cells() -> None:
    reading = PageReading(1, PageStatus.REJECTED, reason=Reason.NOT_AN_IMAGE, detail="it is text")

    (row,) = read(csv_tables.render_main([replace(ROW, reading=reading)], OUTPUT_FORMAT))

    empty = {name for name, cell in row.items() if cell == ""}
    assert {"text", "digit", "confidence", "runner_up", "runner_up_confidence", "digit_count", "width"} <= empty
    assert "number_count" in empty
    assert (row["reason_code"], row["reason"]) == ("not_an_image", "it is text")


def test_the_excel_profile_only_adds_the_byte_order_mark() -> None:
    plain, excel = (
        csv_tables.render_main([ROW], replace(OUTPUT_FORMAT, csv_profile=profile)) for profile in ("plain", "excel")
    )

    assert excel == "\ufeff" + plain


def test_rows_are_sorted_as_they_are_written() -> None:
    paths = ["b.png", "=a.png", "B.png", "a/1.png", "ü.png"]
    pages = sorted(((path, page) for path in paths for page in (2, 1)), key=lambda key: csv_tables.sort_key(*key))
    rows = [replace(ROW, path=path, reading=replace(ROW.reading, page=page)) for path, page in pages]

    written = [(row["file"], int(row["page"])) for row in read(csv_tables.render_main(rows, OUTPUT_FORMAT))]

    assert written == sorted(written)


@given(st.floats(0, 1), st.text(max_size=20))
def test_written_rows_are_read_back(confidence: float, label: str) -> None:
    row = replace(ROW, label=label, reading=replace(ROW.reading, confidence=confidence))
    try:
        label.encode()
    except UnicodeEncodeError:
        return

    (cells,) = read(csv_tables.render_main([row], OUTPUT_FORMAT))

    assert abs(float(cells["confidence"]) - confidence) <= 5e-7
    assert list(cells) == list(csv_tables.COLUMNS)
