"""Pictures with words around them, put together on light ground: what shows a person the steps is drawn with these.

Everything here is (h, w, 3) RGB. Words are ASCII, as OpenCV draws nothing else in every version.
"""

import textwrap
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.recognition.preprocess import Plane

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
