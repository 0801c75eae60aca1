"""Box -> centred 28 x 28, the way MNIST was made.

MNIST's recipe: scale so that the longest side is 20 pixels, keep the aspect, centre the mass in 28 x 28. A picture
of MNIST itself therefore comes out as it went in. Whatever changes here, or earlier in `imaging`, changes what the
network sees: raise `recipe.RECIPE` with it, and models made for another recipe refuse to load.
"""

import cv2
import numpy as np

from digitrec.arrays import Ink, Picture
from digitrec.recognition.preprocess import Plane, quantiles

SIDE = 28
_BODY = 20
"""Longest side of the digit itself, pixels of the 28."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_PLACES = np.arange(SIDE, dtype=np.float32)
_CENTRE = 14.0
"""Where MNIST has the centre of mass, as a pixel index: it is 14.0 on average there, not the 13.5 of the middle."""

_THIN = 1.6
"""Strokes narrower than this, in pixels of the 28, are widened: 1.3 is MNIST's 5th percentile, 1.9 its median."""
_STROKE = 1.9
"""What they are widened to."""
_DARK = 0.95
"""The quantile of the stroke's own pixels that becomes full ink."""


def from_arrays(pictures: Picture) -> Ink:
    """Take digits that are normalised already, (n, 28, 28), 0 = paper, 255 = ink, as data sets hold them.

    >>> float(from_arrays(np.full((1, 28, 28), 255, np.uint8)).max())
    1.0
    """
    return pictures.astype(np.float32) / np.float32(255)


def normalize_mnist(digit: Plane) -> Plane:
    """Make one digit, (h, w) and nothing else in it, into (28, 28). Blank gives blank."""
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
    """Cut away the empty margin."""
    left, top, width, height = cv2.boundingRect((digit != 0).view(np.uint8))
    return digit[top : top + height, left : left + width]


def _widen_stroke(digit: Plane) -> Plane:
    """Give a stroke that scaling would make thin and faint the width it has in MNIST."""
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
    """Bring the longest side to 20, antialiased."""
    height, width = digit.shape
    scale = _BODY / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size == (width, height):
        return digit
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(digit, size, interpolation=how), np.float32)


def _stretch_contrast(digit: Plane) -> Plane:
    """Make the stroke's middle full ink, as it is in MNIST; never the other way."""
    stroke = digit[digit > 0.1]
    (dark,) = quantiles(stroke, _DARK) if stroke.size else (1.0,)
    stretched: Plane = np.minimum(digit / np.float32(min(max(dark, 0.05), 1.0)), np.float32(1))
    return stretched


def _centring_offset(mass: Plane) -> int:
    """Where along one axis a digit with this mass, (20,) or shorter, has to begin."""
    centre = float(mass @ _PLACES[: mass.size]) / max(float(mass.sum()), 1e-9)
    return int(min(max(round(_CENTRE - centre), 0), SIDE - mass.size))
