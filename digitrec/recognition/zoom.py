"""A page's main sign, looked at closely by the ink network, and read by the classifier."""

from dataclasses import dataclass, replace

from digitrec.recognition import layout, normalize
from digitrec.recognition.classifier import DigitClassifier
from digitrec.recognition.ensemble import Prediction
from digitrec.recognition.geometry import Rect, bounding_rect
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import CROP_PX, CropWindow, SegmentedCrop, Segmenter
from digitrec.types import Box


@dataclass(frozen=True, slots=True, eq=False)
class ZoomResult:
    """What the ink network sees closely; places are in pixels of the gray plane that it was shown."""

    crop: SegmentedCrop
    rect: Rect | None
    """Around all signs in its window; None if there are none."""
    prediction: Prediction | None
    """The sign, read by the classifier; None if it is not one."""
    is_unambiguous: bool
    """It is one, and nothing as heavy was left out."""
    longest_px: int
    """Of the gray plane."""

    def on(self, gray: Plane) -> "ZoomResult":
        """The same on the same page in another size, (h, w)."""
        share, window = max(gray.shape) / self.longest_px, self.crop.window
        seen = replace(self.crop, window=CropWindow(window.left * share, window.top * share, window.side * share))
        where = None if self.rect is None else self.rect.scaled(share)
        return replace(self, crop=seen, rect=where, longest_px=max(gray.shape))


def zoom(
    gray: Plane, classifier: DigitClassifier, network: Segmenter, afar: SegmentedCrop | None = None
) -> ZoomResult | None:
    """Look closely at a page's main sign; None if there is none.

    Args:
        gray: the page, (h, w), 0..255.
        classifier: of single digits.
        network: that finds ink.
        afar: all of the page as the network saw it already, in whatever size.
    """
    seen = network.segment_zoomed(gray, afar)
    if seen is None:
        return None
    found = layout.group_digits(seen.ink)
    where = bounding_rect([_to_gray_coords(one.box, seen.window) for one in found.digits]) if found.digits else None
    of_cut = None
    if len(found.digits) == 1:
        ink = normalize.normalize_mnist(found.digits[0].ink)
        of_cut = Prediction("ink network's cut", classifier.score(ink[None])[0], ink)
    return ZoomResult(seen, where, of_cut, found.is_unambiguous and of_cut is not None, max(gray.shape))


def _to_gray_coords(box: Box, window: CropWindow) -> Rect:
    scale = window.side / CROP_PX
    left, top = window.left + box.x * scale, window.top + box.y * scale
    return Rect(left, top, left + box.width * scale, top + box.height * scale)
