"""Draws scans of digits as people make them, from clean 28 x 28 ones: for a first run, tests and training.

Pens and pencils, paper with lines, shadows and dirt, phones and scanners. Everything comes from the seed.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec import files
from digitrec.arrays import Picture
from digitrec.errors import DataError, UsageError

SampleFile: TypeAlias = tuple[str, bytes, int]
"""File name, content, digit."""
_Plane: TypeAlias = NDArray[np.float32]

LABELS = "labels.csv"
_HEADER = ["file", "label"]

_PAGE_PX = (60, 400)
_LEAST_DIGIT_PX = 14
_BODY = 20
"""Longest side of the digit inside its 28 x 28."""
_PENS = {
    "pencil": (95, 95, 98),
    "black": (25, 25, 30),
    "blue": (35, 50, 140),
    "red": (170, 35, 40),
    "green": (25, 105, 60),
}
_LIGHT_ON_DARK = 1 / 6


def generate_samples(digits: Picture, labels: NDArray[np.integer], count: int, seed: int) -> Iterator[SampleFile]:
    """Draw `count` scans of digits picked from (n, 28, 28), 0 = paper, 255 = ink, with their labels, (n,).

    The same arguments give the same bytes (with the same NumPy and OpenCV); a larger count begins with the same scans.
    """
    if len(digits) == 0 or len(digits) != len(labels):
        raise DataError(f"there are {len(digits)} digits and {len(labels)} labels to draw from")
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        chosen = int(rng.integers(len(digits)))
        page = generate_sample_page(digits[chosen], rng)
        suffix, content = _encoded(page, rng)
        yield f"sample-{seed}-{i + 1:04d}{suffix}", content, int(labels[chosen])


def generate_sample_page(digit: Picture, rng: np.random.Generator) -> Picture:
    """Draw one digit, (28, 28), 0 = paper, 255 = ink, on a page of its own: (h, w, 3) RGB."""
    return generate_page_and_ink(digit, rng)[0]


def generate_page_and_ink(digit: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """The same page, and where its digit was written: (h, w), 0 = paper, 255 = ink."""
    low, high = _PAGE_PX
    height, width = (int(side) for side in np.exp(rng.uniform(np.log(low), np.log(high), 2)))
    width = int(np.clip(width, height * 0.6, height * 1.7))
    written = ink = _placed(digit, height, width, rng)  # (h, w), 0.0 = paper, 1.0 = ink
    pen = str(rng.choice([*_PENS]))
    if pen == "pencil":  # graphite catches on the grain of the paper
        ink = ink * np.clip(0.85 + 0.2 * _grain((height, width), 1.0, rng), 0.3, 1)
    paper = _paper(height, width, rng)
    cover = (ink * rng.uniform(0.6, 1.0) if pen == "pencil" else ink * rng.uniform(0.8, 1.0))[..., None]
    page = paper * (1 - cover) + np.array(_PENS[pen], np.float32) * cover
    page *= _light(height, width, rng)[..., None]
    if rng.random() < _LIGHT_ON_DARK:
        page = 255 - page
    return _photographed(page, rng), np.asarray(np.rint(written * 255), np.uint8)


def save_samples(folder: Path, drawn: Iterable[SampleFile]) -> list[Path]:
    """Write scans into a folder beside a labels.csv, keeping what is there; gives the pictures' paths.

    A name that other bytes have already becomes `STEM~2.EXT`. Raises UsageError if a labels.csv there is none of ours.
    """
    files.make_dir(folder)
    table = _labels_in(folder / LABELS)
    named: dict[str, bytes] = {}
    for name, content, digit in drawn:
        candidate, number = name, 1
        while table.get(candidate, str(digit)) != str(digit) or _is_taken(folder / candidate, content, named):
            number += 1
            candidate = files.numbered_name(name, number)
        named[candidate], table[candidate] = content, str(digit)
    text = io.StringIO()
    csv.writer(text).writerows([_HEADER, *table.items()])
    # The labels first: a service that watches this folder may take a picture the moment it is there.
    files.atomic_write(folder / LABELS, text.getvalue())
    for name, content in named.items():
        files.atomic_create(folder / name, content)
    return [folder / name for name in named]


def _placed(digit: Picture, height: int, width: int, rng: np.random.Generator) -> _Plane:
    """The digit at a random size, place, stroke width, angle and slant: (height, width)."""
    side = min(height, width)
    largest = max(0.85 * side, _LEAST_DIGIT_PX)
    small = float(np.exp(rng.uniform(np.log(_LEAST_DIGIT_PX), np.log(largest))))
    size = small if rng.random() < 0.3 else float(rng.uniform(max(0.35 * side, _LEAST_DIGIT_PX), largest))
    scale = size / _BODY
    fine = max(4, round(max(scale, 4)))  # drawn at this scale first: a stroke's edge is measured in pixels
    distance = _distance(digit, fine) / fine  # (28 * fine,) * 2, in pixels of the 28
    thin, thick = -0.6 * float(np.quantile(distance[distance > 0], 0.7)), 0.9
    softness = max(1 / scale, 0.15)
    stroke = np.clip((distance + rng.uniform(thin, thick)) / softness + 0.5, 0, 1).astype(np.float32)
    angle, slant = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(-0.25, 0.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array([[1, slant], [0, 1]])
    matrix = turn * scale / fine
    room_x, room_y = max((width - size * 1.3) / 2, 0), max((height - size * 1.3) / 2, 0)
    middle = np.array([width / 2 + rng.uniform(-room_x, room_x), height / 2 + rng.uniform(-room_y, room_y)])
    offset = middle - matrix @ np.full(2, 14.0 * fine)
    if scale < fine:  # warping does not average; what it would skip is averaged before
        stroke = np.asarray(cv2.GaussianBlur(stroke, (0, 0), 0.4 * fine / scale), np.float32)
    placed = cv2.warpAffine(stroke, np.column_stack([matrix, offset]), (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(placed, np.float32)


def _distance(digit: Picture, fine: int) -> _Plane:
    """How far each spot lies inside the stroke, negative outside, of the digit enlarged `fine` times."""
    large = cv2.resize(digit, None, fx=fine, fy=fine, interpolation=cv2.INTER_CUBIC)
    body = (cv2.GaussianBlur(large, (0, 0), fine / 3) > 110).astype(np.uint8)
    if not body.any():
        raise DataError("one of the digits to draw is blank")
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - body, cv2.DIST_L2, 5)
    return np.asarray(inside - outside, np.float32)


def _paper(height: int, width: int, rng: np.random.Generator) -> _Plane:
    """A sheet, (height, width, 3): its colour, grain, printed lines and dirt."""
    base = rng.uniform(175, 250) + np.array([0, rng.uniform(-4, 2), rng.uniform(-18, 4)])
    grain = _grain((height, width), rng.uniform(0.5, 3.0), rng) * rng.uniform(0, 5)
    sheet = np.asarray(base[None, None] + grain[..., None], np.float32)
    printed = np.zeros((height, width), np.float32)
    kind = rng.choice(["plain", "ruled", "grid", "box"], p=[0.55, 0.2, 0.15, 0.1])
    spacing, thick = rng.uniform(0.18, 0.5) * min(height, width), int(rng.integers(1, 3))
    tilt = rng.uniform(-0.04, 0.04)
    if kind in {"ruled", "grid"}:
        for y in np.arange(rng.uniform(0, spacing), height, spacing):
            cv2.line(printed, (0, round(y)), (width, round(y + tilt * width)), 1.0, thick, cv2.LINE_AA)
    if kind == "grid":
        for x in np.arange(rng.uniform(0, spacing), width, spacing):
            cv2.line(printed, (round(x), 0), (round(x - tilt * height), height), 1.0, thick, cv2.LINE_AA)
    if kind == "box":
        x, y = (max(1, round(side * rng.uniform(0.01, 0.06))) for side in (width, height))
        cv2.rectangle(printed, (x, y), (width - 1 - x, height - 1 - y), 1.0, thick, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 6)) if rng.random() < 0.4 else 0):  # dirt
        spot = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(printed, spot, int(rng.integers(0, 2)), float(rng.uniform(0.3, 1)), -1, cv2.LINE_AA)
    print_colour = np.array([rng.uniform(90, 170), rng.uniform(110, 180), rng.uniform(140, 210)], np.float32)
    cover = printed[..., None] * np.float32(rng.uniform(0.3, 0.9))
    return np.asarray(sheet * (1 - cover) + print_colour * cover, np.float32)


def _light(height: int, width: int, rng: np.random.Generator) -> _Plane:
    """How much light falls on each spot, (height, width), about 1.0: a gradient, and sometimes a shadow's soft edge."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.15, 0.15) * y
    if rng.random() < 0.25:
        angle = rng.uniform(0, 2 * np.pi)
        beyond = (np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.6, 0.6)) / rng.uniform(0.2, 0.9)
        light *= 1 - rng.uniform(0.1, 0.35) / (1 + np.exp(-np.clip(4 * beyond, -30, 30)))
    return np.asarray(light, np.float32)


