"""The steps of one page as a picture for people: the page, its gray, its ink, each sign, and why the answer is that."""

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
"""Nothing is wider, pixels."""
INK: Color = (40, 40, 40)
GREEN: Color = (0, 130, 60)
BLUE: Color = (30, 90, 200)
ORANGE: Color = (215, 105, 0)
_GROUND: Color = (250, 249, 246)
_FRAME: Color = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 18


def fit_into(picture: Picture, width: int, height: int) -> Picture:
    """Bring a page or a part of one, gray or RGB, to a size it fits into: enlarged, each pixel stays a square."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    scale = scale if scale < 1 else int(scale)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return to_rgb(np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8))


def to_rgb(picture: Picture) -> Picture:
    """The same, (h, w, 3), to be drawn on."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB), np.uint8) if picture.ndim == 2 else picture.copy()


def gray_to_image(gray: Plane) -> Picture:
    """A gray plane, 0..255."""
    return np.asarray(np.clip(np.rint(gray), 0, 255), np.uint8)


def ink_to_image(ink: Plane) -> Picture:
    """Ink, 0.0 = paper, 1.0 = ink, dark on light."""
    return gray_to_image(255 * (1 - ink))


def text_block(lines: Iterable[str], *, size: float = 0.5, colour: Color = INK, width: int = WIDTH) -> Picture:
    """Lines of words, broken where they would be wider than `width`."""
    (letters, high), below = cv2.getTextSize(ascii_lowercase, _FONT, size, 1)
    step = round((high + below) * 1.25)
    fit = max(8, int(width / letters * len(ascii_lowercase)))
    broken = [piece for line in lines for piece in textwrap.wrap(to_ascii(line), fit) or [""]]
    widths = [cv2.getTextSize(line, _FONT, size, 1)[0][0] for line in broken]
    sheet = _blank_canvas(step * len(broken) + 2, max(widths, default=0) + 4)
    for row, line in enumerate(broken):
        put_text(sheet, line, (1, row * step + high + 3), size=size, colour=colour)
    return sheet


def put_text(sheet: Picture, line: str, foot: tuple[int, int], *, size: float = 0.5, colour: Color = INK) -> None:
    """Write on a picture, beginning at `foot`: left end of the base line."""
    cv2.putText(sheet, to_ascii(line), foot, _FONT, size, colour, 1, cv2.LINE_AA)


def draw_panel(title: str, picture: Picture, notes: Sequence[str] = ()) -> Picture:
    """A picture in a thin frame with a title above it and notes below."""
    framed = cv2.copyMakeBorder(to_rgb(picture), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=_FRAME)
    room = max(framed.shape[1], 224)
    parts = [text_block([title], size=0.45, width=room), np.asarray(framed, np.uint8)]
    return vstack([*parts, *([text_block(notes, size=0.45, width=room)] if notes else [])], gap=4)


def hstack(panels: Sequence[Picture]) -> Picture:
    """Panels side by side, tops aligned, in as many rows as it takes."""
    rows: list[list[Picture]] = [[]]
    for one in panels:
        if rows[-1] and sum(each.shape[1] + _GAP for each in rows[-1]) + one.shape[1] > WIDTH:
            rows.append([])
        rows[-1].append(one)
    return vstack([_hstack_row(row) for row in rows if row])


def vstack(parts: Sequence[Picture], gap: int = _GAP) -> Picture:
    """Parts one above the other, left sides aligned."""
    width = max((part.shape[1] for part in parts), default=1)
    sheet = _blank_canvas(sum(part.shape[0] for part in parts) + gap * max(0, len(parts) - 1) or 1, width)
    top = 0
    for part in parts:
        sheet[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0] + gap
    return sheet


def separator() -> Picture:
    """A line across, between one thing and the next."""
    sheet = _blank_canvas(3, WIDTH)
    sheet[1] = _FRAME
    return sheet


