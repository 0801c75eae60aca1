"""The ink network at work: look at a window of a page, as a whole first, then closely at what was found there."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from digitrec.recognition.components import label_components
from digitrec.recognition.preprocess import Plane, local_normalize, pad_to_square
from digitrec.recognition.runtime import InterpreterPool
from digitrec.types import Box

CROP_PX = 64
"""Pixels of a window as the network sees it."""
_ZOOM_MARGIN = 1.5
"""A close window is this many times as wide as the digit in it."""
_INKED = 0.5
_SAME_SYMBOL_INK = 0.08
"""What has more than this share of the main mark's ink may belong to it."""
_MIN_SYMBOL_PX = 5
"""Ink that is no longer than this in its window is dirt."""
_MAX_ZOOM_STEPS = 2


@dataclass(frozen=True, slots=True)
class CropWindow:
    """A square of a page, in the page's pixels; it may reach beyond the page."""

    left: float
    top: float
    side: float


@dataclass(frozen=True, slots=True, eq=False)
class SegmentedCrop:
    """The ink in a window."""

    window: CropWindow
    ink: Plane
    """(64, 64), 0.0 = paper, 1.0 = ink."""
    part: Box
    """Which of the 64 x 64 shows the page; the rest lies beyond it. All of them, if no page is seen at all."""

    @property
    def page_ink(self) -> Plane:
        """That part of the ink, (h, w)."""
        part = self.part
        return self.ink[part.y : part.y + part.height, part.x : part.x + part.width]


def whole_page_window(gray: Plane) -> CropWindow:
    """The smallest window with all of a page, (h, w), in it."""
    height, width = gray.shape
    side = float(max(height, width))
    return CropWindow((width - side) / 2, (height - side) / 2, side)


class Segmenter:
    """Finds the ink of digits whatever else is on the paper."""

    def __init__(self, network: bytes, name: str) -> None:
        """Take the content of `ink.tflite`.

        Raises:
            ModelError: LiteRT cannot run it, or it is no such network.
        """
        self._run = InterpreterPool(network, name, (1, CROP_PX, CROP_PX), frozenset({(1, CROP_PX, CROP_PX)}))

    def segment_zoomed(self, gray: Plane, afar: SegmentedCrop | None = None) -> SegmentedCrop | None:
        """The ink of the page's main sign, seen closely; None if there is none.

        Args:
            gray: the page, (h, w), 0..255.
            afar: all of the page as it was seen before, in whatever size; None: it is looked at now.
        """
        seen = (
            self.segment(gray, whole_page_window(gray))
            if afar is None
            else replace(afar, window=whole_page_window(gray))
        )
        for _ in range(_MAX_ZOOM_STEPS):
            near = self.zoom_window(seen)
            if near is None:
                return None
            if near.side > 0.9 * seen.window.side:
                break
            seen = self.segment(gray, near)
        return seen

    def segment(self, gray: Plane, window: CropWindow) -> SegmentedCrop:
        """The ink in one window; what is seen beyond the page counts for nothing."""
        height, width = gray.shape
        scale = CROP_PX / window.side
        left, top = max(0, math.floor(window.left)), max(0, math.floor(window.top))
        right = min(width, math.ceil(window.left + window.side))
        bottom = min(height, math.ceil(window.top + window.side))
        if right <= left or bottom <= top:  # ink was seen beyond the page, where there is none
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
        shown = np.s_[y : y + size[1], x : x + size[0]]
        ink[shown] = self._run(flat[None])[0][shown]
        return SegmentedCrop(window, ink, Box(x, y, *size))

    @staticmethod
    def zoom_window(seen: SegmentedCrop) -> CropWindow | None:
        """The window around the main sign in what was seen."""
        pieces = label_components(seen.ink > _INKED)
        if len(pieces.boxes) < 2:
            return None
        mass = np.bincount(pieces.pixel_labels, weights=seen.ink.ravel()[pieces.pixel_indices])
        own = pieces.boxes[mass > _SAME_SYMBOL_INK * mass.max()]
        left, top = own[:, :2].min(axis=0).tolist()
        right, bottom = own[:, 2:].max(axis=0).tolist()
        longest = max(right - left, bottom - top)
        if longest < _MIN_SYMBOL_PX:
            return None
        scale = seen.window.side / CROP_PX
        side = _ZOOM_MARGIN * longest * scale
        x, y = (left + right) / 2 * scale + seen.window.left, (top + bottom) / 2 * scale + seen.window.top
        return CropWindow(x - side / 2, y - side / 2, side)
