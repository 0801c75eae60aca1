"""Recognize the symbols of a text line (CRNN trained with CTC)."""

import cv2
import numpy as np

from digitrec.recognition.classifier import CLASSES
from digitrec.recognition.ctc import FrameProbs
from digitrec.recognition.preprocess import Plane, local_normalize
from digitrec.recognition.runtime import InterpreterPool

LINE_HEIGHT_PX = 40
"""Height of the model's input, pixels."""
FRAME_PX = 4
"""Input pixels per frame."""
SIGNS = "-+.,/:"
"""Signs of numbers; in the alphabet they follow the ten digits and the non-digit."""
_ALPHABETS = (CLASSES, CLASSES + len(SIGNS))
"""Numbers of symbols, without signs and with them; the last column of a frame is CTC's blank."""
_WIDTH_MULTIPLE_PX = 32
"""Widths are padded to a multiple of this, so that LiteRT plans few shapes."""
_MAX_WIDTH_PX = 640


class SequenceRecognizer:
    """Recognizes the symbols along a line crop."""

    def __init__(self, network: bytes, name: str) -> None:
        """Load the content of `line.tflite`.

        Raises:
            ModelError: LiteRT cannot run it, or it has other shapes.
        """
        entry = (1, LINE_HEIGHT_PX, 2 * _WIDTH_MULTIPLE_PX, 1)
        exits = frozenset((1, 1, 2 * _WIDTH_MULTIPLE_PX // FRAME_PX, symbols + 1) for symbols in _ALPHABETS)
        self._run = InterpreterPool(network, name, entry, exits)

    def read(self, strip: Plane) -> tuple[FrameProbs, float]:
        """Return the frames of a line crop, (T, 12 or 18), and the number of its pixels per frame.

        Args:
            strip: gray line crop, (h, w), 0..255; the text fills at least half its height.
        """
        width, small = strip.shape[1], scale_strip(strip)
        wide = small.shape[1]
        filled = max(2 * _WIDTH_MULTIPLE_PX, -(-wide // _WIDTH_MULTIPLE_PX) * _WIDTH_MULTIPLE_PX)
        flat = np.zeros((1, LINE_HEIGHT_PX, filled, 1), np.float32)
        flat[0, :, :wide, 0] = local_normalize(small)
        frames = self._run(flat)[0, 0]
        return frames[: -(-wide // FRAME_PX)], FRAME_PX * width / wide


def scale_strip(strip: Plane) -> Plane:
    """Scale a line crop, (h, w), to the height of the model's input, (40, w)."""
    height, width = strip.shape
    scale = LINE_HEIGHT_PX / height
    wide = max(FRAME_PX, min(_MAX_WIDTH_PX, round(width * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(strip, (wide, LINE_HEIGHT_PX), interpolation=interpolation), np.float32)


def shear(strip: Plane, slant: float) -> Plane:
    """Shear a line crop to the right about its middle, in pixels per pixel of height; the size stays the same."""
    height, width = strip.shape
    lean = np.array([[1.0, -slant, slant * (height - 1) / 2], [0.0, 1.0, 0.0]])
    moved = cv2.warpAffine(strip, lean, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def add_margin(strip: Plane, share: float) -> Plane:
    """Add a share of the height above and below a line crop, filled with its border pixels."""
    margin = round(share * strip.shape[0])
    return np.asarray(cv2.copyMakeBorder(strip, margin, margin, 0, 0, cv2.BORDER_REPLICATE), np.float32)
