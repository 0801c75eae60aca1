"""A page's main sign, looked at closely by the ink network, and read by the classifier."""

from dataclasses import dataclass, replace

from digitrec.recognition import layout, normalize
from digitrec.recognition.classifier import Classifier
from digitrec.recognition.ensemble import Witness
from digitrec.recognition.geometry import Span, around
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import SIDE, InkNetwork, Seen, Window
from digitrec.types import Box


@dataclass(frozen=True, slots=True, eq=False)
class Close:
    """What the ink network sees closely; places are in pixels of the grey plane that it was shown."""

    seen: Seen
    where: Span | None
    """Around all signs in its window; None if there are none."""
    cut: Witness | None
    """The sign, read by the classifier; None if it is not one."""
    is_clear: bool
    """It is one, and nothing as heavy was left out."""
    longest_px: int
    """Of the grey plane."""

    def on(self, grey: Plane) -> "Close":
        """The same on the same page in another size, (h, w)."""
        share, window = max(grey.shape) / self.longest_px, self.seen.window
        seen = replace(self.seen, window=Window(window.left * share, window.top * share, window.side * share))
        where = None if self.where is None else self.where.scaled(share)
        return replace(self, seen=seen, where=where, longest_px=max(grey.shape))


def close_look(grey: Plane, classifier: Classifier, network: InkNetwork, afar: Seen | None = None) -> Close | None:
    """Look closely at a page's main sign; None if there is none.

    Args:
        grey: the page, (h, w), 0..255.
        classifier: of single digits.
        network: that finds ink.
        afar: all of the page as the network saw it already, in whatever size.
    """
    seen = network.find(grey, afar)
    if seen is None:
        return None
    found = layout.arrange(seen.ink)
    where = around([_in_window(one.box, seen.window) for one in found.digits]) if found.digits else None
    of_cut = None
    if len(found.digits) == 1:
        ink = normalize.centred(found.digits[0].ink)
        of_cut = Witness("ink network's cut", classifier.score(ink[None])[0], ink)
    return Close(seen, where, of_cut, found.is_clear and of_cut is not None, max(grey.shape))


def _in_window(box: Box, window: Window) -> Span:
    scale = window.side / SIDE
    left, top = window.left + box.x * scale, window.top + box.y * scale
    return Span(left, top, left + box.width * scale, top + box.height * scale)
