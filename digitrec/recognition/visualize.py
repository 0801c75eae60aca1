"""Draw the intermediate results of one page: sheet, rules, ink by class, numbers and decision."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from digitrec.arrays import Ink, PageResult, Picture, Scores
from digitrec.errors import RejectedImage
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    WIDTH,
    draw_panel,
    draw_rect,
    fit_into,
    gray_to_image,
    hstack,
    ink_to_image,
    put_text,
    separator,
    text_block,
    tint,
    to_rgb,
    vstack,
)
from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.recognition.ctc import Text
from digitrec.recognition.ensemble import Prediction
from digitrec.recognition.geometry import Rect, bounding_rect, clip_rect, crop_rect
from digitrec.recognition.number_reader import LineReading, ReadNumber
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.page_path import PageTrace
from digitrec.recognition.preprocess import Plane, downscale
from digitrec.recognition.segmenter import SegmentedCrop
from digitrec.recognition.signs import sign_of
from digitrec.recognition.trace import PreprocessedPage, RecognitionTrace
from digitrec.types import Box, Number, PageReading, PageStatus

_SIDE = 376
"""Side of a page panel, pixels; three stand side by side."""
_LARGE_SIDE = 594
"""Side of a page panel of a page with many numbers; two stand side by side."""
_LONG = 2.2
"""Width over height from which a page gets the full width."""
_CELL = 224
_WINDOW = 256
_MANY = 12
"""Above this count, characters are drawn at half the size, and numbers as a strip with its text only."""
_MOST_STRIPS = 240
"""Most numbers of a page that are drawn one by one."""
_STRIP_PX = 56
"""Largest height of such a strip."""


def add_detail(trace: RecognitionTrace, sheet: DecodedPage) -> RecognitionTrace:
    """Return a trace with a larger picture of its page, if the fast path decoded that in small size."""
    picture, decoded = sheet.at_least_px(MEDIUM_PX), trace.decoded
    if not trace.took_fast_path or trace.enlarged is not None or decoded is None or isinstance(picture, RejectedImage):
        return trace
    return replace(trace, decoded=replace(decoded, picture=picture))


def draw_trace(trace: RecognitionTrace, reading: PageReading, threshold: float) -> Picture:
    """Draw the trace of one page and the decision: (h, w, 3), w at most `WIDTH`.

    Args:
        trace: intermediate results of the reader.
        reading: the resulting row.
        threshold: lowest confidence that is accepted.
    """
    size = f", {reading.width} x {reading.height} pixels" if reading.width else ""
    head = text_block([f"Page {reading.page} ({reading.format}{size})", *_preparation(trace)], size=0.6)
    if trace.decoded is None:
        return vstack([separator(), head, text_block(_decision_lines(reading, threshold))])
    if trace.page_path is None:
        parts = _draw_fast_path(trace, trace.decoded)
    else:
        parts = _draw_page_path(trace.page_path, trace.decoded.picture, reading.numbers)
    answer = hstack(_draw_answer(trace, trace.decoded, reading, threshold))
    return vstack([separator(), head, *parts, answer])


def _preparation(trace: RecognitionTrace) -> list[str]:
    """Describe how the page was changed before it was read."""
    lines, page = [], trace.enlarged
    if page is not None:
        lines.append(f"padded by {page.padding} pixels and enlarged {page.factor} times")
    if trace.straightened is not None:
        lines.append(f"rotated counter-clockwise by {trace.straightened.angle:.1f} degrees")
    if trace.turns:
        lines.append(f"turned counter-clockwise by {90 * trace.turns} degrees")
    return lines


def _draw_fast_path(trace: RecognitionTrace, decoded: PreprocessedPage) -> list[Picture]:
    """Draw the page, its gray version, the ink that the segmenter found, and the predictions for the character."""
    page, ensemble = trace.initial, trace.ensemble
    gray, ink = (_fit_page(image, _SIDE) for image in (gray_to_image(decoded.gray), ink_to_image(decoded.plane)))
    notes = []
    for prediction in () if ensemble is None else ensemble.predictions:
        if isinstance(prediction.evidence, Rect):
            draw_rect(gray, _relative_rect(prediction.evidence, decoded.gray), BLUE, thickness=3)
            notes.append("blue: strip that the sequence recognizer read")
    crop = None if ensemble is None else ensemble.crop
    if crop is not None:
        window = crop.window
        square = Rect(window.left, window.top, window.left + window.side, window.top + window.side)
        draw_rect(gray, _relative_rect(square, decoded.gray), ORANGE)
        notes.append("orange: the enlarged crop")
    for box in page.boxes:
        draw_rect(ink, _relative_box(box, page), GREEN)
    panels = [
        draw_panel("The page", _fit_page(downscale(decoded.picture, WIDTH), _SIDE)),
        draw_panel("Gray", gray, notes),
        draw_panel("Ink, by the segmenter", ink),
    ]
    parts = [hstack(panels), text_block(["The character as 28 x 28, with the classifier's scores"])]
    parts.append(hstack(_draw_characters(page.ink, page.scores, _CELL)))
    if crop is not None:
        parts += _draw_zoom(crop, decoded.gray)
    if ensemble is not None:
        parts += _draw_predictions(ensemble.predictions, ensemble.page.ink, ensemble.page.scores, decoded.gray)
    return parts


def _draw_page_path(trace: PageTrace, picture: Picture, numbers: Sequence[Number]) -> list[Picture]:
    """Draw the steps from the sheet to the numbers."""
    page, side = trace.ink, _LARGE_SIDE if len(numbers) > _MANY else _SIDE
    panels = [_draw_sheet(page, picture, side), _draw_rules(page, side), _draw_classes(page, trace.classed, side)]
    parts = [hstack([*panels, _draw_layout(trace, numbers)])]
    if numbers:
        parts.append(text_block(["The numbers: strip of the page, text and confidence"]))
        parts.append(_draw_numbers(trace, numbers))
    if trace.zoomed is not None:
        parts += _draw_zoom(trace.zoomed.crop, page.unpainted)
    if len(trace.predictions) > 1 and trace.numbers:
        (number,) = trace.numbers
        parts += _draw_predictions(trace.predictions, number.ink, number.scores, page.unpainted)
    return parts


def _draw_sheet(page: PageInk, picture: Picture, side: int) -> Picture:
    """Draw the page; what is around the sheet of paper is shaded."""
    image = _fit_page(downscale(picture, WIDTH), side)
    if page.margins is None:
        return draw_panel("The page", image, ["the paper fills the picture"])
    image = tint(image, page.margins, PURPLE, 0.6)
    return draw_panel("The page and its sheet", image, ["shaded: around the sheet, painted out"])


def _draw_rules(page: PageInk, side: int) -> Picture:
    """Draw the gray page with the rules that were painted out of it."""
    gray = gray_to_image(page.unpainted)
    if page.rules is None:
        return draw_panel("Gray", _fit_page(gray, side), ["no rules, frames or cells found"])
    image = _fit_page(tint(gray, page.rules.mask, PURPLE, 1.0), side)
    return draw_panel("Gray, with its rules", image, ["purple: rules, frames and cell grid, painted out"])


def _draw_classes(page: PageInk, classed: ClassedComponents, side: int) -> Picture:
    """Draw the ink of a page in the colors of its components' classes."""
    colors = np.full((len(classed.pieces.boxes), 3), INK, np.float32)
    classes = (
        (classed.characters, GREEN, "green: characters"),
        (classed.small, BLUE, "blue: small (points, dashes, specks)"),
        (classed.background, PURPLE, "purple: background (frames, edges)"),
    )
    for components, color, _ in classes:
        for component in components:
            colors[list(component.labels)] = color
    darkness = (255 - colors)[classed.pieces.labels]  # (h, w, 3)
    image = np.asarray(np.rint(255 - page.ink[:, :, None] * darkness), np.uint8)
    notes = [f"{name}, {len(components)}" for components, _, name in classes]
    return draw_panel(f"Ink by class, height {classed.height:.0f} pixels", _fit_page(image, side), notes)


