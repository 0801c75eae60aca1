"""Full path: read a page again with all models, if the fast path or classical segmentation is not confident enough.

A page with one character gets up to four predictions: the classifier's on the digit as classical segmentation and as
the segmenter cropped it, and the sequence recognizer's on the line around either crop. Their scores are averaged; if
those for the classical crop are confident enough, the zoom is not run. A number is read by the sequence recognizer,
text line by text line; where classical segmentation found as many digits, the classifier's scores are averaged in. A
non-digit before or after the digits, such as a currency symbol, is left out and the page needs review; a non-digit
between digits is assumed to be a digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from digitrec.arrays import Ink, PageResult, Scores
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, ModelPackage
from digitrec.recognition import geometry, layout, normalize
from digitrec.recognition.classifier import CLASSES, DIGITS, NO_DIGIT, DigitClassifier
from digitrec.recognition.ctc import DecodedLine, FrameProbs, Text, decode_ctc, sequence_probabilities
from digitrec.recognition.ensemble import (
    ENSEMBLE_EXIT_CONFIDENCE,
    Prediction,
    append_no_digit,
    average,
    p_digit_given_one,
    p_one_symbol,
    p_single_digit,
)
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import SegmentedCrop, Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer, add_margin, shear
from digitrec.recognition.zoom import ZoomResult, zoom
from digitrec.types import Reason

_LONG_PAGE_RATIO = 1.3
"""Width over height from which a page may be one line of writing, so that its line crop is as wide as the page."""
_MAX_LINE_RATIO = 16.0
"""Largest width over height of such a line crop; longer ones lose detail."""
_EMPTY = 0.5
"""A line is empty if the sequence recognizer gives the empty text at least this probability for every `_EMPTY_STEPS`
frames, and no other model found ink."""
_EMPTY_STEPS = 16
"""Frames, see `_EMPTY`."""
_DOUBT_AFTER_AGREEMENT = 0.3
"""Factor for the sequence recognizer's doubt about a number, if classical segmentation finds as many digits."""
_LINE_WEIGHT = 0.9
"""Weight of the sequence recognizer's scores for a digit of a number; the classifier's scores get the rest. Without
the line, a regional variant of a digit is easily taken for another digit or for a letter."""
_SINGLE_VIEW_CONFIDENCE = 0.95
"""A number with a lower probability is also read sheared to either side, and smaller."""
_SLANTS = (-0.25, 0.2)
_MARGIN = 0.1
_MAX_NEIGHBOUR_INK = 0.05
"""Most ink next to an isolated character, as a share of the character's own."""
_MIN_RELATIVE_PROBABILITY = 0.1
"""A number of digits only is preferred to one with non-digits if it has at least this share of its probability; so is
one character to several, if classical segmentation found one."""
_MIN_PROBABILITY = 1e-12
_NO_INK = np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32)
_NO_SCORES = np.zeros((0, CLASSES), np.float32)


@dataclass(frozen=True, slots=True)
class RecognitionModels:
    """Models whose input is the page itself."""

    segmenter: Segmenter
    recognizer: SequenceRecognizer

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load the models from a model folder that has them.

        Raises:
            ModelError: one cannot be run.
        """
        name = bundle.card.id
        return cls(
            Segmenter(bundle.read_file(INK_TFLITE), f"{INK_TFLITE} of {name}"),
            SequenceRecognizer(bundle.read_file(LINE_TFLITE), f"{LINE_TFLITE} of {name}"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PageContext:
    """A page and its earlier result, as input of the full path."""

    page: PageResult
    """Earlier result, with its scores."""
    gray: Plane
    """(h, w), 0..255."""
    plane: Plane
    """Ink by classical segmentation, (h, w)."""
    rects: tuple[Rect, ...]
    """Digits of the earlier result, in pixels of the gray page."""


@dataclass(frozen=True, slots=True, eq=False)
class LineReading:
    """A line crop, in pixels of the gray page, and the text decoded from it."""

    strip: Rect
    step_px: float
    line: DecodedLine


@dataclass(frozen=True, slots=True, eq=False)
class FullPathResult:
    """A page as read by all models, and their intermediate results."""

    page: PageResult
    """New result."""
    lines: tuple[LineReading, ...]
    """One for each text line."""
    crop: SegmentedCrop | None = None
    """The zoomed crop; None if the zoom was not used."""
    predictions: tuple[Prediction, ...] = ()
    """Predictions for a single character; empty if there are several."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Digits of one text line: rectangles, images, (n, 28, 28), and scores, (n, 11)."""

    rects: Sequence[Rect]
    ink: Ink
    scores: Scores
    layout_confidence: float
    """Probability that the number of digits and their positions are right."""
    has_others: bool = False
    """Non-digits stand among the digits, and were left out."""


