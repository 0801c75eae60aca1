import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.types import Limits, Reason
from tests.drawing import LIMITS, ink_of, page_of, pages_or_reason, read_page, read_pages, rejection, saved, unlike
from tests.images.pdfs import DRAWN, SEVEN, deflated, drawn, encrypted, pdf, scanned, stream

pytestmark = pytest.mark.slow

PAGE = page_of(ink=0, paper=255, smooth=False)
GREY = Image.fromarray(PAGE)
PILLOW = {
    "jpeg inside": saved(GREY, "PDF"),
    "jpeg inside, colour": saved(GREY.convert("RGB"), "PDF"),
    "jpeg inside, four inks": saved(GREY.convert("CMYK"), "PDF"),
    "fax inside": saved(GREY.convert("1", dither=Image.Dither.NONE), "PDF"),
    "pixels inside": deflated(PAGE),
}
COMPLETE = PILLOW | {
    "lines": pdf(drawn()),
    "nothing to draw": pdf(drawn(b"")),
    "two pages": saved(GREY, "PDF", save_all=True, append_images=[GREY]),
    "open to all": encrypted(b""),
}


def seven() -> np.ndarray:
    """What `DRAWN` draws, as a picture."""
    paper = np.full((480, 360), 255, np.uint8)
    cv2.polylines(paper, [np.array([(4 * x, 4 * (120 - y)) for x, y in SEVEN])], False, 0, 36, cv2.LINE_AA)
    return paper


@pytest.mark.parametrize("name", PILLOW)
def test_a_scan_in_a_pdf_gives_nearly_the_digit_of_the_plain_grey_picture(name: str) -> None:
    page = read_page(COMPLETE[name])

    assert (page.format, page.number, page.reason) == ("pdf", 1, None)
    assert (page.width, page.height) == (250, 334)  # 90 x 120 points at 200 to the inch
    assert unlike(ink_of(PAGE), page.ink[0]) < 0.12


@pytest.mark.parametrize("name", ["lines", "open to all"])
def test_what_is_drawn_in_a_pdf_is_read(name: str) -> None:
    assert unlike(ink_of(seven()), ink_of(COMPLETE[name])) < 0.1


def test_the_box_of_a_digit_matches_the_drawn_page() -> None:
    (box,) = read_page(COMPLETE["lines"]).boxes

    edges = (box.x, box.y, box.x + box.width, box.y + box.height)
    np.testing.assert_allclose(np.array(edges) * 72 / 200, (10.5, 20.5, 74.5, 109.5), atol=1)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_page_of_a_pdf_is_turned_as_a_person_sees_it(turns: int) -> None:
    page = read_page(pdf(drawn(page=b"/Rotate %d" % (90 * turns))))

    assert (page.width > page.height) == (turns != 2)
    assert unlike(ink_of(np.rot90(seven(), -turns).copy()), page.ink[0]) < 0.1


def test_all_pages_of_a_pdf_are_read() -> None:
    pages = [Image.fromarray(page_of("3")), Image.new("L", (90, 120), 240), Image.fromarray(page_of("5"))]

    result = read_pages(saved(pages[0], "PDF", save_all=True, append_images=pages[1:]), LIMITS)

    assert [(page.number, page.reason) for page in result] == [(1, None), (2, Reason.BLANK), (3, None)]
    assert unlike(ink_of(page_of("5")), result[2].ink[0]) < 0.15


def test_a_page_that_cannot_be_drawn_costs_its_own_row() -> None:
    good, bad = drawn(), deflated(PAGE, lost=100)
    start = bad.index(b"5 0 obj\n") + 8
    image = bad[start : bad.index(b"\nendobj", start)]
    good[1] = b"<</Type/Pages/Kids[5 0 R 3 0 R]/Count 2>>"
    good += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 120]/Contents 6 0 R/Resources<</XObject<</I 7 0 R>>>>>>"]
    good += [stream(b"90 0 0 120 0 0 cm /I Do"), image]

    first, second = read_pages(pdf(good), LIMITS)
    damaged, _ = decode.decode_pages(pdf(good), LIMITS)[1]

    assert isinstance(damaged.picture, RejectedImage)
    assert damaged.picture.__traceback__ is None, "it would keep the file in memory"
    assert (first.number, first.reason, first.boxes) == (1, Reason.TRUNCATED, ())
    assert (second.number, second.reason, len(second.boxes)) == (2, None, 1)