def _draw_layout(trace: PageTrace, numbers: Sequence[Number]) -> Picture:
    """Draw a frame around each number of the page, named by its line and column."""
    image = _fit_page(gray_to_image(trace.ink.gray), _SIDE if len(numbers) <= _MANY else WIDTH - 2)
    for read, number in zip(trace.numbers, numbers, strict=True):
        rect = _relative_rect(bounding_rect(read.rects), trace.ink.gray)
        draw_rect(image, rect, GREEN, f"{number.line}.{number.column}")
    lines = len({number.line for number in numbers})
    return draw_panel(f"Lines: {lines}, numbers: {len(numbers)}", image, ["green: a number, as line.column"])


def _draw_numbers(trace: PageTrace, numbers: Sequence[Number]) -> Picture:
    """Draw the strip of each number, with its characters if there are few."""
    gray, reads = trace.ink.gray, trace.numbers
    if len(reads) > _MANY:
        pairs = list(zip(reads, numbers, strict=True))[:_MOST_STRIPS]
        parts = [hstack([_draw_strip(read, number, gray) for read, number in pairs])]
        if len(reads) > _MOST_STRIPS:
            parts.append(text_block([f"and {len(reads) - _MOST_STRIPS} more numbers"], size=0.45))
        return vstack(parts)
    is_small = len(reads) > 1 or len(reads[0].rects) > _MANY
    side = _CELL // 2 if is_small else _CELL
    parts = []
    for read, number in zip(reads, numbers, strict=True):
        strip = (
            _draw_strip(read, number, gray) if read.reading is None else _draw_line(read.reading, number, gray, side)
        )
        parts.append(hstack([strip, *_draw_characters(read.ink, read.scores, side)]))
    return vstack(parts)


