"""The steps of one page as a picture for people: the page, its grey, its ink, each sign, and why the answer is that."""

from collections.abc import Sequence

import cv2
import numpy as np

from digitrec.arrays import Page, Picture, Scores
from digitrec.recognition.classifier import DIGITS, NONE
from digitrec.recognition.ctc import Text
from digitrec.recognition.ensemble import Witness
from digitrec.recognition.full_path import ReadStrip, SecondLook
from digitrec.recognition.geometry import Span, cut
from digitrec.recognition.panels import (
    BLUE,
    GREEN,
    ORANGE,
    WIDTH,
    Colour,
    above,
    beside,
    fitted,
    in_colour,
    of_grey,
    of_ink,
    panel,
    rule,
    words,
    write,
)
from digitrec.recognition.preprocess import Plane, smaller
from digitrec.recognition.segmenter import Seen
from digitrec.recognition.trace import Decoded, Steps
from digitrec.types import Box, Reading, Status

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
