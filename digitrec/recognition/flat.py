"""Page -> what the ink and line networks look at: the lamp taken out, the contrast made alike.

The local mean is taken away and what is left is divided by its typical size, so that paper lies near 0.0 whatever its
colour, and a network never sees how bright a page was.
"""

import math

import cv2
import numpy as np

from digitrec.recognition.preprocess import Plane

_WINDOW_SHARE = 0.75
"""The local mean is taken over a square of this share of the crop's shorter side."""
_LEAST_SPREAD = 3.0
"""Grey levels: what varies less than this is noise of the paper, and is not blown up to ink."""
_LIMIT = 4.0


def flattened(grey: Plane) -> Plane:
    """Take the light out of a crop, (h, w) in 0..255; gives (h, w), about 0.0 = paper, in -4.0..4.0.

    >>> float(np.abs(flattened(np.full((8, 8), 200, np.float32))).max())
    0.0
    """
    window = max(3, round(min(grey.shape) * _WINDOW_SHARE) | 1)
    # Twice: one box leaves corners of its own, two are nearly a bell.
    local = cv2.blur(
        grey, (window, window), borderType=cv2.BORDER_REFLECT_101 if min(grey.shape) > window else cv2.BORDER_REPLICATE
    )
    flat: Plane = grey - local
    spread = max(cv2.norm(flat) / math.sqrt(flat.size), _LEAST_SPREAD)
    flat /= np.float32(2 * spread)
    np.maximum(flat, -_LIMIT, out=flat)
    np.minimum(flat, _LIMIT, out=flat)
    return flat


def in_square(flat: Plane, side: int, left: int, top: int) -> Plane:
    """A flattened crop at this place of a square, (side, side).

    Its border goes on around it: where paper ends in plain 0.0 there is an edge, and that looks like ink.
    """
    height, width = flat.shape
    right, bottom = side - left - width, side - top - height
    return np.asarray(cv2.copyMakeBorder(flat, top, bottom, left, right, cv2.BORDER_REPLICATE), np.float32)
