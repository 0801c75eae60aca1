"""Intermediate results of one page, kept for explanations and for training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digitrec.arrays import PageResult, Picture
from digitrec.recognition.enlarge import EnlargedPage
from digitrec.recognition.ensemble import EnsembleResult
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.turned import turn_back
from digitrec.types import Box, Opinion, Reason

if TYPE_CHECKING:
    from digitrec.recognition.page_path import PageTrace
    from digitrec.recognition.skew import StraightenedPage


@dataclass(frozen=True, slots=True, eq=False)
class PreprocessedPage:
    """A decoded page, its gray version and its ink."""

    picture: Picture
    """(h, w) or (h, w, 3)."""
    gray: Plane
    """Input of the model that ran last, (h, w), 0..255; its size may differ from the picture's."""
    plane: Plane
    """Ink found by the page path or by the fast path: (h, w), 0.0 = paper, 1.0 = ink."""


@dataclass(frozen=True, slots=True, eq=False)
class RecognitionTrace:
    """The steps in which one page was read."""

    initial: PageResult
    """Result of the fast path, scored by the classifier, or of the page path; of the page as enlarged and rotated."""
    decoded: PreprocessedPage | None = None
    """None if the page was not decoded."""
    ensemble: EnsembleResult | None = None
    """Result of the fast path's ensemble; None if it was not run."""
    took_fast_path: bool = False
    """The page was read from its 64 x 64 thumbnail, if necessary with the zoom and the sequence recognizer."""

    page_path: "PageTrace | None" = None
    """Steps of the page path; None if the fast path was enough."""
    enlarged: EnlargedPage | None = None
    """The small page was enlarged, and is restored in the result."""
    unread: tuple[Box, ...] = ()
    """Ink that could be writing and is not part of the answer, in pixels of `initial`."""
    turns: int = 0
    """Quarter turns counter-clockwise in which the page was read."""
    straightened: "StraightenedPage | None" = None
    """The slanting page was rotated, and is restored in the result."""
    opinions: tuple[Opinion | None, ...] = ()
    """Of another reader, one for each number; empty if it was not asked."""

    @property
    def page(self) -> PageResult:
        """Return the final result, with opinions, and the reason for unread ink on the page and on numbers near it."""
        page = self.initial if self.ensemble is None else self.ensemble.page
        if self.unread:
            page = _mark_unread(page, self.unread)
        if self.opinions:
            spans = zip(page.numbers, self.opinions, strict=True)
            page = replace(page, numbers=tuple(replace(span, opinion=opinion) for span, opinion in spans))
        if self.turns:
            page = replace(turn_back(page, self.turns), reason=Reason.TURNED)
        if self.straightened is not None:
            page = self.straightened.restore(page)
        return page if self.enlarged is None else self.enlarged.restore(page)


def _mark_unread(page: PageResult, unread: Sequence[Box]) -> PageResult:
    """Give a page and its numbers within h of unread ink the reason `other_marks`, unless they have another."""
    reach = median(box.height for box in page.boxes) if page.boxes else 0.0
    marks = np.array([(mark.x, mark.y, mark.x + mark.width, mark.y + mark.height) for mark in unread])  # (n, 4)
    numbers = tuple(
        replace(span, reason=span.reason or Reason.OTHER_MARKS)
        if any(_distance(box, marks) <= reach for box in page.boxes[span.start : span.stop])
        else span
        for span in page.numbers
    )
    is_open = page.reason in {None, Reason.BLANK, Reason.AMBIGUOUS_LAYOUT}
    return replace(page, numbers=numbers, reason=Reason.OTHER_MARKS if is_open else page.reason)


def _distance(box: Box, marks: NDArray[np.intp]) -> int:
    """Return the pixels from a box to the nearest mark, the larger of across and down; 0 if they overlap.

    Args:
        box: on the page.
        marks: left, top, right and bottom of each mark, (n, 4).
    """
    across = np.maximum(marks[:, 0] - (box.x + box.width), box.x - marks[:, 2])
    down = np.maximum(marks[:, 1] - (box.y + box.height), box.y - marks[:, 3])
    return max(int(np.maximum(across, down).min()), 0)
