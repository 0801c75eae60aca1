import io
import struct
import tracemalloc
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.pillow import to_picture
from digitrec.types import Limits, Reason
from tests.drawing import LIMITS, ink_of, page_of, pages_or_reason, read_page, read_pages, rejection, saved, unlike

# Black and white only, so that every depth and packing can carry exactly the same picture.
PAGE = page_of(ink=0, paper=255, smooth=False)
GREY = Image.fromarray(PAGE)
BINARY = GREY.convert("1", dither=Image.Dither.NONE)
DEEP = Image.fromarray(PAGE.astype(np.uint16) * 257)
PLAIN_PGM = b"P2\n# by hand\n90 120\n255\n" + b"\n".join(b" ".join(b"%d" % v for v in row) for row in PAGE) + b"\n"


def rgba(rgb: int, alpha: np.ndarray) -> Image.Image:
    return Image.merge("RGBA", [*(Image.new("L", GREY.size, rgb) for _ in range(3)), Image.fromarray(alpha)])


def two_colors(colors: bytes, bits: int) -> bytes:
    """Return a BMP of 4 or 8 bits a pixel, whose palette has two colors: the first is ink."""
    pixels = PAGE // 255
    rows = pixels if bits == 8 else pixels[:, ::2] << 4 | pixels[:, 1::2]
    body = b"".join(row.tobytes() + bytes(-len(row) % 4) for row in rows[::-1])
    height, width = PAGE.shape
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(body), 2835, 2835, 2, 0) + colors
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body


def retagged(tiff: bytes, tag: int, value: int) -> bytes:
    """Return a TIFF whose first directory has another value for a tag of two bytes."""
    at = tiff.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return tiff[:at] + struct.pack("<H", value) + tiff[at + 2 :]


BLACK_WHITE = bytes((0, 0, 0, 0, 255, 255, 255, 0))
EXACT: dict[str, Callable[[], bytes]] = {
    "png 1 bit": lambda: saved(BINARY),
    "png 2 bit palette": lambda: saved(GREY.quantize(4), bits=2),
    "png 4 bit palette": lambda: saved(GREY.quantize(16), bits=4),
    "png 8 bit palette": lambda: saved(GREY.convert("P")),
    "png 16 bit": lambda: saved(DEEP),
    "png grey and alpha": lambda: saved(GREY.convert("LA")),
    "png rgb": lambda: saved(GREY.convert("RGB")),
    "png rgba": lambda: saved(GREY.convert("RGBA")),
    "png dark ink on nothing": lambda: saved(rgba(0, 255 - PAGE)),
    "png light ink on nothing": lambda: saved(rgba(255, 255 - PAGE)),
    "png palette with a transparent colour": lambda: saved(GREY.quantize(2), transparency=0),
    "tiff": lambda: saved(GREY, "TIFF"),
    "tiff 16 bit": lambda: saved(DEEP, "TIFF"),
    "tiff float": lambda: saved(Image.fromarray(PAGE.astype(np.float32) / 255), "TIFF"),
    "tiff cmyk": lambda: saved(GREY.convert("CMYK"), "TIFF"),
    "tiff lab": lambda: saved(Image.merge("LAB", [GREY, *(Image.new("L", GREY.size, 128) for _ in range(2))]), "TIFF"),
    "tiff lzw": lambda: saved(GREY, "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: saved(GREY, "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": lambda: saved(GREY, "TIFF", compression="packbits"),
    "tiff group 3": lambda: saved(BINARY, "TIFF", compression="group3"),
    "tiff group 4": lambda: saved(BINARY, "TIFF", compression="group4"),
    "bigtiff": lambda: saved(GREY, "TIFF", big_tiff=True),
    "bmp": lambda: saved(GREY, "BMP"),
    "bmp 1 bit": lambda: saved(BINARY, "BMP"),
    "bmp 4 bit of black and white": lambda: two_colors(BLACK_WHITE, 4),
    "bmp 8 bit of black and white": lambda: two_colors(BLACK_WHITE, 8),
    "gif": lambda: saved(GREY, "GIF"),
    "webp": lambda: saved(GREY, "WEBP", lossless=True),
    "webp with alpha": lambda: saved(rgba(0, 255 - PAGE), "WEBP", lossless=True),
    "pbm": lambda: saved(BINARY, "PPM"),
    "pgm": lambda: saved(GREY, "PPM"),
    "pgm 16 bit": lambda: saved(DEEP, "PPM"),
    "pgm in text": lambda: PLAIN_PGM,
    "ppm": lambda: saved(GREY.convert("RGB"), "PPM"),
    "jpeg 2000": lambda: saved(GREY, "JPEG2000"),
    "jpeg 2000 16 bit": lambda: saved(DEEP, "JPEG2000"),
}
LOSSY: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(GREY, "JPEG"),
    "jpeg rgb": lambda: saved(GREY.convert("RGB"), "JPEG"),
    "jpeg cmyk": lambda: saved(GREY.convert("CMYK"), "JPEG"),
    "jpeg progressive": lambda: saved(GREY, "JPEG", progressive=True),
    "jpeg with restarts": lambda: saved(GREY, "JPEG", restart_marker_rows=1),
    "tiff jpeg": lambda: saved(GREY, "TIFF", compression="jpeg"),
    "webp lossy": lambda: saved(GREY, "WEBP"),
}
EVERY = EXACT | LOSSY


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_the_same_drawing_gives_the_same_digit_in_every_format_and_depth(name: str) -> None:
    page = read_page(EXACT[name]())

    assert (page.width, page.height) == (90, 120)
    assert page.format in {name.split()[0], "tiff" if name == "bigtiff" else "jpeg2000"}
    np.testing.assert_allclose(page.ink[0], ink_of(PAGE), atol=0.01)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_nearly_the_same_digit(name: str) -> None:
    assert unlike(ink_of(PAGE), ink_of(LOSSY[name]())) < 0.06


