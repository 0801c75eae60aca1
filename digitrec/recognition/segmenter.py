"""The ink network at work: look at a window of a page, as a whole first, then closely at what was found there."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from digitrec.recognition.components import pieces_of
from digitrec.recognition.preprocess import Plane, flattened, in_square
from digitrec.recognition.runtime import Interpreters
from digitrec.types import Box

SIDE = 64
"""Pixels of a window as the network sees it."""
_CLOSE = 1.5
"""A close window is this many times as wide as the digit in it."""
_INKED = 0.5
_SAME_SIGN = 0.08
"""What has more than this share of the main mark's ink may belong to it."""
_LEAST_PX = 5
"""Ink that is no longer than this in its window is dirt."""
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Window:
    """A square of a page, in the page's pixels; it may reach beyond the page."""

    left: float
    top: float
    side: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The ink in a window."""

    window: Window
    ink: Plane
    """(64, 64), 0.0 = paper, 1.0 = ink."""
    part: Box
    """Which of the 64 x 64 shows the page; the rest lies beyond it. All of them, if no page is seen at all."""

    @property
    def of_page(self) -> Plane:
        """That part of the ink, (h, w)."""
        part = self.part
        return self.ink[part.y : part.y + part.height, part.x : part.x + part.width]


def whole(grey: Plane) -> Window:
    """The smallest window with all of a page, (h, w), in it."""
    height, width = grey.shape
    side = float(max(height, width))
    return Window((width - side) / 2, (height - side) / 2, side)


class InkNetwork:
    """Finds the ink of digits whatever else is on the paper."""

    def __init__(self, network: bytes, name: str) -> None:
        """Take the content of `ink.tflite`.

        Raises:
            ModelError: LiteRT cannot run it, or it is no such network.
        """
        self._run = Interpreters(network, name, (1, SIDE, SIDE), frozenset({(1, SIDE, SIDE)}))

    def find(self, grey: Plane, afar: Seen | None = None) -> Seen | None:
        """The ink of the page's main sign, seen closely; None if there is none.

        Args:
            grey: the page, (h, w), 0..255.
            afar: all of the page as it was seen before, in whatever size; None: it is looked at now.
        """
        seen = self.look(grey, whole(grey)) if afar is None else replace(afar, window=whole(grey))
        for _ in range(_ROUNDS):
            near = self.closer(seen)
            if near is None:
                return None
            if near.side > 0.9 * seen.window.side:
                break
            seen = self.look(grey, near)
        return seen

    def look(self, grey: Plane, window: Window) -> Seen:
        """The ink in one window; what is seen beyond the page counts for nothing."""
        height, width = grey.shape
        scale = SIDE / window.side
        left, top = max(0, math.floor(window.left)), max(0, math.floor(window.top))
        right = min(width, math.ceil(window.left + window.side))
        bottom = min(height, math.ceil(window.top + window.side))
        if right <= left or bottom <= top:  # ink was seen beyond the page, where there is none
            return Seen(window, np.zeros((SIDE, SIDE), np.float32), Box(0, 0, SIDE, SIDE))
        part = grey[top:bottom, left:right]
        size = (max(1, min(SIDE, round((right - left) * scale))), max(1, min(SIDE, round((bottom - top) * scale))))
        small = part
        if size != (right - left, bottom - top):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            small = np.asarray(cv2.resize(part, size, interpolation=how), np.float32)
        x = min(max(0, round((left - window.left) * scale)), SIDE - size[0])
        y = min(max(0, round((top - window.top) * scale)), SIDE - size[1])
        flat = in_square(flattened(small), SIDE, x, y)
        ink = np.zeros((SIDE, SIDE), np.float32)
        shown = np.s_[y : y + size[1], x : x + size[0]]
        ink[shown] = self._run(flat[None])[0][shown]
        return Seen(window, ink, Box(x, y, *size))

    @staticmethod
    def closer(seen: Seen) -> Window | None:
        """The window around the main sign in what was seen."""
        pieces = pieces_of(seen.ink > _INKED)
        if len(pieces.boxes) < 2:
            return None
        mass = np.bincount(pieces.label_of, weights=seen.ink.ravel()[pieces.places])
        own = pieces.boxes[mass > _SAME_SIGN * mass.max()]
        left, top = own[:, :2].min(axis=0).tolist()
        right, bottom = own[:, 2:].max(axis=0).tolist()
        longest = max(right - left, bottom - top)
        if longest < _LEAST_PX:
            return None
        scale = seen.window.side / SIDE
        side = _CLOSE * longest * scale
        x, y = (left + right) / 2 * scale + seen.window.left, (top + bottom) / 2 * scale + seen.window.top
        return Window(x - side / 2, y - side / 2, side)
