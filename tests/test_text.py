"""Escaped file names can be read back."""

import csv
import io
import os

from hypothesis import given
from hypothesis import strategies as st

from digitrec import text as escaping

file_names = (
    st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name).map(os.fsdecode)
)


@given(file_names)
def test_any_file_name_can_be_read_back_from_its_cell(name: str) -> None:
    assert escaping.unescape_cell(escaping.escape_cell(name)) == name


@given(file_names)
def test_a_cell_is_one_utf8_line_and_never_a_spreadsheet_formula(name: str) -> None:
    cell = escaping.escape_cell(name)

    cell.encode()
    assert cell[0] not in "=+-@\t\r"
    text = io.StringIO(newline="")
    csv.writer(text).writerow([cell])
    assert text.getvalue().count("\n") == 1


@given(st.text(st.characters(categories=["L", "Nd", "Zs"]), min_size=1))
def test_ordinary_names_are_unchanged(name: str) -> None:
    assert escaping.escape_cell(name) == name
