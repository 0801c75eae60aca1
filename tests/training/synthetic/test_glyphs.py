"""Glyphs of the package: complete, redistributable, as documented."""

import csv
import string
from pathlib import Path

import numpy as np
import pytest

from digitrec.training.synthetic.glyphs import DIGIT_HEIGHT, FILE, LOOKALIKES, SIDE, Glyphs, load_glyphs
from tools import render_glyphs

TABLE = Path(__file__).parents[3] / "tools" / "fonts.csv"
FREE = ("OFL-", "Apache-", "MIT", "BSD-", "Bitstream Vera", "public domain", "GUST Font License")


@pytest.fixture(scope="module")
def glyphs() -> Glyphs:
    return load_glyphs()


def test_every_font_has_all_ten_digits_once(glyphs: Glyphs) -> None:
    for index, name in enumerate(glyphs.names):
        symbols = glyphs.symbols[glyphs.font == index]
        assert sorted(symbols[np.isin(symbols, list(string.digits))]) == list(string.digits), name


def test_no_font_shows_a_sign_twice(glyphs: Glyphs) -> None:
    pairs = list(zip(glyphs.font.tolist(), glyphs.symbols.tolist(), strict=True))

    assert len(set(pairs)) == len(pairs) == len(glyphs)


def test_no_picture_is_blank_and_none_touches_the_edge(glyphs: Glyphs) -> None:
    assert glyphs.pictures.dtype == np.uint8
    assert glyphs.pictures.shape == (len(glyphs.symbols), SIDE, SIDE)
    assert glyphs.pictures.max(axis=(1, 2)).min() >= 68
    edge = np.ones((SIDE, SIDE), bool)
    edge[1:-1, 1:-1] = False
    assert not glyphs.pictures[:, edge].any()


def test_the_ten_digits_of_a_font_are_36_pixels_high_and_in_the_middle(glyphs: Glyphs) -> None:
    digits = np.isin(glyphs.symbols, list(string.digits))
    for index, name in enumerate(glyphs.names):
        rows = np.flatnonzero(glyphs.pictures[digits & (glyphs.font == index)].any(axis=(0, 2)))
        assert abs(rows[-1] + 1 - rows[0] - DIGIT_HEIGHT) <= 2, name
        assert abs(rows[0] + rows[-1] + 1 - SIDE) <= 2, name


def test_a_point_stays_small_and_low(glyphs: Glyphs) -> None:
    points = glyphs.of(".") > 0

    assert len(points) > 0.9 * (len(glyphs.names) - 2)
    rows = points.any(axis=2)
    assert np.median(rows.sum(axis=1)) < DIGIT_HEIGHT / 4
    assert rows.sum(axis=1).max() < DIGIT_HEIGHT / 2  # a felt pen's
    assert rows.argmax(axis=1).min() > SIDE / 2


def test_no_letter_is_a_digit_of_its_own_font_again(glyphs: Glyphs) -> None:
    for index in range(len(glyphs.names)):
        is_of_font = glyphs.font == index
        digits = {
            picture.tobytes() for picture in glyphs.pictures[is_of_font & np.isin(glyphs.symbols, list(string.digits))]
        }
        symbols = {
            picture.tobytes() for picture in glyphs.pictures[is_of_font & ~np.isin(glyphs.symbols, list(string.digits))]
        }
        assert not digits & symbols, glyphs.names[index]


def test_digits_come_with_the_digit_they_show(glyphs: Glyphs) -> None:
    pictures, digits = glyphs.digits()

    assert np.bincount(digits).tolist() == [len(glyphs.names)] * 10
    np.testing.assert_array_equal(pictures[digits == 4], glyphs.of("4"))
    assert (glyphs.kinds == "hand").sum() >= 40
    assert (glyphs.kinds == "print").sum() >= 30


def test_lookalikes_are_symbols_of_the_fonts_and_no_digits(glyphs: Glyphs) -> None:
    assert not set(LOOKALIKES) & set(string.digits)
    assert set(LOOKALIKES) <= set(glyphs.symbols.tolist())


def test_every_font_names_its_source_and_a_redistributable_licence(glyphs: Glyphs) -> None:
    for name, package, licence in zip(glyphs.names, glyphs.packages, glyphs.licences, strict=True):
        assert package.startswith(("fonts-", "@fontsource/")), name
        assert licence.startswith(FREE) or licence.endswith("with font exception"), name


def test_the_glyph_file_and_the_list_in_the_docs_match_the_table(glyphs: Glyphs) -> None:
    with TABLE.open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    page = (TABLE.parents[1] / "docs" / "dev" / "fonts.md").read_text(encoding="utf-8")

    assert [Path(row["file"]).stem for row in table] == glyphs.names.tolist()
    assert [row["licence"] for row in table] == glyphs.licences.tolist()
    for row in table:
        assert f"| `{row['file']}` | {row['package']} | {row['licence']} |" in page


def test_saving_the_same_glyphs_gives_the_same_bytes(glyphs: Glyphs, tmp_path: Path) -> None:
    selection = Glyphs(
        glyphs.pictures[:20], glyphs.symbols[:20], glyphs.font[:20], *(np.array(["x"]) for _ in range(4))
    )
    render_glyphs.save(selection, tmp_path / "one.npz")
    render_glyphs.save(selection, tmp_path / "other.npz")

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    np.testing.assert_array_equal(load_glyphs(tmp_path / "one.npz").pictures, selection.pictures)


def test_loaded_glyphs_are_read_only(glyphs: Glyphs) -> None:
    with pytest.raises(ValueError, match="read-only"):
        glyphs.pictures[0] = 0


def test_the_file_stays_small() -> None:
    assert FILE.stat().st_size < 2_500_000
