"""Draw the intermediate results of one page as a picture: gray page, ink, characters, predictions and decision."""

import textwrap
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

import cv2
import numpy as np

from digitrec.arrays import PageResult, Picture, Scores
from digitrec.recognition.classifier import DIGITS, NO_DIGIT
from digitrec.recognition.ctc import Text
from digitrec.recognition.ensemble import Prediction
from digitrec.recognition.full_path import FullPathResult, LineReading
from digitrec.recognition.geometry import Rect, crop_rect
from digitrec.recognition.preprocess import Plane, downscale
from digitrec.recognition.segmenter import SegmentedCrop
from digitrec.recognition.trace import PreprocessedPage, RecognitionTrace
from digitrec.types import Box, PageReading, PageStatus

Color = tuple[int, int, int]

WIDTH = 1212
"""Largest width of a drawing, pixels."""
INK: Color = (40, 40, 40)
GREEN: Color = (0, 130, 60)
BLUE: Color = (30, 90, 200)
ORANGE: Color = (215, 105, 0)
_GROUND: Color = (250, 249, 246)
_FRAME: Color = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 18


def fit_into(picture: Picture, width: int, height: int) -> Picture:
    """Scale a gray or RGB picture to fit a size; enlarged by whole factors, so that each pixel stays a square."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    scale = scale if scale < 1 else int(scale)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return to_rgb(np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8))


def to_rgb(picture: Picture) -> Picture:
    """Return an RGB copy, (h, w, 3)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB), np.uint8) if picture.ndim == 2 else picture.copy()


def gray_to_image(gray: Plane) -> Picture:
    """Convert gray levels, 0..255, to a picture."""
    return np.asarray(np.clip(np.rint(gray), 0, 255), np.uint8)


def ink_to_image(ink: Plane) -> Picture:
    """Convert ink, 0.0 = paper, 1.0 = ink, to a picture, dark on light."""
    return gray_to_image(255 * (1 - ink))


def text_block(lines: Iterable[str], *, size: float = 0.5, color: Color = INK, width: int = WIDTH) -> Picture:
    """Draw lines of text, wrapped at `width` pixels."""
    (letters, high), below = cv2.getTextSize(ascii_lowercase, _FONT, size, 1)
    step = round((high + below) * 1.25)
    fit = max(8, int(width / letters * len(ascii_lowercase)))
    broken = [piece for line in lines for piece in textwrap.wrap(to_ascii(line), fit) or [""]]
    widths = [cv2.getTextSize(line, _FONT, size, 1)[0][0] for line in broken]
    sheet = _blank_canvas(step * len(broken) + 2, max(widths, default=0) + 4)
    for row, line in enumerate(broken):
        put_text(sheet, line, (1, row * step + high + 3), size=size, color=color)
    return sheet


def put_text(sheet: Picture, line: str, foot: tuple[int, int], *, size: float = 0.5, color: Color = INK) -> None:
    """Draw a line of text on a picture; `foot` is the left end of its base line."""
    cv2.putText(sheet, to_ascii(line), foot, _FONT, size, color, 1, cv2.LINE_AA)


def draw_panel(title: str, picture: Picture, notes: Sequence[str] = ()) -> Picture:
    """Draw a picture in a thin frame with a title above it and notes below."""
    framed = cv2.copyMakeBorder(to_rgb(picture), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=_FRAME)
    room = max(framed.shape[1], 224)
    parts = [text_block([title], size=0.45, width=room), np.asarray(framed, np.uint8)]
    return vstack([*parts, *([text_block(notes, size=0.45, width=room)] if notes else [])], gap=4)


def hstack(panels: Sequence[Picture]) -> Picture:
    """Place panels side by side, tops aligned, and wrap them into rows at `WIDTH`."""
    rows: list[list[Picture]] = [[]]
    for panel in panels:
        if rows[-1] and sum(placed.shape[1] + _GAP for placed in rows[-1]) + panel.shape[1] > WIDTH:
            rows.append([])
        rows[-1].append(panel)
    return vstack([_hstack_row(row) for row in rows if row])


