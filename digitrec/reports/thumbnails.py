"""Small PNG files for pages with hundreds of pictures: sixteen gray levels, limited size."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import cv2
import numpy as np

from digitrec.arrays import Picture

SIDE = 44
"""Longest side in pixels: a digit is legible, and noise, the worst case of PNG, takes a kilobyte."""
_GRAYS = 16


def encode_thumbnail(picture: Picture, side: int = SIDE) -> bytes:
    """Encode a gray picture, (h, w), as a small PNG."""
    from PIL import Image

    scale = min(1.0, side / max(picture.shape))
    if scale < 1.0:
        height, width = (max(1, round(length * scale)) for length in picture.shape)
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    levels = np.asarray(picture // (256 // _GRAYS), np.uint8)  # 0..15
    image = Image.fromarray(levels, mode="P")
    image.putpalette([gray * 17 for gray in range(_GRAYS) for _ in range(3)])
    buffer = BytesIO()
    image.save(buffer, format="png", bits=4, optimize=True)
    return buffer.getvalue()


def shrink_png(png: bytes, side: int = SIDE) -> bytes:
    """Scale a PNG down; raises ValueError if the bytes are not a PNG."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("a preview is not a PNG")
    return encode_thumbnail(np.asarray(picture, np.uint8), side)


def join_pictures(pictures: Sequence[Picture]) -> Picture:
    """Place pictures of 28 x 28 pixels side by side, two pixels of paper (255) between them: (28, 30 n - 2)."""
    return np.asarray(
        np.hstack([np.pad(picture, ((0, 0), (0, 2)), constant_values=255) for picture in pictures])[:, :-2]
    )


def encode_strips(strips: Mapping[str, Picture]) -> list[tuple[str, bytes]]:
    """Encode strips of pictures at their size, each with its label."""
    return [(label, encode_thumbnail(strip, max(strip.shape))) for label, strip in strips.items()]


def reduce_grays(png: bytes) -> bytes:
    """Reduce a PNG to ten gray levels: a fifth of the bytes, without a visible difference for handwriting."""
    from PIL import Image

    buffer = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.convert("L").quantize(10).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
