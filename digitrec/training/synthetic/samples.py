"""Generate realistic scans of digits from clean 28 x 28 ones: for a first run, tests and training.

Pens and pencils, paper with lines, shadows and dirt, phones and scanners. Everything depends only on the seed.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec import files
from digitrec.arrays import Picture
from digitrec.errors import DataError, UsageError
from digitrec.training.synthetic.strokes import Floats

SampleFile: TypeAlias = tuple[str, bytes, int]
"""File name, content, digit."""

LABELS = "labels.csv"
_HEADER = ["file", "label"]
_MAX_DRAWS = 20
_BODY_PX = 20
"""Longer side of the digit inside its 28 x 28."""
PENS = {
    "pencil": (95, 95, 98),
    "black": (25, 25, 30),
    "blue": (35, 50, 140),
    "red": (170, 35, 40),
    "green": (25, 105, 60),
}
"""RGB."""


@dataclass(frozen=True, slots=True)
class SampleParams:
    """Sizes and frequencies of scans; set by hand."""

    page_px: tuple[float, float] = (60, 400)
    page_aspect: tuple[float, float] = (0.6, 1.7)
    min_digit_px: float = 14
    small_digit: float = 0.3  # probability of a small digit on its page
    inverted: float = 1 / 6  # probability of light on dark
    angle_deg: float = 12  # largest rotation
    slant: float = 0.25  # largest shear
    papers: tuple[tuple[str, float], ...] = (("plain", 0.55), ("ruled", 0.2), ("grid", 0.15), ("box", 0.1))
    """Kinds of paper and their probabilities."""
    dirt: float = 0.4
    shadow: float = 0.25
    blur: float = 0.6
    gray: float = 0.4  # probability of a gray scan
    png: float = 0.5  # probability of PNG; other scans are JPEG
    min_visible_ink: float = 1500  # pixels times gray levels; of 1,200 scans, one had less, and only it was not read


PARAMS = SampleParams()


def generate_samples(digits: Picture, labels: NDArray[np.integer], count: int, seed: int) -> Iterator[SampleFile]:
    """Yield `count` scans of digits chosen from (n, 28, 28), 0 = paper, 255 = ink, with their labels, (n,).

    The same arguments give the same bytes (with the same NumPy and OpenCV); a larger count begins with the same scans.
    """
    if len(digits) == 0 or len(digits) != len(labels):
        raise DataError(f"there are {len(digits)} digits and {len(labels)} labels to draw from")
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        index = int(rng.integers(len(digits)))
        suffix, content = _encode(_draw_visible(digits[index], rng), rng)
        yield f"sample-{seed}-{number + 1:04d}{suffix}", content, int(labels[index])


def _draw_visible(digit: Picture, rng: Generator) -> Picture:
    """Return a page like `generate_page_and_ink`, drawn again while its ink can hardly be seen."""
    for _ in range(_MAX_DRAWS):
        page, ink = generate_page_and_ink(digit, rng)
        if _measure_visible_ink(page, ink) >= PARAMS.min_visible_ink:
            break
    return page


def _measure_visible_ink(page: Picture, ink: Picture) -> float:
    """Return the number of ink pixels times their contrast with the paper around them, gray levels."""
    gray = np.asarray(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), np.float32)
    body = (ink > 127).astype(np.uint8)
    near, around = (cv2.dilate(body, np.ones((side, side), np.uint8)) for side in (5, 11))
    is_ink, is_paper = body > 0, (around > 0) & (near == 0)
    if not is_ink.any() or not is_paper.any():
        return 0.0
    return float(is_ink.sum() * abs(gray[is_ink].mean() - gray[is_paper].mean()))


def generate_page_and_ink(digit: Picture, rng: Generator) -> tuple[Picture, Picture]:
    """Return a page, (h, w, 3) RGB, with one digit, (28, 28), and the digit's ink, (h, w); 0 = paper, 255 = ink."""
    height, width = (int(side) for side in np.exp(rng.uniform(np.log(PARAMS.page_px[0]), np.log(PARAMS.page_px[1]), 2)))
    width = int(np.clip(width, height * PARAMS.page_aspect[0], height * PARAMS.page_aspect[1]))
    written = ink = _place_digit(digit, height, width, rng)  # (h, w), 0.0 = paper, 1.0 = ink
    pen = str(rng.choice([*PENS]))
    if pen == "pencil":  # graphite depends on the grain of the paper
        ink = ink * np.clip(0.85 + 0.2 * _grain((height, width), 1.0, rng), 0.3, 1)
    paper = _paper(height, width, rng)
    cover = (ink * rng.uniform(0.6 if pen == "pencil" else 0.8, 1.0))[..., None]
    page = paper * (1 - cover) + np.array(PENS[pen], np.float32) * cover
    page *= _light(height, width, rng)[..., None]
    if rng.random() < PARAMS.inverted:
        page = 255 - page
    return _simulate_camera(page, rng), np.asarray(np.rint(written * 255), np.uint8)


