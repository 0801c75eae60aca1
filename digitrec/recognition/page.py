"""Build the result of a page that the fast path read, or that cannot be decoded."""

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.recognition import layout, normalize
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box, Reason

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


def make_page(
    format_name: str, sheet: DecodedPage, preview: Picture, plane: Plane, result: layout.LayoutResult
) -> PageResult:
    """Return a page with its digits, not scored yet.

    Args:
        format_name: of the file.
        sheet: the decoded page.
        preview: small gray picture, (h, w).
        plane: ink of the whole page, (h, w), 0.0 = paper, 1.0 = ink.
        result: the digits.
    """
    digits = [normalize.normalize_mnist(digit.ink) for digit in result.digits]
    reason = None if result.is_unambiguous else Reason.AMBIGUOUS_LAYOUT
    return PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(_to_page_coords(digit.box, plane, sheet) for digit in result.digits),
        ink=np.array(digits) if digits else np.zeros(_NO_INK, np.float32),
        preview=preview,
        reason=reason if digits else Reason.BLANK,
    )


def _to_page_coords(box: Box, plane: Plane, sheet: DecodedPage) -> Box:
    """Convert a box from pixels of the ink to pixels of the page; it is inside the page and not empty."""
    height, width = plane.shape
    left = box.x * sheet.width // width
    top = box.y * sheet.height // height
    right = -(-(box.x + box.width) * sheet.width // width)
    bottom = -(-(box.y + box.height) * sheet.height // height)
    return Box(left, top, min(right, sheet.width) - left, min(bottom, sheet.height) - top)
