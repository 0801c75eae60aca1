"""Normalize a digit to 28 x 28 as MNIST does.

Scale the longest side to 20 pixels, keep the aspect ratio, and centre the mass in 28 x 28; a picture of MNIST stays as
it is. A change here, or earlier in preprocessing, changes the input of the classifier: raise the preprocessing version
with it, so that models made for another version refuse to load.
"""

import cv2
import numpy as np

from digitrec.arrays import Ink, Picture
from digitrec.recognition.preprocess import Plane, quantiles

SIDE = 28
_BODY = 20
"""Longest side of the digit itself, pixels of the 28."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_POSITIONS = np.arange(SIDE, dtype=np.float32)
_CENTRE = 14.0
"""Pixel index of the centre of mass: on average 14.0 in MNIST, not the 13.5 of the middle."""

_THIN = 1.6
"""Strokes narrower than this, in pixels of the 28, are widened: 1.3 is MNIST's 5th percentile, 1.9 its median."""
_STROKE = 1.9
"""Width to which thin strokes are widened, pixels of the 28."""
_DARK = 0.95
"""Quantile of the stroke's pixels that becomes full ink."""


def from_arrays(pictures: Picture) -> Ink:
    """Convert digits of a data set, (n, 28, 28), 0 = paper, 255 = ink, to ink.

    >>> float(from_arrays(np.full((1, 28, 28), 255, np.uint8)).max())
    1.0
    """
    return pictures.astype(np.float32) / np.float32(255)


def normalize_mnist(digit: Plane) -> Plane:
    """Normalize the ink of one digit, (h, w), to (28, 28); blank stays blank."""
    digit = _crop_to_ink(digit)
    if digit.size == 0:
        return np.zeros((SIDE, SIDE), np.float32)
    small = _stretch_contrast(_scale_to_body(_widen_stroke(digit)))
    height, width = small.shape
    down, across = _centring_offset(small.sum(axis=1)), _centring_offset(small.sum(axis=0))
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[down : down + height, across : across + width] = small
    return canvas


def _crop_to_ink(digit: Plane) -> Plane:
    """Crop the empty margin."""
    left, top, width, height = cv2.boundingRect((digit != 0).view(np.uint8))
    return digit[top : top + height, left : left + width]


def _widen_stroke(digit: Plane) -> Plane:
    """Widen a stroke that scaling would make thin and faint to MNIST's width."""
    longest = max(digit.shape)
    scale = _BODY / longest
    body = (digit > 0.4).view(np.uint8)
    area = cv2.countNonZero(body)
    inside = cv2.erode(body, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    edge = area - cv2.countNonZero(inside)
    stroke = 2 * area / max(edge, 1)  # pixels of the page; a stroke's edge has two sides
    if area == 0 or stroke * scale >= _THIN:
        return digit
    radius = round((_STROKE / scale - stroke) / 2)
    if radius < 1:
        return digit
    wide = cv2.copyMakeBorder(digit, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=0)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(wide, brush), np.float32)


def _scale_to_body(digit: Plane) -> Plane:
    """Scale the longest side to 20, antialiased."""
    height, width = digit.shape
    scale = _BODY / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return digit
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(digit, size, interpolation=how), np.float32)


def _stretch_contrast(digit: Plane) -> Plane:
    """Increase the contrast until the stroke's middle is full ink, as in MNIST; never reduce it."""
    stroke = digit[digit > 0.1]
    (dark,) = quantiles(stroke, _DARK) if stroke.size else (1.0,)
    stretched: Plane = np.minimum(digit / np.float32(min(max(dark, 0.05), 1.0)), np.float32(1))
    return stretched


def _centring_offset(mass: Plane) -> int:
    """Return the offset along one axis that centres a digit with this mass, (20,) or shorter."""
    centre = float(mass @ _POSITIONS[: mass.size]) / max(float(mass.sum()), 1e-9)
    return int(min(max(round(_CENTRE - centre), 0), SIDE - mass.size))
