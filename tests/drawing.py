"""Draw pages in memory and read them."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.recognition.reader import PageReader
from digitrec.types import Limits, Reason
from tests.recognition.stand_ins import Sorter

LIMITS = Limits()
_READER = PageReader(Sorter(7))
"""Finds the digits of a page; takes each for a 7."""


def page_of(
    text: str = "7",
    *,
    size: tuple[int, int] = (120, 90),
    at: tuple[int, int] = (24, 90),
    scale: float = 2.4,
    thick: int = 6,
    ink: int = 30,
    paper: int = 235,
    smooth: bool = True,
) -> Picture:
    """Return a gray page of size (height, width) with a text whose lower left corner is at (x, y)."""
    page = np.full(size, paper, np.uint8)
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thick, cv2.LINE_AA)
    return page if smooth else np.where(page < (ink + paper) / 2, ink, paper).astype(np.uint8)


def saved(picture: Picture | Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    """The picture as a file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def read_file(reader: PageReader, data: bytes, limits: Limits = LIMITS) -> list[PageResult]:
    """All pages of a file; RejectedImage if it has none."""
    (pages,) = reader.read_files([data], limits)
    if isinstance(pages, RejectedImage):
        raise pages
    return pages


def read_pages(data: bytes, limits: Limits = LIMITS) -> list[PageResult]:
    """All pages of a file; each digit is read as 7."""
    return read_file(_READER, data, limits)


def read_page(content: bytes | Picture, limits: Limits = LIMITS) -> PageResult:
    """The only page of a file, or of a picture saved as PNG."""
    (page,) = read_pages(content if isinstance(content, bytes) else saved(content), limits)
    return page


def rejection(data: bytes, limits: Limits = LIMITS) -> RejectedImage:
    """Why a file is rejected."""
    with pytest.raises(RejectedImage) as caught:
        read_pages(data, limits)
    return caught.value


def pages_or_reason(data: bytes) -> list[PageResult] | RejectedImage:
    """What became of a file, which is one or the other whatever its bytes; limits are narrow."""
    result: list[PageResult] | RejectedImage
    try:
        result = read_pages(data, Limits(max_pixels=1_000_000, max_pages=8))
    except RejectedImage as why:
        result = why
    if isinstance(result, RejectedImage):
        assert result.reason.is_rejection
        return result
    assert result
    for page in result:
        assert len(page.boxes) == len(page.ink)
        is_rejected = page.reason is not None and page.reason.is_rejection
        assert bool(page.boxes) != is_rejected or (not page.boxes and page.reason is Reason.OTHER_MARKS)
    return result


def ink_of(content: bytes | Picture) -> NDArray[np.float32]:
    """The only digit of a page: (28, 28)."""
    (ink,) = read_page(content).ink
    return np.asarray(ink)


def unlike(first: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Difference of two digits as a share of their ink: about 1.0 for different digits.

    A pixel up, down or aside does not count: where the center of mass is between two pixels, a tiny difference decides.
    """
    moved = (np.roll(other, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1))
    return min(float(np.abs(first - candidate).sum()) for candidate in moved) / max(float(first.sum()), 1e-6)
