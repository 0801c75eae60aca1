"""What could be writing on a page and is not part of the answer."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.arrays import Picture
from digitrec.recognition.blank import find_writing
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.unread import find_unread

HIGH = 60
"""Height of the digit on the page, pixels."""
WIDE, TALL = 300, 240
PAPER, PEN = 220, 60
BOX = Rect(120, 90, 163, 150)
"""Around the digit."""

Drawer = Callable[[Picture], object]


def blank() -> Picture:
    return np.full((TALL, WIDE), PAPER, np.uint8)


def gray(page: Picture) -> Plane:
    return page.astype(np.float32)


def ink_of(page: Picture) -> Plane:
    return ((PAPER - gray(page)) / (PAPER - PEN)).clip(0, 1)


def write(page: Picture, text: str, left: int, bottom: int, high: float = HIGH, level: int = PEN) -> None:
    cv2.putText(page, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, high / 21.5, level, 5, cv2.LINE_AA)


def line(x0: int, y0: int, x1: int, y1: int, thick: int = 3, level: int = 90) -> Drawer:
    return lambda page: cv2.line(page, (x0, y0), (x1, y1), level, thick, cv2.LINE_AA)


def box(x0: int, y0: int, x1: int, y1: int, level: int = 30) -> Drawer:
    return lambda page: cv2.rectangle(page, (x0, y0), (x1, y1), level, -1)


def text(what: str, left: int, bottom: int, high: float = HIGH) -> Drawer:
    return lambda page: write(page, what, left, bottom, high)


def all_of(*drawers: Drawer) -> Drawer:
    def draw(page: Picture) -> None:
        for rect in drawers:
            rect(page)

    return draw


def with_digit(*others: Drawer, digit: str = "3") -> tuple[Plane, Plane, list[Rect]]:
    """A page with one digit and other things, the digit's ink, and its box."""
    page, alone = blank(), blank()
    for rect in others:
        rect(page)
    write(page, digit, 120, 150)
    write(alone, digit, 120, 150)
    ink = ink_of(alone)
    ys, xs = np.nonzero(ink > 0.3)
    return gray(page), ink, [Rect(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))]


WRITING = {
    "a minus": line(85, 120, 105, 120, 5, PEN),
    "a minus close to it": line(98, 120, 114, 120, 5, PEN),
    "a point": box(172, 145, 178, 150, PEN),
    "a comma": line(176, 146, 170, 160, 5, PEN),
    "a plus": all_of(line(80, 120, 105, 120, 5, PEN), line(92, 107, 92, 133, 5, PEN)),
    "a colon": all_of(box(175, 120, 181, 126, PEN), box(175, 144, 181, 150, PEN)),
    "another digit": text("7", 180, 150),
    "a small digit": text("7", 200, 150, HIGH * 0.6),
    "a thin 1": line(200, 92, 200, 150, 2, 110),
    "another row": text("45", 110, 225),
    "a word": text("kg", 185, 150),
    "a word far away": text("no", 5, 40, HIGH * 0.6),
    "half a digit at the edge": text("8", 283, 150),
    "a digit far away in the corner": text("2", 260, 236),
}
PRINT = {
    "nothing": lambda _: None,
    "a rule below": line(0, 165, WIDE, 165),
    "a rule that slants": line(0, 190, WIDE, 176),
    "a rule through it": line(0, 125, WIDE, 125, 2, 150),
    "dashes across the page": all_of(*(line(x, 200, x + 12, 200) for x in range(0, WIDE, 20))),
    "squared paper": all_of(
        *(line(x, 0, x, TALL, 2, 180) for x in range(20, WIDE, 45)),
        *(line(0, y, WIDE, y, 2, 180) for y in range(20, TALL, 45)),
    ),
    "a frame": all_of(line(20, 20, 280, 20), line(20, 220, 280, 220), line(20, 20, 20, 220), line(280, 20, 280, 220)),
    "a cell": all_of(line(60, 0, 60, TALL), line(230, 0, 230, TALL), line(0, 70, WIDE, 70), line(0, 175, WIDE, 175)),
    "a black margin": box(0, 0, 30, TALL),
    "a wide black margin": box(0, 0, 90, TALL),
    "a thin margin below": box(0, 228, WIDE, TALL),
    "a desk": all_of(box(0, 0, WIDE, 40, 70), box(0, 0, 50, TALL, 70)),
    "specks": all_of(*(box(x, y, x + 1, y + 1, 120) for x, y in ((30, 30), (180, 100), (90, 140), (250, 200)))),
    "what is left of a digit at the edge": text("8", 120, 8),
}


