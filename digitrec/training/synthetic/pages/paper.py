"""Turns a drawn sheet into a scan or a photo: paper, pen, light, desk, scanner margin, lens and file format."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.arrays import Picture
from digitrec.training.synthetic.background import simulate_light
from digitrec.training.synthetic.pages.drawing import Parameters, Sheet
from digitrec.training.synthetic.samples import PENS
from digitrec.training.synthetic.strokes import Floats

PRINTS = {"black": (40, 40, 45), "grey": (130, 130, 135), "blue": (120, 150, 200), "red": (200, 120, 110)}
_SMALL = 8
"""Light and texture are smooth: drawn at an eighth of the size."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as a file holds it."""

    suffix: str
    content: bytes


def background(sheet: Sheet, draws: Parameters, height: float) -> None:
    """Print what writing paper carries under a line of this height: nothing, rules or squares."""
    kind = draws.one_of("background", ("bare", "ruled", "squared"), (0.7, 0.15, 0.15))
    if kind == "bare":
        return
    high, wide = sheet.shape
    pitch = max(8.0, height * draws.uniform("rule_pitch", 0.4, 2.2))
    dark, thick = draws.uniform("rule_darkness", 0.15, 0.6), 1 + high / 900
    tilt = float(draws.rng.normal(0, 0.004))
    for y in np.arange(float(draws.rng.uniform(0, pitch)), high, pitch):
        sheet.rule((-1, y), (wide, y + tilt * wide), thick, dark)
    if kind == "squared":
        for x in np.arange(float(draws.rng.uniform(0, pitch)), wide, pitch):
            sheet.rule((x, -1), (x - tilt * high, high), thick, dark)


def specks(sheet: Sheet, draws: Parameters, count: int, low: float, high: float, free: Floats | None = None) -> None:
    """Drop round specks of `low` to `high` pixels across, none where `free` is above 0.5."""
    height, width = sheet.shape
    for _ in range(count):
        across = float(draws.rng.uniform(low, high))
        x, y = float(draws.rng.uniform(0, width)), float(draws.rng.uniform(0, height))
        if free is not None and free[min(height - 1, int(y)), min(width - 1, int(x))] > 0.5:
            continue
        dark = float(draws.rng.uniform(0.3, 1.0))
        # A dot smaller than a pixel is a paler pixel.
        radius, dark = (across / 2, dark) if across >= 1.2 else (0.6, dark * across / 1.2)
        axes = (max(8, round(16 * radius)), max(8, round(16 * radius * float(draws.rng.uniform(0.6, 1)))))
        spot = np.zeros_like(sheet.ink)
        cv2.ellipse(spot, (round(16 * x), round(16 * y)), axes, 0, 0, 360, dark, -1, cv2.LINE_AA, 4)
        np.maximum(sheet.ink, spot, out=sheet.ink)


def colour(sheet: Sheet, draws: Parameters, prints: Mapping[str, tuple[int, int, int]] = PRINTS) -> Floats:
    """Return the sheet in colour, (h, w, 3), 0..255, in even light; one of the colours of `prints` is the print's."""
    rng, shape = draws.rng, sheet.shape
    pen = draws.one_of("pen", [*PENS], (0.25, 0.25, 0.35, 0.08, 0.07))
    print_colour = draws.one_of("print", [*prints])
    base = draws.uniform("paper_level", 185, 252) + np.array([0, rng.uniform(-4, 2), rng.uniform(-16, 4)])  # (3,)
    grain = _noise(shape, float(rng.uniform(0.5, 2.0)), rng) * np.float32(draws.uniform("grain", 0, 4))
    page = np.asarray(base, np.float32) + grain[..., None]  # (h, w, 3)
    _cover(page, sheet.printed * np.float32(draws.uniform("print_cover", 0.35, 0.95)), prints[print_colour])
    ink = sheet.ink
    if pen == "pencil":  # graphite catches on the grain of the paper
        ink = ink * np.clip(0.85 + 0.2 * _noise(shape, 1.0, rng), 0.3, 1)
    _cover(page, ink * np.float32(draws.uniform("pen_cover", 0.6 if pen == "pencil" else 0.75, 1.0)), PENS[pen])
    return page


def _cover(page: Floats, cover: Floats, tint: tuple[int, int, int]) -> None:
    """Colour a page, (h, w, 3), in place, as far as `cover`, (h, w), 0.0..1.0, says."""
    pixels = np.nonzero(cover)
    share = cover[pixels][:, None]  # (n, 1)
    page[pixels] += (np.array(tint, np.float32) - page[pixels]) * share


def scanned(page: Floats, draws: Parameters) -> Encoded:
    """Take a picture of a page in colour: light, lens, noise and file format."""
    rng, (height, width) = draws.rng, page.shape[:2]
    camera = draws.one_of("camera", ("scanner", "phone"))
    if camera == "phone":
        page = page * _light(height, width, rng)[..., None]
    blur = draws.uniform("blur_px", 0, 1.1)
    if blur > 0.3:
        page = np.asarray(cv2.GaussianBlur(page, (0, 0), blur), np.float32)
    noise = draws.uniform("noise", 0, 2 if camera == "scanner" else 6)
    page = page + (rng.standard_normal((height, width), np.float32) * np.float32(noise))[..., None]
    picture: Picture = np.clip(np.rint(page), 0, 255).astype(np.uint8)
    return encoded(picture, draws)


