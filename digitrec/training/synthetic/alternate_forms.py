"""Alternate forms of digits in other regions, drawn from strokes; MNIST has American ones only.

A form is a list of strokes; a stroke is a list of points on the path of a pen, x to the right and y down, in heights of
the digit. A point given twice is a corner; elsewhere the path is rounded (Chaikin 1974). The forms follow handwriting
that is taught and used in Europe and South America; none is traced from a picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Picture

_Stroke = tuple[tuple[float, float], ...]
_Form = tuple[_Stroke, ...]

SIDE = 28


@dataclass(frozen=True, slots=True)
class FormParams:
    """Pen and variation of alternate forms; set by hand (results: docs/dev/accuracy.md)."""

    margin_px: int = 4
    pen_px: int = 2
    jitter: float = 0.035  # standard deviation of every point, in heights of the digit
    width: float = 0.15  # standard deviation of the logarithm of the width
    roundings: int = 3  # iterations of corner cutting


PARAMS = FormParams()

_FORMS = """
# 0: slashed; ending in a loop, or in a tail to the next digit
0: 33,0 4,30 4,70 33,100 60,70 60,30 33,0 / 62,-4 4,104
0: 35,5 10,20 0,60 20,100 50,85 60,40 40,0 20,12
0: 40,3 8,20 0,70 30,100 60,70 50,10 35,5 80,0
# 1: with a long flag; the same with a foot
1: 0,50 38,0 38,0 33,100
1: 0,35 30,0 30,0 28,100 / 5,100 55,98
# 2: starting with a curl or a ring; with a looped foot; with a ring like a 9's; narrow like an L
2: 28,32 12,38 3,18 30,-2 60,15 50,50 5,98 5,98 65,95
2: 10,12 26,20 20,38 3,34 6,8 35,-4 60,20 40,60 10,98 -3,88 12,78 40,100 70,90
2: 5,20 30,-3 58,20 40,60 12,100 -3,88 12,80 40,100 70,92
2: 50,36 27,50 4,28 22,0 60,0 52,50 5,100 5,100 65,94
2: 10,38 20,4 46,-2 42,32 15,85 0,100 0,100 70,92
# 3: with a flat top; with a loop at the waist
3: 5,3 55,0 55,0 22,40 22,40 60,55 50,100 0,93
3: 8,10 40,-5 55,25 30,48 15,46 25,38 60,60 45,105 0,90
# 4: like a y; rounded; like a u with a stem; open above, the stem long or short; like an h; like a 9 with corners
4: 2,8 8,42 28,50 52,32 58,2 58,2 50,60 42,104
4: 38,0 8,40 4,60 20,68 66,56 / 50,28 46,102
4: 6,0 6,36 26,55 52,44 54,2 54,2 50,102
4: 15,0 2,60 2,60 65,55 / 50,25 42,100
4: 12,0 3,45 20,58 55,45 58,5 58,5 50,100
4: 25,0 5,62 5,62 25,45 50,50 42,100
4: 20,0 0,55 0,55 70,50 / 62,10 35,105
# 5: with a separate bar; nearly straight below it; in one stroke, like an s; the same without its bowl
5: 15,8 10,42 10,42 40,35 60,65 40,100 0,93 / 18,2 65,-4
5: 20,20 15,50 32,52 35,85 0,102 / 28,10 75,-6
5: 62,0 20,3 20,3 10,45 50,45 50,95 0,95
5: 75,-2 34,8 34,8 28,50 36,85 0,102
# 6: a spiral; nearly a b; with a curl at its top
6: 56,8 26,4 3,45 10,92 40,100 58,76 40,52 20,66 28,82 42,76
6: 30,0 8,45 3,85 25,102 50,85 40,55 8,68
6: 60,12 40,-2 10,35 5,90 35,102 52,70 25,50 8,75
# 7: with a loop at its flag; crossed: plain, with a serif, with a wave; the wave alone
7: 14,24 2,10 14,-2 24,12 8,18 8,4 64,4 64,4 26,100
7: 0,5 62,2 62,2 22,100 / 10,52 60,47
7: 0,22 4,2 4,2 65,0 65,0 25,100 / 15,55 70,45
7: 0,18 12,0 38,12 66,-2 42,45 30,100 / 10,50 65,48
7: 0,18 12,0 38,12 66,-2 42,45 30,100
# 8: starting like an S, open at the top
8: 55,12 30,-2 8,20 50,60 45,100 8,95 10,65 50,30 60,0
# 9: with a bowl that stays open, in one stroke and in two; like an alpha; ending to the right; like a P, in two
#    strokes and in one, or with a ring; with a curled tail; with a long loop; like an R or a question mark under a ring
9: 48,12 24,-3 5,16 12,38 36,40 52,24 55,10 50,66 34,96 8,100
9: 52,8 28,-3 6,10 4,28 20,42 46,36 / 54,4 50,60 42,102
9: 62,2 22,48 2,26 20,2 46,40 58,100
9: 52,8 22,-2 4,22 22,44 50,28 54,8 50,66 58,96 74,86
9: 18,5 8,100 / 5,15 35,-5 65,15 50,42 14,50
9: 10,100 16,10 16,10 50,-5 62,25 40,50 12,42
9: 50,10 20,-2 3,30 30,48 52,10 50,85 25,105 5,88
9: 45,42 15,40 10,10 40,-3 56,25 35,60 15,100
9: 60,10 30,-2 6,20 28,52 64,30 56,2 / 20,42 10,100
9: 50,36 62,8 28,-2 0,28 20,52 50,36 / 24,48 68,100
9: 26,48 0,25 20,-3 52,15 30,46 22,52 52,66 50,98 20,102
"""
"""Lines of a digit and the strokes of a form; points are x,y in hundredths of the digit's height."""


