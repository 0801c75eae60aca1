"""Crop the characters of a picture as recognition crops them for the digit classifier."""

from collections.abc import Callable
from dataclasses import dataclass

from digitrec.arrays import Picture
from digitrec.recognition.characters import class_components
from digitrec.recognition.number_reader import crop_character
from digitrec.recognition.page_ink import PageInk, find_page_ink
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.text_lines import find_numbers
from digitrec.types import Box


@dataclass(frozen=True, slots=True, eq=False)
class CroppedCharacter:
    """One character of a page."""

    box: Box
    """In pixels of the page's ink."""
    ink: Plane
    """(28, 28), 0.0 = paper, 1.0 = ink."""


def crop_characters(picture: Picture, decode_larger: Callable[[int], Picture] | None = None) -> list[CroppedCharacter]:
    """Return the characters of a page in reading order.

    Args:
        picture: the page, (h, w) or (h, w, 3).
        decode_larger: decodes it again with a least longest side; None if it has its full size.
    """
    return crop_page(find_page_ink(picture, decode_larger))


def crop_page(page: PageInk) -> list[CroppedCharacter]:
    """Return the characters in the ink of a page, in reading order."""
    classed = class_components(page.ink, page.margins)
    return [
        CroppedCharacter(
            Box(character.left, character.top, character.width, character.height),
            crop_character(character, page, classed),
        )
        for number in find_numbers(classed, page.rules)
        for character in number.characters
    ]
