"""A page that the cheap way is not sure of, looked at by the networks: what all of them together say.

A single sign has up to four witnesses: the digit as the classical way cut it out, the digit as the ink network did, and
the line network, which sees the page itself, around either cut. Their scores are averaged; if those around the
classical cut are sure, what the ink network sees closely is not asked for. A number is read by the line network, row by
row; where the classical way cut out as many digits, each is a witness, too. A sign that is none before or after the
digits, such as a currency's, is left out of the number, and a person is asked; one that stands between digits is
guessed to be one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from digitrec.arrays import Ink, PageResult, Scores
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, ModelPackage
from digitrec.recognition import layout, normalize
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
from digitrec.recognition.geometry import (
    Rect,
    bounding_rect,
    crop_rect,
    from_page_coords,
    group_rows,
    line_rect_around,
    to_page_coords,
    widen_line_rect,
)
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import SegmentedCrop, Segmenter
from digitrec.recognition.sequence_recognizer import SequenceRecognizer, add_margin, shear
from digitrec.recognition.zoom import ZoomResult, zoom
from digitrec.types import Reason

_LONG_PAGE_RATIO = 1.3
"""A page at least this many times as wide as high may be one line of writing: ..."""
_MAX_LINE_RATIO = 16.0
"""... its strip is as wide as the page, if that is at most so many times as wide as high: longer ones lose detail."""
_EMPTY = 0.5
"""Nothing is written if the line network gives that at least this probability for every ..."""
_EMPTY_STEPS = 16
"""... so many steps of its strip, and nothing else found ink."""
_DOUBT_AFTER_AGREEMENT = 0.3
"""If the classical way finds as many digits, this share of the line network's doubt about their number is left."""
_LINE_WEIGHT = 0.9
"""What the line network says of a number's digit counts so much, what the classifier says of its cut the rest: alone, a
digit of another school is easily taken for another one or for a letter."""
_SINGLE_VIEW_CONFIDENCE = 0.95
"""A number that is less probable is looked at slanted to either side, and smaller, too."""
_SLANTS = (-0.25, 0.2)
_MARGIN = 0.1
_MAX_NEIGHBOUR_INK = 0.05
"""Ink beside a sign, as a share of its own, up to which it is alone on its page."""
_MIN_RELATIVE_PROBABILITY = 0.1
"""A number of digits alone is preferred to one with other signs, if it is at least this share as probable; and one sign
to several, if the classical way saw one."""
_MIN_PROBABILITY = 1e-12
_NO_INK = np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32)
_NO_SCORES = np.zeros((0, CLASSES), np.float32)


@dataclass(frozen=True, slots=True)
class RecognitionModels:
    """The networks that look at the page itself."""

    segmenter: Segmenter
    recognizer: SequenceRecognizer

    @classmethod
    def load(cls, bundle: ModelPackage) -> Self:
        """Load them from a model folder that has them.

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
    """A page as the second look sees it."""

    page: PageResult
    """As the cheap way read it, with its scores."""
    gray: Plane
    """(h, w), 0..255."""
    plane: Plane
    """Its ink by the classical way, (h, w)."""
    rects: tuple[Rect, ...]
    """Where the classical way found digits, in pixels of the gray plane."""


@dataclass(frozen=True, slots=True, eq=False)
class LineReading:
    """A strip of the page, in pixels of its gray plane, and what the line network says of it."""

    strip: Rect
    step_px: float
    line: DecodedLine


@dataclass(frozen=True, slots=True, eq=False)
class FullPathResult:
    """What the networks saw on a page, and what came of it."""

    page: PageResult
    """As read again."""
    lines: tuple[LineReading, ...]
    """One for each row."""
    crop: SegmentedCrop | None = None
    """Where the ink network looked closely; None if it found nothing, or that counts for nothing here."""
    predictions: tuple[Prediction, ...] = ()
    """Of a single sign; none if there are several."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Digits side by side: where each is, how it looks, (n, 28, 28), and what it may be, (n, 11)."""

    rects: Sequence[Rect]
    ink: Ink
    scores: Scores
    layout_confidence: float
    """Probability that there are so many digits, and where they are."""
    has_others: bool = False
    """Signs that are no digits stand among them, and were left out."""


