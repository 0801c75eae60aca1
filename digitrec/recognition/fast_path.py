"""A page at a glance: its only sign, as the ink network sees it with all of the page in 64 x 64.

Most scans show one sign with paper all around it. There this network is as good as all that looks closer, and quicker
than the classical way of finding ink. A sign that is small, in several pieces or cut by the border, or has something
beside it that is a tenth as heavy, takes a second witness: the line network, which sees the page and not its ink.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition import layout
from digitrec.recognition.classifier import DIGITS
from digitrec.recognition.ctc import FrameProbs
from digitrec.recognition.ensemble import Prediction, append_no_digit, average, p_one_symbol, p_single_digit
from digitrec.recognition.full_path import FullPathResult
from digitrec.recognition.geometry import Rect, crop_rect, from_page_coords, line_rect_around, to_page_coords
from digitrec.recognition.page import make_page
from digitrec.recognition.preprocess import Plane, Thumbnail, downscale
from digitrec.recognition.segmenter import CROP_PX, SegmentedCrop, Segmenter, whole_page_window
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.recognition.zoom import ZoomResult

_LONG_PAGE_RATIO = 2.0
"""A page at least so many times as wide as high may be a line of writing, which is small in a square."""
_MIN_SYMBOL_PX = 12
"""A sign that is alone is at least so long, of the 64, ..."""
_ISOLATED_NEIGHBOUR_INK = 0.1
"""... and what else looks like ink is at most this share of its own."""
_MAX_NEIGHBOUR_INK = 0.3
"""With more than this there may be several signs."""
_LINE_PX = 192
"""The line network is shown a sign from the page at this size, or less."""
_ZOOM_PX = MEDIUM_PX
"""A page that is looked at closely has this size, or less."""
_MIN_P_ONE_SYMBOL = 0.9
"""The line network has to give it this probability that a sign that is looked at closely is one, whichever."""


@dataclass(frozen=True, slots=True, eq=False)
class FastPathResult:
    """One sign."""

    picture: Picture
    """The page, (h, w) or (h, w, 3), ..."""
    thumbnail: Thumbnail
    """... and no side longer than 64."""
    crop: SegmentedCrop
    """It, as the ink network saw it."""
    plane: Plane
    """Its ink, (h, w), 0.0 = paper, 1.0 = ink."""
    layout: layout.LayoutResult
    """The sign in it."""
    is_isolated: bool
    """It is large enough, whole, in one piece, and there is nothing beside it."""

    def page(self, format_name: str, sheet: DecodedPage) -> PageResult:
        """The sheet with this sign, not scored yet."""
        return make_page(format_name, sheet, self.thumbnail.preview, self.plane, self.layout)


def run_fast_path(pictures: Sequence[Picture | RejectedImage], network: Segmenter) -> list[FastPathResult | None]:
    """The only sign of each page; None if there is none, or several, or it cannot be told at a glance.

    Args:
        pictures: the pages, each (h, w) or (h, w, 3).
        network: that finds ink.
    """
    told: list[FastPathResult | None] = [None] * len(pictures)
    shown = {
        place: picture
        for place, picture in enumerate(pictures)
        if not isinstance(picture, RejectedImage) and _suits_fast_path(picture)
    }
    tiny = [Thumbnail.of(picture, CROP_PX) for picture in shown.values()]
    seen = [network.segment(one.gray, whole_page_window(one.gray)) for one in tiny]
    planes = [one.page_ink for one in seen]
    found = [layout.group_digits(plane) for plane in planes]
    for place, *sign in zip(shown, shown.values(), tiny, seen, planes, found, strict=True):
        told[place] = _single_symbol(*sign)
    return told


def _suits_fast_path(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    return bool(max(height, width) > CROP_PX and width < _LONG_PAGE_RATIO * height)


def _single_symbol(
    picture: Picture, tiny: Thumbnail, seen: SegmentedCrop, plane: Plane, found: layout.LayoutResult
) -> FastPathResult | None:
    if len(found.digits) != 1 or not found.is_unambiguous:
        return None
    beside = found.neighbour_ink_ratio(plane)
    if beside > _MAX_NEIGHBOUR_INK:
        return None
    (sign,), (height, width) = found.digits, plane.shape
    box = sign.box
    is_cut = box.x == 0 or box.y == 0 or box.x + box.width == width or box.y + box.height == height
    is_whole = sign.pieces == 1 and not is_cut and max(sign.ink.shape) >= _MIN_SYMBOL_PX
    return FastPathResult(picture, tiny, seen, plane, found, is_isolated=is_whole and beside <= _ISOLATED_NEIGHBOUR_INK)


def line_gray(seen: FastPathResult) -> Plane:
    """The page as the line network is shown it, (h, w), 0..255."""
    return seen.thumbnail.grey_of(downscale(seen.picture, _LINE_PX))


def zoom_gray(seen: FastPathResult, picture: Picture) -> Plane:
    """The page in more detail, as it is looked at closely: (h, w), 0..255."""
    return seen.thumbnail.grey_of(downscale(picture, _ZOOM_PX))


def confirm_fast_path(page: PageResult, gray: Plane, network: SequenceRecognizer) -> FullPathResult:
    """A page with one sign, read at a glance, and the line network's word for it: the mean of both.

    Args:
        page: with its scores.
        gray: the page, (h, w), 0..255.
        network: that reads the strip around the sign.
    """
    strip, frames = _read_line_around(from_page_coords(page.boxes[0], page, gray), gray, network)
    of_cut = Prediction("ink network's cut", page.scores[0], page.ink[0])
    witnesses = (of_cut, Prediction("line network", p_single_digit(frames), strip))
    return FullPathResult(replace(page, scores=average(witnesses)), (), predictions=witnesses)


def confirm_zoom(
    page: PageResult, gray: Plane, close: ZoomResult, network: SequenceRecognizer
) -> FullPathResult | None:
    """The same of a sign that was looked at closely; None if it is not the only one, or that is in doubt."""
    if close.rect is None or close.prediction is None or not close.is_unambiguous:
        return None
    strip, frames = _read_line_around(close.rect, gray, network)
    chances = p_one_symbol(frames)
    if chances.sum() < _MIN_P_ONE_SYMBOL:
        return None
    witnesses = (close.prediction, Prediction("line network", append_no_digit(chances[:DIGITS]), strip))
    boxes, ink = (to_page_coords(close.rect, page, gray),), np.asarray(close.prediction.evidence)[None]
    return FullPathResult(replace(page, boxes=boxes, ink=ink, scores=average(witnesses)), (), close.crop, witnesses)


def _read_line_around(where: Rect, gray: Plane, network: SequenceRecognizer) -> tuple[Rect, FrameProbs]:
    """The strip around a sign, and what the line network says of it."""
    strip = line_rect_around(where, gray)
    frames, _ = network.read(crop_rect(gray, strip))
    return strip, frames
