"""Intermediate results of one page, kept for explanations and for training."""

from dataclasses import dataclass, replace

from digitrec.arrays import PageResult, Picture
from digitrec.recognition.enlarge import EnlargedPage
from digitrec.recognition.ensemble import EnsembleResult
from digitrec.recognition.page_path import PageTrace
from digitrec.recognition.preprocess import Plane
from digitrec.types import Box, Reason


@dataclass(frozen=True, slots=True, eq=False)
class PreprocessedPage:
    """A decoded page, its gray version and its ink."""

    picture: Picture
    """(h, w) or (h, w, 3)."""
    gray: Plane
    """Input of the model that ran last, (h, w), 0..255; its size may differ from the picture's."""
    plane: Plane
    """Ink found by classical segmentation or by the fast path: (h, w), 0.0 = paper, 1.0 = ink."""


@dataclass(frozen=True, slots=True, eq=False)
class RecognitionTrace:
    """The steps in which one page was read."""

    initial: PageResult
    """Result of the fast path or of classical segmentation, scored by the classifier."""
    decoded: PreprocessedPage | None = None
    """None if the page was not decoded."""
    ensemble: EnsembleResult | None = None
    """Result of the fast path's ensemble; None if it was not run."""
    took_fast_path: bool = False
    """The page was read from its 64 x 64 thumbnail, if necessary with the zoom and the sequence recognizer."""

    page_path: PageTrace | None = None
    """Steps of the page path; None if the fast path was enough."""
    enlarged: EnlargedPage | None = None
    """The small page was enlarged, and is restored in the result."""
    unread: tuple[Box, ...] = ()
    """Ink that could be writing and is not part of the answer, in pixels of the page."""
    has_rows: bool = False
    """The characters stand in several rows; which of them form one number is unknown."""

    @property
    def page(self) -> PageResult:
        """Return the final result, with the reason for unread ink or several rows."""
        page = self.initial if self.ensemble is None else self.ensemble.page
        if self.enlarged is not None:
            boxes = tuple(self.enlarged.restore(box) for box in page.boxes)
            page = replace(page, boxes=boxes, width=self.enlarged.width, height=self.enlarged.height)
        if self.unread and page.reason in {None, Reason.BLANK, Reason.AMBIGUOUS_LAYOUT}:
            return replace(page, reason=Reason.OTHER_MARKS)
        return page
