"""A page at a glance: its only sign, as the ink network sees it with all of the page in 64 x 64.

Most scans show one sign with paper all around it. There this network is as good as all that looks closer, and quicker
than the classical way of finding ink. A sign that is small, in several pieces or cut by the border, and anything on the
page that is a tenth as heavy, is left to a closer look.
"""

from dataclasses import dataclass

from digitrec.imaging import layout
from digitrec.imaging.contrast import Plane, Thumbnail
from digitrec.pictures import Picture
from digitrec.recognition.ink_network import SIDE, InkNetwork, whole

_LONG = 2.0
"""A page at least so many times as wide as high may be a line of writing, which is small in a square."""
_LEAST_PX = 12
"""A sign is at least so long, of the 64; ..."""
_MOST_BESIDE = 0.1
"""... what else looks like ink is at most this share of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """One sign, alone on its page and whole."""

    tiny: Thumbnail
    """The page, no side longer than 64."""
    plane: Plane
    """Its ink, (h, w), 0.0 = paper, 1.0 = ink."""
    found: layout.Layout
    """The sign in it."""


def glance(picture: Picture, network: InkNetwork) -> Glance | None:
    """The only sign of a page; None if there is none, or anything else, or it cannot be told at a glance.

    Args:
        picture: the page, (h, w) or (h, w, 3).
        network: that finds ink.
    """
    height, width = picture.shape[:2]
    if max(height, width) <= SIDE or width >= _LONG * height:
        return None
    tiny = Thumbnail.of(picture, SIDE)
    seen = network.look(tiny.grey, whole(tiny.grey))
    part = seen.part
    plane = seen.ink[part.y : part.y + part.height, part.x : part.x + part.width]
    found = layout.arrange(plane)
    if len(found.digits) != 1 or not found.is_clear:
        return None
    sign = found.digits[0]
    left, top, right, bottom = sign.box.x, sign.box.y, sign.box.x + sign.box.width, sign.box.y + sign.box.height
    is_cut = left == 0 or top == 0 or right == part.width or bottom == part.height
    own = float(plane[top:bottom, left:right][sign.ink > 0].sum())
    is_alone = sign.pieces == 1 and float(plane.sum()) <= (1 + _MOST_BESIDE) * own
    return Glance(tiny, plane, found) if is_alone and not is_cut and max(sign.ink.shape) >= _LEAST_PX else None
