"""Page path: everything on a page, from the sheet to the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digitrec.arrays import NumberSpan, PageResult, Picture
from digitrec.images.decode import DecodedPage
from digitrec.recognition import normalize
from digitrec.recognition.characters import ClassedComponents, class_components
from digitrec.recognition.classifier import CLASSES, DIGITS, DigitClassifier
from digitrec.recognition.components import Component
from digitrec.recognition.ensemble import Prediction, append_no_digit, average, p_one_symbol
from digitrec.recognition.geometry import crop_rect, line_rect_around, rect_to_box
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.number_reader import ReadNumber, crop_character, is_mark, read_number, read_strip, to_rect
from digitrec.recognition.page_ink import PageInk, find_page_ink
from digitrec.recognition.single_reader import read_single
from digitrec.recognition.text_lines import TextNumber, find_numbers
from digitrec.recognition.zoom import ZoomResult, zoom
from digitrec.types import Reason

FAST_EXIT_CONFIDENCE = 0.99
LONE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PageTrace:
    """The steps in which a page was read by the page path."""

    ink: PageInk
    classed: ClassedComponents
    layout: tuple[TextNumber, ...]
    numbers: tuple[ReadNumber, ...]
    predictions: tuple[Prediction, ...] = ()
    zoomed: ZoomResult | None = None


def read_page(
    format_name: str,
    sheet: DecodedPage,
    picture: Picture,
    classifier: DigitClassifier,
    models: RecognitionModels | None,
) -> tuple[PageResult, PageTrace]:
    """Read all numbers of a page; without models only with the classifier."""
    page = find_page_ink(picture)
    classed = class_components(page.ink, page.margins)
    layout = find_numbers(classed, page.rules)
    predictions: tuple[Prediction, ...] = ()
    zoomed = None
    numbers: list[ReadNumber] = []
    if models is not None and len(layout) <= 1:
        single, predictions, zoomed = _read_only(layout, page, classed, classifier, models)
        if single is not None:
            numbers = [single]
            layout = layout or [TextNumber((), 1, 1, 0.0)]
    if not numbers:
        recognizer = None if models is None else models.recognizer
        numbers = [read_number(number, page, classed, classifier, recognizer) for number in layout]
        kept = [index for index, read in enumerate(numbers) if not is_mark(read)] or range(len(numbers))
        numbers, layout = [numbers[index] for index in kept], [layout[index] for index in kept]
        single = None if models is None else _zoom_crop(page, numbers, classifier, models)
        if single is not None:
            numbers, predictions, zoomed = [single[0]], single[1], single[2]
            layout = [TextNumber((), 1, 1, 0.0)]
    spans, start = [], 0
    for number, read in zip(layout, numbers, strict=True):
        stop = start + len(read.rects)
        reason = Reason.NOT_A_DIGIT if read.has_others else None
        spans.append(NumberSpan(start, stop, number.line, number.column, read.layout_confidence, reason))
        start = stop
    scale = sheet.width / page.ink.shape[1], sheet.height / page.ink.shape[0]
    result = PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=tuple(rect_to_box(rect, scale, sheet) for read in numbers for rect in read.rects),
        ink=np.concatenate(
            [np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32), *(read.ink for read in numbers)]
        ),
        preview=page.preview,
        reason=None if numbers else Reason.BLANK,
        scores=np.concatenate([np.zeros((0, CLASSES), np.float32), *(read.scores for read in numbers)]),
        numbers=tuple(spans),
    )
    return result, PageTrace(page, classed, tuple(layout), tuple(numbers), predictions, zoomed)


def _read_only(
    layout: list[TextNumber],
    page: PageInk,
    classed: ClassedComponents,
    classifier: DigitClassifier,
    models: RecognitionModels,
) -> tuple[ReadNumber | None, tuple[Prediction, ...], ZoomResult | None]:
    """Read the only character of a page; None if the page holds a number of several."""
    if not layout:
        return read_single(None, None, None, page, classifier, models)
    (number,) = layout
    if len(number.characters) > 1:
        return None, (), None
    (character,) = number.characters
    ink = crop_character(character, page, classed)
    prediction = Prediction("classifier on the page path's crop", classifier.score(ink[None])[0], ink)
    if prediction.scores[:DIGITS].max() >= FAST_EXIT_CONFIDENCE and _is_lone(character, page):
        single = ReadNumber((to_rect(character),), ink[None], prediction.scores[None], 1.0)
        return single, (prediction,), None
    reading = read_strip(number, page, models.recognizer)
    p_one = None
    if len(reading.line.text) > 1:
        probabilities = p_one_symbol(reading.line.frames)
        if probabilities.max() < 0.1 * reading.line.probability:
            return None, (), None
        p_one = float(probabilities.sum())
    return read_single(to_rect(character), prediction, reading, page, classifier, models, p_one)


def _zoom_crop(
    page: PageInk, numbers: Sequence[ReadNumber], classifier: DigitClassifier, models: RecognitionModels
) -> tuple[ReadNumber, tuple[Prediction, ...], ZoomResult] | None:
    """Read a doubtful crop of one character with the segmenter; None if it does not find exactly one."""
    rows, columns = page.ink.shape
    count = sum(len(number.rects) for number in numbers)
    if columns > 1.5 * rows or count > 6 or all(_confidence(number) >= 0.9 for number in numbers):
        return None
    zoomed = zoom(page.unpainted, classifier, models.segmenter)
    if zoomed is None or zoomed.rect is None or zoomed.prediction is None or not zoomed.is_unambiguous:
        return None
    strip = line_rect_around(zoomed.rect, page.unpainted)
    frames, _ = models.recognizer.read(crop_rect(page.unpainted, strip))
    probabilities = p_one_symbol(frames)
    if probabilities.sum() < 0.9:
        return None
    predictions = (zoomed.prediction, Prediction("sequence recognizer", append_no_digit(probabilities[:DIGITS]), strip))
    ink = np.asarray(zoomed.prediction.evidence)[None]
    return ReadNumber((zoomed.rect,), ink, average(predictions), 1.0), predictions, zoomed


def _confidence(number: ReadNumber) -> float:
    return number.layout_confidence * float(number.scores[:, :DIGITS].max(axis=1).prod())


def _is_lone(character: Component, page: PageInk) -> bool:
    """Tell whether nearly all ink of a page is one character with room around it."""
    rows, columns = page.ink.shape
    if character.left <= 1 or character.top <= 1 or character.right >= columns - 1 or character.bottom >= rows - 1:
        return False
    own = page.ink[character.top : character.bottom, character.left : character.right]
    return float(page.ink.sum()) <= (1 + LONE) * float(own.sum())
