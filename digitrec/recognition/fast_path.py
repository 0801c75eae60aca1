"""A page at a glance: its only sign, as the ink network sees it with all of the page in 64 x 64.

Most scans show one sign with paper all around it. There this network is as good as all that looks closer, and quicker
than the classical way of finding ink. A sign that is small, in several pieces or cut by the border, or has something
beside it that is a tenth as heavy, takes a second witness: the line network, which sees the page and not its ink.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from digitrec.arrays import Page, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import MEDIUM_PX, Sheet
from digitrec.recognition import layout
from digitrec.recognition.classifier import DIGITS
from digitrec.recognition.ctc import Frames
from digitrec.recognition.ensemble import Witness, as_single, mean, of_one_sign, with_none
from digitrec.recognition.full_path import SecondLook
from digitrec.recognition.geometry import Span, cut, on_grey, on_page, strip_around
from digitrec.recognition.page import page_of
from digitrec.recognition.preprocess import Plane, Thumbnail, smaller
from digitrec.recognition.segmenter import SIDE, InkNetwork, Seen, whole
from digitrec.recognition.sequence_recognizer import LineNetwork
from digitrec.recognition.zoom import Close

_LONG = 2.0
"""A page at least so many times as wide as high may be a line of writing, which is small in a square."""
_LEAST_PX = 12
"""A sign that is alone is at least so long, of the 64, ..."""
_BESIDE_ALONE = 0.1
"""... and what else looks like ink is at most this share of its own."""
_MOST_BESIDE = 0.3
"""With more than this there may be several signs."""
_STRIP_PX = 192
"""The line network is shown a sign from the page at this size, or less."""
_CLOSE_PX = MEDIUM_PX
"""A page that is looked at closely has this size, or less."""
_ONE_SIGN = 0.9
"""The line network has to give it this probability that a sign that is looked at closely is one, whichever."""


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """One sign."""

    picture: Picture
    """The page, (h, w) or (h, w, 3), ..."""
    tiny: Thumbnail
    """... and no side longer than 64."""
    seen: Seen
    """It, as the ink network saw it."""
    plane: Plane
    """Its ink, (h, w), 0.0 = paper, 1.0 = ink."""
    found: layout.Layout
    """The sign in it."""
    is_alone: bool
    """It is large enough, whole, in one piece, and there is nothing beside it."""

    def page(self, format_name: str, sheet: Sheet) -> Page:
        """The sheet with this sign, not scored yet."""
        return page_of(format_name, sheet, self.tiny.preview, self.plane, self.found)


def glances(pictures: Sequence[Picture | RejectedImage], network: InkNetwork) -> list[Glance | None]:
    """The only sign of each page; None if there is none, or several, or it cannot be told at a glance.

    Args:
        pictures: the pages, each (h, w) or (h, w, 3).
        network: that finds ink.
    """
    told: list[Glance | None] = [None] * len(pictures)
    shown = {
        place: picture
        for place, picture in enumerate(pictures)
        if not isinstance(picture, RejectedImage) and _is_seen_whole(picture)
    }
    tiny = [Thumbnail.of(picture, SIDE) for picture in shown.values()]
    seen = [network.look(one.grey, whole(one.grey)) for one in tiny]
    planes = [one.of_page for one in seen]
    found = [layout.arrange(plane) for plane in planes]
    for place, *sign in zip(shown, shown.values(), tiny, seen, planes, found, strict=True):
        told[place] = _only_sign(*sign)
    return told


def _is_seen_whole(picture: Picture) -> bool:
    height, width = picture.shape[:2]
    return bool(max(height, width) > SIDE and width < _LONG * height)


def _only_sign(picture: Picture, tiny: Thumbnail, seen: Seen, plane: Plane, found: layout.Layout) -> Glance | None:
    if len(found.digits) != 1 or not found.is_clear:
        return None
    beside = found.beside(plane)
    if beside > _MOST_BESIDE:
        return None
    (sign,), (height, width) = found.digits, plane.shape
    box = sign.box
    is_cut = box.x == 0 or box.y == 0 or box.x + box.width == width or box.y + box.height == height
    is_whole = sign.pieces == 1 and not is_cut and max(sign.ink.shape) >= _LEAST_PX
    return Glance(picture, tiny, seen, plane, found, is_alone=is_whole and beside <= _BESIDE_ALONE)


def grey_of(seen: Glance) -> Plane:
    """The page as the line network is shown it, (h, w), 0..255."""
    return seen.tiny.grey_of(smaller(seen.picture, _STRIP_PX))


def grey_closely(seen: Glance, picture: Picture) -> Plane:
    """The page in more detail, as it is looked at closely: (h, w), 0..255."""
    return seen.tiny.grey_of(smaller(picture, _CLOSE_PX))


def witnessed(page: Page, grey: Plane, network: LineNetwork) -> SecondLook:
    """A page with one sign, read at a glance, and the line network's word for it: the mean of both.

    Args:
        page: with its scores.
        grey: the page, (h, w), 0..255.
        network: that reads the strip around the sign.
    """
    strip, frames = _strip_read(on_grey(page.boxes[0], page, grey), grey, network)
    of_cut = Witness("ink network's cut", page.scores[0], page.ink[0])
    witnesses = (of_cut, Witness("line network", as_single(frames), strip))
    return SecondLook(replace(page, scores=mean(witnesses)), (), witnesses=witnesses)


def closely_witnessed(page: Page, grey: Plane, close: Close, network: LineNetwork) -> SecondLook | None:
    """The same of a sign that was looked at closely; None if it is not the only one, or that is in doubt."""
    if close.where is None or close.cut is None or not close.is_clear:
        return None
    strip, frames = _strip_read(close.where, grey, network)
    chances = of_one_sign(frames)
    if chances.sum() < _ONE_SIGN:
        return None
    witnesses = (close.cut, Witness("line network", with_none(chances[:DIGITS]), strip))
    boxes, ink = (on_page(close.where, page, grey),), np.asarray(close.cut.looked_at)[None]
    return SecondLook(replace(page, boxes=boxes, ink=ink, scores=mean(witnesses)), (), close.seen, witnesses)


def _strip_read(where: Span, grey: Plane, network: LineNetwork) -> tuple[Span, Frames]:
    """The strip around a sign, and what the line network says of it."""
    strip = strip_around(where, grey)
    frames, _ = network.read(cut(grey, strip))
    return strip, frames