def save_samples(folder: Path, samples: Iterable[tuple[str, bytes, int | str]]) -> list[Path]:
    """Write scans and a labels.csv into a folder, keeping existing files; return the paths of the pictures.

    A label is the text of a page. If a name is taken by other bytes, the scan becomes `STEM~2.EXT`. Raises UsageError
    if a labels.csv has another header.
    """
    files.make_dir(folder)
    labels = _read_labels(folder / LABELS)
    contents: dict[str, bytes] = {}
    for name, content, label in samples:
        candidate, number = name, 1
        while labels.get(candidate, str(label)) != str(label) or _is_taken(folder / candidate, content, contents):
            number += 1
            candidate = files.numbered_name(name, number)
        contents[candidate], labels[candidate] = content, str(label)
    text = io.StringIO()
    csv.writer(text).writerows([_HEADER, *labels.items()])
    # Labels first: a service that watches this folder may claim a picture immediately.
    files.atomic_write(folder / LABELS, text.getvalue())
    for name, content in contents.items():
        files.atomic_create(folder / name, content)
    return [folder / name for name in contents]


def _place_digit(digit: Picture, height: int, width: int, rng: Generator) -> Floats:
    """Return the digit at a random size, position, stroke width, angle and slant: (height, width)."""
    side = min(height, width)
    smallest, largest = PARAMS.min_digit_px, max(0.85 * side, PARAMS.min_digit_px)
    small = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    is_small = rng.random() < PARAMS.small_digit
    size = small if is_small else float(rng.uniform(max(0.35 * side, smallest), largest))
    scale = size / _BODY_PX
    upscaling = max(4, round(max(scale, 4)))  # the stroke is rendered at this scale, as its edge is measured in pixels
    distance = _distance(digit, upscaling) / upscaling  # (28 * upscaling,) * 2, in pixels of the 28
    thin, thick = -0.6 * float(np.quantile(distance[distance > 0], 0.7)), 0.9
    softness = max(1 / scale, 0.15)
    stroke = np.clip((distance + rng.uniform(thin, thick)) / softness + 0.5, 0, 1).astype(np.float32)
    angle = np.deg2rad(rng.uniform(-PARAMS.angle_deg, PARAMS.angle_deg))
    slant = rng.uniform(-PARAMS.slant, PARAMS.slant)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.array([[1, slant], [0, 1]])
    matrix = turn * scale / upscaling
    room_x, room_y = max((width - size * 1.3) / 2, 0), max((height - size * 1.3) / 2, 0)
    centre = np.array([width / 2 + rng.uniform(-room_x, room_x), height / 2 + rng.uniform(-room_y, room_y)])
    offset = centre - matrix @ np.full(2, 14.0 * upscaling)
    if scale < upscaling:  # warping does not average, so that the stroke is blurred before
        stroke = np.asarray(cv2.GaussianBlur(stroke, (0, 0), 0.4 * upscaling / scale), np.float32)
    placed = cv2.warpAffine(stroke, np.column_stack([matrix, offset]), (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(placed, np.float32)


def _distance(digit: Picture, upscaling: int) -> Floats:
    """Return the distance to the edge of the stroke, positive inside, of the enlarged digit."""
    enlarged = cv2.resize(digit, None, fx=upscaling, fy=upscaling, interpolation=cv2.INTER_CUBIC)
    body = (cv2.GaussianBlur(enlarged, (0, 0), upscaling / 3) > 110).astype(np.uint8)
    if not body.any():
        raise DataError("one of the digits to draw is blank")
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - body, cv2.DIST_L2, 5)
    return np.asarray(inside - outside, np.float32)


def _paper(height: int, width: int, rng: Generator) -> Floats:
    """Return paper, (height, width, 3), with colour, grain, printed lines and dirt."""
    base = rng.uniform(175, 250) + np.array([0, rng.uniform(-4, 2), rng.uniform(-18, 4)])
    grain = _grain((height, width), rng.uniform(0.5, 3.0), rng) * rng.uniform(0, 5)
    paper = np.asarray(base[None, None] + grain[..., None], np.float32)
    printed = np.zeros((height, width), np.float32)
    kinds, shares = zip(*PARAMS.papers, strict=True)
    kind = rng.choice(kinds, p=shares)
    spacing, thickness = rng.uniform(0.18, 0.5) * min(height, width), int(rng.integers(1, 3))
    tilt = rng.uniform(-0.04, 0.04)
    if kind in {"ruled", "grid"}:
        for y in np.arange(rng.uniform(0, spacing), height, spacing):
            cv2.line(printed, (0, round(y)), (width, round(y + tilt * width)), 1.0, thickness, cv2.LINE_AA)
    if kind == "grid":
        for x in np.arange(rng.uniform(0, spacing), width, spacing):
            cv2.line(printed, (round(x), 0), (round(x - tilt * height), height), 1.0, thickness, cv2.LINE_AA)
    if kind == "box":
        x, y = (max(1, round(side * rng.uniform(0.01, 0.06))) for side in (width, height))
        cv2.rectangle(printed, (x, y), (width - 1 - x, height - 1 - y), 1.0, thickness, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 6)) if rng.random() < PARAMS.dirt else 0):
        speck = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(printed, speck, int(rng.integers(0, 2)), float(rng.uniform(0.3, 1)), -1, cv2.LINE_AA)
    colour = np.array([rng.uniform(90, 170), rng.uniform(110, 180), rng.uniform(140, 210)], np.float32)
    cover = printed[..., None] * np.float32(rng.uniform(0.3, 0.9))
    return np.asarray(paper * (1 - cover) + colour * cover, np.float32)


