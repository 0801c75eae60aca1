"""The line network at work: a strip of a page -> what it says, sign by sign."""

import cv2
import numpy as np

from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.ctc import FrameProbs
from digitrec.recognition.preprocess import Plane, local_normalize
from digitrec.recognition.runtime import InterpreterPool

LINE_HEIGHT_PX = 40
"""Pixels of a strip."""
FRAME_PX = 4
"""Pixels of a strip for one frame."""
_SYMBOLS = CLASSES
"""Ten digits and a sign that is none; a frame ends in CTC's blank."""
_WIDTH_MULTIPLE_PX = 32
"""Strips are filled up to a multiple of this, so that few shapes are planned for."""
_MAX_WIDTH_PX = 640


class SequenceRecognizer:
    """Reads what is written along a strip."""

    def __init__(self, network: bytes, name: str) -> None:
        """Take the content of `line.tflite`.

        Raises:
            ModelError: LiteRT cannot run it, or it is no such network.
        """
        entry, exit_ = (
            (1, LINE_HEIGHT_PX, 2 * _WIDTH_MULTIPLE_PX, 1),
            (1, 1, 2 * _WIDTH_MULTIPLE_PX // FRAME_PX, _SYMBOLS + 1),
        )
        self._run = InterpreterPool(network, name, entry, frozenset({exit_}))

    def read(self, strip: Plane) -> tuple[FrameProbs, float]:
        """The frames of a strip, (T, 12), and how many of its pixels there are to a frame.

        Args:
            strip: gray, (h, w), 0..255, the line filling half its height or more.
        """
        height, width = strip.shape
        scale = LINE_HEIGHT_PX / height
        wide = max(4, min(_MAX_WIDTH_PX, round(width * scale)))
        small = cv2.resize(
            strip, (wide, LINE_HEIGHT_PX), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        )
        filled = max(2 * _WIDTH_MULTIPLE_PX, -(-wide // _WIDTH_MULTIPLE_PX) * _WIDTH_MULTIPLE_PX)
        flat = np.zeros((1, LINE_HEIGHT_PX, filled, 1), np.float32)
        flat[0, :, :wide, 0] = local_normalize(np.asarray(small, np.float32))
        frames = self._run(flat)[0, 0]
        return frames[: -(-wide // FRAME_PX)], FRAME_PX * width / wide


def shear(strip: Plane, slant: float) -> Plane:
    """A strip leant to the right by so many pixels for each one of its height, about its middle; the same size."""
    height, width = strip.shape
    lean = np.array([[1.0, -slant, slant * (height - 1) / 2], [0.0, 1.0, 0.0]])
    moved = cv2.warpAffine(strip, lean, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def add_margin(strip: Plane, share: float) -> Plane:
    """A strip with this share of its height added above and below, as light as its border is there."""
    margin = round(share * strip.shape[0])
    return np.asarray(cv2.copyMakeBorder(strip, margin, margin, 0, 0, cv2.BORDER_REPLICATE), np.float32)
