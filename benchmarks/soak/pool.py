"""Files to drop: a few hundred pictures of every format that is read, whole and broken, each of which can be varied.

Everything comes from the seed. A variation is the same picture in other bytes: no two files are alike but
those that are meant to be.
"""

import io
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from digitrec.arrays import Picture
from digitrec.images import decode
from digitrec.training.datasets import registry
from digitrec.training.synthetic import samples
from digitrec.types import Limits
from tests.faults.test_fuzz import MUTATIONS
from tests.images.pdfs import encrypted

_TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""EXIF that says: turned by a quarter."""
_UNDATED: Mapping[str, Any] = {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}
_MOST_PAGES = 5
_BROKEN_SHARE = 0.3
_SEED = 2_611


@dataclass(frozen=True, slots=True)
class Sample:
    """A file as it may be dropped."""

    suffix: str
    content: bytes
    pages: int | None
    """How many there are; None where the file is broken, and nobody can say."""

    @property
    def is_readable(self) -> bool:
        """True if it can be read."""
        return self.pages is not None

    @property
    def can_be_cut(self) -> bool:
        """True if any beginning of it is known to be no whole file: fit for slow writers."""
        return self.is_readable and self.suffix in {".png", ".jpg"}

    def varied(self, number: int) -> bytes:
        """The same in other bytes: a number where its format has room for remarks."""
        remark = b"soak %012d" % number
        if self.content.startswith(b"\x89PNG") and self.is_readable:
            chunk = b"tEXtComment\0" + remark
            framed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
            return self.content[:33] + framed + self.content[33:]
        if self.content.startswith(b"\xff\xd8"):
            return self.content[:2] + b"\xff\xfe" + (len(remark) + 2).to_bytes(2, "big") + remark + self.content[2:]
        if self.suffix in {".jp2", ".heic"} and self.is_readable:
            return self.content + (len(remark) + 8).to_bytes(4, "big") + b"free" + remark
        return self.content + b"\n%" + remark + b"\n"


def draw(count: int, seed: int) -> list[Sample]:
    """Draw a pool of this many files; three in ten are broken.

    Raises:
        RejectedImage: one that was to be whole is none.
        ValueError: it has another number of pages than were drawn.
    """
    rng = random.Random(seed)
    pages = list(_pages(count, seed))
    makers = list(_MAKERS.items())
    intact = []
    for number in range(round(count * (1 - _BROKEN_SHARE))):
        suffix, make = makers[number % len(makers)]
        several = [rng.choice(pages) for _ in range(rng.randint(1, _MOST_PAGES))]
        content, held = make(several)
        sample = Sample(f".{suffix.partition(' ')[0]}", content, held)
        pages_read = sum(1 for _ in decode.decode_pages(sample.varied(number), Limits())[1])
        if pages_read != held:
            raise ValueError(f"a {suffix} of {held} pages was drawn, and it reads as {pages_read}")
        intact.append(sample)
    broken = [_broken(number, intact, rng) for number in range(count - len(intact))]
    return intact + broken


def _pages(count: int, seed: int) -> Iterator[Picture]:
    """Scans of real digits, (h, w, 3) RGB, none larger than 400 pixels a side."""
    digits = registry.load_dataset("mnist-5k").evaluation
    for _, content, _ in samples.generate_samples(digits.pictures, digits.digits, count, _SEED + seed):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        yield np.ascontiguousarray(picture[..., ::-1])


def _saved(form: str, mode: str = "RGB", **options: object) -> Callable[[Sequence[Picture]], tuple[bytes, int]]:
    """How one page is saved by Pillow."""

    def save(pages: Sequence[Picture]) -> tuple[bytes, int]:
        file = io.BytesIO()
        Image.fromarray(pages[0]).convert(mode).save(file, form, **options)
        return file.getvalue(), 1

    return save


def _several(form: str, mode: str = "RGB", **options: object) -> Callable[[Sequence[Picture]], tuple[bytes, int]]:
    """How several pages are."""

    def save(pages: Sequence[Picture]) -> tuple[bytes, int]:
        first, *others = (Image.fromarray(page).convert(mode) for page in pages)
        file = io.BytesIO()
        first.save(file, form, save_all=True, append_images=others, **options)
        return file.getvalue(), len(pages)

    return save


def _deep(form: str) -> Callable[[Sequence[Picture]], tuple[bytes, int]]:
    """Sixteen bits a pixel."""

    def save(pages: Sequence[Picture]) -> tuple[bytes, int]:
        grey = cv2.cvtColor(pages[0], cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257
        file = io.BytesIO()
        Image.fromarray(grey).save(file, form)
        return file.getvalue(), 1

    return save


def _heic(pages: Sequence[Picture]) -> tuple[bytes, int]:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pages[0])).save(file, quality=80)
    return file.getvalue(), 1


def _sheet(pages: Sequence[Picture]) -> tuple[bytes, int]:
    """One digit on A4 at 150 dots an inch: larger than the rest."""
    sheet = np.full((1754, 1240, 3), 236, np.uint8)
    height, width = pages[0].shape[:2]
    sheet[300 : 300 + height, 400 : 400 + width] = pages[0]
    return cv2.imencode(".jpg", sheet)[1].tobytes(), 1


_MAKERS: Mapping[str, Callable[[Sequence[Picture]], tuple[bytes, int]]] = {
    "png": _saved("PNG"),
    "jpg": _saved("JPEG", quality=85),
    "png grey": _saved("PNG", "L"),
    "jpg grey": _saved("JPEG", "L", quality=70),
    "tif pages": _several("TIFF", compression="tiff_lzw"),
    "pdf": _several("PDF", **_UNDATED),
    "heic": _heic,
    "webp": _saved("WEBP", quality=80),
    "png deep": _deep("PNG"),
    "jpg turned": _saved("JPEG", exif=_TURNED),
    "tif deep": _deep("TIFF"),
    "jp2": _saved("JPEG2000"),
    "png palette": _saved("PNG", "P"),
    "jpg progressive": _saved("JPEG", progressive=True),
    "tif fax": _several("TIFF", "1", compression="group4"),
    "webp lossless": _saved("WEBP", "RGBA", lossless=True),
    "png alpha": _saved("PNG", "RGBA"),
    "jpg cmyk": _saved("JPEG", "CMYK"),
    "tif deflated": _several("TIFF", compression="tiff_adobe_deflate"),
    "pdf fax": _several("PDF", "1", **_UNDATED),
    "bmp": _saved("BMP"),
    "gif": _saved("GIF", "P"),
    "png bits": _saved("PNG", "1"),
    "jpg sheet": _sheet,
    "pgm": _saved("PPM", "L"),
    "ppm": _saved("PPM"),
    "pbm": _saved("PPM", "1"),
}
_STRANGE: Mapping[str, bytes] = {
    "png": b"a letter, not a picture\n",
    "jpg": b"\xff\xd8\xff\xe0",
    "zip": b"PK\x03\x04" + bytes(60),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<!doctype html><title>404 Not Found</title>",
    "pdf": encrypted(b"secret"),
    "tif": b"II*\0\xff\xff\xff\x7f",
    "docx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
    "": bytes(4096),
}


def _broken(number: int, intact: Sequence[Sample], rng: random.Random) -> Sample:
    """Something that is no picture, or one that was damaged."""
    if number % 4 == 0:
        suffix, content = [*_STRANGE.items()][number // 4 % len(_STRANGE)]
        return Sample(f".{suffix}" if suffix else "", content, None)
    victim = rng.choice(intact)
    data = bytearray(victim.content)
    for mutate in rng.sample(MUTATIONS, rng.choice((1, 1, 2))):
        if data:
            mutate(data, rng)
    return Sample(victim.suffix, bytes(data) or b"\0", None)
