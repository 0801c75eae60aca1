"""Find the ink of a page: without the background around the sheet, and without rules."""

from dataclasses import dataclass

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.recognition.binarize import find_thresholds, suppress_grid
from digitrec.recognition.components import label_components
from digitrec.recognition.preprocess import GrayPage, Mask, Plane, downscale, normalized_page
from digitrec.recognition.rules import Rules, find_rules, paint_rules
from digitrec.recognition.sheet import find_margins, paint_margins


@dataclass(frozen=True, slots=True, eq=False)
class PageInk:
    """Ink of a page and what was painted out; all planes are (h, w)."""

    gray: Plane
    """The page, dark on light, 0..255, rules and margins painted out with the paper's level."""
    unpainted: Plane
    """The same with its rules."""
    ink: Plane
    """0.0 = paper, 1.0 = ink."""
    height: float
    """Median height of its components, pixels."""
    margins: Mask | None
    rules: Rules | None
    preview: Picture


def find_page_ink(picture: Picture, work_px: int = 1024, weights: Plane | None = None) -> PageInk:
    page = GrayPage.of(picture, work_px, weights)
    gray, small = page.gray, page.small
    margins = find_margins(gray)
    if margins is not None:
        gray = paint_margins(gray, margins)
        small = downscale(gray, max(small.shape))
    gray, paper, contrast = normalized_page(GrayPage(gray, small, page.preview))
    side = min(contrast.shape)
    sigma = min(1.5, side / 300) if side > 120 else 0.0
    raw = contrast
    contrast = cv2.GaussianBlur(raw, (0, 0), sigma) if sigma else raw
    levels = find_thresholds(contrast)
    if levels is None:
        return PageInk(gray, gray, np.zeros_like(contrast), 0.0, margins, None, page.preview)
    height = text_height(contrast > levels.at(0.22))
    if max(picture.shape) > work_px and height < 24 and work_px == 1024:
        return find_page_ink(picture, min(3000, round(work_px * 32 / height)))
    if 6 * height < max(gray.shape):
        paper = _local_paper(gray, height)
        raw = np.subtract(1, np.divide(gray, paper))
        sigma = min(sigma, 0.03 * height)
        contrast = cv2.GaussianBlur(raw, (0, 0), sigma) if sigma > 0.3 else raw
        levels = find_thresholds(contrast)
        if levels is None:
            return PageInk(gray, gray, np.zeros_like(contrast), 0.0, margins, None, page.preview)
    elif sigma > 0.03 * height:
        sigma = 0.03 * height
        contrast = cv2.GaussianBlur(raw, (0, 0), sigma) if sigma > 0.3 else raw
        levels = find_thresholds(contrast)
        if levels is None:
            return PageInk(gray, gray, np.zeros_like(contrast), 0.0, margins, None, page.preview)
    unpainted = gray
    rules = find_rules(contrast > levels.at(0.12), height)
    if rules is not None:
        if weights is None and picture.ndim == 3:
            weights = _pale_rule_channel(picture, contrast > levels.at(0.5), rules.mask)
            if weights is not None:
                return find_page_ink(picture, max(gray.shape), weights)
        written = contrast[(contrast > levels.at(0.5)) & ~rules.mask]
        own = float(np.median(written)) if written.size else levels.ink
        clear = paint_rules(contrast, rules, own)
        gray = gray + (contrast - clear) * paper
        again = find_thresholds(clear)
        contrast = clear
        if again is None:
            return PageInk(gray, gray, np.zeros_like(contrast), 0.0, margins, rules, page.preview)
        levels = again
    levels = suppress_grid(contrast, levels)
    ink = np.clip((contrast - np.float32(levels.paper)) / np.float32(levels.ink - levels.paper), 0, 1)
    return PageInk(gray, unpainted, np.asarray(ink, np.float32), height, margins, rules, page.preview)


def _pale_rule_channel(picture: Picture, inked: Mask, rules: Mask) -> Plane | None:
    """Return the weights of the channel in which rules are pale against the writing; None if there is none.

    Args:
        picture: (h, w, 3).
        inked: ink of the page in another size, (h, w).
        rules: its rules, (h, w).
    """
    written = inked & ~rules
    printed = inked & rules
    if not written.any() or not printed.any():
        return None
    rows, columns = inked.shape
    levels = np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    bare = ~(inked | rules)
    paper = np.median(levels[bare], axis=0)
    drop = np.stack([paper - np.median(levels[mask], axis=0) for mask in (printed, written)])  # (2, 3)
    ratios = np.where(drop[1] > 0.3 * np.abs(drop[1]).max(), drop[0] / np.maximum(drop[1], 1e-6), np.inf)
    best = int(np.argmin(ratios))
    if ratios[best] > 0.5 or ratios[best] > 0.6 * float(np.median(ratios)):
        return None
    return np.eye(3, dtype=np.float32)[best : best + 1]


def _local_paper(gray: Plane, height: float) -> Plane:
    """Return the level of the paper next to each pixel: strokes as wide as those of characters are closed."""
    scale = min(1.0, 20 / height)
    small = downscale(gray, max(1, round(scale * max(gray.shape))))
    small = cv2.medianBlur(cv2.convertScaleAbs(small), 3)
    side = max(3, round(1.0 * height * scale) | 1)
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    soft = cv2.blur(np.maximum(closed, 1).astype(np.float32), (side | 1, side | 1), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, gray.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def text_height(inked: Mask) -> float:
    """Return the median height of components that could be characters, weighted by their height; pixels."""
    rows, columns = inked.shape
    boxes = label_components(inked).boxes[1:]
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    at_edge = (boxes[:, 0] <= 1) | (boxes[:, 1] <= 1) | (boxes[:, 2] >= columns - 1) | (boxes[:, 3] >= rows - 1)
    could_be = (heights >= 6) & (widths < 9 * heights) & (heights < 8 * widths)
    weights = heights.astype(np.float64) ** 2 * could_be
    if weights[at_edge & (heights < 0.9 * rows)].sum() < 4 * weights[~at_edge].sum():
        weights[at_edge] = 0
    weights[heights >= 0.9 * rows] = 0
    is_large = np.maximum(widths / columns, heights / rows) > 0.5
    if np.count_nonzero(weights[~is_large & (heights >= 12)]) >= 4:
        weights[is_large] = 0
    if weights.any():
        order = np.argsort(heights)
        cumulated = np.cumsum(weights[order])
        return float(heights[order][np.searchsorted(cumulated, cumulated[-1] / 2)])
    return 0.5 * min(rows, columns)
