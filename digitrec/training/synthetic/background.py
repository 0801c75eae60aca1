"""Draw paper, print and light, and simulate lens, sensor and JPEG. Gray only, as the networks see no colour."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.training.synthetic.strokes import Floats


@dataclass(frozen=True, slots=True)
class BackgroundParams:
    """Frequency and strength of backgrounds and of camera effects; set by hand (results: docs/dev/accuracy.md)."""

    prints: tuple[tuple[str, float], ...] = (
        ("bare", 0.32),
        ("ruled", 0.13),
        ("grid", 0.12),
        ("box", 0.12),
        ("waves", 0.17),
        ("crossed waves", 0.08),
        ("dots", 0.06),
    )
    """Kinds of print and their probabilities."""
    print_ink: tuple[float, float] = (0.08, 0.75)
    """Darkness of print, 0..1, before the exponent 1.3 of its distribution."""
    shadow: float = 0.3  # probability of a shadow
    paper_level: tuple[float, float] = (110, 250)  # gray level of bare paper
    dark_pen: float = 0.75  # probability of a dark pen; others are faint
    uneven_pen: float = 0.5  # probability of uneven pressure
    inverted: float = 1 / 6  # probability of light on dark
    blurred: float = 0.55
    enlarged: float = 0.2  # probability of an upscaled low resolution
    max_noise: float = 12  # largest standard deviation of the sensor noise, gray levels
    jpeg: float = 0.3  # probability of JPEG artefacts
    jpeg_quality: tuple[int, int] = (30, 95)


PARAMS = BackgroundParams()


def draw_print(height: int, width: int, rng: Generator) -> Floats:
    """Return the print on a paper: (height, width), 0.0 = bare, 1.0 = black.

    Ruled lines, squared paper, boxes, the fine waves of cheques, dotted grounds, or nothing.
    """
    kinds, shares = zip(*PARAMS.prints, strict=True)
    kind = str(rng.choice(kinds, p=shares))
    ground = np.zeros((height, width), np.float32)
    if kind == "bare":
        return ground
    darkness = np.float32(rng.uniform(*PARAMS.print_ink) ** 1.3)
    if kind in {"ruled", "grid"}:
        _draw_rules(ground, rng, is_grid=kind == "grid")
    elif kind == "box":
        _draw_box(ground, rng)
    elif kind == "dots":
        noise = _smooth_noise(height, width, (0.5, 1.1), rng)
        ground = np.clip(noise / (2.5 * max(float(noise.std()), 1e-6)) + 0.3, 0, 1).astype(np.float32)
        darkness *= np.float32(0.7)
    else:
        ground = _waves(height, width, rng)
        if kind == "crossed waves":
            ground = np.maximum(ground, _waves(height, width, rng))
        darkness *= np.float32(0.75)
        if rng.random() < 0.5:
            _draw_edge_line(ground, rng)
    return ground * darkness


def _draw_rules(ground: Floats, rng: Generator, *, is_grid: bool) -> None:
    height, width = ground.shape
    spacing = rng.uniform(0.15, 0.9) * min(height, width)
    thickness, tilt = int(rng.integers(1, 3)), rng.normal(0, 0.03)
    for y in np.arange(rng.uniform(-0.5, 1) * spacing, height + spacing, spacing):
        end = (width, round(y + tilt * width))
        cv2.line(ground, (-1, round(y)), end, float(rng.uniform(0.7, 1)), thickness, cv2.LINE_AA)
    if is_grid:
        for x in np.arange(rng.uniform(-0.5, 1) * spacing, width + spacing, spacing):
            end = (round(x - tilt * height), height)
            cv2.line(ground, (round(x), -1), end, float(rng.uniform(0.7, 1)), thickness, cv2.LINE_AA)


def _draw_box(ground: Floats, rng: Generator) -> None:
    height, width = ground.shape
    thickness = int(rng.integers(1, 4))
    insets = rng.uniform(-0.03, 0.15, 4) * min(height, width)
    corners = np.array(
        [
            [insets[0], insets[1]],
            [width - 1 - insets[2], insets[1] + rng.normal(0, 1)],
            [width - 1 - insets[2], height - 1 - insets[3]],
            [insets[0], height - 1 - insets[3] + rng.normal(0, 1)],
        ]
    )
    for side in range(4):
        if rng.random() < 0.7:
            start, end = (tuple(int(value) for value in corners[number % 4]) for number in (side, side + 1))
            cv2.line(ground, start, end, 1.0, thickness, cv2.LINE_AA)


def _draw_edge_line(ground: Floats, rng: Generator) -> None:
    height, width = ground.shape
    y = round(height * rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.82, 1.0)]))
    end = (width, round(y + rng.normal(0, 0.02) * width))
    darkness = float(rng.uniform(0.6, 1.3))
    cv2.line(ground, (-1, y), end, darkness, int(rng.integers(1, 3)), cv2.LINE_AA)


def _waves(height: int, width: int, rng: Generator) -> Floats:
    """Return a family of fine parallel curves, as on cheques."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    across = across + rng.uniform(0, 6) * np.sin(along * 2 * np.pi / rng.uniform(25, 160) + rng.uniform(0, 6.3))
    across = across + rng.uniform(0, 2) * np.sin(along * 2 * np.pi / rng.uniform(10, 50))
    spacing = np.exp(rng.uniform(np.log(2.5), np.log(12)))
    return np.asarray((0.5 + 0.5 * np.cos(across * 2 * np.pi / spacing)) ** rng.uniform(1.0, 8.0), np.float32)


