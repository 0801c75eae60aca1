"""Segment the ink of digits in windows of a page: the whole page first, then the main character enlarged."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from digitrec.recognition.components import label_components
from digitrec.recognition.preprocess import Plane, local_normalize, pad_to_square
from digitrec.recognition.runtime import InterpreterPool
from digitrec.types import Box

CROP_PX = 64
"""Side of the model's input, pixels."""
_ZOOM_MARGIN = 1.5
"""Side of a zoomed window, as a multiple of the character's longest side."""
_INKED = 0.5
_SAME_SYMBOL_INK = 0.08
"""Least ink, as a share of the main component's, of another component of the same character."""
_MIN_SYMBOL_PX = 5
"""Least length of a character in its window, pixels."""
_MAX_ZOOM_STEPS = 2


@dataclass(frozen=True, slots=True)
class CropWindow:
    """Square window in pixels of the page; it may reach beyond the page."""

    left: float
    top: float
    side: float


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedCrop:
    """Ink in a window."""

    window: CropWindow
    ink: Plane
    """(64, 64), 0.0 = paper, 1.0 = ink."""
    part: Box
    """Part of the 64 x 64 that shows the page, not the area beyond it; all of it if the window misses the page."""

    @property
    def page_ink(self) -> Plane:
        """Ink of that part, (h, w)."""
        part = self.part
        return self.ink[part.y : part.y + part.height, part.x : part.x + part.width]


def whole_page_window(gray: Plane) -> CropWindow:
    """Return the smallest window that holds a whole page, (h, w)."""
    height, width = gray.shape
    side = float(max(height, width))
    return CropWindow((width - side) / 2, (height - side) / 2, side)


class Segmenter:
    """Text segmentation model (U-Net): separates the ink of digits from everything else on the paper."""

    def __init__(self, network: bytes, name: str) -> None:
        """Load the content of `ink.tflite`.

        Raises:
            ModelError: LiteRT cannot run it, or it has other shapes.
        """
        self._run = InterpreterPool(network, name, (1, CROP_PX, CROP_PX), frozenset({(1, CROP_PX, CROP_PX)}))

    def segment_zoomed(self, gray: Plane, coarse: SegmentedCrop | None = None) -> SegmentedCrop | None:
        """Segment the page's main character in an enlarged window; None if there is none.

        Args:
            gray: the page, (h, w), 0..255.
            coarse: segmentation of the whole page at any size; None: it is made now.
        """
        crop = (
            self.segment(gray, whole_page_window(gray))
            if coarse is None
            else replace(coarse, window=whole_page_window(gray))
        )
        for _ in range(_MAX_ZOOM_STEPS):
            window = self.zoom_window(crop)
            if window is None:
                return None
            if window.side > 0.9 * crop.window.side:
                break
            crop = self.segment(gray, window)
        return crop

    def segment(self, gray: Plane, window: CropWindow) -> SegmentedCrop:
        """Segment one window; ink beyond the page is dropped."""
        height, width = gray.shape
        scale = CROP_PX / window.side
        left, top = max(0, math.floor(window.left)), max(0, math.floor(window.top))
        right = min(width, math.ceil(window.left + window.side))
        bottom = min(height, math.ceil(window.top + window.side))
        if right <= left or bottom <= top:  # the window is beyond the page
            return SegmentedCrop(window, np.zeros((CROP_PX, CROP_PX), np.float32), Box(0, 0, CROP_PX, CROP_PX))
        part = gray[top:bottom, left:right]
        size = (
            max(1, min(CROP_PX, round((right - left) * scale))),
            max(1, min(CROP_PX, round((bottom - top) * scale))),
        )
        small = part
        if size != (right - left, bottom - top):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            small = np.asarray(cv2.resize(part, size, interpolation=how), np.float32)
        x = min(max(0, round((left - window.left) * scale)), CROP_PX - size[0])
        y = min(max(0, round((top - window.top) * scale)), CROP_PX - size[1])
        flat = pad_to_square(local_normalize(small), CROP_PX, x, y)
        ink = np.zeros((CROP_PX, CROP_PX), np.float32)
        inside = np.s_[y : y + size[1], x : x + size[0]]
        ink[inside] = self._run(flat[None])[0][inside]
        return SegmentedCrop(window, ink, Box(x, y, *size))

    @staticmethod
    def zoom_window(crop: SegmentedCrop) -> CropWindow | None:
        """Return the window around the main character of a segmented crop; None without one."""
        pieces = label_components(crop.ink > _INKED)
        if len(pieces.boxes) < 2:
            return None
        mass = np.bincount(pieces.pixel_labels, weights=crop.ink.ravel()[pieces.pixel_indices])
        own = pieces.boxes[mass > _SAME_SYMBOL_INK * mass.max()]
        left, top = own[:, :2].min(axis=0).tolist()
        right, bottom = own[:, 2:].max(axis=0).tolist()
        longest = max(right - left, bottom - top)
        if longest < _MIN_SYMBOL_PX:
            return None
        scale = crop.window.side / CROP_PX
        side = _ZOOM_MARGIN * longest * scale
        x, y = (left + right) / 2 * scale + crop.window.left, (top + bottom) / 2 * scale + crop.window.top
        return CropWindow(x - side / 2, y - side / 2, side)
