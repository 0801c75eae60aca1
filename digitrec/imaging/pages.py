"""A sheet and the ink found on it -> a page: boxes in pixels that a person sees, digits as 28 x 28, a preview."""

from collections.abc import Callable
from functools import partial

import numpy as np

from digitrec.errors import RejectedImage
from digitrec.imaging import ink, layout, normalise
from digitrec.imaging.contrast import GreyPage, Plane
from digitrec.imaging.decode import Sheet
from digitrec.pictures import Page, Picture
from digitrec.records import Box, Reason

_NO_INK = (0, normalise.SIDE, normalise.SIDE)


def classical(format_name: str, sheet: Sheet) -> Page:
    """Find the digits of a sheet without any network; a sheet that was not decoded becomes its reason."""
    picture = sheet.fine()
    if isinstance(picture, RejectedImage):
        return undecoded(format_name, sheet, picture)
    page = GreyPage.of(picture)
    plane = ink.find(page)
    return page_of(format_name, sheet, page.preview, layout.arrange(plane), partial(on_sheet, plane=plane, sheet=sheet))


def undecoded(format_name: str, sheet: Sheet, why: RejectedImage) -> Page:
    """A page of which nothing is known but why."""
    return Page(
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


def page_of(
    format_name: str, sheet: Sheet, preview: Picture, found: layout.Layout, where: Callable[[Box], Box]
) -> Page:
    """A page with the digits that were found on it, not scored yet.

    Args:
        format_name: of the file.
        sheet: it was decoded.
        preview: its picture, small, (h, w).
        found: its digits.
        where: takes their boxes to pixels of the page.
    """
    digits = [normalise.centred(digit.ink) for digit in found.digits]
    reason = None if found.is_clear else Reason.AMBIGUOUS_LAYOUT
    return Page(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(where(digit.box) for digit in found.digits),
        ink=np.stack(digits) if digits else np.zeros(_NO_INK, np.float32),
        preview=preview,
        reason=reason if digits else Reason.BLANK,
    )


def on_sheet(box: Box, plane: Plane, sheet: Sheet) -> Box:
    """A box of the whole sheet's ink, (h, w), in pixels of the full page: never outside it, never empty."""
    height, width = plane.shape
    left = box.x * sheet.width // width
    top = box.y * sheet.height // height
    right = -(-(box.x + box.width) * sheet.width // width)
    bottom = -(-(box.y + box.height) * sheet.height // height)
    return Box(left, top, min(right, sheet.width) - left, min(bottom, sheet.height) - top)
