import io
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from digitrec.arrays import Picture
from digitrec.types import Limits, Reason
from tests.drawing import ink_of, page_of, pages_or_reason, read_page, rejection, saved, unlike

pytestmark = pytest.mark.slow

PAGE = page_of(ink=0, paper=255, smooth=False)
GREY = Image.fromarray(PAGE)


def heic(picture: Picture | Image.Image, **options: object) -> bytes:
    """The picture as a file; `append` are pictures after it."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **({"quality": 90} | options))
    return buffer.getvalue()


def coloured(rgb: int) -> Image.Image:
    """Ink of this level on a sheet one can see through."""
    levels = [Image.new("L", GREY.size, rgb) for _ in range(3)]
    return Image.merge("RGBA", [*levels, Image.fromarray(255 - PAGE)])


SAME: dict[str, Callable[[], bytes]] = {
    "grey": lambda: heic(GREY),
    "colour": lambda: heic(GREY.convert("RGB")),
    "lossless": lambda: heic(GREY, quality=-1),
    "more than eight bits": lambda: heic(Image.fromarray(PAGE.astype(np.uint16) * 257)),
    "dark ink on nothing": lambda: heic(coloured(0)),
    "light ink on nothing": lambda: heic(coloured(255)),
    "in tiles, as telephones do": lambda: heic(GREY, tile_size=64),
}
COMPLETE = {name: make() for name, make in SAME.items()}


@pytest.mark.parametrize("name", SAME)
def test_a_heic_gives_nearly_the_digit_of_the_plain_grey_picture(name: str) -> None:
    page = read_page(COMPLETE[name])

    assert (page.format, page.width, page.height, page.reason) == ("heic", 90, 120, None)
    assert unlike(ink_of(PAGE), page.ink[0]) < 0.06


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_as_a_person_sees_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    unencoded = pillow_heif.from_bytes("L", GREY.size, GREY.tobytes())
    unencoded[0].info["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    unencoded.save(buffer, quality=90)  # says it twice: to libheif, which turns it, and in the EXIF, which is a copy

    page = read_page(buffer.getvalue())

    assert (b"irot" in buffer.getvalue() or b"imir" in buffer.getvalue()) == (orientation != 1)
    seen = read_page(saved(GREY, "PNG", exif=exif))
    assert (page.width, page.height) == (seen.width, seen.height)
    assert unlike(seen.ink[0], page.ink[0]) < 0.06


@pytest.mark.parametrize("primary", [0, 1])
def test_the_primary_picture_of_a_heic_is_read(primary: int) -> None:
    several = pillow_heif.from_pillow(Image.fromarray(page_of("3")))
    several.add_from_pillow(Image.fromarray(page_of("8")))
    buffer = io.BytesIO()
    several.save(buffer, quality=90, primary_index=primary)

    assert unlike(ink_of(page_of("38"[primary])), ink_of(buffer.getvalue())) < 0.1


@pytest.mark.parametrize("name", SAME)
def test_a_heic_that_is_cut_off_is_rejected_and_never_guessed(name: str) -> None:
    for length in [len(COMPLETE[name]) * share // 10 for share in (3, 6, 9)] + [len(COMPLETE[name]) - 1]:
        assert rejection(COMPLETE[name][:length]).reason is Reason.TRUNCATED


def test_a_heic_whose_rest_was_never_written_is_rejected() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    complete = heic(noise)
    written = len(complete) - 5000

    assert "never written" in rejection(complete[:written] + bytes(5000)).detail


def test_bytes_after_the_pixels_of_a_heic_are_ignored() -> None:
    np.testing.assert_array_equal(ink_of(COMPLETE["grey"] + bytes(9000)), ink_of(COMPLETE["grey"]))


def test_the_limit_of_pixels_is_checked_before_a_heic_is_decoded() -> None:
    start = COMPLETE["grey"].index(b"mdat") + 4
    damaged = COMPLETE["grey"][:start] + b"\x55" * (len(COMPLETE["grey"]) - start)

    assert rejection(damaged).reason is Reason.TRUNCATED, "decoding it fails"
    assert rejection(damaged, Limits(max_pixels=90 * 120 - 1)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("side", [0x7FFFFFFF, 40])
def test_a_heic_whose_inner_and_outer_sizes_differ_is_rejected(side: int) -> None:
    data = bytearray(heic(page_of(size=(600, 400))))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = side.to_bytes(4, "big") * 2

    assert rejection(bytes(data)).reason in {Reason.TOO_LARGE, Reason.TRUNCATED}


def test_a_heic_whose_tiles_have_no_size_is_damaged_and_no_crash() -> None:
    data = heic(page_of(size=(200, 150)), tile_size=64)

    at = data.rindex(b"ispe")
    assert rejection(data[:at] + b"????" + data[at + 4 :]).reason is Reason.TRUNCATED


def test_an_unsupported_pixel_packing_is_rejected_with_a_reason() -> None:
    assert rejection(COMPLETE["grey"].replace(b"hvc1", b"av01")).reason is Reason.UNSUPPORTED_FORMAT


def test_reading_a_heic_registers_no_pillow_plugin() -> None:
    assert read_page(COMPLETE["grey"]).format == "heic"

    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(COMPLETE["grey"]))


@given(st.sampled_from(sorted(COMPLETE)), st.data())
@settings(max_examples=80, deadline=None)
def test_any_damage_to_a_heic_gives_pages_or_a_reason(name: str, data: st.DataObject) -> None:
    content = bytearray(COMPLETE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    pages_or_reason(bytes(content))