def run_full_path(
    page: PageResult,
    gray: Plane,
    plane: Plane,
    classifier: DigitClassifier,
    models: RecognitionModels,
    zoomed: ZoomResult | None = None,
    *,
    use_all_models: bool = False,
) -> FullPathResult:
    """Read a page again with all models.

    Args:
        page: earlier result, with its scores.
        gray: the page, (h, w), 0..255.
        plane: its ink by classical segmentation, (h, w).
        classifier: of single digits.
        models: segmenter and sequence recognizer.
        zoomed: the zoom on its main character, if it was made before.
        use_all_models: get all predictions for a single character, even if the first two are confident.
    """
    context = PageContext(page, gray, plane, tuple(geometry.from_page_coords(box, page, gray) for box in page.boxes))
    rows = geometry.group_rows(context.rects) or [[]]
    lines = [_read_line(context, row, models.recognizer, is_only=len(rows) == 1) for row in rows]
    if len(lines) == 1 and len(lines[0].line.text) < 2:
        return _read_single(context, lines[0], classifier, models, zoomed, use_all_models=use_all_models)
    if len(lines) == 1 and len(context.rects) == 1:
        p_one = _p_single_if_likely(lines[0])
        if p_one is not None:
            return _read_single(context, lines[0], classifier, models, zoomed, p_one=p_one, use_all_models=True)
    numbers = [_read_number(context, row, line) for row, line in zip(rows, lines, strict=True)]
    # A line crop over the whole width holds the components that classical segmentation left out.
    reason = None if len(lines) == 1 and lines[0].strip.width >= gray.shape[1] else _layout_reason(context)
    return FullPathResult(_merge_rows(context, numbers, reason), tuple(lines))


def _layout_reason(context: PageContext) -> Reason | None:
    """Return `ambiguous_layout` if classical segmentation left out a component that no model read."""
    is_complete = context.page.reason is None or layout.group_digits(context.plane).is_complete
    return None if is_complete else Reason.AMBIGUOUS_LAYOUT


def _read_line(
    context: PageContext, row: Sequence[Rect], recognizer: SequenceRecognizer, *, is_only: bool
) -> LineReading:
    """Read the line crop around a row, over the whole width if the page may be one line."""
    height, width = context.gray.shape
    rect = Rect(0, 0, width, height)
    if row:
        near = geometry.line_rect_around(geometry.bounding_rect(row), context.gray)
        is_long = is_only and width >= _LONG_PAGE_RATIO * height and width <= _MAX_LINE_RATIO * near.height
        rect = geometry.widen_line_rect(near, context.gray, context.plane) if is_long else near
    crop = geometry.crop_rect(context.gray, rect)
    frames, step_px = recognizer.read(crop)
    line, views = decode_ctc(frames), [frames]
    if len(line.text) > 1 and line.probability < _SINGLE_VIEW_CONFIDENCE:
        variants = [*(shear(crop, slant) for slant in _SLANTS), add_margin(crop, _MARGIN)]
        views += [recognizer.read(variant)[0] for variant in variants]
        line = decode_ctc(*views)
    if NO_DIGIT in line.text and len(line.text) > 1:
        digits = decode_ctc(*views, only=DIGITS)
        if _has_inner_non_digit(line.text) or digits.probability > _MIN_RELATIVE_PROBABILITY * line.probability:
            line = digits
    return LineReading(rect, step_px, line)


