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
_SYMBOLS = CLASSES
"""Ten digits and the non-digit; the last column of a frame is CTC's blank."""
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
        entry, exit_ = (
            (1, LINE_HEIGHT_PX, 2 * _WIDTH_MULTIPLE_PX, 1),
            (1, 1, 2 * _WIDTH_MULTIPLE_PX // FRAME_PX, _SYMBOLS + 1),
        )
        self._run = InterpreterPool(network, name, entry, frozenset({exit_}))

    def read(self, strip: Plane) -> tuple[FrameProbs, float]:
        """Return the frames of a line crop, (T, 12), and the number of its pixels per frame.

        Args:
            strip: gray line crop, (h, w), 0..255; the text fills at least half its height.
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
    """Shear a line crop to the right about its middle, in pixels per pixel of height; the size stays the same."""
    height, width = strip.shape
    lean = np.array([[1.0, -slant, slant * (height - 1) / 2], [0.0, 1.0, 0.0]])
    moved = cv2.warpAffine(strip, lean, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def add_margin(strip: Plane, share: float) -> Plane:
    """Add a share of the height above and below a line crop, filled with its border pixels."""
    margin = round(share * strip.shape[0])
    return np.asarray(cv2.copyMakeBorder(strip, margin, margin, 0, 0, cv2.BORDER_REPLICATE), np.float32)