def add_border(sheet: Picture) -> Picture:
    """The whole thing, with room around it."""
    wide = _blank_canvas(sheet.shape[0] + 2 * _GAP, WIDTH + 2 * _GAP)
    wide[_GAP : _GAP + sheet.shape[0], _GAP : _GAP + sheet.shape[1]] = sheet
    return wide


def to_ascii(line: str) -> str:
    """What OpenCV can write of a line.

    >>> plain("sieben ü.png")
    'sieben ?.png'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line)


def encode_png(sheet: Picture) -> bytes:
    """The bytes of a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _hstack_row(panels: Sequence[Picture]) -> Picture:
    sheet = _blank_canvas(max(one.shape[0] for one in panels), sum(one.shape[1] + _GAP for one in panels) - _GAP)
    left = 0
    for one in panels:
        sheet[: one.shape[0], left : left + one.shape[1]] = one
        left += one.shape[1] + _GAP
    return sheet


def _blank_canvas(height: int, width: int) -> Picture:
    return np.full((height, width, 3), _GROUND, np.uint8)


_SIDE = 376
"""Three of these stand side by side."""
_LONG = 2.2
"""A page so many times as wide as high is given the full width."""
_CELL = 224
_WINDOW = 256
_PATCH = (250, 249, 246)
"""Under words that are written on a picture."""
_MANY = 12
"""More signs than this are shown at half the size, and no more strips than this at all."""


def draw_trace(steps: RecognitionTrace, reading: PageReading, threshold: float) -> Picture:
    """One page, step by step, with what became of it: (h, w, 3), w at most `panels.WIDTH`.

    Args:
        steps: what the reader kept.
        reading: the row that follows from them.
        threshold: the lowest confidence that is accepted.
    """
    size = f", {reading.width} x {reading.height} pixels" if reading.width else ""
    head = text_block([f"PageResult {reading.page} ({reading.format}{size})"], size=0.6)
    if steps.decoded is None:
        return vstack([separator(), head, text_block(_decision_lines(reading, threshold))])
    parts = [separator(), head, hstack(_draw_inputs(steps, steps.decoded))]
    if steps.initial.boxes:
        title = "Each box as 28 x 28, and what the classifier sees in it"
        parts += [text_block([title]), hstack(_draw_symbols(steps.initial))]
    if steps.full_path is not None:
        parts += _draw_full_path(steps.full_path, steps.decoded.gray)
    return vstack([*parts, hstack(_draw_answer(steps, steps.decoded, reading, threshold))])


def _draw_inputs(steps: RecognitionTrace, decoded: PreprocessedPage) -> list[Picture]:
    """The page, its gray with what the networks looked at, its ink with the boxes."""
    picture, gray = _fit_page(downscale(decoded.picture, WIDTH)), _fit_page(gray_to_image(decoded.gray))
    notes = []
    if steps.full_path is not None:
        for strip in _line_rects(steps.full_path):
            _draw_rect(gray, _relative_rect(strip, decoded.gray), BLUE, thickness=3)
        notes.append("blue: strips that the line network read")
        if steps.full_path.crop is not None:
            window = steps.full_path.crop.window
            square = Rect(window.left, window.top, window.left + window.side, window.top + window.side)
            _draw_rect(gray, _relative_rect(square, decoded.gray), ORANGE)
            notes.append("orange: where the ink network looked closely")
    ink = _fit_page(ink_to_image(decoded.plane))
    _draw_boxes(ink, steps.initial, [str(number) for number in range(1, len(steps.initial.boxes) + 1)])
    count = len(steps.initial.boxes)
    way = "at a glance" if steps.took_fast_path else "the classical way"
    found = f"Ink, {way}: {count} box{'es' if count != 1 else ''}"
    return [
        draw_panel("The page as a person sees it", picture),
        draw_panel("Gray", gray, notes),
        draw_panel(found, ink, [steps.initial.reason.description] if steps.initial.reason else []),
    ]


