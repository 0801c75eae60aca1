"""Drawing surface of explanations: place pictures, text and frames on one sheet."""

import struct
import textwrap
import zlib
from collections.abc import Iterable, Sequence
from string import ascii_lowercase

import cv2
import numpy as np

from digitrec.arrays import Picture
from digitrec.recognition.geometry import Rect
from digitrec.recognition.preprocess import Mask, Plane

Color = tuple[int, int, int]

WIDTH = 1212
"""Largest width of a drawing, pixels."""
INK: Color = (40, 40, 40)
GREEN: Color = (0, 130, 60)
BLUE: Color = (30, 90, 200)
ORANGE: Color = (215, 105, 0)
PURPLE: Color = (140, 50, 160)
_GROUND: Color = (250, 249, 246)
_FRAME: Color = (170, 170, 170)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP = 18
_HEADER_BYTES = 33
"""Length of the signature of a PNG and its first chunk."""
_TITLE = b"Software\0digitrec: explanation"
"""Keyword and text of the `tEXt` chunk of a drawing."""
_PATCH: Color = (250, 249, 246)
"""Background of text on a picture."""
_NAME_SIZE = 0.4
"""Size of the name of a frame, in OpenCV's units."""


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
    """Encode a drawing as PNG, with a text in it that says so."""
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    png, text = bytes(data), b"tEXt" + _TITLE
    chunk = struct.pack(">I", len(_TITLE)) + text + struct.pack(">I", zlib.crc32(text))
    return png[:_HEADER_BYTES] + chunk + png[_HEADER_BYTES:]


def is_drawing(png: bytes) -> bool:
    """Return whether `encode_png` made this file."""
    return png.startswith(_TITLE, _HEADER_BYTES + 8)  # behind length and type of the text


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


def draw_rect(picture: Picture, rect: Rect, color: Color, name: str = "", thickness: int = 1) -> None:
    """Draw a frame, given as shares of the picture's sides, and its name: above it, else below it, else in it."""
    height, width = picture.shape[:2]
    left, top = max(0, int(rect.left * width)), max(0, int(rect.top * height))
    right, bottom = min(width, round(rect.right * width)) - 1, min(height, round(rect.bottom * height)) - 1
    cv2.rectangle(picture, (left, top), (right, bottom), color, thickness)
    if not name:
        return
    (wide, high), below = cv2.getTextSize(to_ascii(name), _FONT, _NAME_SIZE, 1)
    room = high + below + 2
    start = top - room if top >= room else bottom + 1 if bottom + room < height else top + 1
    left = max(0, min(left, width - wide - 2))
    cv2.rectangle(picture, (left, start), (left + wide + 2, start + room - 1), _PATCH, -1)
    put_text(picture, name, (left + 1, start + high + 1), size=_NAME_SIZE, color=color)


def tint(picture: Picture, mask: Mask, color: Color, share: float) -> Picture:
    """Mix a color into the pixels of a mask, (h, w), that is scaled to the picture; return an RGB copy."""
    height, width = picture.shape[:2]
    large = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    mixed = to_rgb(picture)
    mixed[large] = np.rint((1 - share) * mixed[large] + share * np.array(color)).astype(np.uint8)
    return mixed
