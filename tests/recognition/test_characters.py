"""Components of a page's ink by class, and the strokes of one character."""

import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.recognition.characters import median_height
from digitrec.recognition.components import Component, is_hollow
from tests.recognition.drawn import HIGH, PEN, classed, fill, frame, lay_out, paper, rule, stroke, write


def line() -> Picture:
    """A page with the number 582."""
    return write(paper(160, 400), "582", 100, 100)


def boxes(components: tuple[Component, ...]) -> list[tuple[int, int, int, int]]:
    return [(part.left, part.top, part.right, part.bottom) for part in components]


@pytest.mark.parametrize("text", ["0", "7", "12", "582", "1190", "0123456789"])
def test_digits_side_by_side_are_characters_from_the_left(text: str) -> None:
    components = classed(write(paper(160, 400), text, 40, 100))

    lefts = [character.left for character in components.characters]
    assert len(lefts) == len(text)
    assert lefts == sorted(lefts)
    assert components.height == pytest.approx(HIGH, abs=6)
    assert not components.small
    assert not components.background


def test_bare_paper_has_no_components_and_no_height() -> None:
    components = classed(paper(60, 80))

    assert (components.height, components.characters, components.small, components.background) == (0.0, (), (), ())


def test_a_point_is_small_and_joins_no_character() -> None:
    components = classed(fill(line(), 222, 96, 228, 102, PEN))

    assert len(components.characters) == 3
    assert boxes(components.small) == [(222, 96, 228, 102)]


def test_a_minus_is_small() -> None:
    components = classed(stroke(line(), (60, 80), (78, 80)))

    assert len(components.characters) == 3
    (minus,) = components.small
    assert minus.width > minus.height


def test_an_underline_is_background() -> None:
    components = classed(rule(line(), (90, 122), (200, 124), thick=3, level=PEN))

    assert len(components.characters) == 3
    (underline,) = components.background
    assert underline.width > 100


def test_a_frame_around_a_number_is_background() -> None:
    components = classed(frame(line(), 60, 30, 260, 130, thick=3))

    assert len(components.characters) == 3
    (box,) = components.background
    assert boxes((box,))[0] == pytest.approx((59, 29, 262, 132), abs=2)


@pytest.mark.parametrize("digit", "0689")
def test_a_digit_with_a_hole_is_no_frame(digit: str) -> None:
    components = classed(write(paper(160, 160), digit, 60, 100))

    assert len(components.characters) == 1
    assert not components.background


def test_a_speck_far_from_any_digit_is_small() -> None:
    components = classed(fill(line(), 300, 30, 303, 33, PEN))

    assert len(components.characters) == 3
    assert len(components.small) == 1


def test_the_bar_of_a_5_apart_from_its_body_belongs_to_it() -> None:
    page = write(paper(160, 300), "22", 40, 100)
    stroke(page, (122, 64), (122, 78), (140, 78), (146, 90), (136, 100), (120, 98))
    stroke(page, (131, 60), (150, 59))

    components = classed(page)

    assert len(components.characters) == 3
    assert len(components.characters[2].labels) == 2
    assert not components.small


def test_a_4_in_two_strokes_is_a_single_character() -> None:
    page = stroke(paper(120, 120), (48, 40), (40, 66), (62, 66), thick=3)
    stroke(page, (68, 42), (68, 84), thick=3)

    components = classed(page)

    (four,) = components.characters
    assert len(four.labels) == 2
    assert boxes((four,))[0] == pytest.approx((38, 38, 70, 86), abs=2)


def test_two_ones_are_two_characters() -> None:
    page = stroke(paper(120, 120), (44, 40), (44, 84))
    stroke(page, (70, 40), (70, 84))

    assert len(classed(page).characters) == 2


@pytest.mark.parametrize("left", [2, 24])
def test_a_broken_digit_in_two_halves_is_a_single_character(left: int) -> None:
    page = write(paper(120, 90), "8", left + 10, 90)
    page[69:72] = 230

    (eight,) = classed(page).characters

    assert len(eight.labels) == 2


def test_neighbours_that_the_crop_cuts_are_dropped() -> None:
    page = write(paper(70, 80), "5", 26, 56)
    fill(page, 0, 20, 9, 52, PEN)
    fill(page, 71, 18, 80, 54, PEN)

    (character,) = classed(page).characters

    assert 20 < character.left < character.right < 60


def test_digits_at_the_edge_of_a_wide_picture_are_characters() -> None:
    page = write(paper(70, 300), "1234567", 6, 56, high=44)
    width = max(character.right for character in classed(page).characters)

    components = classed(np.ascontiguousarray(page[:, : width - 2]))

    assert len(components.characters) == 7


def test_lines_above_and_below_that_the_picture_cuts_are_no_characters() -> None:
    page = write(paper(100, 300), "582", 100, 70)
    write(page, "444", 100, 18)
    write(page, "333", 100, 122)

    components = classed(page)

    assert len(components.characters) == 3
    assert all(20 < character.top < character.bottom < 85 for character in components.characters)


def test_a_thin_strip_along_the_margin_is_the_edge_of_the_sheet() -> None:
    margins = np.zeros((160, 400), np.bool_)
    margins[:, :30] = True
    page = fill(line(), 31, 40, 35, 130, PEN)

    components = classed(page, margins)

    assert len(components.characters) == 3
    assert boxes(components.background) == [(31, 40, 35, 130)]
    assert boxes(classed(page).background) == []


def test_touching_digits_are_a_component_of_a_character_class() -> None:
    page = write(paper(160, 400), "5", 100, 100)
    write(page, "3", 122, 100)

    (both,) = classed(page).characters

    assert both.width > 1.2 * both.height


def test_the_median_height_leaves_out_points_and_rules() -> None:
    digits = [
        Component((number,), 30 * number, 20, 30 * number + 20, 20 + high, 1.0)
        for number, high in enumerate((38, 40, 42), 1)
    ]
    others = [Component((4,), 5, 5, 8, 8, 1.0), Component((5,), 10, 70, 190, 73, 1.0)]

    assert median_height([*digits, *others], (100, 200)) == 40
    assert median_height([], (100, 200)) == 0


def test_a_hollow_shape_covers_its_sides_and_leaves_the_middle_free() -> None:
    own = np.zeros((60, 90), np.bool_)
    own[:3] = own[-3:] = own[:, :3] = True
    assert is_hollow(own, 0.05)

    own[20:40, 30:60] = True
    assert not is_hollow(own, 0.05)
    assert not is_hollow(np.ones((60, 3), np.bool_), 0.05)


def test_pale_digits_in_dark_frames_are_found() -> None:
    page = paper(120, 400)
    for place in range(4):  # each too small for a rule
        frame(page, 30 + 90 * place, 25, 94 + 90 * place, 90, thick=6, level=30)
        write(page, str(place + 3), 48 + 90 * place, 75, high=36, level=150)

    _, found = lay_out(page)

    assert [component.left // 90 for component in found.characters] == [0, 1, 2, 3]
    assert all(component.width < 50 for component in found.characters)
    assert len(found.background) == 4