def _draw_symbols(found: PageResult) -> list[Picture]:
    """Each sign as a classifier is shown it, with the most probable digits."""
    side = _CELL if len(found.boxes) <= _MANY else _CELL // 2
    return [
        draw_panel(str(number), fit_into(ink_to_image(ink), side, side), _top_digits(scores))
        for number, (ink, scores) in enumerate(zip(found.ink, found.scores, strict=True), start=1)
    ]


def _draw_full_path(second: FullPathResult, gray: Plane) -> list[Picture]:
    """What the networks saw."""
    strips = [_draw_line(one, gray) for one in second.lines[:_MANY]]
    parts = [text_block(["The line network"]), vstack(strips)] if strips else []
    if len(second.lines) > _MANY:
        parts.append(text_block([f"and {len(second.lines) - _MANY} more rows"], size=0.45))
    if second.crop is not None:
        parts += [text_block(["The ink network's closest look"]), hstack(_draw_zoom(second.crop, gray))]
    if second.predictions:
        title = "Taken for one sign: what each way of looking says; their mean counts"
        shown = [_draw_prediction(one, gray) for one in second.predictions]
        if second.page.boxes:
            mean = fit_into(ink_to_image(second.page.ink[0]), _CELL, _CELL)
            shown.append(draw_panel("all of them", mean, _top_digits(second.page.scores[0])))
        parts += [text_block([title]), hstack(shown)]
    elif second.page.boxes:
        parts += [text_block(["Several signs: what follows for each"]), hstack(_draw_symbols(second.page))]
    return parts


def _draw_line(read: LineReading, gray: Plane) -> Picture:
    """A strip, with each sign that was read below the place where it stands."""
    shown = fit_into(gray_to_image(crop_rect(gray, read.strip)), WIDTH - 2, _CELL)
    below = to_rgb(np.full((24, shown.shape[1]), 255, np.uint8))
    scale = shown.shape[1] / read.strip.width
    for sign, step in zip(_line_text(read.line.text), read.line.steps, strict=True):
        left = int((step + 0.5) * read.step_px * scale) - 5
        put_text(below, sign, (min(max(0, left), max(0, below.shape[1] - 12)), 18), size=0.6, colour=BLUE)
    says = f"reads {_line_text(read.line.text)}" if read.line.text else "reads nothing"
    others = ["? is a sign that is no digit"] if NO_DIGIT in read.line.text else []
    return draw_panel(f"{says}, probability {read.line.probability:.4f}", vstack([shown, below], gap=0), others)


def _draw_zoom(seen: SegmentedCrop, gray: Plane) -> list[Picture]:
    window = seen.window
    scale = _WINDOW / window.side
    move = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]], np.float32)
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    part = cv2.warpAffine(gray_to_image(gray), move, (_WINDOW, _WINDOW), flags=how, borderValue=(235, 235, 235))
    return [
        draw_panel("The window", np.asarray(part, np.uint8)),
        draw_panel("Its ink, 64 x 64", fit_into(ink_to_image(seen.ink), _WINDOW, _WINDOW)),
    ]


def _draw_prediction(witness: Prediction, gray: Plane) -> Picture:
    at = witness.evidence
    shown = gray_to_image(crop_rect(gray, at)) if isinstance(at, Rect) else ink_to_image(at)
    return draw_panel(witness.source, fit_into(shown, _CELL, _CELL), _top_digits(witness.scores))