def vstack(parts: Sequence[Picture], gap: int = _GAP) -> Picture:
    """Place parts one above the other, left sides aligned."""
    width = max((part.shape[1] for part in parts), default=1)
    sheet = _blank_canvas(sum(part.shape[0] for part in parts) + gap * max(0, len(parts) - 1) or 1, width)
    top = 0
    for part in parts:
        sheet[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0] + gap
    return sheet


def separator() -> Picture:
    """Draw a horizontal line over the full width."""
    sheet = _blank_canvas(3, WIDTH)
    sheet[1] = _FRAME
    return sheet


def add_border(sheet: Picture) -> Picture:
    """Add a border around a drawing."""
    wide = _blank_canvas(sheet.shape[0] + 2 * _GAP, WIDTH + 2 * _GAP)
    wide[_GAP : _GAP + sheet.shape[0], _GAP : _GAP + sheet.shape[1]] = sheet
    return wide


def to_ascii(line: str) -> str:
    """Replace the characters that OpenCV cannot draw.

    >>> to_ascii("sieben ü.png")
    'sieben ?.png'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line)


def encode_png(sheet: Picture) -> bytes:
    """Encode a picture as PNG."""
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _hstack_row(panels: Sequence[Picture]) -> Picture:
    sheet = _blank_canvas(
        max(panel.shape[0] for panel in panels), sum(panel.shape[1] + _GAP for panel in panels) - _GAP
    )
    left = 0
    for panel in panels:
        sheet[: panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + _GAP
    return sheet


def _blank_canvas(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _GROUND, np.uint8)


_SIDE = 376
"""Side of a page panel, pixels; three stand side by side."""
_LONG = 2.2
"""Width over height from which a page gets the full width."""
_CELL = 224
_WINDOW = 256
_PATCH = (250, 249, 246)
"""Background of text on a picture."""
_MANY = 12
"""Above this number characters are drawn at half the size; at most this many lines are drawn."""


def draw_trace(trace: RecognitionTrace, reading: PageReading, threshold: float) -> Picture:
    """Draw the trace of one page and the decision: (h, w, 3), w at most `WIDTH`.

    Args:
        trace: intermediate results of the reader.
        reading: the resulting row.
        threshold: lowest confidence that is accepted.
    """
    size = f", {reading.width} x {reading.height} pixels" if reading.width else ""
    head = text_block([f"Page {reading.page} ({reading.format}{size})"], size=0.6)
    if trace.decoded is None:
        return vstack([separator(), head, text_block(_decision_lines(reading, threshold))])
    parts = [separator(), head, hstack(_draw_inputs(trace, trace.decoded))]
    if trace.initial.boxes:
        title = "Each box as 28 x 28, with the classifier's scores"
        parts += [text_block([title]), hstack(_draw_symbols(trace.initial))]
    if trace.full_path is not None:
        parts += _draw_full_path(trace.full_path, trace.decoded.gray)
    return vstack([*parts, hstack(_draw_answer(trace, trace.decoded, reading, threshold))])


def _draw_inputs(trace: RecognitionTrace, decoded: PreprocessedPage) -> list[Picture]:
    """Draw the page, its gray version with the models' inputs, and its ink with the boxes."""
    picture, gray = _fit_page(downscale(decoded.picture, WIDTH)), _fit_page(gray_to_image(decoded.gray))
    notes = []
    if trace.full_path is not None:
        for rect in _line_rects(trace.full_path):
            _draw_rect(gray, _relative_rect(rect, decoded.gray), BLUE, thickness=3)
        notes.append("blue: line crops that the sequence recognizer read")
        if trace.full_path.crop is not None:
            window = trace.full_path.crop.window
            square = Rect(window.left, window.top, window.left + window.side, window.top + window.side)
            _draw_rect(gray, _relative_rect(square, decoded.gray), ORANGE)
            notes.append("orange: the zoomed crop")
    ink = _fit_page(ink_to_image(decoded.plane))
    _draw_boxes(ink, trace.initial, [str(number) for number in range(1, len(trace.initial.boxes) + 1)])
    count = len(trace.initial.boxes)
    method = "fast path" if trace.took_fast_path else "classical segmentation"
    title = f"Ink, {method}: {count} box{'es' if count != 1 else ''}"
    return [
        draw_panel("The page", picture),
        draw_panel("Gray", gray, notes),
        draw_panel(title, ink, [trace.initial.reason.description] if trace.initial.reason else []),
    ]