def _light(height: int, width: int, rng: Generator) -> Floats:
    """Return the illumination, (height, width), about 1.0: a gradient, sometimes with the soft edge of a shadow."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 + rng.uniform(-0.15, 0.15) * x + rng.uniform(-0.15, 0.15) * y
    if rng.random() < PARAMS.shadow:
        angle = rng.uniform(0, 2 * np.pi)
        distance = (np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.6, 0.6)) / rng.uniform(0.2, 0.9)
        light *= 1 - rng.uniform(0.1, 0.35) / (1 + np.exp(-np.clip(4 * distance, -30, 30)))
    return np.asarray(light, np.float32)


def _simulate_camera(page: Floats, rng: Generator) -> Picture:
    """Add the blur and noise of lens, sensor or scanner."""
    if rng.random() < PARAMS.blur:
        page = np.asarray(cv2.GaussianBlur(page, (0, 0), rng.uniform(0.3, 1.0)), np.float32)
    noise = rng.normal(0, rng.uniform(0, 5), page.shape)
    picture: Picture = np.clip(np.rint(page + noise), 0, 255).astype(np.uint8)
    return picture


def _grain(shape: tuple[int, int], sigma_px: float, rng: Generator) -> Floats:
    """Return smooth noise of mean 0 and standard deviation 1."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma_px)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _encode(page: Picture, rng: Generator) -> tuple[str, bytes]:
    """Return a page as PNG or JPEG, in colour or gray: (suffix, content)."""
    picture = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY if rng.random() < PARAMS.gray else cv2.COLOR_RGB2BGR)
    if rng.random() < PARAMS.png:
        return ".png", cv2.imencode(".png", picture)[1].tobytes()
    return ".jpg", cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))])[1].tobytes()


def _read_labels(path: Path) -> dict[str, str]:
    """Return the rows of an existing labels.csv."""
    if not path.exists():
        return {}
    rows = [row for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")) if row]
    header, rows = (rows[0], rows[1:]) if rows else (_HEADER, [])
    if header != _HEADER or any(len(row) != len(_HEADER) for row in rows):
        raise UsageError(f"{path} has another header than file,label", hint="Name another folder.")
    return dict(rows)


def _is_taken(path: Path, content: bytes, planned: dict[str, bytes]) -> bool:
    """Return True if other bytes have this name, in the folder or among the planned files."""
    if path.name in planned:
        return planned[path.name] != content
    return path.exists() and path.read_bytes() != content