def _draw_answer(
    steps: RecognitionTrace, decoded: PreprocessedPage, reading: PageReading, threshold: float
) -> list[Picture]:
    """The page with the boxes that count, and the answer in words."""
    picture = _fit_page(downscale(decoded.picture, WIDTH))
    _draw_boxes(picture, steps.page, [str(one.digit) for one in reading.digits])
    for box in steps.unread:
        _draw_rect(picture, _relative_box(box, steps.page), ORANGE, thickness=2)
    if steps.took_fast_path:
        how = "read at a glance: all of the page in 64 x 64"
        if steps.full_path is not None:
            how += ", and the line network agrees"
        if steps.full_path is not None and steps.full_path.crop is not None:
            how = "its only sign, found at a glance, was looked at closely, and by the line network"
    else:
        how = "the networks were asked" if steps.full_path is not None else "read by the classical way alone"
    notes = ["orange: could be writing, and is not part of the answer"] if steps.unread else []
    shown = draw_panel("The answer, and where it stands", picture, notes)
    room = WIDTH - shown.shape[1] - 40 if shown.shape[1] < WIDTH // 2 else WIDTH
    return [shown, text_block(["", *_decision_lines(reading, threshold), "", how], size=0.55, width=room)]


def _decision_lines(reading: PageReading, threshold: float) -> list[str]:
    """The answer, how sure it is, and why it is or is not accepted."""
    reason = f"{reading.reason}: {reading.detail or reading.reason.description}" if reading.reason else ""
    if reading.confidence is None:
        return [f"No answer: {reading.status}", reason]
    is_sure = reading.confidence >= threshold
    lines = [
        f"Answer {reading.text}: {reading.status}",
        f"confidence {reading.confidence:.4f}, threshold {threshold:.4f}: {'high enough' if is_sure else 'too low'}",
    ]
    if reading.status is not PageStatus.ACCEPTED:
        lines.append(reason)
    return [*lines, f"next best {reading.runner_up}, {reading.runner_up_confidence or 0.0:.4f}"]


def _top_digits(scores: Scores) -> list[str]:
    """The three most probable digits, and the share of "no digit"."""
    best = np.argsort(-scores[:DIGITS], kind="stable")[:3]
    return [*(f"{digit}  {scores[digit]:.2%}" for digit in best), f"none  {scores[NO_DIGIT]:.2%}"]


def _line_rects(second: FullPathResult) -> list[Rect]:
    closer = [one.evidence for one in second.predictions if isinstance(one.evidence, Rect)]
    return [*(read.strip for read in second.lines), *closer[len(second.lines) :]]


def _line_text(text: Text) -> str:
    return "".join("?" if sign == NO_DIGIT else str(sign) for sign in text)


def _fit_page(picture: Picture) -> Picture:
    is_long = picture.shape[1] >= _LONG * picture.shape[0]
    return fit_into(picture, WIDTH - 2 if is_long else _SIDE, _SIDE)


def _draw_boxes(shown: Picture, found: PageResult, names: Sequence[str]) -> None:
    for box, name in zip(found.boxes, names, strict=True):
        left, top = _draw_rect(shown, _relative_box(box, found), GREEN)
        foot = (left + 2, top - 5 if top > 19 else top + 15)  # over the box, where there is room
        cv2.rectangle(shown, (left, foot[1] - 14), (left + 10 * len(name) + 3, foot[1] + 4), _PATCH, -1)
        put_text(shown, name, foot, colour=GREEN)


def _draw_rect(shown: Picture, share: Rect, colour: Color, thickness: int = 1) -> tuple[int, int]:
    """Draw a frame given in shares of the picture; gives its left upper corner."""
    height, width = shown.shape[:2]
    left, top = max(0, int(share.left * width)), max(0, int(share.top * height))
    right, bottom = min(width, round(share.right * width)) - 1, min(height, round(share.bottom * height)) - 1
    cv2.rectangle(shown, (left, top), (right, bottom), colour, thickness)
    return left, top


def _relative_rect(span: Rect, gray: Plane) -> Rect:
    height, width = gray.shape
    return Rect(span.left / width, span.top / height, span.right / width, span.bottom / height)


def _relative_box(box: Box, found: PageResult) -> Rect:
    width, height = found.width, found.height
    return Rect(box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
