"""Small pictures for pages that show hundreds of them: sixteen greys, no side longer than asked."""

from io import BytesIO

import cv2
import numpy as np

from digitrec.arrays import Picture

SIDE = 44
"""Pixels: a digit is plain to see, and noise, the worst a PNG can hold, takes a kilobyte."""
_GREYS = 16


def encode_thumbnail(picture: Picture, side: int = SIDE) -> bytes:
    """A grey picture, (h, w), as a small PNG."""
    from PIL import Image

    scale = min(1.0, side / max(picture.shape))
    if scale < 1.0:
        height, width = (max(1, round(length * scale)) for length in picture.shape)
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    levels = np.asarray(picture // (256 // _GREYS), np.uint8)  # 0..15
    drawn = Image.fromarray(levels, mode="P")
    drawn.putpalette([grey * 17 for grey in range(_GREYS) for _ in range(3)])
    written = BytesIO()
    drawn.save(written, format="png", bits=4, optimize=True)
    return written.getvalue()


def shrink_png(png: bytes, side: int = SIDE) -> bytes:
    """The small picture of a larger PNG.

    Raises:
        ValueError: it is no PNG.
    """
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("a preview is no PNG")
    return encode_thumbnail(np.asarray(picture, np.uint8), side)


def reduce_grays(png: bytes) -> bytes:
    """The same picture in ten greys: a fifth of the bytes, and no eye sees the difference in handwriting."""
    from PIL import Image

    written = BytesIO()
    with Image.open(BytesIO(png)) as drawn:
        drawn.convert("L").quantize(10).save(written, format="png", optimize=True)
    return written.getvalue()
