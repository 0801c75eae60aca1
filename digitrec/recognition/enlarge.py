"""Enlarge small pictures, and pad those whose character touches the edge."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images.decode import DecodedPage
from digitrec.recognition.preprocess import Mask
from digitrec.types import Box


class EnlargeParams(NamedTuple):
    """Sizes of small pictures."""

    small_px: int = 64
    """Longest side of a picture that is enlarged."""
    least_px: int = 112
    """Least longest side of the enlarged picture."""
    padding: float = 0.25
    """Paper that is added on each side, as a share of the longer side."""
    bare: float = 0.25
    """Least share of pixels that have the paper's level exactly in a picture that is padded: a clean drawing."""
    touches: float = 0.5
    """Contrast with the paper, as a share of the largest, from which a pixel at the edge is ink."""
    margin: float = 0.7
    """Share of the left or right side along which ink is a margin or frame and no character, if it reaches no further
    than `margin_width`."""
    margin_width: float = 0.35
    """Largest width of such a margin, as a share of the picture's."""


PARAMS = EnlargeParams()
_ENDS = (slice(0, 2), slice(-2, None))


@dataclass(frozen=True, slots=True)
class EnlargedPage:
    """A small page, enlarged and padded."""

    sheet: DecodedPage
    factor: int
    """Pixels of the enlarged page per pixel of the page."""
    padding: int
    """Pixels of the page added on each side."""
    width: int
    """Of the page."""
    height: int

    def restore(self, page: PageResult) -> PageResult:
        """Return the result of the page before it was enlarged."""
        boxes, signs = (tuple(map(self._restore_box, group)) for group in (page.boxes, page.sign_boxes))
        return replace(page, boxes=boxes, sign_boxes=signs, width=self.width, height=self.height)

    def _restore_box(self, box: Box) -> Box:
        """Convert a box from pixels of the enlarged page to pixels of the page."""
        left = min(max(0, box.x // self.factor - self.padding), self.width - 1)
        top = min(max(0, box.y // self.factor - self.padding), self.height - 1)
        right = min(max(left + 1, -(-(box.x + box.width) // self.factor) - self.padding), self.width)
        bottom = min(max(top + 1, -(-(box.y + box.height) // self.factor) - self.padding), self.height)
        return Box(left, top, right - left, bottom - top)


def enlarge(sheet: DecodedPage) -> EnlargedPage | None:
    """Enlarge a small page; None if it is large enough."""
    p, picture = PARAMS, sheet.picture
    if isinstance(picture, RejectedImage) or max(picture.shape[:2]) > p.small_px:
        return None
    height, width = picture.shape[:2]
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    if np.ptp(edge) == 0:  # as in most data sets
        return None
    paper = _paper_level(picture)
    if paper is None or not _touches_edge(picture, paper):
        return None
    padding = max(1, round(p.padding * max(height, width)))
    picture = np.asarray(
        cv2.copyMakeBorder(
            picture, padding, padding, padding, padding, cv2.BORDER_CONSTANT, value=[int(level) for level in paper]
        ),
        np.uint8,
    )
    factor = -(-p.least_px // max(height, width))
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    large = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    return EnlargedPage(replace(sheet, picture=large, width=size[0], height=size[1]), factor, padding, width, height)


def _paper_level(picture: Picture) -> Picture | None:
    """Return the level, gray or RGB, that a quarter of the pixels have exactly; of two, the one in the corners."""
    number = picture.astype(np.int32)
    if picture.ndim == 3:
        number = number @ np.array([65536, 256, 1], np.int32)
    levels, counts = np.unique(number, return_counts=True)
    is_paper = counts >= PARAMS.bare * number.size
    if not is_paper.any():
        return None
    corners = np.concatenate([number[rows, columns].ravel() for rows in _ENDS for columns in _ENDS])
    level = max(levels[is_paper].tolist(), key=lambda value: np.count_nonzero(corners == value))
    return np.array([level] if picture.ndim == 2 else [level >> 16, level >> 8 & 255, level & 255], np.uint8)


def _touches_edge(picture: Picture, paper: Picture) -> bool:
    """Tell whether the ink of a character touches the edge of a picture whose paper has one level."""
    contrast = np.abs(picture.astype(np.int16).reshape(*picture.shape[:2], -1) - paper.astype(np.int16)).max(axis=2)
    inked = contrast > PARAMS.touches * contrast.max()
    if not (inked[0].any() or inked[-1].any() or inked[:, 0].any() or inked[:, -1].any()):
        return False
    return not (_is_margin(inked) or _is_margin(inked[:, ::-1]))


def _is_margin(inked: Mask) -> bool:
    """Tell whether all ink of a picture, (h, w), is a band along its left side."""
    width = np.flatnonzero(inked.any(axis=0))[-1] + 1
    return bool(inked[:, 0].mean() > PARAMS.margin and width <= PARAMS.margin_width * inked.shape[1])