def _parse_forms(text: str) -> Mapping[int, tuple[_Form, ...]]:
    forms: dict[int, tuple[_Form, ...]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            digit, strokes = line.split(": ")
            points = ([point.split(",") for point in stroke.split()] for stroke in strokes.split(" / "))
            form = tuple(tuple((int(x) / 100, int(y) / 100) for x, y in stroke) for stroke in points)
            forms[int(digit)] = (*forms.get(int(digit), ()), form)
    return forms


FORMS = _parse_forms(_FORMS)
"""Forms of each digit that are rare in MNIST."""


def alternate_form(digit: int, rng: Generator) -> Picture:
    """Draw a digit in one of its `FORMS`, with random variation: (28, 28), 0 = paper, 255 = ink.

    >>> alternate_form(9, np.random.default_rng(0)).shape
    (28, 28)
    """
    form = FORMS[digit][int(rng.integers(len(FORMS[digit])))]
    points = np.unique(np.concatenate([np.asarray(stroke) for stroke in form]), axis=0)
    moved = {tuple(point): point + rng.normal(0, PARAMS.jitter, 2) for point in points}
    width = float(np.exp(rng.normal(0, PARAMS.width)))
    scale, offset = SIDE - 2 * PARAMS.margin_px, (SIDE * (0.5 - 0.22 * width), PARAMS.margin_px)
    picture = np.zeros((SIDE, SIDE), np.uint8)
    for stroke in form:
        path = round_corners(np.array([moved[point] for point in stroke])) * (width, 1.0)
        pixels = np.rint((path * scale + offset) * 8).astype(np.int32)
        cv2.polylines(picture, [pixels.reshape(-1, 1, 2)], False, 255, PARAMS.pen_px, cv2.LINE_AA, 3)
    return picture


def round_corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the corners of a path, (n, 2), three times (Chaikin 1974); its ends, and points given twice, stay.

    >>> len(round_corners(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])))
    24
    """
    for _ in range(PARAMS.roundings):
        cuts = [np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end]) for start, end in pairwise(points)]
        points = np.concatenate([points[:1], *cuts, points[-1:]])
    return points
