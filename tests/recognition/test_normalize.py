import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from digitrec.recognition import normalize
from tests.drawing import ink_of, page_of, saved, unlike

UNIT = st.floats(0, 1, width=32)


def like_mnist(text: str) -> np.ndarray:
    """A digit with MNIST's frame: longest side 20, mass at (14, 14)."""
    return normalize.normalize_mnist((255 - page_of(text, ink=0, paper=255, thick=10)).astype(np.float32) / 255)


@pytest.mark.slow
@given(stn.arrays(np.float32, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=UNIT))
@settings(max_examples=100, deadline=None)
def test_any_ink_becomes_28_x_28_in_0_to_1(digit: np.ndarray) -> None:
    actual = normalize.normalize_mnist(digit)

    assert actual.shape == (28, 28)
    assert actual.dtype == np.float32
    assert 0 <= actual.min() <= actual.max() <= 1


@pytest.mark.parametrize("text", "0123456789")
def test_a_digit_is_20_pixels_long_with_its_mass_in_the_middle(text: str) -> None:
    digit = like_mnist(text)

    ys, xs = np.nonzero(digit)
    rows, columns = np.indices(digit.shape)
    assert max(np.ptp(ys), np.ptp(xs)) + 1 == 20
    assert abs((digit * rows).sum() / digit.sum() - 14) <= 0.51
    assert abs((digit * columns).sum() / digit.sum() - 14) <= 0.51


@pytest.mark.parametrize("text", "0123456789")
def test_a_digit_in_its_frame_stays_as_it_is(text: str) -> None:
    digit = like_mnist(text)

    np.testing.assert_allclose(normalize.normalize_mnist(digit), digit, atol=0.03)


@pytest.mark.parametrize("negative", [False, True], ids=["white on black", "black on white"])
@pytest.mark.parametrize("text", "0123456789")
def test_a_clean_mnist_picture_survives_normalisation_nearly_unchanged(text: str, negative: bool) -> None:
    digit = like_mnist(text)
    picture = np.rint(digit * 255).astype(np.uint8)

    actual = ink_of(saved(255 - picture if negative else picture))

    assert unlike(digit, actual) < 0.15


def test_arrays_are_only_divided() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)

    np.testing.assert_array_equal(normalize.from_arrays(pictures), pictures.astype(np.float32) / 255)


def test_a_hair_line_gets_the_stroke_width_of_mnist() -> None:
    hair, pen = (np.zeros((400, 300), np.float32) for _ in range(2))
    for canvas, thick in ((hair, 2), (pen, 36)):
        cv2.ellipse(canvas, (150, 200), (100, 150), 0, 0, 360, 1.0, thick, cv2.LINE_AA)

    assert 0.6 < normalize.normalize_mnist(hair).sum() / normalize.normalize_mnist(pen).sum() < 1.2


def test_nothing_gives_nothing() -> None:
    assert not normalize.normalize_mnist(np.zeros((5, 9), np.float32)).any()