def _draw_strip(read: ReadNumber, number: Number, gray: Plane) -> Picture:
    """Draw the part of the page in which a number was read."""
    strip = clip_rect(bounding_rect(read.rects) if read.reading is None else read.reading.strip, gray)
    picture = fit_into(gray_to_image(crop_rect(gray, strip)), _CELL - 2, _STRIP_PX)
    return draw_panel(f"{number.line}.{number.column} reads {number.text}", picture, _number_lines(number))


def _draw_line(reading: LineReading, number: Number, gray: Plane, height: int) -> Picture:
    """Draw the strip of a number, with each symbol that the sequence recognizer read below its position."""
    strip = clip_rect(reading.strip, gray)
    picture = fit_into(gray_to_image(crop_rect(gray, strip)), WIDTH - 2, height)
    below = to_rgb(np.full((24, picture.shape[1]), 255, np.uint8))
    scale = picture.shape[1] / strip.width
    text = _line_text(reading.line.text)
    for symbol, step in zip(text, reading.line.steps, strict=True):
        left = int((reading.strip.left - strip.left + (step + 0.5) * reading.step_px) * scale) - 5
        put_text(below, symbol, (min(max(0, left), max(0, below.shape[1] - 12)), 18), size=0.6, color=BLUE)
    seen = f"sequence recognizer: {text or 'nothing'}, probability {reading.line.probability:.4f}"
    others = ["? is a non-digit"] if NO_DIGIT in reading.line.text else []
    title = f"{number.line}.{number.column} reads {number.text}"
    return draw_panel(title, vstack([picture, below], gap=0), [*_number_lines(number), seen, *others])


def _draw_characters(ink: Ink, scores: Scores, side: int) -> list[Picture]:
    """Draw each character as the classifier gets it, with the most probable digits."""
    return [
        draw_panel(str(number), fit_into(ink_to_image(character), side, side), _top_digits(row))
        for number, (character, row) in enumerate(zip(ink, scores, strict=True), start=1)
    ]


def _draw_zoom(crop: SegmentedCrop, gray: Plane) -> list[Picture]:
    """Draw the enlarged crop and the ink that the segmenter found in it."""
    window = crop.window
    scale = _WINDOW / window.side
    move = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]], np.float32)
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    part = cv2.warpAffine(gray_to_image(gray), move, (_WINDOW, _WINDOW), flags=how, borderValue=(235, 235, 235))
    panels = [
        draw_panel("The window", np.asarray(part, np.uint8)),
        draw_panel("Its ink, 64 x 64", fit_into(ink_to_image(crop.ink), _WINDOW, _WINDOW)),
    ]
    return [text_block(["Segmenter on the enlarged crop"]), hstack(panels)]


def _draw_predictions(predictions: Sequence[Prediction], ink: Ink, scores: Scores, gray: Plane) -> list[Picture]:
    """Draw what each model saw of the page's only character and its scores, and their average."""
    panels = []
    for prediction in predictions:
        evidence = prediction.evidence
        picture = gray_to_image(crop_rect(gray, evidence)) if isinstance(evidence, Rect) else ink_to_image(evidence)
        panels.append(draw_panel(prediction.source, fit_into(picture, _CELL, _CELL), _top_digits(prediction.scores)))
    panels += [draw_panel("average", fit_into(ink_to_image(ink[0]), _CELL, _CELL), _top_digits(scores[0]))]
    return [text_block(["Read as one character: each model's prediction; their average is the result"]), hstack(panels)]


