"""Segment a page's main character again on an enlarged crop, and classify it."""

from dataclasses import dataclass

from digitrec.recognition import layout, normalize
from digitrec.recognition.classifier import DigitClassifier
from digitrec.recognition.ensemble import Prediction
from digitrec.recognition.geometry import Rect, bounding_rect
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import CROP_PX, CropWindow, SegmentedCrop, Segmenter
from digitrec.types import Box


@dataclass(frozen=True, slots=True, eq=False)
class ZoomResult:
    """Segmentation of the enlarged crop; coordinates are pixels of the gray page."""

    crop: SegmentedCrop
    rect: Rect | None
    """Bounding rectangle of all characters in the crop; None if there are none."""
    prediction: Prediction | None
    """The classifier's prediction; None unless the crop holds exactly one character."""
    is_unambiguous: bool
    """There is one character, and no component as heavy was left out."""


def zoom(
    gray: Plane, classifier: DigitClassifier, segmenter: Segmenter, coarse: SegmentedCrop | None = None
) -> ZoomResult | None:
    """Segment and classify the page's main character on an enlarged crop; None if the page has none.

    Args:
        gray: the page, (h, w), 0..255.
        classifier: of single digits.
        segmenter: finds ink.
        coarse: segmentation of the whole page, if it was made before, at any size.
    """
    crop = segmenter.segment_zoomed(gray, coarse)
    if crop is None:
        return None
    result = layout.group_digits(crop.ink)
    rects = [_to_gray_coords(region.box, crop.window) for region in result.digits]
    prediction = None
    if len(result.digits) == 1:
        ink = normalize.normalize_mnist(result.digits[0].ink)
        prediction = Prediction("classifier on the segmenter's crop", classifier.score(ink[None])[0], ink)
    is_unambiguous = result.is_unambiguous and prediction is not None
    return ZoomResult(crop, bounding_rect(rects) if rects else None, prediction, is_unambiguous)


def _to_gray_coords(box: Box, window: CropWindow) -> Rect:
    scale = window.side / CROP_PX
    left, top = window.left + box.x * scale, window.top + box.y * scale
    return Rect(left, top, left + box.width * scale, top + box.height * scale)
