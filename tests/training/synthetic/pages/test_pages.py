"""Synthetic pages: the same seed draws the same page, and its truth is what is written on it."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from digitrec.training.datasets import registry
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.pages import drawing
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet
from digitrec.training.synthetic.pages.kinds import KINDS, draw_page
from digitrec.training.synthetic.pages.layouts import DrawnPage
from digitrec.training.synthetic.pages.simple_pages import SIMPLE_PAGES
from digitrec.training.synthetic.symbols import GlyphSources

SIGNED = {"minus": {"-"}, "decimal": {",", "."}, "date": {"/", ".", "-"}, "sum": {"+", "-", "="}}


@pytest.fixture(scope="module")
def sources() -> GlyphSources:
    split = registry.load_dataset("mnist-5k").evaluation
    return GlyphSources.from_digits(split.pictures, split.digits, glyphs.load_glyphs())


def drawn(sources: GlyphSources, kind: str, count: int = 6) -> list[DrawnPage]:
    return [draw_page(sources, kind, number, seed=1) for number in range(count)]


def decoded(page: DrawnPage) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(page.file.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture


@pytest.mark.slow
def test_pages_stay_the_same_from_version_to_version(sources: GlyphSources) -> None:
    """Figures of a seed can only be compared while its pages are the same."""
    pages = [draw_page(sources, kind, 0, seed=17_000) for kind in SIMPLE_PAGES]
    drawn_as = json.dumps([[*page.truth.texts, page.truth.words, page.parameters] for page in pages], sort_keys=True)

    assert hashlib.sha256(drawn_as.encode()).hexdigest()[:16] == "7455d3191fac6292"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS])
def test_a_page_depends_on_seed_kind_and_number_only(sources: GlyphSources, kind: str) -> None:
    # Big pages of these numbers have 150 dpi, and are drawn in a quarter of the time.
    first, again = (draw_page(sources, kind, 25, seed=1) for _ in range(2))
    others = [draw_page(sources, kind, 26, seed=1), draw_page(sources, kind, 25, seed=2)]

    assert (first.file, first.truth, first.parameters) == (again.file, again.truth, again.parameters)
    assert all(first.file.content != other.file.content for other in others)
    for page in (first, *others):
        assert min(decoded(page).shape) >= 3
        assert page.truth.is_written == (kind not in {"empty", "empty_cells"}) or kind == "cut"
        assert json.loads(json.dumps(page.parameters)) == page.parameters
        assert len(page.source_digits) >= sum(character.isdigit() for character in page.truth.text) or kind == "meter"
        for number in page.truth.texts:
            assert number
            assert {character for character in number if not character.isdigit()} <= SIGNED.get(kind, set())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SIGNED])
def test_signs_are_part_of_what_is_written(sources: GlyphSources, kind: str) -> None:
    for page in drawn(sources, kind):
        (number,) = page.truth.texts
        assert SIGNED[kind] & set(number)


@pytest.mark.slow
def test_a_page_with_a_word_has_more_than_its_number(sources: GlyphSources) -> None:
    for page in drawn(sources, "word"):
        assert page.truth.words.isalpha()


@pytest.mark.slow
def test_several_numbers_are_listed_in_reading_order(sources: GlyphSources) -> None:
    assert all(len(page.truth.numbers) == 2 for page in drawn(sources, "two_numbers"))
    for page in drawn(sources, "rows"):
        assert len(page.truth.numbers) == page.parameters["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["free_rows", "digit_page", "table", "cell_rows", "note_on_desk"])
def test_every_number_has_its_own_line_and_column(sources: GlyphSources, kind: str) -> None:
    for page in drawn(sources, kind, 3):
        cells = [(number.line, number.column) for number in page.truth.numbers]
        assert cells == sorted(set(cells))
        assert cells[0] == (1, 1)


@pytest.mark.slow
def test_an_empty_cell_counts_as_a_column(sources: GlyphSources) -> None:
    rows = [page.truth.numbers for page in drawn(sources, "cell_rows", 30)]

    assert any(numbers[-1].column > len(numbers) for numbers in rows)


@pytest.mark.slow
def test_a_big_page_is_a4_with_60_to_150_numbers(sources: GlyphSources) -> None:
    for page in drawn(sources, "big_page", 2):
        shape = decoded(page).shape
        assert max(shape) / min(shape) == pytest.approx(297 / 210, rel=0.01)
        assert 60 <= len(page.truth.numbers) <= 150


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "side"), [("tight_16", 16), ("tight_28", 28)])
def test_a_tiny_crop_has_the_size_of_its_kind(sources: GlyphSources, kind: str, side: int) -> None:
    for page in drawn(sources, kind):
        assert decoded(page).shape == (side, side)
        assert len(page.truth.text) == 1


@pytest.mark.slow
def test_a_thin_1_is_at_an_end_of_its_number(sources: GlyphSources) -> None:
    for page in drawn(sources, "thin_edge_1"):
        assert page.truth.text[0 if page.parameters["is_first"] else -1] == "1"


@pytest.mark.slow
def test_a_cut_line_is_written_if_more_than_half_is_seen(sources: GlyphSources) -> None:
    for page in drawn(sources, "cut", 20):
        parameters = page.parameters
        has_foot = not parameters["cut_top"] or parameters["cut_foot"]
        expected = bool(parameters["whole_line"]) + bool(parameters["cut_top"] and parameters["written_top"])
        expected += bool(has_foot and parameters["written_foot"])
        assert len(page.truth.numbers) == expected


@pytest.mark.slow
def test_a_colour_form_has_colours(sources: GlyphSources) -> None:
    spreads = []
    for page in drawn(sources, "colour_form", 12):
        picture = cv2.imdecode(np.frombuffer(page.file.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        spreads.append(int(np.ptp(picture.astype(int), axis=2).max()))

    assert sum(spread > 40 for spread in spreads) >= 4


@pytest.mark.slow
def test_no_rotated_text_reads_as_digits_unrotated(sources: GlyphSources) -> None:
    for page in drawn(sources, "turned", 20):
        same = "0125689" if page.parameters["turned"] == "180" else "018"
        assert set(page.truth.text) - set(same)


@pytest.mark.slow
def test_a_digit_of_which_less_than_half_is_seen_is_not_written(sources: GlyphSources) -> None:
    cut = [page for page in drawn(sources, "edge", 40) if min(page.parameters["shares_seen"]) < 0.5]  # type: ignore[call-overload]

    assert cut
    for page in cut:
        shares = page.parameters["shares_seen"]
        assert isinstance(shares, list)
        assert len(page.truth.text) == sum(share >= 0.5 for share in shares)


@pytest.mark.slow
@pytest.mark.parametrize("pen", [0.02, 0.06, 0.14])
@pytest.mark.parametrize("text", ["4", "8", "-", "+"])
def test_strokes_are_as_wide_as_the_pen(sources: GlyphSources, pen: float, text: str) -> None:
    draws = Parameters(np.random.default_rng(5))
    sheet = Sheet.blank(500, 500)

    sheet.write(drawing.lay_out(text, sources, draws, gap=0.3, pen=pen), 150, 250, 400, draws.rng)

    body = sheet.ink > 0.5
    inside = cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, 5)
    wide = 2 * float(np.median(inside[drawing.skeleton(body)]))
    assert wide == pytest.approx(400 * pen, rel=0.4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pen", "text", "count"),
    [(0.02, "0", 1), (0.02, "5", 0), (0.02, "6", 1), (0.02, "8", 2), (0.02, "9", 1), (0.15, "0", 1), (0.15, "7", 0)],
)
def test_a_pen_makes_no_other_digit_of_a_digit(sources: GlyphSources, pen: float, text: str, count: int) -> None:
    alike = 0
    for seed in range(8):
        draws = Parameters(np.random.default_rng(seed))
        sheet = Sheet.blank(300, 300)
        sheet.write(drawing.lay_out(text, sources, draws, gap=0.3, pen=pen), 90, 150, 240, draws.rng)
        alike += drawing.loops(sheet.ink > 0.5) == count

    assert alike >= 7  # of 8: what is a hair's width in the data set may close or open


def test_a_skeleton_is_connected_and_a_pixel_wide() -> None:
    body = np.zeros((60, 60), np.uint8)
    cv2.ellipse(body, (30, 30), (20, 24), 20, 0, 300, 1, 7)

    line = drawing.skeleton(body > 0)

    pieces, _ = cv2.connectedComponents(line.astype(np.uint8), connectivity=8)
    squares = line[1:, 1:] & line[:-1, 1:] & line[1:, :-1] & line[:-1, :-1]
    assert pieces == 2  # the ground, and the line
    assert not squares.any()
    assert not (line & (body == 0)).any()


@pytest.mark.slow
def test_two_upright_lines_of_a_frame_are_no_ones(sources: GlyphSources) -> None:
    upright = [page for page in drawn(sources, "frame", 60) if page.parameters["sides"] == ["left", "right"]]

    assert upright
    assert all(page.parameters["across_the_page"] for page in upright)


@pytest.mark.slow
def test_specks_are_too_small_to_be_writing(sources: GlyphSources) -> None:
    draws = Parameters(np.random.default_rng(3))
    page = KINDS["speck"](sources, draws)

    assert len(page.truth.text) == 1
    assert page.truth.text.isdigit()
    assert 1 <= int(str(page.parameters["specks"])) <= 15
