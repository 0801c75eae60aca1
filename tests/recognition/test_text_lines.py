"""Text lines of a page, and the numbers on them."""

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.text_lines import TextNumber, find_numbers
from tests.recognition.drawn import PEN, classed, fill, frame, lay_out, paper, rule, stroke, write


def numbers_of(page: Picture) -> list[TextNumber]:
    ink, components = lay_out(page)
    return find_numbers(components, ink.rules)


def counts(page: Picture) -> list[list[int]]:
    """The number of characters of each number, by line."""
    numbers = numbers_of(page)
    lines = sorted({number.line for number in numbers})
    return [[len(number.characters) for number in numbers if number.line == line] for line in lines]


def test_the_digits_of_a_number_stay_together() -> None:
    (number,) = numbers_of(write(paper(160, 500), "39287", 100, 100))

    assert len(number.characters) == 5
    assert (number.line, number.column) == (1, 1)
    assert [character.left for character in number.characters] == sorted(c.left for c in number.characters)
    assert number.slope == 0


def test_rows_are_read_from_the_top_and_numbers_from_the_left() -> None:
    page = paper(320, 500)
    for row, texts in enumerate((("12", "305"), ("4", "56"), ("7890", "1"))):
        for column, text in enumerate(texts):
            write(page, text, 40 + 250 * column, 80 + 100 * row)

    numbers = numbers_of(page)

    assert [len(number.characters) for number in numbers] == [2, 3, 1, 2, 4, 1]
    assert [number.line for number in numbers] == [1, 1, 2, 2, 3, 3]
    assert [number.column for number in numbers] == [1, 2, 1, 2, 1, 2]


def test_a_wide_gap_ends_a_number() -> None:
    page = write(write(paper(160, 600), "21", 40, 100), "37", 220, 100)

    assert counts(page) == [[2, 2]]


@pytest.mark.parametrize("mark", [(148, 96, 154, 102), (148, 94, 154, 108)], ids=["point", "comma"])
def test_a_point_or_comma_keeps_a_number_together(mark: tuple[int, int, int, int]) -> None:
    page = write(write(paper(160, 500), "31", 40, 100), "42", 164, 100)
    bare = counts(page)

    pointed = counts(fill(page, *mark, PEN))

    assert bare == [[2, 2]]
    assert pointed == [[4]]


def test_a_rule_between_two_digits_ends_a_number() -> None:
    page = frame(paper(160, 400), 30, 30, 330, 130)
    rule(page, (180, 30), (180, 130))
    write(write(page, "8", 140, 100), "5", 190, 100)
    write(write(page, "2", 104, 100), "6", 226, 100)

    assert counts(page) == [[2, 2]]


def test_a_rule_below_a_number_does_not_split_it() -> None:
    page = write(rule(paper(160, 400), (0, 120), (400, 124)), "2583", 100, 100)

    assert counts(page) == [[4]]


def comb(page: Picture, text: str, cell: int = 60) -> Picture:
    """Adjoining cells of equal width with a character in each; a space leaves one empty."""
    frame(page, 40, 40, 40 + cell * len(text), 120)
    for place, character in enumerate(text):
        if place:
            rule(page, (40 + cell * place, 40), (40 + cell * place, 120))
        if character != " ":
            write(page, character, 40 + cell * place + 16, 100)
    return page


@pytest.mark.parametrize("text", ["50243", "8421960"])
def test_a_comb_field_is_one_number(text: str) -> None:
    assert counts(comb(paper(160, 540), text)) == [[len(text)]]


def test_separate_black_boxes_of_equal_size_are_a_comb_field() -> None:
    page = paper(280, 580)
    for row, text in enumerate(("53086", "24719")):
        for place, digit in enumerate(text):
            left, top = 40 + 94 * place, 40 + 120 * row
            frame(page, left, top, left + 74, top + 80, thick=2, level=PEN)
            write(page, digit, left + 22, top + 60)

    numbers = find_numbers(classed(page), None)

    assert [(number.line, len(number.characters)) for number in numbers] == [(1, 5), (2, 5)]


def test_cells_with_several_digits_are_numbers_of_their_own() -> None:
    page = frame(paper(160, 540), 40, 40, 500, 120)
    for place, text in enumerate(("12", "7", "30", "9")):
        if place:
            rule(page, (40 + 115 * place, 40), (40 + 115 * place, 120))
        write(page, text, 60 + 115 * place, 100)

    assert counts(page) == [[2, 1, 2, 1]]


def turned(page: Picture, angle: float) -> Picture:
    rows, columns = page.shape
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(page, turn, (columns, rows), borderMode=cv2.BORDER_REPLICATE), np.uint8)


@pytest.mark.parametrize("angle", [-30, -15, -5, 5, 15, 30])
def test_slanting_lines_are_read_along_their_slope(angle: float) -> None:
    page = paper(500, 600)
    write(write(page, "385204", 160, 220), "726935", 160, 320)

    numbers = numbers_of(turned(page, angle))

    assert [len(number.characters) for number in numbers] == [6, 6]
    assert [number.line for number in numbers] == [1, 2]
    assert all(np.sign(number.slope) in {0, -np.sign(angle)} for number in numbers)
    assert all(number.slope for number in numbers) == (abs(angle) > 10)


def test_digits_far_apart_on_lines_that_rise_a_little_keep_their_order() -> None:
    page = paper(420, 1100)
    for row in range(3):
        for column in range(6):
            write(page, str(row + 1), 40 + 180 * column, 180 + 110 * row - 16 * column)

    assert counts(page) == [[1] * 6] * 3
    assert {number.slope for number in numbers_of(page)} == {0.0}


def test_where_rules_stand_between_evenly_spaced_digits_the_limits_are_in_doubt() -> None:
    squared = paper(160, 700)
    for left in (184, 620):
        rule(squared, (left, 0), (left, 160))
    write(write(write(squared, "8", 110, 100), "5", 148, 100), "2", 192, 100)
    write(squared, "6", 230, 100)
    cells = write(rule(paper(160, 700), (200, 0), (200, 160)), "85", 110, 100)
    write(cells, "26", 290, 100)

    assert counts(squared) == counts(cells) == [[2, 2]]
    assert [number.is_clear for number in numbers_of(squared)] == [False, False]
    assert [number.is_clear for number in numbers_of(cells)] == [True, True]


def test_digits_of_different_height_share_a_line() -> None:
    page = write(paper(160, 400), "85", 60, 100)
    write(page, "0", 138, 100, high=28)
    write(page, "6", 170, 102, high=46)

    assert counts(page) == [[4]]


def test_the_box_of_a_number_holds_its_characters() -> None:
    (number,) = numbers_of(stroke(write(paper(160, 400), "53", 100, 100), (190, 70), (194, 112)))

    box = number.box
    assert box.left == number.characters[0].left
    assert box.right == number.characters[-1].right
    assert (box.top, box.bottom) == (
        min(character.top for character in number.characters),
        max(character.bottom for character in number.characters),
    )


def test_bare_paper_has_no_numbers() -> None:
    assert numbers_of(paper(80, 120)) == []


def test_many_rows_of_one_digit_are_lines_of_their_own() -> None:
    page = paper(900, 200)
    for row in range(12):
        write(page, str(row % 10), 80, 70 + 70 * row)

    assert counts(page) == [[1]] * 10 + [[1]] * 2
