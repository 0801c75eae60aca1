"""What a page became at each step: kept so that a person can be shown why it was read as it was."""

from dataclasses import dataclass, replace

from digitrec.arrays import PageResult, Picture
from digitrec.recognition.full_path import FullPathResult
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box, Reason


@dataclass(frozen=True, slots=True, eq=False)
class PreprocessedPage:
    """A page that was decoded, and where ink is seen on it."""

    picture: Picture
    """(h, w) or (h, w, 3)."""
    gray: Plane
    """What the last network that was asked looked at, (h, w), 0..255; its size may be another than the picture's."""
    plane: Plane
    """Ink the classical way, or at a glance: (h, w), 0.0 = paper, 1.0 = ink."""


@dataclass(frozen=True, slots=True, eq=False)
class RecognitionTrace:
    """One page, step by step."""

    initial: PageResult
    """As it was cut up, at a glance or the classical way, and the classifier read it."""
    decoded: PreprocessedPage | None = None
    """None if it was not decoded."""
    full_path: FullPathResult | None = None
    """None if the networks together were not asked."""
    took_fast_path: bool = False
    """All of the page in 64 x 64 did, maybe with a close look at its sign and what the line network said."""

    unread: tuple[Box, ...] = ()
    """What could be writing on the page and is not part of the answer, in pixels of the page."""
    has_rows: bool = False
    """The characters stand in several rows: which of them are one number is not told yet."""

    @property
    def page(self) -> PageResult:
        """What came of it in the end."""
        page = self.initial if self.full_path is None else self.full_path.page
        if self.unread and page.reason in {None, Reason.BLANK, Reason.AMBIGUOUS_LAYOUT}:
            return replace(page, reason=Reason.OTHER_MARKS)
        return replace(page, reason=Reason.AMBIGUOUS_LAYOUT) if self.has_rows and page.reason is None else page
