"""The steps of one page as a picture for people: the page, its grey, its ink, each sign, and why the answer is that."""

import textwrap
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

import cv2
import numpy as np

from digitrec.arrays import Page, Picture, Scores
from digitrec.recognition.classifier import DIGITS, NONE
from digitrec.recognition.ctc import Text
from digitrec.recognition.ensemble import Witness
from digitrec.recognition.full_path import ReadStrip, SecondLook
from digitrec.recognition.geometry import Span, cut
from digitrec.recognition.preprocess import Plane, smaller
from digitrec.recognition.segmenter import Seen
from digitrec.recognition.trace import Decoded, Steps
from digitrec.types import Box, Reading, Status

Colour = tuple[int, int, int]

WIDTH = 1212
"""Nothing is wider, pixels."""
INK: Colour = (40, 40, 40)
GREEN: Colour = (0, 130, 60)
BLUE: Colour = (30, 90, 200)
ORANGE: Colour = (215, 105, 0)
_GROUND: Colour = (250, 249, 246)
_FRAME: Colour = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 18


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """Bring a page or a part of one, grey or RGB, to a size it fits into: enlarged, each pixel stays a square."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    scale = scale if scale < 1 else int(scale)
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return in_colour(np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8))


def in_colour(picture: Picture) -> Picture:
    """The same, (h, w, 3), to be drawn on."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB), np.uint8) if picture.ndim == 2 else picture.copy()


def of_grey(grey: Plane) -> Picture:
    """A grey plane, 0..255."""
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


def of_ink(ink: Plane) -> Picture:
    """Ink, 0.0 = paper, 1.0 = ink, dark on light."""
    return of_grey(255 * (1 - ink))


def words(lines: Iterable[str], *, size: float = 0.5, colour: Colour = INK, width: int = WIDTH) -> Picture:
    """Lines of words, broken where they would be wider than `width`."""
    (letters, high), below = cv2.getTextSize(ascii_lowercase, _FONT, size, 1)
    step = round((high + below) * 1.25)
    fit = max(8, int(width / letters * len(ascii_lowercase)))
    broken = [piece for line in lines for piece in textwrap.wrap(plain(line), fit) or [""]]
    widths = [cv2.getTextSize(line, _FONT, size, 1)[0][0] for line in broken]
    sheet = _ground(step * len(broken) + 2, max(widths, default=0) + 4)
    for row, line in enumerate(broken):
        write(sheet, line, (1, row * step + high + 3), size=size, colour=colour)
    return sheet


def write(sheet: Picture, line: str, foot: tuple[int, int], *, size: float = 0.5, colour: Colour = INK) -> None:
    """Write on a picture, beginning at `foot`: left end of the base line."""
    cv2.putText(sheet, plain(line), foot, _FONT, size, colour, 1, cv2.LINE_AA)


def panel(title: str, picture: Picture, notes: Sequence[str] = ()) -> Picture:
    """A picture in a thin frame with a title above it and notes below."""
    framed = cv2.copyMakeBorder(in_colour(picture), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=_FRAME)
    room = max(framed.shape[1], 224)
    parts = [words([title], size=0.45, width=room), np.asarray(framed, np.uint8)]
    return above([*parts, *([words(notes, size=0.45, width=room)] if notes else [])], gap=4)


def beside(panels: Sequence[Picture]) -> Picture:
    """Panels side by side, tops aligned, in as many rows as it takes."""
    rows: list[list[Picture]] = [[]]
    for one in panels:
        if rows[-1] and sum(each.shape[1] + _GAP for each in rows[-1]) + one.shape[1] > WIDTH:
            rows.append([])
        rows[-1].append(one)
    return above([_row(row) for row in rows if row])


def above(parts: Sequence[Picture], gap: int = _GAP) -> Picture:
    """Parts one above the other, left sides aligned."""
    width = max((part.shape[1] for part in parts), default=1)
    sheet = _ground(sum(part.shape[0] for part in parts) + gap * max(0, len(parts) - 1) or 1, width)
    top = 0
    for part in parts:
        sheet[top : top + part.shape[0], : part.shape[1]] = part
        top += part.shape[0] + gap
    return sheet


def rule() -> Picture:
    """A line across, between one thing and the next."""
    sheet = _ground(3, WIDTH)
    sheet[1] = _FRAME
    return sheet


def with_margin(sheet: Picture) -> Picture:
    """The whole thing, with room around it."""
    wide = _ground(sheet.shape[0] + 2 * _GAP, WIDTH + 2 * _GAP)
    wide[_GAP : _GAP + sheet.shape[0], _GAP : _GAP + sheet.shape[1]] = sheet
    return wide