def test_twelve_bits_in_words_of_sixteen_fill_the_range() -> None:
    tags = {258: 12}
    written = saved(Image.fromarray(PAGE.astype(np.uint16) * 16 + PAGE // 16), "TIFF", tiffinfo=tags)

    assert unlike(ink_of(PAGE), ink_of(written)) < 0.02


def test_a_tiff_of_16_bits_may_have_0_for_white() -> None:
    inverse = saved(Image.fromarray(65535 - PAGE.astype(np.uint16) * 257), "TIFF")

    _, (page,) = decode.decode_pages(retagged(inverse, 262, 0), LIMITS)

    np.testing.assert_array_equal(page.picture, PAGE)


INVERSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", INVERSE)
def test_a_picture_is_turned_as_a_person_sees_it(format_name: str, orientation: int) -> None:
    stored = GREY.transpose(INVERSE[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation

    page = read_page(saved(stored, format_name, exif=exif))

    upright = read_page(saved(GREY, format_name))
    assert (page.width, page.height, page.boxes) == (90, 120, upright.boxes)
    assert unlike(upright.ink[0], page.ink[0]) < 0.1


def test_transparent_corners_of_paper_are_paper() -> None:
    alpha = np.full(PAGE.shape, 255, np.uint8)
    alpha[:20, :20] = alpha[-20:, -20:] = 0
    cut = saved(Image.merge("LA", [GREY, Image.fromarray(alpha)]))

    np.testing.assert_allclose(ink_of(cut), ink_of(PAGE), atol=0.01)


def test_all_pages_of_a_tiff_are_read() -> None:
    pages = [Image.fromarray(page_of("3")), Image.new("L", (90, 120), 240), Image.fromarray(page_of("5"))]

    result = read_pages(saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), LIMITS)

    assert [(page.number, page.reason) for page in result] == [(1, None), (2, Reason.BLANK), (3, None)]
    assert unlike(result[2].ink[0], ink_of(page_of("5"))) < 0.01


def test_a_damaged_page_of_a_tiff_costs_its_own_row() -> None:
    pages = [Image.fromarray(page_of(text)) for text in "35"]
    options = {"compression": "tiff_adobe_deflate", "save_all": True}
    good = bytearray(saved(pages[0], "TIFF", append_images=pages[1:], **options))
    with Image.open(io.BytesIO(good)) as image:
        image.seek(1)
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    good[start : start + length] = b"\xff" * length

    first, second = read_pages(bytes(good), LIMITS)
    _, damaged = decode.decode_pages(bytes(good), LIMITS)[1]

    assert isinstance(damaged.picture, RejectedImage)
    assert damaged.picture.__traceback__ is None, "it would keep the pages before in memory"
    assert (first.reason, len(first.boxes)) == (None, 1)
    assert (second.number, second.reason, second.boxes, second.ink.shape) == (2, Reason.TRUNCATED, (), (0, 28, 28))


def test_the_small_preview_inside_a_tiff_is_no_page() -> None:
    preview = GREY.resize((45, 60))
    preview.encoderinfo = {"tiffinfo": {254: 1}}

    result = read_pages(saved(GREY, "TIFF", save_all=True, append_images=[preview]), LIMITS)

    assert [page.number for page in result] == [1]


def test_a_tiff_whose_pages_go_round_in_a_circle_ends() -> None:
    data = bytearray(saved(GREY, "TIFF"))
    at = int.from_bytes(data[4:8], "little")
    after = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    data[after : after + 4] = at.to_bytes(4, "little")

    assert len(read_pages(bytes(data), LIMITS)) == 1


def test_of_an_animation_the_first_picture_counts() -> None:
    frames = [Image.fromarray(page_of(text, smooth=False)) for text in "38"]

    animated = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert unlike(ink_of(page_of("3", smooth=False)), ink_of(animated)) < 0.05


@pytest.mark.parametrize("name", EVERY)
def test_a_file_that_is_cut_off_is_rejected_and_never_guessed(name: str) -> None:
    complete = EVERY[name]()

    for share in (0.3, 0.6, 0.9):
        assert rejection(complete[: int(len(complete) * share)]).reason is Reason.TRUNCATED


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_the_last_bytes_of_a_file_are_missed_or_not_needed(name: str) -> None:
    complete = EVERY[name]()

    for missing in (1, 2, 5, 13):
        result = pages_or_reason(complete[:-missing])
        if isinstance(result, RejectedImage):
            assert result.reason is Reason.TRUNCATED
        else:
            np.testing.assert_allclose(result[0].ink, read_page(complete).ink, atol=0.01)


def test_a_jpeg_whose_rest_was_never_written_is_rejected() -> None:
    complete = saved(page_of(size=(400, 300), scale=6, at=(60, 300)), "JPEG")

    assert rejection(complete[: len(complete) // 2] + bytes(len(complete) // 2)).reason is Reason.TRUNCATED


COLOURED = np.random.default_rng(3).integers(0, 256, (1900, 1700, 3), np.uint8)
PLAIN = {
    "grey": Image.fromarray(COLOURED[..., 0]),
    "colour": Image.fromarray(COLOURED),
    "odd sides": Image.fromarray(COLOURED[:1899, :1001]),
    "small": Image.fromarray(COLOURED[:150, :130]),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": 0}, {"comment": b"by hand"}], ids=str)
@pytest.mark.parametrize("picture", PLAIN)
def test_a_plain_jpeg_has_the_pixels_that_pillow_finds(
    monkeypatch: pytest.MonkeyPatch, picture: str, how: dict[str, object]
) -> None:
    data = saved(PLAIN[picture], "JPEG", **how)

    (quick,) = decode.decode_pages(data, LIMITS)[1]
    monkeypatch.setattr(decode, "_PLAIN_MARKERS", set())
    (slow,) = decode.decode_pages(data, LIMITS)[1]

    assert (quick.width, quick.height) == (slow.width, slow.height) == PLAIN[picture].size
    np.testing.assert_array_equal(np.asarray(quick.picture), np.asarray(slow.picture))
    np.testing.assert_array_equal(np.asarray(quick.full_detail()), np.asarray(slow.full_detail()))


@pytest.mark.parametrize("orientation", [None, 1, 6])
@pytest.mark.parametrize("size", [(20, 2000), (500, 5), (766, 383)])
def test_a_long_narrow_jpeg_has_the_same_sizes_with_every_decoder(
    size: tuple[int, int], orientation: int | None
) -> None:
    image, exif = Image.new("RGB", size, (250, 240, 230)), Image.Exif()
    exif[0x0112] = orientation or 1
    (plain,) = decode.decode_pages(saved(image, "JPEG"), LIMITS)[1]

    (sheet,) = decode.decode_pages(saved(image, "JPEG", **({"exif": exif} if orientation else {})), LIMITS)[1]

    for px in (decode.FAST_PATH_PX, decode.MEDIUM_PX, decode.FULL_DETAIL_PX):
        assert max(np.asarray(sheet.at_least_px(px)).shape) == max(np.asarray(plain.at_least_px(px)).shape)


def test_a_plain_jpeg_that_is_damaged_is_what_pillow_says_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Picture:
        raise ValueError("Corrupt JPEG data")

    complete = saved(PLAIN["colour"], "JPEG")
    (sheet,) = decode.decode_pages(complete, LIMITS)[1]
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refused)

    (result,) = decode.decode_pages(complete, LIMITS)[1]
    finer = sheet.full_detail()

    np.testing.assert_array_equal(np.asarray(result.picture), np.asarray(sheet.picture))
    assert isinstance(finer, RejectedImage)
    assert (finer.reason, finer.__traceback__) == (Reason.TRUNCATED, None)


def test_a_png_with_a_wrong_checksum_is_rejected() -> None:
    data = bytearray(saved(PAGE))
    data[data.index(b"IDAT") + 20] ^= 1

    assert "checksum" in rejection(bytes(data)).detail


@pytest.mark.parametrize("trailer", [b"\x00" * 64, b"SEFT camera notes \xff\xd8 \xff"])
def test_what_a_camera_appends_to_a_jpeg_does_not_matter(trailer: bytes) -> None:
    complete = saved(PAGE, "JPEG")

    np.testing.assert_array_equal(ink_of(complete + trailer), ink_of(complete))


DETECTED = {
    "avif": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1avif",
    "film": b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42",
    "icon": b"\x00\x00\x01\x00\x01\x00\x10\x10",
    "photoshop": b"8BPS\x00\x01",
    "office": b"PK\x03\x04\x14\x00",
    "old office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "jpeg xl": b"\xff\x0a\xfa\x7f",
    "dicom": bytes(128) + b"DICM",
    "tiff with a rare compression": EXACT["tiff lzw"]().replace(
        b"\x03\x01\x03\x00\x01\x00\x00\x00\x05", b"\x03\x01\x03\x00\x01\x00\x00\x00\x22"
    ),
    "tiff of 16 bit floats": retagged(saved(DEEP, "TIFF", tiffinfo={339: 1}), 339, 3),
    "tiff of 16 bits in separate planes": retagged(
        cv2.imencode(".tif", np.dstack([PAGE.astype(np.uint16)] * 3))[1].tobytes(), 284, 2
    ),
}


@pytest.mark.parametrize("name", DETECTED)
def test_unsupported_formats_are_named_in_the_message(name: str) -> None:
    assert rejection(DETECTED[name]).reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("start", "detail"),
    [
        (b"PK\x03\x04\x14\x00" + bytes(24) + b"scan-1.png", "ZIP archive is not read; unpack it"),
        (b"PK\x03\x04\x14\x00" + bytes(24) + b"[Content_Types].xml", "office document is not read"),
        (b"PK\x03\x04\x14\x00" + bytes(24) + b"mimetypeapplication/vnd.oasis", "office document is not read"),
        (b"Rar!\x1a\x07\x01\x00", "RAR archive is not read; unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "7z archive is not read; unpack it"),
        (b"\x1f\x8b\x08\x00", "gzip archive is not read; unpack it"),
        (b"scan-1.png" + bytes(247) + b"ustar\x00", "tar archive is not read; unpack it"),
    ],
)
def test_an_archive_is_rejected_with_the_advice_to_unpack_it(start: bytes, detail: str) -> None:
    why = rejection(start + bytes(400))

    assert (why.reason, why.detail) == (Reason.UNSUPPORTED_FORMAT, detail)


@pytest.mark.parametrize("data", [b"file,label\r\n", bytes(4096), b"BMW drivers wanted, apply within", b"RIFF....AVI "])
def test_what_is_no_picture_says_so(data: bytes) -> None:
    assert rejection(data).reason is Reason.NOT_AN_IMAGE


@pytest.mark.slow
def test_damaged_tiffs_write_nothing_but_the_log_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    for way in ("tiff_lzw", "group4", "tiff_adobe_deflate", "jpeg"):
        image = Image.fromarray(page_of())
        data = saved(image.convert("1") if way == "group4" else image, "TIFF", compression=way)
        for place in range(8, len(data), len(data) // 40):
            pages_or_reason(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])

    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_large_transparent_picture_needs_little_extra_memory() -> None:
    pixels = 16_000_000
    image = Image.new("RGBA", (4000, 4000), (20, 20, 20, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4000, 1000))

    tracemalloc.start()
    try:
        picture = to_picture(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (picture == 20).all(), "the holes of a drawn sheet have its colour"
    assert peak < 12 * pixels, "four bytes of the picture, three of the result"


def test_an_empty_file_says_so() -> None:
    assert rejection(b"").reason is Reason.EMPTY_FILE


def test_limits_are_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    three = saved(GREY, "TIFF", save_all=True, append_images=[GREY, GREY])

    for limits in (Limits(max_bytes=100), Limits(max_pixels=90 * 120 - 1)):
        for make in EVERY.values():
            assert rejection(make(), limits).reason is Reason.TOO_LARGE
    assert rejection(three, Limits(max_pages=2)).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("format_name", ["GIF", "WEBP"])
def test_a_huge_canvas_is_refused_before_its_memory_is_reserved(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(saved(GREY, format_name, **({"lossless": True} if format_name == "WEBP" else {})))
    if format_name == "GIF":
        at = data.index(b",\x00\x00\x00\x00\x5a\x00")
        data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    else:
        data[21:25] = b"\xff\xff\xff\x0f"

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(Image, "open", opened)

    assert rejection(bytes(data)).reason is Reason.TOO_LARGE


def test_a_picture_just_within_the_limits_is_read() -> None:
    three = saved(GREY, "TIFF", save_all=True, append_images=[GREY, GREY])

    assert len(read_pages(three, Limits(max_bytes=len(three), max_pixels=90 * 120, max_pages=3))) == 3


def test_our_limit_holds_and_not_pillows() -> None:
    data = saved(Image.new("L", (60, 50), 255))
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 1000  # 3000 pixels would be a "bomb" to Pillow
        assert read_page(data).reason is Reason.BLANK
        assert Image.MAX_IMAGE_PIXELS == 1000
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_a_large_photo_is_measured_in_full_and_read_at_reduced_resolution() -> None:
    page = page_of(size=(3000, 4000), at=(2000, 1500), scale=8, thick=24)

    result = read_page(cv2.imencode(".jpg", page)[1].tobytes())

    (box,) = result.boxes
    assert (result.width, result.height) == (4000, 3000)
    ys, xs = np.nonzero(page < 128)
    np.testing.assert_allclose(
        (box.x, box.y, box.x + box.width, box.y + box.height), (xs.min(), ys.min(), xs.max(), ys.max()), atol=12
    )


@pytest.mark.slow
def test_no_warning_escapes_from_odd_files_read_by_many_threads() -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff"  # announces 65535 tags and has none
    data = saved(GREY, "JPEG", exif=exif)
    filters = list(warnings.filters)

    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(read_page, [data] * 120))  # a warning is an error here, and would be raised again

    assert [page.reason for page in pages] == [None] * 120
    assert warnings.filters == filters


STARTS = [b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", b"%PDF-1.7\n", b"\n\n%PDF-1.4\n"]
MAGICS = [make()[:32] for make in EVERY.values()] + [*DETECTED.values(), *STARTS]


@given(
    st.one_of(st.binary(max_size=200), st.builds(lambda a, b: a + b, st.sampled_from(MAGICS), st.binary(max_size=100)))
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_pages_or_a_reason(data: bytes) -> None:
    pages_or_reason(data)


@pytest.mark.slow
@given(st.sampled_from(sorted(EVERY)), st.data())
@settings(max_examples=200, deadline=None)
def test_any_damage_gives_pages_or_a_reason(name: str, data: st.DataObject) -> None:
    content = bytearray(COMPLETE[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content) - 1, 700)))] = data.draw(st.integers(0, 255))
    pages_or_reason(bytes(content))


COMPLETE = {name: make() for name, make in EVERY.items()}
