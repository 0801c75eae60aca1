"""Page path: read everything on a page, from the sheet to the numbers.

The sheet is found and its surroundings painted out, then the ink, then rules, which are painted out for all models.
The components of the ink are classed by height, grouped to text lines and these to numbers. A page's only character is
read by all models, every number by the sequence recognizer and each of its characters by the classifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.arrays import NumberSpan, PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition import normalize
from digitrec.recognition.characters import ClassedComponents, class_components
from digitrec.recognition.classifier import CLASSES, DigitClassifier
from digitrec.recognition.ensemble import Prediction
from digitrec.recognition.geometry import Rect, bounding_rect, rect_to_box, to_pixels
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.number_reader import ReadNumber, is_mark, read_number
from digitrec.recognition.page_ink import PageInk, find_page_ink
from digitrec.recognition.preprocess import Mask
from digitrec.recognition.single_reader import SingleReading, read_crop, read_only
from digitrec.recognition.text_lines import TextNumber, find_numbers
from digitrec.recognition.zoom import ZoomResult
from digitrec.types import Reason

_DOUBTFUL_FACTOR = 0.7
"""Factor for the confidence of a number whose limits are not clear, or that the edge of the picture may cut."""
_CROP_SHARE = 0.5
"""Height of a character, as a share of the picture's, from which it is a crop: it touches the edge, but is whole."""
_SHARED = 0.5
"""Part of a number's box that another number's covers from which both are in doubt."""
_NO_INK = np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32)
_NO_SCORES = np.zeros((0, CLASSES), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class PageTrace:
    """The steps in which a page was read by the page path."""

    ink: PageInk
    classed: ClassedComponents
    layout: tuple[TextNumber, ...]
    """The numbers that were found, those that turned out to be no numbers left out."""
    numbers: tuple[ReadNumber, ...]
    """What was read, one for each of them."""
    predictions: tuple[Prediction, ...] = ()
    """Predictions for the only character of a page; empty if there are several."""
    zoomed: ZoomResult | None = None
    is_sample: bool = False
    """Only some of the page's numbers were read."""


def read_page(
    format_name: str,
    sheet: DecodedPage,
    picture: Picture,
    classifier: DigitClassifier,
    models: RecognitionModels | None,
    margins: Mask | None = None,
    most: int | None = None,
) -> tuple[PageResult, PageTrace]:
    """Read all numbers of a page, or a sample of them.

    Args:
        format_name: of the file.
        sheet: the page.
        picture: its picture, (h, w) or (h, w, 3).
        classifier: of single digits.
        models: segmenter and sequence recognizer; None: every character is read by the classifier alone.
        margins: what is around the sheet, of the same shape as the picture; None: it is searched.
        most: largest number of numbers that are read, evenly chosen; None: all.
    """
    page = find_page_ink(picture, sheet.decode_larger, margins)
    classed = class_components(page.ink, page.margins)
    found = find_numbers(classed, page.rules)
    layout = found if most is None or len(found) <= most else _sample(found, most)
    is_sample = len(layout) < len(found)
    single = None if models is None else read_only(found, page, classed, classifier, models)
    if single is not None:
        return _make_result(format_name, sheet, _trace_single(single, page, classed))
    recognizer = None if models is None else models.recognizer
    numbers = [read_number(number, page, classed, classifier, recognizer) for number in layout]
    single = None if models is None or is_sample else read_crop(numbers, page, classifier, models)
    if single is not None:
        return _make_result(format_name, sheet, _trace_single(single, page, classed))
    chosen = [index for index, number in enumerate(numbers) if not is_mark(number)] or range(len(numbers))
    trace = PageTrace(
        page,
        classed,
        tuple(layout[index] for index in chosen),
        tuple(numbers[index] for index in chosen),
        is_sample=is_sample,
    )
    return _make_result(format_name, sheet, trace)


def _sample(numbers: Sequence[TextNumber], count: int) -> list[TextNumber]:
    """Return so many of the numbers, evenly chosen in reading order."""
    return [numbers[index] for index in np.linspace(0, len(numbers) - 1, count).round().astype(int).tolist()]


def _trace_single(single: SingleReading, page: PageInk, classed: ClassedComponents) -> PageTrace:
    """Return the trace of a page's only character; its number in the layout has a place, but no components."""
    number = TextNumber((), 1, 1, 0.0)
    return PageTrace(page, classed, (number,), (single.number,), single.predictions, single.zoomed)


def _make_result(format_name: str, sheet: DecodedPage, trace: PageTrace) -> tuple[PageResult, PageTrace]:
    """Return the result of a page with its trace; boxes are in pixels of the page."""
    numbers = trace.numbers
    rows, columns = trace.ink.ink.shape
    scale = sheet.width / columns, sheet.height / rows
    result = PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(rect_to_box(rect, scale, sheet) for number in numbers for rect in number.rects),
        ink=np.concatenate([_NO_INK, *(number.ink for number in numbers)]),
        preview=trace.ink.preview,
        reason=(Reason.OTHER_MARKS if trace.ink.has_marks_around else None) if numbers else Reason.BLANK,
        scores=np.concatenate([_NO_SCORES, *(number.scores for number in numbers)]),
        numbers=tuple(_spans(trace.layout, numbers, trace.ink)),
        sign_boxes=tuple(rect_to_box(rect, scale, sheet) for number in numbers for rect in number.sign_rects),
    )
    return result, trace


def _spans(layout: Sequence[TextNumber], numbers: Sequence[ReadNumber], page: PageInk) -> list[NumberSpan]:
    """Return the spans of the numbers, one after the other, each with its place and layout confidence."""
    spans, start = [], 0
    overlaps = _find_overlaps([bounding_rect(number.rects) for number in numbers])
    for place, number, is_overlapped in zip(layout, numbers, overlaps, strict=True):
        stop = start + len(number.rects)
        reason = Reason.OTHER_MARKS if number.has_others else None
        is_doubtful = not place.is_clear or is_overlapped or _is_cut(number.rects, page)
        confidence = number.layout_confidence * (_DOUBTFUL_FACTOR if is_doubtful else 1.0)
        spans.append(
            NumberSpan(start, stop, place.line, place.column, confidence, reason, number.signs, not is_doubtful)
        )
        start = stop
    return spans


def _find_overlaps(boxes: Sequence[Rect]) -> list[bool]:
    """Tell which numbers share half of their own or another's box: a frame was joined with writing, or read as it."""
    if len(boxes) < 2:
        return [False] * len(boxes)
    left, top, right, bottom = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes], np.float32).T
    width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    shared = np.maximum(width, 0) * np.maximum(height, 0)  # (n, n)
    np.fill_diagonal(shared, 0)
    area = np.diag(width) * np.diag(height)
    overlapped: list[bool] = (shared > _SHARED * np.minimum(area[:, None], area)).any(axis=1).tolist()
    return overlapped


def _is_cut(rects: Sequence[Rect], page: PageInk) -> bool:
    """Tell whether a number may be cut: by the edge of the picture, unless it is a crop, or by the sheet's edge."""
    rows, columns = page.ink.shape
    for left, top, right, bottom in (to_pixels(rect, columns, rows) for rect in rects):
        if page.margins is not None and page.margins[top:bottom, left:right].any():
            return True
    return any(
        (rect.left <= 1 or rect.top <= 1 or rect.right >= columns - 1 or rect.bottom >= rows - 1)
        and rect.height < _CROP_SHARE * rows
        for rect in rects
    )
