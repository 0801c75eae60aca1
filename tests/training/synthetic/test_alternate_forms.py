import numpy as np
import pytest

from digitrec.training.synthetic.alternate_forms import FORMS, SIDE, alternate_form, round_corners


@pytest.mark.slow
@pytest.mark.parametrize("digit", range(10))
def test_every_form_is_as_tall_as_a_digit_and_stands_in_the_middle(digit: int) -> None:
    for number in range(40):
        picture = alternate_form(digit, np.random.default_rng([digit, number]))
        assert picture.shape == (SIDE, SIDE)
        rows, columns = np.flatnonzero(picture.max(axis=1)), np.flatnonzero(picture.max(axis=0))
        assert 14 <= rows[-1] - rows[0] + 1 <= SIDE
        assert 8 < (rows[0] + rows[-1]) / 2 < 20
        assert 8 < (columns[0] + columns[-1]) / 2 < 20


def test_the_seed_determines_the_strokes() -> None:
    first, second, third = (alternate_form(7, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_every_digit_has_a_form_and_every_stroke_two_points() -> None:
    assert sorted(FORMS) == list(range(10))
    assert all(len(stroke) > 1 for forms in FORMS.values() for form in forms for stroke in form)


def test_rounding_keeps_the_ends_and_a_point_given_twice() -> None:
    course = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    smooth = round_corners(course)
    assert smooth[0].tolist() == [0.0, 0.0]
    assert smooth[-1].tolist() == [1.0, 1.0]
    assert np.abs(smooth - [1.0, 0.0]).sum(axis=1).min() == 0.0


def test_rounding_cuts_a_corner() -> None:
    smooth = round_corners(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    assert np.abs(smooth - [1.0, 0.0]).sum(axis=1).min() > 0.1