def draw_dirt(height: int, width: int, rng: Generator) -> Floats:
    """Return specks, dashes and smears, (height, width), 0.0 = none, 1.0 = black."""
    marks = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 7))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        if rng.random() < 0.7:
            cv2.circle(marks, (x, y), int(rng.integers(0, 2)), float(rng.uniform(0.2, 1)), -1, cv2.LINE_AA)
        else:
            end = (x + int(rng.normal(0, 5)), y + int(rng.normal(0, 5)))
            cv2.line(marks, (x, y), end, float(rng.uniform(0.2, 0.8)), 1, cv2.LINE_AA)
    return marks


def simulate_light(height: int, width: int, rng: Generator) -> Floats:
    """Return the illumination, (height, width), about 1.0: a gradient, sometimes with the edge of a shadow."""
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = 1 + np.float32(rng.normal(0, 0.1)) * x + np.float32(rng.normal(0, 0.1)) * y
    if rng.random() < PARAMS.shadow:
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.8, 0.8)
        distance = distance / np.exp(rng.uniform(np.log(0.03), np.log(0.8)))
        light = light * (1 - np.float32(rng.uniform(0.08, 0.5)) / (1 + np.exp(-np.clip(4 * distance, -30, 30))))
    return np.asarray(np.clip(light, 0.15, 1.6), np.float32)


def simulate_photo(ink: Floats, ground: Floats, rng: Generator) -> Picture:
    """Return a photo or scan, (h, w) uint8, of ink (0.0..1.0) on print (0.0..1.0), dark on light or light on dark."""
    height, width = ink.shape
    paper = rng.uniform(*PARAMS.paper_level)
    pen = paper * (rng.uniform(0.05, 0.6) if rng.random() < PARAMS.dark_pen else rng.uniform(0.6, 0.85))
    if rng.random() < PARAMS.uneven_pen:
        noise = _smooth_noise(height, width, (0.7, 4), rng)
        ink = ink * np.clip(1 - rng.uniform(0, 0.35) * (1 + noise / max(float(noise.std()), 1e-6)), 0.2, 1)
    # Print shows through thin ink and never makes paper darker than both together.
    darkest = paper * rng.uniform(0.15, 0.5)
    page = paper - (paper - darkest) * ground
    page = page * (1 - ink) + np.minimum(pen, page) * ink
    page = page * simulate_light(height, width, rng)
    if rng.random() < PARAMS.inverted:
        page = 255 - page
    page = page.astype(np.float32)
    blur = rng.random()
    if blur < PARAMS.blurred:
        page = cv2.GaussianBlur(page, (0, 0), rng.uniform(0.3, 1.2) if blur < 0.45 else rng.uniform(1.2, height / 30))
    elif blur < PARAMS.blurred + PARAMS.enlarged:
        scale = rng.uniform(0.4, 0.9)
        size = (max(4, round(width * scale)), max(4, round(height * scale)))
        small = cv2.resize(page, size, interpolation=cv2.INTER_AREA)
        page = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = rng.standard_normal((height, width)).astype(np.float32)
    page = page + noise * np.float32(rng.uniform(0, 1) ** 2 * PARAMS.max_noise)
    picture: Picture = np.clip(np.rint(page), 0, 255).astype(np.uint8)
    if rng.random() < PARAMS.jpeg:
        quality = int(rng.integers(*PARAMS.jpeg_quality))
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
    return picture


def _smooth_noise(height: int, width: int, sigma_px: tuple[float, float], rng: Generator) -> Floats:
    noise = rng.standard_normal((height, width)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(*sigma_px)), np.float32)
