"""What the digits' network for paper learns from besides a data set: drawn pages as the pipeline sees them; fonts."""

from collections.abc import Sequence

import numpy as np

from digitrec.classifiers.base import NONE
from digitrec.imaging.normalise import centred
from digitrec.pictures import Ink, Picture
from digitrec.training.arrays import Digits
from digitrec.training.augment import Dice, augment, augment_slightly
from digitrec.training.glyphs import Glyphs
from digitrec.training.loop import Beside
from digitrec.training.networks import Network
from digitrec.training.seen import Examples
from digitrec.training.signs import LETTERS

_OF_PAGES = 15 / 32
"""Share of a batch that is from pages; ..."""
_OF_FONTS = 1 / 32
"""... of digits of fonts, and as much again of their letters."""


def beside(network: Network, seen: Examples, fonts: Glyphs) -> Sequence[Beside]:
    """Further examples for every batch of the network's."""
    of_fonts = round(network.batch * _OF_FONTS)
    pictures, digits = fonts.digits()
    letters = fonts.of(LETTERS)
    found = [
        Beside(seen.pictures, seen.classes, round(network.batch * _OF_PAGES), _slightly),
        Beside(_normalised(pictures), digits, of_fonts, augment),
        Beside(_normalised(letters), np.full(len(letters), NONE, np.int64), of_fonts, augment),
    ]
    return [each for each in found if len(each.classes)]


def _slightly(pictures: Picture, _: Digits, dice: Dice) -> Ink:
    return augment_slightly(pictures, dice)


def _normalised(glyphs: Picture) -> Picture:
    """Glyphs, (n, 48, 48), as imaging would bring them to (n, 28, 28)."""
    ink = [centred(glyph.astype(np.float32) / np.float32(255)) for glyph in glyphs]
    return np.asarray(np.rint(np.stack(ink) * 255), np.uint8)