def run_full_path(
    page: PageResult,
    gray: Plane,
    plane: Plane,
    classifier: DigitClassifier,
    networks: RecognitionModels,
    close: ZoomResult | None = None,
    *,
    use_all_models: bool = False,
) -> FullPathResult:
    """Read a page again, with all there is.

    Args:
        page: as the cheap way read it, with its scores.
        gray: the page, (h, w), 0..255.
        plane: its ink by the classical way, (h, w).
        classifier: of single digits.
        networks: that look at the page.
        close: what was seen closely of its main sign, if it was looked at before.
        use_all_models: ask all witnesses of a single sign, even if the first two are sure.
    """
    sight = PageContext(page, gray, plane, tuple(from_page_coords(box, page, gray) for box in page.boxes))
    rows = group_rows(sight.rects) or [[]]
    lines = [_read_line(sight, row, networks.recognizer, is_only=len(rows) == 1) for row in rows]
    if len(lines) == 1 and len(lines[0].line.text) < 2:
        return _read_single(sight, lines[0], classifier, networks, close, use_all_models=use_all_models)
    if len(lines) == 1 and len(sight.rects) == 1:
        share = _p_single_if_likely(lines[0])
        if share is not None:
            return _read_single(sight, lines[0], classifier, networks, close, share_of_one=share, use_all_models=True)
    numbers = [_read_number(sight, row, line) for row, line in zip(rows, lines, strict=True)]
    # What the classical way left out was read all the same, if it stands in the strip.
    reason = None if len(lines) == 1 and lines[0].strip.width >= gray.shape[1] else _layout_reason(sight)
    return FullPathResult(_merge_rows(sight, numbers, reason), tuple(lines))


def _layout_reason(sight: PageContext) -> Reason | None:
    """Whether the classical way left something out that no network was asked about."""
    is_all = sight.page.reason is None or layout.group_digits(sight.plane).is_complete
    return None if is_all else Reason.AMBIGUOUS_LAYOUT


def _read_line(sight: PageContext, row: Sequence[Rect], network: SequenceRecognizer, *, is_only: bool) -> LineReading:
    """The row as the line network reads it: the strip around it, over the whole width if the page may be one line."""
    height, width = sight.gray.shape
    strip = Rect(0, 0, width, height)
    if row:
        near = line_rect_around(bounding_rect(row), sight.gray)
        is_long = is_only and width >= _LONG_PAGE_RATIO * height and width <= _MAX_LINE_RATIO * near.height
        strip = widen_line_rect(near, sight.gray, sight.plane) if is_long else near
    piece = crop_rect(sight.gray, strip)
    frames, step_px = network.read(piece)
    line, views = decode_ctc(frames), [frames]
    if len(line.text) > 1 and line.probability < _SINGLE_VIEW_CONFIDENCE:
        others = [*(shear(piece, slant) for slant in _SLANTS), add_margin(piece, _MARGIN)]
        views += [network.read(other)[0] for other in others]
        line = decode_ctc(*views)
    if NO_DIGIT in line.text and len(line.text) > 1:
        digits = decode_ctc(*views, only=DIGITS)
        if _has_inner_non_digit(line.text) or digits.probability > _MIN_RELATIVE_PROBABILITY * line.probability:
            line = digits
    return LineReading(strip, step_px, line)


def _has_inner_non_digit(text: Text) -> bool:
    """Whether a sign that is none stands between digits: it is a digit, strangely written."""
    digits = [place for place, sign in enumerate(text) if sign != NO_DIGIT]
    return bool(digits) and NO_DIGIT in text[digits[0] : digits[-1]]


def _p_single_if_likely(read: LineReading) -> float | None:
    """The probability of the line being one sign, if that is not much less likely than what it says; else None.

    Strokes of a digit that are apart look like two digits to the line network, though the classical way saw one.
    """
    chances = p_one_symbol(read.line.frames)
    return float(chances.sum()) if chances.max() >= _MIN_RELATIVE_PROBABILITY * read.line.probability else None


def _read_single(
    sight: PageContext,
    line: LineReading,
    classifier: DigitClassifier,
    networks: RecognitionModels,
    close: ZoomResult | None,
    *,
    share_of_one: float | None = None,
    use_all_models: bool,
) -> FullPathResult:
    """One sign: the mean of what its witnesses say, or of the first two if that is sure. Blank if all see bare paper.

    With `share_of_one` the line network would rather see several: what it says of one counts, and some doubt is left.
    """
    of_one = p_single_digit if share_of_one is None else p_digit_given_one
    # A line of one sign was compared with every other sign already, in all its views.
    is_one = len(line.line.text) == 1
    of_line = append_no_digit(line.line.alternatives[0, :DIGITS]) if is_one else of_one(line.line.frames)
    certainty = 1.0 if share_of_one is None else 1.0 - _DOUBT_AFTER_AGREEMENT * (1.0 - share_of_one)
    witnesses = [Prediction("line network", of_line, line.strip)]
    where, ink = None, None
    if sight.rects:
        where = bounding_rect(sight.rects)
    elif not _is_empty(line.line.frames):
        where = bounding_rect(_symbol_rects(line) or [line.strip])
    if len(sight.rects) == 1:
        ink = sight.page.ink[0]
        witnesses.append(Prediction("classical cut", sight.page.scores[0], ink))
        scores = average(witnesses)
        if not use_all_models and scores[0, :DIGITS].max() >= ENSEMBLE_EXIT_CONFIDENCE and _is_isolated(sight):
            return FullPathResult(replace(sight.page, scores=scores), (line,), None, tuple(witnesses))
    gray = sight.gray
    close = zoom(gray, classifier, networks.segmenter) if close is None else close.on(gray)
    if close is not None and close.rect is not None:
        where = close.rect
        if close.prediction is not None:
            ink, strip = np.asarray(close.prediction.evidence), line_rect_around(where, gray)
            frames, _ = networks.recognizer.read(crop_rect(gray, strip))
            witnesses += [close.prediction, Prediction("line network, closer", of_one(frames), strip)]
    rows = []
    if where is not None:
        ink = _crop_digit(sight, where) if ink is None else ink  # strokes that were taken for several signs
        rows = [_Row([where], ink[None], average(witnesses), certainty)]
    # One sign, clearly: then what the classical way did not know where to put was no ink.
    reason = None if close is not None and close.is_unambiguous else _layout_reason(sight)
    seen = None if close is None else close.crop
    return FullPathResult(_merge_rows(sight, rows, reason), (line,), seen, tuple(witnesses))