def _draw_answer(
    trace: RecognitionTrace, decoded: PreprocessedPage, reading: PageReading, threshold: float
) -> list[Picture]:
    """Draw the page with the numbers of the answer and the unread ink, and describe the decision."""
    page = trace.initial if trace.ensemble is None else trace.ensemble.page
    numbers = reading.numbers
    picture = _fit_page(downscale(decoded.picture, WIDTH), _SIDE if len(numbers) <= _MANY else WIDTH - 2)
    for span, number in zip(page.numbers, numbers, strict=True):
        rect = bounding_rect([_relative_box(box, page) for box in page.boxes[span.start : span.stop]])
        draw_rect(picture, rect, GREEN if number.reason is None else BLUE, number.text)
    for box in trace.unread:
        draw_rect(picture, _relative_box(box, page), ORANGE, thickness=2)
    notes = ["blue: needs review"] if any(number.reason for number in numbers) else []
    if trace.unread:
        notes.append("orange: could be writing, and is not part of the answer")
    if trace.page_path is not None:
        method = "read by the page path"
    elif trace.ensemble is None:
        method = "read by the fast path: the whole page in 64 x 64"
    elif trace.ensemble.crop is None:
        method = "read by the fast path: the whole page in 64 x 64, confirmed by the sequence recognizer"
    else:
        method = "read by the fast path, with a zoom on its only character and the sequence recognizer"
    panel = draw_panel("The answer", picture, notes)
    width = WIDTH - panel.shape[1] - 40 if panel.shape[1] < WIDTH // 2 else WIDTH
    return [panel, text_block(["", *_decision_lines(reading, threshold), "", method], size=0.55, width=width)]


def _decision_lines(reading: PageReading, threshold: float) -> list[str]:
    """Describe the answer, its confidence and the reason why it is not accepted."""
    reason = f"{reading.reason}: {reading.detail or reading.reason.description}" if reading.reason else ""
    if reading.confidence is None:
        return [f"No answer: {reading.status}", reason]
    numbers = reading.numbers
    least, threshold = min(
        ((number.confidence or 0.0, number.opinion.threshold if number.opinion else threshold) for number in numbers),
        key=lambda pair: pair[0] - pair[1],
    )
    limit = f"threshold {threshold:.4f}: {'high enough' if least >= threshold else 'too low'}"
    comparison = f"confidence {least:.4f}, {limit if threshold <= 1.0 else 'not calibrated for this max_error'}"
    lines = [f"Answer {reading.text}: {reading.status}", comparison]
    if len(numbers) != 1:
        accepted = f"{sum(number.reason is None for number in numbers)} numbers are accepted"
        lines = [f"Answer of {len(numbers)} numbers: {reading.status}", accepted, f"least {comparison}"]
    if reading.status is not PageStatus.ACCEPTED:
        lines.append(reason)
    if len(numbers) == 1:
        lines.append(f"runner-up {reading.runner_up}, {reading.runner_up_confidence or 0.0:.4f}")
        if numbers[0].opinion is not None:
            lines.append(numbers[0].opinion.description)
    return lines


def _number_lines(number: Number) -> list[str]:
    """Describe the confidence of a number and why it needs review."""
    lines = [f"confidence {number.confidence or 0.0:.4f}", *([f"review: {number.reason}"] if number.reason else [])]
    return lines if number.opinion is None else [*lines, number.opinion.description]


def _top_digits(scores: Scores) -> list[str]:
    """Format the three most probable digits, and the probability of "no digit"."""
    best = np.argsort(-scores[:DIGITS], kind="stable")[:3]
    return [*(f"{digit}  {100 * scores[digit]:.2f} %" for digit in best), f"none  {100 * scores[NO_DIGIT]:.2f} %"]


def _line_text(text: Text) -> str:
    return "".join("?" if symbol == NO_DIGIT else sign_of(symbol) or str(symbol) for symbol in text)


def _fit_page(picture: Picture, side: int) -> Picture:
    return fit_into(picture, WIDTH - 2 if picture.shape[1] >= _LONG * picture.shape[0] else side, side)


def _relative_rect(rect: Rect, gray: Plane) -> Rect:
    height, width = gray.shape
    return Rect(rect.left / width, rect.top / height, rect.right / width, rect.bottom / height)


def _relative_box(box: Box, page: PageResult) -> Rect:
    width, height = page.width, page.height
    return Rect(box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