def _draw_symbols(page: PageResult) -> list[Picture]:
    """Draw each character as the classifier gets it, with the most probable digits."""
    side = _CELL if len(page.boxes) <= _MANY else _CELL // 2
    return [
        draw_panel(str(number), fit_into(ink_to_image(ink), side, side), _top_digits(scores))
        for number, (ink, scores) in enumerate(zip(page.ink, page.scores, strict=True), start=1)
    ]


def _draw_full_path(result: FullPathResult, gray: Plane) -> list[Picture]:
    """Draw the results of the full path."""
    lines = [_draw_line(line, gray) for line in result.lines[:_MANY]]
    parts = [text_block(["Sequence recognizer"]), vstack(lines)] if lines else []
    if len(result.lines) > _MANY:
        parts.append(text_block([f"and {len(result.lines) - _MANY} more rows"], size=0.45))
    if result.crop is not None:
        parts += [text_block(["Segmenter on the zoomed crop"]), hstack(_draw_zoom(result.crop, gray))]
    if result.predictions:
        title = "Read as one character: each model's prediction; their average is the result"
        panels = [_draw_prediction(prediction, gray) for prediction in result.predictions]
        if result.page.boxes:
            picture = fit_into(ink_to_image(result.page.ink[0]), _CELL, _CELL)
            panels.append(draw_panel("average", picture, _top_digits(result.page.scores[0])))
        parts += [text_block([title]), hstack(panels)]
    elif result.page.boxes:
        parts += [text_block(["Several characters: the result for each"]), hstack(_draw_symbols(result.page))]
    return parts


def _draw_line(reading: LineReading, gray: Plane) -> Picture:
    """Draw a line crop, with each symbol below its position."""
    picture = fit_into(gray_to_image(crop_rect(gray, reading.strip)), WIDTH - 2, _CELL)
    below = to_rgb(np.full((24, picture.shape[1]), 255, np.uint8))
    scale = picture.shape[1] / reading.strip.width
    for symbol, step in zip(_line_text(reading.line.text), reading.line.steps, strict=True):
        left = int((step + 0.5) * reading.step_px * scale) - 5
        put_text(below, symbol, (min(max(0, left), max(0, below.shape[1] - 12)), 18), size=0.6, color=BLUE)
    title = f"reads {_line_text(reading.line.text)}" if reading.line.text else "reads nothing"
    others = ["? is a non-digit"] if NO_DIGIT in reading.line.text else []
    return draw_panel(f"{title}, probability {reading.line.probability:.4f}", vstack([picture, below], gap=0), others)


def _draw_zoom(crop: SegmentedCrop, gray: Plane) -> list[Picture]:
    window = crop.window
    scale = _WINDOW / window.side
    move = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]], np.float32)
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    part = cv2.warpAffine(gray_to_image(gray), move, (_WINDOW, _WINDOW), flags=how, borderValue=(235, 235, 235))
    return [
        draw_panel("The window", np.asarray(part, np.uint8)),
        draw_panel("Its ink, 64 x 64", fit_into(ink_to_image(crop.ink), _WINDOW, _WINDOW)),
    ]


def _draw_prediction(prediction: Prediction, gray: Plane) -> Picture:
    evidence = prediction.evidence
    picture = gray_to_image(crop_rect(gray, evidence)) if isinstance(evidence, Rect) else ink_to_image(evidence)
    return draw_panel(prediction.source, fit_into(picture, _CELL, _CELL), _top_digits(prediction.scores))