def _photographed(page: _Plane, rng: np.random.Generator) -> Picture:
    """Blur and noise of lens, sensor or scanner."""
    if rng.random() < 0.6:
        page = np.asarray(cv2.GaussianBlur(page, (0, 0), rng.uniform(0.3, 1.0)), np.float32)
    noise = rng.normal(0, rng.uniform(0, 5), page.shape)
    picture: Picture = np.clip(np.rint(page + noise), 0, 255).astype(np.uint8)
    return picture


def _grain(shape: tuple[int, int], coarseness: float, rng: np.random.Generator) -> _Plane:
    """Smooth noise of mean 0 and deviation 1."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), coarseness)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _encoded(page: Picture, rng: np.random.Generator) -> tuple[str, bytes]:
    """As PNG or JPEG, in colour or grey: (suffix, content)."""
    picture = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY if rng.random() < 0.4 else cv2.COLOR_RGB2BGR)
    if rng.random() < 0.5:
        return ".png", cv2.imencode(".png", picture)[1].tobytes()
    return ".jpg", cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))])[1].tobytes()


def _labels_in(path: Path) -> dict[str, str]:
    """The rows of a labels.csv that is there already."""
    if not path.exists():
        return {}
    rows = [row for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")) if row]
    header, rows = (rows[0], rows[1:]) if rows else (_HEADER, [])
    if header != _HEADER or any(len(row) != len(_HEADER) for row in rows):
        raise UsageError(f"{path} is no labels file of ours: its header is not file,label", hint="Name another folder.")
    return dict(rows)


def _is_taken(path: Path, content: bytes, named: dict[str, bytes]) -> bool:
    """True if this name has other bytes already, in the folder or among those to be written."""
    if path.name in named:
        return named[path.name] != content
    return path.exists() and path.read_bytes() != content
