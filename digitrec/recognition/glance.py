"""A page at a glance: its only sign as the ink network sees it in 64 x 64, on all of the page or in a window near it.

Most scans show one sign with paper all around it. There this network is as good as all that looks closer, and quicker
than the classical way of finding ink. Whatever else may be on a page leaves a trace at this size, too: then the sign is
not alone, and the page is looked at closely.
"""

from dataclasses import dataclass

from digitrec.imaging import layout
from digitrec.imaging.contrast import Plane
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import page_of
from digitrec.pictures import Page, Picture
from digitrec.recognition.ink_network import SIDE, Seen
from digitrec.recognition.spans import in_window, on_page
from digitrec.records import Box

_LONG = 2.0
"""A page at least so many times as wide as high may be a line of writing, which is small in a square."""
_LEAST_PX = 12
"""A sign is at least so long, of the 64; ..."""
_MOST_BESIDE = 0.1
"""... what else looks like ink is at most this share of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """A sign that is alone in a window of a page, and whole."""

    seen: Seen
    found: layout.Layout
    """That sign, in pixels of the part of the window that shows the page."""

    @property
    def is_large(self) -> bool:
        """Whether it can be told here which sign it is."""
        return max(self.found.digits[0].ink.shape) >= _LEAST_PX

    def page(self, format_name: str, sheet: Sheet, grey: Plane, preview: Picture) -> Page:
        """The page with this sign, not scored yet.

        Args:
            format_name: of the file.
            sheet: the page.
            grey: of it; the window is in its pixels.
            preview: its picture, small, (h, w).
        """

        def where(box: Box) -> Box:
            part = self.seen.part
            in_all = Box(box.x + part.x, box.y + part.y, box.width, box.height)
            return on_page(in_window(in_all, self.seen.window), sheet, grey)

        return page_of(format_name, sheet, preview, self.found, where)


def is_worth_a_glance(picture: Picture) -> bool:
    """Whether a page, (h, w) or (h, w, 3), is larger than what the network sees, and no line of writing."""
    height, width = picture.shape[:2]
    return max(height, width) > SIDE and width < _LONG * height


def alone(seen: Seen) -> Alone | None:
    """The only sign in a window; None if there is none, or anything else, or it runs out of the page."""
    part = seen.part
    plane = seen.ink[part.y : part.y + part.height, part.x : part.x + part.width]
    found = layout.arrange(plane)
    if len(found.digits) != 1 or not found.is_clear:
        return None
    box, own = found.digits[0].box, float(found.digits[0].ink.sum())
    is_cut = box.x == 0 or box.y == 0 or box.x + box.width == part.width or box.y + box.height == part.height
    return None if is_cut or float(plane.sum()) > (1 + _MOST_BESIDE) * own else Alone(seen, found)
