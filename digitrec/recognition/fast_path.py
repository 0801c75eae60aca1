"""Fast path: segment the whole page as a 64 x 64 thumbnail, and classify its only character.

Most scans show one character with paper around it. There the segmenter is as accurate on the thumbnail as on crops,
and faster than the page path. A character that is small, in several pieces, cut by the border, or next to ink
of a tenth of its mass, also gets a prediction of the sequence recognizer, which reads the gray page and not its ink.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition import layout, normalize
from digitrec.recognition.classifier import DIGITS
from digitrec.recognition.ctc import FrameProbs
from digitrec.recognition.ensemble import (
    EnsembleResult,
    Prediction,
    append_no_digit,
    average,
    p_single_digit,
    p_single_symbol,
)
from digitrec.recognition.geometry import (
    Rect,
    crop_rect,
    from_page_coords,
    line_rect_around,
    rect_to_box,
    to_page_coords,
)
from digitrec.recognition.layout import DigitRegion
from digitrec.recognition.preprocess import Plane, Thumbnail, downscale
from digitrec.recognition.segmenter import CROP_PX, SegmentedCrop, Segmenter, whole_page_window
from digitrec.recognition.sequence_recognizer import SequenceRecognizer
from digitrec.recognition.zoom import ZoomResult

_LONG_PAGE_RATIO = 2.0
"""Longer over shorter side from which a page may be a line or column of writing, too small in a square thumbnail."""
_MIN_SYMBOL_PX = 12
"""Least length of an isolated character, in pixels of the 64."""
_ISOLATED_NEIGHBOUR_INK = 0.1
"""Most other ink on the page of an isolated character, as a share of the character's own."""
_MAX_NEIGHBOUR_INK = 0.3
"""Most other ink on the page; with more there may be several characters, and the fast path is not taken."""
_CROP_SHARE = 0.5
"""Length of a character at the edge, as a share of the page's shorter side, below which it may be cut."""
_LINE_PX = 192
"""Longest side of the page from which the line crop for the sequence recognizer is taken."""
_ZOOM_PX = MEDIUM_PX
"""Longest side of the page for the zoom."""
_MIN_P_SINGLE_SYMBOL = 0.9
"""Least probability, by the sequence recognizer, that the line around a zoomed character is one symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class FastPathResult:
    """The only character of a page, before it is scored."""

    picture: Picture
    """The page, (h, w) or (h, w, 3)."""
    thumbnail: Thumbnail
    """The page with no side longer than 64."""
    crop: SegmentedCrop
    plane: Plane
    """Ink of the thumbnail, (h, w), 0.0 = paper, 1.0 = ink."""
    digit: DigitRegion
    """The character in that ink."""
    is_isolated: bool
    """The character is large enough, whole, in one piece, and has nothing next to it."""

    def page(self, format_name: str, sheet: DecodedPage) -> PageResult:
        """Return the page with this character, not scored yet."""
        box, (rows, columns) = self.digit.box, self.plane.shape
        rect = Rect(box.x, box.y, box.x + box.width, box.y + box.height)
        return PageResult(
            number=sheet.number,
            format=format_name,
            width=sheet.width,
            height=sheet.height,
            boxes=(rect_to_box(rect, (sheet.width / columns, sheet.height / rows), sheet),),
            ink=normalize.normalize_mnist(self.digit.ink)[None],
            preview=self.thumbnail.preview,
        )


def run_fast_path(pictures: Sequence[Picture | RejectedImage], segmenter: Segmenter) -> list[FastPathResult | None]:
    """Find the only character of each page; None where the page has none, several, or does not suit the fast path.

    Args:
        pictures: the pages, each (h, w) or (h, w, 3).
        segmenter: finds ink.
    """
    results: list[FastPathResult | None] = [None] * len(pictures)
    suitable = {
        index: picture
        for index, picture in enumerate(pictures)
        if not isinstance(picture, RejectedImage) and _suits_fast_path(picture)
    }
    thumbnails = [Thumbnail.of(picture, CROP_PX) for picture in suitable.values()]
    crops = [segmenter.segment(thumbnail.gray, whole_page_window(thumbnail.gray)) for thumbnail in thumbnails]
    planes = [crop.page_ink for crop in crops]
    layouts = [layout.group_digits(plane) for plane in planes]
    for index, *steps in zip(suitable, suitable.values(), thumbnails, crops, planes, layouts, strict=True):
        results[index] = _single_symbol(*steps)
    return results


def _suits_fast_path(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    is_long = max(height, width) >= _LONG_PAGE_RATIO * min(height, width)
    return bool(max(height, width) > CROP_PX and not is_long)


def _single_symbol(
    picture: Picture, thumbnail: Thumbnail, crop: SegmentedCrop, plane: Plane, result: layout.LayoutResult
) -> FastPathResult | None:
    if len(result.digits) != 1 or not result.is_unambiguous:
        return None
    neighbour_ink = result.neighbour_ink_ratio(plane)
    if neighbour_ink > _MAX_NEIGHBOUR_INK:
        return None
    (region,), (height, width) = result.digits, plane.shape
    box = region.box
    is_cut = box.x == 0 or box.y == 0 or box.x + box.width == width or box.y + box.height == height
    if is_cut and max(region.ink.shape) < _CROP_SHARE * min(height, width):
        return None
    is_complete = region.pieces == 1 and not is_cut and max(region.ink.shape) >= _MIN_SYMBOL_PX
    is_isolated = is_complete and neighbour_ink <= _ISOLATED_NEIGHBOUR_INK
    return FastPathResult(picture, thumbnail, crop, plane, region, is_isolated=is_isolated)


def line_gray(result: FastPathResult) -> Plane:
    """Return the gray page for the sequence recognizer, (h, w), 0..255."""
    return result.thumbnail.gray_of(downscale(result.picture, _LINE_PX))


def zoom_gray(result: FastPathResult, picture: Picture) -> Plane:
    """Return the gray page for the zoom, in more detail: (h, w), 0..255."""
    return result.thumbnail.gray_of(downscale(picture, _ZOOM_PX))


def confirm_fast_path(page: PageResult, gray: Plane, recognizer: SequenceRecognizer) -> EnsembleResult:
    """Average the classifier's scores for the only character of a page with those of the sequence recognizer.

    Args:
        page: with its scores.
        gray: the page, (h, w), 0..255.
        recognizer: reads the line crop around the character.
    """
    rect, frames = _read_line_around(from_page_coords(page.boxes[0], page, gray), gray, recognizer)
    classified = Prediction("classifier on the segmenter's crop", page.scores[0], page.ink[0])
    predictions = (classified, Prediction("sequence recognizer", p_single_digit(frames), rect))
    return EnsembleResult(replace(page, scores=average(predictions)), predictions)


def confirm_zoom(
    page: PageResult, gray: Plane, zoomed: ZoomResult, recognizer: SequenceRecognizer
) -> EnsembleResult | None:
    """Do the same for the zoomed character; None if it may not be the only one."""
    if zoomed.rect is None or zoomed.prediction is None or not zoomed.is_unambiguous:
        return None
    rect, frames = _read_line_around(zoomed.rect, gray, recognizer)
    probabilities = p_single_symbol(frames)
    if probabilities.sum() < _MIN_P_SINGLE_SYMBOL:
        return None
    line_scores = append_no_digit(probabilities[:DIGITS])
    predictions = (zoomed.prediction, Prediction("sequence recognizer", line_scores, rect))
    boxes, ink = (to_page_coords(zoomed.rect, page, gray),), np.asarray(zoomed.prediction.evidence)[None]
    return EnsembleResult(replace(page, boxes=boxes, ink=ink, scores=average(predictions)), predictions, zoomed.crop)


def _read_line_around(rect: Rect, gray: Plane, recognizer: SequenceRecognizer) -> tuple[Rect, FrameProbs]:
    """Return the line crop around a character, and the sequence recognizer's frames for it."""
    line_rect = line_rect_around(rect, gray)
    frames, _ = recognizer.read(crop_rect(gray, line_rect))
    return line_rect, frames