def plain(line: str) -> str:
    """What OpenCV can write of a line.

    >>> plain("sieben ü.png")
    'sieben ?.png'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in line)


def png(sheet: Picture) -> bytes:
    """The bytes of a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _row(panels: Sequence[Picture]) -> Picture:
    sheet = _ground(max(one.shape[0] for one in panels), sum(one.shape[1] + _GAP for one in panels) - _GAP)
    left = 0
    for one in panels:
        sheet[: one.shape[0], left : left + one.shape[1]] = one
        left += one.shape[1] + _GAP
    return sheet


def _ground(height: int, width: int) -> Picture:
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


def page(steps: Steps, reading: Reading, threshold: float) -> Picture:
    """One page, step by step, with what became of it: (h, w, 3), w at most `panels.WIDTH`.

    Args:
        steps: what the reader kept.
        reading: the row that follows from them.
        threshold: the lowest confidence that is accepted.
    """
    size = f", {reading.width} x {reading.height} pixels" if reading.width else ""
    head = words([f"Page {reading.page} ({reading.format}{size})"], size=0.6)
    if steps.decoded is None:
        return above([rule(), head, words(_why(reading, threshold))])
    parts = [rule(), head, beside(_planes(steps, steps.decoded))]
    if steps.cheap.boxes:
        title = "Each box as 28 x 28, and what the classifier sees in it"
        parts += [words([title]), beside(_signs(steps.cheap))]
    if steps.second is not None:
        parts += _second(steps.second, steps.decoded.grey)
    return above([*parts, beside(_answer(steps, steps.decoded, reading, threshold))])


def _planes(steps: Steps, decoded: Decoded) -> list[Picture]:
    """The page, its grey with what the networks looked at, its ink with the boxes."""
    picture, grey = _large(smaller(decoded.picture, WIDTH)), _large(of_grey(decoded.grey))
    notes = []
    if steps.second is not None:
        for strip in _strips(steps.second):
            _outline(grey, _share(strip, decoded.grey), BLUE, thickness=3)
        notes.append("blue: strips that the line network read")
        if steps.second.seen is not None:
            window = steps.second.seen.window
            square = Span(window.left, window.top, window.left + window.side, window.top + window.side)
            _outline(grey, _share(square, decoded.grey), ORANGE)
            notes.append("orange: where the ink network looked closely")
    ink = _large(of_ink(decoded.plane))
    _boxes(ink, steps.cheap, [str(number) for number in range(1, len(steps.cheap.boxes) + 1)])
    count = len(steps.cheap.boxes)
    way = "at a glance" if steps.is_glance else "the classical way"
    found = f"Ink, {way}: {count} box{'es' if count != 1 else ''}"
    return [
        panel("The page as a person sees it", picture),
        panel("Grey", grey, notes),
        panel(found, ink, [steps.cheap.reason.words] if steps.cheap.reason else []),
    ]


def _signs(found: Page) -> list[Picture]:
    """Each sign as a classifier is shown it, with the most probable digits."""
    side = _CELL if len(found.boxes) <= _MANY else _CELL // 2
    return [
        panel(str(number), fitted(of_ink(ink), side, side), _likely(scores))
        for number, (ink, scores) in enumerate(zip(found.ink, found.scores, strict=True), start=1)
    ]


def _second(second: SecondLook, grey: Plane) -> list[Picture]:
    """What the networks saw."""
    strips = [_strip(one, grey) for one in second.strips[:_MANY]]
    parts = [words(["The line network"]), above(strips)] if strips else []
    if len(second.strips) > _MANY:
        parts.append(words([f"and {len(second.strips) - _MANY} more rows"], size=0.45))
    if second.seen is not None:
        parts += [words(["The ink network's closest look"]), beside(_window(second.seen, grey))]
    if second.witnesses:
        title = "Taken for one sign: what each way of looking says; their mean counts"
        shown = [_witness(one, grey) for one in second.witnesses]
        if second.page.boxes:
            mean = fitted(of_ink(second.page.ink[0]), _CELL, _CELL)
            shown.append(panel("all of them", mean, _likely(second.page.scores[0])))
        parts += [words([title]), beside(shown)]
    elif second.page.boxes:
        parts += [words(["Several signs: what follows for each"]), beside(_signs(second.page))]
    return parts


def _strip(read: ReadStrip, grey: Plane) -> Picture:
    """A strip, with each sign that was read below the place where it stands."""
    shown = fitted(of_grey(cut(grey, read.strip)), WIDTH - 2, _CELL)
    below = in_colour(np.full((24, shown.shape[1]), 255, np.uint8))
    scale = shown.shape[1] / read.strip.width
    for sign, step in zip(_text(read.line.text), read.line.steps, strict=True):
        left = int((step + 0.5) * read.step_px * scale) - 5
        write(below, sign, (min(max(0, left), max(0, below.shape[1] - 12)), 18), size=0.6, colour=BLUE)
    says = f"reads {_text(read.line.text)}" if read.line.text else "reads nothing"
    others = ["? is a sign that is no digit"] if NONE in read.line.text else []
    return panel(f"{says}, probability {read.line.probability:.4f}", above([shown, below], gap=0), others)


