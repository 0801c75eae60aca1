"""Paper, print and light to write on, and what lens, sensor and JPEG make of it. Grey only: networks see no colour."""

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.training.synthetic.strokes import Floats


def draw_print(height: int, width: int, rng: Generator) -> Floats:
    """What was on the paper before anyone wrote: (height, width), 0.0 = bare, 1.0 = black print.

    Ruled lines, squared paper, boxes, the fine waves of cheques, dotted grounds, or nothing.
    """
    kinds = ("bare", "ruled", "grid", "box", "waves", "crossed waves", "dots")
    kind = str(rng.choice(kinds, p=[0.32, 0.13, 0.12, 0.12, 0.17, 0.08, 0.06]))
    ground = np.zeros((height, width), np.float32)
    if kind == "bare":
        return ground
    depth = np.float32(rng.uniform(0.08, 0.75) ** 1.3)
    if kind in {"ruled", "grid"}:
        _rule(ground, rng, both=kind == "grid")
    elif kind == "box":
        _box(ground, rng)
    elif kind == "dots":
        noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), rng.uniform(0.5, 1.1))
        ground = np.clip(noise / (2.5 * max(float(noise.std()), 1e-6)) + 0.3, 0, 1).astype(np.float32)
        depth *= np.float32(0.7)
    else:
        ground = _waves(height, width, rng)
        if kind == "crossed waves":
            ground = np.maximum(ground, _waves(height, width, rng))
        depth *= np.float32(0.75)
        if rng.random() < 0.5:
            _edge_line(ground, rng)
    return ground * depth


def _rule(ground: Floats, rng: Generator, *, both: bool) -> None:
    height, width = ground.shape
    spacing = rng.uniform(0.15, 0.9) * min(height, width)
    thick, tilt = int(rng.integers(1, 3)), rng.normal(0, 0.03)
    for y in np.arange(rng.uniform(-0.5, 1) * spacing, height + spacing, spacing):
        cv2.line(
            ground, (-1, round(y)), (width, round(y + tilt * width)), float(rng.uniform(0.7, 1)), thick, cv2.LINE_AA
        )
    if both:
        for x in np.arange(rng.uniform(-0.5, 1) * spacing, width + spacing, spacing):
            cv2.line(
                ground,
                (round(x), -1),
                (round(x - tilt * height), height),
                float(rng.uniform(0.7, 1)),
                thick,
                cv2.LINE_AA,
            )


def _box(ground: Floats, rng: Generator) -> None:
    height, width = ground.shape
    thick = int(rng.integers(1, 4))
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
            start, end = corners[side], corners[(side + 1) % 4]
            cv2.line(ground, tuple(int(c) for c in start), tuple(int(c) for c in end), 1.0, thick, cv2.LINE_AA)


def _edge_line(ground: Floats, rng: Generator) -> None:
    height, width = ground.shape
    y = round(height * rng.choice([rng.uniform(0.0, 0.15), rng.uniform(0.82, 1.0)]))
    cv2.line(
        ground,
        (-1, y),
        (width, round(y + rng.normal(0, 0.02) * width)),
        float(rng.uniform(0.6, 1.3)),
        int(rng.integers(1, 3)),
        cv2.LINE_AA,
    )


def _waves(height: int, width: int, rng: Generator) -> Floats:
    """A family of fine curves side by side, as cheques carry them."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    across = across + rng.uniform(0, 6) * np.sin(along * 2 * np.pi / rng.uniform(25, 160) + rng.uniform(0, 6.3))
    across = across + rng.uniform(0, 2) * np.sin(along * 2 * np.pi / rng.uniform(10, 50))
    spacing = np.exp(rng.uniform(np.log(2.5), np.log(12)))
    return np.asarray((0.5 + 0.5 * np.cos(across * 2 * np.pi / spacing)) ** rng.uniform(1.0, 8.0), np.float32)


def draw_dirt(height: int, width: int, rng: Generator) -> Floats:
    """Specks, dashes and smears, (height, width), 0.0 = none, 1.0 = black."""
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
    """How much light falls on each spot, (height, width), about 1.0: falls off, and may have a shadow with an edge."""
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    fall = 1 + np.float32(rng.normal(0, 0.1)) * x + np.float32(rng.normal(0, 0.1)) * y
    if rng.random() < 0.3:
        angle = rng.uniform(0, 2 * np.pi)
        beyond = (np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.8, 0.8)) / np.exp(
            rng.uniform(np.log(0.03), np.log(0.8))
        )
        fall = fall * (1 - np.float32(rng.uniform(0.08, 0.5)) / (1 + np.exp(-np.clip(4 * beyond, -30, 30))))
    return np.asarray(np.clip(fall, 0.15, 1.6), np.float32)


def simulate_photo(ink: Floats, ground: Floats, rng: Generator) -> Picture:
    """A photo or scan, (h, w) uint8, of ink (0.0..1.0) on printed ground (0.0..1.0), dark on light or light on dark."""
    height, width = ink.shape
    paper = rng.uniform(110, 250)
    pen = paper * (rng.uniform(0.05, 0.6) if rng.random() < 0.75 else rng.uniform(0.6, 0.85))
    if rng.random() < 0.5:  # the pen presses unevenly
        noise = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), rng.uniform(0.7, 4))
        ink = ink * np.clip(1 - rng.uniform(0, 0.35) * (1 + noise / max(float(noise.std()), 1e-6)), 0.2, 1)
    # Print shows through thin ink and never makes paper darker than both together.
    darkest = paper * rng.uniform(0.15, 0.5)
    page = paper - (paper - darkest) * ground
    page = page * (1 - ink) + np.minimum(pen, page) * ink
    page = page * simulate_light(height, width, rng)
    if rng.random() < 1 / 6:
        page = 255 - page
    page = page.astype(np.float32)
    blur = rng.random()
    if blur < 0.55:
        page = cv2.GaussianBlur(page, (0, 0), rng.uniform(0.3, 1.2) if blur < 0.45 else rng.uniform(1.2, height / 30))
    elif blur < 0.75:  # it was small, and was enlarged
        share = rng.uniform(0.4, 0.9)
        small = cv2.resize(
            page, (max(4, round(width * share)), max(4, round(height * share))), interpolation=cv2.INTER_AREA
        )
        page = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    page = page + rng.standard_normal((height, width)).astype(np.float32) * np.float32(rng.uniform(0, 1) ** 2 * 12)
    picture: Picture = np.clip(np.rint(page), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return picture