@pytest.mark.parametrize("name", WRITING)
def test_unread_writing_is_detected(name: str) -> None:
    page, ink, characters = with_digit(WRITING[name])

    assert find_unread(page, ink, characters), name
    assert find_unread(255 - page, ink, characters), f"{name}, light on dark"


@pytest.mark.parametrize("name", PRINT)
def test_print_margins_and_background_are_no_writing(name: str) -> None:
    page, ink, characters = with_digit(PRINT[name])

    assert find_unread(page, ink, characters) == [], name


@pytest.mark.parametrize("name", [name for name in PRINT if "desk" not in name and "margin" not in name])
@pytest.mark.parametrize("sign", ["a minus", "a comma", "another digit"])
def test_unread_writing_is_detected_among_print(name: str, sign: str) -> None:
    page, ink, characters = with_digit(PRINT[name], WRITING[sign])

    assert find_unread(page, ink, characters), f"{sign} and {name}"


def test_the_boxes_are_those_of_the_marks() -> None:
    page, ink, characters = with_digit(box(172, 144, 178, 150, PEN))

    (mark,) = find_unread(page, ink, characters)

    assert (mark.left, mark.top) == pytest.approx((172, 144), abs=3)
    assert (mark.right, mark.bottom) == pytest.approx((179, 151), abs=3)


def test_strokes_of_a_digit_that_are_apart_belong_to_it() -> None:
    page = blank()
    cv2.ellipse(page, (140, 130), (18, 20), 0, -120, 160, PEN, 5)  # the body of a 5 ...
    cv2.line(page, (124, 98), (124, 118), PEN, 5)
    cv2.line(page, (130, 94), (160, 92), PEN, 5)  # ... and its bar

    assert find_unread(gray(page), ink_of(page), [Rect(119, 88, 164, 153)]) == []


def test_a_fading_pencil_stroke_stays_connected() -> None:
    page, ink, characters = with_digit()
    page[110:118] = PAPER - (PAPER - page[110:118]) * 0.35

    assert find_unread(page, ink, characters) == []


def read_as(digits: str, drawer: Drawer) -> tuple[Plane, Plane, list[Rect], str]:
    """A page with characters side by side, and what they were read as."""
    page = blank()
    drawer(page)
    ink = ink_of(page)
    columns = np.flatnonzero((ink > 0.3).any(axis=0))
    pieces = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    rows = [np.flatnonzero((ink[:, piece[0] : piece[-1] + 1] > 0.3).any(axis=1)) for piece in pieces]
    spans = [Rect(p[0], r[0], p[-1] + 1, r[-1] + 1) for p, r in zip(pieces, rows, strict=True)]
    assert len(spans) == len(digits)
    return gray(page), ink, spans, digits


@pytest.mark.parametrize(("across", "is_slash"), [(0, False), (8, False), (26, True), (34, True)])
def test_a_slash_read_as_1_is_detected(across: int, is_slash: bool) -> None:
    def between(page: Picture) -> None:
        write(page, "2", 60, 150)
        cv2.line(page, (130, 154), (130 + across, 88), PEN, 5, cv2.LINE_AA)
        write(page, "5", 190, 150)

    assert bool(find_unread(*read_as("215", between))) == is_slash


def test_an_upright_slash_of_a_date_is_detected() -> None:
    def date(page: Picture) -> None:
        for place, digit in enumerate("25|07|99"):
            if digit == "|":
                cv2.line(page, (25 + 33 * place, 155), (29 + 33 * place, 98), PEN, 4, cv2.LINE_AA)
            else:
                write(page, digit, 10 + 33 * place, 150, 40)

    assert find_unread(*read_as("25107199", date))
    assert not find_unread(*read_as("25107133", date)[:3], "25607633")


def test_a_margin_or_part_of_a_frame_is_no_character() -> None:
    margin, no_ink = blank(), np.zeros((TALL, WIDE), np.float32)
    margin[:, :24] = 30
    ink = no_ink.copy()
    ink[:, :24] = 1
    assert find_unread(gray(margin), ink, [Rect(0, 0, 24, TALL)])

    frame = blank()
    cv2.rectangle(frame, (60, 40), (240, 200), 100, 2)
    ink = no_ink.copy()
    ink[90:150, 59:62] = 1
    assert find_unread(gray(frame), ink, [Rect(58, 90, 63, 150)])


