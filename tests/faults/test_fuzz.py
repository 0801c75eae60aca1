"""Damaged files of every format: each gets its row, and the service does not stop."""

import io
import os
import random
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from digitrec.types import PageStatus, Reason
from tests.faults.scene import IS_LONG, Scene

pytestmark = pytest.mark.slow

CASES = 20_000 if IS_LONG else 800


def page(mode: str = "L", size: tuple[int, int] = (48, 56)) -> Image.Image:
    """Return a page with a 7."""
    paper = np.full((size[1], size[0]), 230, np.uint8)
    cv2.putText(paper, "7", (10, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 30, 3, cv2.LINE_AA)
    return Image.fromarray(paper).convert(mode)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)  # type: ignore[arg-type]
    return file.getvalue()


def seeds() -> dict[str, bytes]:
    """Return valid files, one of each kind."""
    deep = Image.fromarray(np.asarray(page(), np.uint16) * 257)
    files = {
        "grey.png": saved(page(), "PNG"),
        "palette.png": saved(page("P"), "PNG", transparency=0),
        "deep.png": saved(deep, "PNG"),
        "bits.png": saved(page("1"), "PNG"),
        "plain.jpg": saved(
            page("RGB"), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        ),
        "progressive.jpg": saved(page("RGB"), "JPEG", progressive=True),
        "cmyk.jpg": saved(page("CMYK"), "JPEG"),
        "lzw.tif": saved(page(), "TIFF", compression="tiff_lzw"),
        "g4.tif": saved(page("1"), "TIFF", compression="group4"),
        "deflated.tif": saved(page("RGB"), "TIFF", compression="tiff_adobe_deflate"),
        "pages.tif": saved(page(), "TIFF", save_all=True, append_images=[page("1"), page("RGB")]),
        "plain.bmp": saved(page("P"), "BMP"),
        "moving.gif": saved(page("P"), "GIF", save_all=True, append_images=[page("P")]),
        "lossy.webp": saved(page("RGB"), "WEBP"),
        "lossless.webp": saved(page("RGBA"), "WEBP", lossless=True),
        "plain.pgm": saved(page(), "PPM"),
        "plain.jp2": saved(page(), "JPEG2000"),
        "page.pdf": saved(page("RGB"), "PDF"),
        "pages.pdf": saved(page("1"), "PDF", save_all=True, append_images=[page("CMYK")]),
    }
    return files | dict(_heic())


def _heic() -> Iterator[tuple[str, bytes]]:
    pillow_heif = pytest.importorskip("pillow_heif")
    for name, options in (("plain.heic", {}), ("tiles.heic", {"tile_size": 64})):
        file = io.BytesIO()
        pillow_heif.from_pillow(page("RGB", (96, 112))).save(file, quality=80, **options)
        yield name, file.getvalue()


def cut(data: bytearray, rng: random.Random) -> None:
    """Truncate the file."""
    del data[rng.randrange(1, len(data)) :]


def flip(data: bytearray, rng: random.Random) -> None:
    """Flip a few bits anywhere."""
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_header(data: bytearray, rng: random.Random) -> None:
    """Change bytes of the header, which holds sizes and types."""
    for _ in range(rng.choice((1, 2, 3))):
        data[rng.randrange(min(64, len(data)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def stretch(data: bytearray, rng: random.Random) -> None:
    """Write a large number at a random offset."""
    at = rng.randrange(len(data))
    data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\xff\xff"))


def repeat(data: bytearray, rng: random.Random) -> None:
    """Duplicate a random range."""
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    data[end:end] = data[start : min(end, start + 4096)]


def wipe(data: bytearray, rng: random.Random) -> None:
    """Remove or zero a random range."""
    start = rng.randrange(len(data))
    length = rng.randrange(1, 200)
    data[start : start + length] = b"" if rng.random() < 0.5 else bytes(min(length, len(data) - start))


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (cut, flip, flip_header, stretch, repeat, wipe)


def test_damaged_files_of_every_format_get_a_row(scene: Scene) -> None:
    rng = random.Random(int(os.environ.get("DIGITREC_SEED", "0")))
    samples = list(seeds().items())
    scene.inbox.mkdir()
    names = set()
    for number in range(CASES):
        name, content = samples[number % len(samples)]
        data = bytearray(content)
        for mutate in rng.sample(MUTATIONS, rng.choice((1, 1, 1, 2))):
            if data:
                mutate(data, rng)
        names.add(f"{number:05}-{name}")
        (scene.inbox / f"{number:05}-{name}").write_bytes(bytes(data) or b"\0")
    assert scene.run("--grace-s", "0") == 0, (scene.workspace / "log").read_text()[-2000:]

    rows = scene.rows()
    assert {row["file"] for row in rows} == names
    assert {row["status"] for row in rows} <= {PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED}
    assert all((row["status"] == PageStatus.ACCEPTED) == (row["reason_code"] == "") for row in rows)
    assert Reason.CRASHES_READER not in {row["reason_code"] for row in rows}
    assert "Traceback" not in (scene.workspace / "log").read_text()
    assert "the reader died" not in (scene.workspace / "log").read_text()