def encoded(picture: Picture, draws: Parameters) -> Encoded:
    """Encode (h, w, 3) RGB as PNG or JPEG, in colour or grey."""
    is_grey = draws.happens("grey", 0.35)
    picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY if is_grey else cv2.COLOR_RGB2BGR), np.uint8)
    return as_file(picture, None if draws.happens("png", 0.35) else draws.whole("jpeg_quality", 55, 95))


def as_file(picture: Picture, jpeg_quality: int | None) -> Encoded:
    """Encode (h, w) or (h, w, 3) BGR as PNG, or as JPEG of a quality."""
    if jpeg_quality is None:
        return Encoded(".png", cv2.imencode(".png", picture)[1].tobytes())
    return Encoded(".jpg", cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1].tobytes())


def is_inside(ink: Floats) -> bool:
    """Return whether no ink, (h, w), reaches the edge of the picture."""
    rim = np.concatenate([ink[:3].ravel(), ink[-3:].ravel(), ink[:, :3].ravel(), ink[:, -3:].ravel()])
    return bool(rim.max() < 0.2)


def on_desk(
    sheet: Sheet,
    page: Floats,
    draws: Parameters,
    edges: tuple[int, int] = (1, 4),
    desk_share: tuple[float, float] = (0.03, 0.22),
    turn: float = 9,
) -> tuple[Floats, Floats]:
    """Lay a page on a desk and photograph it at an angle.

    Args:
        sheet: the page's ink.
        page: the page in colour, (h, w, 3), 0..255.
        draws: what chance decides.
        edges: least and most edges of the paper that the picture shows.
        desk_share: width of the desk beside such an edge, over the page's.
        turn: largest angle of a page with three or four visible edges, degrees; others: a third of it.

    Returns:
        The picture, (h, w, 3), and the ink in it, (h, w).
    """
    rng, (height, width) = draws.rng, sheet.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    sides = draws.whole("paper_edges", *edges)
    visible = rng.permutation([True] * sides + [False] * (4 - sides))  # left, top, right, foot
    inset = [float(rng.uniform(*desk_share) if is_visible else rng.uniform(-0.12, -0.04)) for is_visible in visible]
    frame_h, frame_w = round(height * (1 + inset[1] + inset[3])), round(width * (1 + inset[0] + inset[2]))
    offset = np.array([inset[0] * width, inset[1] * height])
    middle = np.array([width, height]) / 2
    turn = np.deg2rad(
        draws.uniform("turn_degrees", -turn, turn) if sides > 2 else draws.uniform("turn_degrees", -turn / 3, turn / 3)
    )
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    bend = draws.uniform("perspective", 0, 0.07) * min(height, width)
    placed = ((corners - middle) @ matrix.T + middle + offset + rng.uniform(-bend, bend, (4, 2))).astype(np.float32)
    warp = cv2.getPerspectiveTransform(corners, placed)
    size = (frame_w, frame_h)
    ground = desk_texture(frame_h, frame_w, draws)  # (h, w, 3)
    cover = cv2.warpPerspective(np.ones(sheet.shape, np.float32), warp, size, flags=cv2.INTER_LINEAR)
    reach = draws.uniform("edge_shadow", 0.002, 0.03) * min(frame_h, frame_w)
    moved = np.array([[1, 0, rng.normal(0, reach)], [0, 1, rng.normal(0, reach)]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, moved, size), (0, 0), max(0.6, reach))
    ground = ground * (1 - np.float32(0.55) * shadow[..., None])
    seen_page = cv2.warpPerspective(page, warp, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    ink = cv2.warpPerspective(sheet.ink, warp, size, flags=cv2.INTER_LINEAR)
    picture = seen_page * cover[..., None] + ground * (1 - cover[..., None])
    return np.asarray(picture, np.float32), np.asarray(ink, np.float32)


def tilted(page: Floats, draws: Parameters, turn: float, bend: float) -> Floats:
    """Photograph a page, (h, w, 3), that fills the picture: turned up to `turn` degrees, corners moved up to `bend`.

    The picture holds all of the page; beside it the paper goes on.
    """
    height, width = page.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    angle = np.deg2rad(draws.uniform("tilt_degrees", -turn, turn))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    reach = draws.uniform("bend", 0, bend) * min(height, width)
    placed = corners @ matrix.T + draws.rng.uniform(-reach, reach, (4, 2))
    placed = (placed - placed.min(axis=0)).astype(np.float32)
    size = (int(np.ceil(placed[:, 0].max())), int(np.ceil(placed[:, 1].max())))
    warp = cv2.getPerspectiveTransform(corners, placed)
    return np.asarray(
        cv2.warpPerspective(page, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def black_margin(page: Floats, draws: Parameters, most: float) -> Floats:
    """Add the black of a scanner's lid on one to four sides, each up to `most` of the page's side wide."""
    large, mask = with_border(page, draws, most)
    level = np.float32(draws.uniform("margin_level", 0, 50))
    black = level + _noise(mask.shape, 0.8, draws.rng)[..., None] * np.float32(draws.rng.uniform(0, 3))
    return np.asarray(large * (1 - mask[..., None]) + black * mask[..., None], np.float32)


def with_border(page: Floats, draws: Parameters, most: float) -> tuple[Floats, Floats]:
    """Extend a page on one to four sides, each by up to `most` of its side.

    Returns:
        The larger page, (h, w, 3), and a mask, (h, w), 1.0 where it was added.
    """
    rng, (height, width) = draws.rng, page.shape[:2]
    count = draws.whole("margin_sides", 1, 4)
    sides = sorted(int(side) for side in rng.permutation(4)[:count])  # 0 top, 1 foot, 2 left, 3 right
    draws.values["margins"] = [("top", "foot", "left", "right")[side] for side in sides]
    wide = [max(2, round(float(rng.uniform(0.01, most)) * (height if side < 2 else width))) for side in range(4)]
    more = [wide[side] if side in sides else 0 for side in range(4)]
    large = np.pad(page, (more[:2], more[2:], (0, 0)), "edge")
    high, across = large.shape[:2]
    mask = np.zeros((high, across), np.float32)
    skew = np.tan(np.deg2rad(draws.uniform("margin_skew_degrees", 0, 1.5)))
    for side in sides:
        length = across if side < 2 else high
        # The slanting edge of the margin stays on what was added.
        start, end = wide[side], max(1.0, wide[side] - float(skew) * length)
        if rng.random() < 0.5:
            start, end = end, start
        outline = np.array([[0, -2], [length, -2], [length, end - 1], [0, start - 1]], np.float64)
        if side in {1, 3}:
            outline[:, 1] = (high if side == 1 else across) - outline[:, 1]
        if side >= 2:
            outline = outline[:, ::-1]
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return np.asarray(large, np.float32), mask


def dark_border(page: Floats, draws: Parameters, most: float) -> Floats:
    """Add a desk, or a part of the page in deep shadow, on one to four sides, each up to `most` of its side wide."""
    large, mask = with_border(page, draws, most)
    kind = draws.one_of("border", ("desk", "shadow"))
    if kind == "desk":
        other = desk_texture(mask.shape[0], mask.shape[1], draws)
    else:
        soft = 0.5 + draws.uniform("shadow_edge", 0, 0.02) * max(mask.shape)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32)
        other = large * np.float32(draws.uniform("shadow_light", 0.1, 0.45))
    return np.asarray(large * (1 - mask[..., None]) + other * mask[..., None], np.float32)


def desk_texture(height: int, width: int, draws: Parameters) -> Floats:
    """The top of a desk, (h, w, 3): wood, cloth, a plain board or tiles."""
    rng = draws.rng
    kind = draws.one_of("desk", ("wood", "cloth", "plain", "checked"), (0.4, 0.25, 0.2, 0.15))
    level = draws.uniform("desk_level", 15, 165)
    tint = np.array([1.0, rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.05)], np.float32)
    texture = _noise((height, width), 0.8, rng) * np.float32(rng.uniform(0.5, 3))
    if kind == "wood":
        along = rng.standard_normal((max(4, height // 3), max(2, width // 80 + 2))).astype(np.float32)
        veins = cv2.GaussianBlur(cv2.resize(along, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 1.2)
        texture = texture + veins * np.float32(rng.uniform(0.04, 0.16) * level)
    elif kind == "cloth":
        texture = texture + _noise((height, width), 1.5, rng) * np.float32(rng.uniform(0.05, 0.15) * level)
    elif kind == "checked":
        y, x = np.mgrid[0:height, 0:width]
        pitch = max(6, round(float(rng.uniform(0.04, 0.2)) * min(height, width)))
        texture = texture + ((x // pitch + y // pitch) % 2).astype(np.float32) * np.float32(0.5 * level)
    return np.asarray((level + texture)[..., None] * tint, np.float32)


def _light(height: int, width: int, rng: Generator) -> Floats:
    """How much light falls on each spot, (h, w): a gradient, sometimes the edge of a shadow."""
    small = simulate_light(max(2, height // _SMALL), max(2, width // _SMALL), rng)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _noise(shape: tuple[int, int], coarse: float, rng: Generator) -> Floats:
    """Smooth noise of mean 0 and deviation 1."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), coarse)
    return np.asarray(noise / np.float32(max(float(noise.std()), 1e-6)), np.float32)


def shrunk(page: Floats, longer: int) -> Floats:
    """Bring a page to this many pixels on its longer side."""
    height, width = page.shape[:2]
    scale = longer / max(height, width)
    size = (max(3, round(width * scale)), max(3, round(height * scale)))
    return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.float32)


def widened(ink: Floats, by: float) -> Floats:
    """Return 1.0 wherever ink is at most this many pixels away."""
    away = cv2.distanceTransform((ink < 0.3).astype(np.uint8), cv2.DIST_L2, 3)
    return (away <= by).astype(np.float32)
