"""Digits as other schools teach them, drawn from strokes: MNIST's writers all went to American ones.

Every form is a list of strokes, a stroke the points a pen goes through, x to the right and y down in heights of the
digit. A point given twice is a corner, elsewhere the course is rounded (Chaikin 1974). Drawn from what is commonly
taught and seen in Europe and South America, from no picture.
"""

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture

_Stroke = tuple[tuple[float, float], ...]
_Form = tuple[_Stroke, ...]

SIDE = 28
_MARGIN, _PEN = 4, 2
_STRAY = 0.035
"""Standard deviation of every point, heights of the digit."""
_ROUNDINGS = 3

FORMS: Mapping[int, tuple[_Form, ...]] = {
    0: (  # ended with a loop, or with a tail to the next one
        (((0.35, 0.05), (0.1, 0.2), (0.0, 0.6), (0.2, 1.0), (0.5, 0.85), (0.6, 0.4), (0.4, 0.0), (0.2, 0.12)),),
        (((0.4, 0.03), (0.08, 0.2), (0.0, 0.7), (0.3, 1.0), (0.6, 0.7), (0.5, 0.1), (0.35, 0.05), (0.8, 0.0)),),
    ),
    1: (  # with a long flag; the same with a foot
        (((0.0, 0.5), (0.38, 0.0), (0.38, 0.0), (0.33, 1.0)),),
        (((0.0, 0.35), (0.3, 0.0), (0.3, 0.0), (0.28, 1.0)), ((0.05, 1.0), (0.55, 0.98))),
    ),
    2: (  # begun with a curl, or with a closed ring; with a looped foot; with a ring like a 9's; narrow like an L
        (
            (
                *((0.28, 0.32), (0.12, 0.38), (0.03, 0.18), (0.3, -0.02), (0.6, 0.15), (0.5, 0.5)),
                *((0.05, 0.98), (0.05, 0.98), (0.65, 0.95)),
            ),
        ),
        (
            (
                *((0.1, 0.12), (0.26, 0.2), (0.2, 0.38), (0.03, 0.34), (0.06, 0.08), (0.35, -0.04), (0.6, 0.2)),
                *((0.4, 0.6), (0.1, 0.98), (-0.03, 0.88), (0.12, 0.78), (0.4, 1.0), (0.7, 0.9)),
            ),
        ),
        (
            (
                *((0.05, 0.2), (0.3, -0.03), (0.58, 0.2), (0.4, 0.6), (0.12, 1.0), (-0.03, 0.88), (0.12, 0.8)),
                *((0.4, 1.0), (0.7, 0.92)),
            ),
        ),
        (
            (
                *((0.5, 0.36), (0.27, 0.5), (0.04, 0.28), (0.22, 0.0), (0.6, 0.0), (0.52, 0.5)),
                *((0.05, 1.0), (0.05, 1.0), (0.65, 0.94)),
            ),
        ),
        (((0.1, 0.38), (0.2, 0.04), (0.46, -0.02), (0.42, 0.32), (0.15, 0.85), (0.0, 1.0), (0.0, 1.0), (0.7, 0.92)),),
    ),
    3: (  # with a flat top; with a loop at the waist
        (((0.05, 0.03), (0.55, 0.0), (0.55, 0.0), (0.22, 0.4), (0.22, 0.4), (0.6, 0.55), (0.5, 1.0), (0.0, 0.93)),),
        (
            (
                *((0.08, 0.1), (0.4, -0.05), (0.55, 0.25), (0.3, 0.48), (0.15, 0.46), (0.25, 0.38)),
                *((0.6, 0.6), (0.45, 1.05), (0.0, 0.9)),
            ),
        ),
    ),
    4: (  # open above, the stem long or short; like an h; like a 9 with corners
        (((0.15, 0.0), (0.02, 0.6), (0.02, 0.6), (0.65, 0.55)), ((0.5, 0.25), (0.42, 1.0))),
        (((0.12, 0.0), (0.03, 0.45), (0.2, 0.58), (0.55, 0.45), (0.58, 0.05), (0.58, 0.05), (0.5, 1.0)),),
        (((0.25, 0.0), (0.05, 0.62), (0.05, 0.62), (0.25, 0.45), (0.5, 0.5), (0.42, 1.0)),),
        (((0.2, 0.0), (0.0, 0.55), (0.0, 0.55), (0.7, 0.5)), ((0.62, 0.1), (0.35, 1.05))),
    ),
    5: (  # the bar put on last, apart; hardly rounded below it; in one go, like an s; the same without its belly
        (
            ((0.15, 0.08), (0.1, 0.42), (0.1, 0.42), (0.4, 0.35), (0.6, 0.65), (0.4, 1.0), (0.0, 0.93)),
            ((0.18, 0.02), (0.65, -0.04)),
        ),
        (((0.2, 0.2), (0.15, 0.5), (0.32, 0.52), (0.35, 0.85), (0.0, 1.02)), ((0.28, 0.1), (0.75, -0.06))),
        (((0.62, 0.0), (0.2, 0.03), (0.2, 0.03), (0.1, 0.45), (0.5, 0.45), (0.5, 0.95), (0.0, 0.95)),),
        (((0.75, -0.02), (0.34, 0.08), (0.34, 0.08), (0.28, 0.5), (0.36, 0.85), (0.0, 1.02)),),
    ),
    6: (  # nearly a b; with a curl at its top
        (((0.3, 0.0), (0.08, 0.45), (0.03, 0.85), (0.25, 1.02), (0.5, 0.85), (0.4, 0.55), (0.08, 0.68)),),
        (((0.6, 0.12), (0.4, -0.02), (0.1, 0.35), (0.05, 0.9), (0.35, 1.02), (0.52, 0.7), (0.25, 0.5), (0.08, 0.75)),),
    ),
    7: (  # crossed: plain, with a serif, with a wave; and the wave alone
        (((0.0, 0.05), (0.62, 0.02), (0.62, 0.02), (0.22, 1.0)), ((0.1, 0.52), (0.6, 0.47))),
        (((0.0, 0.22), (0.04, 0.02), (0.04, 0.02), (0.65, 0.0), (0.65, 0.0), (0.25, 1.0)), ((0.15, 0.55), (0.7, 0.45))),
        (((0.0, 0.18), (0.12, 0.0), (0.38, 0.12), (0.66, -0.02), (0.42, 0.45), (0.3, 1.0)), ((0.1, 0.5), (0.65, 0.48))),
        (((0.0, 0.18), (0.12, 0.0), (0.38, 0.12), (0.66, -0.02), (0.42, 0.45), (0.3, 1.0)),),
    ),
    8: (  # begun like an S and left open above
        (
            (
                *((0.55, 0.12), (0.3, -0.02), (0.08, 0.2), (0.5, 0.6), (0.45, 1.0), (0.08, 0.95), (0.1, 0.65)),
                *((0.5, 0.3), (0.6, 0.0)),
            ),
        ),
    ),
    9: (  # like a P, in two strokes and in one, or with a ring; with a curled tail; with a long loop; like an R or a
        # question mark under a ring
        (((0.18, 0.05), (0.08, 1.0)), ((0.05, 0.15), (0.35, -0.05), (0.65, 0.15), (0.5, 0.42), (0.14, 0.5))),
        (((0.1, 1.0), (0.16, 0.1), (0.16, 0.1), (0.5, -0.05), (0.62, 0.25), (0.4, 0.5), (0.12, 0.42)),),
        (((0.5, 0.1), (0.2, -0.02), (0.03, 0.3), (0.3, 0.48), (0.52, 0.1), (0.5, 0.85), (0.25, 1.05), (0.05, 0.88)),),
        (((0.45, 0.42), (0.15, 0.4), (0.1, 0.1), (0.4, -0.03), (0.56, 0.25), (0.35, 0.6), (0.15, 1.0)),),
        (
            ((0.6, 0.1), (0.3, -0.02), (0.06, 0.2), (0.28, 0.52), (0.64, 0.3), (0.56, 0.02)),
            ((0.2, 0.42), (0.1, 1.0)),
        ),
        (
            ((0.5, 0.36), (0.62, 0.08), (0.28, -0.02), (0.0, 0.28), (0.2, 0.52), (0.5, 0.36)),
            ((0.24, 0.48), (0.68, 1.0)),
        ),
        (
            (
                *((0.26, 0.48), (0.0, 0.25), (0.2, -0.03), (0.52, 0.15), (0.3, 0.46), (0.22, 0.52)),
                *((0.52, 0.66), (0.5, 0.98), (0.2, 1.02)),
            ),
        ),
    ),
}
"""The forms of each digit that MNIST seldom or never shows."""