def _is_isolated(sight: PageContext) -> bool:
    """Whether the classical way's only sign is in one piece and has nothing beside it: else it may be several."""
    found = layout.group_digits(sight.plane)
    return (
        found.is_unambiguous
        and found.digits[0].pieces == 1
        and found.neighbour_ink_ratio(sight.plane) <= _MAX_NEIGHBOUR_INK
    )


def _is_empty(frames: FrameProbs) -> bool:
    """Whether the line network sees bare paper."""
    nothing = float(sequence_probabilities(frames, [()])[0])
    return bool(nothing >= _EMPTY ** max(1.0, len(frames) / _EMPTY_STEPS))


def _read_number(sight: PageContext, row: Sequence[Rect], read: LineReading) -> _Row:
    """Several signs: as the line network reads them, and each as it was cut out, where that gives as many."""
    line = read.line
    if not line.text:  # the classical way cut out something there
        own = [sight.rects.index(span) for span in row]
        return _Row(
            (),
            _NO_INK,
            _NO_SCORES,
            (line.probability + float(sight.page.scores[own, NO_DIGIT].prod())) / 2,
        )
    chances = np.maximum(line.alternatives, _MIN_PROBABILITY)  # (n, 11)
    scores = chances / chances.sum(axis=1, keepdims=True)
    certainty = min(1.0, line.probability / float(np.prod(scores[np.arange(len(line.text)), line.text])))
    spans = _symbol_rects(read)
    if len(row) == len(line.text):
        own = [sight.rects.index(span) for span in row]
        spans = list(row)
        scores = _LINE_WEIGHT * scores + (1 - _LINE_WEIGHT) * sight.page.scores[own]
        certainty = 1 - _DOUBT_AFTER_AGREEMENT * (1 - certainty)
    kept = [place for place, sign in enumerate(line.text) if sign != NO_DIGIT] or list(range(len(line.text)))[:1]
    spans = [spans[place] for place in kept]
    ink = np.stack([_crop_digit(sight, span) for span in spans])
    return _Row(spans, ink, scores[kept].astype(np.float32), certainty, has_others=len(kept) < len(line.text))


def _symbol_rects(read: LineReading) -> list[Rect]:
    """Where the signs of a line stand: between them, half-way from one to the next."""
    middles = read.strip.left + (read.line.steps + 0.5) * read.step_px
    half = 0.45 * read.strip.height
    edges = (middles[1:] + middles[:-1]) / 2
    lefts = np.maximum(np.append(-np.inf, edges), middles - half)
    rights = np.minimum(np.append(edges, np.inf), middles + half)
    return [Rect(left, read.strip.top, right, read.strip.bottom) for left, right in zip(lefts, rights, strict=True)]


def _crop_digit(sight: PageContext, span: Rect) -> Plane:
    """The ink of one digit of a number, 28 x 28: for people to look at."""
    across, down = sight.plane.shape[1] / sight.gray.shape[1], sight.plane.shape[0] / sight.gray.shape[0]
    top, bottom = max(0, int(span.top * down)), max(1, int(np.ceil(span.bottom * down)))
    left, right = max(0, int(span.left * across)), max(1, int(np.ceil(span.right * across)))
    return normalize.normalize_mnist(sight.plane[top:bottom, left:right])


def _merge_rows(sight: PageContext, rows: list[_Row], reason: Reason | None) -> PageResult:
    """The page, read again: blank only if the classical way found nothing, either."""
    certainty = float(np.prod([row.layout_confidence for row in rows]))  # that a row is empty may be in doubt, too
    rows = [row for row in rows if row.rects]
    page = sight.page
    if not rows and page.boxes:
        return replace(page, layout_confidence=certainty, reason=Reason.NOT_A_DIGIT)
    if not rows:
        return replace(page, boxes=(), ink=_NO_INK, scores=_NO_SCORES, reason=Reason.BLANK)
    return replace(
        page,
        boxes=tuple(to_page_coords(span, page, sight.gray) for row in rows for span in row.rects),
        ink=np.concatenate([row.ink for row in rows]),
        scores=np.concatenate([row.scores for row in rows]),
        layout_confidence=certainty,
        reason=Reason.NOT_A_DIGIT if any(row.has_others for row in rows) else reason,
    )