def _window(seen: Seen, grey: Plane) -> list[Picture]:
    window = seen.window
    scale = _WINDOW / window.side
    move = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]], np.float32)
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    part = cv2.warpAffine(of_grey(grey), move, (_WINDOW, _WINDOW), flags=how, borderValue=(235, 235, 235))
    return [
        panel("The window", np.asarray(part, np.uint8)),
        panel("Its ink, 64 x 64", fitted(of_ink(seen.ink), _WINDOW, _WINDOW)),
    ]


def _witness(witness: Witness, grey: Plane) -> Picture:
    at = witness.looked_at
    shown = of_grey(cut(grey, at)) if isinstance(at, Span) else of_ink(at)
    return panel(witness.way, fitted(shown, _CELL, _CELL), _likely(witness.scores))


def _answer(steps: Steps, decoded: Decoded, reading: Reading, threshold: float) -> list[Picture]:
    """The page with the boxes that count, and the answer in words."""
    picture = _large(smaller(decoded.picture, WIDTH))
    _boxes(picture, steps.page, [str(one.digit) for one in reading.digits])
    for box in steps.unread:
        _outline(picture, _share_of(box, steps.page), ORANGE, thickness=2)
    if steps.is_glance:
        how = "read at a glance: all of the page in 64 x 64"
        if steps.second is not None:
            how += ", and the line network agrees"
        if steps.second is not None and steps.second.seen is not None:
            how = "its only sign, found at a glance, was looked at closely, and by the line network"
    else:
        how = "the networks were asked" if steps.second is not None else "read by the classical way alone"
    notes = ["orange: could be writing, and is not part of the answer"] if steps.unread else []
    shown = panel("The answer, and where it stands", picture, notes)
    room = WIDTH - shown.shape[1] - 40 if shown.shape[1] < WIDTH // 2 else WIDTH
    return [shown, words(["", *_why(reading, threshold), "", how], size=0.55, width=room)]


def _why(reading: Reading, threshold: float) -> list[str]:
    """The answer, how sure it is, and why it is or is not accepted."""
    reason = f"{reading.reason}: {reading.detail or reading.reason.words}" if reading.reason else ""
    if reading.confidence is None:
        return [f"No answer: {reading.status}", reason]
    is_sure = reading.confidence >= threshold
    lines = [
        f"Answer {reading.text}: {reading.status}",
        f"confidence {reading.confidence:.4f}, threshold {threshold:.4f}: {'high enough' if is_sure else 'too low'}",
    ]
    if reading.status is not Status.ACCEPTED:
        lines.append(reason)
    return [*lines, f"next best {reading.runner_up}, {reading.runner_up_confidence or 0.0:.4f}"]


def _likely(scores: Scores) -> list[str]:
    """The three most probable digits, and the share of "no digit"."""
    best = np.argsort(-scores[:DIGITS], kind="stable")[:3]
    return [*(f"{digit}  {scores[digit]:.2%}" for digit in best), f"none  {scores[NONE]:.2%}"]


def _strips(second: SecondLook) -> list[Span]:
    closer = [one.looked_at for one in second.witnesses if isinstance(one.looked_at, Span)]
    return [*(read.strip for read in second.strips), *closer[len(second.strips) :]]


def _text(text: Text) -> str:
    return "".join("?" if sign == NONE else str(sign) for sign in text)


def _large(picture: Picture) -> Picture:
    is_long = picture.shape[1] >= _LONG * picture.shape[0]
    return fitted(picture, WIDTH - 2 if is_long else _SIDE, _SIDE)


def _boxes(shown: Picture, found: Page, names: Sequence[str]) -> None:
    for box, name in zip(found.boxes, names, strict=True):
        left, top = _outline(shown, _share_of(box, found), GREEN)
        foot = (left + 2, top - 5 if top > 19 else top + 15)  # over the box, where there is room
        cv2.rectangle(shown, (left, foot[1] - 14), (left + 10 * len(name) + 3, foot[1] + 4), _PATCH, -1)
        write(shown, name, foot, colour=GREEN)


def _outline(shown: Picture, share: Span, colour: Colour, thickness: int = 1) -> tuple[int, int]:
    """Draw a frame given in shares of the picture; gives its left upper corner."""
    height, width = shown.shape[:2]
    left, top = max(0, int(share.left * width)), max(0, int(share.top * height))
    right, bottom = min(width, round(share.right * width)) - 1, min(height, round(share.bottom * height)) - 1
    cv2.rectangle(shown, (left, top), (right, bottom), colour, thickness)
    return left, top


def _share(span: Span, grey: Plane) -> Span:
    height, width = grey.shape
    return Span(span.left / width, span.top / height, span.right / width, span.bottom / height)


def _share_of(box: Box, found: Page) -> Span:
    width, height = found.width, found.height
    return Span(box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