def _has_inner_non_digit(text: Text) -> bool:
    """Return True if a non-digit stands between digits; it is assumed to be an unusual form of a digit."""
    digits = [index for index, symbol in enumerate(text) if symbol != NO_DIGIT]
    return bool(digits) and NO_DIGIT in text[digits[0] : digits[-1]]


def _p_single_if_likely(reading: LineReading) -> float | None:
    """Return the probability that the line is one symbol, if that is not much less likely than its text; else None.

    Strokes of a digit that do not touch look like two digits to the sequence recognizer, though classical segmentation
    found one.
    """
    probabilities = p_one_symbol(reading.line.frames)
    is_likely = probabilities.max() >= _MIN_RELATIVE_PROBABILITY * reading.line.probability
    return float(probabilities.sum()) if is_likely else None


def _read_single(
    context: PageContext,
    reading: LineReading,
    classifier: DigitClassifier,
    models: RecognitionModels,
    zoomed: ZoomResult | None,
    *,
    p_one: float | None = None,
    use_all_models: bool,
) -> FullPathResult:
    """Average the predictions for one character, only the first two if they are confident; blank if all find no ink.

    With `p_one` the sequence recognizer prefers several symbols: its scores given one symbol are used, and the layout
    confidence is lower.
    """
    line_scores_of = p_single_digit if p_one is None else p_digit_given_one
    # A line of one symbol was compared with every other symbol already, in all its views.
    is_one = len(reading.line.text) == 1
    line_scores = (
        append_no_digit(reading.line.alternatives[0, :DIGITS]) if is_one else line_scores_of(reading.line.frames)
    )
    confidence = 1.0 if p_one is None else 1.0 - _DOUBT_AFTER_AGREEMENT * (1.0 - p_one)
    predictions = [Prediction("sequence recognizer", line_scores, reading.strip)]
    rect, ink = None, None
    if context.rects:
        rect = geometry.bounding_rect(context.rects)
    elif not _is_empty(reading.line.frames):
        rect = geometry.bounding_rect(_symbol_rects(reading) or [reading.strip])
    if len(context.rects) == 1:
        ink = context.page.ink[0]
        predictions.append(Prediction("classifier on the classical crop", context.page.scores[0], ink))
        scores = average(predictions)
        is_confident = scores[0, :DIGITS].max() >= ENSEMBLE_EXIT_CONFIDENCE
        if not use_all_models and is_confident and _is_isolated(context):
            return FullPathResult(replace(context.page, scores=scores), (reading,), None, tuple(predictions))
    gray = context.gray
    zoomed = zoom(gray, classifier, models.segmenter) if zoomed is None else zoomed.on(gray)
    if zoomed is not None and zoomed.rect is not None:
        rect = zoomed.rect
        if zoomed.prediction is not None:
            ink, line_rect = np.asarray(zoomed.prediction.evidence), geometry.line_rect_around(rect, gray)
            frames, _ = models.recognizer.read(geometry.crop_rect(gray, line_rect))
            predictions += [
                zoomed.prediction,
                Prediction("sequence recognizer, zoomed", line_scores_of(frames), line_rect),
            ]
    rows = []
    if rect is not None:
        ink = _crop_digit(context, rect) if ink is None else ink  # strokes that were taken for several characters
        rows = [_Row([rect], ink[None], average(predictions), confidence)]
    # With one unambiguous character, components that classical segmentation left out are no ink.
    reason = None if zoomed is not None and zoomed.is_unambiguous else _layout_reason(context)
    crop = None if zoomed is None else zoomed.crop
    return FullPathResult(_merge_rows(context, rows, reason), (reading,), crop, tuple(predictions))


def _is_isolated(context: PageContext) -> bool:
    """Return True if the only classical character is one component with no ink next to it; else it may be several."""
    result = layout.group_digits(context.plane)
    is_single = result.is_unambiguous and result.digits[0].pieces == 1
    return is_single and result.neighbour_ink_ratio(context.plane) <= _MAX_NEIGHBOUR_INK


