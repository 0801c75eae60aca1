"""What a page became at each step: kept so that a person can be shown why it was read as it was."""

from dataclasses import dataclass

from digitrec.imaging.contrast import WORK_PX, Plane, grey_of, smaller
from digitrec.pictures import Page, Picture
from digitrec.recognition.second_look import SecondLook


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A page that was decoded, and where the classical way sees ink."""

    picture: Picture
    """(h, w) or (h, w, 3)."""
    plane: Plane
    """(h, w), 0.0 = paper, 1.0 = ink; its size may be another than the picture's."""

    @property
    def grey(self) -> Plane:
        """What the networks look at, (h, w), 0..255."""
        return grey_of(smaller(self.picture, WORK_PX))


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """One page, step by step."""

    cheap: Page
    """As the classical way cut it up and the classifier read it."""
    decoded: Decoded | None = None
    """None if it was not decoded."""
    second: SecondLook | None = None
    """None if the networks were not asked."""

    @property
    def page(self) -> Page:
        """What came of it in the end."""
        return self.cheap if self.second is None else self.second.page