def test_a_character_of_a_few_pixels_was_not_seen_well_enough() -> None:
    page, ink, (character,) = with_digit()
    size = (WIDE // 15, TALL // 15)
    tiny = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.float32)

    assert find_unread(tiny, ink, [character.scaled(1 / 15)])


@pytest.mark.slow
@given(
    st.integers(0, 230),
    st.integers(0, 160),
    st.sampled_from("0123456789"),
    st.floats(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_a_clean_digit_leaves_nothing_wherever_it_is(x: int, y: int, digit: str, noise: float, seed: int) -> None:
    page, alone = blank(), blank()
    write(page, digit, x + 10, y + 70)
    write(alone, digit, x + 10, y + 70)
    grain = np.random.default_rng(seed).normal(0, noise, page.shape)
    ink = ink_of(alone)
    ys, xs = np.nonzero(ink > 0.3)
    span = Rect(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))

    assert find_unread((page + grain).astype(np.float32), ink, [span]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PRINT if name.split()[0] != "dashes" and "digit" not in name])
def test_a_page_without_writing_is_blank(name: str) -> None:
    page = blank()
    PRINT[name](page)

    assert find_writing(gray(page)) == [], name


@pytest.mark.slow
@pytest.mark.parametrize("place", [(120, 150), (0, 60), (250, 236), (2, 236), (120, 60)])
@pytest.mark.parametrize("high", [12, 24, 60, 150])
def test_a_page_with_writing_is_never_blank(place: tuple[int, int], high: int) -> None:
    page = blank()
    write(page, "7", *place, high)

    assert find_writing(gray(page))
    assert find_writing(gray(255 - page))


@pytest.mark.parametrize("drawer", [box(12, 4, 15, 23, PEN), box(9, 4, 11, 15, PEN)], ids=["thick", "short"])
def test_a_stroke_on_a_tiny_page_is_no_frame(drawer: Drawer) -> None:
    page = np.full((28, 28), PAPER, np.uint8)
    drawer(page)

    assert find_writing(gray(page))


SIDES = st.one_of(st.integers(1, 12), st.integers(13, 90), st.sampled_from([300, 1500]))
CONTENTS = ["bare", "noise", "stripes", "a frame", "half dark", "text"]


def odd_page(rows: int, columns: int, content: str, paper: int, pen: int, seed: int) -> Picture:
    """A page of any shape, (rows, columns), with something on it; `paper` and `pen` may be the same level."""
    page = np.full((rows, columns), paper, np.uint8)
    if content == "noise":
        page[:] = np.random.default_rng(seed).integers(min(paper, pen), max(paper, pen) + 1, page.shape)
    elif content == "stripes":
        page[:: 2 + seed % 3] = pen
    elif content == "a frame":
        page[[0, -1]] = page[:, [0, -1]] = pen
    elif content == "half dark":
        page[:, columns // 2 :] = pen
    elif content == "text":
        place = (seed % columns, rows - seed % rows)
        cv2.putText(page, "7-1,5", place, cv2.FONT_HERSHEY_SIMPLEX, min(rows, columns) / 25, pen, 1 + seed % 3)
    return page


odd_pages = st.builds(
    odd_page,
    SIDES,
    SIDES,
    st.sampled_from(CONTENTS),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**16),
)


@pytest.mark.slow
@given(odd_pages, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_page_is_searched_whatever_was_read_on_it(page: Picture, count: int, seed: int) -> None:
    rng, (rows, columns) = np.random.default_rng(seed), page.shape
    sides = [(*sorted(rng.uniform(-1, columns + 1, 2)), *sorted(rng.uniform(-1, rows + 1, 2))) for _ in range(count)]
    characters = [Rect(left, top, right, bottom) for left, right, top, bottom in sides]
    inks = (rng.random((5, 7), np.float32), np.zeros(page.shape, np.float32), ink_of(page))

    unread = [*find_unread(gray(page), inks[seed % 3], characters, "111"[:count]), *find_writing(gray(page))]

    marks = [rect for rect in unread if rect not in characters]
    assert all(0 <= rect.left < min(rect.right, columns) and 0 <= rect.top < min(rect.bottom, rows) for rect in marks)