def _is_empty(frames: FrameProbs) -> bool:
    """Return True if the sequence recognizer reads an empty line."""
    p_empty = float(sequence_probabilities(frames, [()])[0])
    return bool(p_empty >= _EMPTY ** max(1.0, len(frames) / _EMPTY_STEPS))


def _read_number(context: PageContext, row: Sequence[Rect], reading: LineReading) -> _Row:
    """Combine the sequence recognizer's text with the classifier's scores, if both have the same number of digits."""
    line = reading.line
    if not line.text:  # classical segmentation found components there
        indices = [context.rects.index(rect) for rect in row]
        confidence = (line.probability + float(context.page.scores[indices, NO_DIGIT].prod())) / 2
        return _Row((), _NO_INK, _NO_SCORES, confidence)
    probabilities = np.maximum(line.alternatives, _MIN_PROBABILITY)  # (n, 11)
    scores = probabilities / probabilities.sum(axis=1, keepdims=True)
    confidence = min(1.0, line.probability / float(np.prod(scores[np.arange(len(line.text)), line.text])))
    rects = _symbol_rects(reading)
    if len(row) == len(line.text):
        indices = [context.rects.index(rect) for rect in row]
        rects = list(row)
        scores = _LINE_WEIGHT * scores + (1 - _LINE_WEIGHT) * context.page.scores[indices]
        confidence = 1 - _DOUBT_AFTER_AGREEMENT * (1 - confidence)
    digits = [index for index, symbol in enumerate(line.text) if symbol != NO_DIGIT] or list(range(len(line.text)))[:1]
    rects = [rects[index] for index in digits]
    ink = np.stack([_crop_digit(context, rect) for rect in rects])
    has_others = len(digits) < len(line.text)
    return _Row(rects, ink, scores[digits].astype(np.float32), confidence, has_others=has_others)


def _symbol_rects(reading: LineReading) -> list[Rect]:
    """Return a rectangle for each symbol of a line; the borders are half-way between neighbours."""
    strip = reading.strip
    middles = strip.left + (reading.line.steps + 0.5) * reading.step_px
    half = 0.45 * strip.height
    edges = (middles[1:] + middles[:-1]) / 2
    lefts = np.maximum(np.append(-np.inf, edges), middles - half)
    rights = np.minimum(np.append(edges, np.inf), middles + half)
    return [Rect(left, strip.top, right, strip.bottom) for left, right in zip(lefts, rights, strict=True)]


def _crop_digit(context: PageContext, rect: Rect) -> Plane:
    """Crop the ink of one digit of a number, 28 x 28, for display."""
    plane, gray = context.plane, context.gray
    across, down = plane.shape[1] / gray.shape[1], plane.shape[0] / gray.shape[0]
    top, bottom = max(0, int(rect.top * down)), max(1, int(np.ceil(rect.bottom * down)))
    left, right = max(0, int(rect.left * across)), max(1, int(np.ceil(rect.right * across)))
    return normalize.normalize_mnist(plane[top:bottom, left:right])


def _merge_rows(context: PageContext, rows: list[_Row], reason: Reason | None) -> PageResult:
    """Return the new result of the page; it is blank only if classical segmentation found nothing, either."""
    confidence = float(np.prod([row.layout_confidence for row in rows]))  # of empty rows, too
    rows = [row for row in rows if row.rects]
    page = context.page
    if not rows and page.boxes:
        return replace(page, layout_confidence=confidence, reason=Reason.NOT_A_DIGIT)
    if not rows:
        return replace(page, numbers=(), boxes=(), ink=_NO_INK, scores=_NO_SCORES, reason=Reason.BLANK)
    return replace(
        page,
        numbers=(),
        boxes=tuple(geometry.to_page_coords(rect, page, context.gray) for row in rows for rect in row.rects),
        ink=np.concatenate([row.ink for row in rows]),
        scores=np.concatenate([row.scores for row in rows]),
        layout_confidence=confidence,
        reason=Reason.NOT_A_DIGIT if any(row.has_others for row in rows) else reason,
    )
