"""Differing characters are marked in answer and label, and counted as digit errors."""

from hypothesis import given
from hypothesis import strategies as st

from digitrec.reports.alignment import count_digit_errors, find_differences
from digitrec.reports.html import mark_differences

TEXTS = st.text("0123-, ", max_size=7)


@given(TEXTS, TEXTS)
def test_what_is_not_marked_is_equal(text: str, truth: str) -> None:
    wrong, missed = find_differences(text, truth)

    right = [character for i, character in enumerate(text) if i not in wrong]
    assert right == [character for i, character in enumerate(truth) if i not in missed]


@given(TEXTS, TEXTS)
def test_digit_errors_are_bounded_and_symmetric(text: str, truth: str) -> None:
    digits, true_digits = ("".join(filter(str.isdigit, value)) for value in (text, truth))

    errors = count_digit_errors(text, truth)

    assert errors == count_digit_errors(truth, text)
    assert abs(len(digits) - len(true_digits)) <= errors <= max(len(digits), len(true_digits))
    assert (errors == 0) == (digits == true_digits)


def test_a_wrong_digit_is_marked_in_both_texts() -> None:
    assert mark_differences("14828", "19828") == '<span class="whole">1<mark>4</mark>828</span>'
    assert mark_differences("19828", "14828") == '<span class="whole">1<mark>9</mark>828</span>'


def test_a_single_digit_and_a_page_without_a_number_are_not_marked() -> None:
    assert "<mark>" not in mark_differences("7", "1") + mark_differences("123", "none") + mark_differences("none", "12")


def test_a_marked_text_is_escaped_and_a_long_one_shortened() -> None:
    assert mark_differences("<b>", "<i>") == '<span class="whole">&lt;<mark>b</mark>&gt;</span>'
    assert mark_differences("12 " * 20, "1") == "20 numbers"