def alternate_form(digit: int, rng: Generator) -> Picture:
    """The digit in one of its `FORMS`, from a hand that strays: (28, 28), 0 = paper, 255 = ink.

    >>> another_form(9, np.random.default_rng(0)).shape
    (28, 28)
    """
    form = FORMS[digit][int(rng.integers(len(FORMS[digit])))]
    corners = np.unique(np.concatenate([np.asarray(stroke) for stroke in form]), axis=0)
    strayed = {tuple(corner): corner + rng.normal(0, _STRAY, 2) for corner in corners}
    wide = float(np.exp(rng.normal(0, 0.15)))
    picture = np.zeros((SIDE, SIDE), np.uint8)
    for stroke in form:
        course = round_corners(np.array([strayed[point] for point in stroke])) * (wide, 1.0)
        points = np.rint((course * (SIDE - 2 * _MARGIN) + (SIDE * (0.5 - 0.22 * wide), _MARGIN)) * 8).astype(np.int32)
        cv2.polylines(picture, [points.reshape(-1, 1, 2)], False, 255, _PEN, cv2.LINE_AA, 3)
    return picture


def round_corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the corners of a course, (n, 2), three times (Chaikin 1974); its ends, and points given twice, stay.

    >>> len(rounded(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])))
    24
    """
    for _ in range(_ROUNDINGS):
        cut = [points[:1]]
        for start, end in pairwise(points):
            cut.append(np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end]))
        points = np.concatenate([*cut, points[-1:]])
    return points
