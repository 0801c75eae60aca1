"""Build the result of a page that the fast path read, or that cannot be decoded."""

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.recognition import normalize
from digitrec.recognition.geometry import Rect, rect_to_box
from digitrec.recognition.layout import DigitRegion
from digitrec.recognition.preprocess import Plane

_NO_INK = (0, normalize.SIDE, normalize.SIDE)


def undecoded_page(format_name: str, sheet: DecodedPage, why: RejectedImage) -> PageResult:
    """Return the result of a page that could not be decoded."""
    return PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=(),
        ink=np.zeros(_NO_INK, np.float32),
        preview=np.zeros((1, 1), np.uint8),
        reason=why.reason,
        detail=why.detail,
    )


def single_digit_page(
    format_name: str, sheet: DecodedPage, preview: Picture, plane: Plane, digit: DigitRegion
) -> PageResult:
    """Return a page with its only digit, not scored yet.

    Args:
        format_name: of the file.
        sheet: the decoded page.
        preview: small gray picture, (h, w).
        plane: ink of the whole page, (h, w), 0.0 = paper, 1.0 = ink.
        digit: in pixels of the ink.
    """
    box, (rows, columns) = digit.box, plane.shape
    rect = Rect(box.x, box.y, box.x + box.width, box.y + box.height)
    return PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=(rect_to_box(rect, (sheet.width / columns, sheet.height / rows), sheet),),
        ink=normalize.normalize_mnist(digit.ink)[None],
        preview=preview,
    )