def _draw_answer(
    trace: RecognitionTrace, decoded: PreprocessedPage, reading: PageReading, threshold: float
) -> list[Picture]:
    """Draw the page with the boxes of the answer, and describe the decision."""
    picture = _fit_page(downscale(decoded.picture, WIDTH))
    _draw_boxes(picture, trace.page, [str(digit.digit) for digit in reading.digits])
    for box in trace.unread:
        _draw_rect(picture, _relative_box(box, trace.page), ORANGE, thickness=2)
    if trace.took_fast_path:
        method = "read by the fast path: the whole page in 64 x 64"
        if trace.full_path is not None:
            method += ", confirmed by the sequence recognizer"
        if trace.full_path is not None and trace.full_path.crop is not None:
            method = "read by the fast path, with a zoom on its only character and the sequence recognizer"
    else:
        method = "read by the full path" if trace.full_path is not None else "read by classical segmentation only"
    notes = ["orange: could be writing, and is not part of the answer"] if trace.unread else []
    panel = draw_panel("The answer and its boxes", picture, notes)
    width = WIDTH - panel.shape[1] - 40 if panel.shape[1] < WIDTH // 2 else WIDTH
    return [panel, text_block(["", *_decision_lines(reading, threshold), "", method], size=0.55, width=width)]


def _decision_lines(reading: PageReading, threshold: float) -> list[str]:
    """Describe the answer, its confidence and the reason why it is not accepted."""
    reason = f"{reading.reason}: {reading.detail or reading.reason.description}" if reading.reason else ""
    if reading.confidence is None:
        return [f"No answer: {reading.status}", reason]
    verdict = "high enough" if reading.confidence >= threshold else "too low"
    lines = [
        f"Answer {reading.text}: {reading.status}",
        f"confidence {reading.confidence:.4f}, threshold {threshold:.4f}: {verdict}",
    ]
    if reading.status is not PageStatus.ACCEPTED:
        lines.append(reason)
    return [*lines, f"runner-up {reading.runner_up}, {reading.runner_up_confidence or 0.0:.4f}"]


def _top_digits(scores: Scores) -> list[str]:
    """Format the three most probable digits, and the probability of "no digit"."""
    best = np.argsort(-scores[:DIGITS], kind="stable")[:3]
    return [*(f"{digit}  {scores[digit]:.2%}" for digit in best), f"none  {scores[NO_DIGIT]:.2%}"]


def _line_rects(result: FullPathResult) -> list[Rect]:
    rects = [prediction.evidence for prediction in result.predictions]
    zoomed = [rect for rect in rects if isinstance(rect, Rect)]
    return [*(reading.strip for reading in result.lines), *zoomed[len(result.lines) :]]


def _line_text(text: Text) -> str:
    return "".join("?" if symbol == NO_DIGIT else str(symbol) for symbol in text)


def _fit_page(picture: Picture) -> Picture:
    is_long = picture.shape[1] >= _LONG * picture.shape[0]
    return fit_into(picture, WIDTH - 2 if is_long else _SIDE, _SIDE)


def _draw_boxes(picture: Picture, page: PageResult, names: Sequence[str]) -> None:
    for box, name in zip(page.boxes, names, strict=True):
        left, top = _draw_rect(picture, _relative_box(box, page), GREEN)
        foot = (left + 2, top - 5 if top > 19 else top + 15)  # over the box, where there is room
        cv2.rectangle(picture, (left, foot[1] - 14), (left + 10 * len(name) + 3, foot[1] + 4), _PATCH, -1)
        put_text(picture, name, foot, color=GREEN)


def _draw_rect(picture: Picture, rect: Rect, color: Color, thickness: int = 1) -> tuple[int, int]:
    """Draw a frame given in relative coordinates; return its left upper corner."""
    height, width = picture.shape[:2]
    left, top = max(0, int(rect.left * width)), max(0, int(rect.top * height))
    right, bottom = min(width, round(rect.right * width)) - 1, min(height, round(rect.bottom * height)) - 1
    cv2.rectangle(picture, (left, top), (right, bottom), color, thickness)
    return left, top


def _relative_rect(rect: Rect, gray: Plane) -> Rect:
    height, width = gray.shape
    return Rect(rect.left / width, rect.top / height, rect.right / width, rect.bottom / height)


def _relative_box(box: Box, page: PageResult) -> Rect:
    width, height = page.width, page.height
    return Rect(box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