def test_what_is_written_into_forms_and_notes_is_read() -> None:
    look = stream(DRAWN, b"/Type/XObject/Subtype/Form/BBox[0 0 90 120]")
    place = b"/Rect[0 0 90 120]/F 4/AP<</N 6 0 R>>"
    note = [*drawn(b"", b"/Annots[5 0 R]"), b"<</Type/Annot/Subtype/Stamp" + place + b">>", look]
    form = [*drawn(b"", b"/Annots[5 0 R]"), b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(7)" + place + b">>", look]
    form[0] = b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[5 0 R]/DA(/Helv 0 Tf)>>>>"

    for objects in (note, form):
        assert unlike(ink_of(COMPLETE["lines"]), ink_of(pdf(objects))) < 0.1


def test_a_page_with_nothing_on_it_is_blank() -> None:
    assert read_page(COMPLETE["nothing to draw"]).reason is Reason.BLANK


def test_a_pen_of_any_colour_is_read_in_a_pdf_too() -> None:
    assert unlike(ink_of(COMPLETE["lines"]), ink_of(pdf(drawn(b"1 0.95 0.2 RG " + DRAWN)))) < 0.1


@pytest.mark.parametrize("box", [b"0 0 9 12", b"0 0 9000 12000", b"0 0 900000 1200000"])
def test_small_pages_keep_their_detail_and_large_ones_their_bounds(box: bytes) -> None:
    factor = int(box.split()[2]) / 90
    page = read_page(pdf(drawn(b"%f 0 0 %f 0 0 cm " % (factor, factor) + DRAWN, box=box)))

    assert page.height == (256 if factor < 1 else 4096)
    assert unlike(ink_of(COMPLETE["lines"]), page.ink[0]) < 0.1


@pytest.mark.parametrize("name", COMPLETE)
def test_a_pdf_that_is_cut_off_is_rejected_and_never_guessed(name: str) -> None:
    complete = COMPLETE[name].rstrip()

    for length in [len(complete) * share // 10 for share in (3, 6, 9)] + [len(complete) - 1]:
        assert rejection(complete[:length]).reason is Reason.TRUNCATED
        assert rejection(complete[:length] + bytes(len(complete) - length)).reason is Reason.TRUNCATED


def test_a_linearized_pdf_is_read_to_its_full_length() -> None:
    complete = COMPLETE["lines"].replace(b"%PDF-1.4\n", b"%PDF-1.4\n9 0 obj\n<</Linearized 1/L 0999>>\nendobj\n")

    assert len(read_pages(complete.replace(b"0999", b"%04d" % len(complete)), LIMITS)) == 1
    assert "shorter than it says" in rejection(complete).detail


@pytest.mark.parametrize("lost", [30, 200, 500])
def test_a_truncated_image_in_a_complete_pdf_is_rejected(lost: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    jpeg = saved(GREY, "JPEG")
    plain = b"/BitsPerComponent 8"

    for data in (
        deflated(noise, lost),
        scanned(jpeg[:-lost], plain + b"/Filter/DCTDecode"),
        scanned(PAGE.tobytes()[:-lost], plain),
    ):
        assert rejection(data).reason is Reason.TRUNCATED


@pytest.mark.parametrize("way", [b"DCT", b"JPX", b"JBIG2", b"Unknown"])
def test_an_image_that_cannot_be_decoded_does_not_make_a_blank_page(way: bytes) -> None:
    assert rejection(scanned(b"junk" * 99, b"/BitsPerComponent 8/Filter/%sDecode" % way)).reason is Reason.TRUNCATED


def test_a_pdf_that_asks_for_a_password_is_encrypted() -> None:
    assert rejection(encrypted(b"secret")).reason is Reason.ENCRYPTED


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.4\n%%EOF", pdf([b"<</Type/Catalog>>"]), pdf([b"7"])])
def test_a_pdf_without_pages_is_rejected(data: bytes) -> None:
    assert rejection(data).reason is Reason.TRUNCATED


def test_limits_are_checked_before_a_page_is_drawn() -> None:
    three = saved(GREY, "PDF", save_all=True, append_images=[GREY, GREY])
    many = drawn()
    many[1] = b"<</Type/Pages/Kids[3 0 R]/Count 501>>"

    assert rejection(three, Limits(max_bytes=100)).reason is Reason.TOO_LARGE
    assert rejection(three, Limits(max_pages=2)).reason is Reason.TOO_LARGE
    assert rejection(pdf(many)).reason is Reason.TOO_LARGE
    assert rejection(deflated(PAGE), Limits(max_pixels=90 * 120 - 1)).reason is Reason.TOO_LARGE
    huge = scanned(zlib.compress(bytes(9)), b"/BitsPerComponent 1/Filter/FlateDecode", (65000, 65000))
    assert "65000" in rejection(huge).detail


def test_a_page_is_drawn_more_coarsely_to_stay_within_the_limit() -> None:
    page = read_page(COMPLETE["lines"], Limits(max_pixels=20_000))

    assert 15_000 < page.width * page.height <= 20_000
    assert unlike(ink_of(COMPLETE["lines"]), page.ink[0]) < 0.2


@pytest.mark.slow
def test_documents_are_drawn_side_by_side_and_alike() -> None:
    alone = [read_pages(data, LIMITS) for data in COMPLETE.values()]

    with ThreadPoolExecutor(6) as pool:
        result = list(pool.map(lambda data: read_pages(data, LIMITS), [*COMPLETE.values()] * 5))

    for pages, expected in zip(result, alone * 5, strict=True):
        for page, reference in zip(pages, expected, strict=True):
            np.testing.assert_array_equal(page.ink, reference.ink)


@given(st.sampled_from(sorted(COMPLETE)), st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_to_a_pdf_gives_pages_or_a_reason(name: str, data: st.DataObject) -> None:
    content = bytearray(COMPLETE[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    pages_or_reason(bytes(content))
